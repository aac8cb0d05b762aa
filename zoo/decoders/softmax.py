"""Each word's tag on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from zoo.decoders.tagging import Scheme, Tagging, scored
from zoo.parts import Decoder
from zoo.registry import register
from zoo.types import Entity, ScoredEntity, Text, Units


@register("decoder", "softmax")
class Softmax(Decoder):
    """Each word's tag on its own: cross-entropy, the mean over words.

    Cites: devlin-etal-2019-bert

    The most probable tag of each word is taken and the sequence is read leniently. An entity's
    score is the product of its tags' probabilities, that is their joint probability under this
    model: comparable with the posterior that :class:`zoo.decoders.crf.Crf` gives.

    Args:
        fused: width D of the words' vectors.
        types: the entity types.
        scheme: the tags.
        dropout: on the words' vectors.
    """

    loss_names = ("tags",)

    def __init__(
        self,
        fused: int,
        types: list[str],
        *,
        scheme: Scheme = "BIO",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    ) -> None:
        super().__init__()
        self.tagging = Tagging(types, scheme)
        self.dropout = nn.Dropout(dropout)
        self.emission = nn.Linear(fused, len(self.tagging))

    def loss(
        self, units: Units, text: Text, gold: Sequence[Sequence[Entity]]
    ) -> Mapping[str, Tensor]:
        tags = self.tagging.encode(gold, units.mask)
        logits = self.emission(self.dropout(units.vectors))[units.mask]
        return {"tags": functional.cross_entropy(logits, tags[units.mask])}

    def log_marginals(self, units: Units, text: Text) -> Tensor:
        """(B, N, K): log p(y_i = k | x) of each word's tags."""
        logits: Tensor = self.emission(self.dropout(units.vectors))
        # in the weights' precision: half of it is too coarse for a sum of logarithms
        logits = logits.to(self.emission.weight.dtype)
        return logits.log_softmax(dim=-1) * units.mask.unsqueeze(-1)

    @torch.no_grad()
    def decode(self, units: Units, text: Text) -> list[list[ScoredEntity]]:
        best, path = self.log_marginals(units, text).max(dim=-1)
        total = best.cumsum(dim=1)

        def product(row: Tensor, first: Tensor, last: Tensor) -> Tensor:
            return torch.exp(total[row, last] - total[row, first] + best[row, first])

        entities = self.tagging.read(path.masked_fill(~units.mask, -1))
        return scored(entities, product, path.device)
