"""What a dataset holds, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo.data.pictures import readable
from zoo.types import Sample, Splits


@dataclass(frozen=True, slots=True)
class SplitStats:
    """Counts of one split.

    ``types`` are entities of each type and ``languages`` sentences of each language, both sorted
    by name; ``readable`` are the pictures that can be decoded, None where that was not tried;
    ``longest`` is the longest sentence and ``widest`` the widest entity, both in words.
    """

    sentences: int
    words: int
    entities: int
    types: Mapping[str, int]
    pictures: int
    readable: int | None
    captions: int
    longest: int
    widest: int
    languages: Mapping[str, int]


def stats(splits: Splits, *, decode: bool = False) -> dict[str, SplitStats]:
    """The counts of each split. ``decode`` also opens every picture, which takes its time."""
    return {split: _stats(samples, decode) for split, samples in splits.items()}


def differing(one: Splits, two: Splits) -> dict[str, int]:
    """By split, the entities that stand in one of two readings of the same sentences alone."""
    return {
        split: sum(
            len(set(a.entities) ^ set(b.entities)) for a, b in zip(samples, two[split], strict=True)
        )
        for split, samples in one.items()
    }


def _stats(samples: Sequence[Sample], decode: bool) -> SplitStats:
    entities = [entity for sample in samples for entity in sample.entities]
    pictures = [sample.picture for sample in samples if sample.picture]
    languages = Counter(sample.language for sample in samples if sample.language)
    return SplitStats(
        sentences=len(samples),
        words=sum(len(sample.words) for sample in samples),
        entities=len(entities),
        types=dict(sorted(Counter(entity.type for entity in entities).items())),
        pictures=len(pictures),
        readable=sum(map(readable, pictures)) if decode else None,
        captions=sum(sample.caption is not None for sample in samples),
        longest=max((len(sample.words) for sample in samples), default=0),
        widest=max((entity.end - entity.start for entity in entities), default=0),
        languages=dict(sorted(languages.items())),
    )
