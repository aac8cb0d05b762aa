"""Whether two systems differ, not just their runs: an interval over seeds and sentences.

All seeds of both systems read one test set: seeds and sentences are crossed. The variance of a
difference is taken apart into what seeds, sentences and their residual contribute (two-way random
effects); the F1 of a run, a ratio of sums, enters by its influence values, sentence by sentence
(delta method); t quantile with the degrees of freedom of Satterthwaite, Biometrics Bulletin 2
(1946). Formulas, and the false alarms in simulations: docs/statistics.md. For differences paired
by question: Miller, "Adding Error Bars to Evals", 2024 (https://arxiv.org/abs/2411.00640).

All differences are in F1 points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from zoo.evaluation.counts import Counts
from zoo.evaluation.significance import randomisation

ALPHA = 0.05
POWER = 0.8
MARGIN = 0.5
LEAST_SEEDS_TO_PAIR = 5
LEAST_SENTENCES = 10
NOTHING = "it finds no entity"
"""Why a system has no interval that has seeds and sentences enough."""

_SEED = 1946  # the same runs give the same figures
_EQUAL = 1e-9  # F1 points that are 0 but for rounding

Influence = NDArray[np.float64]
"""(seeds, sentences): the share of each sentence in a run's F1; the mean of a row is the F1."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The difference of two systems, B's F1 less A's, with its standard error.

    Args:
        delta: the difference of the means over seeds.
        se: its standard error; 0 where the two answered every sentence alike.
        df: degrees of freedom of the t distribution.
        paired: whether the seeds were paired.
    """

    delta: float
    se: float
    df: float
    paired: bool = False

    @property
    def low(self) -> float:
        """The lower end of the 95 % interval."""
        return self.delta - self._quantile(1 - ALPHA / 2) * self.se

    @property
    def high(self) -> float:
        """The upper end of the 95 % interval."""
        return self.delta + self._quantile(1 - ALPHA / 2) * self.se

    @property
    def p(self) -> float:
        """Two-sided; below 0.05 where the interval does not hold 0."""
        return 2 * float(stdtr(self.df, -abs(self.delta) / self.se)) if self.se else 1.0

    @property
    def separate(self) -> bool:
        """Whether the two systems differ at the 5 % level."""
        return self.p < ALPHA

    @property
    def detectable(self) -> float:
        """The least difference that such runs would separate with 80 % probability."""
        return (self._quantile(1 - ALPHA / 2) + self._quantile(POWER)) * self.se

    def within(self, margin: float = MARGIN) -> bool:
        """Whether the difference may be said to make none: the interval lies within ± ``margin``.

        Two one-sided tests (TOST), each at the 2.5 % level, since it is the 95 % interval.
        """
        return -margin < self.low and self.high < margin

    def _quantile(self, share: float) -> float:
        return float(stdtrit(self.df, share))


def interval(a: Counts, b: Counts, same_seeds: bool = False) -> Interval | str:
    """The interval of a difference between two systems, or in a word why there is none.

    Sentences in which there is neither a gold nor a predicted entity say nothing of F1 and are left
    out.

    Args:
        a, b: counts of the two systems, from one call of ``counts``. They may differ in their
            number of seeds.
        same_seeds: whether the rows of both are the same seeds in the same order. They are paired
            where that helps: five or more, and the runs' F1 correlate (one-sided, 5 % level).
    """
    used = a.any(axis=(0, 2)) | b.any(axis=(0, 2))
    if why := _too_few(len(a), len(b), int(used.sum())):
        return why
    if not (a[:, :, 2].any() or b[:, :, 2].any()):
        return "neither finds an entity"
    found = _interval(influence(a[:, used]), influence(b[:, used]), same_seeds)
    if found.delta and not found.se:
        return "the difference is the same in every sentence and seed"
    return found


def mean(counts: Counts) -> Interval | str:
    """The mean F1 of one system with its interval, or in a word why there is none.

    ``delta`` is the mean itself; ``p`` says nothing.
    """
    used = counts[:, counts.any(axis=(0, 2))]
    if why := _too_few(len(counts), len(counts), used.shape[1]):
        return why
    if not used[:, :, 2].any():
        return NOTHING
    y = influence(used)
    return _combined(y.mean(axis=0), [_seeds(y)])


def _too_few(a: int, b: int, sentences: int) -> str | None:
    if min(a, b) < 2:
        return "one seed says nothing about a system; run more"
    if sentences < LEAST_SENTENCES:
        return f"{sentences} sentences with entities are too few; {LEAST_SENTENCES} are needed"
    return None


def influence(counts: Counts) -> Influence:
    """The F1 of each run in points, sentence by sentence: F + n (2 c - F (g + p)) / sum(g + p)."""
    size = counts[:, :, 0] + counts[:, :, 1]
    total = np.maximum(size.sum(axis=1, keepdims=True), 1)
    f1 = 2 * counts[:, :, 2].sum(axis=1, keepdims=True) / total
    answer: Influence = 100 * (f1 + counts.shape[1] * (2 * counts[:, :, 2] - f1 * size) / total)
    return answer


def _interval(a: Influence, b: Influence, same_seeds: bool = False) -> Interval:
    paired = same_seeds and _correlate(a.mean(axis=1), b.mean(axis=1))
    parts = [_seeds(each) for each in ([b - a] if paired else [a, b])]
    return replace(_combined(b.mean(axis=0) - a.mean(axis=0), parts), paired=paired)


def _combined(change: NDArray[np.float64], parts: Sequence[_Seeds]) -> Interval:
    """Of what is averaged over seeds, (sentences,), and what the seeds of each system add."""
    delta, n = float(change.mean()), len(change)
    se, df = _error(
        change.var(ddof=1) / n,
        n,
        sum(part.variance - part.residual for part in parts),
        sum(part.variance**2 / (part.seeds - 1) for part in parts),
        min(part.seeds for part in parts) - 1,
    )
    if se < _EQUAL:
        return Interval(delta if abs(delta) > _EQUAL else 0.0, 0.0, math.inf)
    return Interval(delta, float(se), float(df))


def _error(within: Any, n: int, excess: Any, squares: Any, least: Any) -> tuple[Any, Any]:
    """Standard errors and degrees of freedom (numbers, or arrays of the same shape).

    Args:
        within: the variance over sentences, divided by their number.
        excess: what seeds add. Where they differ no more than sentence noise makes them, their
            component is taken to be 0.
        squares: of the seeds' variances, over their degrees of freedom.
        least: degrees of freedom which the subtraction might undercut.
    """
    extra = np.maximum(excess, 0.0)
    variance = within + extra
    below = within**2 / (n - 1) + np.where(extra > 0, squares, 0.0)
    df = np.maximum(least, variance**2 / np.maximum(below, 1e-300))
    return np.sqrt(variance), df


@dataclass(frozen=True, slots=True)
class _Seeds:
    """Of the mean over seeds: its variance by their means, and what of it is mere residual."""

    seeds: int
    variance: float
    residual: float


def _seeds(y: Influence) -> _Seeds:
    k, n = y.shape
    means = y.mean(axis=1, keepdims=True)
    residual = y - y.mean(axis=0) - means + means.mean()
    square = float((residual**2).sum()) / ((k - 1) * (n - 1))
    return _Seeds(k, float(means.var(ddof=1)) / k, square / (k * n))


def _correlate(a: Influence, b: Influence) -> bool:
    """Whether the F1 of two systems, seed by seed, correlate: one-sided, 5 % level."""
    k = len(a)
    if k < LEAST_SEEDS_TO_PAIR or k != len(b) or not a.std() or not b.std():
        return False
    r = float(np.corrcoef(a, b)[0, 1])
    return bool(stdtr(k - 2, r * math.sqrt((k - 2) / max(1 - r * r, 1e-12))) > 1 - ALPHA)


@dataclass(frozen=True, slots=True)
class Pairs:
    """All pairs of the systems of one table.

    Args:
        apart: (m, m), whether two systems differ at the 5 % level.
        detectable: the median of what the pairs can separate; None for a single system.
    """

    apart: NDArray[np.bool_]
    detectable: float | None


def pairs(y: Sequence[Influence]) -> Pairs:
    """Compare all systems with each other, seeds not paired; the figures are those of ``interval``.

    Args:
        y: influence values of the same sentences.
    """
    n, m = y[0].shape[1], len(y)
    means = np.array([each.mean() for each in y])
    covariance = np.atleast_2d(np.cov([each.mean(axis=0) for each in y]))
    own = np.diag(covariance)
    parts = [_seeds(each) for each in y]
    excess = np.array([part.variance - part.residual for part in parts])
    squares = np.array([part.variance**2 / (part.seeds - 1) for part in parts])
    least = np.array([part.seeds - 1 for part in parts])
    se, df = _error(
        np.maximum(own[:, None] + own - 2 * covariance, 0.0) / n,
        n,
        excess[:, None] + excess,
        squares[:, None] + squares,
        np.minimum(least[:, None], least),
    )
    differ = se >= _EQUAL
    t = np.abs(means[:, None] - means) / np.where(differ, se, 1.0)
    above = np.triu_indices(m, 1)
    found = (stdtrit(df, 1 - ALPHA / 2) + stdtrit(df, POWER)) * np.where(differ, se, 0.0)
    return Pairs(
        differ & (2 * stdtr(df, -t) < ALPHA), float(np.median(found[above])) if m > 1 else None
    )


def detectable(intervals: Iterable[Interval | str | None]) -> float | None:
    """What a table can separate: the median over its intervals; None where it has none."""
    known = [each.detectable for each in intervals if isinstance(each, Interval)]
    return median(known) if known else None


@dataclass(frozen=True, slots=True)
class SameSystem:
    """How often a system is told from itself: the share of ``splits`` called different.

    Args:
        size: how many seeds are in each of the two groups of a split.
        interval: by the interval over seeds and sentences.
        runs: by the test for these runs.
    """

    splits: int
    size: int
    interval: float
    runs: float


def same_system(counts: Counts, most: int = 45, rounds: int = 1000) -> SameSystem | None:
    """Compare a system with itself: its seeds in two disjoint groups of equal size, many times.

    The splits share their seeds, so the rate is one of these runs, no estimate with as many
    independent trials. None where there are fewer than four seeds, or too few sentences.

    Args:
        most: how many splits are tried; drawn at random where more are possible.
        rounds: of the test for these runs.
    """
    k, size = len(counts), len(counts) // 2
    used = counts[:, counts.any(axis=(0, 2))]
    if k < 4 or _too_few(size, size, used.shape[1]):
        return None
    possible = math.comb(k, size) * math.comb(k - size, size) // 2
    rng, splits = np.random.default_rng(_SEED), set[tuple[tuple[int, ...], ...]]()
    while len(splits) < min(most, possible):
        order = rng.permutation(k).tolist()
        groups = sorted((tuple(sorted(order[:size])), tuple(sorted(order[size : 2 * size]))))
        splits.add(tuple(groups))
    y, alarms = influence(used), np.zeros(2)
    for one, two in sorted(splits):
        alarms[0] += _interval(y[list(one)], y[list(two)]).separate
        alarms[1] += randomisation(used[list(one)], used[list(two)], rounds)[1] < ALPHA
    rates = alarms / len(splits)
    return SameSystem(len(splits), size, float(rates[0]), float(rates[1]))


@dataclass(frozen=True, slots=True)
class Rank:
    """A system's place in a table.

    Args:
        place: from 1; systems that are not separated share it.
        best, worst: the 95 % interval of the rank, from simulations; it holds the place.
        shared: whether another system has the same place.
    """

    place: int
    best: int
    worst: int
    shared: bool = False


def ranks(systems: Sequence[Counts], draws: int = 4000) -> list[Rank | None]:
    """The ranks of systems on one test set; None for a system with a single seed."""
    return standings(systems, draws)[0]


def standings(
    systems: Sequence[Counts], draws: int = 4000
) -> tuple[list[Rank | None], float | None]:
    """The ranks, and what the table can separate: the median of ``detectable`` over all pairs.

    In the order of the mean F1, a new place begins where every system above is separated from
    every system below, so two systems that are not separated always share a place. The interval is
    that of the ranks in ``draws`` simulations of the model: means that vary jointly with the
    sentences, and independently with the seeds of each system.
    """
    answer: list[Rank | None] = [None] * len(systems)
    several = [i for i, each in enumerate(systems) if len(each) > 1]
    if not several:
        return answer, None
    used = np.any([systems[i].any(axis=(0, 2)) for i in several], axis=0)
    if _too_few(2, 2, int(used.sum())):
        return answer, None
    y = [influence(systems[i][:, used]) for i in several]
    means = np.array([each.mean() for each in y])
    order = np.argsort(-means, kind="stable")
    y = [y[i] for i in order]
    compared = pairs(y)
    best, worst = _simulated(y, means[order], draws)
    places = [1]
    for i in range(1, len(y)):
        places.append(i + 1 if compared.apart[:i, i:].all() else places[-1])
    for i, place in enumerate(places):
        answer[several[order[i]]] = Rank(
            place, min(place, int(best[i])), int(worst[i]), places.count(place) > 1
        )
    return answer, compared.detectable


def _simulated(
    y: Sequence[Influence], means: NDArray[np.float64], draws: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(_SEED)
    n, m = y[0].shape[1], len(y)
    covariance = np.atleast_2d(np.cov([each.mean(axis=0) for each in y])) / n
    drawn = means + rng.multivariate_normal(np.zeros(m), covariance, draws, method="eigh")
    for i, part in enumerate(map(_seeds, y)):
        excess = max(0.0, part.variance - part.residual)
        scale = (part.seeds - 1) / rng.chisquare(part.seeds - 1, draws)
        drawn[:, i] += rng.standard_normal(draws) * np.sqrt(excess * scale)
    places = np.stack([1 + (drawn > drawn[:, i : i + 1]).sum(axis=1) for i in range(m)], axis=1)
    low, high = np.quantile(places, [ALPHA / 2, 1 - ALPHA / 2], axis=0, method="inverted_cdf")
    return low, high
