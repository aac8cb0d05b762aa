"""The tables of an ablation: every arm against the base, with the paired test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from zoo.evaluation.significance import ROUNDS, Difference, compare, holm
from zoo.results import columns, pools
from zoo.results.evidence import Run
from zoo.results.leaderboard import notes
from zoo.results.tables import Column, Row, Table, tabulate

COLUMNS: list[Column] = [
    Column("arm", "arm"),
    columns.N,
    *columns.SCORES,
    Column("delta", "Δ F1", sign=True),
    Column("p", "p, these runs", digits=4),
    Column("p_holm", "(Holm)", digits=4),
    columns.TRAIN_SECONDS,
    replace(columns.TRAINED, detail=True),
    replace(columns.PARAMETERS, detail=True),
    columns.REMARKS,
    columns.PREDICTIONS,
    columns.VARIANT,
]
"""Those of every ablation; further metrics stand behind F1."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An arm and those of its runs that are there, one a seed."""

    name: str
    fingerprint: str
    runs: Sequence[Run]


@dataclass(frozen=True, slots=True)
class _Pool:
    """Those runs of an arm that may be pooled (all, as a rule), and their difference to the base's.

    None for the base itself, and where no seed is common to both.
    """

    name: str
    runs: Sequence[Run]
    difference: Difference | None


def ablation_tables(
    title: str, facts: Mapping[str, str], outcomes: Sequence[Outcome]
) -> list[Table]:
    """One table: the base, then the arms in their order.

    Arms whose data differ from the base's (``dataset.…``) follow in tables of their own, without
    differences: numbers of different data never share a table. All that varies from machine to
    machine stands in the column ``train_seconds``.

    Args:
        facts: what the table is about: ablation, base, dataset, across, overrides.
        outcomes: the base first.

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
        )
        for fingerprint in prints
    ]


def _table(
    title: str, facts: Mapping[str, str], outcomes: Sequence[Outcome], base: Outcome | None
) -> Table:
    runs = [run for outcome in outcomes for run in outcome.runs]
    usual = pools.usual(runs)
    made = [pool for outcome in outcomes for pool in _pools(outcome, base, usual)]
    found = [pool.difference for pool in made]
    rows = [
        Row(
            pool.runs,
            arm=pool.name,
            delta=pool.difference.delta if pool.difference else None,
            p=pool.difference.p if pool.difference else None,
            p_holm=corrected,
            remarks=pools.remarks(pool.runs, usual),
        )
        for pool, corrected in zip(
            made, holm([each.p if each else None for each in found]), strict=True
        )
    ]
    bars = {
        name: str(stated[0])
        for name in ("text_only_ceiling", "grounding_bar")
        if (stated := [v for run in runs if (v := getattr(run.record, name)) is not None])
    }
    return tabulate(
        title,
        columns.with_metrics(COLUMNS, columns.metric_columns()),
        rows,
        {**facts, **bars},
        [
            *notes(facts["fingerprint"], runs),
            *([f"With -o {facts['overrides']}."] if "overrides" in facts else []),
            *_seeds(outcomes),
            *_tests(base, found),
        ],
    )


def _pools(outcome: Outcome, base: Outcome | None, usual: pools.Environment) -> list[_Pool]:
    """An arm's row; several where its runs may not be pooled, the usual ones first."""
    parts = pools.pooled(outcome.runs)
    against = pools.pooled(base.runs) if base is not None and base is not outcome else {}
    if not parts:
        return [_Pool(outcome.name, [], None)]
    order = sorted(parts, key=lambda each: (each != usual, str(each)))
    return [
        _Pool(
            outcome.name if place == order[0] else f"{outcome.name} ({_words(place)})",
            parts[place],
            _difference(against.get(place, []), parts[place]),
        )
        for place in order
    ]


def _words(place: pools.Environment) -> str:
    torch = f"torch {place.torch}" if place.torch else None
    return " ".join(word for word in (place.precision, place.device, torch) if word)


def _difference(base: Sequence[Run], arm: Sequence[Run]) -> Difference | None:
    """None where no seed is common to both, or predictions are withheld."""
    one, two = (
        {run.record.seed: run.predictions for run in runs if run.read is not None}
        for runs in (base, arm)
    )
    common = one.keys() & two.keys()
    if not common:
        return None
    return compare(
        {seed: one[seed] or () for seed in common}, {seed: two[seed] or () for seed in common}
    )


def _seeds(outcomes: Sequence[Outcome]) -> list[str]:
    """Which seeds there are; arms that lack some are named."""
    every = sorted({run.record.seed for outcome in outcomes for run in outcome.runs})
    if not every:
        return ["No runs yet."]
    answer = [f"Seeds: {', '.join(map(str, every))}."]
    for outcome in outcomes:
        there = sorted(run.record.seed for run in outcome.runs)
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
        f"two-sided, {ROUNDS:,} rounds, each sentence swapped in all seeds together. It describes "
        "these runs and not the systems: other seeds may give something else. (Holm): p "
        f"corrected for {several} {'arm' if several == 1 else 'arms'}."
    ]
