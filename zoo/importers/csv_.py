"""Tables: a row a word, sentences told apart by a column; or a row a text with its spans."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from zoo.data.blocks import NOTHING
from zoo.data.files import text_of
from zoo.data.offsets import by_code_points, fits
from zoo.errors import DataError
from zoo.importers.documents import Document
from zoo.importers.hf_ import made
from zoo.importers.record import facts
from zoo.tags import read_tags, split_tag

WORD = ("word", "token", "words", "tokens")
TAG = ("tag", "ner", "ner_tag", "label", "ner_tags", "tags", "iob")
SENTENCE = ("sentence #", "sentence", "sentence_id", "sent_id", "sentence_idx", "sentence id", "id")
DOCUMENT = ("doc_id", "document_id", "document", "doc", "tweet_id", "post_id", "file", "id")
SPANS = ("entities", "label", "labels", "spans")


def read(file: Path, names: list[str] | None) -> Iterator[Document]:
    """See :func:`zoo.importers.formats.read`. The separator is a comma, semicolon or tab.

    Raises:
        DataError: the columns are not known by their names.
    """
    table = _table(file, text_of(file))
    columns = {name.strip().lower(): name for name in table[0][1]}
    word, tag = (_column(columns, each) for each in (WORD, TAG))
    spans = _column(columns, SPANS)
    if "text" in columns and spans is not None:
        yield from _texts(file, table, columns, spans, names)
    elif word is not None and tag is not None:
        yield from _words(file, table, columns, word, tag, names)
    else:
        raise DataError(
            f"{file}:1: columns {', '.join(columns) or 'without names'}; name them `sentence`, "
            "`word` and `tag` (a row a word), or `text` and `entities` (a row a text)"
        )


_LINE_END = re.compile(r"\r+\n|\r")

Table = Sequence[tuple[int, Sequence[str]]]
"""Rows with the line that each ends in; the first names the columns."""


def _table(file: Path, text: str) -> Table:
    """The rows of a table, each with as many cells as there are columns.

    A quote that is a word of its own, and not closed, would swallow the rows behind it: where a
    cell of a table of words would hold a line's end, quotes are what they look like.

    Raises:
        DataError: rows have too many or too few cells, one line each; two columns have one name.
    """
    comma = separator(text)
    csv.field_size_limit(2**31 - 1)  # a text may be longer than the module's own limit
    try:
        table = _rows(text, comma, csv.QUOTE_MINIMAL)
    except csv.Error as error:
        raise DataError(f"{file}: not a table ({error})") from error
    names = [name.strip().lower() for name in table[0][1]]
    if double := next((name for name in names if name and names.count(name) > 1), None):
        raise DataError(f"{file}:1: two columns are called `{double}`; rename one of them")
    if "text" not in names:
        bare = _rows(text, comma, csv.QUOTE_NONE)
        within = any("\n" in cell for _, row in table for cell in row)
        if within and all(len(row) == len(names) for _, row in bare):
            table = bare
    wrong = [
        f"{file}:{line}: {len(row)} cells, but {len(names)} columns; quote cells that hold "
        f"`{comma}`, and double their quotes"
        for line, row in table
        if len(row) < len(names) or any(cell.strip() for cell in row[len(names) :])
    ]
    if wrong:
        raise DataError(*wrong)
    return table


def separator(text: str) -> str:
    """What parts the cells of a table: that of which its first line has most."""
    return max(",;\t", key=text.partition("\n")[0].count)


def _rows(text: str, comma: str, quoting: Literal[0, 3]) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=comma, quoting=quoting)
    return [(reader.line_num, row) for row in reader if row]


def _column(columns: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((columns[name] for name in names if name in columns), None)


def _texts(
    file: Path,
    table: Table,
    columns: Mapping[str, str],
    spans: str,
    names: list[str] | None,
) -> Iterator[Document]:
    written = _as_written(file, table)
    at_text = list(table[0][1]).index(columns["text"])
    for (line, cells), raw in zip(table[1:], written[1:], strict=True):
        row = dict(zip(table[0][1], cells, strict=False))
        where = f"{file}:{line}"
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
        found = made(record, where, names)
        if raw[at_text] != cells[at_text]:
            _count(found, raw[at_text])
        yield found


def _as_written(file: Path, table: Table) -> list[Sequence[str]]:
    """The cells with their line ends as they stand in the file: offsets may count them."""
    cells = [row for _, row in table]
    text = file.read_bytes().decode().removeprefix("\ufeff")
    if "\r" not in text:
        return cells
    rows = [row for _, row in _rows(text, separator(text), csv.QUOTE_MINIMAL)]
    same = [[_LINE_END.sub("\n", cell) for cell in row] for row in rows] == cells
    return [*rows] if same else cells


def _count(document: Document, written: str) -> None:
    """Take the text as written where its offsets fit that better or as well."""
    if document.text is None:
        return
    spans = list(document.spans)

    def fitting(text: str) -> tuple[int, int, int]:
        return max(fits(text, spans), fits(text, by_code_points(text, spans)))

    bare, raw = fitting(document.text), fitting(written)
    if raw >= bare:
        document.text = written
    if raw == bare and any(span.end > written.find("\r") for span in spans):
        document.noticed.append("CR LF")


def _words(
    file: Path,
    table: Table,
    columns: Mapping[str, str],
    word: str,
    tag: str,
    numbered: Sequence[str] | None,
) -> Iterator[Document]:
    """Sentences of rows; the column that tells them apart may be filled in the first row only.

    Where there is a column of documents, too, the numbers of sentences may begin anew in each.
    """
    by = _column(columns, SENTENCE)
    if by is None:
        raise DataError(f"{file}:1: no column tells the sentences apart; name it `sentence`")
    names = list(table[0][1])
    told = [row[names.index(by)].strip() for _, row in table[1:]]
    if by.strip().lower() == "id" and len(told) > 2 and len(set(told)) == len(told):
        raise DataError(
            f"{file}:1: `{by}` is another in every row, and numbers words; call the column that "
            "tells sentences apart `sentence`"
        )
    of = next((columns[c] for c in DOCUMENT if c in columns and columns[c] != by), None)
    if of is not None and not _groups([row[names.index(of)].strip() for _, row in table[1:]]):
        of = None
    document: Document | None = None
    words, tags, current, post = list[str](), list[str](), "", ""
    for line, cells in table[1:]:
        row = dict(zip(names, cells, strict=False))
        where = f"{file}:{line}"
        name = (row[by] or "").strip() or current
        whose = (row[of] or "").strip() or post if of else ""
        if document is None or (name, whose) != (current, post):
            if document is not None:
                yield _sentence(document, words, tags)
            beside = {key: row[own] for key, own in columns.items() if own not in (word, tag, by)}
            known = facts({**beside, "id": whose or name}, where)
            document = Document(where, **{**known, "extra": {}})
            words, tags, current, post = [], [], name, whose
        written, what = row[word] or "", (row[tag] or "").strip()
        if what.isdecimal():
            what = _named(what, numbered, tag, where, document.faults)
        if not written.strip():
            if what not in ("", "O"):
                document.faults.append(f"{where}: a tag without a word; fill the column `{word}`")
            if not what:
                continue
            document.noticed.append("empty word")
            written = NOTHING
        try:
            split_tag(what)
        except ValueError as error:
            document.faults.append(f"{where}: {error}")
            what = "O"
        words.append(written)
        tags.append(what)
    if document is not None:
        yield _sentence(document, words, tags)


def _named(
    number: str, names: Sequence[str] | None, tag: str, where: str, faults: list[str]
) -> str:
    """The tag that a number stands for; O and a fault where that is not known."""
    if names is None:
        faults.append(
            f"{where}: `{tag}` holds numbers; say what they stand for, in order: "
            "--tag-names O,B-PER,…"
        )
    elif int(number) >= len(names):
        faults.append(
            f"{where}: `{tag}` holds {number}, and --tag-names has {len(names)} names; their "
            "numbers begin at 0"
        )
    else:
        return names[int(number)]
    return "O"


def _groups(values: Sequence[str]) -> bool:
    """Whether a column holds a document's name, and not another value in every row."""
    told = [value for value in values if value]
    return bool(told) and (len(told) < len(values) or len(set(told)) < len(told))


def _sentence(document: Document, words: Sequence[str], tags: Sequence[str]) -> Document:
    document.words, document.entities = words, read_tags(tags)
    return document
