"""Scoring a test set, against seqeval.

The gold tags are Twitter-2015's; the predictions are the gold with entities lost, retyped, cut and
added, as legal BIO; all tags come from one vocabulary, as a tagger's do. seqeval reads tags alone;
ours is timed from entities, which is what the decoders answer, and from tags too.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence

from seqeval.metrics import classification_report, f1_score
from seqeval.scheme import IOB2

from benchmarks.common import Result, Settings, alternate, dataset, ratio, registry, row
from zoo.evaluation.scores import score
from zoo.tags import Reading, read_all, write_tags
from zoo.types import Entity

SENTENCES = 3257
"""Of the test split of Twitter-2015."""


def noised(
    entities: Sequence[Entity], length: int, types: list[str], rng: random.Random
) -> list[Entity]:
    """What a fair system might have found; no overlaps."""
    found, end = [], 0
    for entity in sorted(entities):
        luck = rng.random()
        if luck < 0.1:
            continue
        if luck < 0.2:
            entity = entity._replace(type=rng.choice(types))
        elif luck < 0.25:
            entity = entity._replace(end=entity.start + 1)
        if entity.start - end > 2 and luck > 0.9:
            found.append(Entity(end + 1, end + 2, rng.choice(types)))
        found.append(entity)
        end = entity.end
    return found


def run(settings: Settings) -> Result:
    splits, name = dataset(registry(), "twitter2015", settings)
    samples = splits["test"]
    samples = (samples * (SENTENCES // len(samples) + 1))[:SENTENCES]
    types = sorted({entity.type for sample in samples for entity in sample.entities})
    rng = random.Random(1)
    gold = [list(sample.entities) for sample in samples]
    lengths = [len(sample.words) for sample in samples]
    predicted = [noised(e, n, types, rng) for e, n in zip(gold, lengths, strict=True)]
    gold_tags, predicted_tags = (
        [list(map(sys.intern, write_tags(e, n))) for e, n in zip(side, lengths, strict=True)]
        for side in (gold, predicted)
    )

    def from_entities() -> float:
        return score(gold, predicted).f1

    def from_tags(reading: Reading) -> float:
        return score(read_all(gold_tags, reading), read_all(predicted_tags, reading)).f1

    def strict_f1() -> float:
        return 100 * float(f1_score(gold_tags, predicted_tags, mode="strict", scheme=IOB2))

    def strict_report() -> float:
        report = classification_report(
            gold_tags, predicted_tags, mode="strict", scheme=IOB2, output_dict=True
        )
        return 100 * float(report["micro avg"]["f1-score"])

    def default_f1() -> float:
        return 100 * float(f1_score(gold_tags, predicted_tags))

    sides = {
        "zoo, from entities": from_entities,
        "zoo, from tags, strict": lambda: from_tags("strict"),
        "zoo, from tags, lenient": lambda: from_tags("lenient"),
        "seqeval strict, F1 alone": strict_f1,
        "seqeval strict, report by type": strict_report,
        "seqeval default, F1 alone": default_f1,
    }
    answers = {side: measure() for side, measure in sides.items()}
    for side, answer in answers.items():
        assert abs(answer - from_entities()) < 1e-9, f"{side} has another F1"
    times = alternate(sides, settings.repeats, settings.calls)
    entities, strict, lenient, f1, report, default = times.values()
    return Result(
        "Scoring, against seqeval",
        f"{name}: {len(gold)} sentences, {sum(map(len, gold))} gold entities, "
        f"{sum(map(len, predicted))} predicted, F1 {from_entities():.2f}",
        "sentences",
        [row(side, timing, len(gold)) for side, timing in times.items()],
        [
            ratio("seqeval strict F1 / zoo, from entities", f1, entities, at_least=10),
            ratio("seqeval strict F1 / zoo, from tags", f1, strict, at_least=10),
            ratio("seqeval strict report / zoo, from tags", report, strict),
            ratio("seqeval default F1 / zoo, from entities", default, entities, at_least=10),
            ratio("seqeval default F1 / zoo, from tags", default, lenient),
        ],
        ["zoo's time is for P, R and F1, overall and by type. All F1 were equal."],
    )
