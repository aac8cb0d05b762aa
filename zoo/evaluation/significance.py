"""Whether two systems differ: paired approximate randomisation on stored predictions.

Noreen, Computer-Intensive Methods for Testing Hypotheses, 1989; for F1, Yeh, COLING 2000
(https://aclanthology.org/C00-2137). Were the two systems the same, it would not matter which of
them gave which answer to a sentence; so the answers to each sentence are swapped by the toss of a
coin, many times over, and p is the share of tosses that make as great a difference as there is.
Several arms against one base: Holm, Scandinavian Journal of Statistics 6 (1979).

What is tested are the runs that are there: other sentences, the same trained models. How much F1
differs from seed to seed is another matter, which the standard deviation tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zoo.errors import DataError
from zoo.evaluation.counts import Counts, Runs, counts

ROUNDS = 10_000

_SEED = 2000  # the same predictions give the same p
_CHUNK = 2_000_000  # coins tossed at once
_EQUAL = 1e-12  # differences that are the same but for rounding


@dataclass(frozen=True, slots=True)
class Difference:
    """What the test says of two systems, A and B.

    Args:
        delta: B's F1 less A's, in points of percent, the mean over the seeds.
        p: two-sided; never 0, since the difference found is one of those that chance can make.
        seeds: those that both have.
    """

    delta: float
    p: float
    seeds: tuple[int, ...]


def compare(a: Runs, b: Runs, rounds: int = ROUNDS) -> Difference:
    """Test the difference in micro F1 of the runs of two systems.

    Runs are paired by seed, sentences by id. A sentence is swapped in the runs of all seeds
    together: they read the same sentence, and are no independent samples of the language. The
    statistic is the difference of the mean F1 over the seeds; p = (c + 1) / (rounds + 1), where c
    counts the rounds with a difference at least as great, in either direction.

    Raises:
        DataError: no seed is common, or the sentences or their gold entities differ.
    """
    seeds = tuple(sorted(a.keys() & b.keys()))
    if not seeds:
        raise DataError("can't compare: no seed is common to the two; run them with the same seeds")
    left, right = counts({seed: a[seed] for seed in seeds}, {seed: b[seed] for seed in seeds})
    return Difference(*randomisation(left, right, rounds), seeds)


def randomisation(a: Counts, b: Counts, rounds: int = ROUNDS) -> tuple[float, float]:
    """The same test on counts of as many seeds each: the difference in F1 points, and p."""
    wanted = int(a[0, :, 0].sum())
    left, right = (each[:, :, 1:].transpose(0, 2, 1) for each in (a, b))
    delta = float(_mean_f1(right.sum(axis=2), wanted) - _mean_f1(left.sum(axis=2), wanted))
    c = _as_great(left, right, wanted, abs(delta), rounds)
    return 100 * delta, (c + 1) / (rounds + 1)


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for being several (Holm, 1979): no more than the level of false alarms.

    The smallest of m is multiplied by m, the next by m - 1 and so on; none gets below the one
    before it, nor above 1. None stays None and does not count.
    """
    answer: list[float | None] = [None] * len(ps)
    known = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        answer[i] = highest
    return answer


def _mean_f1(totals: Counts, wanted: int) -> Counts:
    """(…,) F1 in [0, 1], the mean over seeds, of totals (seeds, 2, …) predicted and correct."""
    both = totals[:, 0] + wanted
    mean: Counts = (2 * totals[:, 1] / np.maximum(both, 1)).mean(axis=0)
    return mean


def _as_great(left: Counts, right: Counts, wanted: int, least: float, rounds: int) -> int:
    """In how many rounds of swaps the difference is ``least`` or more."""
    # a sentence that both answer alike stays the same when swapped
    change = (right - left)[:, :, (right != left).any(axis=(0, 1))]
    seeds, _, n = change.shape
    flat = change.reshape(2 * seeds, n).astype(np.float32)  # sums of small whole numbers: exact
    start, end = left.sum(axis=2)[:, :, None], right.sum(axis=2)[:, :, None]
    rng, count, done = np.random.default_rng(_SEED), 0, 0
    while done < rounds:
        size = min(rounds - done, max(1, _CHUNK // max(n, 1)))
        coins = rng.integers(0, 256, (size, (n + 7) // 8), dtype=np.uint8)
        swapped = np.unpackbits(coins, axis=1, count=n).astype(np.float32)
        moved = (flat @ swapped.T).astype(np.float64).reshape(seeds, 2, size)
        found = _mean_f1(end - moved, wanted) - _mean_f1(start + moved, wanted)
        count += int((np.abs(found) >= least - _EQUAL).sum())
        done += size
    return count
