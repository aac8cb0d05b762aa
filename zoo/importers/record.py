"""One JSON record, or one row of a table, as a document."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from zoo.data.files import clean
from zoo.data.records import CharSpan, own_form, refused
from zoo.errors import DataError
from zoo.importers.documents import Document, Named, unreadable
from zoo.types import Entity

IMAGES = (
    "image", "img", "picture", "photo", "image_id", "img_id", "image_path", "image_url", "images",
    "pictures", "photos",
)  # fmt: skip
_NO_IMAGE: Sequence[Any] = (None, "", b"", [], {})
_EMBEDDED = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
_SIZE = re.compile(r":[a-z]+$")
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the name of an uploaded file."""

_KEPT_BY_TOOLS = {
    "annotator", "annotation_id", "annotation_approver", "created_at", "updated_at", "lead_time",
}  # fmt: skip
"""Fields in which annotation tools keep accounts of their own."""

ANNOTATIONS = ("label", "labels", "spans", "ner_tags", "tags")
"""Fields of annotations, of which a record uses one."""

_OWN = {"id", "text", "words", "entities", "caption", "language", *IMAGES}


def document(record: Any, where: str, names: Sequence[str] | None = None) -> Document:
    """A record in any form that :func:`zoo.data.records.own_form` knows.

    Raises:
        DataError: it is no such record.
    """
    if not isinstance(record, dict):
        raise DataError(f"{where}: not an object with a text and its entities")
    if refused(record):
        return Document(where, noticed=["rejected"])
    own = own_form(record, where, names)
    spans = own.get("entities")
    said = [_said(each) for each in _spans(record)]
    if not isinstance(spans, list):
        raise DataError(
            f"{where}: no entities; give them as `entities`, `label` or `ner_tags`, "
            "[] where there are none"
        )
    words = own.get("words")
    if more := [key for key in ANNOTATIONS if _annotates(own.get(key), words, bool(spans))]:
        raise DataError(
            f"{where}: annotations stand in `{more[0]}` and in another field; leave the one that "
            "holds the entities"
        )
    made = Document(where, **facts(own, where))
    if isinstance(own.get("text"), str) and ("words" not in own or _of_text(own, where)):
        made.text = own["text"]
        repeated = said if len(said) == len(spans) else [None] * len(spans)
        made.spans = [
            CharSpan(each["start"], each["end"], each["type"], text)
            for each, text in zip(spans, repeated, strict=True)
        ]
        return made
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise DataError(f"{where}: no `text`, and no list of words as `tokens` or `words`")
    if wrong := next((each for word in words if (each := unreadable(word))), None):
        raise DataError(f"{where}: a word holds {wrong}")
    made.words = [word or "\u00a0" for word in words]  # as reader bio has an empty one
    made.entities = _outermost(made, spans, len(words))
    return made


def _outermost(made: Document, spans: Sequence[Mapping[str, Any]], words: int) -> list[Entity]:
    """The entities by word, none inside another. Raises DataError."""
    found = {Entity(each["start"], each["end"], clean(each["type"])) for each in spans}
    kept = list[Entity]()
    for entity in sorted(found, key=lambda e: (e.start, -e.end, e.type)):
        where = f"{made.where}: the entity {entity.start}–{entity.end} ({entity.type})"
        if not entity.type:
            raise DataError(f"{where} has no type that can be seen")
        before = kept[-1] if kept else Entity(0, 0, "")
        inside = (
            entity[:2] != before[:2] and before.start <= entity.start < entity.end <= before.end
        )
        if inside:
            made.noticed.append("nested")
        elif not before.end <= entity.start < entity.end <= words:
            raise DataError(
                f"{where} is out of range or overlaps another; the sentence has {words} words"
            )
        else:
            kept.append(entity)
    return kept


def _annotates(value: Any, words: Any, others: bool) -> bool:
    """Whether a field that was not read holds annotations: spans, or a tag a word where there are
    no ``others``."""
    if not isinstance(value, list) or not value:
        return False
    if all(
        isinstance(each, Mapping) or (isinstance(each, list) and len(each) > 2) for each in value
    ):
        return True
    return not others and isinstance(words, list) and len(value) == len(words)


def _of_text(own: Mapping[str, Any], where: str) -> bool:
    """Whether the spans of a record that has a text and words are places in the text.

    Raises:
        DataError: they may be either.
    """
    spans, words, text = own["entities"], own["words"], own["text"]
    if not isinstance(words, list):
        return True
    if not spans or "text" not in spans[0]:  # from tags, a word each
        return False

    def fits(count: Callable[[int, int], str]) -> bool:
        return all(
            each["text"] is not None
            and count(each["start"], each["end"]).split() == each["text"].split()
            for each in spans
        )

    in_text = fits(lambda start, end: text[start:end])
    in_words = fits(lambda start, end: " ".join(map(str, words[start:end])))
    if in_text != in_words:
        return in_text
    if max(each["end"] for each in spans) > len(words):
        return True
    raise DataError(
        f"{where}: its offsets may count the characters of `text` or the words; leave one of the "
        "two out"
    )


def facts(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What a record says beside text and entities, as arguments of ``Document``."""
    key = next((key for key in IMAGES if _number(record.get(key)) not in _NO_IMAGE), IMAGES[0])
    given = record.get(key)
    images = [each for each in (given if isinstance(given, list) else [given]) if _is_image(each)]
    pictures = [Named(named_image(each), encoded_image(each)) for each in images]
    faults = [
        f"{where}: `{key}` holds no name, path or bytes of a picture, nor a list of them, but "
        f"{str(each)[:40]}"
        for each, picture in zip(images, pictures, strict=True)
        if not any(picture)
    ]
    id = _number(record.get("id"))
    if not isinstance(id, str | int | None):
        faults.append(f"{where}: `id` must be text or a whole number, not {str(id)[:40]}")
    return {
        "id": None if id is None else str(id),
        "faults": faults,
        "pictures": [picture for picture in pictures if any(picture)],
        "noticed": ["pictures"] if len(pictures) > 1 else [],
        "caption": text if isinstance(text := record.get("caption"), str) else None,
        "language": text if isinstance(text := record.get("language"), str) else None,
        "extra": {
            key: value
            for key, value in record.items()
            if key not in _OWN | _KEPT_BY_TOOLS and isinstance(value, str) and value.strip()
        },
    }


def _is_image(written: Any) -> bool:
    """Whether a value is there at all; a dictionary of nothing but None is how Parquet has none."""
    if isinstance(written, dict):
        return any(value is not None for value in written.values())
    return _number(written) not in _NO_IMAGE


def _number(value: Any) -> Any:
    """A value as it was before pandas made numbers of a column with gaps: 1.0 is 1, NaN nothing;
    nor does a truth value name anything."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return None if math.isnan(value) else int(value) if value.is_integer() else value
    return value


def named_image(written: Any) -> str | None:
    """The name, path or URL of a picture; in a dictionary as Hugging Face datasets have it."""
    written = _number(written)
    if isinstance(written, str) and _EMBEDDED.match(written):
        return None
    if isinstance(written, dict):
        written = next((written[key] for key in ("path", "url", "src") if written.get(key)), None)
    if isinstance(written, bool) or not isinstance(written, str | int):
        return None
    return str(written).strip() or None


def encoded_image(written: Any) -> bytes | None:
    """The bytes of a picture: alone, in such a dictionary, or in a ``data:`` URI."""
    if isinstance(written, str) and (found := _EMBEDDED.match(written)):
        try:
            return base64.b64decode(written[found.end() :])
        except ValueError:
            return None
    data = written.get("bytes") if isinstance(written, dict) else written
    return data if isinstance(data, bytes) else None


def image_names(written: str) -> list[str]:
    """The names that a picture may have in a folder, by a path or URL that names it.

    They are the path and its ends, the longest first, the file's own name last: nobody's folder is
    that of the machine that the path was written on. A URL may be that of Label Studio, whose
    local files stand behind ``?d=`` and whose uploads have a prefix, or of Twitter, whose sizes
    stand behind the name (``a.jpg:large``).
    """
    if written.startswith("data:"):
        return [f"{written[:30]}…"]
    paths = [written]
    try:
        parts = urlsplit(written)
    except ValueError:  # brackets that hold no address
        parts = urlsplit("")
    if inner := parse_qs(parts.query).get("d"):
        paths = [inner[0]]
    elif len(parts.scheme) > 1:  # one letter is a drive of Windows
        paths = [_SIZE.sub("", unquote(parts.path)), parts.path]
    names = dict[str, None]()
    for path in paths:
        steps = [s for s in path.replace("\\", "/").split("/") if s not in ("", ".", "..")]
        names |= dict.fromkeys("/".join(steps[i:]) for i in range(len(steps)))
        names |= dict.fromkeys(_UPLOADED.sub("", step, count=1) for step in steps[-1:])
    return sorted(names, key=lambda name: -name.count("/")) or [written]


def uploaded(path: str) -> bool:
    """Whether a path ends as the name of a file that was uploaded to Label Studio."""
    return bool(_UPLOADED.match(path.rpartition("/")[2]))


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
