"""The tables of an ablation: every arm against the base, with the paired test."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from zoo.evaluation.significance import ROUNDS, Difference, compare, holm
from zoo.results.leaderboard import notes
from zoo.results.record import RunRecord
from zoo.results.tables import Column, Spread, Table, Value
from zoo.types import Prediction

COLUMNS = (
    Column("arm", "arm"),
    Column("n", "n", digits=0),
    Column("precision", "P"),
    Column("recall", "R"),
    Column("f1", "F1"),
    Column("delta", "Δ F1", sign=True),
    Column("p", "p", digits=4),
    Column("p_holm", "p (Holm)", digits=4),
    Column("train_seconds", "train s", digits=1),
    Column("trained", "trained (M)", scale=1e-6, detail=True),
    Column("parameters", "total (M)", scale=1e-6, detail=True),
    Column("variant", "variant", detail=True),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """An arm and those of its runs that are there, one a seed."""

    name: str
    fingerprint: str
    runs: Sequence[RunRecord]


Predictions = Callable[[RunRecord], Sequence[Prediction]]


def ablation_tables(
    title: str, facts: Mapping[str, str], outcomes: Sequence[Outcome], predictions: Predictions
) -> list[Table]:
    """One table: the base, then the arms in their order.

    Arms whose data differ from the base's (``dataset.…``) follow in tables of their own, without
    differences: numbers of different data never share a table. All that varies from machine to
    machine stands in the column ``train_seconds``.

    Args:
        facts: what the table is about: ablation, base, dataset, across, overrides.
        outcomes: the base first.
        predictions: those on the test split of a run.

    Raises:
        DataError: predictions that can't be read, or compared.
    """
    base = outcomes[0]
    prints = list(dict.fromkeys(outcome.fingerprint for outcome in outcomes))
    return [
        _table(
            title if fingerprint == base.fingerprint else f"{title}, data {fingerprint[:12]}",
            {**facts, "fingerprint": fingerprint},
            [outcome for outcome in outcomes if outcome.fingerprint == fingerprint],
            base if fingerprint == base.fingerprint else None,
            predictions,
        )
        for fingerprint in prints
    ]


def _table(
    title: str,
    facts: Mapping[str, str],
    outcomes: Sequence[Outcome],
    base: Outcome | None,
    predictions: Predictions,
) -> Table:
    found = [_difference(base, outcome, predictions) for outcome in outcomes]
    corrected = holm([each.p if each else None for each in found])
    runs = [run for outcome in outcomes for run in outcome.runs]
    ceilings = [run.text_only_ceiling for run in runs if run.text_only_ceiling is not None]
    return Table(
        title,
        COLUMNS,
        [_row(*each) for each in zip(outcomes, found, corrected, strict=True)],
        {**facts, **({"text_only_ceiling": str(ceilings[0])} if ceilings else {})},
        [
            *notes(facts["fingerprint"], runs),
            *([f"With -o {facts['overrides']}."] if "overrides" in facts else []),
            *_seeds(outcomes),
            *_tests(base, found),
        ],
    )


def _difference(
    base: Outcome | None, outcome: Outcome, predictions: Predictions
) -> Difference | None:
    """None for the base itself, and where no seed is common to both."""
    if base is None or outcome is base:
        return None
    one, two = ({run.seed: run for run in each.runs} for each in (base, outcome))
    common = one.keys() & two.keys()
    if not common:
        return None
    return compare(
        {seed: predictions(one[seed]) for seed in common},
        {seed: predictions(two[seed]) for seed in common},
    )


def _row(outcome: Outcome, found: Difference | None, corrected: float | None) -> list[Value]:
    runs = outcome.runs
    head: list[Value] = [outcome.name, len(runs)]
    if not runs:
        return head + [None] * (len(COLUMNS) - len(head))
    return [
        *head,
        Spread.of([run.test.precision for run in runs]),
        Spread.of([run.test.recall for run in runs]),
        Spread.of([run.test.f1 for run in runs]),
        found.delta if found else None,
        found.p if found else None,
        corrected,
        statistics.fmean(run.seconds["train"] for run in runs),
        runs[0].parameters.trained,
        runs[0].parameters.total,
        runs[0].variant,
    ]


def _seeds(outcomes: Sequence[Outcome]) -> list[str]:
    """Which seeds there are; arms that lack some are named."""
    every = sorted({run.seed for outcome in outcomes for run in outcome.runs})
    if not every:
        return ["No runs yet."]
    answer = [f"Seeds: {', '.join(map(str, every))}."]
    for outcome in outcomes:
        there = sorted(run.seed for run in outcome.runs)
        if there != every:
            word = "seed" if len(there) == 1 else "seeds"
            only = f"{word} {', '.join(map(str, there))} only" if there else "no runs"
            answer.append(f"{outcome.name}: {only}.")
    return answer


def _tests(base: Outcome | None, found: Sequence[Difference | None]) -> list[str]:
    if base is None:
        return ["Other data than the base's: no differences."]
    several = sum(each is not None for each in found)
    if not several:
        return []
    return [
        "Δ F1: to the base, the mean over common seeds; p: paired approximate randomisation, "
        f"two-sided, {ROUNDS:,} rounds, each sentence swapped in all seeds together. It tells of "
        "these runs; what other seeds would give, the sd tells. p (Holm): "
        f"corrected for {several} {'arm' if several == 1 else 'arms'}."
    ]
