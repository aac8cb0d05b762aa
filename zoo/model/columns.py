"""Columns of words to predict, read one sentence at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from zoo.data.blocks import (
    DOCSTART,
    MARK,
    NOTHING,
    columns_of,
    id_line,
    is_comment,
    marked_id,
)
from zoo.data.notation import BARE
from zoo.errors import DataError, invisible
from zoo.tags import is_tag

HELD = 200
"""Sentences of one row that are held until one tells whether the first column counts words."""

Rows = Sequence[tuple[int, str]]


class Sentence(NamedTuple):
    """A sentence of a file of columns: the line of its first word, its id, its words."""

    line: int
    id: str | None
    words: tuple[str, ...]


def sentences(
    lines: Iterable[tuple[int, str]],
    name: str,
    word: int | None = None,
    mark: str | None = None,
    unsure: bool = False,
) -> Iterator[Sentence]:
    """The sentences of numbered lines: a word a line; a blank line ends a sentence.

    Args:
        name: of the file, for messages.
        word: the column of the word: the first is 0, the last -1; None: the first, or the second
            where the first counts words.
        mark: see :func:`zoo.data.blocks.read_blocks`.
        unsure: that these are columns is but a guess, and the last must be of tags.

    Raises:
        DataError: rows of other widths, or counts that are out of order; or what is a word, or
            whether these are columns at all, can't be told.
    """
    layout = _Layout(name, word, unsure)
    held: list[tuple[str | None, Rows]] = []
    for block in _blocks(lines, mark):
        held.append(block)
        if layout.counted is None:
            layout.counted = _counted([row for _, row in block[1]])
        if layout.counted is None and len(held) < HELD:
            continue
        yield from layout.read(held, mark)
        held.clear()
    yield from layout.read(held, mark)


def _blocks(
    lines: Iterable[tuple[int, str]], mark: str | None
) -> Iterator[tuple[str | None, Rows]]:
    """The rows between blank lines and lines with ids, and the id before them."""
    shape = None if mark is None else id_line(mark)
    rows: list[tuple[int, str]] = []
    id: str | None = None
    for number, line in lines:
        line = line.replace("\ufeff", "")
        if shape is not None:
            line = shape.sub(rf"{MARK}\1", line)
        named = marked_id(line)
        blank = invisible(line.replace("\u00a0", "x")) or columns_of(line)[:1] == [DOCSTART]
        if not named and not blank:
            rows.append((number, line))
            continue
        if rows:
            yield id, rows
        if named or rows:
            id = named
        rows = []
    if rows:
        yield id, rows


def _counted(rows: Sequence[str]) -> bool | None:
    """Whether the first column counts the words of a sentence; None: too short to tell."""
    columns = [columns_of(row) for row in rows if not is_comment(row, counted=True)]
    if not columns:
        return None
    numbers = [each[0] for each in columns if len(each) > 2 and each[0].isdecimal()]
    if len(numbers) < len(columns):
        return False
    return True if len(numbers) > 1 else None if numbers[0] in ("0", "1") else False


class _Layout:
    """What the first sentences show of all: how many columns, and which of them is the word."""

    def __init__(self, name: str, word: int | None, unsure: bool) -> None:
        self._name, self._word, self._unsure = name, word, unsure
        self._line = self._width = 0
        self.counted: bool | None = False if word == 0 else None

    def read(self, blocks: Iterable[tuple[str | None, Rows]], mark: str | None) -> list[Sentence]:
        """The sentences of blocks. Raises DataError."""
        if self.counted is None:
            self.counted = True  # all of one row, whose first column is 0 or 1
        made = []
        for id, rows in blocks:
            words = [(n, row) for n, row in rows if not is_comment(row, self.counted)]
            if not words:
                continue
            line = words[0][0]
            if mark is not None and id is None:
                raise DataError(
                    f"{self._name}:{line}: words before any line that is as `--id {mark}` says; "
                    "look at the file's id lines, and begin each sentence with one"
                )
            made.append(Sentence(line, id, self._words(words)))
        return made

    def _words(self, rows: Rows) -> tuple[str, ...]:
        columns = [self._columns(number, row) for number, row in rows]
        if self._word is None:
            self._check_tags(rows[0][0], columns)
        at = int(bool(self.counted)) if self._word is None else self._word
        if not -self._width <= at < self._width:
            raise DataError(
                f"{self._name}:{rows[0][0]}: --columns word={at} does not fit {self._width} "
                "columns; the first is 0, the last -1"
            )
        if self._word is None:
            self._check_counts(rows, [each[0] for each in columns])
        return tuple(each[at].strip(" ") or NOTHING for each in columns)

    def _columns(self, number: int, row: str) -> list[str]:
        columns = columns_of(row)
        while len(columns) > (self._width or 1) and not columns[-1]:
            columns.pop()  # a tab at a line's end begins no column
        if not self._width:
            self._line, self._width = number, len(columns)
        if len(columns) != self._width:
            remedy = (
                "give every row the same columns, and say what a line with an id is like by --id"
            )
            if self._unsure:
                remedy = "say what the file is: --format conll, csv or text"
            raise DataError(
                f"{self._name}:{number}: {len(columns)} columns, but {self._width} in line "
                f"{self._line}; {remedy}"
            )
        return columns

    def _check_tags(self, line: int, columns: Sequence[Sequence[str]]) -> None:
        """Raises DataError where the first sentence shows that its first column is no word."""
        if line != self._line:
            return
        where = f"{self._name}:{line}"
        tags = self._width > 1 and _tags([each[-1] for each in columns])
        if self._width > 1 and not tags and _tags([each[0] for each in columns]):
            raise DataError(
                f"{where}: the first column holds tags; say which is the word: --columns word=1"
            )
        if self._unsure and not tags:
            raise DataError(
                f"{where}: it has columns, and the last holds no tags; say what the file is: "
                "--format conll, csv or text"
            )

    def _check_counts(self, rows: Rows, first: Sequence[str]) -> None:
        """Raises DataError where some sentences are counted, from 0 or 1, and this one is not; or
        the other way round."""
        start = int(first[0] == "1")
        number = next((n for n, c in enumerate(first) if c != str(start + n)), None)
        where = f"{self._name}:{rows[number or 0][0]}"
        if self.counted and number is not None:
            raise DataError(
                f"{where}: the word count `{first[number]}` is out of order; count each "
                "sentence's words from 0 or 1, with a blank line between sentences, or say which "
                "column is the word: --columns word=0"
            )
        if not self.counted and number is None and len(first) > 1 and self._width > 2:
            raise DataError(
                f"{where}: the first column counts the words of this sentence, and not of those "
                "before; say which column is the word: --columns word=0"
            )


def _tags(values: Sequence[str]) -> bool:
    """Whether all are tags; types without a prefix are where there is an O, too."""
    return all(is_tag(each) or ("O" in values and BARE.fullmatch(each)) for each in values)
