"""Where runs are kept: one folder a run, either whole or not there.

    runs/<system>/<dataset>/<seed>-<run id>/
        run.json, config.yaml, history.csv, model.safetensors,
        predictions.dev.jsonl, predictions.test.jsonl

A run is content-addressed: its id is a hash of all that decides its numbers (see
:mod:`zoo.identity`), so the same run is found again and never trained twice. Runs that differ in
their seed alone are one *variant*. Names don't enter the id: a run is found under whatever names
it was made, and is read under those that it is asked for by.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from zoo.errors import ConfigError, DataError
from zoo.files import sync
from zoo.results.record import RunRecord, read_run


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
        if (own / "run.json").is_file():
            return own
        return self.find(cell.id) or own

    def find(self, id: str) -> Path | None:
        """The folder of a complete run by its id, whatever its system and dataset are called."""
        found = self.root.glob(f"runs/*/*/*-{id}/run.json")
        return min((file.parent for file in found if file.parent.name[0] != "."), default=None)

    def complete(self, cell: Cell) -> bool:
        """Whether the run is there (a folder comes into being whole)."""
        return (self.folder(cell) / "run.json").is_file()

    def read(self, cell: Cell) -> RunRecord:
        """The record of a complete run, under the names of ``cell``. Raises DataError."""
        return read_run(self.folder(cell)).model_copy(update=dict(cell.labels))

    def _own(self, cell: Cell) -> Path:
        for name in (cell.system, cell.dataset):
            if not name or name.startswith(".") or "/" in name or "\\" in name:
                raise ConfigError(
                    f"`{name}` can't name a folder in {self.root}: it must not be empty, start "
                    "with a dot or hold a slash; choose another"
                )
        return self.root / "runs" / cell.system / cell.dataset / f"{cell.seed}-{cell.id}"

    @contextmanager
    def lock(self, cell: Cell, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Keep every other process from making this run; wait while another is making it.

        The system frees the lock of a process that dies. What such a process left of this run is
        cleared away.

        Args:
            on_wait: called once before waiting, to tell the user.
        """
        folder = self._own(cell)
        path = self.root / ".lock" / f"{cell.id}.lock"  # the same under every name
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if on_wait is not None:
                on_wait()
            lock.acquire()
        try:
            _clear(folder)
            yield
        finally:
            lock.release()

    @contextmanager
    def writer(self, cell: Cell) -> Iterator[Path]:
        """A folder to put the run's files into; it becomes the run when the block ends well.

        Call it under the run's lock. Whatever ends the block early, a Ctrl-C too, leaves nothing;
        a run that was there before is then still there. The block must ``write_run``.
        """
        folder = self._own(cell)
        unfinished, replaced = _aside(folder)
        unfinished.mkdir(parents=True)
        try:
            yield unfinished
            if not (unfinished / "run.json").is_file():
                raise FileNotFoundError(f"{folder}: the run was ended without its run.json")
            for path in sorted(unfinished.rglob("*")):
                sync(path)
            sync(unfinished)
            if folder.exists():
                folder.rename(replaced)
            unfinished.rename(folder)
            sync(folder.parent)
        finally:
            _clear(folder)

    def load_runs(self) -> list[RunRecord]:
        """Every complete run, sorted by path. Raises DataError, one line a broken record."""
        records: list[RunRecord] = []
        problems: list[str] = []
        for path in sorted(self.root.glob("runs/*/*/*/run.json")):
            if path.parent.name.startswith("."):
                continue  # unfinished, or being replaced
            try:
                records.append(read_run(path.parent))
            except DataError as error:
                problems += error.problems
        if problems:
            raise DataError(*problems)
        return records


def _aside(folder: Path) -> tuple[Path, Path]:
    """Where a run's folder lies while it is unfinished, and the one it replaces meanwhile."""
    return folder.with_name(f".{folder.name}.tmp"), folder.with_name(f".{folder.name}.old")


def _clear(folder: Path) -> None:
    """Away with what an interrupted writer left; back with the run it was about to replace."""
    unfinished, replaced = _aside(folder)
    if unfinished.exists():
        shutil.rmtree(unfinished)
    if replaced.exists():
        if folder.exists():
            shutil.rmtree(replaced)
        else:
            replaced.rename(folder)
