"""The numbers that are known of real datasets; skipped where ZOO_DATA doesn't hold them."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from zoo.data.bio import Bio
from zoo.data.check import check, findings, notes
from zoo.data.jsonl import Jsonl, write_jsonl
from zoo.data.stats import stats
from zoo.types import Entity, Splits

data_root = os.environ.get("ZOO_DATA")
pytestmark = pytest.mark.skipif(
    not data_root, reason="ZOO_DATA doesn't name the real data, which can't be shipped"
)

TOY = {"path": "toy_tweets", "captions": "captions.txt", "images": "images"}
PAINTINGS = {"path": "cp_mner", "images": "images"}
COUNTS = [
    ({"path": "twitter2015"}, (4000, 1000, 3257), (6352, 1594, 5207)),
    ({"path": "twitter2015", "tags": "strict"}, (4000, 1000, 3257), (6166, 1541, 5072)),
    ({"path": "twitter2017"}, (3373, 723, 723), (6049, 1324, 1351)),
    ({"path": "twitter10000"}, (7000, 1500, 1500), (11779, 2450, 2543)),
    ({"path": "mmnerd/en"}, (19968, 2463, 2533), (41172, 5109, 5181)),
    (TOY, (10, 10, 10), (14, 14, 16)),
    (PAINTINGS, (950, 119, 119), (26080, 3204, 3338)),
    ({**PAINTINGS, "tags": "strict"}, (950, 119, 119), (25938, 3187, 3324)),
]


def read(**options) -> Splits:
    path = Path(data_root or "") / options["path"]
    if not path.is_dir():
        pytest.skip(f"ZOO_DATA has no {options['path']}")
    return Bio(Path(data_root or ""), **options).read()


twitter2015 = cache(lambda: read(path="twitter2015", captions="captions.txt", images="images"))


@pytest.mark.parametrize(("options", "sentences", "entities"), COUNTS, ids=str)
def test_counts(options, sentences, entities):
    counted = stats(read(**options)).values()
    assert tuple(split.sentences for split in counted) == sentences
    assert tuple(split.entities for split in counted) == entities


def test_toy_tweets_have_readable_pictures_and_one_other_type():
    splits = read(**TOY, labels={"OTHER": "MISC"})
    counted = stats(splits, decode=True)
    assert [split.readable for split in counted.values()] == [10, 10, 10]
    assert [split.captions for split in counted.values()] == [10, 10, 10]
    assert {label for split in counted.values() for label in split.types} == {
        "LOC",
        "MISC",
        "ORG",
        "PER",
    }
    assert check(splits) == []


def test_the_four_missing_pictures_of_cp_mner_are_named():
    splits = read(**PAINTINGS)
    assert [split.pictures for split in stats(splits).values()] == [946, 119, 119]
    (note,) = notes(splits)
    assert note.startswith("train: 4 pictures are named and absent: ")
    lacking = [sample.id for sample in splits["train"] if sample.picture is None]
    assert note.endswith(", ".join(lacking[:3]) + ", …")


def test_plain_files_have_no_findings_of_the_reader():
    for path in ("twitter2015", "twitter2017", "twitter10000", "mmnerd/en"):
        assert [finding.text for finding in findings(read(path=path))] == []


def test_wikineural_languages():
    counted = stats(read(path="wikineural", languages=["en", "de", "es", "fr"]))
    for split, n in (("train", 3000), ("dev", 750), ("test", 1500)):
        assert counted[split].languages == dict.fromkeys(("de", "en", "es", "fr"), n)


def test_twitter2015_no_break_space_and_empty_captions():
    splits = twitter2015()
    assert sum("\u00a0" in sample.words for sample in splits["dev"]) == 1
    captions = {s.id: s.caption for samples in splits.values() for s in samples}
    assert [id for id, caption in captions.items() if caption is None] == ["770560", "71406"]
    assert splits["dev"][0].entities[0] == Entity(5, 7, "LOC")
    assert check(splits)[:2] == [
        "there is no picture folder `images`: 8257 sentences are without their picture",
        "no sentence has a picture",
    ]


def test_written_as_jsonl_it_reads_the_same(tmp_path):
    splits = twitter2015()
    for split, samples in splits.items():
        write_jsonl(tmp_path / f"{split}.jsonl", samples)
    assert Jsonl(tmp_path, path=".").read() == splits
