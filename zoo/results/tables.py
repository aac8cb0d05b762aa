"""What a table is: columns, rows, facts and notes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

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
