"""Objects of JSONL and rows of CSV to predict, read one at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from zoo.data.files import parse_json
from zoo.errors import DataError, invisible, near
from zoo.importers.csv_ import separator
from zoo.importers.record import IMAGES

KEYS = ("text", "words", "id", "image", "caption", "language")
"""What a field of an object, or a column of a table, may hold of a post."""
_SPANS = ("tokens", "entities", "spans", "label", "labels", "tags", "ner_tags")
_SAME = {"text": ("words", "tokens"), "words": ("text", "tokens"), "image": IMAGES}
"""Fields that are passed over where ``columns`` name another for them."""


def objects(
    lines: Iterable[tuple[int, str]], name: str, columns: Mapping[str, str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """A JSON object a line, with the fields that ``columns`` name under the keys they are for.

    Raises:
        DataError: also where a field of ``columns`` is in no object, or that of the words in one.
    """
    fields = set[str]()
    number = 0
    for number, line in lines:
        if invisible(line):
            continue
        where = f"{name}:{number}"
        record = parse_json(line, where, "write one object a line")
        if not isinstance(record, dict):
            raise DataError(f'{where}: not an object; write {{"text": "…"}}')
        fields.update(record if columns else ())
        for key in ("text", "words"):
            if key in columns and record.get(columns[key]) is None:
                raise DataError(_lacking(where, key, columns[key], record))
        own = (
            columns.keys() | set(columns.values()) | {k for c in columns for k in _SAME.get(c, ())}
        )
        others = {key: value for key, value in record.items() if key not in own}
        record = others | {key: record.get(field) for key, field in columns.items()}
        yield number, {key: value for key, value in record.items() if value is not None}
    for key, field_ in columns.items():
        if fields and field_ not in fields:
            raise DataError(_lacking(name, key, field_, fields))


def _lacking(where: str, key: str, name: str, there: Iterable[str]) -> str:
    return f"{where}: --columns {key}={name}: there is no `{name}`{near(name, there)}"


def cells(
    lines: Iterable[tuple[int, str]], name: str, first: str, columns: Mapping[str, str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a table, whose first names the columns; ``columns`` as for :func:`objects`.

    Raises:
        DataError: also where no column is called ``text``, and ``columns`` name none.
    """
    rows = _table(lines, name, separator(first))
    number, names = next(rows, (1, []))
    names = [cell.strip() for cell in names]
    where = f"{name}:{number}"
    lower = [each.lower() for each in names]
    if double := next((each for each in lower if each and lower.count(each) > 1), None):
        raise DataError(f"{where}: two columns are called `{double}`; rename one of them")
    for key, column in columns.items():
        if column not in names:
            raise DataError(_lacking(where, key, column, names))
    known = {key: key for key in ("text", "id", "caption", "language")}
    known |= {"image": next((each for each in IMAGES if each in lower), "image")}
    at = {key: lower.index(each) for key, each in known.items() if each in lower}
    at |= {key: names.index(column) for key, column in columns.items()}
    if names and "text" not in at:
        raise DataError(
            f"{where}: columns {', '.join(names)}; say which is the text: --columns text=NAME"
        )
    passed = {*at.values(), *(n for n, each in enumerate(lower) if each in ("", *KEYS, *_SPANS))}
    for number, row in rows:
        record = {names[n]: cell for n, cell in enumerate(row) if n not in passed and cell.strip()}
        record |= {key: row[n].strip() for key, n in at.items() if row[n].strip()}
        yield number, record | {"text": row[at["text"]]}


def _table(
    lines: Iterable[tuple[int, str]], name: str, comma: str
) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table, each with the line it ends in, and as many cells as the first row has.

    Raises:
        DataError: a row has too many or too few cells, or its quotes are not in order.
    """
    reader = csv.reader((f"{line}\n" for _, line in lines), delimiter=comma, strict=True)
    width = 0
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{name}:{reader.line_num}: not a table ({error}); quote cells that hold quotes, "
                "and double their quotes"
            ) from None
        if row is None:
            return
        if invisible("".join(row)):
            continue
        width = width or len(row)
        if len(row) < width or any(cell.strip() for cell in row[width:]):
            raise DataError(
                f"{name}:{reader.line_num}: {len(row)} cells, but {width} columns; quote cells "
                f"that hold `{comma}`, and double their quotes"
            )
        yield reader.line_num, row[:width]
