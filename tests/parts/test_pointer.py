"""The start and end classifier: labels, matching, scores."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.decoders.pointer import Pointer
from zoo.types import Entity, Text, Units

TYPES = ["LOC", "PER"]


def decoder(starts: list[list[float]], ends: list[list[float]]) -> tuple[Pointer, Units, Text]:
    """One sentence whose words have these log-odds of starting and ending each type."""
    made = Pointer(6, TYPES).eval()
    with torch.no_grad():
        for head, first in ((made.starts, 0), (made.ends, 3)):
            head.weight.zero_()
            head.bias.zero_()
            head.weight[:, first : first + 3] = torch.eye(3)
    vectors = torch.cat([torch.tensor(starts), torch.tensor(ends)], dim=1).unsqueeze(0)
    mask = torch.ones(1, len(starts), dtype=torch.bool)
    text = Text(vectors, vectors[:, 0], mask)
    return made, Units.of_words(text), text


NO, LOC, PER = [5.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 5.0]


@pytest.mark.parametrize(
    ("starts", "ends", "found"),
    [
        ([LOC, NO, NO], [NO, LOC, NO], [(0, 2, "LOC")]),
        ([LOC, NO, NO], [NO, PER, LOC], [(0, 3, "LOC")]),
        ([NO, NO, LOC], [LOC, NO, NO], []),
        ([LOC, PER, NO], [LOC, NO, PER], [(0, 1, "LOC"), (1, 3, "PER")]),
        ([LOC, NO, LOC], [LOC, NO, LOC], [(0, 1, "LOC"), (2, 3, "LOC")]),
    ],
    ids=["plain", "an end of another type", "an end before", "side by side", "the nearest end"],
)
def test_a_start_is_matched_to_the_nearest_end_of_its_type(starts, ends, found) -> None:
    made, units, text = decoder(starts, ends)
    (entities,) = made.decode(units, text)
    assert [tuple(e.entity) for e in entities] == found


def test_of_overlapping_entities_the_more_probable_one_stays() -> None:
    made, units, text = decoder([LOC, [0.0, 9.0, 0.0]], [NO, LOC])
    (entities,) = made.decode(units, text)
    assert [tuple(e.entity) for e in entities] == [(1, 2, "LOC")]
    chance = torch.tensor([[0.0, 9.0, 0.0], LOC]).softmax(-1)[:, 1].prod().item()
    assert entities[0].score == pytest.approx(chance)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2), st.sampled_from(TYPES)), max_size=5)
)
@settings(deadline=None)
def test_gold_entities_come_back_from_their_labels(blocks) -> None:
    entities, place = [], 0
    for length, gap, kind in blocks:
        entities.append(Entity(place, place + length, kind))
        place += length + gap
    mask = torch.ones(1, max(place, 1), dtype=torch.bool)
    labels = Pointer(2, TYPES).labels([entities], mask)
    vectors = 9 * torch.nn.functional.one_hot(labels, 3).float()
    made, units, text = decoder(vectors[0, 0].tolist(), vectors[1, 0].tolist())
    (found,) = made.decode(units, text)
    assert [e.entity for e in found] == entities


def test_log_marginals_are_of_pairs() -> None:
    made, units, text = decoder([LOC, NO], [LOC, PER])
    pairs = made.log_marginals(units, text)
    assert pairs.shape == (1, 2, 9)
    torch.testing.assert_close(pairs.exp().sum(-1), torch.ones(1, 2))
    starts, ends = made.log_probabilities(units)
    torch.testing.assert_close(pairs[0, 0, 3 * 1 + 1], starts[0, 0, 1] + ends[0, 0, 1])
