"""Objects of JSON and JSONL files, each with its place for messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from zoo.data.files import text_of
from zoo.errors import DataError, invisible

_LISTS = ("rows", "data", "documents", "examples", "train")
"""Keys under which a file may hold its list of records."""


def records(file: Path) -> Iterator[tuple[str, Any]]:
    """Each record with its place (``posts.jsonl:3``, or ``posts.json: record 3`` of a list).

    Raises:
        DataError: not JSON, with each line that is not.
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
        found, problems = list[tuple[str, Any]](), list[str]()
        for number in filled:
            try:
                found.append((f"{file}:{number}", _parsed(lines[number - 1], f"{file}:{number}")))
            except DataError as error:
                problems += error.problems
        if problems:
            raise DataError(*problems)
        yield from found
        return
    whole = _parsed(text, str(file))
    listed = _listed(whole)
    if listed is None and isinstance(whole, dict):
        listed = [whole]
    if listed is None:
        raise DataError(f"{file}: must hold a list of records, or one record a line")
    yield from ((f"{file}: record {number}", each) for number, each in enumerate(listed, 1))


def first_records(file: Path) -> list[Any]:
    """The first records of a file, which tell what it is."""
    return [record for _, record in islice(records(file), 50)]


def _listed(value: Any) -> list[Any] | None:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        if {"classes", "annotations"} <= value.keys():  # of an annotator for spaCy
            return _listed(value["annotations"])
        return next((value[key] for key in _LISTS if isinstance(value.get(key), list)), None)
    return None


def _object(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    """An object of JSON. Raises DataError where a key is there twice: one value would be lost."""
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        double = next(key for key in made if keys.count(key) > 1)
        raise DataError(f"{where}: an object has `{double}` twice; leave the one that is right")
    return made


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _object(pairs, where))
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        at = where if line == 1 else f"{where}:{line}"
        raise DataError(f"{at}: not JSON ({error}); export the file again as JSON") from None
