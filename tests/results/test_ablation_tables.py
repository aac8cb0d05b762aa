"""Tables and plots of ablations follow from the runs and their predictions alone."""

from __future__ import annotations

import csv
import io
import json
import random
import statistics
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from matplotlib import style
from PIL import Image

from zoo.evaluation.predictions import score_predictions
from zoo.evaluation.significance import compare, holm
from zoo.identity import digest
from zoo.results.ablations import Outcome, ablation_tables
from zoo.results.evidence import Run
from zoo.results.plots import STYLE, bars, write_bars
from zoo.results.record import RunRecord
from zoo.results.tables import Column, Spread, Table
from zoo.results.writers import to_csv, to_json, to_latex, to_markdown, write
from zoo.types import Entity, Prediction, ScoredEntity

FACTS = {"ablation": "parts", "base": "seeing", "dataset": "mini"}
DATA = "f" * 64


class Runs:
    """Runs, and the predictions they are scored from."""

    def make(self, name: str, right: float, seed: int = 1, **changes: Any) -> Run:
        rng = random.Random(f"{name} {seed}")
        gold = [Entity(0, 1, "PER"), Entity(2, 3, "LOC")]
        predictions = [
            Prediction(
                f"s{i}",
                tuple(gold),
                tuple(ScoredEntity(*each, 0.9) for each in gold if rng.random() < right),
            )
            for i in range(80)
        ]
        scores = score_predictions(predictions)
        fields: dict[str, Any] = {
            "id": digest([name, seed])[:12],
            "system": "seeing",
            "dataset": "mini",
            "seed": seed,
            "config_hash": digest(name),
            "data_fingerprint": DATA,
            "sources_hash": "s",
            "precision": "fp32",
            "harness": 1,
            "versions": {},
            "device": "cpu",
            "command": "zoo ablate",
            "started": datetime(2025, 1, 2, tzinfo=UTC),
            "seconds": {"train": 10.0 + seed, "total": 14.0},
            "sentences": {"test": 80},
            "epochs": 8,
            "best_epoch": 5,
            "dev": scores,
            "test": scores,
            "speed": {"train": 100.0, "predict": 1000.0},
            "parameters": {"trained": 50_000, "total": 60_000},
            "text_only": False,
            "text_only_ceiling": 77.5,
            "grounding_bar": 81.25,
        }
        record = RunRecord.model_validate(fields | changes)
        read = None if record.withheld else lambda: predictions
        return Run(record, scores, digest([name, seed]), read)


@pytest.fixture
def runs() -> Runs:
    return Runs()


def outcomes(runs: Runs, seeds: Sequence[int] = (1, 2, 3), **changes: Any) -> list[Outcome]:
    return [
        Outcome(name, DATA, [runs.make(name, right, seed, **changes) for seed in seeds])
        for name, right in (("base = x=1", 0.7), ("better", 0.95), ("alike", 0.7), ("worse", 0.3))
    ]


def cells(table: Table, key: str) -> list[Any]:
    index = [column.key for column in table.columns].index(key)
    return [row[index] for row in table.rows]


def test_what_a_table_says(runs: Runs) -> None:
    made = outcomes(runs)
    (table,) = ablation_tables("parts: seeing on mini", FACTS, made)
    assert cells(table, "arm") == ["base = x=1", "better", "alike", "worse"], "in their order"
    assert cells(table, "n") == [3, 3, 3, 3]
    f1 = [[run.scores.f1 for run in each.runs] for each in made]
    for shown, values in zip(cells(table, "f1"), f1, strict=True):
        assert shown == Spread(statistics.fmean(values), statistics.stdev(values))
    base, *deltas = cells(table, "delta")
    assert base is None
    expected = [statistics.fmean(values) - statistics.fmean(f1[0]) for values in f1[1:]]
    assert deltas == pytest.approx(expected)

    one, *others = ({run.record.seed: run.predictions for run in each.runs} for each in made)
    ps = [compare(one, other).p for other in others]
    assert cells(table, "p") == [None, *ps]
    assert cells(table, "p_holm") == [None, *holm(ps)]
    assert ps[0] < 0.01 < 0.05 < ps[1]
    assert cells(table, "train_seconds") == [12.0] * 4
    assert cells(table, "parameters") == [60_000] * 4
    assert len(set(cells(table, "variant"))) == 4
    assert table.facts == {
        **FACTS,
        "fingerprint": DATA,
        "text_only_ceiling": "77.5",
        "grounding_bar": "81.25",
    }
    notes = " ".join(table.notes)
    for words in (
        "ffffffffffff",
        "77.50",
        "81.25",
        "10,000 rounds",
        "3 arms",
        "Seeds: 1, 2, 3.",
        "80 sent",
    ):
        assert words in notes


def test_seeds_that_are_missing(runs: Runs) -> None:
    base, better, _, _ = outcomes(runs)
    made = [
        base,
        Outcome("better", DATA, [better.runs[2]]),
        Outcome("alike", DATA, [runs.make("alike", 0.7, 9)]),
        Outcome("worse", DATA, []),
    ]
    (table,) = ablation_tables("t", FACTS, made)
    assert cells(table, "n") == [3, 1, 1, 0]
    assert cells(table, "delta")[1] == pytest.approx(
        better.runs[2].scores.f1 - base.runs[2].scores.f1
    )
    assert cells(table, "delta")[2:] == [None, None], "no common seed"
    assert cells(table, "p_holm")[1] == cells(table, "p")[1], "one arm is tested"
    assert table.rows[3][2:] == [None] * (len(table.columns) - 2)
    assert table.shown()[4][2:] == ["–"] * (len(table.columns) - 2)
    assert "better: seed 3 only." in table.notes
    assert "worse: no runs." in table.notes


def test_a_base_without_runs(runs: Runs) -> None:
    _, *arms = outcomes(runs)
    (table,) = ablation_tables("t", FACTS, [Outcome("base", DATA, []), *arms])
    assert cells(table, "delta") == [None] * 4
    assert cells(table, "p") == [None] * 4
    (table,) = ablation_tables("t", FACTS, [Outcome("base", DATA, [])])
    assert "No runs yet." in table.notes


def test_other_data_have_a_table_of_their_own(runs: Runs) -> None:
    base, better, *_ = outcomes(runs)
    other = "e" * 64
    noisy = runs.make("noisy", 0.5, data_fingerprint=other, text_only_ceiling=None)
    made = [base, Outcome("noisy", other, [noisy]), better]
    first, second = ablation_tables("t", FACTS, made)
    assert (first.facts["fingerprint"], second.facts["fingerprint"]) == (DATA, other)
    assert cells(first, "arm") == ["base = x=1", "better"]
    assert (cells(second, "arm"), cells(second, "delta"), cells(second, "p")) == (
        ["noisy"],
        [None],
        [None],
    )
    assert second.title == "t, data eeeeeeeeeeee"
    assert any("Other data" in note for note in second.notes)


def test_the_bytes_follow_from_the_runs_but_for_their_times(runs: Runs, tmp_path: Path) -> None:
    """Machine, date and duration may differ: one column does, and nothing else."""

    def written(folder: str, **changes: Any) -> dict[str, bytes]:
        tables = ablation_tables("t", FACTS, outcomes(runs, **changes))
        write(tables, tmp_path / folder, "parts", "parts: why")
        write_bars(tables, tmp_path / folder, "parts")
        return {path.suffix: path.read_bytes() for path in (tmp_path / folder).iterdir()}

    one, same = written("one"), written("same")
    assert one == same
    assert set(one) == {".md", ".csv", ".tex", ".json", ".png", ".svg"}
    other = written(
        "other",
        seconds={"train": 99.25, "test": 5.0, "total": 200.0},
        speed={"train": 1.0, "predict": 2.0},
        device="another",
        command="zoo run",
        versions={"python": "4"},
        overrides=["a=b"],
        suite="ablation:other",
        started=datetime(2026, 1, 2, tzinfo=UTC),
    )
    assert (one[".png"], one[".svg"]) == (other[".png"], other[".svg"])
    for suffix in (".md", ".csv", ".tex", ".json"):
        assert one[suffix] != other[suffix]
        lines = zip(one[suffix].splitlines(), other[suffix].splitlines(), strict=True)
        for line, changed in lines:
            if line != changed:
                assert line.replace(b"12.0", b"").replace(b" ", b"") == (
                    changed.replace(b"99.25", b"").replace(b"99.2", b"").replace(b" ", b"")
                )


def test_all_four_files(runs: Runs) -> None:
    tables = ablation_tables("parts: seeing on mini, x=0.5", FACTS, outcomes(runs))
    records = list(csv.DictReader(io.StringIO(to_csv(tables))))
    assert [record["arm"] for record in records] == ["base = x=1", "better", "alike", "worse"]
    assert [float(record["delta"]) for record in records[1:]] == cells(tables[0], "delta")[1:]
    assert records[0]["delta"] == records[0]["p"] == ""
    assert records[0]["ablation"] == "parts"
    rows = json.loads(to_json(tables))["tables"][0]["rows"]
    assert rows[1]["delta"] == cells(tables[0], "delta")[1]
    markdown, latex = to_markdown(tables, "parts"), to_latex(tables)
    better, worse = (f"{abs(cells(tables[0], 'delta')[i]):.2f}" for i in (1, 3))
    assert f"+{better}" in markdown
    assert f"−{worse}" in markdown
    assert f"& +{better} &" in latex
    assert f"& $-${worse} &" in latex


@pytest.mark.parametrize(
    ("value", "shown"), [(1.234, "+1.23"), (-1.236, "−1.24"), (0.0, "+0.00"), (-0.001, "+0.00")]
)
def test_signed_numbers(value: float, shown: str) -> None:
    assert Column("delta", "Δ", sign=True).show(value) == shown


# Plots --------------------------------------------------------------------------------------------


def panels(runs: Runs, titles: Sequence[str], arms: int = 4, across: str = "") -> list[Table]:
    made = outcomes(runs)
    made += [Outcome(f"more {i}", DATA, made[0].runs) for i in range(arms - len(made))]
    facts = {**FACTS, "across": across} if across else FACTS
    return [ablation_tables(title, facts, made)[0] for title in titles]


def test_a_plot_shows_what_the_table_says(runs: Runs) -> None:
    (table,) = panels(runs, ["parts: seeing on mini"])
    figure = bars([table])
    (ax,) = figure.axes
    assert ax.get_title() == "parts: seeing on mini"
    assert ax.get_ylabel() == "F1 (%)"
    names = [label.get_text().replace("\n", " ") for label in ax.get_xticklabels()]
    assert [name.replace("\u00a0", " ") for name in names] == cells(table, "arm")
    heights = [patch.get_height() for patch in ax.patches]
    assert heights == pytest.approx([f1.mean for f1 in cells(table, "f1")])
    low, high = ax.get_ylim()
    assert low < min(heights) - 0.01
    assert high > max(*heights, 77.5)
    (ceiling,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert list(ceiling.get_ydata()) == [77.5, 77.5]


@pytest.mark.parametrize(
    ("titles", "arms", "rows"), [(["a", "b"], 4, 1), (["a", "b"], 12, 2), (["a"], 30, 1)]
)
def test_panels_stand_side_by_side_while_they_fit(
    runs: Runs, titles: list[str], arms: int, rows: int
) -> None:
    with style.context(["default", STYLE]):
        figure = bars(panels(runs, titles, arms))
        figure.draw_without_rendering()
    assert len({round(ax.get_position().y0, 2) for ax in figure.axes}) == rows
    for ax in figure.axes:
        boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
        assert len(boxes) == arms
        if ax.get_xticklabels()[0].get_rotation() == 0:
            assert all(a.x1 <= b.x0 for a, b in pairwise(boxes))
        assert all(box.x0 >= -1 and box.y0 >= -1 for box in boxes), "nothing is cut off"


def test_values_of_across_are_bars_in_one_panel(runs: Runs) -> None:
    tables = [
        table
        for value in ("x=0", "x=1")
        for table in panels(runs, [f"parts: seeing on mini, {value}"], across=value)
    ]
    (ax,) = bars(tables).axes
    assert ax.get_title() == "parts: seeing on mini"
    assert len(ax.patches) == 8
    assert ax.get_xticklabels()[0].get_text() == "base"
    assert {text.get_text() for text in ax.figure.legends[0].texts} == {
        "x=0",
        "x=1",
        "text-only ceiling",
        "grounding bar",
    }


def test_a_plot_of_missing_runs(runs: Runs, tmp_path: Path) -> None:
    made = [Outcome("base", DATA, []), Outcome("a", DATA, [])]
    write_bars(ablation_tables("t", FACTS, made), tmp_path, "none")
    one = [Outcome("base", DATA, [runs.make("base", 1.0)]), Outcome("a", DATA, [])]
    write_bars(ablation_tables("t", FACTS, one), tmp_path, "one")
    for name in ("none", "one"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 200
            assert len(set(picture.convert("L").tobytes())) > 10, "something is drawn"
        assert ET.parse(tmp_path / f"{name}.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize("name", ["$a$", "50$ {", "a\u202eb", "x\x00y", "\\frac{", "字"])
def test_an_arm_of_any_name_is_drawn(runs: Runs, tmp_path: Path, name: str) -> None:
    made = [Outcome(each, DATA, [runs.make("base", 0.7)]) for each in ("base", name)]
    write_bars(ablation_tables(name, {**FACTS, "across": name}, made), tmp_path, "odd")
    assert ET.parse(tmp_path / "odd.svg").getroot().tag.endswith("svg")
