"""What a folder of data holds: the settings that a reader needs for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.data.bio import SUFFIXES, Bio
from zoo.data.files import SPLITS
from zoo.data.jsonl import Jsonl
from zoo.data.pictures import SUFFIXES as PICTURES
from zoo.errors import DataError

_READERS = {"jsonl": ((".jsonl",), Jsonl), "bio": (SUFFIXES, Bio)}


def detect(folder: Path) -> dict[str, Any]:
    """The reader for a folder, or for a file, and its settings but for ``path``; it was tried.

    Raises:
        DataError: nothing that a reader knows is there, or what is there can't be read.
    """
    if not folder.exists():
        raise DataError(f"{folder}: no such folder or file")
    files = [folder] if folder.is_file() else sorted(p for p in folder.iterdir() if p.is_file())
    languages = [] if folder.is_file() else _languages(folder)
    for name, (suffixes, reader) in _READERS.items():
        texts = [file for file in files if file.suffix in suffixes and not _is_captions(file)]
        inner = [each for each in languages if _has_splits(folder / each, suffixes)]
        if not texts and not inner:
            continue
        settings: dict[str, Any] = {"reader": name, **_beside(folder)}
        if not texts and name == "bio":
            settings["languages"] = inner
        if name == "jsonl":
            settings.pop("captions", None)  # each object has its own
        for beside in (True, False):
            if not beside:  # a file may lie beside pictures and captions of other sets
                settings = {k: v for k, v in settings.items() if k not in ("images", "captions")}
            own = {key: value for key, value in settings.items() if key != "reader"}
            try:
                reader(folder.parent, path=folder.name, **own).read()
                return settings
            except DataError:
                if folder.is_dir() or not beside or own == {}:
                    raise
    raise DataError(
        f"{folder}: no {' or '.join(SUFFIXES)} and no .jsonl; `zoo data import` turns the files of "
        "other tools into a folder that the zoo reads"
    )


def _beside(folder: Path) -> dict[str, str]:
    """The folder of pictures and the file of captions, where they are."""
    place = folder.parent if folder.is_file() else folder
    found: dict[str, str] = {}
    for inner in sorted(place.iterdir()):
        if inner.is_dir() and any(p.suffix.lower() in PICTURES for p in inner.iterdir()):
            found.setdefault("images", inner.name)
        elif inner.is_file() and _is_captions(inner):
            found.setdefault("captions", inner.name)
    return found


def _is_captions(file: Path) -> bool:
    return "caption" in file.stem.lower()


def _languages(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())


def _has_splits(folder: Path, suffixes: tuple[str, ...]) -> bool:
    names = {name + suffix for names in SPLITS.values() for name in names for suffix in suffixes}
    return len(names & {entry.name for entry in folder.iterdir()}) >= len(SPLITS)
