"""Files of columns: a word and its tag a line, in the formats that NER data comes in."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path

from typing_extensions import TypedDict

from zoo.data.files import Lines, clean, text_of, trim
from zoo.data.findings import Notice, ignore
from zoo.data.notation import BARE, TWO_TAGS, marked
from zoo.errors import DataError, invisible
from zoo.tags import is_tag, split_tag

MARK = "IMGID:"
ANY_MARK = re.compile(
    r"^(?:[^\S\n]|[\u200b-\u200f\u2060])*imgid[^\S\n]*[:：]", re.IGNORECASE | re.MULTILINE
)
DOCSTART = "-DOCSTART-"
COMMENT = re.compile(r"# (id |\w+ = )")
NO_WORD = re.compile(r"#|\d+[-.]\d+\s")


@dataclass(slots=True)
class Block:
    """One sentence of a file: where it begins, its IMGID where the file has them, its rows."""

    line: int
    id: str | None = None
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    count: int = 0  # of the first word, where the rows are counted


class Columns(TypedDict):
    """Which column is the word and which the tag: the first is 0, the last -1."""

    word: int
    tag: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The rows of a file: how many columns (as first seen in ``line``), which of them is the word
    and which the tag, and whether the first is a count."""

    line: int
    width: int
    word: int
    tag: int
    counted: bool


_LINE_END = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""Characters that end a line for some programs, and never here (see ``text_of``)."""

NOTHING = "\u00a0"
"""What an empty word is read as: a word that leaves no mark, as it occurs in such data."""

_NOT_A_TAG = ("#", MARK, DOCSTART)


def read_blocks(
    file: Path,
    notice: Notice = ignore,
    given: Columns | None = None,
    mark: str | None = None,
) -> list[Block]:
    """The sentences of a file.

    Args:
        notice: is told of what is odd about the file and can yet be read.
        given: which column is the word and which the tag; None: found by looking.
        mark: what the line looks like that begins a sentence with its id: a word before a colon
            (``WID``), or text in which ``{}`` stands for the id (``# id {}``); None: ``IMGID``.

    Raises:
        DataError: the file or a line of it is wrong; names both.
    """
    lines = _lines(file, notice, mark)
    layout = _layout(lines, file, given)
    width, at_word, at_tag = layout.width, layout.word, layout.tag
    marked: bool | None = None
    rows: dict[str, tuple[str, str]] = {}  # word and tag of lines that are nothing but a row
    known: dict[str, str] = {}  # each word once, however many lines it is in
    tags: dict[str, str] = {}  # as written and as meant, each looked at once
    bare: dict[str, str] = {}  # those without a prefix, and where each is first
    blocks: list[Block] = []
    block: Block | None = None
    for number, line in enumerate(lines, 1):
        if block is not None and (row := rows.get(line)) is not None:
            block.words.append(row[0])
            block.tags.append(row[1])
            continue
        if not line:
            _check_words(block, file)
            block = None
            continue
        columns = columns_of(line)
        if (
            block is not None
            and len(columns) == width
            and (tag := tags.get(columns[at_tag])) is not None
            and (word := columns[at_word])
            and not line.startswith(_NOT_A_TAG)
            and (not layout.counted or columns[0] == str(block.count + len(block.words)))
        ):
            word = known.setdefault(word, word)
            if not layout.counted:  # whether a count is right depends on the rows before
                rows[line] = word, tag
            block.words.append(word)
            block.tags.append(tag)
            continue
        where = f"{file}:{number}"
        if not columns or columns[0] == DOCSTART:
            _check_words(block, file)
            block = None
        elif line.startswith(MARK) and (id := _mark_id(line, layout, where, notice)) is not None:
            _check_words(block, file)
            block = Block(number, id)
            blocks.append(block)
        elif not is_comment(line, layout.counted):
            columns = _trimmed(columns, width)
            if invisible("".join(columns)):
                notice("invisible row", f"{file.name}:{number}")
                _check_words(block, file)
                block = None
                continue
            if block is None:
                marked = any(map(_is_mark, lines)) if marked is None else marked
                if marked:
                    raise DataError(
                        f"{where}: words before any `{MARK}` line; "
                        f"begin each sentence with `{MARK}` and its id"
                    )
                block = Block(number)
                blocks.append(block)
            word, written = _checked(columns, layout, where, notice)
            if written not in tags:
                tags[written] = _tag(written, bare, where, notice)
            if layout.counted:
                _check_count(columns[0], block, where)
            block.words.append(known.setdefault(word, word))
            block.tags.append(tags[written])
    _check_words(block, file)
    if bare:
        _add_prefixes(blocks, set(tags.values()), bare)
        notice("IO", file.name)
    return blocks


def _check_words(block: Block | None, file: Path) -> None:
    """Raises DataError where an id has no words."""
    if block is not None and not block.words:
        raise DataError(
            f"{file}:{block.line}: `{MARK}{block.id}` has no words; put them in the next lines, "
            f"without a blank line between, or remove the id"
        )


def _lines(file: Path, notice: Notice, mark: str | None) -> Lines:
    """The lines of a file, its marks spelt ``IMGID:``, without U+FEFF.

    Raises:
        DataError: no line is such a mark.
    """
    text = text_of(file)
    if "\ufeff" in text:
        for number, line in enumerate(text.split("\n"), 1):
            if "\ufeff" in line:
                notice("byte order mark", f"{file.name}:{number}")
        text = text.replace("\ufeff", "")
    if mark is not None:
        text, found = id_line(mark).subn(rf"{MARK}\1", text)
        if not found:
            raise DataError(f"{file}: no line is as `id: {mark}` says; look at the file's id lines")
    marks = text.count(f"\n{MARK}") + text.startswith(MARK)
    if text.lower().count("imgid") != marks:
        text = ANY_MARK.sub(MARK, text)
    return Lines(text)


def id_line(mark: str) -> re.Pattern[str]:
    """What a line with an id looks like, the id its first group; see :func:`read_blocks`."""
    before, _, after = (mark if "{}" in mark else f"{mark}:{{}}").partition("{}")
    return re.compile(
        rf"^{re.escape(before)}[^\S\n]*(\S+){re.escape(after)}.*$", flags=re.MULTILINE
    )


def columns_of(line: str) -> list[str]:
    """The columns of a row; none for a blank line. A no-break space is a word like any other."""
    if "\t" in line:
        columns = line.split("\t")
        if " " in line:
            columns = [column.strip(" ") for column in columns]
        return columns if any(columns) else []
    columns = line.split(" ")
    return columns if all(columns) else [column for column in columns if column]


def _trimmed(columns: list[str], width: int) -> list[str]:
    """The columns without empty ones behind the last: a tab at a line's end begins no column."""
    while len(columns) > width and not columns[-1]:
        columns = columns[:-1]
    return columns


def _is_mark(line: str) -> bool:
    return line.startswith(MARK) and bool(_id_of(line, 0)[0])


def _mark_id(line: str, layout: Layout, where: str, notice: Notice) -> str | None:
    """The id of an ``IMGID:`` line; None where it is a row whose word is ``IMGID:``."""
    id, more = _id_of(line, layout.width)
    if not id and more:
        return None
    if not id:
        raise DataError(f"{where}: `{MARK}` without an id; write the sentence's id behind it")
    if more:
        notice("tag behind id", id)
    return id


def _id_of(line: str, width: int) -> tuple[str, bool]:
    """The id in an ``IMGID:`` line, and whether there are more columns, as in a row."""
    behind = line[len(MARK) :]
    if behind.split() == [behind]:
        return trim(behind), False
    columns = [trim(column) for column in behind.split("\t")]
    filled = [column for column in columns if column]
    if len(filled) > 1:
        row = not columns[0] and len(columns) == width
        return "" if row else filled[0], True
    if filled and not columns[0] and is_tag(filled[0]):
        return "", True
    columns = behind.split()
    if len(columns) > 1 and is_tag(columns[-1]):
        return columns[0] if len(columns) == width else " ".join(columns[:-1]), True
    return trim(behind), False


def marked_id(line: str) -> str | None:
    """The id in a line that begins with ``IMGID:``, in any spelling; None for other lines."""
    if not ANY_MARK.match(line):
        return None
    return _id_of(ANY_MARK.sub(MARK, line, count=1), 0)[0] or None


def is_comment(line: str, counted: bool) -> bool:
    """CoNLL-U's comments and rows that are no words (``3-4``, ``5.1``); elsewhere # is a word."""
    if counted:
        return bool(NO_WORD.match(line))
    return line.startswith("# ") and bool(COMMENT.match(line))


def _layout(lines: Iterable[str], file: Path, given: Columns | None = None) -> Layout:
    """Looks at the first rows, if possible at those that can't be comments."""
    rows = (
        (number, _trimmed(columns, 2))
        for number, line in enumerate(lines, 1)
        if (columns := columns_of(line))
        and columns[0] != DOCSTART
        and not _is_mark(line)
        and not invisible("".join(columns))
    )
    sample = list(islice(rows, 200))
    sample = [row for row in sample if not row[1][0].startswith("#")] or sample
    if not sample:
        raise DataError(f"{file}: holds no word; put one word and its tag in a line")
    line, columns = sample[0]
    width = len(columns)
    numbers = sum(row[0].isdecimal() for _, row in sample)
    counted = width > 2 and 2 * numbers > len(sample)
    where = f"{file}:{line}"
    if width == 1:
        raise DataError(f"{where}: {_alone(columns[0])}")
    if given is not None:
        places = [at + width if at < 0 else at for at in (given["word"], given["tag"])]
        if places[0] == places[1] or not all(0 <= at < width for at in places):
            raise DataError(
                f"{where}: `columns: {{word: {given['word']}, tag: {given['tag']}}}` does not fit "
                f"{width} columns; the first is 0, the last -1"
            )
        counted = counted and 0 not in places and _counts(row[0] for _, row in sample)
        return Layout(line, width, places[0], places[1], counted)
    if counted and width > 3:
        alike = [row for _, row in sample if len(row) == width and row[0].isdecimal()]
        tagged = [i for i in range(2, width) if all(is_tag(row[i]) for row in alike)]
        if len(tagged) != 1:
            raise DataError(
                f"{where}: {width} columns, the first of them a count, and "
                f"{'several' if tagged else 'none'} of them of tags; "
                f"keep the count, the word and the tag"
            )
        return Layout(line, width, 1, tagged[0], True)
    if width > 4:
        raise DataError(
            f"{where}: {width} columns; keep 2 to 4, the word first and the tag last, or name "
            "them: `columns: {word: 0, tag: -1}`"
        )
    return Layout(line, width, int(counted), width - 1, counted)


def _counts(column: Iterable[str]) -> bool:
    """Whether numbers of a column count words: each is one more than that before it, or a first."""
    numbers = [int(each) for each in column if each.isdecimal()]
    return all(two in (0, 1, one + 1) for one, two in pairwise(numbers))


def _alone(column: str) -> str:
    return f"`{column}` stands alone; a row is a word and its tag, with a tab or a space between"


def _checked(columns: Sequence[str], layout: Layout, where: str, notice: Notice) -> tuple[str, str]:
    """The word and the tag of a row, the latter as it is written."""
    if len(columns) == 1:
        raise DataError(f"{where}: {_alone(columns[0])}")
    if len(columns) != layout.width:
        raise DataError(
            f"{where}: {len(columns)} columns, but {layout.width} in line {layout.line}; give "
            "every row of the file the same columns"
        )
    word, tag = columns[layout.word], columns[layout.tag]
    for number, column in enumerate(columns):
        if number != layout.word and _LINE_END.search(column.strip()):
            raise DataError(
                f"{where}: the column `{column}` holds a character that ends a line in some "
                "programs, but not here; end lines with a line feed"
            )
    if not tag:
        raise DataError(f"{where}: a word without a tag; put `O` or an entity's tag in the row")
    if not word:
        between = columns[layout.word + 1 : layout.tag]
        if tag != "O" or any(between):
            told = "a tag without a word; put the word before it or remove the row"
            raise DataError(f"{where}: {told}")
        notice("empty word", where.rpartition("/")[2])
        word = NOTHING
    return word, tag


def _tag(written: str, bare: dict[str, str], where: str, notice: Notice) -> str:
    """A tag without invisible characters; one without a prefix is noted in ``bare``."""
    prefix, dash, label = trim(written).partition("-")
    tag = f"{prefix}{dash}{clean(label)}"
    if TWO_TAGS.search(label):
        raise DataError(f"{where}: `{tag}` is several tags in one; keep one of them")
    if tag != written:
        notice("invisible in tag", f"`{written}`")
    try:
        split_tag(tag)
    except ValueError as error:
        if not BARE.fullmatch(tag):
            raise DataError(f"{where}: {error}") from None
        bare[tag] = f"{where}: {error}"
    return tag


def _add_prefixes(blocks: Sequence[Block], tags: Collection[str], bare: Mapping[str, str]) -> None:
    """Gives the tags of a file without prefixes (IO) those of BIO.

    Raises:
        DataError: some tags of the file have a prefix, or none is O: then it is no such file.
    """
    if "O" not in tags or len(tags) > len(bare) + 1:
        raise DataError(next(iter(bare.values())))
    if pair := marked(bare):
        raise DataError(
            f"{bare[pair[1]]} (`{pair[0]}` and `{pair[1]}` look like one type with marks of "
            "another notation; if they are types, rename one)"
        )
    for block in blocks:
        last = ["O", *block.tags]
        block.tags = [
            tag if tag == "O" else f"{'I' if tag == before else 'B'}-{tag}"
            for before, tag in zip(last, block.tags, strict=False)
        ]


def _check_count(count: str, block: Block, where: str) -> None:
    """Raises DataError where a sentence's rows don't count up by one from 0 or 1."""
    if not block.words:
        block.count = int(count) if count in ("0", "1") else -1
    if count != str(block.count + len(block.words)):
        remedy = "count each sentence's words from 0 or 1, with a blank line between sentences"
        raise DataError(f"{where}: the word count `{count}` is out of order; {remedy}")
