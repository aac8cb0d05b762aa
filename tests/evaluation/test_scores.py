"""Our scores are seqeval's, on random tags, on every stored prediction and on real tweets."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import (
    classification_report,
    f1_score,
    precision_score,
    recall_score,
)
from seqeval.scheme import IOB2

from zoo.errors import DataError
from zoo.evaluation.predictions import read_predictions, score_predictions
from zoo.evaluation.scores import Scores, score
from zoo.tags import read_tags, write_tags
from zoo.types import Entity, ScoredEntity

REPOSITORY = Path(__file__).parents[2]
DATA = os.environ.get("ZOO_DATA")
TYPES = ("LOC", "MISC", "ORG", "PER")
TAGS = ("O", *(f"{prefix}-{name}" for prefix in "BI" for name in TYPES))

Tags = list[list[str]]


def assert_as_seqeval(ours: Scores, gold: Tags, predicted: Tags, strict: bool) -> None:
    """The same P, R and F1, overall and for every type that seqeval meets."""
    mode = {"mode": "strict", "scheme": IOB2} if strict else {}
    for name, metric in (
        ("precision", precision_score),
        ("recall", recall_score),
        ("f1", f1_score),
    ):
        theirs = metric(gold, predicted, zero_division=0, **mode)
        assert getattr(ours, name) == pytest.approx(100 * theirs, abs=1e-9), name
    if not ours.per_type:
        return  # seqeval's report fails where there is no entity at all
    report = classification_report(gold, predicted, output_dict=True, zero_division=0, **mode)
    for name, one in ours.per_type.items():
        # A type that is predicted but never wanted: seqeval's report counts it only sometimes.
        if one.gold:
            assert one.precision == pytest.approx(100 * report[name]["precision"], abs=1e-9), name
            assert one.recall == pytest.approx(100 * report[name]["recall"], abs=1e-9), name
            assert one.f1 == pytest.approx(100 * report[name]["f1-score"], abs=1e-9), name
            assert one.gold == report[name]["support"]


def read(tags: Tags, reading: str) -> list[list[Entity]]:
    return [list(read_tags(sentence, reading)) for sentence in tags]


def test_strict_equals_seqeval_on_1000_random_tag_sequences() -> None:
    rng = random.Random(7)
    gold, predicted = [], []
    for _ in range(1000):
        length = rng.randrange(1, 25)
        gold.append(rng.choices(TAGS, k=length))
        predicted.append([t if rng.random() < 0.7 else rng.choice(TAGS) for t in gold[-1]])
        ours = score(read(gold[-1:], "strict"), read(predicted[-1:], "strict"))
        strict = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
        theirs = f1_score(gold[-1:], predicted[-1:], **strict)
        assert ours.f1 == pytest.approx(100 * theirs, abs=1e-9), (gold[-1], predicted[-1])
    ours = score(read(gold, "strict"), read(predicted, "strict"))
    assert ours.correct > 1000
    assert_as_seqeval(ours, gold, predicted, strict=True)


def test_lenient_equals_seqeval_default_on_1000_random_tag_sequences() -> None:
    rng = random.Random(8)
    gold, predicted = [], []
    for _ in range(1000):
        gold.append(rng.choices(TAGS, k=rng.randrange(1, 25)))
        predicted.append([t if rng.random() < 0.7 else rng.choice(TAGS) for t in gold[-1]])
        ours = score(read(gold[-1:], "lenient"), read(predicted[-1:], "lenient"))
        theirs = f1_score(gold[-1:], predicted[-1:], zero_division=0)
        assert ours.f1 == pytest.approx(100 * theirs, abs=1e-9), (gold[-1], predicted[-1])
    ours = score(read(gold, "lenient"), read(predicted, "lenient"))
    assert_as_seqeval(ours, gold, predicted, strict=False)


@pytest.mark.skipif(DATA is None, reason="ZOO_DATA names no folder of real data")
def test_lenient_equals_seqeval_default_on_twitter2015_against_noise() -> None:
    assert DATA is not None
    text = (Path(DATA) / "twitter2015" / "test.txt").read_text(encoding="utf-8")
    gold = [
        [line.rsplit("\t", 1)[1] for line in block.split("\n") if "\t" in line]
        for block in text.strip().split("\n\n")
    ]
    assert len(gold) == 3257
    tags = sorted({tag for sentence in gold for tag in sentence})
    rng = random.Random(9)
    noised = [[t if rng.random() < 0.9 else rng.choice(tags) for t in row] for row in gold]
    ours = score(read(gold, "lenient"), read(noised, "lenient"))
    assert ours.gold == 5207
    assert sum(map(len, read(gold, "strict"))) == 5072
    assert 20 < ours.f1 < 90
    assert_as_seqeval(ours, gold, noised, strict=False)


STORED = sorted((REPOSITORY / "results" / "published").glob("*/runs/*/*/*/predictions.*.jsonl"))


@pytest.mark.parametrize(
    "path", [pytest.param(path, id="/".join(path.parts[-4:])) for path in STORED]
)
def test_strict_equals_seqeval_on_stored_predictions(path: Path) -> None:
    rows = read_predictions(path)
    gold, predicted = [], []
    for row in rows:
        found = [entity.entity for entity in row.predicted]
        length = 1 + max((entity.end for entity in (*row.gold, *found)), default=0)
        gold.append(list(write_tags(row.gold, length, "BIO")))
        predicted.append(list(write_tags(found, length, "BIO")))
    assert_as_seqeval(score_predictions(rows), gold, predicted, strict=True)


def test_counts_types_and_languages() -> None:
    per, loc, org = Entity(0, 2, "PER"), Entity(3, 4, "LOC"), Entity(5, 6, "ORG")
    wrong_type, wrong_end = per._replace(type="LOC"), org._replace(end=7)
    ours = score(
        [[per, loc], [org], [per], []],
        [[wrong_type, loc], [wrong_end], [ScoredEntity(*per, 0.5)], [loc]],
        ["en", "de", "en", None],
    )
    assert (ours.gold, ours.predicted, ours.correct) == (4, 5, 2)
    assert (ours.precision, ours.recall) == (40.0, 50.0)
    assert ours.f1 == pytest.approx(2 * 40 * 50 / 90)
    assert ours.per_type == {
        "LOC": Scores(1, 3, 1),
        "ORG": Scores(1, 1, 0),
        "PER": Scores(2, 1, 1),
    }
    assert list(ours.per_language) == ["de", "en"]
    english = ours.per_language["en"]
    assert (english.gold, english.predicted, english.correct) == (3, 3, 2)
    assert english.per_type["PER"] == Scores(2, 1, 1)


def test_a_language_without_entities_is_still_listed() -> None:
    assert score([[]], [[]], ["fr"]).per_language == {"fr": Scores(0, 0, 0)}


def test_nothing_divided_by_nothing_is_zero() -> None:
    ours = score([[], []], [[], []])
    assert (ours.precision, ours.recall, ours.f1) == (0.0, 0.0, 0.0)
    assert score([], []) == Scores(0, 0, 0)


def test_an_entity_given_twice_counts_once() -> None:
    entity = Entity(0, 1, "PER")
    assert score([[entity]], [[entity, entity]]).predicted == 1


@pytest.mark.parametrize(
    ("predicted", "languages"), [([[]], None), ([[], []], ["en"]), ([[], [], []], None)]
)
def test_lengths_must_agree(predicted: list[list[Entity]], languages: list[str] | None) -> None:
    with pytest.raises(DataError, match="2 gold sentences"):
        score([[], []], predicted, languages)


ENTITIES = st.lists(
    st.builds(
        lambda start, width, name: Entity(start, start + width, name),
        st.integers(0, 5),
        st.integers(1, 3),
        st.sampled_from(TYPES),
    ),
    max_size=4,
)
ROWS = st.lists(st.tuples(ENTITIES, ENTITIES, st.sampled_from(["en", "de", None])), max_size=6)


@given(ROWS)
def test_properties(rows: list[tuple[list[Entity], list[Entity], str | None]]) -> None:
    gold = [row[0] for row in rows]
    predicted = [row[1] for row in rows]
    languages = [row[2] for row in rows]
    ours = score(gold, predicted, languages)
    back = score(predicted, gold)
    assert (ours.precision, ours.recall, ours.f1) == (back.recall, back.precision, back.f1)
    low, high = sorted([ours.precision, ours.recall])
    assert 0 <= low <= ours.f1 + 1e-9 <= high + 2e-9 <= 100 + 2e-9
    for name in ("gold", "predicted", "correct"):
        assert getattr(ours, name) == sum(getattr(part, name) for part in ours.per_type.values())
    assert score(gold, gold).f1 == (100.0 if any(gold) else 0.0)
    assert Scores.from_dict(json.loads(json.dumps(ours.as_dict()))) == ours


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"gold": 1, "predicted": 1},
        {"gold": 1, "predicted": 1, "correct": 2},
        {"gold": 1, "predicted": 1, "correct": -1},
        {"gold": 1.0, "predicted": 1, "correct": 1},
        {"gold": True, "predicted": 1, "correct": 1},
        {"gold": 1, "predicted": 1, "correct": 1, "per_type": []},
        {"gold": 1, "predicted": 1, "correct": 1, "per_type": {"PER": {}}},
    ],
)
def test_broken_scores_are_refused(data: object) -> None:
    with pytest.raises(ValueError, match="scores"):
        Scores.from_dict(data)
