"""The interval over seeds and sentences: exact on small cases, and its properties."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from zoo.evaluation.systems import (
    ALPHA,
    MARGIN,
    Interval,
    _interval,
    _seeds,
    detectable,
    influence,
    interval,
    mean,
    ranks,
    same_system,
    standings,
)
from zoo.evaluation.systems import pairs as all_pairs

Counts = NDArray[np.float64]


def made(
    seeds: int, sentences: int = 60, recall: float = 0.8, shift: float = 0.02, seed: int = 0
) -> Counts:
    """A system whose quality differs from seed to seed with sd ``shift``."""
    rng, gold = np.random.default_rng(seed), np.random.default_rng(9).integers(0, 4, sentences)
    quality = np.clip(recall + shift * rng.standard_normal(seeds), 0, 1)
    correct = rng.binomial(gold, quality[:, None])
    predicted = correct + rng.binomial(1, 0.2, (seeds, sentences))
    return np.stack([np.broadcast_to(gold, correct.shape), predicted, correct], axis=2).astype(
        float
    )


def found(a: Counts, b: Counts, same_seeds: bool = False) -> Interval:
    answer = interval(a, b, same_seeds)
    assert isinstance(answer, Interval)
    return answer


def f1(counts: Counts) -> Counts:
    total = counts.sum(axis=1)
    return 200 * total[:, 2] / (total[:, 0] + total[:, 1])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Counts, Counts]:
    size = draw(st.integers(30, 60))
    return tuple(
        made(
            draw(st.integers(2, 6)),
            size,
            draw(st.floats(0.3, 0.9)),
            draw(st.sampled_from([0, 0.02, 0.1])),
            draw(st.integers(0, 1000)),
        )
        for _ in range(2)
    )


# The estimator ------------------------------------------------------------------------------------


def test_the_variance_is_right_on_average_over_all_cases() -> None:
    """Two seeds, two sentences, effects of ± a size: all 2^10 draws, each as likely."""
    estimates, differences = [], []
    for signs in itertools.product([-1.0, 1.0], repeat=10):
        seeds_a, seeds_b, sentences, rest = np.split(np.array(signs), [2, 4, 6])
        a = 2 * seeds_a[:, None] + sentences + 0.7 * rest.reshape(2, 2)
        b = seeds_b[:, None] - 0.5 * sentences
        change = b.mean(axis=0) - a.mean(axis=0)
        excess = sum(part.variance - part.residual for part in (_seeds(a), _seeds(b)))
        estimates.append(change.var(ddof=1) / 2 + excess)
        differences.append(change.mean())
    exact = (4 + 1) / 2 + 1.5**2 / 2 + 0.7**2 / 4
    assert np.var(differences) == pytest.approx(exact)
    assert np.mean(estimates) == pytest.approx(exact)


def test_influence_is_the_derivative_of_f1() -> None:
    counts = made(3)
    y = influence(counts)
    assert y.mean(axis=1) == pytest.approx(f1(counts))
    for j in range(5):
        weight = np.ones(counts.shape[1])
        weight[j] += 1e-6
        slope = (f1(counts * weight[:, None]) - f1(counts)) / 1e-6
        assert y[:, j] - f1(counts) == pytest.approx(counts.shape[1] * slope, abs=1e-3)
    assert (influence(np.zeros((2, 3, 3))) == 0).all()


def test_the_delta_method_agrees_with_the_jackknife() -> None:
    counts = made(2, 400)
    n = counts.shape[1]
    left_out = np.array([f1(np.delete(counts, j, axis=1)) for j in range(n)])
    jackknife = (n - 1) ** 2 / n * left_out.var(axis=0, ddof=1)
    assert influence(counts).var(axis=1, ddof=1) / n == pytest.approx(jackknife, rel=0.02)


def test_by_hand() -> None:
    """Where seeds dominate it is Welch's test on the runs' F1; where they don't, a t test."""
    wide = found(made(4, 3000, shift=0.2, seed=1), made(3, 3000, shift=0.2, seed=2))
    welch = stats.ttest_ind(
        f1(made(3, 3000, shift=0.2, seed=2)),
        f1(made(4, 3000, shift=0.2, seed=1)),
        equal_var=False,
    )
    assert wide.p == pytest.approx(welch.pvalue, rel=0.05)
    low, high = welch.confidence_interval()
    assert (wide.low, wide.high) == (pytest.approx(low, rel=0.05), pytest.approx(high, rel=0.05))
    a, b = (np.repeat(made(1, seed=i), 3, axis=0) for i in (1, 2))  # seeds all alike
    used = (a + b).any(axis=(0, 2))
    change = (influence(b[:, used]) - influence(a[:, used]))[0]
    test = stats.ttest_1samp(change, 0)
    assert found(a, b).p == pytest.approx(test.pvalue)
    assert found(a, b).df == pytest.approx(used.sum() - 1)


# Properties ---------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(pairs())
def test_it_takes_no_side(pair: tuple[Counts, Counts]) -> None:
    one, two = found(*pair), found(*pair[::-1])
    assert one.delta == pytest.approx(f1(pair[1]).mean() - f1(pair[0]).mean())
    assert (one.low, one.high) == (pytest.approx(-two.high), pytest.approx(-two.low))
    assert (one.se, one.df, one.p) == pytest.approx((two.se, two.df, two.p))


@settings(max_examples=60, deadline=None)
@given(pairs(), st.randoms(use_true_random=False))
def test_order_and_empty_sentences_say_nothing(pair, random) -> None:
    a, b = pair
    expected = found(a, b)
    order = random.sample(range(a.shape[1]), a.shape[1])
    shuffled = [each[random.sample(range(len(each)), len(each))][:, order] for each in pair]
    longer = [np.concatenate([each, np.zeros((len(each), 500, 3))], axis=1) for each in shuffled]
    for changed in (shuffled, longer):
        again = found(*changed)
        assert (again.delta, again.se) == pytest.approx((expected.delta, expected.se))
        assert (again.df, again.p) == pytest.approx((expected.df, expected.p))


@settings(max_examples=60, deadline=None)
@given(pairs())
def test_interval_p_and_margin_say_the_same(pair: tuple[Counts, Counts]) -> None:
    each = found(*pair)
    assume(each.se)
    assert 0 < each.p <= 1
    assert each.low < each.delta < each.high
    assert each.separate == (each.p < 0.05) == (not each.low <= 0 <= each.high)
    assert each.detectable > each.high - each.delta, "more than half the interval"
    assert not each.within(abs(each.delta))
    assert each.within(max(abs(each.low), abs(each.high)) + 1e-6)
    ends = stats.t.sf([(MARGIN - each.delta) / each.se, (MARGIN + each.delta) / each.se], each.df)
    assert each.within() == (ends.max() < 0.025), "two one-sided tests"


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_a_constant_moves_the_difference_and_nothing_else(both: float, more: float) -> None:
    a, b = influence(made(3, seed=1)), influence(made(4, seed=2))
    one, two = _interval(a, b), _interval(a + both, b + both + more)
    assert two.delta == pytest.approx(one.delta + more)
    assert (two.se, two.df) == pytest.approx((one.se, one.df))


def test_sentences_of_one_picture_are_one_sample() -> None:
    a, b = (np.repeat(made(1, seed=i), 3, axis=0) for i in (1, 2))
    one = found(a, b)
    twice = [np.repeat(each, 2, axis=1) for each in (a, b)]
    naive, grouped = found(*twice), found(*(each[:, ::2] + each[:, 1::2] for each in twice))
    assert (grouped.se, grouped.df, grouped.p) == pytest.approx((one.se, one.df, one.p))
    assert naive.se == pytest.approx(one.se / 2**0.5, rel=0.02)


def test_more_sentences_or_seeds_narrow_it() -> None:
    def width(seeds: int, sentences: int) -> float:
        each = [
            found(made(seeds, sentences, seed=i), made(seeds, sentences, seed=100 + i))
            for i in range(20)
        ]
        return float(np.mean([e.high - e.low for e in each]))

    assert width(2, 100) > width(3, 100) > width(10, 100) > width(10, 1000)


def test_what_is_equal() -> None:
    a = made(3)
    one = found(a, a)
    assert one.delta == 0
    same = np.repeat(a[:1], 3, axis=0)
    none = found(same, same[:2])
    assert (none.delta, none.se, none.low, none.high, none.p) == (0, 0, 0, 0, 1)
    assert none.within()
    assert not none.separate


def test_two_systems_that_find_nothing_are_not_shown_to_be_alike() -> None:
    counts = made(3)
    counts[:, :, 1:] = 0
    assert interval(counts, counts) == "neither finds an entity"
    assert mean(counts) == "it finds no entity"
    assert found(counts, made(3)).delta > 0, "one of them does"


def test_why_there_is_none() -> None:
    a = made(3)
    assert "one seed" in str(interval(a[:1], a))
    assert "one seed" in str(interval(a, a[:1]))
    assert "sentences" in str(interval(a[:, :5], a[:, :5]))
    right = np.full((2, 20, 3), 1.0)
    wrong = right * [1, 1, 0]
    assert "the same in every sentence" in str(interval(wrong, right))


# Pairing of seeds ---------------------------------------------------------------------------------


def test_seeds_are_paired_where_that_helps() -> None:
    a = made(6, 2000, shift=0.1, seed=1)
    b = a.copy()
    b[:, :40, 2] = np.maximum(b[:, :40, 2] - 1, 0)  # the same seeds, a little worse
    one, two = found(a, b), found(a, b, same_seeds=True)
    assert (one.paired, two.paired) == (False, True)
    assert two.se < one.se / 5
    assert two.delta == one.delta
    for left, right in ((a[:4], b[:4]), (a, b[:5]), (a, made(6, 2000, shift=0.1, seed=3))):
        assert not found(left, right, same_seeds=True).paired


# What can be detected -----------------------------------------------------------------------------


@pytest.mark.parametrize("df", [2, 3, 4, 8, 20, 1000])
def test_power_at_what_can_be_detected(df: float) -> None:
    each = Interval(0, 1, df)
    limit = stats.t.isf(0.025, df)
    power = stats.nct.sf(limit, df, each.detectable)
    assert power == pytest.approx(0.8, abs=0.05)


def test_a_table_has_the_median() -> None:
    each = [Interval(0, se, math.inf) for se in (1.0, 2.0, 4.0)]
    assert detectable([*each, None, "one seed"]) == pytest.approx(2 * (1.959964 + 0.841621))
    assert detectable([None, "one seed"]) is None


# The same system with other seeds -----------------------------------------------------------------


def test_same_system() -> None:
    each = same_system(made(10, 200, shift=0.0), rounds=200)
    assert each is not None
    assert (each.splits, each.size) == (45, 5)
    assert each.interval <= 0.2
    assert each == same_system(made(10, 200, shift=0.0), rounds=200), "always the same"
    few = same_system(made(5, 200), rounds=200)
    assert few is not None
    assert (few.splits, few.size) == (15, 2)
    assert same_system(made(3, 200)) is None
    assert same_system(made(10, 5)) is None


def test_the_test_of_runs_takes_seeds_for_systems() -> None:
    """Two kinds of seeds: the runs differ without doubt; of systems that can't be said."""
    good, bad = made(3, 400, 0.9, 0.0, 1), made(3, 400, 0.6, 0.0, 2)
    each = same_system(np.concatenate([good, bad]), rounds=200)
    assert each is not None
    assert (each.splits, each.size) == (10, 3)
    assert each.runs == 1.0
    assert each.interval <= 0.1 + 1e-9, "only good against bad"


# Ranks --------------------------------------------------------------------------------------------


def test_ranks() -> None:
    best, worst = made(5, 500, 0.95, 0.0, 1), made(5, 500, 0.5, 0.0, 2)
    middle = [made(5, 500, 0.8, 0.02, seed) for seed in (3, 4, 5)]
    systems = [middle[0], worst, middle[1], made(1, 500), best, middle[2]]
    each = ranks(systems)
    assert each[3] is None
    assert [rank.place if rank else None for rank in each] == [2, 5, 2, None, 1, 2]
    assert each[4] is not None
    assert (each[4].best, each[4].worst) == (1, 1)
    for i in (0, 2, 5):
        assert each[i].best == 2  # type: ignore[union-attr]
        assert each[i].worst == 4  # type: ignore[union-attr]
    turned = ranks(systems[::-1])[::-1]
    assert [rank and rank.place for rank in turned] == [rank and rank.place for rank in each]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(2, 4), st.floats(0.3, 0.95), st.integers(0, 99)),
        min_size=2,
        max_size=6,
    )
)
def test_what_is_not_separated_shares_a_place(kinds: list[tuple[int, float, int]]) -> None:
    systems = [made(seeds, 80, recall, 0.02, seed) for seeds, recall, seed in kinds]
    found_ranks = ranks(systems, draws=500)
    f1s = [f1(each).mean() for each in systems]
    for (i, a), (j, b) in itertools.combinations(enumerate(systems), 2):
        one, two = found_ranks[i], found_ranks[j]
        assert one is not None
        assert two is not None
        assert 1 <= one.best <= one.worst <= len(systems)
        # A table keeps the sentences in which only a third system finds something, so that its p
        # differs in the third digit from that of the two alone.
        if found(a, b).p > 1.02 * ALPHA:
            assert one.place == two.place
        if one.place < two.place:
            assert f1s[i] > f1s[j]


def test_few_systems_have_ranks_too() -> None:
    assert ranks([]) == []
    assert ranks([made(1)]) == [None]
    (one,) = ranks([made(3)])
    assert one is not None
    assert (one.place, one.best, one.worst) == (1, 1, 1)
    assert ranks([made(3, 4), made(3, 4)]) == [None, None]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(2, 5), st.floats(0.3, 0.9), st.integers(0, 99)),
        min_size=2,
        max_size=5,
    )
)
def test_all_pairs_at_once_are_the_pairs_one_by_one(kinds: list[tuple[int, float, int]]) -> None:
    y = [influence(made(seeds, 80, recall, 0.02, seed)) for seeds, recall, seed in kinds]
    found_pairs = all_pairs(y)
    each = {(i, j): _interval(y[i], y[j]) for i, j in itertools.combinations(range(len(y)), 2)}
    for (i, j), one in each.items():
        assert found_pairs.apart[i, j] == found_pairs.apart[j, i] == one.separate
    assert not found_pairs.apart.diagonal().any()
    assert found_pairs.detectable == pytest.approx(detectable(each.values()), abs=1e-6)


def test_equal_systems_share_a_place_and_say_so() -> None:
    one = made(3)
    places, least = standings([one, one, made(3, recall=0.2)])
    assert [(each.place, each.shared) for each in places if each] == [
        (1, True),
        (1, True),
        (3, False),
    ]
    assert least is not None


def test_the_interval_of_one_system() -> None:
    counts = made(4)
    whole = mean(counts)
    assert isinstance(whole, Interval)
    assert whole.delta == pytest.approx(f1(counts).mean())
    assert whole.low < whole.delta < whole.high
    assert mean(made(1)) == "one seed says nothing about a system; run more"
    assert isinstance(mean(made(3, 4)), str)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_the_interval_of_one_system_holds_the_truth(noise: float) -> None:
    """In 95 % of test sets and seeds, more or less."""
    rng, held, rounds = np.random.default_rng(1), 0, 1000
    for _ in range(rounds):
        gold = rng.integers(0, 4, 300)
        quality = np.clip(0.7 + noise * rng.standard_normal(5), 0, 1)
        hard = rng.normal(0, 0.15, 300)
        correct = rng.binomial(gold, np.clip(quality[:, None] + hard, 0, 1))
        wrong = rng.binomial(gold, 0.2, (5, 300))
        counts = np.stack([np.broadcast_to(gold, correct.shape), correct + wrong, correct], 2)
        found_mean = mean(counts.astype(float))
        assert isinstance(found_mean, Interval)
        held += found_mean.low < 200 * 0.7 / 1.9 < found_mean.high
    assert 0.92 < held / rounds < 0.98
