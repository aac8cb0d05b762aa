"""Stored predictions: writing, reading, and the scores that follow from them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from zoo.errors import DataError, RunError, first_problem
from zoo.evaluation.scores import Scores, score
from zoo.files import read_text, write_atomic
from zoo.types import Entity, Prediction, Sample, ScoredEntity


class _Line(BaseModel):
    """One line of a predictions file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    id: str
    language: str | None = None
    gold: list[tuple[int, int, str]]
    predicted: list[tuple[int, int, str, float]]


def write_predictions(
    path: Path, samples: Sequence[Sample], predicted: Sequence[Sequence[ScoredEntity]]
) -> None:
    """One JSON line a sample, in input order, without the sentence's text.

    Probabilities are rounded to six digits. A sample's language, where it has one, is kept, so
    that scores per language follow from the file.

    Raises:
        RunError: a probability is not a finite number; nothing is written.
    """
    lines = []
    for sample, entities in zip(samples, predicted, strict=True):
        line: dict[str, Any] = {"id": sample.id}
        if sample.language is not None:
            line["language"] = sample.language
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
        answer.append(Prediction(line.id, gold, predicted, line.language))
    return answer


def score_predictions(predictions: Sequence[Prediction]) -> Scores:
    """The scores that follow from stored predictions."""
    return score(
        [prediction.gold for prediction in predictions],
        [prediction.predicted for prediction in predictions],
        [prediction.language for prediction in predictions],
    )
