"""What the contract of decoders does not ask for: built-in ones learn within fifty steps."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.contracts.inputs import GOLD, make_spans, make_text, make_units
from zoo.types import Entity


def test_losses_are_positive(decoder) -> None:
    built = decoder.build().train()
    for gold in (GOLD, [()] * len(GOLD)):
        losses = built.loss(make_spans(built), make_text(), gold)
        assert losses
        assert all(loss > 0 for loss in losses.values())


def test_it_learns(decoder) -> None:
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


def test_marginals(decoder) -> None:
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
