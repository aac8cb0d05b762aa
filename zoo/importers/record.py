"""One JSON record, or one row of a table, as a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from zoo.data.records import CharSpan, own_form
from zoo.errors import DataError
from zoo.importers.documents import Document, unreadable
from zoo.types import Entity

IMAGES = ("image", "img", "picture", "photo", "image_id", "img_id", "image_path", "image_url")
_OWN = {"id", "text", "words", "entities", "caption", "language", *IMAGES}


def document(record: Any, where: str, names: Sequence[str] | None = None) -> Document:
    """A record in any form that :func:`zoo.data.records.own_form` knows.

    Raises:
        DataError: it is no such record.
    """
    if not isinstance(record, dict):
        raise DataError(f"{where}: not an object with a text and its entities")
    own = own_form(record, where, names)
    spans = own.get("entities")
    said = [_said(each) for each in _spans(record)]
    if not isinstance(spans, list):
        raise DataError(
            f"{where}: no entities; give them as `entities`, `label` or `ner_tags`, "
            "[] where there are none"
        )
    made = Document(where, **facts(own))
    if isinstance(own.get("text"), str) and "words" not in own:
        made.text = own["text"]
        repeated = said if len(said) == len(spans) else [None] * len(spans)
        made.spans = [
            CharSpan(each["start"], each["end"], each["type"], text)
            for each, text in zip(spans, repeated, strict=True)
        ]
        return made
    words = own.get("words")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise DataError(f"{where}: no `text`, and no list of words as `tokens` or `words`")
    if wrong := next((each for word in words if (each := unreadable(word))), None):
        raise DataError(f"{where}: a word holds {wrong}")
    made.words = [word or "\u00a0" for word in words]  # as reader bio has an empty one
    made.entities = sorted(Entity(each["start"], each["end"], each["type"]) for each in spans)
    last = 0
    for entity in made.entities:
        if not last <= entity.start < entity.end <= len(words):
            raise DataError(
                f"{where}: the entity {entity.start}–{entity.end} ({entity.type}) is out of range "
                f"or overlaps another; the sentence has {len(words)} words"
            )
        last = entity.end
    return made


def facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says beside text and entities, as arguments of ``Document``."""
    image = next((record[key] for key in IMAGES if record.get(key) not in (None, "", [])), None)
    if isinstance(image, dict):  # as Hugging Face datasets store pictures
        image = image.get("path")
    if isinstance(image, list):
        image = image[0]
    id = record.get("id")
    return {
        "id": str(id) if isinstance(id, str | int) and not isinstance(id, bool) else None,
        "image": image_name(str(image)) if isinstance(image, str | int) else None,
        "caption": text if isinstance(text := record.get("caption"), str) else None,
        "language": text if isinstance(text := record.get("language"), str) else None,
        "extra": {
            key: value
            for key, value in record.items()
            if key not in _OWN and isinstance(value, str) and value.strip()
        },
    }


def image_name(written: str) -> str:
    """The file name in a path or URL; Label Studio's local files name it behind ``?d=``."""
    parts = urlsplit(written)
    inner = parse_qs(parts.query).get("d")
    path = inner[0] if inner else unquote(parts.path) if parts.scheme else written
    return PurePosixPath(path.replace("\\", "/")).name or written


def _spans(record: Mapping[str, Any]) -> list[Any]:
    return next(
        (
            v
            for k in ("entities", "label", "labels", "spans")
            if isinstance(v := record.get(k), list)
        ),
        [],
    )


def _said(item: Any) -> str | None:
    said = item.get("text") if isinstance(item, dict) else None
    return said if isinstance(said, str) else None
