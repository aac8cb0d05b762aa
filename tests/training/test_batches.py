"""Batches: every sentence exactly once, like costs together."""

from __future__ import annotations

import random
from collections import Counter
from math import ceil
from types import SimpleNamespace

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from zoo.system import Collator
from zoo.training.batches import POOL, by_cost, shuffled
from zoo.types import Sample

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=200)
SIZES = st.integers(1, 20)


def sentences(lengths: list[int]) -> list[Sample]:
    return [Sample(str(i), ("w",) * n) for i, n in enumerate(lengths)]


def length(sample: Sample) -> int:
    return len(sample.words)


def padded(batches: list[list[Sample]]) -> int:
    """Words that a model reads, padding too."""
    return sum(len(batch) * max(len(s.words) for s in batch) for batch in batches)


@given(LENGTHS, SIZES, st.integers())
def test_every_sample_exactly_once(lengths: list[int], size: int, seed: int) -> None:
    samples = sentences(lengths)
    for batches in (
        shuffled(samples, size, random.Random(seed), length),
        by_cost(samples, size, length),
    ):
        assert Counter(s.id for batch in batches for s in batch) == Counter(s.id for s in samples)
        assert len(batches) == ceil(len(samples) / size), "as many as the schedule counts on"
        assert all(1 <= len(batch) <= size for batch in batches)
        assert sum(len(batch) < size for batch in batches) <= 1


@given(LENGTHS, SIZES)
def test_prediction_goes_by_cost(lengths: list[int], size: int) -> None:
    samples = sentences(lengths)
    batches = by_cost(samples, size, length)
    flat = [len(s.words) for batch in batches for s in batch]
    assert flat == sorted(flat)
    assert batches == by_cost(samples, size, length)


@given(LENGTHS, SIZES, st.integers())
def test_the_seed_is_the_only_chance(lengths: list[int], size: int, seed: int) -> None:
    samples = sentences(lengths)
    before = list(samples)
    one, other = (shuffled(samples, size, random.Random(seed), length) for _ in range(2))
    assert one == other
    assert samples == before, "the data stays as it is"


def test_epochs_differ() -> None:
    samples, rng = sentences([1 + i % 40 for i in range(400)]), random.Random(0)
    first, second = (shuffled(samples, 8, rng, length) for _ in range(2))
    groups = [{frozenset(s.id for s in batch) for batch in epoch} for epoch in (first, second)]
    assert len(groups[0] & groups[1]) < len(first) / 4, "sentences meet others in every epoch"
    lengths = [len(batch[0].words) for batch in first]
    assert lengths != sorted(lengths), "short ones are not always first"


def test_little_is_wasted_on_padding() -> None:
    rng = random.Random(0)
    samples = sentences([rng.randint(1, 60) for _ in range(4000)])
    words = sum(len(s.words) for s in samples)
    bucketed = shuffled(samples, 16, rng, length)
    rng.shuffle(samples)
    careless = [samples[i : i + 16] for i in range(0, len(samples), 16)]
    assert padded(bucketed) < 1.03 * words
    assert padded(careless) > 1.6 * words
    assert len(samples) > POOL * 16 * 2, "the test sees several pools"


class Costly(nn.Module):
    """An encoder whose inputs cost what a sample's caption says."""

    def __init__(self, trained: int, regions: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(trained))
        self.regions = regions
        self.asked: list[str] = []

    def prepare(self, sample: Sample) -> int:
        self.asked.append(sample.id)
        return int(sample.caption or 0)

    def cost(self, sample: Sample, row: int) -> int:
        return row


def collator(**views: Costly) -> Collator:
    text = Costly(5)
    text.cost = lambda sample, row: len(sample.words)  # type: ignore[method-assign]
    system = SimpleNamespace(
        encoders=lambda: {"text": text, **{f"views.{k}": v for k, v in views.items()}}
    )
    return Collator(system)  # type: ignore[arg-type]


def test_costs_are_what_encoders_say_of_prepared_samples() -> None:
    """Pieces, not words; the largest encoder counts most, and one that costs the same nothing."""
    large, small = Costly(9), Costly(2)
    fixed, frozen = Costly(9, regions=4), Costly(9)
    frozen.requires_grad_(False)
    made = collator(small=small, large=large, fixed=fixed, frozen=frozen)
    samples = [Sample("a", ("w",) * 3, caption="7"), Sample("b", ("w",), caption="9")]
    assert [made.cost(sample) for sample in samples] == [(7, 3, 7), (9, 1, 9)]
    assert made.cost(samples[0]) == (7, 3, 7)
    assert large.asked == ["a", "b"], "prepared once"
    assert not fixed.asked + frozen.asked, "no picture is decoded to learn what it costs"
