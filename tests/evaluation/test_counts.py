"""Counts of entities by seed and sentence, their filters, and what only one system gets right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from zoo.errors import DataError
from zoo.evaluation.counts import counts, flips, part, parts
from zoo.evaluation.predictions import score_predictions
from zoo.types import Entity, Prediction, ScoredEntity

PER, LOC, ORG = Entity(0, 1, "PER"), Entity(2, 4, "LOC"), Entity(5, 8, "ORG")


def sentence(id: str, gold: list[Entity], found: list[Entity], language: str = "en") -> Prediction:
    return Prediction(id, tuple(gold), tuple(ScoredEntity(*e, 0.5) for e in found), language)


ONE = [
    sentence("a", [PER, LOC], [PER, ORG]),
    sentence("b", [ORG], [ORG, ORG], "de"),
    sentence("c", [], []),
]
TWO = [
    sentence("c", [], [LOC]),
    sentence("b", [ORG], [], "de"),
    sentence("a", [LOC, PER], [LOC, PER]),
]


def test_by_seed_and_sentence() -> None:
    (found,) = counts({2: TWO, 1: ONE})
    assert found.tolist() == [  # sentences stand as the first run given has them
        [[0, 0, 0], [1, 1, 1], [2, 2, 1]],
        [[0, 1, 0], [1, 0, 0], [2, 2, 2]],
    ]
    left, right = counts({1: ONE}, {1: TWO, 2: ONE})
    assert left.shape == (1, 3, 3)
    assert (right[1] == left[0]).all(), "the same sentences in the same place"


@pytest.mark.parametrize("name", ["PER", "LOC", "ORG", "none"])
def test_types_are_those_of_the_scores(name: str) -> None:
    for run in (ONE, TWO):
        (found,) = counts({1: run}, keep=part("type", name))
        scores = score_predictions(run).per_type.get(name)
        expected = [scores.gold, scores.predicted, scores.correct] if scores else [0, 0, 0]
        assert found[0].sum(axis=0).tolist() == expected


def test_filters() -> None:
    def total(keep) -> list[float]:
        return counts({1: ONE}, keep=keep)[0][0].sum(axis=0).tolist()

    assert total(part("language", "de")) == [1, 1, 1]
    assert total(part("width", "1 word")) == [1, 1, 1]
    assert total(part("width", "2 words")) == [1, 0, 0]
    assert total(part("width", "3 or more words")) == [1, 2, 1]
    assert total(part("seen", "seen")) == [0, 0, 0], "the predictions don't say"
    assert parts([{1: ONE}], "seen") == []
    assert parts([{1: ONE}], "width") == ["1 word", "2 words", "3 or more words"]
    told = [replace(each, unseen=frozenset({(2, 4)})) for each in ONE]
    for name, expected in (("seen", [2, 3, 2]), ("unseen", [1, 0, 0])):
        (found,) = counts({1: told}, keep=part("seen", name))
        assert found[0].sum(axis=0).tolist() == expected
    assert parts([{1: told}], "seen") == ["seen", "unseen"]


def test_filters_partition_the_counts() -> None:
    (whole,) = counts({1: ONE, 2: TWO})
    split = [counts({1: ONE, 2: TWO}, keep=part("type", t))[0] for t in ("PER", "LOC", "ORG")]
    assert (np.sum(split, axis=0) == whole).all()


def test_groups_are_added_up() -> None:
    (whole,) = counts({1: ONE})
    (found,) = counts({1: ONE}, groups={"a": "picture", "c": "picture"})
    assert found.tolist() == [[(whole[0, 0] + whole[0, 2]).tolist(), whole[0, 1].tolist()]]
    shared = [replace(each, group=None if each.id == "b" else 3) for each in ONE]
    assert counts({1: shared})[0].tolist() == found.tolist(), "groups that the predictions hold"
    older_too, _ = counts({1: ONE}, {1: shared})
    assert older_too.tolist() == found.tolist(), "also for runs whose files don't say"
    # a group may be called as a sentence is
    assert counts({1: ONE}, groups={"a": "b"})[0].shape == (1, 3, 3)


def test_no_sentences() -> None:
    assert counts({1: [], 2: []})[0].shape == (2, 0, 3)


def test_what_differs_is_refused() -> None:
    with pytest.raises(DataError, match="`b` is in one"):
        counts({1: ONE}, {1: [ONE[0], ONE[2]]})
    with pytest.raises(DataError, match="`b` is in one"):
        counts({1: [ONE[0], ONE[2]], 2: ONE})
    with pytest.raises(DataError, match="gold entities of the sentence `c` differ"):
        counts({1: ONE}, {1: [*ONE[:2], sentence("c", [PER], [])]})


def test_flips() -> None:
    found = flips({1: ONE}, {1: TWO})
    assert found.entities == ([("b", ORG)], [("a", LOC)])
    assert found.sentences == (["b", "c"], ["a"])
    back = flips({1: TWO}, {1: ONE})
    assert (back.entities, back.sentences) == (found.entities[::-1], found.sentences[::-1])
    assert flips({1: ONE}, {2: ONE}).entities == ([], [])


def test_a_flip_takes_more_than_half_of_the_seeds() -> None:
    # ORG of b: one system in 2 of 3 seeds, the other in half of its own: no flip, either way
    often, half = {1: ONE, 2: ONE, 3: TWO}, {1: ONE, 2: TWO}
    assert flips(often, half).entities == ([], [])
    assert flips(half, often).entities == ([], [])
    assert flips(often, {1: TWO}).entities == ([("b", ORG)], [("a", LOC)])
