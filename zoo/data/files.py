"""Finding and reading a dataset's files, with errors that name the file and the line."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from zoo.data.findings import Notice, ignore
from zoo.errors import DataError, invisible, near, shown
from zoo.types import Sample, Splits

Split = Literal["train", "dev", "test"]

SPLITS: Mapping[Split, Sequence[str]] = {
    "train": ("train",),
    "dev": ("dev", "valid", "val", "validation"),
    "test": ("test",),
}
"""The splits, and the names their files go by."""

WHOLE = "all"
"""Stands for a split where one file holds all sentences."""


def dataset_folder(root: Path, path: str) -> Path:
    """The folder of a dataset, or that of its one file. Raises DataError where it isn't there."""
    folder = root / path
    if folder.is_dir():
        return folder
    if folder.is_file():
        return folder.parent
    if folder.exists():
        raise DataError(
            f"{folder}: not a folder, and not a file; `path` names the folder that holds the splits"
        )
    raise DataError(
        f"{folder}: no such folder; data paths are relative to --data DIR or ZOO_DATA, "
        f"else to the YAML file"
    )


def beside(name: str, *folders: Path) -> Path:
    """A file or folder of a dataset: the first that exists, else where it was to be first."""
    candidates = [folder / name for folder in folders]
    return next((path for path in candidates if path.exists()), candidates[0])


def split_files(
    place: Path,
    suffixes: Sequence[str],
    given: Mapping[Split, str] | None = None,
    whole: bool = True,
) -> dict[str, Path]:
    """The file of each split: the one that is ``given``, else found by its name.

    Dev and test may be absent, and one file may hold all sentences (``WHOLE``), where no other
    file of the folder could be what is missing; see :func:`zoo.data.splitting.completed`.

    Args:
        place: a folder, or a file that holds all sentences.
        whole: whether the files of all splits must be there.

    Raises:
        DataError: one is missing, or there are two.
    """
    if place.is_file():
        return {WHOLE: place}
    given = given or {}
    found = {split: _split_file(place, split, suffixes, given.get(split)) for split in SPLITS}
    present = {str(split): file for split, file in found.items() if file is not None}
    if len(present) == len(found):
        return present
    other = [
        entry
        for entry in sorted(place.iterdir())
        if entry.is_file() and entry.suffix in suffixes and entry not in present.values()
        and not BESIDE.match(entry.name)
    ]  # fmt: skip
    if not whole and not present and len(other) == 1:
        return {WHOLE: other[0]}
    if not whole and "train" in present and not other:
        for split in (split for split, file in found.items() if file is None):
            if stray := next((e for e in sorted(place.iterdir()) if _is_called(e, split)), None):
                raise DataError(
                    f"{stray}: is called as the {split} split, and files that end in "
                    f"{stray.suffix or 'nothing'} are not read; rename it to "
                    f"{stray.stem.lower()}{suffixes[0]}, or move it away"
                )
        return present
    missing = next(split for split, file in found.items() if file is None)
    folders = sorted(entry.name for entry in place.iterdir() if entry.is_dir())
    hint = f" (or name sub-folders by `languages`: {', '.join(folders)})" if folders else ""
    raise DataError(
        f"{place}: no file for {missing}; add {SPLITS[missing][0]}{suffixes[0]} or name it: "
        f"`splits: {{{missing}: FILE}}`{hint}"
    )


def _is_called(entry: Path, split: Split) -> bool:
    """Whether a file bears the name of a split, whatever it ends in."""
    return entry.is_file() and entry.stem.lower() in SPLITS[split]


BESIDE = re.compile(r"(?i)caption|readme|licen[cs]e|notes?\b")
"""Files that lie beside a dataset's splits and hold no sentences."""


def _split_file(
    folder: Path, split: Split, suffixes: Sequence[str], given: str | None
) -> Path | None:
    present = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    if given is not None:
        if not (folder / given).is_file():
            raise DataError(
                f"{folder / given}: no such file, but `splits` names it as {split}"
                f"{near(given, present)}"
            )
        return folder / given
    names = [name + suffix for name in SPLITS[split] for suffix in suffixes]
    found = [name for name in present if name in names]
    if len(found) > 1:
        raise DataError(
            f"{folder}: {' and '.join(found)} may both be {split}; "
            f"name one: `splits: {{{split}: {found[0]}}}`"
        )
    return folder / found[0] if found else None


def parse_json(text: str, where: str, remedy: str) -> Any:
    """A JSON value whose strings are text. Raises DataError, which begins with ``where``."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        at = where if line == 1 else f"{where}:{line}"
        raise DataError(f"{at}: not JSON ({error}); {remedy}") from None
    if _HALF.search(text) and not encodable(json.dumps(value, ensure_ascii=False)):
        raise DataError(f"{where}: it holds surrogates, which are no characters; {remedy}")
    return value


_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""How JSON writes halves of surrogate pairs, or whole ones."""


def encodable(text: str) -> bool:
    """Whether a text holds nothing but characters: no halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_lines(file: Path) -> list[str]:
    """The lines of a file; see :func:`text_of`."""
    return text_of(file).split("\n")


STRETCH = 1 << 20
"""Characters of a text that are cut into lines together."""


class Lines:
    """The lines of a text. They are cut as they are asked for: together they take several times
    the memory of the text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __iter__(self) -> Iterator[str]:
        start, text = 0, self._text
        while (end := text.find("\n", start + STRETCH)) >= 0:
            yield from text[start:end].split("\n")
            start = end + 1
        yield from text[start:].split("\n")


def text_of(file: Path) -> str:
    """The text of a UTF-8 file. Lines end with a newline, whatever they ended with in the file.

    That may be LF, CR LF, CR alone, LF CR, or several CR before an LF. No other character ends a
    line: U+2028, U+0085 and their like occur inside words. Byte order marks at the beginnings of
    lines, where files were joined, are dropped.

    Raises:
        DataError: it can't be read, isn't UTF-8, or holds nothing.
    """
    try:
        if file.exists() and not file.is_file():  # a pipe would wait for ever
            raise DataError(f"{file}: can't be read (not a file); name a file")
        raw = file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{file}: can't be read ({error.strerror}); check that it is a file you may read"
        ) from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{file}:{line}: not UTF-8; save the file as UTF-8") from None
    if "\r" in text:
        if text.count("\n\r") >= text.count("\n") - 1:
            text = text.replace("\n\r", "\n")
        text = re.sub(r"\r+\n|\r", "\n", text)
    if "\ufeff" in text:
        text = re.sub("^\ufeff+", "", text, flags=re.MULTILINE)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{file}:{line}: not text (it holds NUL characters); save it as UTF-8")
    if invisible(text):
        raise DataError(f"{file}: the file is empty; put the split's sentences or lines there")
    return text


def clean(name: str) -> str:
    """A tag or type without white space and invisible characters at its ends, and without
    characters of no width inside, save those that join letters: two types must not look alike."""
    if not name.isascii():
        joiners = "\u200c\u200d"
        name = "".join(c for c in name if c in joiners or unicodedata.category(c) != "Cf")
    return trim(name)


def trim(name: str) -> str:
    """A name without white space and invisible characters at its ends."""
    while name and invisible(name[-1]):
        name = name[:-1]
    while name and invisible(name[0]):
        name = name[1:]
    return name


class Ids:
    """The ids of a dataset, each of which belongs to one sample."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}
        self._given: dict[str, int] = {}  # the last number of ids that repeat

    def unique(self, id: str, split: str, notice: Notice = ignore) -> str:
        """The id, or where it was there before the id and a number: ``101``, ``101-2``, ``101-3``.

        Several sentences of one post may so keep its id. ``notice`` is told of such an id.
        """
        if id not in self._seen:
            self._seen[id] = split
            return id
        notice("repeated id" if self._seen[id] == split else "post of an earlier split", id)
        number = self._given.get(id, 1) + 1
        while f"{id}-{number}" in self._seen:
            number += 1
        self._given[id] = number
        self._seen[f"{id}-{number}"] = split
        return f"{id}-{number}"


def map_types(splits: Splits, labels: Mapping[str, str], where: Path) -> Splits:
    """The same samples with entity types renamed.

    Raises:
        DataError: a type to be renamed occurs nowhere, or its new name is no type.
    """
    if not labels:
        return splits
    types = {e.type for samples in splits.values() for sample in samples for e in sample.entities}
    for label, new in labels.items():
        if new in ("", "O") or clean(new) != new:
            raise DataError(
                f"{where}: `labels` maps `{label}` to `{shown(new)}`, which is no type; give a "
                "name without blanks and invisible characters at its ends, and not O"
            )
        if label not in types:
            raise DataError(
                f"{where}: `labels` maps `{label}`, a type that no entity has{near(label, types)}"
            )
    return {
        split: [_renamed(sample, labels) for sample in samples] for split, samples in splits.items()
    }


def _renamed(sample: Sample, labels: Mapping[str, str]) -> Sample:
    if not any(entity.type in labels for entity in sample.entities):
        return sample
    entities = (e._replace(type=labels.get(e.type, e.type)) for e in sample.entities)
    return replace(sample, entities=tuple(entities))
