"""Where tables go: Markdown, CSV, LaTeX, JSON. (A terminal: ``terminal``.)"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.files import write_atomic
from zoo.results.latex import to_latex
from zoo.results.tables import Column, Each, Place, Range, Spread, Table, Value, line, visible


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
    """One header for all tables: facts, then columns; a mean's deviation stands in ``<key>_sd``, an
    interval in ``<key>_low`` and ``<key>_high``, that of a rank in ``_best`` and ``_worst``.

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
        if isinstance(value, Spread | Place):
            (first, *further) = value._asdict().items()
            cells.append((column.key, first[1]))
            cells += [(f"{column.key}_{name}", part) for name, part in further]
        elif isinstance(value, Range):
            cells += [(f"{column.key}_{name}", part) for name, part in value._asdict().items()]
        elif isinstance(value, Each):
            cells.append((column.key, " ".join(map(str, value))))
        else:
            cells.append((column.key, value))
    return [(key, _cell(value)) for key, value in cells]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _inert(value) if isinstance(value, str) else "" if value is None else str(value)


def _inert(text: str) -> str:
    text = visible(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def to_json(tables: Sequence[Table]) -> str:
    """Everything, in full precision.

    A mean is ``{"mean": …, "sd": …}``, an interval ``{"low": …, "high": …}``.
    """
    data = as_plain(tables)
    text = json.dumps({"tables": data}, indent=2, ensure_ascii=False, allow_nan=False)
    # lone surrogates, which UTF-8 can't hold, as escapes, which JSON reads back
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


def as_plain(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Tables as what JSON holds; see :func:`to_json`."""
    return [
        {
            "title": table.title,
            **table.facts,
            "notes": list(table.notes),
            "columns": [{"key": column.key, "label": column.label} for column in table.columns],
            "rows": [
                {
                    column.key: value._asdict()
                    if isinstance(value, Spread | Range | Place)
                    else value
                    for column, value in zip(table.columns, row, strict=True)
                }
                for row in table.rows
            ],
        }
        for table in tables
    ]


def _markdown(text: str) -> str:
    """Plain text as Markdown source, in one line."""
    return re.sub(r"([\\|*<`\[\]])", r"\\\1", line(text))
