"""A small transformer over whole words, trained from scratch with the rest of the system."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from zoo.encoders.words import PADDING, WordEmbedding
from zoo.errors import ConfigError
from zoo.parts import TextEncoder
from zoo.types import Inputs, Sample, Text

Words = list[tuple[int, ...]]
"""Words as :meth:`WordEmbedding.prepare` numbers them."""

SEPARATOR = (PADDING, PADDING)
"""Stands for a separator among words; its vector comes from elsewhere."""


def sinusoids(length: int, width: int, like: Tensor) -> Tensor:
    """(length, width) position codes without a limit (Vaswani et al., 2017, section 3.5)."""
    place = torch.arange(length, device=like.device, dtype=torch.float32).unsqueeze(1)
    step = torch.arange(0, width, 2, device=like.device, dtype=torch.float32)
    angle = place * torch.exp(step * (-math.log(10_000.0) / width))
    codes = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
    return codes[:, :width].to(like.dtype)


class Scratch(TextEncoder):
    """A word and its characters make a vector; a learnt [CLS] stands before the first word.

    Context stands behind the sentence, each field after a learnt separator.

    With ``neighbours`` a convolution adds to each word, before the first layer, what stands up to
    so many words before and behind it. Attention by content then finds a *red ring* at once, where
    it would first have to learn which word is next to which.
    """

    def __init__(
        self,
        words: Counter[str],
        sentence: Literal["first", "mean"],
        context: tuple[str, ...] = (),
        *,
        layers: int = 2,
        width: int = 128,
        heads: int = 4,
        dropout: float = 0.1,
        neighbours: int = 0,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(f"scratch: width {width} can't be shared by {heads} heads")
        self.width = width
        self.sentence = sentence
        self.embedding = WordEmbedding(words, word_width=width, character_width=32, filters=width)
        self.project = nn.Linear(self.embedding.width, width)
        self.first = nn.Parameter(torch.randn(width) * 0.02)
        self.dropout = nn.Dropout(dropout)
        self.beside = (
            nn.Conv1d(width, width, 2 * neighbours + 1, padding=neighbours) if neighbours else None
        )
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(
            layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.context_fields = context
        if context:
            self.separator = nn.Parameter(torch.randn(width) * 0.02)

    def prepare(self, sample: Sample) -> tuple[Words, Words]:
        """The sentence's words, and those of the context with a separator before each field."""
        behind: Words = []
        for name in self.context_fields:
            words = (sample.get(name) or "").split()
            behind += [SEPARATOR, *self.embedding.prepare(words)] if words else []
        return self.embedding.prepare(sample.words), behind

    def cost(self, sample: Sample, row: tuple[Words, Words]) -> int:
        """One token a word, of the context, too."""
        return sum(map(len, row))

    def collate(self, rows: Sequence[tuple[Words, Words]]) -> dict[str, Tensor]:
        """As :class:`WordEmbedding`, for the words (B, M) of sentence and context; with ``context``
        also ``own`` (B, N), the mask of the sentences, and ``separator`` (B, M)."""
        inputs = self.embedding.collate([own + behind for own, behind in rows])
        if self.context_fields:
            lengths = torch.tensor([len(own) for own, _ in rows]).unsqueeze(1)
            inputs["own"] = torch.arange(max(len(own) for own, _ in rows)) < lengths
            inputs["separator"] = (inputs["index"] == 0) & inputs["mask"]
        return inputs

    def alone(self, inputs: Inputs) -> Inputs:
        if "own" not in inputs:
            return inputs
        own = inputs["own"]
        words = {name: inputs[name] for name in ("words", "characters")}
        return {**words, "index": inputs["index"][:, : own.shape[1]], "mask": own}

    def forward(self, inputs: Inputs) -> Text:
        mask = inputs["mask"]
        vectors = self.project(self.embedding(inputs))
        if "separator" in inputs:
            vectors = torch.where(
                inputs["separator"].unsqueeze(-1), self.separator.to(vectors), vectors
            )
        if self.beside is not None:
            beside = self.beside((vectors * mask.unsqueeze(-1)).transpose(1, 2))
            vectors = vectors + nn.functional.gelu(beside.transpose(1, 2))
        vectors = vectors + sinusoids(mask.shape[1], self.width, like=vectors)
        first = self.first.to(vectors.dtype).expand(mask.shape[0], 1, -1)
        padding = nn.functional.pad(~mask, (1, 0), value=False)
        states = self.layers(
            self.dropout(torch.cat([first, vectors], dim=1)), src_key_padding_mask=padding
        )
        mask = inputs.get("own", mask)
        tokens = states[:, 1 : 1 + mask.shape[1]] * mask.unsqueeze(-1)
        if self.sentence == "first":
            return Text(tokens, states[:, 0], mask)
        return Text(tokens, tokens.sum(1) / mask.sum(1, keepdim=True).clamp(min=1), mask)
