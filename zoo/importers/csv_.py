"""Tables: a row a word, sentences told apart by a column; or a row a text with its spans."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.data.files import text_of
from zoo.errors import DataError
from zoo.importers.documents import Document
from zoo.importers.hf_ import made
from zoo.importers.record import facts
from zoo.tags import read_tags, split_tag

WORD = ("word", "token", "words", "tokens")
TAG = ("tag", "ner", "ner_tag", "label", "ner_tags", "tags", "iob")
SENTENCE = ("sentence #", "sentence", "sentence_id", "sent_id", "sentence_idx", "sentence id", "id")
SPANS = ("entities", "label", "labels", "spans")


def read(file: Path, names: list[str] | None) -> Iterator[Document]:
    """See :func:`zoo.importers.formats.read`. The separator is a comma, semicolon or tab.

    Raises:
        DataError: the columns are not known by their names.
    """
    text = text_of(file)
    head = text.partition("\n")[0]
    comma = max(",;\t", key=head.count)
    rows = csv.DictReader(io.StringIO(text), delimiter=comma)
    columns = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
    word, tag = (_column(columns, each) for each in (WORD, TAG))
    spans = _column(columns, SPANS)
    try:
        if "text" in columns and spans is not None:
            yield from _texts(file, _whole(file, rows), columns, spans, names)
        elif word is not None and tag is not None:
            yield from _words(file, _whole(file, rows), columns, word, tag)
        else:
            raise DataError(
                f"{file}:1: columns {', '.join(columns) or 'without names'}; name them `sentence`, "
                "`word` and `tag` (a row a word), or `text` and `entities` (a row a text)"
            )
    except csv.Error as error:
        raise DataError(f"{file}:{rows.line_num}: not a table ({error})") from error


def _whole(file: Path, rows: csv.DictReader[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows with their places. Raises DataError where one has too many or too few columns."""
    names = list(rows.fieldnames or ())
    wanted = len(set(names))
    if double := next((name for name in names if name and names.count(name) > 1), None):
        raise DataError(f"{file}:1: two columns are called `{double}`; rename one of them")
    for row in rows:
        where = f"{file}:{rows.line_num}"
        more: Any = row.pop(None, [])
        have = len(more) + sum(value is not None for value in row.values())
        if have != wanted:
            raise DataError(
                f"{where}: {have} columns, but the first line names {wanted}; put a text that "
                "holds the separator between quotation marks"
            )
        yield where, row


Rows = Iterator[tuple[str, dict[str, str]]]


def _column(columns: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((columns[name] for name in names if name in columns), None)


def _texts(
    file: Path,
    rows: Rows,
    columns: Mapping[str, str],
    spans: str,
    names: list[str] | None,
) -> Iterator[Document]:
    for where, row in rows:
        record: dict[str, object] = {
            name: row[own] for name, own in columns.items() if row[own] not in (None, "")
        }
        record.setdefault("text", "")
        try:
            record[spans.strip().lower()] = json.loads(row[spans] or "[]")
        except (ValueError, RecursionError) as error:
            problem = f"{where}: `{spans}` is not JSON ({error}); write [[start, end, type], …]"
            yield Document(where, faults=[problem])
            continue
        yield made(record, where, names)


def _words(
    file: Path, rows: Rows, columns: Mapping[str, str], word: str, tag: str
) -> Iterator[Document]:
    """Sentences of rows; the column that tells them apart may be filled in the first row only."""
    by = _column(columns, SENTENCE)
    if by is None:
        raise DataError(f"{file}:1: no column tells the sentences apart; name it `sentence`")
    document: Document | None = None
    words, tags, current = list[str](), list[str](), ""
    for where, row in rows:
        name = (row[by] or "").strip() or current
        if document is None or name != current:
            if document is not None:
                yield _sentence(document, words, tags)
            beside = {key: row[own] for key, own in columns.items() if own not in (word, tag, by)}
            told = facts({**beside, "id": name})
            document = Document(where, **{**told, "extra": {}})
            words, tags, current = [], [], name
        written, what = row[word] or "", (row[tag] or "").strip()
        if not written.strip():
            if what not in ("", "O"):
                document.faults.append(f"{where}: a tag without a word; fill the column `{word}`")
            continue
        try:
            split_tag(what)
        except ValueError as error:
            document.faults.append(f"{where}: {error}")
            what = "O"
        words.append(written)
        tags.append(what)
    if document is not None:
        yield _sentence(document, words, tags)


def _sentence(document: Document, words: Sequence[str], tags: Sequence[str]) -> Document:
    document.words, document.entities = words, read_tags(tags)
    return document
