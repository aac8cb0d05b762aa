"""The pictures of a dataset: files of one folder, found by id, and never outside of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from zoo.errors import DataError
from zoo.types import Picture

SUFFIXES = (".jpg", ".jpeg", ".png")


class PictureFolder:
    """Finds pictures by id (``<id>.jpg``, ``.jpeg`` or ``.png``) or by file name.

    A folder that doesn't exist holds no picture: that of a set whose pictures were not fetched.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # One listing of the folder, not several look-ups for every id.
        files = sorted(_files(folder), key=lambda name: (SUFFIXES.index(_suffix(name)), name))
        by_id = {picture_id(name): name for name in reversed(files)}
        self._names = by_id | {name: name for name in files}

    def find(self, id: str, where: str) -> Picture | None:
        """The picture of an id, named by its path inside the folder; None where it is missing.

        Raises:
            DataError: the id leads out of the folder; ``where`` is the file and line it stands in.
        """
        name = self._names.get(id)
        path = self._folder / (name or id)
        linked = "/" in id or (name is not None and path.is_symlink())
        if _climbs(id) or (linked and not _within(path, self._folder)):
            raise DataError(
                f"{where}: the picture `{id}` lies outside of {self._folder}; "
                f"put it there and name it by its path within that folder"
            )
        return Picture(name, path=path) if name else None


def picture_id(name: str) -> str:
    """A picture's file name without its suffix; other names as they are."""
    return name[: -len(_suffix(name))] if _suffix(name) in SUFFIXES else name


def readable(picture: Picture) -> bool:
    """Whether the picture can really be decoded."""
    from PIL import Image

    try:
        picture.open()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False  # what Pillow raises for files that are cut, broken or no pictures at all
    return True


def _climbs(id: str) -> bool:
    path = PureWindowsPath(id)  # both / and \ separate
    return ".." in path.parts or path.is_absolute() or id.startswith("/") or "\0" in id


def _within(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _files(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        within = PurePosixPath(Path(place).relative_to(folder).as_posix())
        for name in names:
            if _suffix(name) in SUFFIXES:
                yield str(within / name)
