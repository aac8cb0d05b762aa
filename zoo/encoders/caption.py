"""The picture's caption, read by a text encoder: how those without pixels see."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from zoo.encoders.pictures import place
from zoo.errors import ConfigError
from zoo.parts import ImageEncoder, TextEncoder
from zoo.registry import register
from zoo.types import Inputs, Sample, Text, View


@register("image_encoder", "caption")
class Caption(ImageEncoder):
    """The caption read by a text encoder: one region a caption word, pooled = its sentence vector.

    Cites: wang-etal-2022-ita

    Args:
        encoder: what reads the caption.

    Raises:
        ConfigError: the encoder is told to read context.
    """

    sees: ClassVar[Literal["picture", "caption"]] = "caption"
    example: ClassVar[dict[str, Any]] = {
        "encoder": {"part": "transformer", "scratch": {"layers": 1, "width": 16, "heads": 2}}
    }

    def __init__(self, *, encoder: TextEncoder) -> None:
        super().__init__()
        if encoder.context_fields:
            raise ConfigError(
                "caption: its encoder reads the caption alone; take `context` away from it"
            )
        self.encoder = encoder
        self.width = encoder.width

    def prepare(self, sample: Sample) -> Any | None:
        alone = _caption(sample)
        return self.encoder.prepare(alone) if alone.words else None

    def cost(self, sample: Sample, row: Any | None) -> int:
        """What the caption costs its encoder."""
        return 0 if row is None else self.encoder.cost(_caption(sample), row)

    def alike(self, row: Any | None) -> Hashable | None:
        return None if row is None else self.encoder.alike(row)

    def lookups(self, row: Any | None) -> Mapping[nn.Module, Collection[int]]:
        return {} if row is None else self.encoder.lookups(row)

    def collate(self, rows: Sequence[Any | None]) -> Inputs:
        """``present`` (B,) beside the inputs of the captions that are there."""
        present = torch.tensor([row is not None for row in rows], dtype=torch.bool)
        captions = [row for row in rows if row is not None]
        return {"present": present, **(self.encoder.collate(captions) if captions else {})}

    def forward(self, inputs: Inputs) -> View:
        present = inputs["present"]
        if len(inputs) == 1:  # no caption in the whole batch
            nothing = torch.zeros(0, 1, self.width, device=present.device)
            return place(nothing, nothing[:, 0], present)
        text: Text = self.encoder(inputs)
        return place(text.tokens, text.sentence, present, text.mask)


def _caption(sample: Sample) -> Sample:
    """A sample's caption as a sentence of its own."""
    return Sample(sample.id, tuple((sample.caption or "").split()), language=sample.language)
