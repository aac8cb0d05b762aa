"""A model as it is shared: description, weights, and a card for its readers."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.data.splitting import NO_TEST
from zoo.encoders.references import Reference
from zoo.errors import ConfigError
from zoo.evaluation.counts import counts
from zoo.evaluation.predictions import read_predictions
from zoo.evaluation.scores import Scores
from zoo.evaluation.systems import influence
from zoo.files import owner, sweep_beside, write_atomic
from zoo.model.card import card
from zoo.model.description import (
    COPIES,
    DESCRIPTION,
    LEARNT,
    SHARED,
    WEIGHTS,
    About,
    Description,
    Score,
    write_description,
)
from zoo.model.load import Loaded, description_file, load_folder
from zoo.model.store import add_copies
from zoo.results.record import RunRecord, read_run, write_run
from zoo.yaml import load

CARD = "README.md"
OWN = (SHARED, LEARNT, WEIGHTS, CARD, COPIES, ".gitattributes")


def save(loaded: Loaded, folder: Path, whole: bool) -> Path:
    """See :meth:`zoo.model.model.Model.save_pretrained`."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a folder")
    foreign = (
        sorted(p.name for p in folder.iterdir() if p.name not in OWN) if folder.exists() else []
    )
    if foreign:
        raise ConfigError(
            f"{folder}: it holds other files ({foreign[0]}); name an empty folder, so that nothing "
            "is shared that was not meant to be"
        )
    if folder.resolve() == loaded.folder.resolve():
        raise ConfigError(f"{folder}: the model lies there already; name another folder")
    if folder.resolve().is_relative_to(loaded.folder.resolve()):
        raise ConfigError(f"{folder}: lies inside of the model's own folder; name another one")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ConfigError(f"{folder}: {folder.parent} is not a folder") from None
    sweep_beside(folder)
    made = folder.with_name(f".{folder.name}.{owner()}.tmp")
    try:
        made.mkdir()
        _fill(loaded, made, whole)
        if folder.exists() and any(folder.iterdir()):  # an older state of a model
            shutil.rmtree(folder / COPIES, ignore_errors=True)
            for each in made.iterdir():
                each.replace(folder / each.name)
        else:
            made.replace(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def _fill(loaded: Loaded, folder: Path, whole: bool) -> None:
    for name in (LEARNT, WEIGHTS):
        shutil.copyfile(loaded.folder / name, folder / name)
    if (loaded.folder / COPIES).is_dir():
        shutil.copytree(loaded.folder / COPIES, folder / COPIES, copy_function=shutil.copyfile)
    found = loaded.description
    if (loaded.folder / "run.json").is_file():
        found = found.model_copy(update={"about": about(loaded.folder)})
    names = shared_names(found)
    found = without_paths(found, names)
    references = [shared_reference(each, names) for each in loaded.references]
    found = (
        add_copies(folder, found, references, SHARED)
        if whole
        else write_description(folder, found, SHARED)
    )
    write_atomic(folder / CARD, card(found))


def shared_names(found: Description) -> dict[str, str]:
    """The last step of every path that names a model, by the path: the rest tells of a machine, and
    of no model. Where two paths end alike, a number tells them apart."""
    names: dict[str, str] = {}
    for each in found.references:
        path = _path(each.model) if each.kind in ("folder", "file") else None
        if path is not None and path not in names:
            last = Path(path)
            name, number = last.name, 2
            while name in names.values():
                name, number = f"{last.stem}-{number}{last.suffix}", number + 1
            names[path] = name
    return names


def without_paths(found: Description, names: Mapping[str, str]) -> Description:
    """The description with these names in place of the paths."""
    text = found.model_dump_json()
    for path in sorted(names, key=len, reverse=True):  # one may be the beginning of another
        text = text.replace(_quoted(path), _quoted(names[path]))
    return Description.model_validate_json(text)


def shared_reference(reference: Reference, names: Mapping[str, str]) -> Reference:
    """A reference by the name that :func:`without_paths` gives it."""
    path = _path(reference.name.model)
    if path is None or path not in names:
        return reference
    name = reference.name.model.replace(path, names[path])
    return reference._replace(name=reference.name._replace(model=name))


def _path(model: str) -> str | None:
    """The path in a model's name: it begins with a slash, a dot or a tilde."""
    for path in (model, model.partition(" ")[2]):  # `resnet50 /models/weights.pth`
        if path.startswith(("/", "~", ".")):
            return path
    return None


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def make_whole(folder: Path) -> Description:
    """Add copies of the models that a run refers to to its folder, which then needs no hub.

    Raises:
        ConfigError, DataError: the model can't be loaded.
    """
    loaded = load_folder(folder)
    if loaded.description.whole or description_file(folder).name != DESCRIPTION:
        return loaded.description
    found = add_copies(folder, loaded.description, loaded.references, DESCRIPTION)
    if (folder / "run.json").is_file():
        write_run(folder, read_run(folder))
    return found


def about(folder: Path) -> About:
    """What the folder of a run tells a reader of its model."""
    record = read_run(folder)
    path = folder / "config.yaml"
    written: dict[str, Any] = dict(load(path)) if path.is_file() else {}
    without_test = any(NO_TEST in note for note in record.notes)  # test is dev, then
    return About(
        dataset=record.dataset,
        fingerprint=record.data_fingerprint,
        tags=record.tags,
        sentences=record.sentences,
        notes=record.notes,
        dev=_score(folder, record, "dev", record.dev),
        test=None if without_test else _score(folder, record, "test", record.test),
        epochs=record.epochs,
        best_epoch=record.best_epoch,
        recipe=record.recipe,
        settings=dict(written.get("recipe") or {}),
        device=record.device,
        parameters=record.parameters.total if record.parameters else None,
        cites=record.cites,
        text_only=record.text_only,
    )


def _score(folder: Path, record: RunRecord, split: str, scores: Scores | None) -> Score | None:
    """Scores with the interval that other sentences of the kind would give the same model."""
    if scores is None:
        return None
    path, low, high = folder / f"predictions.{split}.jsonl", None, None
    if path.is_file():
        runs = {record.seed: read_predictions(path)}
        both, _ = counts(runs, runs)
        used = both[:, both.any(axis=(0, 2))]
        shares = influence(used)[0]
        error = 0.0
        if len(shares) >= 10:
            error = 1.96 * float(shares.std(ddof=1)) / math.sqrt(len(shares))
        if error:  # nothing found, or everything: that tells nothing of the spread
            low, high = max(0.0, scores.f1 - error), min(100.0, scores.f1 + error)
    return Score(precision=scores.precision, recall=scores.recall, f1=scores.f1, low=low, high=high)
