"""Tables and plots of ablations follow from the runs and their predictions alone."""

from __future__ import annotations

import csv
import io
import json
import random
import statistics
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from matplotlib import style
from PIL import Image

from zoo.evaluation.counts import counts
from zoo.evaluation.predictions import score_predictions
from zoo.evaluation.significance import compare, holm
from zoo.evaluation.systems import interval, ranks
from zoo.identity import digest
from zoo.results.ablations import Comparison, Outcome
from zoo.results.ablations import ablation_tables as page
from zoo.results.evidence import Run
from zoo.results.plots import STYLE, draw, mark, write_plot
from zoo.results.record import RunRecord
from zoo.results.tables import Column, Each, Place, Range, Spread, Table
from zoo.results.writers import to_csv, to_json, to_latex, to_markdown, write
from zoo.types import Entity, Prediction, ScoredEntity

FACTS = {"ablation": "parts", "base": "seeing", "dataset": "mini"}
DATA = "f" * 64


def ablation_tables(title: str, facts: dict[str, str], made: Sequence[Outcome]) -> list[Table]:
    """The tables of one comparison."""
    return page([Comparison(title, facts, made)])


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
    found = [interval(*counts(one, other), same_seeds=True) for other in others]
    assert cells(table, "interval") == [None, *(Range(each.low, each.high) for each in found)]
    assert cells(table, "p") == [None, *(each.p for each in found)]
    assert cells(table, "p_holm") == [None, *holm([each.p for each in found])]
    ps = [compare(one, other).p for other in others]
    assert cells(table, "p_runs") == [None, *ps]
    assert cells(table, "p_runs_holm") == [None, *holm(ps)]
    assert ps[0] < 0.01 < 0.05 < ps[1]
    assert cells(table, "verdict") == [None, "better", "undecided", "worse"]
    standings = ranks(counts(one, *others))
    assert cells(table, "rank") == [Place(r.place, r.best, r.worst, r.shared) for r in standings]
    assert [rank.place for rank in cells(table, "rank")] == [2, 1, 2, 4]
    assert [rank.shared for rank in cells(table, "rank")] == [True, False, True, False]
    assert cells(table, "f1_seeds") == [Each(values) for values in f1]
    assert cells(table, "f1_width_1_word") == cells(table, "f1")
    assert cells(table, "train_seconds") == [12.0] * 4
    assert cells(table, "parameters") == [60_000] * 4
    assert len(set(cells(table, "variant"))) == 4
    detectable = statistics.median(each.detectable for each in found)
    assert table.facts == {
        **FACTS,
        "fingerprint": DATA,
        "text_only_ceiling": "77.5",
        "grounding_bar": "81.25",
        "detectable": str(detectable),
        "margin": "0.5",
    }
    notes = " ".join(table.notes)
    for words in (
        "ffffffffffff",
        "77.50",
        "81.25",
        "3 differences on this page",
        "Seeds: 1, 2, 3.",
        "80 sent",
        f"can separate {detectable:.2f} F1",
        "A/A: too few seeds",
        "within ± 0.5 F1",
    ):
        assert words in notes


def test_p_is_corrected_for_the_whole_page(runs: Runs) -> None:
    one, two = outcomes(runs), outcomes(runs, (4, 5, 6))
    tables = page([Comparison("a", FACTS, one), Comparison("b", FACTS, two)])
    for key in ("p", "p_runs"):
        plain = [p for table in tables for p in cells(table, key)]
        corrected = [p for table in tables for p in cells(table, f"{key}_holm")]
        assert corrected == holm(plain)
        assert sum(p is not None for p in plain) == 6
    assert all("6 differences on this page" in " ".join(table.notes) for table in tables)
    (table,) = page(
        [Comparison("a", FACTS, [one[0], one[1], replace(one[2], runs=one[2].runs[:1])])]
    )
    assert "1 difference between systems and 2 differences between runs on this page" in " ".join(
        table.notes
    )


def test_what_may_be_called_no_difference(runs: Runs) -> None:
    made = outcomes(runs)
    same = [made[0], Outcome("same", DATA, made[0].runs)]
    (table,) = page([Comparison("t", FACTS, same)])
    assert cells(table, "verdict") == [None, "no difference"], "the same answers"
    (narrow,), (wide,) = (
        page([Comparison("t", FACTS, [made[0], made[2]])], margin) for margin in (0.01, 50)
    )
    assert cells(narrow, "verdict")[1] == "undecided"
    assert cells(wide, "verdict")[1] == "no difference"
    assert "within ± 50 F1" in " ".join(wide.notes)
    (table,) = page([Comparison("t", FACTS, [made[0], made[1]])], 50)
    assert cells(table, "verdict")[1] == "better, within ± 50"


def test_one_seed_says_nothing_about_systems(runs: Runs) -> None:
    (table,) = ablation_tables("t", FACTS, outcomes(runs, (1,)))
    for key in ("interval", "p", "p_holm", "rank"):
        assert cells(table, key) == [None] * 4
    assert "verdict" not in [column.key for column in table.columns]
    assert all(p is not None for p in cells(table, "p_runs")[1:])
    assert all(delta is not None for delta in cells(table, "delta")[1:])
    assert "detectable" not in table.facts
    assert "one seed says nothing" in " ".join(table.notes)


def test_a_system_against_itself(runs: Runs) -> None:
    (table,) = ablation_tables("t", FACTS, outcomes(runs, (1, 2, 3, 4)))
    (line,) = [note for note in table.notes if note.startswith("A/A")]
    assert "12 splits of the seeds of 4 systems" in line


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
    mean = statistics.fmean(run.scores.f1 for run in base.runs)
    for i, arm in enumerate(made[1:3], 1):
        (run,) = arm.runs
        assert cells(table, "delta")[i] == pytest.approx(run.scores.f1 - mean)
    assert cells(table, "delta")[3] is None
    assert [p is None for p in cells(table, "p_runs")] == [True, False, True, True]
    assert cells(table, "p_runs_holm")[1] == cells(table, "p_runs")[1], "one arm is tested"
    assert cells(table, "p") == [None] * 4
    assert table.rows[3][2:] == [None] * (len(table.columns) - 2)
    assert table.shown()[4][2:] == ["–"] * (len(table.columns) - 2)
    assert "better: seed 3 only." in table.notes
    assert "worse: no runs." in table.notes


def test_a_base_without_runs(runs: Runs) -> None:
    _, *arms = outcomes(runs)
    (table,) = ablation_tables("t", FACTS, [Outcome("base", DATA, []), *arms])
    assert cells(table, "delta") == [None] * 4
    assert cells(table, "p_runs") == [None] * 4
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
        write_plot(tables, tmp_path / folder, "parts")
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
    for suffix in (".png", ".svg", ".tex"):  # a page of a paper has no seconds
        assert one[suffix] == other[suffix]
    for suffix in (".md", ".csv", ".json"):
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


def dots(ax: Any) -> list[list[float]]:
    """The values of the marks on an axis, line by line, without bounds and legend."""
    lines = [line for line in ax.lines if line.get_marker() not in ("None", "|", "")]
    return [list(map(float, line.get_xdata())) for line in lines if len(line.get_xdata())]


def test_a_plot_shows_what_the_table_says(runs: Runs) -> None:
    (table,) = panels(runs, ["parts: seeing on mini"])
    left, right = draw([table]).axes
    assert left.get_title(loc="left") == "parts: seeing on mini"
    assert (left.get_xlabel(), right.get_xlabel()) == ("F1 (%)", "Δ F1 to the base")
    names = [label.get_text().replace("\n", " ") for label in left.get_yticklabels()]
    assert [name.replace("\u00a0", " ") for name in names] == cells(table, "arm")
    assert dots(left) == [list(seeds) for seeds in cells(table, "f1_seeds")]
    assert dots(right) == [[delta] for delta in cells(table, "delta")[1:]]
    ranges = [list(line.get_xdata()) for line in right.lines if line.get_linestyle() == "-"]
    for each in cells(table, "interval")[1:]:
        assert list(each) in ranges
    low, high = right.get_xlim()
    assert low < 0 < high, "the axis holds 0"
    assert not left.patches, "no bars"
    (ceiling,) = [line for line in left.lines if line.get_linestyle() == "--"]
    assert list(ceiling.get_xdata()) == [77.5, 77.5]


@pytest.mark.parametrize(("titles", "arms"), [(["a", "b"], 4), (["a", "b"], 12), (["a"], 30)])
def test_nothing_is_cut_off_or_overlaps(runs: Runs, titles: list[str], arms: int) -> None:
    with style.context(["default", STYLE]):
        figure = draw(panels(runs, titles, arms))
        figure.draw_without_rendering()
    assert len(figure.axes) == 2 * len(titles)
    for ax in figure.axes[::2]:
        boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
        assert len(boxes) == arms
        assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(boxes))
        assert all(box.x0 >= -1 and box.y0 >= -1 for box in boxes)


def test_values_of_across_have_marks_in_one_panel(runs: Runs) -> None:
    tables = [
        table
        for value in ("x=0", "x=1")
        for table in panels(runs, [f"parts: seeing on mini, {value}"], across=value)
    ]
    left, _ = draw(tables).axes
    assert left.get_title(loc="left") == "parts: seeing on mini"
    assert len(dots(left)) == 8
    marks = {line.get_marker() for line in left.lines if len(line.get_xdata()) == 3}
    assert len(marks) == 2, "told apart without colour"
    assert left.get_yticklabels()[0].get_text() == "base"
    assert {text.get_text() for text in left.figure.legends[0].texts} == {
        "x=0",
        "x=1",
        "text-only ceiling",
        "grounding bar",
        "± 0.5 F1",
        "mean; dots: seeds",
        "95 % interval",
    }


def test_many_values_of_across_have_a_mark_each() -> None:
    assert len({mark(index) for index in range(64)}) == 64


def test_a_plot_of_missing_runs(runs: Runs, tmp_path: Path) -> None:
    made = [Outcome("base", DATA, []), Outcome("a", DATA, [])]
    write_plot(ablation_tables("t", FACTS, made), tmp_path, "none")
    one = [Outcome("base", DATA, [runs.make("base", 1.0)]), Outcome("a", DATA, [])]
    write_plot(ablation_tables("t", FACTS, one), tmp_path, "one")
    for name in ("none", "one"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 200
            assert len(set(picture.convert("L").tobytes())) > 10, "something is drawn"
        assert ET.parse(tmp_path / f"{name}.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize("name", ["$a$", "50$ {", "a\u202eb", "x\x00y", "\\frac{", "字"])
def test_an_arm_of_any_name_is_drawn(runs: Runs, tmp_path: Path, name: str) -> None:
    made = [Outcome(each, DATA, [runs.make("base", 0.7)]) for each in ("base", name)]
    write_plot(ablation_tables(name, {**FACTS, "across": name}, made), tmp_path, "odd")
    assert ET.parse(tmp_path / "odd.svg").getroot().tag.endswith("svg")
