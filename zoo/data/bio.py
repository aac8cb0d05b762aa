"""Reader ``bio``: a word and its tag a line, in the formats that NER data comes in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from zoo.data.captions import read_captions
from zoo.data.files import (
    SPLITS,
    Ids,
    Split,
    beside,
    dataset_folder,
    map_types,
    read_lines,
    split_files,
)
from zoo.data.pictures import PictureFolder
from zoo.errors import DataError, near
from zoo.registry import register
from zoo.tags import Reading, read_tags, scheme_of, split_tag
from zoo.types import Sample, Splits

SUFFIXES = (".txt", ".conllu", ".conll", ".bio", ".iob", ".iob2", ".tsv")
MARK = "IMGID:"
COMMENT = re.compile(r"# (id |\w+ = )")
NO_WORD = re.compile(r"#|\d+[-.]\d+\s")


@register("reader", "bio")
class Bio:
    """A folder of column files: IMGID blocks (UMT), CoNLL columns, or index, word and tag.

    The format is found by looking: columns are separated by tabs or, in lines without any, by
    spaces; the word is the first of 2 to 4 columns (the second where the first counts words) and
    the tag is the last. A blank line ends a sentence. The id of a sentence is its IMGID, else
    ``<split>-<n>``; ``<language>/`` stands before it where there are several languages.

    Cites: yu-etal-2020-improving-multimodal, tjong-kim-sang-de-meulder-2003-introduction

    Args:
        root: the folder that data paths are relative to.
        path: the folder with the files train, dev (valid, val, validation) and test.
        captions: a captions file in that folder (see :func:`zoo.data.captions.read_captions`).
        images: the folder of the pictures, in that folder; it need not be there.
        labels: entity types to rename, applied after reading.
        tags: how tags are read into entities (see :func:`zoo.tags.read_tags`).
        languages: sub-folders of ``path``, one a language, each with its three files.
        splits: file names where they are others.
    """

    example: ClassVar[dict[str, Any]] = {"path": "posts", "captions": "captions.txt"}
    example_files: ClassVar[dict[str, str]] = {
        "posts/train.txt": "IMGID:1\nAda\tB-PER\nLovelace\tI-PER\nwrites\tO\n",
        "posts/dev.txt": "IMGID:2\nin\tO\nLondon\tB-LOC\n",
        "posts/test.txt": "IMGID:3\nParis\tB-LOC\n\nIMGID:4\nhello\tO\n",
        "posts/captions.txt": "1.jpg :a woman at a desk\n",
    }

    def __init__(
        self,
        root: Path,
        *,
        path: str,
        captions: str | None = None,
        images: str | None = None,
        labels: dict[str, str] | None = None,
        tags: Reading = "lenient",
        languages: Annotated[list[str], Field(min_length=1)] | None = None,
        splits: dict[Split, str] | None = None,
    ) -> None:
        self._root = root
        self._path = path
        self._captions = captions
        self._images = images
        self._labels = labels or {}
        self._reading: Reading = tags
        self._languages = languages
        self._names = splits

    def read(self) -> Splits:
        """Train, dev and test, in file order, one language after the other.

        Raises:
            DataError: a file is missing, empty or malformed; names the file and the line.
        """
        folder = dataset_folder(self._root, self._path)
        splits: Splits = {split: [] for split in SPLITS}
        ids = Ids()
        if self._languages is None:
            self._read_folder(folder, folder, None, splits, ids)
        for language in dict.fromkeys(self._languages or ()):
            inner = folder / language
            if not inner.is_dir():
                there = [entry.name for entry in folder.iterdir() if entry.is_dir()]
                raise DataError(
                    f"{inner}: no such folder, but `languages` names it{near(language, there)}"
                )
            self._read_folder(inner, folder, language, splits, ids)
        return map_types(splits, self._labels, folder)

    def _read_folder(
        self, folder: Path, outer: Path, language: str | None, splits: Splits, ids: Ids
    ) -> None:
        places = (folder, outer, self._root)
        captions = read_captions(beside(self._captions, *places)) if self._captions else {}
        pictures = PictureFolder(beside(self._images, *places)) if self._images else None
        prefix = f"{language}/" if language else ""
        for split, file in split_files(folder, SUFFIXES, self._names).items():
            blocks = list(read_blocks(file))
            scheme = scheme_of(set(chain.from_iterable(block.tags for block in blocks)))
            for n, block in enumerate(blocks, 1):
                where = f"{file}:{block.line}"
                id = block.id or f"{split}-{n}"
                ids.add(prefix + id, where)
                splits[split].append(
                    Sample(
                        id=prefix + id,
                        words=tuple(block.words),
                        entities=tuple(read_tags(block.tags, self._reading, scheme)),
                        language=language,
                        picture=pictures.find(id, where) if pictures else None,
                        caption=captions.get(id),
                    )
                )


@dataclass(slots=True)
class Block:
    """One sentence of a file: where it begins, its IMGID where the file has them, its rows."""

    line: int
    id: str | None = None
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    count: int = 0  # of the first word, where the rows are counted


@dataclass(frozen=True, slots=True)
class Layout:
    """The rows of a file: how many columns (as first seen in ``line``), is the first a count."""

    line: int
    width: int
    counted: bool


def read_blocks(file: Path) -> Iterator[Block]:
    """The sentences of a file.

    Raises:
        DataError: the file or a line of it is wrong; names both.
    """
    lines = read_lines(file)
    layout = _layout(lines, file)
    marked = any(map(_is_mark, lines))
    known: set[str] = set()  # tags found to be good, each looked at once
    block: Block | None = None
    for number, line in enumerate(lines, 1):
        columns = _columns(line)
        if _is_mark(line):
            yield from _finished(block, file)
            block = Block(number, _mark_id(line, f"{file}:{number}"))
        elif not columns or columns[0] == "-DOCSTART-":
            yield from _finished(block, file)
            block = None
        elif not _is_comment(line, layout.counted):
            if block is None:
                if marked:
                    raise DataError(
                        f"{file}:{number}: words before any `{MARK}` line; "
                        f"begin each sentence with `{MARK}` and its id"
                    )
                block = Block(number)
            word, tag = columns[layout.counted], columns[-1]
            if len(columns) != layout.width or not word or tag not in known:
                _check_row(columns, layout, f"{file}:{number}")
                known.add(tag)
            if layout.counted:
                _check_count(columns[0], block, f"{file}:{number}")
            block.words.append(word)
            block.tags.append(tag)
    yield from _finished(block, file)


def _finished(block: Block | None, file: Path) -> Iterator[Block]:
    if block is not None and not block.words:
        raise DataError(
            f"{file}:{block.line}: `{MARK}{block.id}` has no words; put them in the next lines, "
            f"without a blank line between, or remove the id"
        )
    if block is not None:
        yield block


def _columns(line: str) -> list[str]:
    """The columns of a row; none for a blank line. A no-break space is a word like any other."""
    if "\t" in line:
        columns = [column.strip(" ") for column in line.split("\t")]
        return columns if any(columns) else []
    return [column for column in line.split(" ") if column]


def _is_mark(line: str) -> bool:
    return line.startswith(MARK) and "\t" not in line


def _mark_id(line: str, where: str) -> str:
    id = line[len(MARK) :].strip()
    if not id:
        raise DataError(f"{where}: `{MARK}` without an id; write the sentence's id behind it")
    return id


def _is_comment(line: str, counted: bool) -> bool:
    """CoNLL-U's comments and rows that are no words (``3-4``, ``5.1``); elsewhere # is a word."""
    if counted:
        return bool(NO_WORD.match(line))
    return line.startswith("# ") and bool(COMMENT.match(line))


def _layout(lines: Sequence[str], file: Path) -> Layout:
    """Looks at the first rows, if possible at those that can't be comments."""
    rows = (
        (number, columns)
        for number, line in enumerate(lines, 1)
        if (columns := _columns(line)) and columns[0] != "-DOCSTART-" and not _is_mark(line)
    )
    sample = list(islice(rows, 200))
    sample = [row for row in sample if not row[1][0].startswith("#")] or sample
    if not sample:
        raise DataError(f"{file}: holds no word; put one word and its tag in a line")
    line, columns = sample[0]
    numbers = sum(row[0].isdecimal() for _, row in sample)
    counted = len(columns) > 2 and 2 * numbers > len(sample)
    where = f"{file}:{line}"
    if len(columns) == 1:
        raise DataError(f"{where}: {_alone(columns[0])}")
    if counted and len(columns) > 3:
        raise DataError(
            f"{where}: {len(columns)} columns, the first of them a count; "
            f"keep the count, the word and the tag"
        )
    if len(columns) > 4:
        raise DataError(
            f"{where}: {len(columns)} columns; keep 2 to 4, the word first and the tag last"
        )
    return Layout(line, len(columns), counted)


def _alone(column: str) -> str:
    return f"`{column}` stands alone; a row is a word and its tag, with a tab or a space between"


def _check_row(columns: Sequence[str], layout: Layout, where: str) -> None:
    if len(columns) == 1:
        raise DataError(f"{where}: {_alone(columns[0])}")
    if len(columns) != layout.width:
        raise DataError(
            f"{where}: {len(columns)} columns, but {layout.width} in line {layout.line}; "
            f"give every row of the file the same columns"
        )
    if not columns[layout.counted]:
        raise DataError(f"{where}: a tag without a word; put the word before it or remove the row")
    if not columns[-1]:
        raise DataError(f"{where}: a word without a tag; put `O` or an entity's tag in the row")
    try:
        split_tag(columns[-1])
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None


def _check_count(count: str, block: Block, where: str) -> None:
    """Raises DataError where a sentence's rows don't count up by one from 0 or 1."""
    if not block.words:
        block.count = int(count) if count in ("0", "1") else -1
    if count != str(block.count + len(block.words)):
        raise DataError(
            f"{where}: the word count `{count}` is out of order; count each sentence's words from "
            f"0 or 1, with a blank line between sentences"
        )
