"""Exact-span micro precision, recall and F1, overall, per type and per language.

A predicted entity is correct when a gold entity of its sentence has the same boundaries and the
same type (Tjong Kim Sang & De Meulder, 2003, https://aclanthology.org/W03-0419). A gold entity a
decoder can't produce is a miss like any other. All figures are percent, 0 to 100.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from zoo.errors import DataError
from zoo.types import Entity, ScoredEntity


@dataclass(frozen=True, slots=True)
class Scores:
    """Counts of entities, and the percentages that follow from them.

    ``per_type`` and ``per_language`` hold the same for each type and each language; a language's
    scores have their types too.
    """

    gold: int
    predicted: int
    correct: int
    per_type: Mapping[str, Scores] = field(default_factory=dict)
    per_language: Mapping[str, Scores] = field(default_factory=dict)

    @property
    def precision(self) -> float:
        """Percent of the predicted entities that are correct; 0 where nothing is predicted."""
        return 100 * self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Percent of the gold entities that are found; 0 where there is none."""
        return 100 * self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, in percent; 0 where both are."""
        total = self.gold + self.predicted
        return 200 * self.correct / total if total else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the counts and, for whoever reads the file, the percentages."""
        answer: dict[str, Any] = {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "gold": self.gold,
            "predicted": self.predicted,
            "correct": self.correct,
        }
        for name, parts in (("per_type", self.per_type), ("per_language", self.per_language)):
            if parts:
                answer[name] = {key: part.as_dict() for key, part in parts.items()}
        return answer

    @classmethod
    def from_dict(cls, data: Any) -> Scores:
        """Back from ``as_dict``, by the counts alone. Raises ValueError where one is missing."""
        if not isinstance(data, Mapping):
            raise ValueError(f"scores must be a mapping, not {type(data).__name__}")
        counts: dict[str, int] = {}
        for name in ("gold", "predicted", "correct"):
            count = data.get(name)
            if type(count) is not int or count < 0:
                raise ValueError(f"scores need a count `{name}`, 0 or more, not {count!r}")
            counts[name] = count
        if counts["correct"] > min(counts.values()):
            raise ValueError("scores can't have more correct than gold or predicted entities")
        parts: dict[str, dict[str, Scores]] = {}
        for name in ("per_type", "per_language"):
            part = data.get(name, {})
            if not isinstance(part, Mapping):
                raise ValueError(f"`{name}` of scores must be a mapping, not {part!r}")
            parts[name] = {key: cls.from_dict(value) for key, value in part.items()}
        return cls(**counts, per_type=parts["per_type"], per_language=parts["per_language"])


Found = tuple[int, int, int, str]
"""(sentence, start, end, type): an entity in its place."""


def score(
    gold: Sequence[Sequence[Entity]],
    predicted: Sequence[Sequence[Entity | ScoredEntity]],
    languages: Sequence[str | None] | None = None,
) -> Scores:
    """Scores of predictions, sentence by sentence in the same order.

    An entity given twice in one sentence counts once. ``languages`` names each sentence's
    language; sentences without one enter the overall scores only.

    Raises:
        DataError: the sequences differ in length.
    """
    languages = [None] * len(gold) if languages is None else languages
    if not len(gold) == len(predicted) == len(languages):
        raise DataError(
            f"can't score: {len(gold)} gold sentences, {len(predicted)} predicted, "
            f"{len(languages)} languages; there must be one of each a sentence"
        )
    wanted = _in_place(gold)
    found = _in_place(predicted)
    spoken = sorted({language for language in languages if language is not None})
    per_language = {
        language: _count(
            {entity for entity in wanted if languages[entity[0]] == language},
            {entity for entity in found if languages[entity[0]] == language},
        )
        for language in spoken
    }
    return _count(wanted, found, per_language)


def _in_place(sentences: Sequence[Sequence[Entity | ScoredEntity]]) -> set[Found]:
    return {(i, e[0], e[1], e[2]) for i, sentence in enumerate(sentences) for e in sentence}


def _count(
    wanted: set[Found], found: set[Found], per_language: Mapping[str, Scores] | None = None
) -> Scores:
    correct = wanted & found
    gold_n, found_n, correct_n = (
        Counter(map(itemgetter(3), part)) for part in (wanted, found, correct)
    )
    per_type = {
        label: Scores(gold_n[label], found_n[label], correct_n[label])
        for label in sorted(gold_n | found_n)
    }
    return Scores(len(wanted), len(found), len(correct), per_type, per_language or {})
