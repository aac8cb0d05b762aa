"""The CRF with the untyped auxiliary task; its numbers are checked in tests/golden."""

from __future__ import annotations

import pytest
import torch

from zoo.decoders.auxiliary_crf import AuxiliaryCrf, conversion
from zoo.decoders.tagging import Tagging
from zoo.types import Entity, Text, Units

TYPES = ["LOC", "ORG", "PER"]


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
def test_conversion(scheme) -> None:
    untyped, typed = Tagging(["entity"], scheme), Tagging(TYPES, scheme)
    matrix = conversion(untyped, typed)
    torch.testing.assert_close(matrix.sum(1), torch.ones(len(untyped)))
    for row, bare in enumerate(untyped.tags):
        for column, tag in enumerate(typed.tags):
            wanted = 1.0 if bare == tag == "O" else 1 / 3 if bare[0] == tag[0] else 0.0
            assert matrix[row, column] == pytest.approx(wanted), (bare, tag)


def test_the_text_alone_can_say_where_entities_are() -> None:
    """The untyped task reads the text-only states alone; the typed one the fused units, too."""
    torch.manual_seed(0)
    decoder = AuxiliaryCrf(8, 4, TYPES, heads=2).eval()
    mask = torch.ones(2, 5, dtype=torch.bool)
    text = Text(torch.randn(2, 5, 4), torch.randn(2, 4), mask)
    other = Text(torch.randn(2, 5, 4), torch.randn(2, 4), mask)
    units = Units.of_words(text).with_vectors(torch.randn(2, 5, 8))
    changed = units.with_vectors(torch.randn(2, 5, 8))
    gold = [[Entity(1, 3, "PER")], []]
    plain = decoder.loss(units, text, gold)
    fused, heard = decoder.loss(changed, text, gold), decoder.loss(units, other, gold)
    assert torch.equal(plain["entity_spans"], fused["entity_spans"])
    assert not torch.equal(plain["crf"], fused["crf"])
    assert not torch.equal(plain["entity_spans"], heard["entity_spans"])
    assert not torch.equal(plain["crf"], heard["crf"])


def test_the_type_does_not_matter_to_the_untyped_task() -> None:
    torch.manual_seed(0)
    decoder = AuxiliaryCrf(4, 4, TYPES, heads=2).eval()
    mask = torch.ones(1, 5, dtype=torch.bool)
    text = Text(torch.randn(1, 5, 4), torch.randn(1, 4), mask)
    units = Units.of_words(text)
    one, other = (decoder.loss(units, text, [[Entity(1, 3, kind)]]) for kind in ("PER", "LOC"))
    assert torch.equal(one["entity_spans"], other["entity_spans"])
    assert not torch.equal(one["crf"], other["crf"])
