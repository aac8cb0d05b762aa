"""Length-bucketed dynamic batches: sentences of like length together, padded to the longest."""

from __future__ import annotations

import random
from collections.abc import Sequence

from zoo.types import Sample

POOL = 50
"""Batches' worth of sentences that are sorted by length together: enough that a batch wastes
little on padding, few enough that batches differ from epoch to epoch."""


def shuffled(samples: Sequence[Sample], size: int, rng: random.Random) -> list[list[Sample]]:
    """One epoch's batches of ``size`` sentences (the last of a pool may be smaller)."""
    order = list(samples)
    rng.shuffle(order)
    pools = [order[i : i + size * POOL] for i in range(0, len(order), size * POOL)]
    batches = [batch for pool in pools for batch in by_length(pool, size)]
    rng.shuffle(batches)
    return batches


def by_length(samples: Sequence[Sample], size: int) -> list[list[Sample]]:
    """Batches in order of length, for prediction. The same samples always give the same ones."""
    order = sorted(samples, key=lambda sample: len(sample.words))
    return [order[i : i + size] for i in range(0, len(order), size)]
