"""Batches: every sentence exactly once, like lengths together."""

from __future__ import annotations

import random
from collections import Counter
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from zoo.training.batches import POOL, by_length, shuffled
from zoo.types import Sample

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=200)
SIZES = st.integers(1, 20)


def sentences(lengths: list[int]) -> list[Sample]:
    return [Sample(str(i), ("w",) * n) for i, n in enumerate(lengths)]


def padded(batches: list[list[Sample]]) -> int:
    """Words that a model reads, padding too."""
    return sum(len(batch) * max(len(s.words) for s in batch) for batch in batches)


@given(LENGTHS, SIZES, st.integers())
def test_every_sample_exactly_once(lengths: list[int], size: int, seed: int) -> None:
    samples = sentences(lengths)
    for batches in (shuffled(samples, size, random.Random(seed)), by_length(samples, size)):
        assert Counter(s.id for batch in batches for s in batch) == Counter(s.id for s in samples)
        assert len(batches) == ceil(len(samples) / size), "as many as the schedule counts on"
        assert all(1 <= len(batch) <= size for batch in batches)
        assert sum(len(batch) < size for batch in batches) <= 1


@given(LENGTHS, SIZES)
def test_prediction_goes_by_length(lengths: list[int], size: int) -> None:
    samples = sentences(lengths)
    batches = by_length(samples, size)
    flat = [len(s.words) for batch in batches for s in batch]
    assert flat == sorted(flat)
    assert batches == by_length(samples, size)


@given(LENGTHS, SIZES, st.integers())
def test_the_seed_is_the_only_chance(lengths: list[int], size: int, seed: int) -> None:
    samples = sentences(lengths)
    before = list(samples)
    one, other = (shuffled(samples, size, random.Random(seed)) for _ in range(2))
    assert one == other
    assert samples == before, "the data stays as it is"


def test_epochs_differ() -> None:
    samples, rng = sentences([1 + i % 40 for i in range(400)]), random.Random(0)
    first, second = shuffled(samples, 8, rng), shuffled(samples, 8, rng)
    groups = [{frozenset(s.id for s in batch) for batch in epoch} for epoch in (first, second)]
    assert len(groups[0] & groups[1]) < len(first) / 4, "sentences meet others in every epoch"
    lengths = [len(batch[0].words) for batch in first]
    assert lengths != sorted(lengths), "short ones are not always first"


def test_little_is_wasted_on_padding() -> None:
    rng = random.Random(0)
    samples = sentences([rng.randint(1, 60) for _ in range(3000)])
    words = sum(len(s.words) for s in samples)
    bucketed = shuffled(samples, 16, rng)
    rng.shuffle(samples)
    careless = [samples[i : i + 16] for i in range(0, len(samples), 16)]
    assert padded(bucketed) < 1.1 * words
    assert padded(careless) > 1.6 * words
    assert POOL * 16 < 3000, "the test sees several pools"
