"""Storing a trained system in a folder, so that it can be loaded without its training data."""

from __future__ import annotations

import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

import zoo
from zoo.build import Learnt
from zoo.encoders.checkpoint import Need, digest_file, digest_folder, needed, read_shards
from zoo.encoders.hub import MINILM
from zoo.encoders.references import Name, Reference, noted
from zoo.errors import DataError
from zoo.files import write_atomic
from zoo.identity import sources
from zoo.model.description import (
    COPIES,
    LEARNT,
    WEIGHTS,
    Description,
    PartOrigin,
    StoredReference,
    write_description,
)
from zoo.model.weights import digest, own_randomness, reloaded, write_weights
from zoo.registry import plugin_files
from zoo.schema import SystemSpec
from zoo.system import System

PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Facts:
    """What a description holds beside what follows from the system itself; see
    :class:`zoo.model.description.Description`."""

    run: str
    seed: int
    harness: int
    sources: str
    precision: str
    threads: int | None
    languages: Sequence[str]
    versions: Mapping[str, str]


def write_model(
    folder: Path,
    spec: SystemSpec,
    system: System,
    learnt: Learnt,
    build: Callable[[], System],
    facts: Facts,
) -> Description:
    """Put a trained system into a folder, which gets the files that the description lists.

    Args:
        build: builds the system anew. It is called only where parts load models: what it gives
            again need not be stored.
    """
    left_out, known, references = list[str](), None, list[Reference]()
    if any(getattr(part.cls, "loaded", None) for _, top in spec.parts for part in top.walk()):
        with own_randomness(), noted() as references:
            again = build()
        if references:
            left_out = reloaded(system, again)
            known = digest(system, left_out) if left_out else None
        del again
    write_weights(folder / WEIGHTS, system, left_out)
    write_atomic(folder / LEARNT, json.dumps(learnt.as_dict(), ensure_ascii=False))
    return write_description(
        folder,
        Description(
            zoo=zoo.__version__,
            harness=facts.harness,
            name=spec.name,
            run=facts.run,
            seed=facts.seed,
            backbone=spec.backbone or None,
            system=json.loads(json.dumps(spec.resolved())),
            types=learnt.types,
            sees=sorted(frozenset[str]().union(*spec.sees.values())),
            languages=list(facts.languages),
            precision=facts.precision,  # type: ignore[arg-type]
            threads=facts.threads,
            sources=facts.sources,
            parts=origins(spec),
            references=[refer(each) for each in references],
            reloaded=left_out,
            reloaded_digest=known,
            versions=dict(facts.versions),
        ),
    )


# Where things come from ---------------------------------------------------------------------------


def origins(spec: SystemSpec) -> list[PartOrigin]:
    """Where every part of a system comes from, nested ones included."""
    files = {path.resolve(): path for path in plugin_files()}
    found = []
    for slot, top in spec.parts:
        for part in top.walk():
            home = part.cls.__module__
            file = Path(getattr(sys.modules.get(home), "__file__", None) or "")
            plugin = files.get(file.resolve()) if file.name else None
            package = None if plugin else _package(home.partition(".")[0])
            found.append(
                PartOrigin(
                    slot=slot,
                    kind=part.kind,
                    name=part.name,
                    sources=sources([part.cls]),
                    package=package,
                    version=_version(package) if package else None,
                    file=plugin.name if plugin else None,
                    digest=digest_file(plugin) if plugin else None,
                )
            )
    return found


@cache
def _package(top: str) -> str:
    """The name under which a top-level module is installed."""
    if top == "zoo":
        return "mner-zoo"
    return next(iter(metadata.packages_distributions().get(top, ())), top)


def _version(package: str) -> str | None:
    if package == "mner-zoo":
        return zoo.__version__
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def refer(reference: Reference) -> StoredReference:
    """What is stored of a model that a part loaded."""
    (model, revision), place, need = reference
    if need is None or place.is_file():
        return StoredReference(model=model, kind="file", digest=digest_file(place))
    if place.parent.name == "snapshots":  # of the hub's cache: the folder is called by its commit
        return StoredReference(model=model, revision=revision, kind="hub", digest=place.name)
    kind = "package" if place.parent.name == MINILM else "folder"
    known = digest_folder(place, model)
    return StoredReference(model=model, revision=revision, kind=kind, digest=known)  # type: ignore[arg-type]


# Copies -------------------------------------------------------------------------------------------


def add_copies(
    folder: Path, found: Description, references: Sequence[Reference], name: str
) -> Description:
    """Copy the models that a stored one refers to into its folder.

    Pickled weights are stored as safetensors, so that the folder holds no pickle.

    Args:
        references: the places of the models, by the names that the description has.
        name: of the description's file.
    """
    places = defaultdict[tuple[Name, str], list[Reference]](list)
    for each in references:
        places[each.name, refer(each).digest].append(each)
    folders: dict[Name, int] = {}  # what two encoders read of one model lies in one folder
    stored = []
    for number, reference in enumerate(found.references):
        if reference.copy_in is None:
            known = Name(reference.model, reference.revision)
            there = places[known, reference.digest]
            if not there:
                raise DataError(
                    f"{folder}: model `{reference.model}` is not loaded by the system any more"
                )
            at = there.pop(0)
            where = f"{COPIES}/{folders.setdefault(known, number)}"
            if at.need is None or at.place.is_file():
                where += "/weights.safetensors"
                (folder / where).parent.mkdir(parents=True, exist_ok=True)
                _copy_weights([at.place], folder / where)
            else:
                (folder / where).mkdir(parents=True, exist_ok=True)
                copy_files(at.place, at.need, folder / where)
            reference = reference.model_copy(update={"copy_in": where})
        stored.append(reference)
    return write_description(folder, found.model_copy(update={"references": stored}), name)


def copy_files(source: Path, need: Need, folder: Path) -> None:
    """Copy the files of a model that an encoder reads."""
    there = {path.name for path in source.iterdir() if path.is_file()}
    names = needed(source, there, need)
    weights = next(name for name in need.weights if name in there)
    shards = read_shards(source / weights) if weights.endswith(".index.json") else [weights]
    pickled = any(not name.endswith(".safetensors") for name in shards)
    for name in names:
        if pickled and name in (weights, *shards):
            continue
        shutil.copyfile(source / name, folder / name)
    if weights.endswith(".index.json") and not pickled:
        shutil.copyfile(source / weights, folder / weights)
    if pickled:
        target = next(name for name in need.weights if name.endswith(".safetensors"))
        _copy_weights([source / name for name in shards], folder / target)


def _copy_weights(sources: Sequence[Path], target: Path) -> None:
    """Tensors of one or several files as one file of safetensors."""
    from safetensors.torch import load_file, save_file

    tensors: dict[str, torch.Tensor] = {}
    for source in sources:
        if source.suffix == ".safetensors":
            tensors |= load_file(source)
        else:
            read = torch.load(source, map_location="cpu", weights_only=True)
            for key in ("state_dict", "model"):  # of a checkpoint that holds more than weights
                inner = read.get(key) if isinstance(read, Mapping) else None
                read = inner if isinstance(inner, Mapping) else read
            found = read.items() if isinstance(read, Mapping) else ()
            tensors |= {name: each for name, each in found if hasattr(each, "dtype")}
    if not tensors:
        raise DataError(
            f"{', '.join(map(str, sources))}: no tensor in there, so that no copy can be stored"
        )
    target.touch()
    mode = target.stat().st_mode
    # transformers asks which framework wrote the file
    save_file(
        {name: each.clone().contiguous() for name, each in tensors.items()},
        target,
        metadata={"format": "pt"},
    )
    target.chmod(mode)
