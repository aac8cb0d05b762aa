"""Trained self-attention on top of another text encoder, which may be frozen and cached."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.parts import TextEncoder
from zoo.registry import register
from zoo.types import Inputs, Sample, Text


@register("text_encoder", "contextual")
class Contextual(TextEncoder):
    """Layers of a transformer over what a text encoder returns.

    A sequence holds the sentence vector, every word's vector, and that of its last sub-word where
    it has several; the result has the same parts. Positions are those that the encoder has put
    into its vectors. With a frozen encoder, whose vectors are computed once, only the layers are
    trained, and the words may still be read anew for the task.

    Cites: vaswani-etal-2017-attention

    Args:
        encoder: what is read, typically ``frozen: true``.
        layers: of the transformer.
        heads: of its attention; they divide the encoder's width.
        feed_forward: width of the inner layer, as a multiple of the encoder's.
        dropout: in the layers.

    Raises:
        ConfigError: the heads do not divide the width.
    """

    example: ClassVar[dict[str, Any]] = {
        "encoder": {"part": "transformer", "scratch": {"layers": 1, "width": 16, "heads": 2}},
        "heads": 2,
    }

    def __init__(
        self,
        *,
        encoder: TextEncoder,
        layers: Annotated[int, Field(ge=1, le=100)] = 1,
        heads: Annotated[int, Field(ge=1, le=1024)] = 8,
        feed_forward: Annotated[float, Field(gt=0, le=64)] = 4.0,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    ) -> None:
        super().__init__()
        if encoder.width % heads:
            raise ConfigError(
                f"contextual: `heads: {heads}` does not divide the encoder's width "
                f"{encoder.width}; choose a divisor"
            )
        self.encoder = encoder
        self.width, self.context_fields = encoder.width, encoder.context_fields
        inner = max(1, round(feed_forward * self.width))
        layer = nn.TransformerEncoderLayer(
            self.width, heads, inner, dropout, "gelu", batch_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def prepare(self, sample: Sample) -> Any:
        return self.encoder.prepare(sample)

    def cost(self, sample: Sample, row: Any) -> int:
        """What the encoder reads, or twice the words and the sentence, whichever is more."""
        return max(self.encoder.cost(sample, row), 1 + 2 * len(sample.words))

    def alike(self, row: Any) -> Hashable | None:
        return self.encoder.alike(row)

    def lookups(self, row: Any) -> Mapping[nn.Module, Collection[int]]:
        return self.encoder.lookups(row)

    def collate(self, rows: Sequence[Any]) -> Inputs:
        return self.encoder.collate(rows)

    def alone(self, inputs: Inputs) -> Inputs:
        return self.encoder.alone(inputs)

    def forward(self, inputs: Inputs) -> Text:
        text: Text = self.encoder(inputs)
        words = text.tokens.shape[1]
        states = [text.sentence.unsqueeze(1), text.tokens]
        real = [text.mask.new_ones(len(text.mask), 1), text.mask]
        place = None
        if text.last is not None and text.pieces is not None:
            apart = text.mask & (text.pieces > 1)
            place = _packed(apart)
            rows = place.clamp(min=0).unsqueeze(-1).expand(-1, -1, self.width)
            states.append(text.last.gather(1, rows))
            real.append(place >= 0)
        mask = torch.cat(real, dim=1)
        made = self.layers(torch.cat(states, dim=1), src_key_padding_mask=~mask)
        made = made * mask.unsqueeze(-1)
        tokens, last = made[:, 1 : 1 + words], None
        if place is not None:
            last = tokens.clone()
            row, column = (place >= 0).nonzero(as_tuple=True)
            last[row, place[row, column]] = made[row, 1 + words + column].to(last.dtype)
        losses: Mapping[str, Tensor] = text.losses
        return Text(tokens, made[:, 0], text.mask, losses, last, text.pieces)


def _packed(chosen: Tensor) -> Tensor:
    """Of bool (B, N) the places of the True entries, (B, M), with -1 behind them."""
    counts = chosen.sum(dim=1)
    order = torch.argsort((~chosen).to(torch.int8), dim=1, stable=True)
    most = int(counts.max()) if len(counts) else 0
    slots = torch.arange(most, device=chosen.device)
    return torch.where(slots < counts.unsqueeze(1), order[:, :most], -1)
