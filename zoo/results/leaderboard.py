"""The leaderboard: a table for each dataset, a row for each system.

A column is one entry in :data:`COLUMNS`; a plug-in adds it in one line::

    COLUMNS.append(Column("epochs", "epochs", mean(lambda run: run.record.best_epoch)))
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from zoo.results import columns, pools
from zoo.results.columns import first, mean
from zoo.results.evidence import Run
from zoo.results.tables import Column, Row, Table, tabulate

COLUMNS: list[Column] = [
    Column("system", "system"),
    Column("backbone", "backbone", first(lambda run: run.record.backbone)),
    Column("recipe", "recipe", first(lambda run: run.record.recipe), detail=True),
    Column(
        "overrides",
        "overrides",
        first(lambda run: " ".join(run.record.overrides) or None),
        optional=True,
    ),
    columns.N,
    *columns.SCORES,
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
    columns.PREDICTIONS,
    columns.VARIANT,
]
"""Those of every leaderboard; further metrics, types and languages stand behind F1."""


def leaderboard(runs: Iterable[Run], all: bool = False) -> list[Table]:
    """One table for each dataset and fingerprint: numbers of different data never share one.

    A row is a variant: the mean and sample standard deviation over its seeds, best F1 first.

    Args:
        all: with the variants that have overrides (arms of ablations, ``-o``); without, a note
            says how many there are. On data where no variant is without, they are shown anyway.
    """
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.record.dataset, run.record.data_fingerprint].append(run)
    tables = []
    for (dataset, fingerprint), group in sorted(groups.items()):
        chosen = [run for run in group if all or not run.record.overrides] or group
        left_out = {_variant(run) for run in group} - {_variant(run) for run in chosen}
        tables.append(_dataset_table(dataset, fingerprint, chosen, len(left_out)))
    return tables


def _variant(run: Run) -> tuple[str, str]:
    return run.record.system, run.variant


def _dataset_table(dataset: str, fingerprint: str, runs: Sequence[Run], left_out: int) -> Table:
    variants: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (*_variant(run), run.record.seed)):
        variants[_variant(run)].append(run)
    names = Counter(_name(seeds[0]) for seeds in variants.values())
    usual = pools.usual(runs)
    rows = [
        Row(seeds, system=_label(seeds[0], names), remarks=pools.remarks(seeds, usual))
        for variant in variants.values()
        for _, seeds in sorted(pools.pooled(variant).items(), key=lambda pool: str(pool[0]))
    ]
    rows.sort(key=lambda row: -statistics.fmean(run.scores.f1 for run in row))
    further = [
        *columns.metric_columns(),
        *columns.type_columns(runs),
        *columns.language_columns(runs),
    ]
    more = (
        f"{left_out} {'variant' if left_out == 1 else 'variants'} with overrides not shown: "
        "`zoo leaderboard --all`."
    )
    return tabulate(
        dataset,
        columns.with_metrics(COLUMNS, further),
        rows,
        {"dataset": dataset, "fingerprint": fingerprint},
        [*notes(fingerprint, runs), *([more] if left_out else [])],
    )


def _name(run: Run) -> tuple[str | None, ...]:
    """What a reader tells variants apart by."""
    record = run.record
    return (record.system, record.backbone, record.recipe, *record.overrides)


def _label(run: Run, names: Mapping[tuple[str | None, ...], int]) -> str:
    """The system, with the variant's hash where nothing else tells two variants apart."""
    name = run.record.system
    return name if names[_name(run)] == 1 else f"{name} ({run.variant[:6]})"


def notes(fingerprint: str, runs: Sequence[Run]) -> list[str]:
    """What a reader must know to read the numbers of runs on the same data."""
    records = [run.record for run in runs]
    sentences = sorted({each.sentences["test"] for each in records if "test" in each.sentences})
    entities = sorted({run.scores.gold for run in runs})
    readings = sorted({each.tags for each in records if each.tags})
    ceilings = sorted({c for each in records if (c := each.text_only_ceiling) is not None})
    size = [f"{n:,} sentences" for n in sentences] + [f"{n:,} entities" for n in entities]
    answer = [f"Data {fingerprint[:12]}; test: {', '.join(size)}."]
    answer += [f"Tags read: {', '.join(readings)}."] if readings else []
    answer.append(
        "Test, exact-span micro P, R, F1 in percent: mean ± sd over n seeds, "
        "from the epoch that was best on dev."
    )
    answer += [f"Text-only ceiling: {ceiling:.2f} F1." for ceiling in ceilings]
    bars = sorted({bar for each in records if (bar := each.grounding_bar) is not None})
    answer += [f"Grounding bar: {bar:.2f} F1." for bar in bars]
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
