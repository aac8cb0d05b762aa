"""``run.json``: all that is known of a run except its predictions and its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    model_validator,
)

from zoo.errors import DataError, first_problem
from zoo.evaluation.scores import Scores
from zoo.files import read_text, write_atomic
from zoo.identity import variant_id
from zoo.tags import Reading

TEST = "predictions.test.jsonl"
PREDICTIONS = ("predictions.dev.jsonl", TEST)


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


def _plain(scores: Scores) -> dict[str, Any]:
    """Without the parts, which follow from the predictions."""
    return replace(scores, parts={}).as_dict()


StoredScores = Annotated[Scores, PlainValidator(_scores), PlainSerializer(_plain, return_type=dict)]

_TRAINED = ("device", "epochs", "best_epoch", "dev", "speed", "parameters", "text_only")
"""What is known of every run that was trained here, and of no other."""


class RunRecord(_Strict):
    """``run.json``: all that is known of a run except its predictions and its weights.

    Args:
        recipe: its name; likewise ``system``, ``dataset``, ``backbone`` and ``suite``.
        overrides: ``path=value``, as given with ``-o`` or by an ablation's arm.
        config_hash: of the settings of system and recipe that decide the run's numbers; with the
            hashes of data and sources, ``precision``, ``harness`` and the seed it makes the id (see
            :mod:`zoo.identity`).
        precision: ``fp32``, ``bf16`` or ``fp16``: what the recipe's resolved to.
        harness: the version of the harness, :data:`zoo.identity.HARNESS`. Records of version 0.2
            hold neither of the two.
        models: the digest of every model that was loaded, by the name it was written as.
        features: SHA-256 over the features that each frozen encoder gave for the dataset, by its
            path in the system.
        kind: ``run``: made here; ``external``: the predictions were made elsewhere, and what only
            training tells (device, seconds, speed, parameters, epochs, versions, …) may be missing.
        tags: how tags were read into spans, where the dataset has tags.
        command: the command line that made the run.
        seconds: by phase; ``train`` and ``total`` at least.
        sentences: of each split.
        best_epoch: from 1; the epoch with the best dev F1, whose weights were kept.
        text_only_ceiling: percent F1 that no system without pictures can expect to pass.
        grounding_bar: percent F1 that no system can expect to pass that reads the words and counts
            the objects in the picture, and does not know which belongs to which name.
        text_only: whether the system sees no view.
        arm: the ablation and the arm that the run was made for, as in ``noise: without aligner``.
        notes: what a reader of the numbers must know about the data and the encoders.
        files: SHA-256 of every other file in the run's folder; None in records of version 0.2.
        withheld: the predictions are not stored, since their ids are not ours to publish. Tables
            then take the scores from here, and say so.
        digest: SHA-256 of ``run.json`` itself, with an empty string in this place.
    """

    id: str
    system: str
    dataset: str
    seed: int
    backbone: str | None = None
    recipe: str | None = None
    suite: str | None = None
    arm: str | None = None
    overrides: list[str] = Field(default_factory=list)
    config_hash: str
    data_fingerprint: str
    sources_hash: str
    precision: str | None = None
    harness: int | None = None
    models: dict[str, str] = Field(default_factory=dict)
    features: dict[str, str] = Field(default_factory=dict)
    kind: Literal["run", "external"] = "run"
    tags: Reading | None = None
    notes: list[str] = Field(default_factory=list)
    versions: dict[str, str] = Field(default_factory=dict)
    git: Git | None = None
    device: str | None = None
    command: str
    started: AwareDatetime
    seconds: dict[str, float] = Field(default_factory=dict)
    sentences: dict[str, int] = Field(default_factory=dict)
    epochs: int | None = None
    best_epoch: int | None = None
    dev: StoredScores | None = None
    test: StoredScores
    speed: Speed | None = None
    parameters: Parameters | None = None
    text_only_ceiling: float | None = None
    grounding_bar: float | None = None
    text_only: bool | None = None
    cites: str | None = None
    withheld: bool = False
    files: dict[str, str] | None = None
    digest: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> RunRecord:
        names = _TRAINED if self.files is None else (*_TRAINED, "precision", "harness")
        missing = [name for name in names if getattr(self, name) is None]
        if self.kind == "run" and missing:
            raise ValueError(f"a trained run has `{missing[0]}`")
        return self

    @property
    def variant(self) -> str:
        """The same for runs that differ in their seed alone."""
        return variant_id(
            self.config_hash,
            self.data_fingerprint,
            self.sources_hash,
            self.precision or "",
            self.harness or 0,
        )

    @property
    def labels(self) -> dict[str, Any]:
        """What the run is called; see :class:`zoo.results.store.Cell`."""
        return {"system": self.system, "dataset": self.dataset}

    @property
    def required(self) -> Sequence[str]:
        """The files that a run's folder must hold beside ``run.json``.

        Any other (weights, history) may be deleted: no table is made from it.
        """
        if self.kind == "external":
            return () if self.withheld else (TEST,)
        return ("config.yaml", *(() if self.withheld else PREDICTIONS))


def read_run(folder: Path) -> RunRecord:
    """The record in a run's folder.

    Raises:
        DataError: it is missing, broken, or was changed since it was written; names the file.
    """
    path = folder / "run.json"
    text = read_text(path)
    try:
        record = RunRecord.model_validate_json(text)
    except ValidationError as error:
        raise DataError(
            f"{path}: {first_problem(error)}; delete the folder to have the run made again"
        ) from None
    sealed = record.digest is not None or record.files is not None
    if sealed and record.digest != _digest(text, record.digest or ""):
        raise DataError(
            f"{path}: changed since the run was stored; delete the folder to have it made again"
        )
    return record


def write_run(folder: Path, record: RunRecord) -> RunRecord:
    """Put ``run.json`` into a folder that holds all other files of the run.

    Returns:
        The record as written: with the digests of the folder's files, and its own. Files whose
        digests it already holds, but which are not there (withheld predictions), keep them.
    """
    found = {
        path.relative_to(folder).as_posix(): file_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "run.json"
    }
    record = record.model_copy(update={"files": {**(record.files or {}), **found}, "digest": ""})
    data = record.model_dump(mode="json")
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    digest = _digest(text, "")
    write_atomic(folder / "run.json", _with_digest(text, "", digest))
    return record.model_copy(update={"digest": digest})


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes. Raises DataError naming a file that can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def _digest(text: str, stored: str) -> str:
    return hashlib.sha256(_with_digest(text, stored, "").encode()).hexdigest()


def _with_digest(text: str, old: str, new: str) -> str:
    """The text of a record with another value of its last field."""
    head, key, tail = text.rpartition(f'"digest": "{old}"')
    return f'{head}"digest": "{new}"{tail}' if key else text
