"""Tables say what the runs say, in four files whose bytes follow from the runs alone."""

from __future__ import annotations

import csv
import io
import json
import random
import statistics
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from zoo.evaluation.scores import Scores
from zoo.identity import digest
from zoo.results.evidence import Run
from zoo.results.leaderboard import leaderboard
from zoo.results.record import RunRecord
from zoo.results.tables import Column, Spread, Table, visible
from zoo.results.terminal import render
from zoo.results.writers import to_csv, to_json, to_latex, to_markdown, write


def scores(correct: int, predicted: int = 100, languages: tuple[str, ...] = ()) -> Scores:
    """``correct`` of 100 gold entities, all PER but 20 LOC."""
    part = Scores(80, predicted - 20, correct - 10)
    per_type = {"LOC": Scores(20, 20, 10), "PER": part, "NEVER": Scores(0, 0, 0)}
    whole = Scores(100, predicted, correct)
    return Scores(100, predicted, correct, per_type, dict.fromkeys(languages, whole))


def run(
    system: str = "bert-crf", seed: int = 1, f1: int = 80, config: str = "", **changes: Any
) -> Run:
    fields: dict[str, Any] = {
        "id": digest([system, config, seed])[:12],
        "system": system,
        "dataset": "mini",
        "seed": seed,
        "backbone": "tiny",
        "recipe": "mini",
        "config_hash": digest({"system": system, "config": config}),
        "data_fingerprint": "f" * 64,
        "sources_hash": "s",
        "tags": "lenient",
        "versions": {},
        "device": "cpu",
        "command": "zoo run registry.yaml",
        "started": datetime(2025, 1, 2, tzinfo=UTC),
        "seconds": {"train": 10.0 + seed, "total": 14.0},
        "sentences": {"train": 3000, "dev": 500, "test": 1234},
        "epochs": 8,
        "best_epoch": 5,
        "dev": scores(50),
        "test": scores(f1),
        "speed": {"train": 100.0 * seed, "predict": 1000.0},
        "parameters": {"trained": 50_000, "total": 22_713_216},
        "text_only": True,
    }
    record = RunRecord.model_validate(fields | changes)
    return Run(record, record.test, f"{seed}" * 64)


def cells(table: Table, key: str) -> list[Any]:
    index = [column.key for column in table.columns].index(key)
    return [row[index] for row in table.rows]


# The leaderboard ---------------------------------------------------------------------------------


def test_seeds_make_a_row_and_the_best_comes_first() -> None:
    runs = [run(seed=s, f1=f) for s, f in ((1, 80), (2, 83), (3, 82))]
    (table,) = leaderboard([*runs, run("bert-span", f1=90)])
    assert cells(table, "system") == ["bert-span", "bert-crf"]
    assert cells(table, "n") == [1, 3]
    best, mean = cells(table, "f1")
    assert best == Spread(90.0, None)
    assert mean.mean == pytest.approx(statistics.mean([80, 83, 82]))
    assert mean.sd == pytest.approx(statistics.stdev([80, 83, 82]))
    assert cells(table, "train_seconds") == [11.0, 12.0]
    assert cells(table, "train_speed") == [100.0, 200.0]
    assert cells(table, "parameters") == [22_713_216] * 2
    assert cells(table, "f1_type_LOC")[1] == Spread(50.0, 0.0)
    keys = [column.key for column in table.columns]
    assert "f1_type_NEVER" not in keys
    assert "overrides" not in keys
    assert cells(table, "variant") == [run("bert-span").record.variant, runs[0].record.variant]


def test_different_data_never_share_a_table() -> None:
    runs = [run(), run(data_fingerprint="0" * 64), run(dataset="other"), run(seed=2)]
    tables = leaderboard(runs)
    assert [(t.facts["dataset"], t.facts["fingerprint"][0]) for t in tables] == [
        ("mini", "0"),
        ("mini", "f"),
        ("other", "f"),
    ]
    assert [len(table.rows) for table in tables] == [1, 1, 1]
    assert cells(tables[1], "n") == [2]


def test_a_label_in_two_variants_is_told_apart_by_its_hash() -> None:
    old, new = run(sources_hash="old"), run(sources_hash="new", f1=81)
    (table,) = leaderboard([old, new, run("bert-span", f1=70)])
    assert cells(table, "system") == [
        f"bert-crf ({new.record.variant[:6]})",
        f"bert-crf ({old.record.variant[:6]})",
        "bert-span",
    ]


def test_backbones_and_overrides_tell_apart_by_themselves() -> None:
    other = run(config="a", backbone="minilm", f1=81)
    changed = run(config="b", overrides=["a=1", "b=2"], f1=82)
    (table,) = leaderboard([run(), other, changed], all=True)
    assert cells(table, "system") == ["bert-crf"] * 3
    assert cells(table, "backbone") == ["tiny", "minilm", "tiny"]
    assert cells(table, "overrides") == ["a=1 b=2", None, None]


@pytest.mark.parametrize("what", ["backbone", "recipe"])
def test_what_tells_rows_apart_stands_in_every_form(what: str) -> None:
    (same,) = leaderboard([run(), run("bert-span")])
    (table,) = leaderboard([run(), run(config="a", f1=81, **{what: "another"})])
    console = Console(width=80, file=io.StringIO())
    console.print(render(table))
    assert isinstance(console.file, io.StringIO)
    for text in (console.file.getvalue(), to_latex([table])):
        assert "another" in text
    assert "tiny" not in to_latex([same])
    assert cells(table, what)[0] == "another"


def test_languages_have_columns_where_there_are_several() -> None:
    one = run(test=scores(80, languages=("en",)))
    two = run(test=scores(80, languages=("en", "de")))
    (table,) = leaderboard([one])
    assert not [c for c in table.columns if c.key.startswith("f1_language")]
    (table,) = leaderboard([two])
    labels = [c.label for c in table.columns if c.key.startswith("f1_language")]
    assert labels == ["F1 de", "F1 en"]


def test_the_header_says_how_to_read_it() -> None:
    (table,) = leaderboard([run(text_only_ceiling=61.234, grounding_bar=70.0)])
    notes = "\n".join(table.notes)
    for phrase in (
        "Data ffffffffffff;",
        "1,234 sentences, 100 entities",
        "Tags read: lenient.",
        "Text-only ceiling: 61.23 F1.",
        "Grounding bar: 70.00 F1.",
        "best on dev",
    ):
        assert phrase in notes
    (table,) = leaderboard([run(tags=None)])
    assert "Tags" not in "\n".join(table.notes)
    assert "ceiling" not in "\n".join(table.notes)


@given(st.permutations(range(6)))
def test_order_of_runs_does_not_matter(order: list[int]) -> None:
    runs = [run(name, seed, 80 + seed) for name in ("a", "b") for seed in (1, 2, 3)]
    assert to_json(leaderboard([runs[i] for i in order])) == to_json(leaderboard(runs))


@given(st.lists(st.integers(11, 90), min_size=1, max_size=6))
def test_mean_and_deviation(figures: list[int]) -> None:
    (table,) = leaderboard([run(seed=s, f1=f) for s, f in enumerate(figures)])
    ((mean, sd),) = cells(table, "f1")
    assert mean == pytest.approx(sum(figures) / len(figures))
    if len(figures) == 1:
        assert sd is None
    else:
        squares = sum((figure - mean) ** 2 for figure in figures)
        assert sd == pytest.approx((squares / (len(figures) - 1)) ** 0.5, abs=1e-9)


# The writers -------------------------------------------------------------------------------------

TABLE = Table(
    title="50% of_mini",
    columns=[
        Column("system", "system", paper=True),
        Column("n", "n", digits=0, paper=True),
        Column("f1", "F1", paper=True),
        Column("parameters", "total (M)", scale=1e-6, detail=True, paper=True),
    ],
    rows=[
        ["a|b_c", 3, Spread(82.504, 0.306), 22_713_216],
        ["[x] & *y*", 1, Spread(1 / 3, None), None],
    ],
    facts={"dataset": "mini", "fingerprint": "abc"},
    notes=["Tags read: lenient."],
)


def test_markdown() -> None:
    assert to_markdown([TABLE], "Leaderboard") == (
        "# Leaderboard\n"
        "\n"
        "## 50% of_mini\n"
        "\n"
        "Tags read: lenient.\n"
        "\n"
        "| system        |   n |           F1 | total (M) |\n"
        "| ------------- | --: | -----------: | --------: |\n"
        "| a\\|b_c        |   3 | 82.50 ± 0.31 |     22.71 |\n"
        "| \\[x\\] & \\*y\\* |   1 |     0.33 ± – |         – |\n"
    )
    assert to_markdown([], "Leaderboard") == "# Leaderboard\n\nNo runs yet.\n"


def test_csv_holds_full_precision() -> None:
    text = to_csv([TABLE])
    assert text == (
        "dataset,fingerprint,system,n,f1,f1_sd,parameters\n"
        "mini,abc,a|b_c,3,82.504,0.306,22713216\n"
        "mini,abc,[x] & *y*,1,0.3333333333333333,,\n"
    )
    other = Table("t", [Column("delta", "Δ")], [[None], [-0.5]], {"dataset": "t"})
    rows = list(csv.DictReader(io.StringIO(to_csv([TABLE, other]))))
    assert float(rows[1]["f1"]) == 1 / 3
    assert [row["delta"] for row in rows] == ["", "", "", "-0.5"]
    assert to_csv([]) == ""


def test_latex_is_escaped() -> None:
    text = to_latex([TABLE])
    assert r"\caption{50\% of\_mini}" in text
    assert r"\parbox{\linewidth}{\scriptsize Tags read: lenient.}" in text
    assert r"\begin{tabular}{lrrr}" in text
    assert r"a\textbar{}b\_c & 3 & 82.50 $\pm$ 0.31 & 22.71 \\" in text
    assert r"{[}x] \& {*}y{*} & 1 & 0.33 $\pm$ -- & -- \\" in text
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count("\\" + rule) == 1


@given(st.text(alphabet=st.sampled_from("\\&%$#_{}~^<>|[*±Δ–ab \n")))
def test_no_special_character_reaches_latex_bare(name: str) -> None:
    text = to_latex([Table("t", [Column("a", "a", paper=True)], [[name]])])
    body = text.split("\\midrule\n")[1].split(" \\\\\n\\bottomrule")[0]
    assert "\n" not in body
    for command in (
        *(rf"\text{word}{{}}" for word in ("backslash", "asciitilde", "asciicircum", "bar")),
        *(r"\textless{}", r"\textgreater{}", r"$\pm$", r"$\Delta$", "{[}", "{*}"),
        *("\\" + character for character in "&%$#_{}"),
    ):
        body = body.replace(command, "")
    assert not set(body) & set("\\&%$#_{}~^<>|[*±Δ–")


def test_json_holds_everything() -> None:
    (table,) = json.loads(to_json([TABLE]))["tables"]
    assert table["title"] == "50% of_mini"
    assert table["fingerprint"] == "abc"
    assert table["notes"] == ["Tags read: lenient."]
    assert table["columns"][3] == {"key": "parameters", "label": "total (M)"}
    assert table["rows"][1] == {
        "system": "[x] & *y*",
        "n": 1,
        "f1": {"mean": 1 / 3, "sd": None},
        "parameters": None,
    }


def test_write_gives_the_same_bytes(tmp_path: Path) -> None:
    runs = [run(name, seed, 70 + seed) for name in ("a", "b", "c") for seed in (1, 2)]
    write(leaderboard(runs), tmp_path / "one")
    random.Random(1).shuffle(runs)
    write(leaderboard(runs), tmp_path / "two", "leaderboard")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == [f"leaderboard.{suffix}" for suffix in ("csv", "json", "md", "tex")]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    write([], tmp_path / "none")
    assert json.loads((tmp_path / "none" / "leaderboard.json").read_text()) == {"tables": []}


def test_terminal() -> None:
    def shown(details: bool) -> str:
        console = Console(file=io.StringIO(), width=100)
        console.print(render(TABLE, details))
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    assert "82.50 ± 0.31" in shown(False)
    assert "[x] & *y*" in shown(False)  # not taken for markup
    assert "22.71" not in shown(False)
    assert "22.71" in shown(True)


def test_every_leaderboard_goes_through_every_writer() -> None:
    tables = leaderboard(
        [run(), run("x", config="a", overrides=["a.b=c"], text_only_ceiling=60.0)], all=True
    )
    for text in (to_markdown(tables, "L"), to_csv(tables), to_latex(tables), to_json(tables)):
        assert "a.b=c" in text.replace("\\", "")


# Names that are not what they seem ---------------------------------------------------------------

CONTROL = [chr(i) for i in (*range(32), *range(0x7F, 0xA0))]
BIDI = list("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
UNSEEN = [*CONTROL, *BIDI, "\u2028", "\u2029", "\ufeff", "\ud800", "\udfff"]
NAMES = st.text(
    st.sampled_from([*UNSEEN, *"ab=+-@'\"|\\$&, é字\u200d😀"]) | st.characters(), max_size=12
)


def hostile(name: str) -> Table:
    """A table that has a name wherever a name may stand."""
    columns = [Column("a", name, paper=True), Column("b", "b", paper=True)]
    return Table(name, columns, [[name, -1.5]], {"dataset": name}, [name])


@given(NAMES)
def test_readers_see_every_character(name: str) -> None:
    """Nothing that moves the cursor or turns the line around reaches a terminal, or a page."""
    table = hostile(name)
    console = Console(file=io.StringIO(), width=400)
    console.print(render(table))
    assert isinstance(console.file, io.StringIO)
    for text in (console.file.getvalue(), to_markdown([table], "L"), to_latex([table])):
        assert not set(text) & (set(UNSEEN) - {"\n"})
        text.encode()
    rows = [line for line in to_markdown([table], "L").splitlines() if line.startswith("|")]
    assert len(rows) == 3, "a name is one line"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\u202eb", r"a\u202eb"),
        ("a\x1b[31m", r"a\x1b[31m"),
        ("a\nb", r"a\nb"),
        ("\ud800", r"\ud800"),
        ("naïve 字 👩\u200d💻", "naïve 字 👩\u200d💻"),
    ],
)
def test_what_is_not_seen_is_an_escape(name: str, shown: str) -> None:
    assert visible(name) == shown
    assert visible(shown) == shown


@given(NAMES)
def test_no_text_cell_is_a_formula(name: str) -> None:
    text = to_csv([hostile(name), Table("t", [Column("b", "b")], [["x"]], {})])
    text.encode()
    header, first, _ = csv.reader(io.StringIO(text))
    assert header == ["dataset", "a", "b"]
    for cell in first[:2]:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert cell in (visible(name), f"'{visible(name)}")
    assert first[2] == "-1.5", "a number is no formula"


@given(NAMES)
def test_json_keeps_names_as_they_are(name: str) -> None:
    text = to_json([hostile(name)])
    text.encode()
    (table,) = json.loads(text)["tables"]
    assert (table["title"], table["dataset"], table["rows"][0]["a"]) == (name, name, name)


def test_seeds_of_a_variant_stand_together_whatever_was_asked_for_with_them() -> None:
    """An override that changes nothing of a run makes no other variant of it."""
    found = [run(seed=1, overrides=["systems.smner.aligner=null"]), run(seed=2), run(seed=3)]
    (table,) = leaderboard(found)
    assert cells(table, "n") == [3]
    assert "overrides" not in [column.key for column in table.columns], "none is told"
    assert not [note for note in table.notes if "not shown" in note]
