"""One JSON record, or one row of a table, as a document."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from zoo.data.records import CharSpan, own_form, refused
from zoo.errors import DataError
from zoo.importers.documents import Document, Named, unreadable
from zoo.types import Entity

IMAGES = ("image", "img", "picture", "photo", "image_id", "img_id", "image_path", "image_url")
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
    made = Document(where, **facts(own))
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


def facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says beside text and entities, as arguments of ``Document``."""
    given = next((record[key] for key in IMAGES if record.get(key) not in (None, "", [])), None)
    images = given if isinstance(given, list) else [given]
    pictures = [
        made for each in images if any(made := Named(named_image(each), encoded_image(each)))
    ]
    id = record.get("id")
    return {
        "id": str(id) if isinstance(id, str | int) and not isinstance(id, bool) else None,
        "pictures": pictures,
        "noticed": ["pictures"] if len(pictures) > 1 else [],
        "caption": text if isinstance(text := record.get("caption"), str) else None,
        "language": text if isinstance(text := record.get("language"), str) else None,
        "extra": {
            key: value
            for key, value in record.items()
            if key not in _OWN | _KEPT_BY_TOOLS and isinstance(value, str) and value.strip()
        },
    }


def named_image(written: Any) -> str | None:
    """The name, path or URL of a picture; in a dictionary as Hugging Face datasets have it."""
    if isinstance(written, dict):
        written = next((written[key] for key in ("path", "url", "src") if written.get(key)), None)
    if isinstance(written, bool) or not isinstance(written, str | int):
        return None
    return str(written).strip() or None


def encoded_image(written: Any) -> bytes | None:
    """The bytes of a picture in such a dictionary."""
    data = written.get("bytes") if isinstance(written, dict) else None
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
