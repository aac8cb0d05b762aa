"""The exchange of pictures in training; the numbers are checked in tests/golden."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.fusers.matching_gate import MatchingGate
from zoo.parts import ViewSpec
from zoo.types import Text, Units, View

VIEWS = {"grid": ViewSpec(6, 3)}


def build(**settings) -> MatchingGate:
    torch.manual_seed(0)
    return MatchingGate(8, VIEWS, heads=2, dropout=0.0, **settings)


def batch(present: list[bool], words: int = 4) -> tuple[Units, dict[str, View]]:
    torch.manual_seed(1)
    there = torch.tensor(present)
    mask = there.unsqueeze(1).expand(-1, 3)
    tokens = torch.randn(len(present), words, 8)
    text = Text(tokens, tokens[:, 0], torch.ones(len(present), words, dtype=torch.bool))
    regions = torch.randn(len(present), 3, 6) * there[:, None, None]
    return Units.of_words(text), {"grid": View(regions, regions.mean(1), mask)}


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.floats(0, 1))
@settings(deadline=None)
def test_partners(present, share) -> None:
    """Pairs exchange theirs, as many as the share says, and never with a row without a picture."""
    partner = build(mismatched=share).partners(torch.tensor(present)).tolist()
    assert all(partner[other] == row for row, other in enumerate(partner))
    moved = [row for row, other in enumerate(partner) if row != other]
    assert all(present[row] for row in moved)
    assert len(moved) == 2 * int(share * sum(present) / 2)


def test_the_match_of_exchanged_pictures(monkeypatch) -> None:
    """It is read as if the sentence had the other picture; what flows on has seen its own."""
    units, views = batch([True] * 4)
    fuser = build(mismatched=0.5)
    monkeypatch.setattr(torch, "randperm", torch.arange)  # rows 2 and 3 exchange theirs
    logits = {}
    fuser.match.register_forward_hook(lambda _, __, made: logits.update(it=made))
    order, view = torch.tensor([0, 1, 3, 2]), views["grid"]
    fuser.eval()(units, {"grid": View(view.regions[order], view.pooled[order], view.mask)})
    wanted = torch.nn.functional.cross_entropy(logits["it"], torch.tensor([1, 1, 0, 0]))
    plain = fuser(units, views)
    made = fuser.train()(units, views)
    torch.testing.assert_close(made.losses["match"], wanted)
    torch.testing.assert_close(made.vectors, plain.vectors)


def test_an_exchange_of_what_was_attended_flows_on(monkeypatch) -> None:
    units, views = batch([True] * 4)
    fuser = build(mismatched=0.5, exchange="attended")
    monkeypatch.setattr(torch, "randperm", torch.arange)
    plain, made = fuser.eval()(units, views).vectors, fuser.train()(units, views).vectors
    torch.testing.assert_close(made[:2], plain[:2])
    assert not torch.allclose(made[2:], plain[2:])


def test_nothing_is_exchanged_in_evaluation() -> None:
    units, views = batch([True] * 8)
    fuser = build(mismatched=1.0)
    one, other = (fuser.eval()(units, views) for _ in range(2))
    assert torch.equal(one.vectors, other.vectors)
    assert not one.losses


@pytest.mark.parametrize("present", [[False] * 4, [True], [True, False]])
def test_the_match_of_too_few_pictures(present) -> None:
    """All match: the loss is the cross-entropy of that; without a picture it is 0."""
    units, views = batch(present)
    fuser = build()
    logits = {}
    fuser.match.register_forward_hook(lambda _, __, made: logits.update(it=made))
    loss = fuser.train()(units, views).losses["match"]
    there = torch.tensor(present)
    wanted = -logits["it"].log_softmax(-1)[there, 1].sum() / max(1, there.sum())
    torch.testing.assert_close(loss, wanted)
