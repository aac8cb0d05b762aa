"""Stored predictions: writing, reading, and the scores that follow from them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from zoo.errors import DataError, RunError, first_problem
from zoo.evaluation.scores import Scores, score
from zoo.files import read_text, write_atomic
from zoo.types import Entity, Prediction, Sample, ScoredEntity

PARTS: dict[str, Callable[[Prediction, Entity], str | None]] = {
    "type": lambda _, entity: entity.type,
    "language": lambda prediction, _: prediction.language,
    "seen": lambda prediction, entity: (
        None
        if prediction.unseen is None
        else "unseen"
        if (entity.start, entity.end) in prediction.unseen
        else "seen"
    ),
    "width": lambda _, entity: ("1 word", "2 words", "3 or more words")[
        min(entity.end - entity.start, 3) - 1
    ],
}
"""What entities are told apart by: the name of the part that an entity, gold or predicted, belongs
to; None: to no part. Seen are entities whose words are an entity of the training split, too."""


class _Line(BaseModel):
    """One line of a predictions file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    id: str
    language: str | None = None
    group: int | None = None
    unseen: list[tuple[int, int]] | None = None
    gold: list[tuple[int, int, str]]
    predicted: list[tuple[int, int, str, float]]


def entity_names(samples: Iterable[Sample]) -> frozenset[tuple[str, ...]]:
    """The words of every entity of these samples (the training split), whatever its type."""
    return frozenset(
        sample.words[entity.start : entity.end] for sample in samples for entity in sample.entities
    )


def write_predictions(
    path: Path,
    samples: Sequence[Sample],
    predicted: Sequence[Sequence[ScoredEntity]],
    seen: frozenset[tuple[str, ...]] | None = None,
) -> None:
    """One JSON line a sample, in input order, without the sentence's text.

    Probabilities are rounded to six digits. What statistics need of a sample and can't be known
    from its entities is kept: its language, where it has one; ``group``, a number, where it shares
    its picture; and the spans of entities that training did not show.

    Args:
        seen: ``entity_names`` of the training split; None: the file will not say what is unseen.

    Raises:
        RunError: a probability is not a finite number; nothing is written.
        OSError: a picture can't be read.
    """
    lines, groups = [], _shared_pictures(samples)
    for sample, entities in zip(samples, predicted, strict=True):
        line: dict[str, Any] = {"id": sample.id}
        if sample.language is not None:
            line["language"] = sample.language
        if sample.id in groups:
            line["group"] = groups[sample.id]
        if seen is not None:
            spans = {each[:2] for each in (*sample.entities, *(e.entity for e in entities))}
            line["unseen"] = sorted(s for s in spans if sample.words[s[0] : s[1]] not in seen)
        line["gold"] = [list(entity) for entity in sample.entities]
        for each in entities:
            if not math.isfinite(each.score):
                raise RunError(
                    f"sentence {sample.id!r}: the probability of {list(each.entity)} is "
                    f"{float(each.score)}; lower the learning rate, or look for the division"
                )
        line["predicted"] = [[*e.entity, round(float(e.score), 6)] for e in entities]
        lines.append(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
    write_atomic(path, "".join(lines))


def _shared_pictures(samples: Sequence[Sample]) -> dict[str, int]:
    """By sample id, the number of its picture, for samples that share theirs with another."""
    pictures = {s.id: s.picture.digest() for s in samples if s.picture is not None}
    count = Counter(pictures.values())
    numbers = {digest: i for i, digest in enumerate(d for d, n in count.items() if n > 1)}
    return {id: numbers[digest] for id, digest in pictures.items() if digest in numbers}


def read_predictions(path: Path) -> list[Prediction]:
    """The predictions of a file, in its order. Raises DataError naming file and line."""
    answer: list[Prediction] = []
    seen: dict[str, int] = {}
    # Not splitlines(): an id may hold a character that Python, but not JSON, takes for a line end.
    lines = read_text(path).split("\n")
    if not lines[-1]:
        lines.pop()
    for number, text in enumerate(lines, start=1):
        try:
            line = _Line.model_validate_json(text)
        except ValidationError as error:
            raise DataError(
                f"{path}:{number}: {first_problem(error)}; make the file again"
            ) from None
        gold = tuple(Entity(*entity) for entity in line.gold)
        predicted = tuple(ScoredEntity(*entity) for entity in line.predicted)
        for entity in (*gold, *(found.entity for found in predicted)):
            if not 0 <= entity.start < entity.end:
                raise DataError(
                    f"{path}:{number}: {list(entity)} is no entity: "
                    "its end must be greater than its start; make the file again"
                )
        if line.id in seen:
            raise DataError(
                f"{path}:{number}: the id {line.id!r} stands in line {seen[line.id]} too; "
                "ids must be unique"
            )
        seen[line.id] = number
        unseen = None if line.unseen is None else frozenset(line.unseen)
        answer.append(Prediction(line.id, gold, predicted, line.language, line.group, unseen))
    return answer


def score_predictions(predictions: Sequence[Prediction]) -> Scores:
    """The scores that follow from stored predictions, in all their parts."""
    gold = [each.gold for each in predictions]
    found = [[scored.entity for scored in each.predicted] for each in predictions]
    whole = score(gold, found, [each.language for each in predictions])
    parts: dict[str, dict[str, Scores]] = {}
    for by in ("width", "seen"):
        count: dict[str, list[int]] = {}
        for each, predicted in zip(predictions, found, strict=True):
            wanted, unique = set(each.gold), set(predicted)
            for i, entities in enumerate((wanted, unique, wanted & unique)):
                for entity in entities:
                    name = PARTS[by](each, entity)
                    if name is not None:
                        count.setdefault(name, [0, 0, 0])[i] += 1
        if count:
            parts[by] = {name: Scores(g, p, c) for name, (g, p, c) in sorted(count.items())}
    return replace(whole, parts=parts)
