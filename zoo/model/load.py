"""From a folder to a system that predicts, with everything that is loaded verified."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import zoo
from zoo.build import Learnt, build
from zoo.config.specs import SystemType
from zoo.encoders.checkpoint import digest_file, digest_folder
from zoo.encoders.hub import locate
from zoo.encoders.references import Name, Reference, noted, pinned
from zoo.errors import ConfigError, DataError
from zoo.files import cache_folder, read_text
from zoo.identity import HARNESS, sources
from zoo.model.description import (
    COPIES,
    DESCRIPTION,
    LEARNT,
    SHARED,
    WEIGHTS,
    Description,
    StoredReference,
    read_description,
    refuse_code,
)
from zoo.model.weights import own_randomness, restore
from zoo.registry import load_plugins, names, resolve
from zoo.results.record import file_digest, read_run
from zoo.schema import SystemSpec, validated
from zoo.system import System
from zoo.yaml import Place

CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".ipynb")
PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".npy", ".msgpack", ".h5")
"""Suffixes of files that run code when they are loaded, or may."""

CHANGED = "give --allow-changed (`allow_changed=True`) to use it nevertheless"


class Loaded(NamedTuple):
    """A system with its weights, the description it was built from, and the models it loaded."""

    folder: Path
    description: Description
    spec: SystemSpec
    system: System
    references: list[Reference]


def description_file(folder: Path) -> Path:
    """The description in a folder. Raises DataError where it holds no model."""
    for name in (DESCRIPTION, SHARED):
        if (folder / name).is_file():
            return folder / name
    if (folder / "run.json").is_file():
        raise DataError(
            f"{folder}: the run has no {DESCRIPTION}: it was made with --keep-weights none, or by "
            "an older version; make it again with --rerun always"
        )
    raise DataError(f"{folder}: no model (no {DESCRIPTION} and no {SHARED})")


def describe(folder: Path) -> Description:
    """The verified description of a model; none of its files is executed.

    Raises:
        DataError: it holds code or pickles or asks for code; a file is missing, or was changed
            since it was stored.
    """
    file = description_file(folder)
    refuse_files(folder, [p.relative_to(folder).as_posix() for p in folder.rglob("*")])
    found = read_description(file)
    if file.name == DESCRIPTION and (folder / "run.json").is_file():
        listed = (read_run(folder).files or {}).get(DESCRIPTION)
        if listed != file_digest(file):
            raise DataError(f"{file}: changed since the run was stored; store the run again")
    for name in (LEARNT, WEIGHTS):
        if name not in found.files:
            raise DataError(f"{file}: it lists no {name}; the model is not whole")
    for name, known in found.files.items():
        path = _inside(folder, name, file)
        if not path.is_file():
            raise DataError(f"{path}: missing; the model can't be loaded without it")
        if digest_file(path) != known:
            raise DataError(f"{path}: changed since the model was stored; store or fetch it again")
        if name.startswith(f"{COPIES}/") and path.suffix == ".json":
            refuse_code(_json(path), path)
    return found


def _json(path: Path) -> object:
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError):
        return None  # whoever reads it will say what is wrong


def _inside(folder: Path, name: str, file: Path) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()) and not path.is_symlink():
        raise DataError(f"{file}: `{name}` lies outside of the model's folder")
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise DataError(f"{file}: `{name}` lies outside of the model's folder")
    return path


def refuse_files(where: Path | str, files: list[str]) -> None:
    """Raise DataError where a shared folder holds code, or files that run code when loaded."""
    for name in sorted(files):
        suffix = Path(name).suffix.lower()
        if suffix in (*CODE, *PICKLES):
            what = "code" if suffix in CODE else "a pickle or its like, which may run code"
            raise DataError(
                f"{where}: {name} is {what}; a shared model holds none, and is not loaded"
            )


def load_folder(folder: Path, allow_changed: bool = False) -> Loaded:
    """Build the system of a folder and put its weights into it.

    Args:
        allow_changed: load it although the code of its parts, the harness, or a model that it
            refers to, are not those it was trained with.

    Raises:
        ConfigError: a part is not here, or is another one than it was; a model that it refers to
            can't be had.
        DataError: see :func:`describe` and :func:`zoo.model.weights.restore`.
    """
    found = describe(folder)
    load_plugins()
    check_parts(found, folder)
    at = Place((), str(description_file(folder)))
    spec: SystemSpec = validated(SystemType, found.system, at)
    spec = _named(spec, found)
    if not allow_changed:
        check_unchanged(found, spec, folder)
    taught = _json(folder / LEARNT)
    learnt = Learnt.from_dict(taught if isinstance(taught, dict) else {})
    if list(found.types) != learnt.types:
        raise DataError(
            f"{at.line}: its types are not those of {LEARNT}; store or fetch the model again"
        )
    pins = _pins(folder, found, allow_changed)
    with own_randomness(), pinned(pins), noted() as references:
        system = build(spec, learnt, cache_folder())
    expected = None if allow_changed else found.reloaded_digest
    restore(system, folder / WEIGHTS, found.reloaded, expected)
    return Loaded(folder, found, spec, system, references)


def _named(spec: SystemSpec, found: Description) -> SystemSpec:
    cites = tuple((found.about.cites or "").split(", ")) if found.about else ()
    return replace(spec, name=found.name, backbone=found.backbone or "", cites=cites)


def check_parts(found: Description, folder: Path) -> None:
    """Raise ConfigError where a part is not here, with what brings it."""
    problems = []
    for part in found.parts:
        if part.name in names(part.kind):
            continue
        if part.file:
            whence = (
                f"it came from the plug-in file {part.file} (SHA-256 {(part.digest or '')[:12]}); "
                "get that file from whom you trust, and give --plugin FILE"
            )
        elif part.package == "mner-zoo":
            whence = f"it came with zoo {part.version}, and this is {zoo.__version__}"
        else:
            whence = (
                f"it comes from the package {part.package} {part.version or ''}".rstrip()
                + f"; install it: pip install {part.package}"
            )
        problems.append(f"{folder}: {part.slot} needs the {part.kind} `{part.name}`; {whence}")
    if problems:
        raise ConfigError(*problems)


def check_unchanged(found: Description, spec: SystemSpec, folder: Path) -> None:
    """Raise ConfigError where the code that computes is not that which the model was trained by."""
    if found.harness != HARNESS:
        raise ConfigError(
            f"{folder}: stored by harness {found.harness} (zoo {found.zoo}), and this is harness "
            f"{HARNESS} (zoo {zoo.__version__}), which may give other results; install that "
            f"version, or {CHANGED}"
        )
    if sources(spec.classes) == found.sources:
        return
    changed = [
        f"`{part.name}`"
        for part in found.parts
        if sources([resolve(part.kind, part.name)]) != part.sources
    ]
    which = ", ".join(dict.fromkeys(changed)) or "its parts"
    raise ConfigError(
        f"{folder}: the source of {which} is not what it was when the model was trained (by zoo "
        f"{found.zoo}; this is {zoo.__version__}), and results may differ; install that version, "
        f"or {CHANGED}"
    )


def _pins(folder: Path, found: Description, allow_changed: bool) -> Mapping[Name, Path | str]:
    """Where each model is to be taken from. Raises ConfigError where one is another now."""
    pins: dict[Name, Path | str] = {}
    for each in found.references:
        name = Name(each.model, each.revision)
        if each.copy_in is not None:
            pins[name] = folder / each.copy_in
        elif each.kind == "hub":
            pins[name] = each.digest
        elif not allow_changed:
            _check_local(each, folder)
    return pins


def _check_local(each: StoredReference, folder: Path) -> None:
    """Raise ConfigError where a model of this machine is missing, or another one."""
    hint = "store the model with --whole where it was trained, and it is not needed"
    if each.kind == "file":
        return  # torchvision's and open_clip's files carry their digest in their names
    place = locate(each.model)
    if place is None:
        raise ConfigError(f"{folder}: it refers to the folder `{each.model}`, not here; {hint}")
    if digest_folder(place, each.model) != each.digest:
        raise ConfigError(
            f"{folder}: model `{each.model}` is not what it was when this one was trained; {hint}, "
            f"or {CHANGED}"
        )
