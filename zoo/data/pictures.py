"""The pictures of a dataset: files of one folder, found by id, and never outside of it."""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath

from zoo.data.findings import some
from zoo.errors import DataError
from zoo.files import write_atomic
from zoo.types import Picture, Splits

SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".gif",
    ".bmp",
    ".jpe",
    ".jfif",
    ".dib",
)
"""What picture files end in, in upper or lower case; the first is taken where there are several."""

BEGINNINGS = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG\r\n\x1a\n": ".png",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"RIFF": ".webp",
}
"""What pictures begin with, and the suffix of such a file."""

PROBLEMS_SHOWN = 20


class PictureFolder:
    """Finds pictures by id, with any suffix of ``SUFFIXES`` or none, or by file name.

    An id may itself have a suffix, which need not be that of the file. Files whose suffix is
    unknown are found, too, where they begin as a picture does. Names are compared in Unicode's
    composed form (NFC), which not all systems keep. A folder that doesn't exist holds no picture:
    that of a set whose pictures were not fetched.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sought: list[str] = []
        self._found = 0
        # One listing of the folder, not several look-ups for every id.
        files = sorted(_files(folder), key=lambda name: (_rank(name), name))
        self._names: dict[str, str] = {}
        self._by_id: dict[str, list[str]] = defaultdict(list)
        for name in files:
            key = _composed(name)
            self._names.setdefault(key, name)
            self._by_id[_stem(key)].append(name)

    @property
    def exists(self) -> bool:
        return self._folder.exists()

    @property
    def sought(self) -> int:
        """How many pictures were looked for."""
        return len(self._sought)

    def find(self, id: str, where: str) -> Picture | None:
        """The picture of an id, named by its path inside the folder; None where it is missing.

        Raises:
            DataError: the id leads out of the folder; ``where`` is the file and line it stands in.
        """
        self._sought.append(id)
        name = next(self._candidates(id), None)
        path = self._folder / (name or id)
        linked = "/" in id or (name is not None and path.is_symlink())
        if _climbs(id) or (linked and not _within(path, self._folder)):
            raise DataError(
                f"{where}: the picture `{id}` lies outside of {self._folder}; "
                f"put it there and name it by its path within that folder"
            )
        if name is None:
            return None
        self._found += 1
        return Picture(name, path=path)

    def has(self, id: str) -> bool:
        """Whether a picture bears the id."""
        return next(self._candidates(id), None) is not None

    def other(self, id: str) -> bool:
        """Whether a file of that very name is there, and is no picture that can be read."""
        return _composed(id) in self._names and not self.has(id)

    def more(self, id: str, where: str) -> tuple[Picture, ...]:
        """The pictures after the first, where more than one file bears the id. Raises as
        :meth:`find`."""
        if _composed(id) in self._names or len(self._by_id.get(_composed(id), ())) < 2:
            return ()
        _, *others = self._candidates(id)
        found = (self.find(name, where) for name in others)
        return tuple(picture for picture in found if picture)

    def all(self, id: str, where: str) -> list[Picture]:
        """Every picture that bears the id, the first first. Raises as :meth:`find`."""
        first = self.find(id, where)
        return [] if first is None else [first, *self.more(id, where)]

    def check(self) -> None:
        """Raises DataError where the folder is there, but holds none that a sentence names."""
        if self._found or not self._folder.exists():
            return
        if not self._folder.is_dir():
            raise DataError(f"{self._folder}: not a folder; `images` names the folder of pictures")
        pictures = [name for name in self._names.values() if _suffix(name) in SUFFIXES]
        if not self._sought and not pictures:
            return
        names = pictures or list(self._names.values())
        there = f"the files there are called {some(names)}" if names else "the folder is empty"
        if not self._sought:
            raise DataError(
                f"{self._folder}: no sentence names a picture, but {there}; name them by `image` "
                f"in each line, or name another folder by `images`"
            )
        raise DataError(
            f"{self._folder}: none of the {len(self._sought)} pictures that sentences name is "
            f"here; looked for {some(self._sought)}, but {there}; name each file by its "
            f"sentence's id, as in `{picture_id(self._sought[0])}.jpg`, or remove the folder"
        )

    def _candidates(self, id: str) -> Iterator[str]:
        """The names of files that may be an id's picture, the best first."""
        id = _composed(id)
        names = [self._names[id]] if id in self._names else []
        for key in dict.fromkeys((id, picture_id(id))):
            names += self._by_id.get(key, ())
        for name in dict.fromkeys(names):
            if _suffix(name) in SUFFIXES or _begins_as_picture(self._folder / name):
                yield name


def picture_id(name: str) -> str:
    """A picture's file name without its suffix; other names as they are."""
    return name[: -len(_suffix(name))] if _suffix(name) in SUFFIXES else name


def readable(picture: Picture) -> bool:
    """Whether the picture can really be decoded."""
    try:
        picture.open()
    except DataError:
        return False
    return True


def verify_pictures(splits: Splits, folder: Path) -> list[str]:
    """Decode each picture once, and say which can't be.

    What was found to be whole is remembered in a file of ``folder`` (the cache), by path, size and
    time of change, and is not decoded again until one of these, or the way of decoding, changes.

    Returns:
        One line a broken picture, with its file and the samples that show it; of many, the first
        ``PROBLEMS_SHOWN`` and how many more there are.
    """
    shown_by: dict[Picture, list[str]] = defaultdict(list)
    for split, samples in splits.items():
        for sample in samples:
            for picture in sample.pictures:
                shown_by[picture].append(f"{split}: {sample.id}")
    pictures = list(shown_by)
    file = folder / "pictures-verified"
    known = _known(file)
    keys = [_key(picture) for picture in pictures]
    todo = [
        (picture, key)
        for picture, key in zip(pictures, keys, strict=True)
        if key is None or key not in known
    ]
    # Pillow decodes without Python's lock, so threads are enough.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        outcomes = list(pool.map(_problem, (picture for picture, _ in todo)))
    whole = {key for (_, key), problem in zip(todo, outcomes, strict=True) if key and not problem}
    if whole:
        # Another process may have added to it meanwhile. What can't be kept is found out again.
        with suppress(OSError):
            write_atomic(file, "\n".join(sorted(_known(file) | whole)) + "\n")
    problems = [
        f"{problem} ({some(shown_by[picture])})"
        for (picture, _), problem in zip(todo, outcomes, strict=True)
        if problem
    ]
    if len(problems) > PROBLEMS_SHOWN:
        more = len(problems) - PROBLEMS_SHOWN
        problems[PROBLEMS_SHOWN:] = [f"{more} more pictures can't be read"]
    return problems


def _problem(picture: Picture) -> str | None:
    try:
        picture.open()
    except DataError as error:
        return error.problems[0]
    return None


def _key(picture: Picture) -> str | None:
    """What a picture is remembered by; None where it has no file that can be looked at."""
    if picture.path is None:
        return None
    try:
        state = picture.path.stat()
    except OSError:
        return None
    what = f"{os.path.realpath(picture.path)}\0{state.st_size}\0{state.st_mtime_ns}"
    return hashlib.sha256(f"{_how()}\0{what}".encode(errors="surrogateescape")).hexdigest()[:32]


@cache
def _how() -> str:
    """What decoding depends on, besides the picture."""
    import PIL

    return f"{PIL.__version__}\0{inspect.getsource(sys.modules[Picture.__module__])}"


def _known(file: Path) -> set[str]:
    """Keys of pictures found to be whole; lines that are no keys are passed over."""
    try:
        return set(file.read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return set()


def _climbs(id: str) -> bool:
    path = PureWindowsPath(id)  # both / and \ separate
    return ".." in path.parts or path.is_absolute() or id.startswith("/") or "\0" in id


def _within(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _composed(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _stem(name: str) -> str:
    """The id that a file's name stands for, whatever its suffix (a suffix has a letter in it)."""
    stem, suffix = os.path.splitext(name)
    return stem if any(map(str.isalpha, suffix)) else name


def _rank(name: str) -> int:
    suffix = _suffix(name)
    return SUFFIXES.index(suffix) if suffix in SUFFIXES else len(SUFFIXES)


def _begins_as_picture(path: Path) -> bool:
    try:
        if not path.is_file():
            return False  # opening a pipe would wait for ever
        with path.open("rb") as file:
            return file.read(8).startswith(tuple(BEGINNINGS))
    except OSError:
        return False


def _files(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        within = PurePosixPath(Path(place).relative_to(folder).as_posix())
        for name in names:
            if not name.startswith("."):
                yield str(within / name)
