"""Where tables go: Markdown, CSV, LaTeX, JSON, a terminal."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.files import write_atomic
from zoo.results.tables import Column, Spread, Table, Value, visible

if TYPE_CHECKING:
    from rich.table import Table as RichTable


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
    """One header for all tables: facts, then columns; a mean's deviation stands in ``<key>_sd``.

    Text that a spreadsheet would take for a formula has an apostrophe before it, and characters
    that can't be seen are escapes; the JSON file holds names as they are.
    """
    records = [
        {key: _inert(fact) for key, fact in table.facts.items()} | dict(_flat(table.columns, row))
        for table in tables
        for row in table.rows
    ]
    header = list(dict.fromkeys(key for record in records for key in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
    if header:
        writer.writerow({key: _inert(key) for key in header})
    writer.writerows(records)
    return text.getvalue()


def _flat(columns: Sequence[Column], row: Sequence[Value]) -> list[tuple[str, str]]:
    cells: list[tuple[str, Any]] = []
    for column, value in zip(columns, row, strict=True):
        if isinstance(value, Spread):
            cells += [(column.key, value.mean), (f"{column.key}_sd", value.sd)]
        else:
            cells.append((column.key, value))
    return [
        (key, _inert(value) if isinstance(value, str) else "" if value is None else str(value))
        for key, value in cells
    ]


def _inert(text: str) -> str:
    text = visible(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


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
    text = json.dumps({"tables": data}, indent=2, ensure_ascii=False, allow_nan=False)
    # lone surrogates, which UTF-8 can't hold, as escapes, which JSON reads back
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


def render(table: Table, details: bool = False) -> RichTable:
    """The table for a terminal; without ``details`` only its narrow columns."""
    from rich.table import Table as RichTable
    from rich.text import Text

    notes = "\n".join(map(visible, table.notes))
    answer = RichTable(title=Text(visible(table.title)), caption=Text(notes))
    chosen = [i for i, column in enumerate(table.columns) if details or not column.detail]
    labels, *rows = table.shown()
    for index in chosen:
        answer.add_column(
            Text(labels[index]),
            justify="left" if table.is_text(index) else "right",
            overflow="fold",
            # what a row is called is never cut off, however narrow the terminal
            min_width=max((len(row[index]) for row in rows), default=0) if index == 0 else None,
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
    return "".join(_LATEX.get(character, character) for character in _line(text))


def _markdown(text: str) -> str:
    """Plain text as Markdown source, in one line."""
    return re.sub(r"([\\|*<`\[\]])", r"\\\1", _line(text))


def _line(text: str) -> str:
    return " ".join(visible(text).split())
