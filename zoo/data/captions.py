"""Captions files: ``<id>.jpg :caption`` lines, TSV, JSONL, or one JSON value."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo.data.files import parse_json, text_of, trim
from zoo.data.findings import some
from zoo.data.pictures import picture_id
from zoo.errors import DataError, invisible

NAMES = ("image_id", "id", "image", "file_name", "filename")
"""What the id of a caption is called in JSON and in the header of a TSV file."""


class ById:
    """Texts by picture id, which may have a picture's suffix or not.

    Args:
        file: where they are from, for messages.
        texts: by the ids that :func:`caption_id` gives.
        none: what is said where none was found, as in ``no caption is``.
        each: what the file holds one of for each id, as in ``each caption``.
    """

    def __init__(self, file: Path, texts: Mapping[str, str], none: str, each: str) -> None:
        self._file, self._texts, self._none, self._each = file, texts, none, each
        self._sought: list[str] = []
        self._found = 0

    def find(self, id: str) -> str | None:
        """The text of an id; None where the file does not have the id."""
        text = self._texts.get(caption_id(id))
        self._sought.append(id)
        self._found += text is not None
        return text

    def check(self) -> None:
        """Raises DataError where texts were looked for and none was found."""
        if self._sought and not self._found:
            raise DataError(
                f"{self._file}: {self._none} of a sentence; the file has {some(self._texts)}, "
                f"but the ids of sentences are {some(self._sought)}; give {self._each} the id of "
                f"its sentence"
            )


class Captions(ById):
    """The captions in a file; "" where one is empty."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, read_captions(file), "no caption is", "each caption")


def caption_id(name: str) -> str:
    """A picture's id: its file name without suffix, in Unicode's composed form."""
    return picture_id(unicodedata.normalize("NFC", trim(name)))


def read_captions(path: Path) -> dict[str, str]:
    """Captions by picture id (a picture's file name without suffix); some may be empty.

    The beginning shows the format: a JSON object a line, ``{"id": …, "caption": …}`` (``image_id``,
    ``image`` or ``file_name`` will do for ``id``), a JSON array of such objects, one JSON object
    of captions by id, an id and a caption with a tab between them (a header may come first), or
    ``<id>.jpg :caption``.

    Raises:
        DataError: the file is missing or empty, a line has no id or is not of that format, an id
            occurs twice.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: not a file; `captions` names a file")
    captions: dict[str, str] = {}
    first: dict[str, str] = {}
    for place, name, caption in _entries(text_of(path), path):
        where, id = _where(path, place), caption_id(name)
        if not id:
            raise DataError(f"{where}: a caption without an id; put the id first")
        if id in first:
            raise DataError(
                f"{where}: the id `{id}` is a duplicate of that in {first[id]}; "
                f"keep one caption a picture"
            )
        first[id] = place
        captions[id] = "" if invisible(caption) else caption.replace("\ufeff", "").strip()
    return captions


def _where(path: Path, place: str) -> str:
    return f"{path}:{place[5:]}" if place.startswith("line ") else f"{path}: {place}"


def _entries(text: str, path: Path) -> Iterator[tuple[str, str, str]]:
    """Where each caption stands (``line 3``, ``item 3``), its id, and itself."""
    numbered = enumerate(text.split("\n"), 1)
    lines = [(f"line {n}", line) for n, line in numbered if not invisible(line)]
    head = lines[0][1]
    if head.lstrip().startswith("["):
        for n, record in enumerate(_array(text, path), 1):
            yield f"item {n}", *_record(record, _where(path, f"item {n}"))
        return
    if head.lstrip().startswith("{"):
        if (captions := _mapping(text, path)) is not None:
            for n, (name, caption) in enumerate(captions, 1):
                yield f"item {n}", name, caption or ""
            return
        parse = _json
    elif "\t" in head:
        parse = _tsv
        name, *rest = head.lower().split("\t")
        if name.strip() in NAMES and [column.strip() for column in rest] == ["caption"]:
            del lines[0]
    else:
        parse = _colon
    for place, line in lines:
        yield place, *parse(line, _where(path, place))


def _array(text: str, path: Path) -> list[Any]:
    remedy = 'write an array of {"id": "…", "caption": "…"}, or one such object a line'
    records = parse_json(text, str(path), remedy)
    assert isinstance(records, list), "what begins with a bracket is an array"
    return records


def _mapping(text: str, path: Path) -> list[tuple[str, str | None]] | None:
    """Ids and captions, where the file is one JSON object of captions by id; else None."""
    try:
        pairs = json.loads(text, object_pairs_hook=list)  # a dictionary would hide duplicates
    except (ValueError, RecursionError):
        return None
    parse_json(text, str(path), "write the captions as text")
    if any(key == "caption" or not isinstance(value, str | None) for key, value in pairs):
        return None
    return pairs or None


def _colon(line: str, where: str) -> tuple[str, str]:
    name, colon, caption = line.partition(" :")
    if not colon:
        raise DataError(f"{where}: no ` :` between id and caption; write `<id>.jpg :caption`")
    return name, caption


def _tsv(line: str, where: str) -> tuple[str, str]:
    name, tab, caption = line.partition("\t")
    if not tab or "\t" in caption.rstrip("\t"):
        raise DataError(f"{where}: not two columns; write the id, one tab, and the caption")
    return name, caption


def _json(line: str, where: str) -> tuple[str, str]:
    return _record(parse_json(line, where, "write one object a line"), where)


def _record(record: Any, where: str) -> tuple[str, str]:
    fields = record if isinstance(record, dict) else {}
    name = next((fields[key] for key in NAMES if key in fields), None)
    caption = fields.get("caption")
    if (
        isinstance(name, bool)
        or not isinstance(name, str | int)
        or "caption" not in fields
        or not isinstance(caption, str | None)
    ):
        raise DataError(
            f'{where}: write {{"id": "…", "caption": "…"}}, the caption as text and the id as text '
            f"or a whole number"
        )
    return str(name), caption or ""
