"""Which posts stand in two places: by id, by text, as near-duplicates."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from zoo.build import read_data
from zoo.config.read import read
from zoo.data.bio import Bio
from zoo.data.overlap import Overlap, Part, overlaps, text_key
from zoo.results.overlaps import write_posts
from zoo.types import Entity, Sample, Splits

REGISTRY = Path(__file__).parents[2] / "registry.yaml"
DATA = os.environ.get("ZOO_DATA")


def sample(id: str, text: str, language: str | None = None) -> Sample:
    return Sample(id, tuple(text.split()), (Entity(0, 1, "PER"),), language)


LONG = "the quick brown fox jumps over the lazy dog near the old river bank today"
SETS: dict[str, Splits] = {
    "one": {
        "train": [sample("1", "Ada met Bo !"), sample("2", LONG), sample("3", "unlike")],
        "dev": [sample("4", "something else")],
        "test": [sample("5", "ada MET bo")],
    },
    "two": {
        "train": [sample("en/5", "all other words", "en"), sample("en/x", f"{LONG} !! #1", "en")],
        "dev": [sample("en/y", "Rome is far", "en")],
        "test": [sample("en/z", "Oslo is near", "en")],
    },
}


def test_pairs_by_id_text_and_likeness() -> None:
    assert overlaps(SETS) == [
        Overlap(Part("one", "test"), Part("one", "train"), 1, 0, 1, 0, "5"),
        Overlap(Part("one", "train"), Part("two", "train"), 3, 0, 0, 1, "2"),
        Overlap(Part("two", "train"), Part("one", "train"), 2, 0, 0, 1, "en/x"),
        Overlap(Part("one", "test"), Part("two", "train"), 1, 1, 0, 0, "5"),
    ]


def test_without_near_duplicates() -> None:
    found = overlaps(SETS, None)
    assert [(each.by_id, each.by_text, each.similar) for each in found] == [
        (0, 1, None),
        (1, 0, None),
    ]


def test_texts_without_two_words() -> None:
    alone: dict[str, Splits] = {
        "a": {"train": [sample("1", "!")], "dev": [sample("2", "?")], "test": [sample("3", "!")]}
    }
    (found,) = overlaps(alone)
    assert (found.by_id, found.by_text, found.similar) == (0, 1, 0)


def test_ids_that_a_reader_made_up_are_nobodys(tmp_path: Path) -> None:
    found = {}
    for name in "ab":
        for split in ("train", "dev", "test"):
            (tmp_path / f"{split}.txt").write_text(f"{name}{split} O\n")
        found[name] = Bio(tmp_path, path=".").read()
    assert overlaps(found, None) == []
    write_posts(tmp_path, "a" * 64, found["a"])
    (file,) = (tmp_path / "datasets").iterdir()
    posts = json.loads(file.read_text())["train"]
    assert (posts["ids"], len(posts["texts"])) == ([], 1)
    file.write_text(file.read_text().replace("[]", '["0"]'))  # as older versions wrote it
    write_posts(tmp_path, "a" * 64, found["a"])
    assert json.loads(file.read_text())["train"] == posts


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("it ' s #Rome", "It's # rome", True),
        ("ﬁne ①", "fine 1", True),  # compatibility characters
        ("Straße", "STRASSE", True),
        ("😂", "😍", False),
        ("a b", "a c", False),
    ],
)
def test_text_key(one: str, two: str, same: bool) -> None:
    assert (text_key(one.split()) == text_key(two.split())) is same


@pytest.fixture(scope="module")
def real() -> dict[str, Splits]:
    names = ("twitter2015", "twitter2017", "mmnerd-en", "twitter10000")
    parts = read(REGISTRY, sections=["datasets"]).datasets
    absent = [
        name
        for name in names
        if DATA is None or not (Path(DATA) / parts[name].settings["path"]).is_dir()
    ]
    if absent:
        pytest.skip(f"ZOO_DATA has no {', '.join(absent)}: these datasets are not ours to ship")
    return {name: read_data(parts[name], Path(str(DATA))) for name in names}


@pytest.mark.slow
def test_the_known_leaks(real: dict[str, Splits]) -> None:
    found = {(each.posts, each.inside): each for each in overlaps(real, None)}

    def counts(tested: str, trained: str) -> tuple[int, int]:
        each = found[Part(tested, "test"), Part(trained, "train")]
        return each.by_id, each.by_text

    assert counts("twitter2017", "mmnerd-en") == (350, 351)
    assert counts("twitter2017", "twitter10000") == (467, 468)
    assert counts("twitter2015", "twitter10000") == (1563, 28)
