"""Captions files: ``<id>.jpg :caption`` lines, TSV, or JSONL."""

from __future__ import annotations

import json
from pathlib import Path

from zoo.data.files import read_lines
from zoo.data.pictures import picture_id
from zoo.errors import DataError


def read_captions(path: Path) -> dict[str, str]:
    """Captions by picture id (a picture's file name without suffix); empty ones are left out.

    The first line shows the format: ``{"id" | "image": …, "caption": …}``, an id and a caption
    with a tab between them (a header line ``id caption`` may come first), or ``<id>.jpg :caption``.

    Raises:
        DataError: the file is missing or empty, a line has no id or is not of that format, an id
            occurs twice.
    """
    captions: dict[str, str] = {}
    first: dict[str, int] = {}
    lines = [(number, line) for number, line in enumerate(read_lines(path), 1) if line.strip()]
    head = lines[0][1]
    if head.lstrip().startswith("{"):
        parse = _json
    elif "\t" in head:
        parse = _tsv
        if head.lower().split("\t") in (["id", "caption"], ["image", "caption"]):
            del lines[0]
    else:
        parse = _colon
    for number, line in lines:
        name, caption = parse(line, f"{path}:{number}")
        id = picture_id(name.strip())
        if not id:
            raise DataError(f"{path}:{number}: a caption without an id; put the id first")
        if id in first:
            raise DataError(
                f"{path}:{number}: the id `{id}` is a duplicate of that in line {first[id]}; "
                f"keep one caption a picture"
            )
        first[id] = number
        if caption.strip():
            captions[id] = caption.strip()
    return captions


def _colon(line: str, where: str) -> tuple[str, str]:
    name, colon, caption = line.partition(" :")
    if not colon:
        raise DataError(f"{where}: no ` :` between id and caption; write `<id>.jpg :caption`")
    return name, caption


def _tsv(line: str, where: str) -> tuple[str, str]:
    name, tab, caption = line.partition("\t")
    if not tab or "\t" in caption:
        raise DataError(f"{where}: not two columns; write the id, one tab, and the caption")
    return name, caption


def _json(line: str, where: str) -> tuple[str, str]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not JSON ({error}); write one object a line") from None
    name = record.get("id", record.get("image")) if isinstance(record, dict) else None
    caption = record.get("caption") if isinstance(record, dict) else None
    if not isinstance(name, str) or not isinstance(caption, str | None):
        raise DataError(f'{where}: write {{"id": "…", "caption": "…"}}, both of them text')
    return name, caption or ""
