"""Trained self-attention on top of another text encoder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.encoders.contextual import Contextual
from zoo.encoders.frozen import FrozenText
from zoo.encoders.transformer import Transformer
from zoo.errors import ConfigError
from zoo.parts import TextEncoder
from zoo.types import Sample, Text

WORDS = ("a", "bc", "def", "g")
SAMPLES = [
    Sample("1", ("a", "bc", "a")),
    Sample("2", ("def", "g", "a", "bc", "def")),
    Sample("3", ("a",)),
]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("bert")
    letters = "abcdefgh"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizer(vocab={p: i for i, p in enumerate(pieces)}).save_pretrained(folder)
    return str(folder)


def read(encoder: TextEncoder, *samples: Sample) -> Text:
    text: Text = encoder(encoder.collate([encoder.prepare(sample) for sample in samples]))
    return text


def make(encoder: TextEncoder, **settings: Any) -> Contextual:
    torch.manual_seed(1)
    return Contextual(encoder=encoder, heads=2, **settings)


@torch.no_grad()
def test_every_vector_is_read_anew(bert: str) -> None:
    inner = Transformer(Counter(WORDS), model=bert)
    encoder = make(inner).eval()
    below, text = read(inner.eval(), *SAMPLES), read(encoder, *SAMPLES)
    assert text.tokens.shape == below.tokens.shape
    assert text.last is not None
    assert text.pieces is not None
    assert below.last is not None
    for row, sample in enumerate(SAMPLES):
        several = [i for i, word in enumerate(sample.words) if len(word) > 1]
        vectors = [below.sentence[row], *below.tokens[row, : len(sample.words)]]
        vectors += [below.last[row, i] for i in several]
        made: Tensor = encoder.layers(torch.stack(vectors)[None])[0]
        end = 1 + len(sample.words)
        close = torch.testing.assert_close
        close(text.sentence[row], made[0], atol=1e-5, rtol=0)
        close(text.tokens[row, : end - 1], made[1:end], atol=1e-5, rtol=0)
        last = made[1:end].clone()
        last[several] = made[end:]
        close(text.last[row, : end - 1], last, atol=1e-5, rtol=0)
    assert not text.tokens[~text.mask].any()


def test_the_rows_of_the_encoder_below_are_named(bert: str) -> None:
    inner = Transformer(Counter(WORDS), model=bert)
    row = inner.prepare(SAMPLES[0])
    assert inner.lookups(row)
    assert make(inner).lookups(row) == inner.lookups(row)


def test_a_frozen_encoder_below_is_computed_once(
    bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = FrozenText(Transformer(Counter(WORDS), model=bert), tmp_path)
    encoder = make(inner)
    first = read(encoder.eval(), *SAMPLES)
    calls: list[int] = []
    monkeypatch.setattr(type(inner.encoder), "forward", lambda *_: calls.append(1))
    again = make(FrozenText(inner.encoder, tmp_path)).eval()
    assert torch.equal(read(again, *SAMPLES).tokens, first.tokens)
    assert calls == []
    text = read(encoder.train(), *SAMPLES)
    text.tokens.sum().backward()
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert trained
    assert all(name.startswith("layers.") for name in trained)


def test_heads_that_do_not_divide(bert: str) -> None:
    with pytest.raises(ConfigError, match="`heads: 3` does not divide"):
        Contextual(encoder=Transformer(Counter(WORDS), model=bert), heads=3)
