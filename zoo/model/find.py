"""Which stored run is meant: a folder, the beginning of an id, or ``system@dataset``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from zoo.errors import ConfigError, near
from zoo.model.description import DESCRIPTION
from zoo.results.listing import LEAST_ID, Entry, entries
from zoo.results.record import RunRecord, read_run
from zoo.results.store import Store


class Chosen(NamedTuple):
    """A run's folder and, where it was chosen among several, why: one line."""

    folder: Path
    why: str = ""


def find_run(name: str, results: Path) -> Chosen | None:
    """The run that a name means; None where it names none of the stored ones.

    ``system@dataset`` is the run with the best dev F1 (of several the one with the lowest seed)
    among those of the system as the registry has it, without overrides.

    Raises:
        DataError: the record of a run that is meant can't be read.
        ConfigError: a system or dataset of which no run is stored, runs on different data, or an
            id that several runs begin with.
    """
    if not name.strip():
        raise ConfigError("no run is named; give its folder, its id, or SYSTEM@DATASET")
    if Path(name).is_dir():
        return Chosen(Path(name))
    system, at, dataset = name.rpartition("@")
    if not at:
        return _by_id(name, results)
    if "/" in system:
        raise ConfigError(
            f"{name}: no folder, and no system is called so; a model on the hub is named "
            f"OWNER/NAME, and its revision given in Python: zoo.load({system!r}, "
            f"revision={dataset!r})"
        )
    runs = _stored(results, lambda each: (each.system, each.dataset) == (system, dataset))
    for what, asked, known in (
        ("system", system, {record.system for _, record in runs}),
        ("dataset", dataset, {r.dataset for _, r in runs if r.system == system}),
    ):
        if asked not in known:
            raise ConfigError(
                f"{name}: {results} holds no run of {what} `{asked}`{near(asked, known)}"
            )
    found = [each for each in runs if (each[1].system, each[1].dataset) == (system, dataset)]
    found = [each for each in found if not each[1].overrides] or found
    if len(prints := {record.data_fingerprint for _, record in found}) > 1:
        ids = ", ".join(record.id for _, record in found)
        raise ConfigError(
            f"{name}: its runs were made on {len(prints)} versions of the data, whose dev scores "
            f"can't be compared; give the id of one: {ids}"
        )
    kept = [each for each in found if (each[0] / DESCRIPTION).is_file()]
    if not kept:
        raise ConfigError(
            f"{name}: none of its {len(found)} runs has its weights (they were made with "
            "--keep-weights none, or by an older version); run it again with --rerun always"
        )
    folder, best = min(kept, key=lambda each: (-_dev(each[1]), each[1].seed, each[1].id))
    why = f"{system} on {dataset}, seed {best.seed}, dev F1 {_dev(best):.2f}, run {best.id}"
    if len(found) > 1:
        why += f": the best on dev of {len(kept)} runs"
    if len(kept) < len(found):
        why += f" ({len(found) - len(kept)} more have no weights)"
    return Chosen(folder, why)


def _by_id(name: str, results: Path) -> Chosen | None:
    if "/" in name or not results.is_dir():
        return None
    stored = _stored(results, lambda each: each.id.startswith(name))
    found = [each for each in stored if each[1].id.startswith(name)]
    if found and len(name) < LEAST_ID:
        raise ConfigError(
            f"{name}: of a run's id give {LEAST_ID} characters or more, as in "
            f"{found[0][1].id[:LEAST_ID]}"
        )
    if len(found) > 1:
        ids = ", ".join(record.id for _, record in found)
        raise ConfigError(f"{name}: several runs' ids begin so: {ids}; give more of it")
    return Chosen(found[0][0]) if found else None


def _stored(results: Path, meant: Callable[[Entry], bool]) -> list[tuple[Path, RunRecord]]:
    """The complete runs. Raises DataError where the record of one that is meant is broken: without
    it another run would be chosen."""
    if not results.is_dir():
        raise ConfigError(f"{results}: no such folder with stored runs; give --results DIR")
    found = list(entries(Store(results)))
    for entry in found:
        if entry.state == "broken" and meant(entry):
            read_run(entry.folder)  # says what is wrong with it
    return [
        (entry.folder, entry.record)
        for entry in found
        if entry.state == "complete" and entry.record is not None
    ]


def _dev(record: RunRecord) -> float:
    return record.dev.f1 if record.dev is not None else 0.0
