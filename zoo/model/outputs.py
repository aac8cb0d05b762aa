"""Predictions as JSON lines, as columns, and as a page to look at."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

from zoo.data.blocks import DOCSTART, columns_of, is_comment, marked_id
from zoo.errors import DataError, shown
from zoo.model.results import Prediction
from zoo.tags import write_tags
from zoo.types import Entity

Output = Literal["json", "conll", "html", "text"]


def as_json(found: Prediction) -> str:
    """A JSON object in one line: ``id``, ``text`` or ``words``, and ``entities``.

    An entity has ``start`` and ``end`` over words, ``type``, ``score`` (rounded to six digits) and
    ``text``; of running text also ``characters``, its place there in code points.
    """
    line: dict[str, Any] = {"id": found.id}
    if found.text is not None:
        line["text"] = found.text
    line["words"] = list(found.words)
    line["entities"] = [
        {
            "start": each.start,
            "end": each.end,
            "type": each.type,
            "score": each.score,
            "text": each.text,
            **({} if each.characters is None else {"characters": list(each.characters)}),
        }
        for each in found.entities
    ]
    return json.dumps(line, ensure_ascii=False) + "\n"


def as_conll(found: Prediction) -> str:
    """A word and its BIO tag a line, behind the ``IMGID:`` of the sentence; nothing of a sentence
    without words, which the format can't hold.

    Raises:
        DataError: a row would be read as another line: an id, a comment, a document's end.
    """
    if not found.words:
        return ""
    entities = [Entity(each.start, each.end, each.type) for each in found.entities]
    tags = write_tags(entities, len(found.words), "BIO")
    rows = [f"{_cell(word)}\t{tag}\n" for word, tag in zip(found.words, tags, strict=True)]
    for row in rows:
        if marked_id(row) or is_comment(row, False) or columns_of(row)[:1] == [DOCSTART]:
            raise DataError(
                f"post {found.id}: columns can't hold the word `{row.partition(chr(9))[0]}`, which "
                "means something else there; give --json"
            )
    return f"IMGID:{_cell(found.id)}\n{''.join(rows)}\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("\t", " ").splitlines()) or "\u00a0"


def as_text(found: Prediction) -> str:
    """An entity a line, with its type, its score and its place; for a reader at a terminal."""
    rows = [
        (found.id, each.type, each.text, f"{each.score:.2f}", f"{start}-{end}")
        for each in found.entities
        for start, end in [each.characters or (each.start, each.end)]
    ]
    return "".join("\t".join(map(shown, row)) + "\n" for row in rows)


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body {{ font: 1rem/1.9 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto }}
p {{ overflow-wrap: anywhere; unicode-bidi: plaintext; white-space: pre-wrap }}
mark {{ padding: .15em .3em; border-radius: .3em; color: #111 }}
mark small {{ font-weight: bold; margin-inline-start: .4em }}
{colours}
</style></head><body>
<h1>{title}</h1>
"""


def html_head(title: str, types: Sequence[str]) -> str:
    """The beginning of a page, which needs nothing from elsewhere and runs nothing."""
    step = 360 / max(1, len(types))
    colours = "\n".join(
        f".t{i} {{ background: hsl({round(40 + i * step) % 360} 80% 82%) }}"
        for i in range(len(types))
    )
    return _HEAD.format(title=html.escape(title), colours=colours)


def as_html(found: Prediction, types: Sequence[str]) -> str:
    """A paragraph with its entities marked."""
    text, marks = _marked(found)
    parts, at = [], 0
    for start, end, type, score in marks:
        parts.append(html.escape(text[at:start]))
        kind = types.index(type) if type in types else 0
        parts.append(
            f'<mark class="t{kind}" title="{score:.3f}">{html.escape(text[start:end])}'
            f"<small>{html.escape(type)}</small></mark>"
        )
        at = end
    parts.append(html.escape(text[at:]))
    return f'<p title="{html.escape(found.id)}">{"".join(parts)}</p>\n'


def _marked(found: Prediction) -> tuple[str, list[tuple[int, int, str, float]]]:
    """The text and the places of the entities in it."""
    if found.text is not None:
        return found.text, [
            (*each.characters, each.type, each.score) for each in found.entities if each.characters
        ]
    starts = [0]
    for word in found.words:
        starts.append(starts[-1] + len(word) + 1)
    return " ".join(found.words), [
        (starts[each.start], starts[each.end] - 1, each.type, each.score) for each in found.entities
    ]


def written(
    predictions: Iterable[Prediction], output: Output, title: str, types: Sequence[str]
) -> Iterator[str]:
    """The parts of an output, one after the other."""
    if output == "html":
        yield html_head(title, types)
        for each in predictions:
            yield as_html(each, types)
        yield "</body></html>\n"
        return
    writers: dict[str, Callable[[Prediction], str]] = {
        "json": as_json,
        "conll": as_conll,
        "text": as_text,
    }
    for each in predictions:
        yield writers[output](each)
