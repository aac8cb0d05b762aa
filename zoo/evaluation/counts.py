"""What statistics need of stored predictions: counts of entities, by seed and sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from zoo.errors import DataError
from zoo.evaluation.predictions import PARTS
from zoo.types import Entity, Prediction

T = TypeVar("T")

Runs = Mapping[int, Sequence[Prediction]]
"""The predictions of one system on one test set, by seed."""

Counts = NDArray[np.float64]
"""(seeds, sentences, 3): how many entities are gold, predicted and correct."""

Keep = Callable[[Prediction, Entity], bool]
"""Whether an entity, gold or predicted, is counted."""


def counts(
    *systems: Runs, keep: Keep | None = None, groups: Mapping[str, Hashable] | None = None
) -> list[Counts]:
    """The counts of each system, seeds in ascending order; sentences in the same order for all.

    Sentences that share a picture are no independent samples: they are added up and count as one.

    Args:
        keep: which entities are counted; all by default. See ``part``.
        groups: by sentence id, what sentences share; by default the groups that the predictions
            hold. A sentence without a group stands alone.

    Raises:
        DataError: the sentences or their gold entities differ between any two runs.
    """
    gold = {each.id: frozenset(each.gold) for runs in systems for each in next(iter(runs.values()))}
    answer = [
        np.array(
            [_count(runs[seed], gold, keep) for seed in sorted(runs)], dtype=np.float64
        ).reshape(len(runs), len(gold), 3)
        for runs in systems
    ]
    groups = _groups(systems) if groups is None else groups
    if not groups:
        return answer
    shared = [(1, groups[id]) if id in groups else (0, id) for id in gold]
    place = {key: i for i, key in enumerate(dict.fromkeys(shared))}
    added = [np.zeros((len(each), len(place), 3)) for each in answer]
    for total, each in zip(added, answer, strict=True):
        for i, key in enumerate(shared):
            total[:, place[key]] += each[:, i]
    return added


def _groups(systems: Sequence[Runs]) -> dict[str, int]:
    """By sentence id, the groups of the first run that has any; runs may be older than groups."""
    for predictions in chain.from_iterable(runs.values() for runs in systems):
        if groups := {each.id: each.group for each in predictions if each.group is not None}:
            return groups
    return {}


def _count(
    predictions: Sequence[Prediction], gold: Mapping[str, frozenset[Entity]], keep: Keep | None
) -> list[tuple[int, int, int]]:
    found: dict[str, tuple[int, int, int]] = {}
    for each in predictions:
        if each.id not in gold:
            raise DataError(f"can't compare: the sentence `{each.id}` is in one of the two only")
        wanted = gold[each.id]
        if wanted != frozenset(each.gold):
            raise DataError(
                f"can't compare: the gold entities of the sentence `{each.id}` differ; the two "
                "were made from different data"
            )
        entities = {scored.entity for scored in each.predicted}
        if keep is not None:
            wanted = frozenset(entity for entity in wanted if keep(each, entity))
            entities = {entity for entity in entities if keep(each, entity)}
        found[each.id] = len(wanted), len(entities), len(entities & wanted)
    for id in gold:
        if id not in found:
            raise DataError(f"can't compare: the sentence `{id}` is in one of the two only")
    return [found[id] for id in gold]


def part(by: str, name: str) -> Keep:
    """Entities of one part: of a type, a language, a width; or seen in training, or not.

    ``by`` is a key of ``PARTS``.
    """
    part_of = PARTS[by]
    return lambda prediction, entity: part_of(prediction, entity) == name


def parts(systems: Sequence[Runs], by: str) -> list[str]:
    """The names of the parts that the gold entities have; empty where no file says.

    Raises:
        DataError: the files do not say the same of an entity.
    """
    said: dict[tuple[str, Entity], str | None] = {}
    for predictions in chain.from_iterable(runs.values() for runs in systems):
        for each in predictions:
            for entity in each.gold:
                name = PARTS[by](each, entity)
                if said.setdefault((each.id, entity), name) != name:
                    raise DataError(
                        f"--by {by}: of the entity {list(entity)} of `{each.id}` one file says "
                        f"`{said[each.id, entity] or 'nothing'}` and another `{name or 'nothing'}`"
                    )
    return sorted({name for name in said.values() if name is not None})


@dataclass(frozen=True, slots=True)
class Flips:
    """What only one of two systems gets right: in more than half of its seeds, while the other
    does so in less than half of its own.

    Args:
        entities: gold entities that only A finds, and those that only B finds.
        sentences: ids of the sentences that only A gets wholly right (every gold entity and no
            other), and those that only B does.
    """

    entities: tuple[list[tuple[str, Entity]], list[tuple[str, Entity]]]
    sentences: tuple[list[str], list[str]]


def flips(a: Runs, b: Runs) -> Flips:
    """Compare two systems entity by entity and sentence by sentence.

    Raises:
        DataError: as ``counts``.
    """
    counts(a, b)
    (ours, whole), (theirs, wholly) = _often(a), _often(b)

    def only(one: Mapping[T, int], other: Mapping[T, int], seeds: int, others: int) -> list[T]:
        return [e for e, n in one.items() if 2 * n > seeds and 2 * other[e] < others]

    m, n = len(a), len(b)
    return Flips(
        (only(ours, theirs, m, n), only(theirs, ours, n, m)),
        (only(whole, wholly, m, n), only(wholly, whole, n, m)),
    )


def _often(runs: Runs) -> tuple[dict[tuple[str, Entity], int], dict[str, int]]:
    """In how many seeds each gold entity is found, and each sentence is wholly right."""
    entities: dict[tuple[str, Entity], int] = defaultdict(int)
    sentences: dict[str, int] = defaultdict(int)
    for each in chain.from_iterable(runs.values()):
        found, gold = {scored.entity for scored in each.predicted}, set(each.gold)
        for entity in sorted(gold):
            entities[each.id, entity] += entity in found
        sentences[each.id] += found == gold
    return entities, sentences
