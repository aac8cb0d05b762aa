"""The paired test against all possible swaps, against symmetry, and under the null."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.errors import DataError
from zoo.evaluation.scores import score
from zoo.evaluation.significance import compare, holm
from zoo.types import Entity, Prediction, ScoredEntity

ENTITIES = [Entity(0, 1, "PER"), Entity(2, 3, "LOC"), Entity(4, 6, "ORG")]
WRONG = [Entity(0, 1, "LOC"), Entity(7, 8, "PER")]

Runs = Mapping[int, Sequence[Prediction]]


def sentence(id: str, right: int, wrong: int = 0, gold: int = 2) -> Prediction:
    """``right`` correct and ``wrong`` wrong entities where there are ``gold``."""
    found = [*ENTITIES[:right], *WRONG[:wrong]]
    scored = tuple(ScoredEntity(*entity, 0.5) for entity in found)
    return Prediction(id, tuple(ENTITIES[:gold]), scored)


def answers(*counts: tuple[int, int]) -> list[Prediction]:
    return [sentence(f"s{i}", *count) for i, count in enumerate(counts)]


def f1(predictions: Sequence[Prediction]) -> float:
    return score([p.gold for p in predictions], [p.predicted for p in predictions]).f1


def delta(a: Runs, b: Runs) -> float:
    return float(np.mean([f1(b[seed]) - f1(a[seed]) for seed in sorted(a)]))


def exact(a: Runs, b: Runs) -> float:
    """The share of all 2^n joint swaps with a difference at least as great."""
    size, least, found = len(a[min(a)]), abs(delta(a, b)), 0
    for swaps in itertools.product([False, True], repeat=size):
        one = {k: [b[k][i] if s else a[k][i] for i, s in enumerate(swaps)] for k in a}
        two = {k: [a[k][i] if s else b[k][i] for i, s in enumerate(swaps)] for k in a}
        found += abs(delta(one, two)) >= least - 1e-9
    return found / 2**size


COUNT = st.tuples(st.integers(0, 2), st.integers(0, 2))


@st.composite
def pairs(draw: st.DrawFn, most: int = 6) -> tuple[Runs, Runs]:
    size, seeds = draw(st.integers(1, most)), draw(st.integers(1, 3))
    column = st.lists(COUNT, min_size=size, max_size=size)
    one, two = ({k: answers(*draw(column)) for k in range(seeds)} for _ in range(2))
    return one, two


@settings(max_examples=25, deadline=None)
@given(pairs())
def test_it_agrees_with_all_possible_swaps(pair: tuple[Runs, Runs]) -> None:
    a, b = pair
    result = compare(a, b)
    assert result.delta == pytest.approx(delta(a, b), abs=1e-9)
    p = exact(a, b)
    slack = 5 * (p * (1 - p) / 10_000) ** 0.5 + 2e-4  # five standard errors
    assert result.p == pytest.approx(p, abs=slack)


@settings(max_examples=50, deadline=None)
@given(pairs(most=12))
def test_p_is_a_share_and_takes_no_side(pair: tuple[Runs, Runs]) -> None:
    a, b = pair
    one, two = compare(a, b, rounds=500), compare(b, a, rounds=500)
    assert 0 < one.p <= 1
    assert one.p * 501 == pytest.approx(round(one.p * 501))
    assert one.p == two.p
    assert one.delta == pytest.approx(-two.delta, abs=1e-9)
    assert compare(a, b, rounds=500) == one, "always the same"


def test_what_is_equal_has_p_one() -> None:
    same = {1: answers((1, 0), (2, 1), (0, 0))}
    assert (compare(same, same).p, compare(same, same).delta) == (1.0, 0.0)
    nothing = {1: [Prediction("s", (), ())]}
    assert (compare(nothing, nothing).p, compare(nothing, nothing).delta) == (1.0, 0.0)
    # what one is better at here, the other is there
    mirrored = {1: answers((2, 0), (0, 0))}, {1: answers((0, 0), (2, 0))}
    assert compare(*mirrored).p == 1.0
    # one sentence: swapped or not, the difference is the same
    assert compare({1: answers((2, 0))}, {1: answers((0, 0))}).p == 1.0


def test_a_clear_difference_reaches_the_least_p() -> None:
    a, b = {1: answers(*[(0, 1)] * 40)}, {1: answers(*[(2, 0)] * 40)}
    assert compare(a, b).p == pytest.approx(1 / 10_001)
    # all n swaps alike, and none at all, are 2 of 2^n
    few = {1: answers(*[(0, 1)] * 5)}, {1: answers(*[(2, 0)] * 5)}
    assert compare(*few).p == pytest.approx(2 / 2**5, abs=0.01)


def test_seeds_are_swapped_together() -> None:
    """Three seeds that say the same are no more evidence than one."""
    a, b = answers(*[(0, 1)] * 5), answers(*[(2, 0)] * 5)
    three = compare(dict.fromkeys((1, 2, 3), a), dict.fromkeys((1, 2, 3), b))
    assert three.p == compare({1: a}, {1: b}).p
    assert three.seeds == (1, 2, 3)


def test_only_common_seeds_count() -> None:
    good, bad = answers(*[(2, 0)] * 4), answers(*[(0, 1)] * 4)
    result = compare({1: bad, 2: good}, {2: good, 3: bad})
    assert (result.seeds, result.delta, result.p) == ((2,), 0.0, 1.0)


def test_sentences_are_paired_by_id() -> None:
    a, b = answers((2, 0), (0, 1), (1, 0)), answers((1, 1), (2, 0), (0, 0))
    assert compare({1: a}, {1: b}) == compare({1: a}, {1: b[::-1]})


def test_p_is_uniform_under_the_null() -> None:
    """Two systems alike: every level is reached about as often as it says."""
    rng = random.Random(3)

    def noisy() -> Runs:
        return {
            seed: answers(*((rng.randint(0, 2), rng.randint(0, 1)) for _ in range(60)))
            for seed in (1, 2)
        }

    ps = np.array([compare(noisy(), noisy(), rounds=400).p for _ in range(300)])
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        error = (level * (1 - level) / len(ps)) ** 0.5
        assert abs((ps <= level).mean() - level) < 4 * error + 0.01


@pytest.mark.parametrize(
    ("one", "two", "words"),
    [
        ({1: answers((1, 0))}, {2: answers((1, 0))}, "no seed is common"),
        ({}, {}, "no seed is common"),
        ({1: answers((1, 0))}, {1: answers((1, 0), (1, 0))}, "`s1` is in one"),
        ({1: answers((1, 0), (1, 0))}, {1: answers((1, 0))}, "`s1` is in one"),
        ({1: [sentence("s", 1)]}, {1: [sentence("s", 1, gold=3)]}, "gold entities .* `s` differ"),
        (
            {1: [sentence("s", 1)], 2: [sentence("s", 1, gold=3)]},
            {1: [sentence("s", 1)], 2: [sentence("s", 1)]},
            "gold",
        ),
    ],
)
def test_what_can_t_be_paired(one: Runs, two: Runs, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        compare(one, two)
    assert len(caught.value.problems) == 1


def test_it_is_fast() -> None:
    rng = random.Random(0)

    def runs() -> Runs:
        counts = [(rng.randint(0, 2), rng.randint(0, 1)) for _ in range(600)]
        return {seed: answers(*counts) for seed in (1, 2, 3)}

    a, b = runs(), runs()
    start = time.process_time()
    compare(a, b)
    assert time.process_time() - start < 0.5


# Holm --------------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    assert holm([]) == []
    assert holm([0.03]) == [0.03]
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([None, 0.01, None, 0.02]) == [None, 0.02, None, 0.02]


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8), st.randoms())
def test_holm_keeps_the_order(ps: list[float | None], rng: random.Random) -> None:
    corrected = holm(ps)
    assert [p is None for p in corrected] == [p is None for p in ps]
    known = [(p, q) for p, q in zip(ps, corrected, strict=True) if p is not None and q is not None]
    m = len(known)
    assert all(p <= q <= min(1, m * p) for p, q in known)
    assert [q for _, q in sorted(known)] == sorted(q for _, q in known)
    order = rng.sample(range(len(ps)), len(ps))
    assert holm([ps[i] for i in order]) == [corrected[i] for i in order]
