"""Tables of results: what a table is, the leaderboard, and the four files every table goes into."""

from __future__ import annotations

import csv
import io
import json
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.results.files import write_atomic
from zoo.results.store import RunRecord

if TYPE_CHECKING:
    from rich.table import Table as RichTable

NONE = "–"
MINUS = "−"


class Spread(NamedTuple):
    """Mean and sample standard deviation (n - 1 below the line); None where n is 1."""

    mean: float
    sd: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        sd = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), sd)


Value = str | int | float | Spread | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column and how its numbers are shown; the CSV and JSON files hold them in full.

    Args:
        key: its name for machines.
        label: its name for readers.
        digits: shown behind the decimal point.
        scale: a number is multiplied by it to be shown (1e-6 for millions).
        detail: left out where the place is narrow (a terminal).
        sign: whether numbers above zero have theirs, too.
    """

    key: str
    label: str
    digits: int = 2
    scale: float = 1.0
    detail: bool = False
    sign: bool = False

    def show(self, value: Value) -> str:
        """A value as readers see it: ``82.50 ± 0.31``."""
        if value is None:
            return NONE
        if isinstance(value, str):
            return value
        if isinstance(value, Spread):
            return f"{self.show(value.mean)} ± {self.show(value.sd)}"
        number = round(value * self.scale, self.digits) + 0.0  # no -0.00
        shown = f"{number:+,.{self.digits}f}" if self.sign else f"{number:,.{self.digits}f}"
        return shown.replace("-", MINUS)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values under columns; ``facts`` say what every row shares (dataset, fingerprint)."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def shown(self) -> list[list[str]]:
        """The labels, then every row, as readers see them."""
        labels = [column.label for column in self.columns]
        rows = [
            [column.show(value) for column, value in zip(self.columns, row, strict=True)]
            for row in self.rows
        ]
        return [labels, *rows]

    def is_text(self, index: int) -> bool:
        """Whether a column holds words, which stand on the left, not on the right."""
        return any(isinstance(row[index], str) for row in self.rows)


# The leaderboard ---------------------------------------------------------------------------------


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


# Where tables go ---------------------------------------------------------------------------------


def write(
    tables: Sequence[Table], folder: Path, name: str = "leaderboard", heading: str | None = None
) -> None:
    """``<name>.md``, ``.csv``, ``.tex`` and ``.json``, each whole or not at all.

    ``heading`` is that of the ``.md`` file; None: the name. The same tables give the same bytes.
    Raises OSError where the folder can't be written.
    """
    for suffix, text in (
        ("md", to_markdown(tables, heading or name.capitalize())),
        ("csv", to_csv(tables)),
        ("tex", to_latex(tables)),
        ("json", to_json(tables)),
    ):
        write_atomic(folder / f"{name}.{suffix}", text)


def to_markdown(tables: Sequence[Table], heading: str) -> str:
    """GitHub's tables, padded so that they can be read as they stand."""
    lines = [f"# {heading}", ""]
    for table in tables:
        lines += [f"## {_markdown(table.title)}", ""]
        for note in table.notes:
            lines += [_markdown(note), ""]
        rows = [[_markdown(cell) for cell in row] for row in table.shown()]
        widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
        left = [table.is_text(index) for index in range(len(widths))]
        rule = [
            "-" * w if text else "-" * (w - 1) + ":" for w, text in zip(widths, left, strict=True)
        ]
        for row in (rows[0], rule, *rows[1:]):
            cells = [
                cell.ljust(width) if text else cell.rjust(width)
                for cell, width, text in zip(row, widths, left, strict=True)
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    if not tables:
        lines += ["No runs yet.", ""]
    return "\n".join(lines)


def to_csv(tables: Sequence[Table]) -> str:
    """One header for all tables: facts, then columns; a mean's deviation stands in ``<key>_sd``."""
    records = [
        dict(table.facts) | dict(_flat(table.columns, row))
        for table in tables
        for row in table.rows
    ]
    header = list(dict.fromkeys(key for record in records for key in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _flat(columns: Sequence[Column], row: Sequence[Value]) -> list[tuple[str, str]]:
    cells: list[tuple[str, Any]] = []
    for column, value in zip(columns, row, strict=True):
        if isinstance(value, Spread):
            cells += [(column.key, value.mean), (f"{column.key}_sd", value.sd)]
        else:
            cells.append((column.key, value))
    return [(key, "" if value is None else str(value)) for key, value in cells]


def to_latex(tables: Sequence[Table]) -> str:
    """A ``table*`` each, for the package booktabs."""
    lines = [r"% \usepackage{booktabs}"]
    for table in tables:
        labels, *rows = [[_latex(cell) for cell in row] for row in table.shown()]
        align = "".join("l" if table.is_text(index) else "r" for index in range(len(labels)))
        caption = " ".join([f"{table.title}.", *table.notes])
        lines += [
            "",
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{_latex(caption)}}}",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            " & ".join(labels) + r" \\",
            r"\midrule",
            *(" & ".join(row) + r" \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
        ]
    return "\n".join(lines) + "\n"


def to_json(tables: Sequence[Table]) -> str:
    """Everything, in full precision; a mean is ``{"mean": …, "sd": …}``."""
    data = [
        {
            "title": table.title,
            **table.facts,
            "notes": list(table.notes),
            "columns": [{"key": column.key, "label": column.label} for column in table.columns],
            "rows": [
                {
                    column.key: value._asdict() if isinstance(value, Spread) else value
                    for column, value in zip(table.columns, row, strict=True)
                }
                for row in table.rows
            ],
        }
        for table in tables
    ]
    return json.dumps({"tables": data}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render(table: Table, details: bool = False) -> RichTable:
    """The table for a terminal; without ``details`` only its narrow columns."""
    from rich.table import Table as RichTable
    from rich.text import Text

    answer = RichTable(title=Text(table.title), caption=Text("\n".join(table.notes)))
    chosen = [i for i, column in enumerate(table.columns) if details or not column.detail]
    labels, *rows = table.shown()
    for index in chosen:
        answer.add_column(
            Text(labels[index]),
            justify="left" if table.is_text(index) else "right",
            overflow="fold",
            # what a row is called is never cut off, however narrow the terminal
            min_width=max(len(row[index]) for row in rows) if index == 0 else None,
        )
    for row in rows:
        answer.add_row(*(Text(row[index]) for index in chosen))  # Text: no markup in names
    return answer


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "−": "$-$",
    "–": "--",
    "[": "{[}",  # at the head of a row it would be an argument of \\
    "*": "{*}",  # likewise
} | {character: "\\" + character for character in "&%$#_{}"}


def _latex(text: str) -> str:
    """Plain text as LaTeX source; every character stands for itself."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def _markdown(text: str) -> str:
    """Plain text as Markdown source, in one line."""
    return re.sub(r"([\\|*<`\[\]])", r"\\\1", " ".join(text.split()))
