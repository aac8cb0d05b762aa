"""The features of frozen encoders on disk: a few large files that several processes may share.

A folder holds the features of one encoder. A file (a shard) is written once, whole or not at all,
and never changed; its name is the SHA-256 of what it holds. What is where is read from the shards
themselves, so that there is nothing to keep in step, and rows that two processes both wrote do no
harm: they are the same bytes. Every row has a SHA-256, which is compared when it is first read.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from weakref import WeakValueDictionary

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from zoo.errors import RunError
from zoo.files import abandoned, write_atomic

SHARD = 128 << 20
"""Bytes of rows from which on a shard is written."""

PASSING = 256 << 20
"""Bytes of rows that are kept in memory where none is written."""

Row = Mapping[str, Tensor]
"""One sample's features by name."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Shard:
    """A file's rows: ``ends`` (K,) int64, the place in ``rows`` behind each of them."""

    path: Path
    rows: Tensor
    ends: Tensor
    checked: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Place:
    """Where a row is: in a shard, or not yet written."""

    digest: bytes
    shard: _Shard | None
    number: int = 0
    data: bytes = b""


class Features:
    """The rows in a folder, by their keys of 32 bytes. Use :meth:`at`."""

    _open: ClassVar[WeakValueDictionary[Path, Features]] = WeakValueDictionary()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[bytes, _Place] = {}
        self._seen: set[str] = set()
        self._fresh: list[bytes] = []
        self._size = 0
        self.refresh()

    @classmethod
    def at(cls, folder: Path) -> Features:
        """Those in a folder: the same object for all who use it at the same time."""
        found = cls._open.get(folder)
        if found is None:
            found = cls._open[folder] = cls(folder)
        return found

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def digest(self, key: bytes) -> bytes:
        """SHA-256 of a row that is there."""
        return self._places[key].digest

    def get(self, key: bytes) -> Row | None:
        """A row; None where it is not there, or was found to be damaged."""
        place = self._places.get(key)
        if place is None:
            return None
        shard = place.shard
        if shard is None:
            return load(place.data)
        begin = int(shard.ends[place.number - 1]) if place.number else 0
        data = shard.rows[begin : int(shard.ends[place.number])].numpy().tobytes()
        if place.number not in shard.checked:
            if hashlib.sha256(data).digest() != place.digest:
                self._drop(shard.path)
                return None
            shard.checked.add(place.number)
        return load(data)

    def put(self, key: bytes, row: Row) -> None:
        """Add a row. It is written with others, by :meth:`flush` at the latest."""
        if key in self._places:
            return
        data = save({name: value.contiguous() for name, value in row.items()})
        self._places[key] = _Place(hashlib.sha256(data).digest(), None, data=data)
        self._fresh.append(key)
        self._size += len(data)
        if self._size >= SHARD:
            self.flush()

    def flush(self) -> None:
        """Write the rows that were added. Raises RunError where the folder can't be written."""
        if not self._fresh:
            return
        places = [self._places[key] for key in self._fresh]
        ends = torch.tensor([len(place.data) for place in places]).cumsum(0)
        digests = b"".join(place.digest for place in places)
        index = {"keys": _bytes(b"".join(self._fresh)), "digests": _bytes(digests), "ends": ends}
        rows = _bytes(b"".join(place.data for place in places))
        name = _index_digest(index)
        path = self.folder / f"{name}.safetensors"
        try:
            write_atomic(path, save({**index, "rows": rows}, {"index": name}))
        except OSError as error:
            raise RunError(
                f"{self.folder}: the features of a frozen encoder can't be written "
                f"({error.strerror}); make room, or set ZOO_CACHE to another folder"
            ) from error
        fresh, self._fresh, self._size = self._fresh, [], 0
        for key in fresh:
            del self._places[key]
        self._seen.discard(path.name)
        self._read(path)
        if any(key not in self._places for key in fresh):
            raise RunError(f"{path}: what was just written can't be read back; is the disk full?")

    def refresh(self) -> None:
        """Take up what other processes have written meanwhile."""
        with suppress(OSError):
            for path in sorted(self.folder.iterdir()):
                if path.suffix == ".tmp" and abandoned(path.name):
                    path.unlink(missing_ok=True)
                elif path.suffix == ".safetensors" and path.name not in self._seen:
                    self._read(path)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from computing the same; where that can't be had, both compute."""
        lock = FileLock(self.folder / ".lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except (OSError, NotImplementedError) as error:  # the latter is filelock's for "no locks"
            # where a file system has none, both compute; the rows are the same
            _log.debug("%s: no lock: %s", self.folder, error)
        try:
            yield
        finally:
            lock.release()

    def _read(self, path: Path) -> None:
        """Take up a shard, if its index is whole; the rows are checked when they are read."""
        self._seen.add(path.name)
        try:
            with safe_open(path, "pt") as file:
                index = {name: file.get_tensor(name) for name in ("keys", "digests", "ends")}
                rows = file.get_tensor("rows")
                stated = (file.metadata() or {}).get("index")
        except FileNotFoundError:
            return  # another process found it damaged
        except (SafetensorError, OSError) as error:
            _log.debug("%s: %s", path, error)
            stated, index = None, {}
        except RuntimeError as error:  # there are more files than can be mapped at once
            raise RunError(
                f"{path}: can't be mapped into memory ({' '.join(str(error).split())}); delete the "
                f"folder {self.folder}, whose features are then computed again"
            ) from error
        if stated is None or stated != _index_digest(index) or stated != path.stem:
            self._drop(path)
            return
        shard = _Shard(path, rows, index["ends"])
        keys, digests = (index[name].numpy().tobytes() for name in ("keys", "digests"))
        for number in range(len(shard.ends)):
            at = slice(32 * number, 32 * number + 32)
            if keys[at] not in self._places:
                self._places[keys[at]] = _Place(digests[at], shard, number)

    def _drop(self, path: Path) -> None:
        """Forget a damaged shard and delete it: its rows are computed again."""
        _log.warning("%s is damaged; its features are computed again", path)
        lost = [key for key, at in self._places.items() if at.shard and at.shard.path == path]
        for key in lost:
            del self._places[key]
        with suppress(OSError):
            path.unlink()


def _index_digest(index: Mapping[str, Tensor]) -> str:
    """SHA-256 over keys, digests and places of a shard's rows, and so over the rows."""
    digest = hashlib.sha256()
    for name, value in sorted(index.items()):
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


class Passing:
    """Features that are computed for a moment and not written, beside those on disk.

    They take at most ``PASSING`` bytes; the oldest go first, and are computed again where they are
    asked for.
    """

    def __init__(self, stored: Features) -> None:
        self.stored, self.folder = stored, stored.folder
        self._rows: dict[bytes, Row] = {}
        self._size = 0

    def __contains__(self, key: bytes) -> bool:
        return key in self._rows or key in self.stored

    def get(self, key: bytes) -> Row | None:
        """A row; None where it is not there."""
        return self._rows[key] if key in self._rows else self.stored.get(key)

    def put(self, key: bytes, row: Row) -> None:
        """Add a row."""
        self._rows[key] = row
        self._size += _size(row)
        while self._size > PASSING and len(self._rows) > 1:
            self._size -= _size(self._rows.pop(next(iter(self._rows))))

    def flush(self) -> None:
        """Nothing is written."""

    def refresh(self) -> None:
        """What is on disk was read."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """There is nothing that another process would compute, too."""
        yield


def _size(row: Row) -> int:
    return sum(value.nbytes for value in row.values())


def _bytes(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
