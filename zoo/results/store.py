"""Where runs are kept: one folder a run, either whole or not there.

    runs/<system>/<dataset>/<seed>-<run id>/
        run.json, config.yaml, history.csv, model.safetensors,
        predictions.dev.jsonl, predictions.test.jsonl

A run is content-addressed: its id is a hash of the resolved configuration, the data's fingerprint,
the source of the parts and the seed, so the same run is found again and never trained twice. Runs
that differ in their seed alone are one *variant*.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

from filelock import FileLock, Timeout
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
)

from zoo.errors import ConfigError, DataError
from zoo.evaluation.scores import Scores, score
from zoo.evaluation.tags import Reading
from zoo.results.files import sync, write_atomic
from zoo.types import Entity, Sample, ScoredEntity

ID_LENGTH = 12


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON: mappings in any order give the same."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def variant_id(config_hash: str, fingerprint: str, sources: str) -> str:
    """What the seeds of one variant share. ``config_hash`` is the ``digest`` of its config."""
    return digest([config_hash, fingerprint, sources])[:ID_LENGTH]


def run_id(config: Mapping[str, Any], fingerprint: str, sources: str, seed: int) -> str:
    """The run's content address.

    Args:
        config: the resolved configuration of system, recipe and dataset, without the seed.
        fingerprint: of the data.
        sources: hash of the source of the parts used.
    """
    return digest([digest(config), fingerprint, sources, seed])[:ID_LENGTH]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Git(_Strict):
    """The checkout the run was made from."""

    commit: str
    dirty: bool


class Speed(_Strict):
    """Sentences a second, pictures and all."""

    train: float
    predict: float


class Parameters(_Strict):
    """How many numbers are trained, and how many there are."""

    trained: int
    total: int


def _scores(value: Any) -> Scores:
    return value if isinstance(value, Scores) else Scores.from_dict(value)


StoredScores = Annotated[
    Scores, PlainValidator(_scores), PlainSerializer(Scores.as_dict, return_type=dict)
]


class RunRecord(_Strict):
    """``run.json``: all that is known of a run except its predictions and its weights.

    Args:
        recipe: its name; likewise ``system``, ``dataset``, ``backbone`` and ``suite``.
        overrides: ``path=value``, as given with ``-o`` or by an ablation's arm.
        config_hash: ``digest`` of the resolved config of system, recipe and dataset, no seed.
        tags: how tags were read into spans, where the dataset has tags.
        command: the command line that made the run.
        seconds: by phase; ``train`` and ``total`` at least.
        sentences: of each split.
        best_epoch: from 1; the epoch with the best dev F1, whose weights were kept.
        text_only_ceiling: percent F1 that no system without pictures can expect to pass.
        text_only: whether the system sees no view.
    """

    id: str
    system: str
    dataset: str
    seed: int
    backbone: str | None = None
    recipe: str | None = None
    suite: str | None = None
    overrides: list[str] = Field(default_factory=list)
    config_hash: str
    data_fingerprint: str
    sources_hash: str
    tags: Reading | None = None
    versions: dict[str, str]
    git: Git | None = None
    device: str
    command: str
    started: AwareDatetime
    seconds: dict[str, float]
    sentences: dict[str, int] = Field(default_factory=dict)
    epochs: int
    best_epoch: int
    dev: StoredScores
    test: StoredScores
    speed: Speed
    parameters: Parameters
    text_only_ceiling: float | None = None
    text_only: bool
    cites: str | None = None

    @property
    def variant(self) -> str:
        """The same for runs that differ in their seed alone."""
        return variant_id(self.config_hash, self.data_fingerprint, self.sources_hash)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was wanted and what was found in one sentence."""

    id: str
    gold: tuple[Entity, ...]
    predicted: tuple[ScoredEntity, ...]
    language: str | None = None


class _Line(_Strict):
    """One line of a predictions file."""

    id: str
    language: str | None = None
    gold: list[tuple[int, int, str]]
    predicted: list[tuple[int, int, str, float]]


def write_predictions(
    path: Path, samples: Sequence[Sample], predicted: Sequence[Sequence[ScoredEntity]]
) -> None:
    """One JSON line a sample, in input order, without the sentence's text.

    Probabilities are rounded to six digits. A sample's language, where it has one, is kept, so
    that scores per language follow from the file.
    """
    lines = []
    for sample, entities in zip(samples, predicted, strict=True):
        line: dict[str, Any] = {"id": sample.id}
        if sample.language is not None:
            line["language"] = sample.language
        line["gold"] = [list(entity) for entity in sample.entities]
        line["predicted"] = [[*e.entity, round(float(e.score), 6)] for e in entities]
        lines.append(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
    write_atomic(path, "".join(lines))


def read_predictions(path: Path) -> list[Prediction]:
    """The predictions of a file, in its order. Raises DataError naming file and line."""
    answer: list[Prediction] = []
    seen: dict[str, int] = {}
    # Not splitlines(): an id may hold a character that Python, but not JSON, takes for a line end.
    lines = _read(path).split("\n")
    if not lines[-1]:
        lines.pop()
    for number, text in enumerate(lines, start=1):
        try:
            line = _Line.model_validate_json(text)
        except ValidationError as error:
            raise DataError(f"{path}:{number}: {_first(error)}; make the file again") from None
        gold = tuple(Entity(*entity) for entity in line.gold)
        predicted = tuple(ScoredEntity(*entity) for entity in line.predicted)
        for entity in (*gold, *(found.entity for found in predicted)):
            if not 0 <= entity.start < entity.end:
                raise DataError(
                    f"{path}:{number}: {list(entity)} is no entity: "
                    "its end must be greater than its start; make the file again"
                )
        if line.id in seen:
            raise DataError(
                f"{path}:{number}: the id {line.id!r} stands in line {seen[line.id]} too; "
                "ids must be unique"
            )
        seen[line.id] = number
        answer.append(Prediction(line.id, gold, predicted, line.language))
    return answer


def score_predictions(predictions: Sequence[Prediction]) -> Scores:
    """The scores that follow from stored predictions."""
    return score(
        [prediction.gold for prediction in predictions],
        [prediction.predicted for prediction in predictions],
        [prediction.language for prediction in predictions],
    )


def read_run(folder: Path) -> RunRecord:
    """The record in a run's folder. Raises DataError naming the file."""
    path = folder / "run.json"
    try:
        return RunRecord.model_validate_json(_read(path))
    except ValidationError as error:
        raise DataError(
            f"{path}: {_first(error)}; delete the folder to have the run made again"
        ) from None


def write_run(folder: Path, record: RunRecord) -> None:
    """Put ``run.json`` into a folder."""
    data = record.model_dump(mode="json")
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomic(folder / "run.json", text + "\n")


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
        """Where a run lies. Raises ConfigError for a name that can't be a folder's."""
        for name in (cell.system, cell.dataset):
            if not name or name.startswith(".") or "/" in name or "\\" in name:
                raise ConfigError(
                    f"`{name}` can't name a folder in {self.root}: it must not be empty, start "
                    "with a dot or hold a slash; choose another"
                )
        return self.root / "runs" / cell.system / cell.dataset / f"{cell.seed}-{cell.id}"

    def complete(self, cell: Cell) -> bool:
        """Whether the run is there (a folder comes into being whole)."""
        return (self.folder(cell) / "run.json").is_file()

    def read(self, cell: Cell) -> RunRecord:
        """The record of a complete run. Raises DataError."""
        return read_run(self.folder(cell))

    @contextmanager
    def lock(self, cell: Cell, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Keep every other process from making this run; wait while another is making it.

        The system frees the lock of a process that dies. What such a process left of this run is
        cleared away.

        Args:
            on_wait: called once before waiting, to tell the user.
        """
        folder = self.folder(cell)
        name = "--".join(folder.relative_to(self.root / "runs").parts)
        path = self.root / ".lock" / f"{name}.lock"
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
        folder = self.folder(cell)
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


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); make the file again") from None


def _first(error: ValidationError) -> str:
    """The first thing wrong, in one line."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])
