"""What the contract of encoders does not ask for: order of words, and freezing."""

from __future__ import annotations

import torch

from zoo.contracts.inputs import near, read
from zoo.encoders.frozen import Frozen
from zoo.types import Sample

HALF = 1e-3
"""How near two numbers are that differ by the rounding of half precision."""


def test_word_order_matters(text_encoder) -> None:
    encoder = text_encoder.build().eval()
    there = read(encoder, [Sample("1", ("in", "Paris", "now"))])
    back = read(encoder, [Sample("2", ("now", "Paris", "in"))])
    assert not near(there.tokens[:, 1], back.tokens[:, 1], 1e-4)


def test_frozen(image_encoder) -> None:
    """Nothing is trained, eval mode stays, and the answer is that of the encoder in eval mode."""
    samples = image_encoder.samples
    plain = image_encoder.build(seed=5).eval()
    frozen = image_encoder.build(seed=5, frozen=True).train()
    assert isinstance(frozen, Frozen)
    assert not any(p.requires_grad for p in frozen.parameters())
    assert not frozen.encoder.training
    assert (frozen.width, frozen.regions, frozen.sees) == (plain.width, plain.regions, plain.sees)
    for _ in range(2):  # computed, then from the disk
        view, expected = read(frozen, samples), read(plain, samples)
        assert torch.equal(view.mask, expected.mask)
        assert near(view.regions, expected.regions, HALF)
        assert near(view.pooled, expected.pooled, HALF)
    assert list(image_encoder.folder.rglob("*.safetensors"))


def test_frozen_text_encoder(text_encoder) -> None:
    frozen = text_encoder.build(frozen=True)
    whole = torch.nn.ModuleList([frozen]).train()
    assert not any(m.training for m in whole[0].modules())
    assert not any(p.requires_grad for p in frozen.parameters())
    samples = text_encoder.samples
    expected = read(text_encoder.build().eval(), samples)
    for _ in range(2):  # computed, then from the disk
        text = read(frozen, samples)
        assert not text.tokens.requires_grad
        assert torch.equal(text.mask, expected.mask)
        assert near(text.tokens, expected.tokens, HALF)
        assert near(text.sentence, expected.sentence, HALF)
        assert (text.last is None) == (expected.last is None)
        assert text.last is None or near(text.last, expected.last, HALF)
        assert text.pieces is None or torch.equal(text.pieces, expected.pieces)
    assert list(text_encoder.folder.rglob("*.safetensors"))
