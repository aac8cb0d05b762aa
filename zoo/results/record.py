"""``run.json``: all that is known of a run except its predictions and its weights."""

from __future__ import annotations

import json
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
)

from zoo.errors import DataError, first_problem
from zoo.evaluation.scores import Scores
from zoo.files import read_text, write_atomic
from zoo.identity import variant_id
from zoo.tags import Reading


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
        config_hash: of the settings of system and recipe that decide the run's numbers; with the
            hashes of data and sources, ``precision``, ``harness`` and the seed it makes the id (see
            :mod:`zoo.identity`).
        precision: ``fp32``, ``bf16`` or ``fp16``: what the recipe's resolved to.
        harness: the version of the harness, :data:`zoo.identity.HARNESS`.
        models: the digest of every model that was loaded, by the name it was written as.
        kind: ``run``: made here; ``external``: predictions that were made elsewhere.
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
    precision: str
    harness: int
    models: dict[str, str] = Field(default_factory=dict)
    kind: Literal["run", "external"] = "run"
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
        return variant_id(
            self.config_hash,
            self.data_fingerprint,
            self.sources_hash,
            self.precision,
            self.harness,
        )

    @property
    def labels(self) -> dict[str, Any]:
        """What the run is called; see :class:`zoo.results.store.Cell`."""
        return {"system": self.system, "dataset": self.dataset}


def read_run(folder: Path) -> RunRecord:
    """The record in a run's folder. Raises DataError naming the file."""
    path = folder / "run.json"
    try:
        return RunRecord.model_validate_json(read_text(path))
    except ValidationError as error:
        raise DataError(
            f"{path}: {first_problem(error)}; delete the folder to have the run made again"
        ) from None


def write_run(folder: Path, record: RunRecord) -> None:
    """Put ``run.json`` into a folder."""
    data = record.model_dump(mode="json")
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomic(folder / "run.json", text + "\n")
