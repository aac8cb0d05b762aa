"""``model.json``: what a stored model is made of, and what it refers to.

    model.json           this description (``config.json`` in a folder that is shared)
    learnt.json          what the parts learnt from the training split: word counts, entity types
    model.safetensors    every tensor that can't be loaded again from where it came from
    models/0, models/1   copies of the models referred to, where they were asked for

Nothing in these files is code, and none of them names code to be run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo.encoders.checkpoint import digest_file
from zoo.errors import DataError, first_problem
from zoo.files import read_text, write_atomic

DESCRIPTION = "model.json"
SHARED = "config.json"
LEARNT = "learnt.json"
WEIGHTS = "model.safetensors"
COPIES = "models"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class PartOrigin(_Strict):
    """Where a part comes from.

    Args:
        slot: its place in the system.
        package: the installed package that has it; None for a plug-in file.
        file: the name of the plug-in file that has it, with its SHA-256 in ``digest``.
        sources: see :func:`zoo.identity.sources`.
    """

    slot: str
    kind: str
    name: str
    sources: str
    package: str | None = None
    version: str | None = None
    file: str | None = None
    digest: str | None = None


class StoredReference(_Strict):
    """A model that a part loads.

    Args:
        model: as the part's settings name it; likewise ``revision``.
        kind: where it was: a repository of the hub, a local folder or file, an installed package.
        digest: the commit of a repository; SHA-256 of the files of any other.
        copy_in: the folder or file of this model's folder that holds a copy of it.
    """

    model: str
    revision: str | None = None
    kind: Literal["hub", "folder", "file", "package"]
    digest: str
    copy_in: str | None = None


class Score(_Strict):
    """Exact-span micro scores in percent; ``low`` and ``high`` bound F1's 95 % interval."""

    precision: float
    recall: float
    f1: float
    low: float | None = None
    high: float | None = None


class About(_Strict):
    """What a reader of a shared model wants to know of its run. None of it is needed to load it."""

    dataset: str
    fingerprint: str
    tags: str | None = None
    sentences: dict[str, int] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    dev: Score | None = None
    test: Score | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    recipe: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    device: str | None = None
    parameters: int | None = None
    cites: str | None = None
    text_only: bool | None = None


class Description(_Strict):
    """A stored model.

    Args:
        format: of these files.
        zoo: the version that stored it; ``harness``: the version of the harness.
        name: of the system.
        run: the id of its run.
        system: the settings of every part, as :meth:`zoo.schema.SystemSpec.resolved` gives them.
        types: the entity types.
        sees: what of a post the system reads.
        precision: that it was trained in; ``threads``: of its recipe.
        reloaded: the tensors that are not stored, since building the system loads them again, and
            ``reloaded_digest``, the digest of what they are.
        files: SHA-256 of every other file of the model.
    """

    format: Literal[1] = 1
    library: Literal["mner-zoo"] = "mner-zoo"
    zoo: str
    harness: int
    name: str
    run: str
    seed: int
    backbone: str | None = None
    system: dict[str, Any]
    types: list[str]
    sees: list[str]
    languages: list[str] = Field(default_factory=list)
    precision: Literal["fp32", "bf16", "fp16"]
    threads: int | None = None
    sources: str
    parts: list[PartOrigin]
    references: list[StoredReference] = Field(default_factory=list)
    reloaded: list[str] = Field(default_factory=list)
    reloaded_digest: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    about: About | None = None
    files: dict[str, str] = Field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether nothing but this folder is needed to load the model."""
        return all(reference.copy_in for reference in self.references)


def write_description(folder: Path, found: Description, name: str = DESCRIPTION) -> Description:
    """Write a description with the digests of the model's files, which are there already."""
    paths = [folder / LEARNT, folder / WEIGHTS, *sorted((folder / COPIES).rglob("*"))]
    files = {p.relative_to(folder).as_posix(): digest_file(p) for p in paths if p.is_file()}
    found = found.model_copy(update={"files": files})
    text = json.dumps(found.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    write_atomic(folder / name, text + "\n")
    return found


def read_description(path: Path) -> Description:
    """Raises DataError where it is missing, no description, or asks for code."""
    text = read_text(path)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}); fetch or store the model again") from None
    if not isinstance(data, dict) or data.get("library") != "mner-zoo":
        refuse_code(data, path)
        raise DataError(f"{path}: this is no model of zoo (`library` is not mner-zoo)")
    refuse_code(data, path)
    try:
        return Description.model_validate_json(text)
    except ValidationError as error:
        said = data.get("zoo")
        raise DataError(
            f"{path}: {first_problem(error)}; it was stored by zoo {said}, whose files this "
            "version does not read"
        ) from None


CODE_KEYS = ("auto_map", "trust_remote_code", "plugins", "plugin", "custom_pipelines")
"""Keys by which a configuration asks a library to import code that lies beside it."""


def refuse_code(data: Any, path: Path) -> None:
    """Raise DataError where a configuration asks for code of its own, at any depth."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if key in CODE_KEYS and value:
                raise DataError(
                    f"{path}: `{key}` asks for code of the model's own, which is never run; "
                    "such a model can't be loaded"
                )
            refuse_code(value, path)
    elif isinstance(data, list):
        for value in data:
            refuse_code(value, path)
