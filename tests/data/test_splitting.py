"""Splits that a dataset does not come with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.data.bio import Bio
from zoo.data.check import notes
from zoo.data.jsonl import Jsonl
from zoo.data.splitting import shuffled
from zoo.errors import DataError
from zoo.types import Picture, Sample


def rows(n: int, first: int = 0) -> str:
    posts = ({"words": ["Ada", f"w{i}"], "entities": [{"start": 0, "end": 1, "type": "PER"}]}
             for i in range(first, first + n))  # fmt: skip
    return "\n".join(map(json.dumps, posts))


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.none() | st.sampled_from("xyz")), min_size=12
    ),
    st.integers(0, 3),
)
def test_no_post_is_in_two_splits(made, seed):
    samples = [
        Sample(str(i), (word, "x"), picture=Picture(f"{name}.jpg") if name else None)
        for i, (word, name) in enumerate(made)
    ]
    try:
        splits = shuffled(samples, seed=seed)
    except DataError:
        return  # all of them are one post
    assert sorted(int(s.id) for own in splits.values() for s in own) == list(range(len(samples)))
    for kind in (lambda s: s.words, lambda s: s.picture and s.picture.name):
        for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
            both = {kind(s) for s in splits[one]} & {kind(s) for s in splits[other]}
            assert not both - {None}
    assert splits == shuffled(samples, seed=seed)


def test_one_file_is_split(tmp_path: Path):
    (tmp_path / "posts.jsonl").write_text(rows(50))
    for path in (".", "posts.jsonl"):
        splits = Jsonl(tmp_path, path=path).read()
        assert [len(splits[name]) for name in ("train", "dev", "test")] == [40, 5, 5]
        assert notes(splits) == [
            "one file without splits: 80/10/10 by a fixed shuffle of its posts"
        ]


def test_without_test_the_scores_are_of_dev(tmp_path: Path):
    (tmp_path / "train.jsonl").write_text(rows(9))
    (tmp_path / "dev.jsonl").write_text(rows(3, 9))
    splits = Jsonl(tmp_path, path=".").read()
    assert splits["test"] == splits["dev"] != []
    assert any(note.startswith("no test split: the scores are those of dev") for note in
               notes(splits))  # fmt: skip


def test_without_dev_it_is_a_part_of_train(tmp_path: Path):
    rows = [f"IMGID:{i}\nAda\tB-PER\nw{i}\tO\n" for i in range(20)]
    (tmp_path / "train.txt").write_text("\n".join(rows[:18]))
    (tmp_path / "test.txt").write_text("\n".join(rows[18:]))
    splits = Bio(tmp_path, path=".").read()
    assert [len(splits[name]) for name in ("train", "dev", "test")] == [16, 2, 2]


def test_a_file_that_may_be_the_missing_split_is_not_passed_over(tmp_path: Path):
    (tmp_path / "train.jsonl").write_text(rows(9))
    (tmp_path / "dev.jsonl").write_text(rows(3, 9))
    (tmp_path / "tset.jsonl").write_text(rows(3, 12))
    with pytest.raises(DataError, match=r"no file for test; add test\.jsonl or name it"):
        Jsonl(tmp_path, path=".").read()


def test_too_few_posts(tmp_path: Path):
    (tmp_path / "posts.jsonl").write_text(rows(2))
    with pytest.raises(DataError, match="too few to be split"):
        Jsonl(tmp_path, path=".").read()


def test_posts_that_share_any_picture_stay_together() -> None:
    shared = Picture("shared.jpg")
    samples = [
        Sample(str(i), (f"w{i}",), picture=Picture(f"{i}.jpg"),
               more_pictures=(shared,) if i < 5 else ())
        for i in range(20)
    ]  # fmt: skip
    for seed in range(5):
        splits = shuffled(samples, seed=seed)
        assert sum(any(int(s.id) < 5 for s in own) for own in splits.values()) == 1
