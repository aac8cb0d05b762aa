"""The contract of readers."""

from __future__ import annotations

from itertools import pairwise

from zoo.data.fingerprint import fingerprint
from zoo.types import Sample


def test_splits(reader) -> None:
    splits = reader.build().read()
    assert list(splits) == ["train", "dev", "test"]
    assert all(splits.values()), "no split is empty"
    everything = [sample for samples in splits.values() for sample in samples]
    assert all(type(sample) is Sample for sample in everything)
    assert len({sample.id for sample in everything}) == len(everything), "ids are unique"
    assert any(sample.entities for sample in everything)


def test_samples(reader) -> None:
    for samples in reader.build().read().values():
        for sample in samples:
            assert sample.words
            assert all(isinstance(word, str) and word for word in sample.words)
            assert all(0 <= e.start < e.end <= len(sample.words) for e in sample.entities)
            assert all(e.type for e in sample.entities)
            assert list(sample.entities) == sorted(sample.entities)
            assert all(a.end <= b.start for a, b in pairwise(sample.entities)), "no overlaps"
            assert sample.caption is None or sample.caption.strip()
            if sample.picture:
                assert sample.picture.open().mode == "RGB"


def test_reading_twice_gives_the_same(reader) -> None:
    built = reader.build()
    first, second, third = built.read(), built.read(), reader.build().read()
    assert first == second == third
    assert fingerprint(first) == fingerprint(third)
