"""What there is to predict: lines of text, JSONL, columns; one sentence at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, Literal

from zoo.data.blocks import DOCSTART, NOTHING, columns_of, is_comment, marked_id
from zoo.data.captions import Captions
from zoo.data.files import encodable, parse_json
from zoo.data.pictures import PictureFolder
from zoo.data.text import split_words
from zoo.errors import DataError, invisible
from zoo.files import is_file
from zoo.importers.record import image_names, named_image
from zoo.types import Picture, Sample

Format = Literal["text", "jsonl", "conll"]
FORMATS: tuple[Format, ...] = ("text", "jsonl", "conll")
STDIN = "-"
_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".conll": "conll",
    ".conllu": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".tsv": "conll",
}


_OTHERS = (
    ".csv", ".xls", ".xlsx", ".parquet", ".xml", ".html", ".htm", ".pdf", ".doc", ".docx", ".rtf",
    ".yaml", ".yml", ".spacy", ".ann", ".py", ".ipynb",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Post:
    """A sentence to predict: its sample and, of running text, the text and its words' places."""

    sample: Sample
    text: str | None = None
    places: Sequence[tuple[int, int]] | None = None


@dataclass(slots=True)
class Tally:
    """What was noticed while reading: how many posts there were, what they had beside words, and
    how many pictures are named and absent, with the name of the first, and how many posts have
    several."""

    posts: int = 0
    had: set[str] = field(default_factory=set)
    absent: int = 0
    first: str = ""
    several: int = 0
    captions: Captions | None = None

    def add(self, post: Post, named: str | None) -> Post:
        sample = post.sample
        if self.captions is not None and sample.caption is None:
            sample = replace(sample, caption=self.captions.find(sample.id) or None)
            post = replace(post, sample=sample)
        self.posts += 1
        self.had |= {name for name in ("picture", "caption") if sample.get(name) is not None}
        self.had |= sample.extra.keys()
        if named and post.sample.picture is None:
            self.absent += 1
            self.first = self.first or named
        return post


def of_text(text: str, id: str, **fields: object) -> Post:
    """A post of running text; see :func:`zoo.data.text.split_words`.

    Raises:
        DataError: it holds halves of surrogate pairs, which are no characters.
    """
    if not encodable(text):
        raise DataError(f"post {id}: its text holds surrogates, which are no characters")
    found = split_words(text)
    words = tuple(word for word, _, _ in found)
    sample = replace(Sample(id, words), **fields)  # type: ignore[arg-type]
    return Post(sample, text, [(start, end) for _, start, end in found])


def picture_of(path: str | Path) -> Picture:
    """A picture by its file. Raises DataError where there is none."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such picture")
    return Picture(path.name, path)


def guess(path: str, line: str) -> Format:
    """The format of a file by its suffix, else by its first line that is not blank.

    Raises:
        DataError: its suffix is that of another format, which would be read as text.
    """
    suffix = Path(path).suffix.lower()
    known = _SUFFIXES.get(suffix)
    if known is not None:
        return known
    if suffix in _OTHERS or line.lstrip("\ufeff ").startswith(("[{", '["')):
        raise DataError(
            f"{path}: neither text, nor JSONL (an object a line), nor columns; write it as one of "
            "these, or say what it is by --format"
        )
    if line.lstrip().startswith("{"):
        return "jsonl"
    if marked_id(line) or line.startswith(DOCSTART):
        return "conll"
    return "conll" if line.count("\t") in (1, 2, 3) and len(line.split()) < 5 else "text"


class _Pictures(PictureFolder):
    """The pictures of a stream, which keeps no list of what was looked for."""

    def find(self, id: str, where: str) -> Picture | None:
        found = super().find(id, where)
        self._sought.clear()
        return found


class _Captions(Captions):
    """The captions of a stream; see :class:`_Pictures`."""

    def find(self, id: str) -> str | None:
        found = super().find(id)
        self._sought.clear()
        return found


@dataclass
class Source:
    """A file, or standard input, whose posts are read one after the other.

    Args:
        path: ``-`` is standard input.
        images: the folder of the pictures; None: no pictures are looked for, but those that a line
            of JSONL names by a path, as seen from the file.
        format: None: as :func:`guess` finds.
        captions: a file of captions by the posts' ids (see :class:`zoo.data.captions.Captions`).
    """

    path: str
    images: Path | None = None
    format: Format | None = None
    captions: Path | None = None
    tally: Tally = field(default_factory=Tally)

    def __iter__(self) -> Iterator[Post]:
        """Raises DataError naming file and line."""
        name = "standard input" if self.path == STDIN else self.path
        folder = None
        if self.images is not None:
            if not self.images.is_dir():
                raise DataError(f"--images {self.images}: no such folder")
            folder = _Pictures(self.images)
        if self.captions is not None:
            self.tally.captions = _Captions(self.captions)
        try:
            if self.path == STDIN:
                yield from self._posts(_lines(sys.stdin.buffer, name), name, folder)
            else:
                if Path(self.path).exists() and not Path(self.path).is_file():
                    raise DataError(f"{name}: not a file")
                with open(self.path, "rb") as file:
                    yield from self._posts(_lines(file, name), name, folder)
        except FileNotFoundError:
            raise DataError(f"{name}: no such file") from None
        except OSError as error:
            raise DataError(f"{name}: can't be read ({error.strerror})") from None

    def _posts(
        self, lines: Iterator[tuple[int, str]], name: str, folder: PictureFolder | None
    ) -> Iterator[Post]:
        waiting: list[tuple[int, str]] = []
        for number, line in lines:
            waiting.append((number, line))
            if line.strip():
                break
        first = waiting[-1][1] if waiting else ""
        kind = self.format or guess(self.path, first)
        beside = Path() if self.path == STDIN else Path(self.path).parent
        jsonl = partial(_jsonl, beside=beside)
        readers: dict[Format, Callable[..., Iterator[Post]]]
        readers = {"text": _text, "jsonl": jsonl, "conll": _conll}
        yield from readers[kind](_chained(waiting, lines), name, folder, self.tally)


def _chained(
    first: Iterable[tuple[int, str]], rest: Iterator[tuple[int, str]]
) -> Iterator[tuple[int, str]]:
    yield from first
    yield from rest


def _lines(file: IO[bytes], name: str) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends, which are those of :func:`zoo.data.files.text_of`."""
    number = 0
    for raw in file:
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{name}:{number + 1}: not UTF-8; save the file as UTF-8") from None
        # a file that ends its lines with CR alone is one piece; one with LF CR begins them with CR
        for line in (text.strip("\r\n") if number else text.rstrip("\r\n")).split("\r"):
            number += 1
            if "\0" in line:
                raise DataError(f"{name}:{number}: not text (it holds NUL characters)")
            yield number, line.removeprefix("\ufeff")


def _text(
    lines: Iterable[tuple[int, str]], name: str, folder: PictureFolder | None, tally: Tally
) -> Iterator[Post]:
    """A post a line; its picture is named by the number of the line."""
    for number, line in lines:
        post = of_text(line, str(number))
        if folder is not None:
            picture = folder.find(str(number), f"{name}:{number}")
            post = replace(post, sample=replace(post.sample, picture=picture))
        yield tally.add(post, None)


def _jsonl(
    lines: Iterable[tuple[int, str]],
    name: str,
    folder: PictureFolder | None,
    tally: Tally,
    beside: Path,
) -> Iterator[Post]:
    """A JSON object a line, with ``text``, ``words`` or ``tokens``, as reader ``jsonl`` takes them.

    Entities, where there are any, are passed over.
    """
    for number, line in lines:
        if invisible(line):
            continue
        where = f"{name}:{number}"
        record = parse_json(line, where, "write one object a line")
        if not isinstance(record, dict):
            raise DataError(f'{where}: not an object; write {{"text": "…"}}')
        record = {key: value for key, value in record.items() if value is not None}
        if "text" not in record and "tokens" in record:  # as Hugging Face datasets call them
            record.setdefault("words", record["tokens"])
        known = {"id", "text", "words", "image", "caption", "language", "entities"}
        fields = {key: value for key, value in record.items() if key in ("caption", "language")}
        extra = {k: v for k, v in record.items() if k not in known and isinstance(v, str)}
        if not all(isinstance(value, str) for value in fields.values()):
            raise DataError(f"{where}: `caption` and `language` must be text")
        id = record.get("id", str(number))
        if isinstance(id, bool) or not isinstance(id, str | int):
            raise DataError(f"{where}: `id` must be text or a whole number")
        given = record.get("image")
        images = given if isinstance(given, list) else [given]
        named = [each for image in images if (each := named_image(image)) is not None]
        found = (_picture(each, folder, beside, where) for each in named)
        pictures = [each for each in found if each is not None]
        tally.several += len(named) > 1
        fields |= {"picture": next(iter(pictures), None), "extra": extra}
        fields |= {"more_pictures": tuple(pictures[1:])}
        if ("words" in record) == ("text" in record):
            raise DataError(f"{where}: give the sentence as either `words` or `text`")
        words = record.get("words")
        if "text" in record:
            if not isinstance(record["text"], str):
                raise DataError(f"{where}: `text` must be text; give a list of words as `words`")
            post = of_text(record["text"], str(id), **fields)
        elif isinstance(words, list) and all(isinstance(w, str) and w for w in words):
            words = tuple(word.replace("\ufeff", "") or NOTHING for word in words)
            post = Post(replace(Sample(str(id), words), **fields))
        else:
            raise DataError(f"{where}: `words` must be a list of words, none of them empty")
        yield tally.add(post, named[0] if named else None)


def _picture(name: str, folder: PictureFolder | None, beside: Path, where: str) -> Picture | None:
    """A picture by its name, path or URL: in the folder or, without one, by its path."""
    if folder is None:
        return Picture(Path(name).name, beside / name) if is_file(beside / name) else None
    there = next((each for each in image_names(name) if folder.has(each)), None)
    return None if there is None else folder.find(there, where)


def _conll(
    lines: Iterable[tuple[int, str]], name: str, folder: PictureFolder | None, tally: Tally
) -> Iterator[Post]:
    """A word a line, in the first column (the second where the first counts words); a blank line
    ends a sentence. ``IMGID:`` names its picture. Tags, where there are any, are passed over."""
    rows: list[str] = []
    id: str | None = None
    count, counts = 0, True

    def post(number: int) -> Iterator[Post]:
        nonlocal rows, count, counts
        counts = _counted(rows, counts)
        words = [_word(row, counts) for row in rows if not is_comment(row, counts)]
        rows = []
        if words:
            count += 1
            where = f"{name}:{number}"
            picture = folder.find(id, where) if folder and id else None
            more = folder.more(id, where) if folder and id else ()
            made = Post(Sample(id or str(count), tuple(words), picture=picture, more_pictures=more))
            yield tally.add(made, id if folder else None)

    number = 0
    for number, line in lines:
        line = line.replace("\ufeff", "")
        blank = invisible(line.replace("\u00a0", "x")) or line.startswith(DOCSTART)
        named = marked_id(line)
        if named or blank:
            had = bool(rows)
            yield from post(number)
            if named or had:
                id = named
        else:
            rows.append(line)
    yield from post(number)


def _counted(rows: Sequence[str], before: bool) -> bool:
    """Whether the first column counts the words of a sentence; ``before``: what the sentences
    before it show, for one too short to tell."""
    columns = [columns_of(row) for row in rows if not is_comment(row, counted=True)]
    if not columns or any(len(each) < 3 for each in columns):
        return False
    first = [each[0] for each in columns]
    rises = any(first == [str(start + i) for i in range(len(first))] for start in (0, 1))
    return rises and (before or len(first) > 1)


def _word(row: str, counted: bool) -> str:
    return (columns_of(row) or [""])[int(counted)].strip(" ") or NOTHING
