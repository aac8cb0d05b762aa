"""Objects of JSON and JSONL files, each with its place for messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.data.files import text_of
from zoo.errors import DataError, invisible

_LISTS = ("rows", "data", "documents", "examples", "train")
"""Keys under which a file may hold its list of records."""


def records(file: Path) -> Iterator[tuple[str, Any]]:
    """Each record with its place (``posts.jsonl:3``, or ``posts.json: record 3`` of a list).

    Raises:
        DataError: not JSON, with the line.
    """
    text = text_of(file)
    lines = text.split("\n")
    filled = [number for number, line in enumerate(lines, 1) if not invisible(line)]
    first = lines[filled[0] - 1]
    try:
        one = json.loads(first)
    except (ValueError, RecursionError):
        one = None
    if one is not None and (len(filled) > 1 or (isinstance(one, dict) and not _listed(one))):
        for number in filled:
            yield f"{file}:{number}", _parsed(lines[number - 1], f"{file}:{number}")
        return
    whole = _parsed(text, str(file))
    listed = _listed(whole)
    if listed is None:
        raise DataError(f"{file}: must hold a list of records, or one record a line")
    yield from ((f"{file}: record {number}", each) for number, each in enumerate(listed, 1))


def first_record(file: Path) -> Any:
    """The first record of a file; None where there is none."""
    return next((record for _, record in records(file)), None)


def _listed(value: Any) -> list[Any] | None:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return next((value[key] for key in _LISTS if isinstance(value.get(key), list)), None)
    return None


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        at = where if line == 1 else f"{where}:{line}"
        raise DataError(f"{at}: not JSON ({error}); export the file again as JSON") from None
