"""Columns that every table of runs has, and what columns are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from zoo.evaluation.scores import EXACT, METRICS, Scores
from zoo.results.evidence import Run
from zoo.results.tables import Column, Each, Spread, Value


def spread(figure: Callable[[Run], float | None]) -> Callable[[Sequence[Run]], Spread | None]:
    """Mean and standard deviation of a figure, over those runs that have it."""

    def value(runs: Sequence[Run]) -> Spread | None:
        figures = [known for run in runs if (known := figure(run)) is not None]
        return Spread.of(figures) if figures else None

    return value


def whole(figure: Callable[[Run], float | None]) -> Callable[[Sequence[Run]], Spread | None]:
    """Mean and standard deviation of a figure that every run has; None where one lacks it: a mean
    over fewer seeds than the row's is another one."""
    found = spread(figure)
    return lambda runs: None if any(figure(run) is None for run in runs) else found(runs)


def mean(figure: Callable[[Run], float | None]) -> Callable[[Sequence[Run]], float | None]:
    """The mean of a figure, over those runs that have it."""
    found = spread(figure)

    def value(runs: Sequence[Run]) -> float | None:
        known = found(runs)
        return known.mean if known else None

    return value


def first(figure: Callable[[Run], Value]) -> Callable[[Sequence[Run]], Value]:
    """A figure that all runs of a row share."""
    return lambda runs: figure(runs[0]) if runs else None


def short_digests(runs: Sequence[Run]) -> str | None:
    """The beginning of the digest of each run's test predictions, by seed: same digest, same file.

    See ``files`` in ``run.json`` for the whole of it.
    """
    known = [run.digest[:8] if run.digest else "?" for run in runs]
    return " ".join(known) if any(run.digest for run in runs) else None


N = Column("n", "n", len, digits=0, keep=7, paper=True)
SCORES = (
    Column("precision", "P", spread(lambda run: run.scores.precision), keep=2),
    Column("recall", "R", spread(lambda run: run.scores.recall), keep=2),
    Column("f1", "F1", spread(lambda run: run.scores.f1), keep=9, paper=True),
)
SEEDS = Column(
    "f1_seeds",
    "F1 by seed",
    lambda runs: Each(run.scores.f1 for run in runs) if runs else None,
    detail=True,
)
RANK = Column("rank", "rank", keep=6, paper=True)
TRAIN_SECONDS = Column(
    "train_seconds", "train s", mean(lambda run: run.record.seconds.get("train")), digits=1
)
TRAINED = Column(
    "trained",
    "trained (M)",
    first(lambda run: run.record.parameters.trained if run.record.parameters else None),
    scale=1e-6,
)
PARAMETERS = Column(
    "parameters",
    "total (M)",
    first(lambda run: run.record.parameters.total if run.record.parameters else None),
    scale=1e-6,
)
PREDICTIONS = Column("predictions", "predictions", short_digests, detail=True)
REMARKS = Column("remarks", "remarks", optional=True, keep=4, paper=True)
VARIANT = Column("variant", "variant", first(lambda run: run.variant), detail=True)


BOUNDS = {"text_only_ceiling": "text-only ceiling", "grounding_bar": "grounding bar"}
"""What a record may say of its test set: F1 that no system of a kind can expect to pass."""


def bounds(runs: Iterable[Run]) -> dict[str, list[float]]:
    """The values of each that records hold, lowest first."""
    runs = list(runs)
    values = {key: {getattr(run.record, key, None) for run in runs} for key in BOUNDS}
    return {
        key: sorted(value for value in found if value is not None) for key, found in values.items()
    }


def metric_columns() -> list[Column]:
    """A column for each entry of ``METRICS`` beside precision, recall and F1."""
    return [
        Column(name, name, whole(_metric(name)), detail=True)
        for name in METRICS
        if name not in EXACT
    ]


def part_columns(runs: Sequence[Run]) -> list[Column]:
    """F1 of each type that the gold holds, of each language where there are several, of names seen
    in training and not, and of each width."""
    answer = []
    for by in ("type", "language", "seen", "width"):
        names = {name for run in runs for name, part in _parts(run, by).items() if part.gold}
        answer += [
            Column(
                f"f1_{by}_{name.replace(' ', '_')}" if by == "width" else f"f1_{by}_{name}",
                f"F1 {name}",
                whole(_f1(by, name)),
                detail=True,
                paper=by == "type",
            )
            for name in sorted(names)
            if by != "language" or len(names) > 1
        ]
    return answer


def _metric(name: str) -> Callable[[Run], float | None]:
    return lambda run: run.metrics.get(name)


def _parts(run: Run, by: str) -> Mapping[str, Scores]:
    own = {"type": run.scores.per_type, "language": run.scores.per_language}
    return own.get(by) or run.scores.parts.get(by, {})


def _f1(by: str, name: str) -> Callable[[Run], float | None]:
    return lambda run: part.f1 if (part := _parts(run, by).get(name)) else None


def with_parts(columns: Sequence[Column], further: Sequence[Column]) -> list[Column]:
    """The columns, with further scores behind the statistics: before the seconds."""
    keys = [column.key for column in columns]
    at = keys.index(TRAIN_SECONDS.key) if TRAIN_SECONDS.key in keys else len(keys)
    return [*columns[:at], *further, *columns[at:]]
