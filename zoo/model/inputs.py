"""What there is to predict: lines of text, JSONL, columns, CSV; one sentence at a time."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import IO, Any, Literal

from zoo.data.blocks import DOCSTART, NOTHING, marked_id
from zoo.data.captions import Captions
from zoo.data.files import encodable
from zoo.data.pictures import PictureFolder
from zoo.data.text import split_words
from zoo.errors import ConfigError, DataError
from zoo.files import is_file
from zoo.importers.record import IMAGES, image_names, named_image
from zoo.model.columns import Sentence, sentences
from zoo.model.records import KEYS, cells, objects
from zoo.types import Picture, Sample

Format = Literal["text", "jsonl", "conll", "csv"]
STDIN = "-"
_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".conll": "conll",
    ".conllu": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".csv": "csv",
}


_OTHERS = (
    ".xls", ".xlsx", ".parquet", ".xml", ".html", ".htm", ".pdf", ".doc", ".docx", ".rtf",
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
    """What was noticed while reading: how many posts there were, what they had beside words; how
    many name pictures that are absent, and the first of those names; how many have several
    pictures; and how many are not in the file of captions, and the first of these."""

    posts: int = 0
    had: set[str] = field(default_factory=set)
    absent: int = 0
    first: str = ""
    several: int = 0
    captions: Captions | None = None
    uncaptioned: int = 0
    first_uncaptioned: str = ""

    def add(self, post: Post, id: str | None, absent: Sequence[str] = ()) -> Post:
        """The post with its caption; ``id`` is the one that it was given, if any."""
        sample = post.sample
        if self.captions is not None and sample.caption is None:
            caption = None if id is None else self.captions.find(id)
            sample = replace(sample, caption=caption or None)
            post = replace(post, sample=sample)
            if caption is None and sample.words:
                self.uncaptioned += 1
                self.first_uncaptioned = self.first_uncaptioned or sample.id
        self.posts += 1
        self.had |= {name for name in ("picture", "caption") if sample.get(name) is not None}
        self.had |= sample.extra.keys()
        self.several += bool(sample.more_pictures)
        if absent:
            self.absent += 1
            self.first = self.first or absent[0]
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


def guess(path: str, line: str) -> tuple[Format, bool]:
    """The format of a file by its suffix, else by its first line that is not blank; and whether
    nothing but tabs tells it.

    Raises:
        DataError: its suffix or its first line is that of another format, which would be read as
            text.
    """
    suffix = Path(path).suffix.lower()
    line = line.removeprefix("\ufeff")
    known = _SUFFIXES.get(suffix)
    if known is not None:
        return known, False
    if suffix in _OTHERS:
        raise DataError(
            f"{path}: neither text, nor JSONL (an object a line), nor columns, nor CSV; write it "
            "as one of these, or say what it is by --format"
        )
    if line.lstrip().startswith("{"):
        return "jsonl", False
    if suffix == ".json" or _ARRAY.match(line):
        raise DataError(
            f"{path}: JSON that is no object a line; write one object in each line, or say what "
            "it is by --format"
        )
    if marked_id(line) or line.startswith(DOCSTART):
        return "conll", False
    if suffix == ".tsv":
        names = [cell.strip().lower() for cell in line.split("\t")]
        return ("csv", False) if "text" in names and "o" not in names else ("conll", True)
    tabs = line.count("\t") in (1, 2, 3) and len(line.split()) < 5
    return ("conll", True) if tabs else ("text", False)


_ARRAY = re.compile(r'\s*\[\s*(?:$|[{"])')
"""How an array of JSON begins, and text hardly ever."""


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
        columns: which field of JSONL, or column of CSV, holds what of ``KEYS``; of columns the
            number of the ``word`` (the first is 0, the last -1).
        mark: of columns, what a line with an id looks like (see :func:`zoo.data.blocks.id_line`);
            None: ``IMGID:``.
    """

    path: str
    images: Path | None = None
    format: Format | None = None
    captions: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    mark: str | None = None
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
        kind, unsure = self._kind(first)
        lines = chain(waiting, lines)
        if kind == "text":
            yield from _text(lines, name, folder, self.tally)
            return
        if kind == "conll":
            word = int(self.columns["word"]) if self.columns else None
            found = sentences(lines, name, word, self.mark, unsure)
            yield from _conll(found, name, folder, self.tally)
            return
        if kind == "jsonl":
            records = objects(lines, name, self.columns)
        else:
            records = cells(lines, name, first, self.columns)
        beside = Path() if self.path == STDIN else Path(self.path).parent
        yield from _records(records, name, folder, self.tally, beside)

    def _kind(self, first: str) -> tuple[Format, bool]:
        """The format, and whether it is but a guess. Raises ConfigError where the settings are of
        another format."""
        kind, unsure = self.format, False
        if kind is None and "word" not in self.columns and self.mark is None:
            kind, unsure = guess(self.path, first)
            if unsure and self.columns:
                kind, unsure = "csv", False
        kind = kind or "conll"
        keys: Mapping[str, Sequence[str]] = {
            "text": (), "conll": ("word",), "jsonl": KEYS, "csv": [k for k in KEYS if k != "words"]
        }  # fmt: skip
        for key, value in self.columns.items():
            if key not in keys[kind]:
                there = ", ".join(keys[kind]) or "nothing"
                raise ConfigError(f"--columns {key}={value}: of the format {kind} it names {there}")
        if "word" in self.columns and not re.fullmatch(r"-?\d{1,4}", self.columns["word"]):
            raise ConfigError(
                f"--columns word={self.columns['word']}: of columns give the number: the first is "
                "0, the last -1"
            )
        if self.mark is not None and kind != "conll":
            raise ConfigError(f"--id {self.mark}: is for columns; of {kind} give --columns id=NAME")
        return kind, unsure


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
        pictures = _by_id(str(number), folder, f"{name}:{number}")
        yield tally.add(of_text(line, str(number), **as_fields(pictures)), str(number))


def as_fields(pictures: Sequence[Picture]) -> dict[str, object]:
    """Pictures as fields of a sample."""
    return {"picture": next(iter(pictures), None), "more_pictures": tuple(pictures[1:])}


def _by_id(id: str | None, folder: PictureFolder | None, where: str) -> list[Picture]:
    """The pictures that bear an id."""
    return folder.all(id, where) if folder is not None and id and folder.has(id) else []


def _records(
    records: Iterable[tuple[int, dict[str, Any]]],
    name: str,
    folder: PictureFolder | None,
    tally: Tally,
    beside: Path,
) -> Iterator[Post]:
    """Posts of objects with ``text``, ``words`` or ``tokens``, as reader ``jsonl`` takes them.

    Entities, where there are any, are passed over. A post that names no picture has those that bear
    its id.
    """
    for number, record in records:
        where = f"{name}:{number}"
        if "text" not in record and "tokens" in record:  # as Hugging Face datasets call them
            record.setdefault("words", record["tokens"])
        known = {"id", "text", "words", "image", "caption", "language", "entities"}
        fields = {key: value for key, value in record.items() if key in ("caption", "language")}
        extra = {k: v for k, v in record.items() if k not in known and isinstance(v, str)}
        if not all(isinstance(value, str) for value in fields.values()):
            raise DataError(f"{where}: `caption` and `language` must be text")
        id = record.get("id", number)
        if isinstance(id, bool) or not isinstance(id, str | int):
            raise DataError(f"{where}: `id` must be text or a whole number")
        own = str(id) if "id" in record else None
        given = next((record[key] for key in IMAGES if record.get(key) not in (None, "", [])), None)
        images = given if isinstance(given, list) else [given]
        named = [each for image in images if (each := named_image(image)) is not None]
        found = [(each, _picture(each, folder, beside, where)) for each in named]
        pictures = [picture for _, picture in found if picture is not None]
        pictures = pictures if named else _by_id(own, folder, where)
        fields |= {**as_fields(pictures), "extra": extra}
        words = _words(record, where)
        if words is None:
            post = of_text(record["text"], str(id), **fields)
        else:
            post = Post(replace(Sample(str(id), words), **fields))
        yield tally.add(post, own, [each for each, picture in found if picture is None])


def _words(record: Mapping[str, Any], where: str) -> tuple[str, ...] | None:
    """The words of a post; None where it is running text, of which words may be there, too, as
    predictions have them. Raises DataError."""
    text, words = record.get("text"), record.get("words")
    if "text" in record and not isinstance(text, str):
        raise DataError(f"{where}: `text` must be text; give a list of words as `words`")
    if isinstance(text, str) and (words is None or words == [w for w, *_ in split_words(text)]):
        return None
    if text is not None or words is None:
        raise DataError(f"{where}: give the sentence as either `words` or `text`")
    if not isinstance(words, list) or not all(isinstance(w, str) and w for w in words):
        raise DataError(f"{where}: `words` must be a list of words, none of them empty")
    return tuple(word.replace("\ufeff", "") or NOTHING for word in words)


def _picture(name: str, folder: PictureFolder | None, beside: Path, where: str) -> Picture | None:
    """A picture by its name, path or URL: in the folder or, without one, by its path."""
    if folder is None:
        return Picture(Path(name).name, beside / name) if is_file(beside / name) else None
    there = next((each for each in image_names(name) if folder.has(each)), None)
    return None if there is None else folder.find(there, where)


def _conll(
    found: Iterable[Sentence], name: str, folder: PictureFolder | None, tally: Tally
) -> Iterator[Post]:
    """Posts of sentences in columns; ``IMGID:`` names the picture. Tags, where there are any, are
    passed over."""
    for number, (line, id, words) in enumerate(found, 1):
        pictures: list[Picture] = []
        if folder is not None and id and (first := folder.find(id, where := f"{name}:{line}")):
            pictures = [first, *folder.more(id, where)]
        sample = replace(Sample(id or str(number), words), **as_fields(pictures))  # type: ignore[arg-type]
        yield tally.add(Post(sample), id, [id] if folder and id and not pictures else [])
