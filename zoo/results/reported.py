"""The numbers that papers report, in tables of their own: ``reported.csv``, with its sources.

They were measured with other encoders and budgets, as a rule with one seed or with no word of how
many, so they never share a table with runs. What is known to be wrong with a number is marked; that
F1 follows from P and R is computed here.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from importlib import resources

from zoo.results.tables import Column, Row, Table, tabulate

HALF = 0.005  # figures are printed with two digits

COLUMNS: list[Column] = [
    Column("system", "system", paper=True),
    Column("year", "year", keep=3, paper=True),
    Column("precision", "P", keep=2, paper=True),
    Column("recall", "R", keep=2, paper=True),
    Column("f1", "F1", keep=9, paper=True),
    Column("mark", "mark", keep=8, paper=True),
    Column("text_encoder", "text encoder", keep=1),
    Column("visual_input", "visual input"),
    Column("source", "source", keep=4, detail=True),
    Column("address", "address", detail=True),
    Column("note", "note", detail=True),
]

NOTES = (
    "Numbers that papers report on the data set of this name, with other encoders and budgets, and "
    "mostly from one seed: they can't be compared with the runs of the zoo.",
    "Mark: what is known to be wrong with a number, or why there is none. Other split, other "
    "labels: not the data that the zoo reads. P, R give …: the F1 that follows from P and R, where "
    "it is not the one printed (allowing for rounding).",
    "Encoders: (code): as the released code has them; (not verified): by what others say.",
)


def datasets() -> list[str]:
    """The data sets that there are reported numbers on."""
    return sorted({line["dataset"] for line in _lines()})


def reported(names: Sequence[str]) -> list[Table]:
    """A table for each of these data sets, best F1 first; none for one without numbers."""
    return [
        tabulate(f"{name}: reported by papers", COLUMNS, rows, {"dataset": name}, NOTES)
        for name in names
        if (rows := [_row(line) for line in _lines() if line["dataset"] == name])
    ]


def of_system(name: str) -> dict[str, list[Row]]:
    """What papers report of a system, by data set: lines of this very name, whatever its case."""
    found: dict[str, list[Row]] = {}
    for line in _lines():
        if line["system"].casefold() == name.casefold() and line["f1"]:
            found.setdefault(line["dataset"], []).append(_row(line))
    return found


def follows(precision: float, recall: float, f1: float) -> bool:
    """Whether F1 is the harmonic mean of P and R, all three printed with two digits."""
    low, high = (_harmonic(precision + each, recall + each) + each for each in (-HALF, HALF))
    return low - 1e-9 <= f1 <= high + 1e-9


def _harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall)


def _row(line: dict[str, str]) -> Row:
    numbers = {
        key: float(line[key]) if line[key] else None for key in ("precision", "recall", "f1")
    }
    marks = [line["mark"]] if line["mark"] else []
    p, r, f1 = numbers.values()
    if p is not None and r is not None and f1 is not None and not follows(p, r, f1):
        marks.append(f"P, R give {_harmonic(p, r):.2f}")
    words = {
        key: line[key] or None
        for key in ("system", "year", "text_encoder", "visual_input", "source", "address", "note")
    }
    return Row((), **words, **numbers, mark="; ".join(marks) or None)


@cache
def _lines() -> list[dict[str, str]]:
    text = resources.files("zoo.results").joinpath("reported.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
