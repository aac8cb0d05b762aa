"""The contract of decoders."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from zoo.errors import DataError
from zoo.types import Entity, Units


def test_units(decoder, make_units, make_spans) -> None:
    built, words = decoder.build().eval(), make_units("token")
    units = make_spans(built, words=words)
    assert type(built).classifies in ("token", "span")
    assert units.vectors.shape[::2] == (len(words.mask), words.vectors.shape[2])
    assert units.vectors.isfinite().all()
    assert units.spans.dtype == torch.int64
    assert units.spans.shape == (*units.mask.shape, 2)
    assert not units.spans[~units.mask].any(), "(0, 0) on padding"
    for row, length in enumerate(words.mask.sum(1).tolist()):
        spans = units.spans[row][units.mask[row]].tolist()
        assert all(0 <= start < end <= length for start, end in spans)
        assert len({tuple(span) for span in spans}) == len(spans)
        assert {word for span in spans for word in range(*span)} == set(range(length))
        if type(built).classifies == "token":
            assert spans == [[i, i + 1] for i in range(length)]


def test_loss(decoder, make_spans, make_text, gold) -> None:
    """Finite, whatever the gold entities: none at all, and one wider than can be produced."""
    built = decoder.build().train()
    units = make_spans(built)
    for wanted in (gold, [()] * len(gold)):
        losses = built.loss(units, make_text(), wanted)
        assert losses
        for name, loss in losses.items():
            assert name.partition(".")[0] in type(built).loss_names
            assert loss.shape == ()
            assert loss.isfinite()
            assert loss > 0


def test_unknown_type(decoder, make_spans, make_text) -> None:
    built = decoder.build()
    units = make_spans(built)
    gold = [(Entity(0, 1, "PERSON"),), (), (), (), ()]
    with pytest.raises(DataError, match="PERSON"):
        built.loss(units, make_text(), gold)


def check(entities, length: int, types: list[str]) -> None:
    assert list(entities) == sorted(entities)
    assert all(0 <= e.start < e.end <= length for e in entities)
    assert all(one.end <= other.start for one, other in pairwise(entities))
    assert all(0 <= e.score <= 1 for e in entities)
    assert all(e.type in types for e in entities)


@pytest.mark.parametrize("lengths", [(5, 1, 9, 30, 2), (1, 200), (1,)], ids=str)
def test_decode(decoder, make_units, make_spans, make_text, lengths: tuple[int, ...]) -> None:
    found = 0
    for seed in range(4):
        built = decoder.build(seed).eval()
        words = make_units("token", lengths, seed=seed)
        words = Units(words.vectors * 5, words.mask, words.spans)
        entities = built.decode(make_spans(built, lengths, words=words), make_text(lengths))
        assert len(entities) == len(lengths)
        for length, row in zip(lengths, entities, strict=True):
            check(row, length, decoder.known["types"])
            found += len(row)
    assert found, "the test decodes something"


def test_a_sentence_does_not_see_its_neighbours(decoder, make_units, make_spans, make_text) -> None:
    built, lengths = decoder.build().eval(), (5, 1, 9, 30, 2)
    words = make_units("token")
    together = built.decode(make_spans(built, words=words), make_text())
    for i, n in enumerate(lengths):
        one = Units(*(t[i : i + 1, :n] for t in (words.vectors, words.mask, words.spans)))
        (alone,) = built.decode(make_spans(built, (n,), words=one), make_text((n,)))
        assert [e.entity for e in alone] == [e.entity for e in together[i]]
        scores = [e.score for e in together[i]]
        assert [e.score for e in alone] == pytest.approx(scores, abs=1e-4)


def test_fused_width(decoder, make_spans, make_text, gold) -> None:
    """A fuser between the units and the classifier may change their width."""
    level = decoder.part.cls.classifies
    width = {"width": 24} if level == "token" else {}
    built = decoder.build(fused=24, **width)
    units = make_spans(built, width=24 if level == "token" else 16)
    wide = Units(torch.randn(*units.mask.shape, 24), units.mask, units.spans)
    assert all(loss.isfinite() for loss in built.loss(wide, make_text(), gold).values())
    assert len(built.decode(wide, make_text())) == len(gold)


def test_it_learns(decoder, make_units, make_spans, make_text) -> None:
    """A decoder gives back what it was trained on, but for what it can't produce."""
    lengths = (4, 1, 6, 2)
    gold = [
        [Entity(0, 1, "LOC"), Entity(2, 4, "PER")],
        [Entity(0, 1, "ORG")],
        [Entity(0, 5, "LOC"), Entity(5, 6, "LOC")],
        [],
    ]
    built = decoder.build().train()
    words, text = make_units("token", lengths), make_text(lengths)
    optimizer = torch.optim.Adam(built.parameters(), lr=0.05)
    for _ in range(50):
        loss: Tensor = sum(built.loss(make_spans(built, lengths, words=words), text, gold).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    widest = getattr(built, "max_width", 99)
    wanted = [[e for e in row if e.end - e.start <= widest] for row in gold]
    found = built.eval().decode(make_spans(built, lengths, words=words), text)
    assert [[e.entity for e in row] for row in found] == wanted
    assert all(e.score > 0.5 for row in found for e in row)


def test_marginals(decoder, make_units, make_spans, make_text) -> None:
    """Each unit's classes sum to one, padding is 0, and a gradient reaches the units."""
    built, words = decoder.build().eval(), make_units("token")
    words.vectors.requires_grad_()
    units = make_spans(built, words=words)
    found = built.log_marginals(units, make_text())
    assert found.shape[:2] == units.mask.shape
    assert torch.allclose(found.exp().sum(-1)[units.mask], torch.ones(1), atol=1e-4)
    assert not found[~units.mask].any()
    found[units.mask].exp().square().sum().backward()
    assert words.vectors.grad.isfinite().all()
    assert words.vectors.grad.any()
