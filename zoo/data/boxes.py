"""Boxes files: the boxes in each picture, as JSON by picture id."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from zoo.data.captions import ById, caption_id
from zoo.data.files import text_of
from zoo.errors import DataError

FIELD = "boxes"
"""The field of a sample that holds its boxes, where the encoder ``crops`` looks for them."""

FORM = '{"<id>": [[left, top, right, bottom], …], …}'


class Boxes(ById):
    """The boxes in a file, those of each picture as JSON."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, read_boxes(file), "no boxes are", "each picture's boxes")


def read_boxes(path: Path) -> dict[str, str]:
    """The boxes by picture id (a picture's file name without suffix), each list as JSON.

    The file is one JSON object, ``{"17.jpg": [[left, top, right, bottom], …], …}``; a picture may
    have no box. The unit is what the encoder's ``unit`` says.

    Raises:
        DataError: the file is missing, empty or not of that form, a box is none, or an id occurs
            twice.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: not a file; `boxes` names a file")
    try:
        pairs = json.loads(text_of(path), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}); write {FORM}") from None
    if not isinstance(pairs, _Pairs):
        raise DataError(f"{path}: not an object; write {FORM}")
    boxes: dict[str, str] = {}
    for name, value in pairs:
        id = caption_id(name)
        if not id:
            raise DataError(f"{path}: boxes without an id; write {FORM}")
        if id in boxes:
            raise DataError(f"{path}: the id `{id}` occurs twice; keep one list of boxes a picture")
        for number, box in enumerate(_items(value, f"{path}: `{name}`"), 1):
            _check(box, f"{path}: box {number} of `{name}`")
        boxes[id] = json.dumps(value)
    return boxes


class _Pairs(list[tuple[str, Any]]):
    """An object's keys and values in order; a dictionary would hide keys that recur."""


def _items(value: Any, where: str) -> list[Any]:
    if isinstance(value, _Pairs) or not isinstance(value, list):
        raise DataError(f"{where} is not a list of boxes; write {FORM}")
    return value


def _check(box: Any, where: str) -> None:
    """Raises DataError where a box is not four numbers with something between them."""
    numbers = box if isinstance(box, list) and not isinstance(box, _Pairs) else []
    if len(numbers) != 4 or not all(
        isinstance(side, int | float) and not isinstance(side, bool) and math.isfinite(side)
        for side in numbers
    ):
        raise DataError(f"{where} is not four numbers; write [left, top, right, bottom]")
    left, top, right, bottom = numbers
    if not (left < right and top < bottom):
        raise DataError(f"{where} is empty: {numbers}; the order is [left, top, right, bottom]")
