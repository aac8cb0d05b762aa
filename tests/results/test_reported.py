"""The numbers of papers: their own tables, with what is wrong with them marked."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.results import reported as module
from zoo.results.reported import datasets, follows, reported
from zoo.results.tables import Table
from zoo.results.writers import to_csv, to_json, to_latex, to_markdown

LINES = list(csv.DictReader(Path(module.__file__).with_name("reported.csv").open(encoding="utf-8")))


def cells(table: Table, name: str) -> dict[str, Any]:
    keys = [column.key for column in table.columns]
    row = next(row for row in table.rows if row[0] == name)
    return dict(zip(keys, row, strict=True))


def test_every_number_has_a_source() -> None:
    assert len(LINES) > 100
    keys = [(line["system"], line["dataset"]) for line in LINES]
    assert len(set(keys)) == len(keys)
    for line in LINES:
        assert bool(line["f1"]) == bool(line["source"])
        assert bool(line["f1"]) != (line["mark"] == "no number")
        assert not line["address"] or line["address"].startswith("https://")
        assert not line["f1"] or 0 < float(line["f1"]) < 100


def test_marks() -> None:
    fifteen, seventeen = reported(datasets())
    assert (fifteen.title, seventeen.title) == (
        "twitter2015: reported by papers",
        "twitter2017: reported by papers",
    )
    for table, name, mark in (
        (seventeen, "FMIT", "P, R give 86.91"),
        (seventeen, "GVATT-HBiLSTM-CRF", "other split"),
        (seventeen, "MMIB", "epoch chosen on test"),
        (fifteen, "MMIB", "epoch chosen on test"),
        (fifteen, "HVPNeT", "other labels"),
        (seventeen, "2M-NER", "no number"),
        (fifteen, "SMNER", "no number"),
        (seventeen, "PGIM", None),
    ):
        assert cells(table, name)["mark"] == mark, name
    assert cells(seventeen, "2M-NER")["f1"] is None
    notes = " ".join(seventeen.notes)
    assert "other encoders" in notes
    assert "can't be compared" in notes
    f1 = [row[[c.key for c in seventeen.columns].index("f1")] for row in seventeen.rows]
    known = [each for each in f1 if each is not None]
    assert known == sorted(known, reverse=True)
    for text in (to_markdown([seventeen], "r"), to_csv([seventeen]), to_latex([seventeen]),
                 to_json([seventeen])):  # fmt: skip
        assert "epoch chosen on test" in text
    assert reported(["mini"]) == []


@given(st.integers(100, 9999), st.integers(100, 9999))
def test_f1_follows_from_p_and_r(p: int, r: int) -> None:
    """What is printed of numbers that belong together is never called wrong."""
    for lost in (-0.0049, 0.0, 0.0049):
        exact = 2 * (p / 100 + lost) * (r / 100 + lost) / (p / 100 + r / 100 + 2 * lost)
        assert follows(p / 100, r / 100, round(exact, 2))


@pytest.mark.parametrize("f1", [86.79, 87.0])
def test_what_does_not_follow(f1: float) -> None:
    assert not follows(87.57, 86.26, f1)
