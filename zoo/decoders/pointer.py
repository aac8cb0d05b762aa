"""Where entities start and where they end, by two classifiers of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from zoo.decoders.span_classifier import without_overlaps
from zoo.errors import DataError, near
from zoo.parts import Decoder
from zoo.registry import register
from zoo.types import Entity, ScoredEntity, Text, Units


@register("decoder", "pointer")
class Pointer(Decoder):
    """Two softmaxes a word, over the types and none: does an entity start here, does one end here?

    Cites: devlin-etal-2019-bert

    The losses ``starts`` and ``ends`` are cross-entropies, each the mean over words. A start is
    matched to the nearest end of its type that is not before it, if there is one; the entity's
    score is p(start) · p(end), its joint probability under this model. Of overlapping entities the
    more probable one stays. Any width can be decoded; nested or overlapping entities can't be.

    Args:
        fused: width D of the words' vectors.
        types: the entity types.
        dropout: on the words' vectors.
    """

    loss_names = ("starts", "ends")

    def __init__(
        self, fused: int, types: list[str], *, dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    ) -> None:
        super().__init__()
        self.types = list(types)
        self.dropout = nn.Dropout(dropout)
        self.starts = nn.Linear(fused, 1 + len(types))
        self.ends = nn.Linear(fused, 1 + len(types))

    def loss(
        self, units: Units, text: Text, gold: Sequence[Sequence[Entity]]
    ) -> Mapping[str, Tensor]:
        vectors = self.dropout(units.vectors)[units.mask]
        wanted = self.labels(gold, units.mask)[:, units.mask]
        made = zip(self.loss_names, (self.starts, self.ends), wanted, strict=True)
        return {name: functional.cross_entropy(head(vectors), label) for name, head, label in made}

    def labels(self, gold: Sequence[Sequence[Entity]], mask: Tensor) -> Tensor:
        """(2, B, N) int64: the type that starts at each word, and that which ends there; 0 = none.

        Raises:
            DataError: an entity's type is none of the types.
        """
        found = torch.zeros(2, *mask.shape, dtype=torch.int64)
        for row, entities in enumerate(gold):
            for start, end, kind in entities:
                if kind not in self.types:
                    raise DataError(
                        f"entity type `{kind}` is unknown to the decoder{near(kind, self.types)}"
                    )
                found[0, row, start] = found[1, row, end - 1] = 1 + self.types.index(kind)
        return found.to(mask.device)

    def log_probabilities(self, units: Units) -> tuple[Tensor, Tensor]:
        """(B, N, 1 + T) each: of what starts at a word, and of what ends there; none is first."""
        vectors, precise = self.dropout(units.vectors), self.starts.weight.dtype
        starts, ends = self.starts(vectors).to(precise), self.ends(vectors).to(precise)
        return starts.log_softmax(dim=-1), ends.log_softmax(dim=-1)

    def log_marginals(self, units: Units, text: Text) -> Tensor:
        """(B, N, (1 + T)²): of each pair of what starts at a word and what ends there."""
        starts, ends = self.log_probabilities(units)
        pairs = (starts.unsqueeze(3) + ends.unsqueeze(2)).flatten(2)
        return pairs * units.mask.unsqueeze(-1)

    @torch.no_grad()
    def decode(self, units: Units, text: Text) -> list[list[ScoredEntity]]:
        (start_scores, starts), (end_scores, ends) = (
            (best.exp().tolist(), kinds.masked_fill(~units.mask, 0).tolist())
            for best, kinds in (each.max(dim=-1) for each in self.log_probabilities(units))
        )
        found = []
        for row, kinds in enumerate(starts):
            closing: dict[int, int] = {}  # the nearest end of each type, from the right
            entities = []
            for word in reversed(range(len(kinds))):
                if ends[row][word]:
                    closing[ends[row][word]] = word
                if (kind := kinds[word]) and (end := closing.get(kind)) is not None:
                    score = start_scores[row][word] * end_scores[row][end]
                    entities.append(ScoredEntity(word, end + 1, self.types[kind - 1], score))
            found.append(without_overlaps(entities))
        return found
