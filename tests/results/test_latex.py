"""LaTeX tables: what stands in them, and that they fit a page."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.results.test_ablation_tables import FACTS, Runs, ablation_tables, outcomes
from zoo.results.latex import LINES, escaped, to_latex
from zoo.results.reported import datasets, reported
from zoo.results.tables import Column, Spread, Table


def table(types: int = 4, rows: int = 2, name: str = "bert-crf") -> Table:
    columns = [
        Column("system", "system", paper=True),
        Column("f1", "F1", paper=True),
        Column("rank", "rank", paper=True),
        Column("seconds", "seconds"),
        *(Column(f"t{i}", f"F1 T{i}", detail=True, paper=True) for i in range(types)),
    ]
    row = [name, Spread(82.5, 0.25), "1= (1–3)", 1.0, *[Spread(50.0, 9.0)] * types]
    return Table("a table", columns, [row] * rows, {}, ["A note."])  # type: ignore[list-item]


def test_only_the_columns_of_a_paper() -> None:
    text = to_latex([table()])
    assert "seconds" not in text
    assert r"bert-crf & 82.50 $\pm$ 0.25 & 1= (1--3) & 50.00 & 50.00" in text
    assert "Not shown" not in text


def test_parts_are_left_out_where_they_do_not_fit() -> None:
    text = to_latex([table(20)])
    assert "F1 T0" in text
    assert re.search(r"Not shown: F1 T\d+, .*F1 T19; see the CSV file\.", text)
    heads = text.split("\\toprule\n")[1].split(" \\\\")[0].split(" & ")
    assert heads[:3] == ["system", "F1", "rank"]


def test_long_names_are_folded() -> None:
    text = to_latex([table(4, 1, "systems.two.aligner.level=token a_word " * 3)])
    assert r"\parbox[t]" in text
    assert r"aligner.\allowbreak{}level=\allowbreak{}token" in text


def test_a_command_can_be_copied() -> None:
    assert escaped("`zoo leaderboard --all` – 1---2") == (
        r"\textasciigrave{}zoo leaderboard -{}-all\textasciigrave{} -- 1-{}-{}-2"
    )


def test_a_long_table_has_several_parts() -> None:
    text = to_latex([table(1, 2 * LINES + 1)])
    assert text.count(r"\begin{table*}") == 3
    assert text.count("(continued)") == 2
    assert text.count("bert-crf &") == 2 * LINES + 1
    assert text.count("A note.") == 1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX")
def test_pages_compile_and_nothing_juts_out(tmp_path: Path) -> None:
    tables = [*ablation_tables("t", FACTS, outcomes(Runs())), *reported(datasets()), table(20)]
    rules = "".join(rf"\newcommand{{\{each}rule}}{{\hline}}" for each in ("top", "mid", "bottom"))
    body = to_latex([*tables, table(4, 120, "systems.two.aligner.level=token a_word")])
    source = rf"\documentclass{{article}}\usepackage[utf8]{{inputenc}}{rules}" + (
        f"\\begin{{document}}\n{body}\\end{{document}}\n"
    )
    (tmp_path / "page.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert "too large" not in done.stdout
