"""The tables of an ablation: every arm against the base, for the systems and for these runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from zoo.data.findings import counted
from zoo.results import columns, pools
from zoo.results.evidence import Run
from zoo.results.leaderboard import notes, separable, statistical_notes
from zoo.results.statistics import Difference, Statistics
from zoo.results.tables import Column, Row, Table, tabulate

MARGIN = 0.5  # F1 points; a difference within them may be called none

COLUMNS: list[Column] = [
    Column("arm", "arm", paper=True),
    columns.N,
    *columns.SCORES,
    replace(columns.RANK, paper=False),
    Column("delta", "Δ F1", sign=True, keep=8, paper=True),
    Column("interval", "95 % interval", sign=True, keep=8, paper=True),
    Column("p", "p, systems", digits=4, keep=3),
    Column("p_holm", "(Holm)", digits=4, keep=5, paper=True),
    Column("verdict", "verdict", keep=6, paper=True, optional=True),
    Column("p_runs", "p, these runs", digits=4, keep=4),
    Column("p_runs_holm", "(Holm, runs)", digits=4, keep=3),
    columns.TRAIN_SECONDS,
    replace(columns.TRAINED, detail=True),
    replace(columns.PARAMETERS, detail=True),
    columns.REMARKS,
    columns.SEEDS,
    columns.PREDICTIONS,
    columns.VARIANT,
]
"""Those of every ablation; further metrics and parts of F1 stand behind the statistics."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An arm and those of its runs that are there, one a seed."""

    name: str
    fingerprint: str
    runs: Sequence[Run]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A base and its arms.

    Args:
        facts: what the table is about: ablation, base, dataset, across, overrides.
        outcomes: the base first.
    """

    title: str
    facts: Mapping[str, str]
    outcomes: Sequence[Outcome]


@dataclass(frozen=True, slots=True)
class _Pool:
    """Those runs of an arm that may be pooled (all, as a rule), and their difference to the base's.

    None for the base itself, and where one of the two has no predictions.
    """

    name: str
    runs: Sequence[Run]
    difference: Difference | None


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one table; ``base`` is None where the data are not the base's."""

    title: str
    facts: Mapping[str, str]
    outcomes: Sequence[Outcome]
    base: Outcome | None
    pools: Sequence[_Pool]


def ablation_tables(
    comparisons: Sequence[Comparison],
    margin: float = MARGIN,
    statistics: Statistics | None = None,
) -> list[Table]:
    """A table for each comparison: the base, then the arms in their order.

    Arms whose data differ from the base's (``dataset.…``) follow in tables of their own, without
    differences: numbers of different data never share a table. p is corrected (Holm) for all that
    these tables show, since they stand on one page. All that varies from machine to machine stands
    in the column ``train_seconds``.

    Args:
        margin: F1 points; a difference whose interval lies within ± margin is said to be none.

    Raises:
        DataError: predictions that can't be read, or compared.
    """
    from zoo.evaluation.significance import holm

    statistics = statistics or Statistics()
    parts = [part for each in comparisons for part in _parts(each, statistics)]
    found = [pool.difference for part in parts for pool in part.pools]
    systems = iter(holm([each.p if each else None for each in found]))
    runs = iter(holm([each.p_runs if each else None for each in found]))
    tested = sum(e.p is not None for e in found if e), sum(e.p_runs is not None for e in found if e)
    return [_table(part, systems, runs, tested, margin, statistics) for part in parts]


def _parts(comparison: Comparison, statistics: Statistics) -> Iterator[_Part]:
    outcomes, base = comparison.outcomes, comparison.outcomes[0]
    usual = pools.usual([run for outcome in outcomes for run in outcome.runs])
    for fingerprint in dict.fromkeys(outcome.fingerprint for outcome in outcomes):
        own = fingerprint == base.fingerprint
        there = [outcome for outcome in outcomes if outcome.fingerprint == fingerprint]
        yield _Part(
            comparison.title if own else f"{comparison.title}, data {fingerprint[:12]}",
            {**comparison.facts, "fingerprint": fingerprint},
            there,
            base if own else None,
            [
                pool
                for outcome in there
                for pool in _pools(outcome, base if own else None, usual, statistics)
            ],
        )


def _table(
    part: _Part,
    systems: Iterator[float | None],
    these: Iterator[float | None],
    tested: tuple[int, int],
    margin: float,
    statistics: Statistics,
) -> Table:
    runs = [run for outcome in part.outcomes for run in outcome.runs]
    usual = pools.usual(runs)
    standings = statistics.standings([pool.runs for pool in part.pools])
    rows = []
    for pool, standing in zip(part.pools, standings.rows, strict=True):
        found, p_holm, p_runs_holm = pool.difference, next(systems), next(these)
        rows.append(
            Row(
                pool.runs,
                arm=pool.name,
                rank=standing.rank,
                **(found._asdict() if found else {}),
                p_holm=p_holm,
                p_runs_holm=p_runs_holm,
                verdict=verdict(found, p_holm, margin),
                remarks=pools.remarks(pool.runs, usual),
            )
        )
    detectable = [d for pool in part.pools if (d := pool.difference and pool.difference.detectable)]
    standings = replace(standings, detectable=median(detectable) if detectable else None)
    return tabulate(
        part.title,
        columns.with_parts(COLUMNS, [*columns.metric_columns(), *columns.part_columns(runs)]),
        rows,
        {
            **part.facts,
            **{key: str(max(each)) for key, each in columns.bounds(runs).items() if each},
            **separable(standings.detectable),
            "margin": f"{margin:g}",
        },
        [
            *notes(part.facts["fingerprint"], runs),
            *([f"With -o {part.facts['overrides']}."] if "overrides" in part.facts else []),
            *_seeds(part.outcomes),
            *(statistical_notes(standings, "the differences shown") if runs else []),
            *_tests(part, tested, margin),
        ],
    )


def verdict(found: Difference | None, p_holm: float | None, margin: float) -> str | None:
    """What may be said of a difference between systems; None: nothing, there is no interval."""
    if found is None or found.interval is None or p_holm is None:
        return None
    within = -margin < found.interval.low and found.interval.high < margin
    if p_holm < 0.05:
        word = "better" if found.delta > 0 else "worse"
        return f"{word}, within ± {margin:g}" if within else word
    return "no difference" if within else "undecided"


def _pools(
    outcome: Outcome, base: Outcome | None, usual: pools.Environment, statistics: Statistics
) -> list[_Pool]:
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
            statistics.difference(against.get(place, []), parts[place]),
        )
        for place in order
    ]


def _words(place: pools.Environment) -> str:
    torch = f"torch {place.torch}" if place.torch else None
    return " ".join(word for word in (place.precision, place.device, torch) if word)


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


def _tests(part: _Part, tested: tuple[int, int], margin: float) -> list[str]:
    if part.base is None:
        return ["Other data than the base's: no differences."]
    if not any(pool.difference for pool in part.pools):
        return []
    systems, runs = (counted(n, "difference", "differences") for n in tested)
    several = systems if systems == runs else f"{systems} between systems and {runs} between runs"
    return [
        "Δ F1: to the base, the difference of the means shown, with its interval; p, systems: that "
        "other seeds and sentences would give one. p, these runs: paired approximate randomisation "
        "over the common seeds; it describes these runs and not the systems. (Holm): p corrected "
        f"for {several} on this page.",
        f"Verdict: better or worse where p (Holm) is below 0.05; no difference where the interval "
        f"lies within ± {margin:g} F1.",
    ]
