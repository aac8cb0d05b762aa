"""A table is whole on any terminal: columns are left out, and nothing is cut."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from zoo.results.tables import Column, Place, Range, Spread, Table
from zoo.results.terminal import render

COLUMNS = [
    Column("system", "system"),
    Column("remark", "a remark"),
    Column("n", "n", digits=0, keep=7),
    Column("p", "P", keep=2),
    Column("f1", "F1", keep=9),
    Column("interval", "95 % interval", keep=5),
    Column("rank", "rank", keep=6),
    Column("seconds", "train seconds", digits=1),
    Column("variant", "variant", detail=True),
]


def row(name: str, remark: str | None = None) -> list[object]:
    return [name, remark, 3, 81.5, Spread(82.25, 0.5), Range(80.25, 84.0), Place(1, 1, 3, True),
            12345.0, "0123456789ab"]  # fmt: skip


def table(*names: str, remark: str | None = None) -> Table:
    note = "A note that is much longer than a terminal is wide, so that it has to be wrapped. " * 2
    return Table("a table", COLUMNS, [row(name, remark) for name in names], {}, [note])  # type: ignore[arg-type]


def shown(made: Table, width: int, details: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(render(made, details))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("details", [False, True])
def test_numbers_and_notes_are_whole(width: int, details: bool) -> None:
    made = table(
        "bert-crf", "smner with a name of many words, longer than thirty", remark="a b " * 9
    )
    lines = shown(made, width, details)
    assert max(map(cell_len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert made.notes[0].strip() in text
    left_out = text.partition("Not shown at this width: ")[2]
    values = ("82.25 ± 0.50", "80.25 to 84.00", "1= (1–3)", "12,345.0")
    for label, value in zip(("F1", "95 % interval", "rank", "train seconds"), values, strict=True):
        assert text.count(value) == 2 or label in left_out
    assert ("0123456789ab" in text) == details
    assert not (details and left_out), "with details, nothing is left out"


def test_the_least_needed_go_first() -> None:
    text = " ".join(shown(table("bert-crf"), 50))
    assert "82.25 ± 0.50" in text
    assert "1= (1–3)" in text
    assert "a remark" in text.partition("Not shown")[2]
    assert "Not shown" not in " ".join(shown(table("bert-crf"), 120))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.text("ab= 字", min_size=1, max_size=90), min_size=1, max_size=3),
    st.integers(30, 130),
)
def test_whatever_rows_are_called(names: list[str], width: int) -> None:
    lines = shown(table(*names), width)
    assert max(map(cell_len, lines)) <= width
    assert sum("82.25 ± 0.50" in line for line in lines) == len(names)
