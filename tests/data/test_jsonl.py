"""Reader ``jsonl``, its writer, and the fingerprint of what they hold."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.check import check
from zoo.data.fingerprint import fingerprint
from zoo.data.jsonl import KEYS, Jsonl, write_jsonl
from zoo.data.stats import stats
from zoo.errors import DataError
from zoo.types import Entity, Picture, Sample

TEXT = st.text(min_size=1).filter(str.strip)


@st.composite
def samples(draw, ids):
    # The reader takes byte order marks out of words.
    word = st.text(st.characters(exclude_characters="\ufeff", codec="utf-8"), min_size=1)
    words = draw(st.lists(word, min_size=1, max_size=8))
    entities, end = [], 0
    for gap, width in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), max_size=3)):
        if end + gap + width <= len(words):
            entities.append(Entity(end + gap, end + gap + width, draw(st.sampled_from("AB"))))
            end += gap + width
    return Sample(
        id=draw(ids),
        words=tuple(words),
        entities=tuple(entities),
        language=draw(st.none() | TEXT),
        caption=draw(st.none() | TEXT),
        extra=draw(
            st.dictionaries(st.text().filter(lambda k: k not in KEYS), st.text(), max_size=2)
        ),
    )


@given(st.lists(samples(st.text(min_size=1)), min_size=3, max_size=6, unique_by=lambda s: s.id))
@settings(max_examples=60, deadline=None)
def test_written_samples_read_back(tmp_path_factory, made):
    folder = tmp_path_factory.mktemp("set")
    splits = {"train": made[2:], "dev": made[:1], "test": made[1:2]}
    for split, own in splits.items():
        write_jsonl(folder / f"{split}.jsonl", own)
    again = Jsonl(folder, path=".").read()
    assert again == splits
    assert fingerprint(again) == fingerprint(splits)


def write(folder, *records):
    """The records as the train split; dev and test of one sentence each."""
    lines = [json.dumps(record) for record in records]
    (folder / "train.jsonl").write_text("\n".join(lines))
    for split in ("valid", "test"):
        (folder / f"{split}.jsonl").write_text('{"words": ["w"], "entities": []}\n')


def test_text_takes_character_offsets(tmp_path):
    text = "  In New\u00a0York ,\tAda"
    entities = [
        {"start": text.index("Ada"), "end": len(text), "type": "PER"},
        {"start": 5, "end": 13, "type": "LOC"},
    ]
    write(tmp_path, {"id": 5, "text": text, "entities": entities, "source": "x"})
    (sample,) = Jsonl(tmp_path, path=".", labels={"LOC": "PLACE"}).read()["train"]
    assert sample.words == ("In", "New", "York", ",", "Ada")
    assert sample.entities == (Entity(1, 3, "PLACE"), Entity(4, 5, "PER"))
    assert (sample.id, dict(sample.extra)) == ("5", {"source": "x"})


def test_pictures_are_written_and_found(tmp_path):
    made = Sample("1", ("a",), picture=Picture("sub/a.png", data=b"bytes"))
    write(tmp_path, {})
    write_jsonl(tmp_path / "train.jsonl", [made], images=tmp_path / "images")
    (sample,) = Jsonl(tmp_path, path=".").read()["train"]
    assert sample.picture == Picture("sub/a.png", path=tmp_path / "images/sub/a.png")
    assert sample.picture.read() == b"bytes"


def test_ids_default_to_the_line(tmp_path):
    write(tmp_path, *[{"words": ["a"], "entities": []}] * 2)
    assert [sample.id for sample in Jsonl(tmp_path, path=".").read()["train"]] == [
        "train-1",
        "train-2",
    ]


def test_extra_may_not_hide_a_field(tmp_path):
    with pytest.raises(ValueError, match="extra `words`"):
        write_jsonl(tmp_path / "a.jsonl", [Sample("1", ("a",), extra={"words": "b"})])


BASE = Sample(
    "1",
    ("a", "b"),
    (Entity(0, 1, "PER"),),
    "en",
    Picture("1.png", data=b"pixels"),
    "a cat",
    {"tags": "cat"},
)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "2"},
        {"words": ("a b",)},
        {"words": ("b", "a")},
        {"entities": (Entity(0, 2, "PER"),)},
        {"entities": (Entity(0, 1, "LOC"),)},
        {"entities": ()},
        {"language": "de"},
        {"language": None},
        {"picture": None},
        {"picture": Picture("1.png", data=b"others")},
        {"caption": None},
        {"extra": {"tags": "dog"}},
        {"extra": {}},
    ],
    ids=str,
)
def test_fingerprint_changes_with_what_counts(change):
    def of(sample):
        return fingerprint({"train": [sample], "dev": [], "test": []})

    assert of(BASE) != of(replace(BASE, **change))


def test_fingerprint_forgets_where_files_lie(tmp_path):
    (tmp_path / "other.jpg").write_bytes(b"pixels")
    moved = replace(BASE, picture=Picture("other.jpg", path=tmp_path / "other.jpg"))
    one, two = ({"train": [sample], "test": []} for sample in (BASE, moved))
    assert fingerprint(one) == fingerprint(dict(reversed(two.items())))
    assert fingerprint(one) != fingerprint({"train": [], "test": [BASE]})
    assert fingerprint({"train": [BASE, moved]}) != fingerprint({"train": [BASE]})
    (tmp_path / "other.jpg").unlink()
    with pytest.raises(DataError, match=r"other\.jpg: the picture can't be read"):
        fingerprint(two)


def test_stats_and_findings():
    dog = replace(BASE, id="2", entities=(Entity(0, 2, "Per"),), picture=None, caption=None)
    splits = {"train": [BASE, replace(BASE, id="3")], "dev": [BASE], "test": [dog]}
    counted = stats(splits, decode=True)
    assert counted["train"].types == {"PER": 2}
    assert (counted["train"].pictures, counted["train"].readable) == (2, 0)
    assert (counted["test"].widest, counted["test"].captions) == (2, 0)
    assert stats(splits)["dev"].readable is None
    assert check(splits) == [
        "test: types that train has no entity of: Per",
        "test: 1 of 1 without a picture: 2",
        "test: 1 of 1 without a caption: 2",
        "train: 2 pictures can't be decoded: 1.png, 1.png",
        "dev: 1 picture can't be decoded: 1.png",
        "train and test: 1 text with different entities in each: 1 = 2",
        "dev and test: 1 text with different entities in each: 1 = 2",
        "train: 1 text more than once: 1 = 3",
        "dev: 1 of 1 texts in train too: 1",
        "test: 1 of 1 texts in train too: 2",
        "test: 1 of 1 texts in dev too: 2",
        "types that differ by case alone: PER, Per; map them by `labels`",
    ]


def test_no_findings_where_all_is_well():
    other = replace(BASE, id="2", words=("c", "d"), picture=None)
    splits = {"train": [replace(BASE, picture=None)], "test": [other]}
    assert check(splits) == ["no sentence has a picture"]


def findings(folder):
    return [finding.text for finding in Jsonl(folder, path=".").read().findings]


def test_what_prodigy_rejected_is_no_gold(tmp_path):
    span = {"start": 0, "end": 4, "label": "PER"}
    record = {"text": "Anna i", "spans": [span]}
    answers = ("accept", "reject", "ignore")
    write(tmp_path, *({**record, "answer": answer} for answer in answers))
    read = Jsonl(tmp_path, path=".").read()
    assert [(s.id, s.entities, dict(s.extra)) for s in read["train"]] == [
        ("train-1", (Entity(0, 1, "PER"),), {})
    ]
    (finding,) = (f for f in read.findings if "rejected" in f.text)
    assert finding.note
    assert "2 records that their annotators rejected or passed over are left out" in finding.text
    write(tmp_path, {**record, "answer": "reject"}, {**record, "answer": "ignore"})
    with pytest.raises(DataError, match="no sentence in there: all 2 records were rejected or ig"):
        Jsonl(tmp_path, path=".").read()


def test_texts_that_may_count_utf_16_are_told(tmp_path):
    def one(text, start, end):
        return {"text": text, "entities": [{"start": start, "end": end, "type": "LOC"}]}

    doubtful = one("😀京都は", 2, 4)
    write(tmp_path, doubtful, one("京都は", 0, 2), one("😀 Rome", 2, 6))
    assert not any("UTF-16" in each for each in findings(tmp_path)), "the last one tells"
    write(tmp_path, doubtful, one("京都は", 0, 2))
    (told,) = (each for each in findings(tmp_path) if "UTF-16" in each)
    assert told.startswith("train: 1 text whose entities may count UTF-16 units")
    assert told.endswith("`zoo data import --offsets utf-16`: train.jsonl:1")


def test_pictures_of_a_list_that_are_absent_are_counted(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "b.jpg").write_bytes(b"\xff\xd8\xff")
    base = {"words": ["a"], "entities": []}
    write(tmp_path, {**base, "image": ["a.jpg", "b.jpg"]}, {**base, "image": 0})
    assert "train: 2 pictures are named and absent: train-1, train-2" in findings(tmp_path)
    assert Jsonl(tmp_path, path=".").read().absent == {"train": frozenset({"train-2"})}


def test_what_is_absent_is_told_by_split_where_one_file_holds_all(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").write_bytes(b"\xff\xd8\xff")
    write_jsonl(
        tmp_path / "all.jsonl",
        [Sample(str(n), (f"w{n}",), picture=Picture(f"{n}.jpg")) for n in range(1, 13)],
    )
    told = check(Jsonl(tmp_path, path=".").read())
    assert "all: 11 pictures are named and absent: 2, 3, 4, …" in told
    assert not any("without a picture" in each for each in told)


def test_tags_that_are_empty_or_null(tmp_path):
    write(tmp_path, {"tokens": [], "ner_tags": []})
    with pytest.raises(DataError, match=r"train.jsonl:1: a sentence without words"):
        Jsonl(tmp_path, path=".").read()
    write(tmp_path, {"tokens": ["a", "b"], "ner_tags": ["O", None]})
    with pytest.raises(DataError, match=r"train.jsonl:1: `ner_tags` holds null at word 2"):
        Jsonl(tmp_path, path=".").read()
