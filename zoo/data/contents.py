"""What a dataset holds, in a line, remembered until anything it is made of changes."""

from __future__ import annotations

import errno
import hashlib
import json
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from zoo import registry
from zoo.data.reading import read_data
from zoo.files import write_atomic
from zoo.schema import PartSpec
from zoo.types import Splits

KEPT = "dataset-contents.json"


class Contents:
    """Answers for many datasets, and reads those anew that changed.

    A dataset is known by the reader's settings, the code that reads, and the path, size and times
    of every file in its folder. Read each time are datasets whose files may lie elsewhere: by a
    plug-in's reader, by ``..`` or an absolute path in a setting, by a link, or beside the one file
    that a dataset is.

    Args:
        cache: the folder in which answers are remembered.
    """

    def __init__(self, cache: Path) -> None:
        self._file = cache / KEPT
        self._known: dict[str, str] = {}
        with suppress(OSError, ValueError, TypeError):  # of a foreign file
            self._known = dict(json.loads(self._file.read_text(encoding="utf-8")))
        self._code = _code()
        self._found: dict[str, str] = {}

    def __call__(self, part: PartSpec, root: Path) -> str:
        """Raises ConfigError or DataError: what is wrong in the dataset."""
        key = self._key(part, root)
        found = self._known.get(key) if key else None
        if found is None:
            found = summary(read_data(part, root))
        if key:
            self._found[key] = found
        return found

    def keep(self) -> None:
        """Remember what was answered. What can't be kept is found out again."""
        if not self._found.items() <= self._known.items():
            with suppress(OSError):
                write_atomic(self._file, json.dumps(self._found, indent=1))

    def _key(self, part: PartSpec, root: Path) -> str | None:
        """None where it can't be told whether anything has changed."""
        names = [Path(value) for value in part.settings.values() if isinstance(value, str)]
        elsewhere = any(name.is_absolute() or ".." in name.parts for name in names)
        if elsewhere or ("reader", part.name) not in registry.BUILT_IN:
            return None
        settings = json.dumps(part.resolved(), sort_keys=True, default=str)
        state = hashlib.sha256(f"{self._code}\n{settings}\n".encode())
        try:
            if (path := part.settings.get("path")) is not None:
                _folder(root / path)
            for place in sorted({root / name for name in names}):  # captions may lie in the root
                for line in sorted(_files(place)):
                    state.update(f"{line}\n".encode(errors="surrogateescape"))
        except OSError:
            return None
        return state.hexdigest()


def summary(splits: Splits) -> str:
    """How many sentences, pictures and captions there are."""
    samples = [sample for split in splits.values() for sample in split]
    pictures = sum(sample.picture is not None for sample in samples)
    captions = sum(sample.caption is not None for sample in samples)
    sentences = "/".join(str(len(split)) for split in splits.values())
    return f"{sentences} sentences, {pictures or 'no'} pictures, {captions or 'no'} captions"


def _folder(place: Path) -> None:
    """Raises OSError where there is no folder."""
    if not place.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "no folder", str(place))


def _files(place: Path) -> Iterator[str]:
    """The path, size and times of a file, or of every file below a folder; nothing of what is not
    there.

    Raises:
        OSError: a file can't be looked at, or there is a link.
    """
    for file in [*([place] if place.is_file() else ()), *place.rglob("*")]:
        facts = file.lstat()
        if stat.S_ISLNK(facts.st_mode):
            raise OSError(errno.ELOOP, "a link", str(file))
        yield f"{file.absolute()} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}"


def _code() -> str:
    """Of everything that reads data."""
    found = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        found.update(file.read_bytes())
    return found.hexdigest()
