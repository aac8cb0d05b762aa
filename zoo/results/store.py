"""Where runs are kept: one folder a run, either whole or not there.

    runs/<system>/<dataset>/<seed>-<run id>/
        run.json, config.yaml, history.csv, model.safetensors,
        predictions.dev.jsonl, predictions.test.jsonl
    runs/<system>/<dataset>/.<seed>-<run id>.checkpoint/     for an engine of a plug-in

A run that is interrupted starts anew; those that were finished are kept.

A run is content-addressed: its id is a hash of all that decides its numbers (see
:mod:`zoo.identity`), so the same run is found again and never trained twice. Runs that differ in
their seed alone are one *variant*. Names don't enter the id: a run is found under whatever names
it was made, and is read under those that it is asked for by.

A run is written into a folder whose name tells its process, and becomes a run by one rename, which
no file system does by halves. That needs no lock: the locks spare work where two processes are
given the same run, and a file system without them costs only duplicated work.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from zoo.errors import ConfigError, DataError
from zoo.files import abandoned, owner, sweep, sync
from zoo.results.evidence import Known, Run, load, misplaced
from zoo.results.record import RunRecord, read_run

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)


class Cell(Protocol):
    """What finds a run in the store: a planned run, or a record."""

    @property
    def system(self) -> str: ...
    @property
    def dataset(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def id(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, Any]:
        """The fields of the record that say what a run is called, and decide no number."""
        ...


class Store:
    """The runs under one results folder. Nothing is created before the first run is locked.

        with store.lock(plan):
            if not store.complete(plan):
                with store.writer(plan) as folder:
                    ...  # train, put files into the folder
                    write_run(folder, record)

    Args:
        root: the results folder; runs lie in its ``runs``, locks in its ``.lock``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, cell: Cell) -> Path:
        """Where a run lies or will lie; its own place, unless it was made under other names.

        Raises:
            ConfigError: a name that can't be a folder's.
        """
        own = self._own(cell)
        return own if (own / "run.json").is_file() else self.find(cell.id) or own

    def _own(self, cell: Cell) -> Path:
        for name in (cell.system, cell.dataset):
            if not name or name.startswith(".") or "/" in name or "\\" in name:
                raise ConfigError(
                    f"`{name}` can't name a folder in {self.root}: it must not be empty, start "
                    "with a dot or hold a slash; choose another"
                )
        return self.root / "runs" / cell.system / cell.dataset / f"{cell.seed}-{cell.id}"

    def find(self, id: str) -> Path | None:
        """The folder of a complete run by its id, whatever its system and dataset are called."""
        found = self.root.glob(f"runs/*/*/*-{id}/run.json")
        return min((file.parent for file in found if file.parent.name[0] != "."), default=None)

    def complete(self, cell: Cell) -> bool:
        """Whether the run is stored (a folder comes into being whole)."""
        return (self.folder(cell) / "run.json").is_file()

    def read(self, cell: Cell) -> RunRecord:
        """The record of a complete run, under the names of ``cell``. Raises DataError."""
        folder = self.folder(cell)
        record = read_run(folder)
        if problems := misplaced(folder, record):
            raise DataError(*problems)
        return record.model_copy(update=dict(cell.labels))

    def checkpoint(self, cell: Cell) -> Path:
        """Where an engine of a plug-in may keep a run's state: zoo writes nothing there.

        Cleaning never touches it.
        """
        folder = self._own(cell)
        return folder.with_name(f".{folder.name}.checkpoint")

    @contextmanager
    def lock(self, cell: Cell, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Keep every other process from making this run; wait while another is making it.

        The system frees the lock of a process that dies. Where the file system has no locks, two
        processes may make the same run; the first to end is kept.

        Args:
            on_wait: called once before waiting, to tell the user.
        """
        path = self.root / ".lock" / f"{cell.id}.lock"  # the same under every name
        path.parent.mkdir(parents=True, exist_ok=True)
        from filelock import FileLock, Timeout  # a third of a second, and tables need no locks

        lock = FileLock(path)
        with _where_there_are_locks():
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if on_wait is not None:
                    on_wait()
                lock.acquire()
        try:
            _clean(self._own(cell).parent)
            yield
        finally:
            lock.release()

    @contextmanager
    def writer(self, cell: Cell) -> Iterator[Path]:
        """A folder to put the run's files into; it becomes the run when the block ends well.

        Call it under the run's lock. Whatever ends the block early, a Ctrl-C too, leaves nothing;
        a run that was there before is then still there. The block must ``write_run`` last.
        """
        folder = self._own(cell)
        before = _inode(folder)
        unfinished = folder.with_name(f".{folder.name}.{owner()}.tmp")
        unfinished.mkdir(parents=True)
        try:
            yield unfinished
            _check_whole(unfinished, folder)
            for path in sorted(unfinished.rglob("*")):
                sync(path)
            sync(unfinished)
            _publish(unfinished, folder, before)
        finally:
            discard(unfinished)

    def folders(self) -> list[Path]:
        """The folder of every complete run, sorted by path."""
        return sorted(
            path.parent
            for path in self.root.glob("runs/*/*/*/run.json")
            if not path.parent.name.startswith(".")  # unfinished, or being replaced
        )

    def load_runs(self, cells: Iterable[Cell] | None = None) -> list[Run]:
        """Complete runs, verified (see :mod:`zoo.results.evidence`).

        Args:
            cells: which; they come under the names of the cells. None: every run, sorted by path.

        Raises:
            DataError: one line a file that is missing, broken or was changed.
        """
        known, problems = Known(self.root), list[str]()
        runs: list[Run] = []

        def add(folder: Path, labels: Mapping[str, Any]) -> None:
            try:
                run = load(folder, known)
            except DataError as error:
                problems.extend(error.problems)
                return
            runs.append(replace(run, record=run.record.model_copy(update=dict(labels))))

        if cells is None:
            for folder in self.folders():
                add(folder, {})
        else:
            for cell in cells:
                add(self.folder(cell), cell.labels)
        known.save(whole=cells is None)
        if problems:
            raise DataError(*dict.fromkeys(problems))
        return runs

    def clean(self) -> None:
        """Remove what dead processes left; put back a run that one was about to replace.

        Checkpoints stay, and so does what a process on another host may still be writing.
        """
        with suppress(PermissionError):  # what can't be written to needs no cleaning by us
            for folder in self.root.glob("runs/*/*/"):
                _clean(folder)
            for folder in (self.root, *self.root.glob("*/")):
                sweep(folder)


@contextmanager
def _where_there_are_locks() -> Iterator[None]:
    """Go on without a lock where the file system has none."""
    try:
        yield
    except NotImplementedError:  # filelock raises it where the file system has no locks
        pass
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _inode(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except FileNotFoundError:
        return None


def _check_whole(unfinished: Path, folder: Path) -> None:
    """A run is complete where its folder is: so it must not become one without its files."""
    if not (unfinished / "run.json").is_file():
        raise FileNotFoundError(f"{folder}: the run was ended without its run.json")
    record = read_run(unfinished)
    there = {path.name for path in unfinished.iterdir()}
    for name in record.required:
        if name not in there or name not in (record.files or {}):
            raise FileNotFoundError(f"{folder}: the run was ended without its {name}")


def _publish(unfinished: Path, folder: Path, before: int | None) -> None:
    """Make an unfinished folder the run, in place of the one that was there before.

    Where another process has made the run meanwhile, that one is kept.
    """
    replaced = folder.with_name(f".{folder.name}.{owner()}.old")
    try:
        while True:
            try:
                unfinished.rename(folder)
                sync(folder.parent)
                return
            except OSError as error:  # else: there is a run in this place
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            if _inode(folder) not in (before, None):
                return
            with suppress(FileNotFoundError):  # another process was faster
                folder.rename(replaced)
    finally:
        _restore(replaced, folder)


def _restore(replaced: Path, folder: Path) -> None:
    """Put back a run that was to be replaced, unless there is another in its place."""
    if replaced.exists():
        with suppress(OSError):  # there is one: the rename fails
            replaced.rename(folder)
        discard(replaced)


def discard(folder: Path) -> None:
    """Delete a folder. It is renamed first, so that nobody can take a part of it for the whole.

    Raises:
        OSError: it can't be renamed.
    """
    gone = folder.with_name(f".{folder.name.removeprefix('.')}.{owner()}.gone")
    with suppress(FileNotFoundError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _clean(folder: Path) -> None:
    """Remove from a folder of runs what dead processes left there."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name.startswith("."))
    except FileNotFoundError:
        return
    for name in names:
        path = folder / name
        if name.endswith(".gone"):
            shutil.rmtree(path, ignore_errors=True)
        elif name.endswith(".tmp") and abandoned(name):
            discard(path)
        elif name.endswith(".old") and abandoned(name):
            _restore(path, folder / run_name(name))


def run_name(hidden: str) -> str:
    """The name of the run that a hidden folder belongs to: ``1-abc`` of ``.1-abc.host-….tmp``."""
    return hidden.removeprefix(".").partition(".")[0]
