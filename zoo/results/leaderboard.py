"""The leaderboard: a table for each dataset, a row for each system.

A column is one entry in :data:`COLUMNS`; a plug-in adds it in one line::

    COLUMNS.append(Column("epochs", "epochs", mean(lambda run: run.record.best_epoch)))
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from zoo.results import columns, pools
from zoo.results.columns import first, mean
from zoo.results.evidence import Run
from zoo.results.statistics import Standings, Statistics
from zoo.results.tables import Column, Row, Table, tabulate

COLUMNS: list[Column] = [
    Column("system", "system", paper=True),
    Column("backbone", "backbone", first(lambda run: run.record.backbone), keep=3),
    Column("recipe", "recipe", first(lambda run: run.record.recipe), detail=True),
    Column(
        "overrides",
        "overrides",
        lambda runs: " ".join(overrides(runs)) or None,
        optional=True,
        keep=8,
        paper=True,
    ),
    columns.N,
    *columns.SCORES,
    Column("interval", "95 % interval", keep=5, paper=True),
    columns.RANK,
    columns.TRAIN_SECONDS,
    Column(
        "train_speed",
        "train sent./s",
        mean(lambda run: run.record.speed.train if run.record.speed else None),
        digits=0,
        detail=True,
    ),
    Column(
        "predict_speed",
        "sent./s",
        mean(lambda run: run.record.speed.predict if run.record.speed else None),
        digits=0,
    ),
    columns.TRAINED,
    columns.PARAMETERS,
    columns.REMARKS,
    columns.SEEDS,
    columns.PREDICTIONS,
    columns.VARIANT,
]
"""Those of every leaderboard; further metrics and parts of F1 stand behind the interval."""


def leaderboard(
    runs: Iterable[Run], all: bool = False, statistics: Statistics | None = None
) -> list[Table]:
    """One table for each dataset and fingerprint: numbers of different data never share one.

    A row is a variant: the mean and sample standard deviation over its seeds, best F1 first.

    Raises:
        DataError: runs on the same data don't have the same sentences and gold entities.

    Args:
        all: with the variants that have overrides (arms of ablations, ``-o``); without, a note
            says how many there are. On data where no variant is without, they are shown anyway.
    """
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.record.dataset, run.record.data_fingerprint].append(run)
    tables = []
    for (dataset, fingerprint), group in sorted(groups.items()):
        plain = {_variant(run) for run in group if not run.record.overrides}
        chosen = [run for run in group if all or _variant(run) in plain] or group
        left_out = {_variant(run) for run in group} - {_variant(run) for run in chosen}
        made = statistics or Statistics()
        tables.append(_dataset_table(dataset, fingerprint, chosen, len(left_out), made))
    return tables


def _variant(run: Run) -> tuple[str, str]:
    return run.record.system, run.variant


def _dataset_table(
    dataset: str, fingerprint: str, runs: Sequence[Run], left_out: int, statistics: Statistics
) -> Table:
    variants: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (*_variant(run), run.record.seed)):
        variants[_variant(run)].append(run)
    names = Counter(map(_name, variants.values()))
    usual = pools.usual(runs)
    groups = [
        seeds
        for variant in variants.values()
        for _, seeds in sorted(pools.pooled(variant).items(), key=lambda pool: str(pool[0]))
    ]
    groups.sort(key=lambda seeds: -fmean(run.scores.f1 for run in seeds))
    found = statistics.standings(groups)
    rows = [
        Row(
            seeds,
            system=_label(seeds, names),
            remarks=pools.remarks(seeds, usual),
            **standing._asdict(),
        )
        for seeds, standing in zip(groups, found.rows, strict=True)
    ]
    further = [*columns.metric_columns(), *columns.part_columns(runs)]
    more = (
        f"{left_out} {'variant' if left_out == 1 else 'variants'} with overrides not shown: "
        "`zoo leaderboard --all`."
    )
    return tabulate(
        dataset,
        columns.with_parts(_telling(groups), further),
        rows,
        {"dataset": dataset, "fingerprint": fingerprint} | separable(found.detectable),
        [
            *notes(fingerprint, runs),
            *statistical_notes(found, "all pairs"),
            *([more] if left_out else []),
        ],
    )


def _telling(rows: Sequence[Sequence[Run]]) -> list[Column]:
    """The columns; those of the backbone and the recipe stand in every form of a table in which
    they tell rows apart."""
    named = {(runs[0].record.backbone, runs[0].record.recipe) for runs in rows}
    told = {
        key
        for key, names in zip(("backbone", "recipe"), zip(*named, strict=True), strict=True)
        if len(set(names)) > 1
    }
    return [
        replace(column, detail=False, keep=8, paper=True) if column.key in told else column
        for column in COLUMNS
    ]


def overrides(runs: Sequence[Run]) -> Sequence[str]:
    """Those of a variant: the fewest under which any of its runs was made. More change nothing."""
    return min((run.record.overrides for run in runs), key=len, default=())


def _name(runs: Sequence[Run]) -> tuple[str | None, ...]:
    """What a reader tells variants apart by."""
    record = runs[0].record
    return (record.system, record.backbone, record.recipe, *overrides(runs))


def _label(runs: Sequence[Run], names: Mapping[tuple[str | None, ...], int]) -> str:
    """The system, with the variant's hash where nothing else tells two variants apart."""
    name = runs[0].record.system
    return name if names[_name(runs)] == 1 else f"{name} ({runs[0].variant[:6]})"


def notes(fingerprint: str, runs: Sequence[Run]) -> list[str]:
    """What a reader must know to read the numbers of runs on the same data."""
    records = [run.record for run in runs]
    sentences = sorted({each.sentences["test"] for each in records if "test" in each.sentences})
    entities = sorted({run.scores.gold for run in runs})
    readings = sorted({each.tags for each in records if each.tags})
    size = [f"{n:,} sentences" for n in sentences] + [f"{n:,} entities" for n in entities]
    answer = [f"Data {fingerprint[:12]}; test: {', '.join(size)}."]
    answer += [f"Tags read: {', '.join(readings)}."] if readings else []
    answer.append(
        "Test, exact-span micro P, R, F1 in percent: mean ± sd over n seeds, "
        "from the epoch that was best on dev."
    )
    answer += [
        f"{columns.BOUNDS[key].capitalize()}: {value:.2f} F1."
        for key, values in columns.bounds(runs).items()
        for value in values
    ]
    answer += dict.fromkeys(note for each in records for note in each.notes)
    if len({pools.Environment.of(run) for run in runs if run.record.kind == "run"}) > 1:
        answer.append(pools.NOTE)
    if withheld := sum(each.withheld for each in records):
        answer.append(
            f"Predictions withheld in {withheld} of {len(runs)} runs: their scores are those that "
            "were stored with them."
        )
    if old := sum(each.files is None for each in records):
        answer.append(
            f"{old} of {len(runs)} runs store no digests of their files (version 0.2 or older): "
            "only their scores are checked."
        )
    return answer


def separable(detectable: float | None) -> dict[str, str]:
    """The fact of a table that says what it can separate."""
    return {} if detectable is None else {"detectable": str(detectable)}


def statistical_notes(found: Standings, shown: str) -> list[str]:
    """What a reader must know to read the intervals and ranks of a table.

    Args:
        shown: the differences over which the detectable one is a median.
    """
    if not any(standing.interval for standing in found.rows):
        if found.nothing:
            return [
                "No system with two or more seeds finds an entity, so there are no intervals and "
                "ranks."
            ]
        if found.few:
            return ["Too few sentences with entities for intervals and ranks; ten are needed."]
        if found.withheld:
            return ["Intervals and ranks are computed from predictions, which are withheld."]
        return ["Intervals and ranks take two seeds of a system; one seed says nothing about it."]
    answer = [
        "95 % interval: other seeds and other sentences. Rank, with its 95 % interval; =: shared "
        "with systems from which these runs do not separate it."
    ]
    if any(standing.rank is None for standing in found.rows):
        answer.append(
            "Rows without a rank have one seed, find no entity, or have predictions withheld."
        )
    if found.pictures is not None:
        answer.append(f"Sentences that share a picture count as one: {found.pictures:,} samples.")
    if found.detectable is not None:
        answer.append(
            f"This test set and these seeds can separate {found.detectable:.2f} F1 "
            f"(80 % power, 5 % level; median over {shown})."
        )
    if found.same is None:
        answer.append("A/A: too few seeds to compare a system with itself; it takes four.")
    else:
        same, s = found.same, "" if found.same.systems == 1 else "s"
        answer.append(
            f"A/A, the same system with other seeds: of {same.splits} splits of the seeds of "
            f"{same.systems} system{s}, {_percent(same.interval)} are called different by the "
            f"interval, {_percent(same.runs)} by the test for these runs (wanted: 5 %)."
        )
    return answer


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
