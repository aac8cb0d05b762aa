"""The contract of text and image encoders."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from zoo.encoders.frozen import Frozen
from zoo.types import Picture, Sample, Text, View

ODD = ("\u00a0", "\ufe0f", "<unk>", "\u200b", "Ünïcödé", "a" * 500, "👍🏽", "[SEP]")


def near(first: torch.Tensor, second: torch.Tensor) -> bool:
    return torch.allclose(first, second, atol=1e-4, rtol=1e-4)


# Text --------------------------------------------------------------------------------------------


def test_one_vector_a_word(text_encoder, read) -> None:
    encoder, samples = text_encoder.build().eval(), text_encoder.samples
    text = read(encoder, samples)
    assert type(text) is Text
    lengths = [len(sample.words) for sample in samples]
    assert text.tokens.shape == (len(samples), max(lengths), encoder.width)
    assert text.sentence.shape == (len(samples), encoder.width)
    assert text.mask.dtype == torch.bool
    assert text.mask.sum(1).tolist() == lengths
    assert all(row[:n].all() for row, n in zip(text.mask, lengths, strict=True))
    assert text.tokens.isfinite().all()
    assert text.sentence.isfinite().all()
    assert all(loss.isfinite() for loss in text.losses.values())


def test_a_sentence_does_not_see_its_neighbours(text_encoder, read) -> None:
    encoder, samples = text_encoder.build().eval(), text_encoder.samples
    together = read(encoder, samples)
    for i, sample in enumerate(samples):
        alone = read(encoder, [sample])
        assert near(alone.tokens[0], together.tokens[i, : len(sample.words)])
        assert near(alone.sentence[0], together.sentence[i])


def test_no_word_is_cut_or_dropped(text_encoder, read) -> None:
    encoder = text_encoder.build().eval()
    for words in (ODD, ("x",), tuple(f"word{i}" for i in range(300)), ODD * 20):
        text = read(encoder, [Sample("odd", words)])
        assert text.tokens.shape[1] == text.mask.sum() == len(words)
        assert text.tokens.isfinite().all()
        assert text.tokens[0].abs().sum(1).gt(0).all(), "every word has a vector"


def test_word_order_matters(text_encoder, read) -> None:
    encoder = text_encoder.build().eval()
    there = read(encoder, [Sample("1", ("in", "Paris", "now"))])
    back = read(encoder, [Sample("2", ("now", "Paris", "in"))])
    assert not near(there.tokens[:, 1], back.tokens[:, 1])


def test_text_encoder_ignores_the_picture(text_encoder, read) -> None:
    encoder, samples = text_encoder.build().eval(), text_encoder.samples
    blind = [replace(s, picture=None, entities=()) for s in samples]
    if "caption" not in type(encoder).sees_of(text_encoder.part.settings):
        blind = [replace(s, caption=None) for s in blind]
    assert torch.equal(read(encoder, samples).tokens, read(encoder, blind).tokens)


# Images ------------------------------------------------------------------------------------------


def has(encoder, sample: Sample) -> bool:
    """Whether a sample has what the encoder looks at."""
    assert encoder.sees in ("picture", "caption")
    thing = getattr(sample, encoder.sees)
    return bool(thing.strip()) if isinstance(thing, str) else thing is not None


def test_view(image_encoder, read) -> None:
    encoder, samples = image_encoder.build().eval(), image_encoder.samples
    view = read(encoder, samples)
    assert type(view) is View
    there = [has(encoder, sample) for sample in samples]
    assert True in there
    assert False in there
    assert view.present.tolist() == there
    batch, regions, width = view.regions.shape
    assert (batch, width) == (len(samples), encoder.width)
    assert encoder.regions in (None, regions)
    assert view.pooled.shape == (batch, width)
    assert view.mask.shape == (batch, regions)
    assert view.mask.dtype == torch.bool
    if encoder.regions:
        assert (view.mask == view.present.unsqueeze(1)).all()
    assert view.regions.isfinite().all()
    assert view.pooled[there].abs().sum(1).gt(0).all()
    assert all(loss.isfinite() for loss in view.losses.values())


def test_missing_is_an_empty_row(image_encoder, read) -> None:
    encoder, samples = image_encoder.build().eval(), image_encoder.samples
    view = read(encoder, samples)
    absent = ~view.present
    assert not view.mask[absent].any()
    assert not view.regions[absent].any()
    assert not view.pooled[absent].any()
    for sample in samples:
        assert (encoder.prepare(sample) is None) == (not has(encoder, sample))


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_a_batch_without_any_picture(image_encoder, read, mode: bool) -> None:
    encoder = image_encoder.build().train(mode)
    view = read(encoder, [Sample("1", ("a",)), Sample("2", ("b",))])
    assert view.regions.shape[::2] == (2, encoder.width)
    assert view.pooled.shape == (2, encoder.width)
    assert not view.present.any()
    assert not view.regions.any()
    assert not view.pooled.any()


def test_a_picture_does_not_see_its_neighbours(image_encoder, read) -> None:
    encoder, samples = image_encoder.build().eval(), image_encoder.samples
    together = read(encoder, samples)
    for i, sample in enumerate(samples):
        alone = read(encoder, [sample])
        count = int(alone.mask.sum())
        assert int(together.mask[i].sum()) == count
        assert near(alone.regions[0, :count], together.regions[i, :count])
        assert near(alone.pooled[0], together.pooled[i])


def test_other_pictures_give_other_views(image_encoder, read) -> None:
    encoder = image_encoder.build().eval()
    there = [sample for sample in image_encoder.samples if has(encoder, sample)]
    different = next(
        s for s in there if getattr(s, encoder.sees) != getattr(there[0], encoder.sees)
    )
    view = read(encoder, [there[0], different])
    assert not torch.allclose(view.pooled[0], view.pooled[1], atol=1e-6)


def test_view_depends_on_nothing_else(image_encoder, read) -> None:
    """Neither the sentence nor its gold entities, nor what the other kind of encoder reads."""
    encoder = image_encoder.build().eval()
    sample = next(sample for sample in image_encoder.samples if has(encoder, sample))
    other = "caption" if encoder.sees == "picture" else "picture"
    bare = replace(sample, words=("other",), entities=(), **{other: None})
    first, second = read(encoder, [sample]), read(encoder, [bare])
    assert torch.equal(first.regions, second.regions)
    assert torch.equal(first.pooled, second.pooled)


def test_a_picture_that_is_none(image_encoder) -> None:
    """A file that can't be decoded is an error that names it, never a substitute."""
    encoder = image_encoder.build()
    if encoder.sees != "picture":
        pytest.skip("reads no picture")
    broken = Sample("7", ("a",), picture=Picture("broken.png", data=b"no picture"))
    with pytest.raises(Exception, match=r"broken\.png"):
        encoder.prepare(broken)


def test_frozen(image_encoder, read) -> None:
    """Nothing is trained, eval mode stays, and the answer is that of the encoder in eval mode."""
    plain = image_encoder.build(seed=5).eval()
    image_encoder.frozen = True
    frozen = image_encoder.build(seed=5).train()
    assert isinstance(frozen, Frozen)
    assert not any(p.requires_grad for p in frozen.parameters())
    assert not frozen.encoder.training
    assert (frozen.width, frozen.regions, frozen.sees) == (plain.width, plain.regions, plain.sees)
    for _ in range(2):  # computed, then from the disk
        view, expected = read(frozen, image_encoder.samples), read(plain, image_encoder.samples)
        assert torch.equal(view.mask, expected.mask)
        assert near(view.regions, expected.regions)
        assert near(view.pooled, expected.pooled)
    assert list(image_encoder.cache.rglob("*.safetensors"))


def test_frozen_text_encoder(text_encoder, read) -> None:
    text_encoder.frozen = True
    frozen = text_encoder.build()
    whole = torch.nn.ModuleList([frozen]).train()
    assert not any(m.training for m in whole[0].modules())
    assert not any(p.requires_grad for p in frozen.parameters())
    assert not read(frozen, text_encoder.samples).tokens.requires_grad
