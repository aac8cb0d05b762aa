"""JSON objects as annotation tools and libraries write them, in the form that reader ``jsonl`` has.

That form is ``words`` with entities by word, or ``text`` with entities by character. What is known:

- doccano: ``label`` or ``labels`` as ``[start, end, type]``; ``entities`` with ``start_offset``,
  ``end_offset`` and ``label``, beside ``relations`` and ``Comments``;
- Prodigy and spaCy: ``spans`` with ``start``, ``end`` and ``label``;
- Hugging Face datasets: ``tokens`` and ``ner_tags``, as tags or as numbers that stand for tags.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from zoo.data.findings import Notice, ignore
from zoo.errors import DataError
from zoo.tags import read_tags, split_tag

WORDS = ("words", "tokens")
TAGS = ("ner_tags", "tags", "labels", "label")
SPANS = ("entities", "label", "labels", "spans")
PASSED_OVER = frozenset({
    "Comments", "comments", "relations", "annotations", "annotation_approver", "user", "meta",
    "metadata", "cats", "answer", "pos_tags", "chunk_tags", "_input_hash", "_task_hash",
    "_session_id", "_view_id", "_annotator_id", "_timestamp",
})  # fmt: skip
"""Fields of those formats that say nothing of entities."""
_REFUSED = ("reject", "ignore")
ANSWERS = ("accept", *_REFUSED)
"""What Prodigy's ``answer`` says of a record."""


class CharSpan(NamedTuple):
    """A span as written: offsets, ``end`` exclusive, and the text that it repeats, if any."""

    start: int
    end: int
    type: str
    said: str | None = None


def refused(record: Mapping[str, Any]) -> bool:
    """Whether its annotator rejected a record of Prodigy's, or passed it over: its spans are no
    gold."""
    return record.get("answer") in _REFUSED


def own_form(
    record: Mapping[str, Any],
    where: str,
    names: Sequence[str] | None = None,
    notice: Notice = ignore,
) -> dict[str, Any]:
    """A record of any known format in the form of reader ``jsonl``.

    Args:
        where: file and line, for messages.
        names: the tags that numbers stand for, in order.
        notice: is told of the fields that are passed over.

    Raises:
        DataError: tags or spans are not of their format.
    """
    result = {key: value for key, value in record.items() if value is not None}
    if result.get("answer") in ANSWERS:
        del result["answer"]
        notice("field passed over", "`answer`")
    for key in [k for k, v in result.items() if k in PASSED_OVER and not isinstance(v, str)]:
        del result[key]
        notice("field passed over", f"`{key}`")
    words = next((key for key in WORDS if _is_words(result.get(key))), None)
    if words == "tokens":
        result.setdefault("words", result["tokens"])
    if isinstance(result.get("tokens"), list):
        del result["tokens"]
    tags = next((key for key in TAGS if words and _is_tags(result.get(key), where, key)), None)
    if tags is None and words and result["words"] == []:
        tags = next((key for key in TAGS if result.get(key) == []), None)
    if tags and "entities" not in result:
        written = result.pop(tags)
        result["entities"] = _from_tags(result["words"], written, tags, names, where)
        return result
    spans = next((key for key in SPANS if isinstance(result.get(key), list)), None)
    if spans:
        found = [span_of(each, where) for each in result.pop(spans)]
        result["entities"] = [
            {"start": s.start, "end": s.end, "type": s.type, "text": s.said} for s in found
        ]
    return result


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_tags(value: Any, where: str, key: str) -> bool:
    """Whether a field holds tags or numbers of tags. Raises DataError where some are null."""
    if not isinstance(value, list) or not all(
        isinstance(each, str | int | None) and not isinstance(each, bool) for each in value
    ):
        return False
    if None in value:
        raise DataError(
            f"{where}: `{key}` holds null at word {value.index(None) + 1}; give each word a tag"
        )
    return bool(value)


def _from_tags(
    words: Sequence[str],
    tags: Sequence[str | int],
    key: str,
    names: Sequence[str] | None,
    where: str,
) -> list[dict[str, Any]]:
    if len(tags) != len(words):
        raise DataError(
            f"{where}: {len(words)} words and {len(tags)} tags in `{key}`; give each word one"
        )
    if names and all(isinstance(tag, str) and tag.isdecimal() for tag in tags):
        tags = [int(tag) for tag in tags]
    numbers = [tag for tag in tags if isinstance(tag, int)]
    if numbers and not names:
        raise DataError(
            f"{where}: `{key}` holds numbers; say what they stand for, in order: "
            "`tag_names: [O, B-PER, I-PER, …]`, as the dataset's card has them"
        )
    names = names or ()
    if wrong := [number for number in numbers if not 0 <= number < len(names)]:
        raise DataError(
            f"{where}: `{key}` holds {wrong[0]}, and `tag_names` has {len(names)} names; their "
            "numbers begin at 0"
        )
    written = [names[tag] if isinstance(tag, int) else tag for tag in tags]
    try:
        for tag in written:
            split_tag(tag)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None
    return [entity._asdict() for entity in read_tags(written)]


def span_of(item: Any, where: str) -> CharSpan:
    """A span in any of the known notations. Raises DataError."""
    match item:
        case [start, end, label, *_]:
            given = (start, end, label)
        case {"start_offset": start, "end_offset": end, "label": label}:
            given = (start, end, label)
        case {"start": start, "end": end, "type": label} | {
            "start": start,
            "end": end,
            "label": label,
        }:
            given = (start, end, label)
        case {"start": start, "end": end, "labels": [label]}:  # Label Studio
            given = (start, end, label)
        case _:
            given = (None, None, None)
    start, end, label = given
    for offset in (start, end):
        if isinstance(offset, bool) or not isinstance(offset, int):
            label = None
    if not isinstance(label, str) or not label:
        raise DataError(
            f'{where}: an entity must be {{"start": number, "end": number, "type": "…"}} or '
            f"[start, end, type], not {json.dumps(item, ensure_ascii=False)[:60]}"
        )
    said = item.get("text") if isinstance(item, dict) else None
    return CharSpan(start, end, label, said if isinstance(said, str) else None)
