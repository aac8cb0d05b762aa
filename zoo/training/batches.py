"""Dynamic batches of inputs that cost about the same, padded to the longest."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

from zoo.types import Sample

POOL = 100
"""About how many batches' worth of sentences are sorted by cost together: enough that a batch
wastes little on padding, few enough that batches differ from epoch to epoch."""

Cost = Callable[[Sample], Any]
"""What a sample costs, as something that can be sorted (:meth:`zoo.system.Collator.cost`)."""


def shuffled(
    samples: Sequence[Sample], size: int, rng: random.Random, cost: Cost
) -> list[list[Sample]]:
    """One epoch's batches of ``size`` sentences (one may be smaller).

    Chance decides who stands in which pool, who comes first of those that cost the same, and the
    order of the batches.
    """
    order = list(samples)
    rng.shuffle(order)
    count = -(-len(order) // size)
    pools = max(1, round(count / POOL))
    bounds = [size * (count * i // pools) for i in range(pools + 1)]
    batches = [
        batch
        for start, end in itertools.pairwise(bounds)
        for batch in by_cost(order[start:end], size, cost)
    ]
    rng.shuffle(batches)
    return batches


def by_cost(samples: Sequence[Sample], size: int, cost: Cost) -> list[list[Sample]]:
    """Batches in order of cost, for prediction. The same samples always give the same ones."""
    order = sorted(samples, key=cost)
    return [order[i : i + size] for i in range(0, len(order), size)]
