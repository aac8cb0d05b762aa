"""Exact-span micro precision, recall and F1, overall, per type and per language.

A predicted entity is correct when a gold entity of its sentence has the same boundaries and the
same type (Tjong Kim Sang & De Meulder, 2003, https://aclanthology.org/W03-0419). A gold entity a
decoder can't produce is a miss like any other. All figures are percent, 0 to 100.

A further metric is one entry in :data:`METRICS`; a plug-in adds it in one line::

    METRICS["sentences"] = lambda gold, found: 100 * mean(map(eq, map(set, gold), map(set, found)))
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any

from zoo.errors import ConfigError, DataError
from zoo.types import Entity, ScoredEntity


@dataclass(frozen=True, slots=True)
class Scores:
    """Counts of entities, and the percentages that follow from them.

    ``per_type`` and ``per_language`` hold the same for each type and each language; a language's
    scores have their types too. ``metrics`` holds the values of those entries of :data:`METRICS`
    that don't follow from the counts. ``parts`` holds scores by width in words and by whether the
    name was seen in training, where they are computed from stored predictions.
    """

    gold: int
    predicted: int
    correct: int
    per_type: Mapping[str, Scores] = field(default_factory=dict)
    per_language: Mapping[str, Scores] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict, compare=False)
    parts: Mapping[str, Mapping[str, Scores]] = field(default_factory=dict, compare=False)

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
            **self.metrics,
            "gold": self.gold,
            "predicted": self.predicted,
            "correct": self.correct,
        }
        for name, parts in (("per_type", self.per_type), ("per_language", self.per_language)):
            if parts:
                answer[name] = {key: part.as_dict() for key, part in parts.items()}
        if self.parts:
            answer["parts"] = {
                by: {key: part.as_dict() for key, part in parts.items()}
                for by, parts in self.parts.items()
            }
        return answer

    @classmethod
    def from_dict(cls, data: Any) -> Scores:
        """Back from ``as_dict``; percentages follow from the counts anew.

        Raises:
            ValueError: a count is missing, or a metric is no finite number.
        """
        # Called for every type of every stored run, so the usual case is made quick.
        if type(data) is not dict:
            raise ValueError(f"scores must be a mapping, not {type(data).__name__}")
        counts: list[Any] = [data.get(name) for name in _COUNTS]
        for name, count in zip(_COUNTS, counts, strict=True):
            if type(count) is not int or count < 0:
                raise ValueError(f"scores need a count `{name}`, 0 or more, not {count!r}")
        if counts[2] > min(counts):
            raise ValueError("scores can't have more correct than gold or predicted entities")
        parts = list[dict[str, Scores]]()
        for name in ("per_type", "per_language"):
            part = data.get(name, _NONE)
            if type(part) is not dict:
                raise ValueError(f"`{name}` of scores must be a mapping, not {part!r}")
            parts.append({key: cls.from_dict(value) for key, value in part.items()})
        metrics = {name: data[name] for name in data if name not in _KEYS}
        for name, value in metrics.items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"`{name}` of scores must be a finite number, not {value!r}")
        gold, predicted, correct = counts
        per_type, per_language = parts
        further = {} if "parts" not in data else cls._parts(data["parts"])
        return cls(gold, predicted, correct, per_type, per_language, metrics, further)

    @classmethod
    def _parts(cls, data: Any) -> dict[str, dict[str, Scores]]:
        if type(data) is not dict or not all(type(part) is dict for part in data.values()):
            raise ValueError(f"`parts` of scores must be a mapping of mappings, not {data!r}")
        return {
            by: {key: cls.from_dict(value) for key, value in part.items()}
            for by, part in data.items()
        }


Sentences = Sequence[Sequence[Entity]]
Metric = Callable[[Sentences, Sentences], float]

METRICS: dict[str, Metric] = {
    "precision": lambda gold, predicted: _exact(gold, predicted).precision,
    "recall": lambda gold, predicted: _exact(gold, predicted).recall,
    "f1": lambda gold, predicted: _exact(gold, predicted).f1,
}
"""Every metric by its name, which is also its key in JSON and CSV and its column in tables: a
function of the gold and the predicted entities, sentence by sentence in the same order."""

EXACT = dict(METRICS)
"""Those that follow from the counts, and are therefore there for each type and language too."""

_COUNTS = ("gold", "predicted", "correct")
_KEYS = {*EXACT, *_COUNTS, "per_type", "per_language", "parts"}
_NONE: dict[str, Any] = {}


def further_metrics(
    gold: Sequence[Sequence[Entity]], predicted: Sequence[Sequence[Entity | ScoredEntity]]
) -> dict[str, float]:
    """The values of all metrics but the exact ones.

    Raises:
        ConfigError: a metric has a name that is taken, raises an exception, or returns anything
            but a finite number.
    """
    changed = [name for name, metric in EXACT.items() if METRICS.get(name) is not metric]
    for name in changed or METRICS.keys() & (_KEYS - EXACT.keys()):
        raise ConfigError(f"METRICS[{name!r}]: the name is taken; choose another")
    if len(METRICS) == len(EXACT):
        return {}
    plain = [[Entity(*entity[:3]) for entity in sentence] for sentence in predicted]
    values: dict[str, float] = {}
    for name, metric in METRICS.items():
        if name in EXACT:
            continue
        try:
            values[name] = float(metric(gold, plain))
        except Exception as error:  # whatever the metric's own code raises
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ConfigError(f"METRICS[{name!r}] fails: {reason}; correct its function") from error
        if not math.isfinite(values[name]):
            raise ConfigError(f"METRICS[{name!r}] returns {values[name]}, not a finite number")
    return values


def score(
    gold: Sequence[Sequence[Entity]],
    predicted: Sequence[Sequence[Entity | ScoredEntity]],
    languages: Sequence[str | None] | None = None,
) -> Scores:
    """Scores of predictions, sentence by sentence in the same order.

    An entity given twice in one sentence counts once. ``languages`` names each sentence's
    language; sentences without one enter the overall scores only. Metrics beyond precision, recall
    and F1 are computed of the whole.

    Raises:
        DataError: the sequences differ in length.
        ConfigError: see :func:`further_metrics`.
    """
    languages = [None] * len(gold) if languages is None else languages
    if not len(gold) == len(predicted) == len(languages):
        raise DataError(
            f"can't score: {len(gold)} gold sentences, {len(predicted)} predicted, "
            f"{len(languages)} languages; there must be one of each a sentence"
        )
    per_language = {}
    for spoken in sorted({language for language in languages if language is not None}):
        own = [language == spoken for language in languages]
        per_language[spoken] = _exact(list(compress(gold, own)), list(compress(predicted, own)))
    metrics = further_metrics(gold, predicted)
    return replace(_exact(gold, predicted), per_language=per_language, metrics=metrics)


def _exact(
    gold: Sequence[Sequence[Entity]], predicted: Sequence[Sequence[Entity | ScoredEntity]]
) -> Scores:
    """The counts of a metric of exact spans, in total and by type."""
    wanted, found, correct = list[str](), list[str](), list[str]()
    for golden, answers in zip(gold, predicted, strict=True):
        if not golden and not answers:
            continue
        left, right = {entity[:3] for entity in golden}, {entity[:3] for entity in answers}
        wanted += [entity[2] for entity in left]
        found += [entity[2] for entity in right]
        correct += [entity[2] for entity in left & right]
    gold_n, found_n, correct_n = Counter(wanted), Counter(found), Counter(correct)
    per_type = {
        label: Scores(gold_n[label], found_n[label], correct_n[label])
        for label in sorted(gold_n | found_n)
    }
    return Scores(len(wanted), len(found), len(correct), per_type)
