"""What a folder of data holds: the settings that a reader needs for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.data.bio import SUFFIXES, Bio
from zoo.data.files import BESIDE, SPLITS
from zoo.data.jsonl import Jsonl
from zoo.data.pictures import SUFFIXES as PICTURES
from zoo.errors import DataError

_READERS = {"jsonl": ((".jsonl",), Jsonl), "bio": (SUFFIXES, Bio)}


def detect(folder: Path, tell: Callable[[str], object] = lambda _: None) -> dict[str, Any]:
    """The reader for a folder, or for a file, and its settings but for ``path``; it was tried.

    Args:
        tell: is told in a line what is there and left out, and why.

    Raises:
        DataError: nothing that a reader knows is there, what is there can't be read, or it can be
            read in several ways.
    """
    if not folder.exists():
        raise DataError(f"{folder}: no such folder or file")
    files = [folder] if folder.is_file() else sorted(p for p in folder.iterdir() if p.is_file())
    languages = [] if folder.is_file() else _languages(folder)
    found: dict[str, dict[str, Any]] = {}
    failed: list[tuple[list[Path], DataError]] = []
    for name, (suffixes, _) in _READERS.items():
        texts = [file for file in files if file.suffix in suffixes and not BESIDE.match(file.name)]
        texts = [file for file in texts if not _is_captions(file)]
        inner = [each for each in languages if _has_splits(folder / each, suffixes)]
        if not texts and not inner:
            continue
        settings = _beside(folder, name != "jsonl")  # each object of JSON has its own caption
        if not texts and name == "bio":
            settings["languages"] = inner
        try:
            found[name] = _tried(folder, name, settings, tell)
        except DataError as error:
            failed.append((texts, error))
            if _are_splits(texts):
                break
    if len(found) > 1:
        raise DataError(
            f"{folder}: files of {' and of '.join(found)} are there; leave those of one reader, or "
            "write the YAML by hand, with its `reader`"
        )
    for texts, reason in failed:
        if not found or _are_splits(texts):
            raise reason
        tell(f"left out: {', '.join(file.name for file in texts)} ({reason.problems[0]})")
    for name, settings in found.items():
        return {"reader": name, **settings}
    raise DataError(
        f"{folder}: no {' or '.join(SUFFIXES)} and no .jsonl; `zoo data import` turns the files of "
        "other tools into a folder that the zoo reads"
    )


def _are_splits(files: list[Path]) -> bool:
    """Whether a file among these is called as a split."""
    return any(file.stem in names for file in files for names in SPLITS.values())


def _tried(
    folder: Path, name: str, settings: dict[str, Any], tell: Callable[[str], object]
) -> dict[str, Any]:
    """The settings with which the data can be read. A file may lie beside pictures and captions of
    other sets: then they are left out. Raises DataError."""
    beside = [key for key in ("captions", "images") if key in settings and folder.is_file()]
    first: DataError | None = None
    for without in dict.fromkeys([(), *((key,) for key in beside), tuple(beside)]):
        own = {key: value for key, value in settings.items() if key not in without}
        try:
            _READERS[name][1](folder.parent, path=folder.name, **own).read()
        except DataError as error:
            first, last = first or error, error
            continue
        if first is not None:
            told = " and ".join(settings[key] for key in without)
            tell(f"left out: {told} ({first.problems[0]})")
        return own
    raise last


def _beside(folder: Path, captioned: bool) -> dict[str, Any]:
    """The folder of pictures and the file of captions, where they are. Raises DataError where
    there are several."""
    place = folder.parent if folder.is_file() else folder
    found: dict[str, list[str]] = {"images": [], "captions": []}
    for inner in sorted(place.iterdir()):
        if inner.is_dir() and any(p.suffix.lower() in PICTURES for p in inner.iterdir()):
            found["images"].append(inner.name)
        elif captioned and inner.is_file() and _is_captions(inner):
            found["captions"].append(inner.name)
    for key, names in found.items():
        if len(names) > 1:
            raise DataError(
                f"{place}: {' and '.join(names)} may both be the {key}; leave one of them there, "
                f"or write the YAML by hand, with `{key}: {names[0]}`"
            )
    return {key: names[0] for key, names in found.items() if names}


def _is_captions(file: Path) -> bool:
    return "caption" in file.stem.lower()


def _languages(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())


def _has_splits(folder: Path, suffixes: tuple[str, ...]) -> bool:
    names = {name + suffix for names in SPLITS.values() for name in names for suffix in suffixes}
    return len(names & {entry.name for entry in folder.iterdir()}) >= len(SPLITS)
