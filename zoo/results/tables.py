"""What a table is: columns, rows, facts and notes."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from zoo.errors import ConfigError
from zoo.results.evidence import Run

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


class Range(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


class Place(NamedTuple):
    """A rank with its 95 % interval, and whether another row shares it."""

    place: int
    best: int
    worst: int
    shared: bool


class Each(tuple[float, ...]):
    """A figure of each run, by seed."""

    __slots__ = ()


Value = str | int | float | Spread | Range | Place | Each | None


class Row(tuple[Run, ...]):
    """The runs of one row, and what the table says of them beside what they say themselves."""

    facts: Mapping[str, Value]

    def __new__(cls, runs: Iterable[Run] = (), **facts: Value) -> Row:
        row = super().__new__(cls, runs)
        row.facts = facts
        return row


@dataclass(frozen=True, slots=True)
class Column:
    """A column, what it says of a row's runs, and how its numbers are shown.

    The CSV and JSON files hold numbers in full.

    Args:
        key: its name for machines.
        label: its name for readers.
        value: of the runs of a row, which are those of one variant or arm, one a seed; a row may
            have none. None: the row's own fact of the name ``key``.
        digits: shown behind the decimal point.
        scale: a number is multiplied by it to be shown (1e-6 for millions).
        detail: not shown in a terminal, unless asked for.
        keep: where a terminal is too narrow, the column with the lowest is left out first.
        paper: whether the LaTeX table has it; all are in the other files.
        sign: whether numbers above zero have theirs, too.
        optional: left out of a table in which it is empty.
    """

    key: str
    label: str
    value: Callable[[Row], Value] | None = None
    digits: int = 2
    scale: float = 1.0
    detail: bool = False
    keep: int = 0
    paper: bool = False
    sign: bool = False
    optional: bool = False

    def of(self, row: Row) -> Value:
        """The cell of a row.

        Raises:
            ConfigError: the column's function fails, or returns a number that is not finite.
        """
        if self.value is None:
            return row.facts.get(self.key)
        try:
            value = self.value(row)
        except Exception as error:  # whatever a plug-in's own function raises
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ConfigError(f"column `{self.key}` fails: {reason}; correct its value") from error
        numbers: Iterable[object] = value if isinstance(value, tuple) else (value,)
        if any(isinstance(each, float) and not math.isfinite(each) for each in numbers):
            raise ConfigError(f"column `{self.key}` returns {value}, which is not finite")
        return value

    def show(self, value: Value) -> str:
        """A value as readers see it: ``82.50 ± 0.31``, ``−0.31 to +0.48``, ``1= (1–3)``."""
        if value is None:
            return NONE
        if isinstance(value, str):
            return visible(value)
        if isinstance(value, Spread):
            return f"{self.show(value.mean)} ± {replace(self, sign=False).show(value.sd)}"
        if isinstance(value, Range):
            return f"{self.show(value.low)} to {self.show(value.high)}"
        if isinstance(value, Place):
            return f"{value.place}{'=' * value.shared} ({value.best}–{value.worst})"
        if isinstance(value, tuple):
            return " ".join(map(self.show, value))
        least = 10**-self.digits
        if self.digits >= 4 and 0 < value * self.scale < least:  # a p, which is never 0
            return f"< {least:.{self.digits}f}"
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
        labels = [visible(column.label) for column in self.columns]
        rows = [
            [column.show(value) for column, value in zip(self.columns, row, strict=True)]
            for row in self.rows
        ]
        return [labels, *rows]

    def is_text(self, index: int) -> bool:
        """Whether a column holds words, which stand on the left, not on the right."""
        return any(isinstance(row[index], str) for row in self.rows)


def tabulate(
    title: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    facts: Mapping[str, str],
    notes: Sequence[str],
) -> Table:
    """The table of these rows; optional columns that are empty are left out.

    Raises:
        ConfigError: two columns (or facts) have the same key, or a column's function fails.
    """
    keys = Counter([*facts, *(column.key for column in columns)])
    for key, count in keys.items():
        if count > 1:
            raise ConfigError(f"the table {title} has {count} columns `{key}`; rename one of them")
    values = [[column.of(row) for column in columns] for row in rows]
    kept = [
        index
        for index, column in enumerate(columns)
        if not column.optional or any(row[index] is not None for row in values)
    ]
    return Table(
        title,
        [columns[index] for index in kept],
        [[row[index] for index in kept] for row in values],
        facts,
        notes,
    )


# What is not to reach a reader as it is: control characters, separators of lines, characters that
# change the direction of writing (and so the order in which a line is read), lone surrogates.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def visible(text: str) -> str:
    """Text in which characters that can't be seen, or mislead, stand as escapes: ``\\u202e``."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def line(text: str) -> str:
    """Visible text in one line."""
    return " ".join(visible(text).split())
