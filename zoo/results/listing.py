"""What lies in a results folder, run by run: what ``zoo runs`` lists and deletes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zoo.errors import DataError
from zoo.files import abandoned
from zoo.results.record import RunRecord, read_run
from zoo.results.store import Store, run_name

State = Literal["complete", "external", "incomplete", "checkpoint", "broken"]
LEAST_ID = 6
"""Characters of a run's or variant's id that name it."""
STATES: tuple[State, ...] = ("complete", "external", "incomplete", "checkpoint", "broken")


@dataclass(frozen=True)
class Entry:
    """A folder that belongs to a run.

    Args:
        seed: as its folder says; None where this is no name of a run.
        state: ``complete``; ``external``, of which the predictions were made elsewhere;
            ``incomplete``: being written, or left by a process of which this host knows nothing;
            ``checkpoint``: what an engine of a plug-in keeps; ``broken``: its run.json can't be
            read.
        record: of a run that is complete.
        size: of its files, in bytes.
    """

    folder: Path
    system: str
    dataset: str
    seed: int | None
    id: str
    state: State
    record: RunRecord | None
    size: int

    @property
    def variant(self) -> str | None:
        return self.record.variant if self.record else None

    @property
    def overrides(self) -> Sequence[str]:
        return self.record.overrides if self.record else ()


def entries(store: Store) -> Iterator[Entry]:
    """Every folder that belongs to a run, sorted by path."""
    for folder in sorted(store.root.glob("runs/*/*/*/")):
        name = folder.name
        seed, _, id = run_name(name).partition("-")
        state: State = "complete"
        record = None
        if name.startswith("."):
            state = "checkpoint" if name.endswith(".checkpoint") else "incomplete"
        elif not (folder / "run.json").is_file():
            state = "incomplete"
        else:
            try:
                record = read_run(folder)
                state = "external" if record.kind == "external" else "complete"
            except DataError:
                state = "broken"
        yield Entry(
            folder,
            folder.parent.parent.name,
            folder.parent.name,
            int(seed) if seed.isdecimal() else None,
            id,
            state,
            record,
            sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        )


def chosen(
    found: Sequence[Entry],
    ids: Sequence[str] = (),
    systems: Sequence[str] = (),
    datasets: Sequence[str] = (),
    seeds: Sequence[int] = (),
    states: Sequence[str] = (),
) -> list[Entry]:
    """The entries that fit every filter given; an id is the beginning of a run's or a variant's.

    Raises:
        DataError: an id, system, dataset or seed of which nothing is stored.
    """
    kinds: tuple[tuple[str, Sequence[Any], Callable[[Entry, Any], bool]], ...] = (
        ("", ids, lambda entry, id: entry.id.startswith(id) or _variant(entry, id)),
        ("--system ", systems, lambda entry, name: entry.system == name),
        ("--dataset ", datasets, lambda entry, name: entry.dataset == name),
        ("--seed ", seeds, lambda entry, seed: entry.seed == seed),
    )
    problems = [
        f"`{id}`: too short to name a run; give {LEAST_ID} characters of its id or more"
        for id in ids
        if len(id) < LEAST_ID
    ]
    fitting = list(found)
    for option, wanted, fits in kinds:
        for value in wanted if not problems else ():
            if not any(fits(entry, value) for entry in found):
                problems.append(f"{option}{value}: no stored run; `zoo runs` lists all")
        if wanted:
            fitting = [entry for entry in fitting if any(fits(entry, value) for value in wanted)]
    if found and not fitting and not problems:
        problems = ["no stored run is all that is asked for; `zoo runs` lists all"]
    if problems:
        raise DataError(*problems)
    return [entry for entry in fitting if not states or entry.state in states]


def _variant(entry: Entry, id: str) -> bool:
    return entry.variant is not None and entry.variant.startswith(id)


def removable(found: Sequence[Entry], ids: Sequence[str], states: Sequence[str]) -> list[Entry]:
    """Those of the entries that may be deleted.

    A checkpoint must be named, by its state or its run's id; what a process may still be writing
    must be named by its state.
    """
    return [entry for entry in found if entry.state in states or _free(entry, ids)]


def _free(entry: Entry, ids: Sequence[str]) -> bool:
    name = entry.folder.name
    if entry.state == "checkpoint":
        return any(entry.id.startswith(id) for id in ids)
    return not name.startswith(".") or abandoned(name)
