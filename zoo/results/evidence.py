"""Runs with scores that are computed from their stored predictions, after these were verified.

A table never repeats a number from ``run.json``: the files of a run are compared with the digests
in its record, and its scores are computed anew. What was verified is remembered by path, size,
times and inode, so that neither is done twice for a file that did not change.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from zoo.errors import DataError
from zoo.evaluation import predictions as stored
from zoo.evaluation import scores as scoring
from zoo.evaluation.predictions import read_predictions, score_predictions
from zoo.evaluation.scores import EXACT, METRICS, Scores, further_metrics
from zoo.files import write_atomic
from zoo.results.record import PREDICTIONS, TEST, RunRecord, file_digest, read_run, write_run
from zoo.types import Prediction

AGAIN = "delete the folder to have the run made again"


@dataclass(frozen=True)
class Run:
    """A stored run, verified.

    Args:
        scores: of the test split, computed from the stored predictions; the record's own where
            these are withheld.
        digest: SHA-256 of the file of test predictions; None where they are withheld and the record
            holds none.
        read: reads the test predictions; None where they are withheld.
    """

    record: RunRecord
    scores: Scores
    digest: str | None = None
    read: Callable[[], Sequence[Prediction]] | None = None

    @cached_property
    def variant(self) -> str:
        """The same for runs that differ in their seed alone."""
        return self.record.variant

    @cached_property
    def predictions(self) -> Sequence[Prediction] | None:
        """Those on the test split; None where they are withheld."""
        return self.read() if self.read is not None else None

    @cached_property
    def metrics(self) -> Mapping[str, float]:
        """Every entry of ``METRICS``, computed of the test split.

        Of withheld predictions there are those that were computed when the run was stored.
        """
        exact: dict[str, float] = {name: getattr(self.scores, name) for name in EXACT}
        if len(METRICS) == len(EXACT):
            return exact
        if self.predictions is None:
            return exact | {k: v for k, v in self.scores.metrics.items() if k in METRICS}
        gold = [each.gold for each in self.predictions]
        return exact | further_metrics(gold, [each.predicted for each in self.predictions])


def load(folder: Path, known: Known) -> Run:
    """The run in a folder, verified as far as its tables need.

    Raises:
        DataError: one line a file that is missing, was changed, or doesn't fit the folder.
    """
    record = read_run(folder)
    problems = [*misplaced(folder, record), *damaged(folder, record, record.required, known.digest)]
    if problems:
        raise DataError(*problems)
    if record.withheld:
        return Run(record, record.test, (record.files or {}).get(TEST))
    scores = known.scores(folder / TEST)
    if scores != record.test:
        raise DataError(mismatch(folder, TEST))
    return Run(
        record, scores, known.digest(folder / TEST), partial(read_predictions, folder / TEST)
    )


def mismatch(folder: Path, name: str) -> str:
    return (
        f"{folder / name}: the scores that follow from it are not those in run.json; one of the "
        f"two was changed; {AGAIN}"
    )


def misplaced(folder: Path, record: RunRecord) -> list[str]:
    """What a record says of itself that its folder does not, one line."""
    seed, _, id = folder.name.partition("-")
    says = {
        "system": (record.system, folder.parent.parent.name),
        "dataset": (record.dataset, folder.parent.name),
        "seed": (str(record.seed), seed),
        "id": (record.id, id),
    }
    wrong = [f"{key} `{a}`, not `{b}`" for key, (a, b) in says.items() if a != b]
    if not wrong:
        return []
    return [
        f"{folder / 'run.json'}: it is of {', '.join(wrong)} as its folder says; a run can't be "
        "copied or renamed; delete the folder"
    ]


def damaged(
    folder: Path, record: RunRecord, names: Sequence[str], digest: Callable[[Path], str]
) -> list[str]:
    """Which of the named files are missing or not as the record says, one line each."""
    problems = []
    for name in names:
        path = folder / name
        if not path.is_file():
            problems.append(f"{path}: missing; {AGAIN}")
        elif record.files is not None and name not in record.files:
            problems.append(f"{path}: run.json holds no digest of it; {AGAIN}")
        elif record.files is not None and digest(path) != record.files[name]:
            problems.append(f"{path}: changed since the run was stored; {AGAIN}")
    return problems


def check_stored(file: Path) -> None:
    """Check a file that lies in the folder of a run; any other file is passed over.

    Raises:
        DataError: run.json or the file was changed.
    """
    folder = file.absolute().parent
    if file.name in PREDICTIONS and (folder / "run.json").is_file():
        record = read_run(folder)
        problems = [*misplaced(folder, record), *damaged(folder, record, [file.name], file_digest)]
        if problems:
            raise DataError(*problems)


def verify(folder: Path) -> tuple[int, list[str]]:
    """Read every file of a run again, whatever is remembered.

    Returns:
        How many files there are, and one line for each that is missing, unknown or changed.
    """
    try:
        record = read_run(folder)
    except DataError as error:
        return 1, list(error.problems)
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    problems = misplaced(folder, record)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in there and (not path.is_dir() or name in (record.files or {})):
            problems.append(f"{path}: not a regular file; {AGAIN}")
    if record.files is not None:
        unknown = sorted(there - record.files.keys() - {"run.json"})
        problems += [f"{folder / name}: run.json doesn't list it; delete it" for name in unknown]
    listed = record.files or {}
    names = dict.fromkeys([*record.required, *(name for name in listed if name in there)])
    broken = damaged(folder, record, list(names), file_digest)
    for split, scores in (("dev", record.dev), ("test", record.test)):
        name = f"predictions.{split}.jsonl"
        if name in there and not any(line.startswith(f"{folder / name}:") for line in broken):
            try:
                if score_predictions(read_predictions(folder / name)) != scores:
                    broken.append(mismatch(folder, name))
            except DataError as error:
                broken += error.problems
    return len(there), problems + broken


def withhold(folder: Path) -> None:
    """Delete a run's predictions, and state in its record that they are withheld.

    The record is written first: what is interrupted can be done again.

    Raises:
        DataError: the run is damaged; nothing was changed.
    """
    record = read_run(folder)
    _, broken = verify(folder)  # all files: their digests are written anew
    if broken:
        raise DataError(*broken)
    write_run(folder, record.model_copy(update={"withheld": True}))
    for name in PREDICTIONS:
        (folder / name).unlink(missing_ok=True)


class Known:
    """What files held when they were last read, remembered in a file of the results folder.

    A file is the same as long as its size, times of change and inode are. One that was changed a
    moment ago is not remembered: another change within the clock's step would go unseen. Only what
    the zoo's own code computes is remembered, and only as long as that code stays the same.
    """

    def __init__(self, root: Path) -> None:
        self.file = root / ".cache" / "verified.json"
        self.start = len(os.fspath(root / "_")) - 1  # where a path goes on within the root
        self.old = self._read()
        self.new: dict[str, list[Any]] = {}

    def digest(self, path: Path) -> str:
        """SHA-256 of a file. Raises DataError where it can't be read."""
        return str(self._entry(path)[1])

    def scores(self, path: Path) -> Scores:
        """The exact scores that follow from a file of predictions. Raises DataError."""
        entry = self._entry(path)
        with suppress(ValueError):  # none is known yet
            return Scores.from_dict(entry[2])
        scores = score_predictions(read_predictions(path))
        entry[2] = replace(scores, metrics={}).as_dict()
        return scores

    def save(self, whole: bool) -> None:
        """Remember for the next time.

        Args:
            whole: whether every run was read, so that all other files are gone.
        """
        now = time.time_ns()
        fresh = {k: v for k, v in self.new.items() if max(v[0][1:3]) < now - 2_000_000_000}
        entries = fresh if whole else self.old | fresh
        if entries != self.old:
            text = json.dumps({"code": _code(), "files": entries}, separators=(",", ":"))
            with suppress(OSError):  # a folder that can't be written to: slower, not wrong
                write_atomic(self.file, text)

    def _entry(self, path: Path) -> list[Any]:
        key = os.fspath(path)[self.start :]
        if key not in self.new:
            try:
                now = os.stat(path)
            except OSError as error:
                raise DataError(f"{path}: {error.strerror}") from None
            state = [now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino]
            old = self.old.get(key)
            same = old is not None and old[0] == state
            self.new[key] = list(old) if old and same else [state, file_digest(path), None]
        return self.new[key]

    def _read(self) -> dict[str, list[Any]]:
        try:
            data = json.loads(self.file.read_bytes())
            files: dict[str, list[Any]] = data["files"] if data["code"] == _code() else {}
            if not all(isinstance(known, str) for _, known, _ in files.values()):
                return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}  # none yet, or not as this code writes it
        return files


@cache
def _code() -> str:
    """A digest of the code that reads and scores predictions."""
    sources = [inspect.getsource(module) for module in (scoring, stored)]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()
