"""Datasets as runs need them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.data.check import notes, untrainable
from zoo.data.fingerprint import fingerprint
from zoo.data.pictures import verify_pictures
from zoo.data.reading import read_data, reader
from zoo.errors import ConfigError, DataError
from zoo.identity import digest
from zoo.runs.environment import cache_folder
from zoo.schema import PartSpec
from zoo.tags import Reading
from zoo.types import Splits

if TYPE_CHECKING:
    from zoo.build import Learnt
    from zoo.config.specs import Plan


BARS = ("text_only_ceiling", "grounding_bar")
"""What a reader of made data may state of its splits; see :class:`zoo.parts.Reader`."""


@dataclass(frozen=True)
class Dataset:
    """A dataset as read, with what its reader states about it."""

    name: str
    splits: Splits
    fingerprint: str
    tags: Reading | None
    ceiling: float | None
    bar: float | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def learnt(self) -> Learnt:
        """What parts learn from the training split, found out once for all systems."""
        from zoo.build import Learnt  # here, because it imports torch

        return Learnt.of(self.splits["train"])


def load_datasets(
    plans: Sequence[Plan], root: Path, known: Mapping[str, Dataset] | None = None
) -> dict[str, Dataset]:
    """Read each dataset that is planned for, once; see :func:`dataset_key`.

    Args:
        known: those that were read before, by their key.

    Raises:
        DataError: what is wrong in any of them.
    """
    datasets: dict[str, Dataset] = {}
    problems: list[str] = []
    for key, plan in {dataset_key(plan): plan for plan in plans}.items():
        try:
            datasets[key] = (known or {}).get(key) or load_dataset(plan.dataset, plan.reader, root)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(*problems)
    return datasets


def check_pictures(datasets: Iterable[Dataset]) -> None:
    """Verify that every picture can be decoded, each once. Raises DataError."""
    problems = [
        f"dataset {data.name}: {problem}"
        for data in datasets
        for problem in verify_pictures(data.splits, cache_folder())
    ]
    if problems:
        raise DataError(*problems)


def dataset_key(plan: Plan) -> str:
    """The dataset by name and settings: an ablation may change them."""
    return key_of(plan.dataset, plan.reader)


def key_of(name: str, part: PartSpec) -> str:
    """See :func:`dataset_key`."""
    return f"{name} {digest(part.resolved())}"


def load_dataset(name: str, part: PartSpec, root: Path) -> Dataset:
    """Read a dataset. Raises DataError with everything that is wrong in it."""
    try:
        splits = read_data(part, root)
        if problems := untrainable(splits):
            raise DataError(*problems)
        made = reader(part, root)
        ceiling, bar = (getattr(made, each, None) for each in BARS)
        return Dataset(
            name,
            splits,
            fingerprint(splits, cache_folder()),
            part.settings.get("tags"),
            100 * ceiling() if ceiling else None,
            100 * bar() if bar else None,
            tuple(notes(splits)),
        )
    except (DataError, ConfigError) as error:
        raise DataError(*(f"dataset {name}: {problem}" for problem in error.problems)) from error
