"""The leaderboard: a table for each dataset, a row for each variant."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from zoo.results.record import RunRecord
from zoo.results.tables import Column, Spread, Table, Value


def leaderboard(runs: Iterable[RunRecord]) -> list[Table]:
    """One table for each dataset and fingerprint: numbers of different data never share one.

    A row is a variant: the mean and sample standard deviation over its seeds, best F1 first.
    """
    groups: dict[tuple[str, str], list[RunRecord]] = defaultdict(list)
    for run in runs:
        groups[run.dataset, run.data_fingerprint].append(run)
    return [_dataset_table(*key, group) for key, group in sorted(groups.items())]


def _dataset_table(dataset: str, fingerprint: str, runs: Sequence[RunRecord]) -> Table:
    variants: dict[tuple[str, str], list[RunRecord]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.system, run.variant, run.seed)):
        variants[run.system, run.variant].append(run)
    names = Counter(_name(seeds[0]) for seeds in variants.values())
    columns = _columns(runs)
    ranked = sorted(
        variants.values(),
        key=lambda seeds: -statistics.fmean(run.test.f1 for run in seeds),
    )
    return Table(
        title=dataset,
        columns=[column for column, _ in columns],
        rows=[
            [_label(seeds[0], names), *(value(seeds) for _, value in columns[1:])]
            for seeds in ranked
        ],
        facts={"dataset": dataset, "fingerprint": fingerprint},
        notes=notes(fingerprint, runs),
    )


def _name(run: RunRecord) -> tuple[str | None, ...]:
    """What a reader tells variants apart by."""
    return (run.system, run.backbone, run.recipe, *run.overrides)


def _label(run: RunRecord, names: Mapping[tuple[str | None, ...], int]) -> str:
    """The system, with the variant's hash where nothing else tells two variants apart."""
    return run.system if names[_name(run)] == 1 else f"{run.system} ({run.variant[:6]})"


Seeds = Sequence[RunRecord]


def _columns(runs: Sequence[RunRecord]) -> list[tuple[Column, Callable[[Seeds], Value]]]:
    """Every column with what it says of a variant. Types and languages are those in the gold."""
    types = sorted({name for run in runs for name, part in run.test.per_type.items() if part.gold})
    languages = sorted({name for run in runs for name in run.test.per_language})
    answer: list[tuple[Column, Callable[[Seeds], Value]]] = [
        (Column("system", "system"), lambda seeds: seeds[0].system),
        (Column("backbone", "backbone"), lambda seeds: seeds[0].backbone),
        (Column("recipe", "recipe", detail=True), lambda seeds: seeds[0].recipe),
    ]
    if any(run.overrides for run in runs):
        column = Column("overrides", "overrides")
        answer.append((column, lambda seeds: " ".join(seeds[0].overrides) or None))
    answer += [
        (Column("n", "n", digits=0), len),
        (Column("precision", "P"), _spread(lambda run: run.test.precision)),
        (Column("recall", "R"), _spread(lambda run: run.test.recall)),
        (Column("f1", "F1"), _spread(lambda run: run.test.f1)),
    ]
    answer += [
        (Column(f"f1_type_{name}", f"F1 {name}", detail=True), _f1_type(name)) for name in types
    ]
    if len(languages) > 1:
        answer += [
            (Column(f"f1_language_{name}", f"F1 {name}", detail=True), _f1_language(name))
            for name in languages
        ]
    return [
        *answer,
        (Column("train_seconds", "train s", digits=1), _mean(lambda run: run.seconds.get("train"))),
        (
            Column("train_speed", "train sent./s", digits=0, detail=True),
            _mean(lambda run: run.speed.train),
        ),
        (Column("predict_speed", "sent./s", digits=0), _mean(lambda run: run.speed.predict)),
        (
            Column("trained", "trained (M)", scale=1e-6),
            lambda seeds: seeds[0].parameters.trained,
        ),
        (Column("parameters", "total (M)", scale=1e-6), lambda seeds: seeds[0].parameters.total),
        (Column("variant", "variant", detail=True), lambda seeds: seeds[0].variant),
    ]


def _spread(figure: Callable[[RunRecord], float | None]) -> Callable[[Seeds], Spread | None]:
    def value(seeds: Seeds) -> Spread | None:
        figures = [known for run in seeds if (known := figure(run)) is not None]
        return Spread.of(figures) if figures else None

    return value


def _mean(figure: Callable[[RunRecord], float | None]) -> Callable[[Seeds], float | None]:
    spread = _spread(figure)

    def value(seeds: Seeds) -> float | None:
        known = spread(seeds)
        return known.mean if known else None

    return value


def _f1_type(name: str) -> Callable[[Seeds], Spread | None]:
    return _spread(lambda run: run.test.per_type[name].f1 if name in run.test.per_type else None)


def _f1_language(name: str) -> Callable[[Seeds], Spread | None]:
    return _spread(
        lambda run: run.test.per_language[name].f1 if name in run.test.per_language else None
    )


def notes(fingerprint: str, runs: Sequence[RunRecord]) -> list[str]:
    """What a reader must know to read the numbers of runs on the same data."""
    sentences = sorted({run.sentences["test"] for run in runs if "test" in run.sentences})
    entities = sorted({run.test.gold for run in runs})
    readings = sorted({run.tags for run in runs if run.tags})
    ceilings = sorted({run.text_only_ceiling for run in runs if run.text_only_ceiling is not None})
    size = [f"{n:,} sentences" for n in sentences] + [f"{n:,} entities" for n in entities]
    answer = [f"Data {fingerprint[:12]}; test: {', '.join(size)}."]
    answer += [f"Tags read: {', '.join(readings)}."] if readings else []
    answer.append(
        "Test, exact-span micro P, R, F1 in percent: mean ± sd over n seeds, "
        "from the epoch that was best on dev."
    )
    answer += [f"Text-only ceiling: {ceiling:.2f} F1." for ceiling in ceilings]
    return answer
