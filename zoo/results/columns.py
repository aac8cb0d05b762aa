"""Columns that every table of runs has, and what columns are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zoo.evaluation.scores import EXACT, METRICS
from zoo.results.evidence import Run
from zoo.results.tables import Column, Spread, Value


def spread(figure: Callable[[Run], float | None]) -> Callable[[Sequence[Run]], Spread | None]:
    """Mean and standard deviation of a figure, over those runs that have it."""

    def value(runs: Sequence[Run]) -> Spread | None:
        figures = [known for run in runs if (known := figure(run)) is not None]
        return Spread.of(figures) if figures else None

    return value


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


N = Column("n", "n", len, digits=0)
SCORES = (
    Column("precision", "P", spread(lambda run: run.scores.precision)),
    Column("recall", "R", spread(lambda run: run.scores.recall)),
    Column("f1", "F1", spread(lambda run: run.scores.f1)),
)
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
REMARKS = Column("remarks", "remarks", optional=True)
VARIANT = Column("variant", "variant", first(lambda run: run.variant), detail=True)


def metric_columns() -> list[Column]:
    """A column for each entry of ``METRICS`` beside precision, recall and F1."""
    return [
        Column(name, name, spread(_metric(name)), detail=True)
        for name in METRICS
        if name not in EXACT
    ]


def type_columns(runs: Sequence[Run]) -> list[Column]:
    """F1 of each type that the gold holds."""
    names = {name for run in runs for name, part in run.scores.per_type.items() if part.gold}
    return [
        Column(f"f1_type_{name}", f"F1 {name}", spread(_f1_type(name)), detail=True)
        for name in sorted(names)
    ]


def language_columns(runs: Sequence[Run]) -> list[Column]:
    """F1 of each language, where there are several."""
    names = sorted({name for run in runs for name in run.scores.per_language})
    return [
        Column(f"f1_language_{name}", f"F1 {name}", spread(_f1_language(name)), detail=True)
        for name in (names if len(names) > 1 else ())
    ]


def _metric(name: str) -> Callable[[Run], float | None]:
    return lambda run: run.metrics.get(name)


def _f1_type(name: str) -> Callable[[Run], float | None]:
    return lambda run: part.f1 if (part := run.scores.per_type.get(name)) else None


def _f1_language(name: str) -> Callable[[Run], float | None]:
    return lambda run: part.f1 if (part := run.scores.per_language.get(name)) else None


def with_metrics(columns: Sequence[Column], further: Sequence[Column]) -> list[Column]:
    """The columns, with further scores behind the last of the usual ones."""
    at = max((i + 1 for i, c in enumerate(columns) if c.key == SCORES[-1].key), default=0)
    return [*columns[:at], *further, *columns[at:]]
