"""Tags as numbers and back; the softmax decoder."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.decoders.softmax import Softmax
from zoo.decoders.tagging import Scheme, Tagging
from zoo.errors import DataError
from zoo.types import Entity, Text, Units

TYPES = ["LOC", "ORG", "PER"]


@st.composite
def sentences(draw: st.DrawFn) -> tuple[int, list[Entity]]:
    """A length and entities in it, without overlaps."""
    length = draw(st.integers(1, 12))
    cuts = sorted(draw(st.sets(st.integers(0, length), min_size=2, max_size=8)))
    entities = [
        Entity(start, end, draw(st.sampled_from(TYPES)))
        for start, end in pairwise(cuts)
        if draw(st.booleans())
    ]
    return length, entities


def text_of(vectors: torch.Tensor, mask: torch.Tensor) -> Text:
    return Text(vectors, vectors[:, 0], mask)


def test_tags_of_the_schemes() -> None:
    assert Tagging(["LOC", "PER"], "BIO").tags == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert Tagging(["PER"], "BIOES").tags == ["O", "B-PER", "I-PER", "E-PER", "S-PER"]


@given(
    batch=st.lists(sentences(), min_size=1, max_size=4), scheme=st.sampled_from(["BIO", "BIOES"])
)
@settings(max_examples=50, deadline=None)
def test_entities_survive_the_way_through_tags(
    batch: list[tuple[int, list[Entity]]], scheme: Scheme
) -> None:
    tagging = Tagging(TYPES, scheme)
    lengths = torch.tensor([length for length, _ in batch])
    mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
    gold = [entities for _, entities in batch]
    tags = tagging.encode(gold, mask)
    assert (tags[~mask] == 0).all()
    assert tagging.read(tags.masked_fill(~mask, -1)) == gold


def test_unknown_type_is_named() -> None:
    tagging = Tagging(TYPES, "BIO")
    with pytest.raises(DataError, match=r"`PERS` is unknown.*did you mean `PER`"):
        tagging.encode([[Entity(0, 1, "PERS")]], torch.ones(1, 2, dtype=torch.bool))


def softmax(scheme: Scheme = "BIO") -> tuple[Softmax, Units]:
    torch.manual_seed(0)
    decoder = Softmax(8, TYPES, scheme=scheme).eval()
    vectors = 3 * torch.randn(3, 9, 8)
    mask = torch.arange(9) < torch.tensor([[9], [1], [4]])
    return decoder, Units.of_words(text_of(vectors, mask))


def test_softmax_loss_is_the_mean_over_words() -> None:
    decoder, units = softmax()
    gold = [[Entity(1, 3, "PER")], [], [Entity(3, 4, "LOC")]]
    loss = decoder.loss(units, text_of(units.vectors, units.mask), gold)["tags"]
    tags = decoder.tagging.encode(gold, units.mask)
    log_probability = decoder.emission(units.vectors).log_softmax(-1)
    lengths = (9, 1, 4)
    by_hand = [
        -log_probability[row, i, tags[row, i]] for row in range(3) for i in range(lengths[row])
    ]
    assert loss.item() == pytest.approx(sum(value.item() for value in by_hand) / 14, rel=1e-5)


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
def test_softmax_scores_are_products_of_the_tags_probabilities(scheme: Scheme) -> None:
    decoder, units = softmax(scheme)
    best = decoder.emission(units.vectors).softmax(-1).amax(-1)
    found = decoder.decode(units, text_of(units.vectors, units.mask))
    assert any(found)
    for row, entities in enumerate(found):
        for start, end, _, score in entities:
            expected = math.prod(best[row, start:end].tolist())
            assert score == pytest.approx(expected, rel=1e-4)


def test_softmax_padding_changes_nothing() -> None:
    decoder, units = softmax()
    padding = ~units.mask.unsqueeze(-1)
    wild = Units(units.vectors.masked_fill(padding, 1e3), units.mask, units.spans)
    text = text_of(units.vectors, units.mask)
    assert decoder.decode(units, text) == decoder.decode(wild, text)
    gold: list[list[Entity]] = [[], [], []]
    assert torch.equal(
        decoder.loss(units, text, gold)["tags"], decoder.loss(wild, text, gold)["tags"]
    )
