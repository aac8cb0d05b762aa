"""Every short span of words is a candidate; the overlapping ones compete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from allennlp_light.modules.span_extractors.endpoint_span_extractor import EndpointSpanExtractor
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from zoo.errors import DataError
from zoo.parts import Decoder
from zoo.registry import near, register
from zoo.types import Entity, ScoredEntity, Text, Units

Positive = Annotated[int, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]


@register("decoder", "span_classifier")
class SpanClassifier(Decoder):
    """Classifies every span of up to ``max_width`` words as a type or none (O).

    Cites: xu-etal-2024-effective

    A span's vector is linear in [its first word ; its last word ; embedding of its width in words]
    (allennlp-light's endpoint extractor). Loss: Σ weight · cross-entropy over the real spans of
    the batch, divided by their *number*; the weight is 1 on entities. Decoding takes each span's
    best type and keeps spans greedily by its probability (ties: the longer, then the left one)
    as long as they don't overlap. A gold entity wider than ``max_width`` can't be produced: a miss.

    Args:
        width: width D of the words' vectors, and of the spans' made of them.
        fused: width of the spans' vectors when they are classified.
        types: the entity types.
        max_width: of a candidate, in words.
        width_dim: size of the embedding of a span's width.
        o_weight: weight in the loss of spans that are no entity.
        hidden: size of a hidden layer (GELU, dropout) before the classes; None = linear.
        dropout: on the spans' vectors before their projection, and in the hidden layer.
    """

    classifies = "span"
    loss_names = ("spans",)

    def __init__(
        self,
        width: int,
        fused: int,
        types: list[str],
        *,
        max_width: Positive = 4,
        width_dim: Positive = 50,
        o_weight: Annotated[float, Field(gt=0)] = 0.5,
        hidden: Positive | None = None,
        dropout: Probability = 0.1,
    ) -> None:
        super().__init__()
        self.types = types
        self.max_width = max_width
        self.o_weight = o_weight
        self.extractor = EndpointSpanExtractor(
            width, "x,y", num_width_embeddings=max_width, span_width_embedding_dim=width_dim
        )
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(2 * width + width_dim, width)
        classes = 1 + len(types)
        self.classifier: nn.Module = nn.Linear(fused, classes)
        if hidden is not None:
            self.classifier = nn.Sequential(
                nn.Linear(fused, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, classes)
            )

    def units(self, words: Units) -> Units:
        """All spans: first word rising, then last word rising; U follows the longest sentence."""
        spans = candidates(words.mask.shape[1], self.max_width).to(words.mask.device)
        mask = spans[:, 1] <= words.mask.sum(dim=1, keepdim=True)
        spans = spans * mask.unsqueeze(-1)
        # the extractor's ends are inclusive
        ends = (spans[..., 1] - 1).clamp(min=0)
        inclusive = torch.stack([spans[..., 0], ends], dim=-1)
        vectors = self.extractor(words.vectors.contiguous(), inclusive)
        return Units(self.projection(self.dropout(vectors)), mask, spans)

    def loss(
        self, units: Units, text: Text, gold: Sequence[Sequence[Entity]]
    ) -> Mapping[str, Tensor]:
        logits: Tensor = self.classifier(units.vectors)
        labels = self.labels(units, text.mask.shape[1], gold)
        return {"spans": span_loss(logits, labels, units.mask, self.o_weight)}

    def labels(self, units: Units, length: int, gold: Sequence[Sequence[Entity]]) -> Tensor:
        """Class of each unit (B, U) int64: 0 is O.

        Raises:
            DataError: an entity's type is none of the types.
        """
        grid = torch.zeros(len(gold), length, self.max_width, dtype=torch.int64)
        for row, entities in enumerate(gold):
            for start, end, kind in entities:
                if kind not in self.types:
                    raise DataError(
                        f"entity type `{kind}` is unknown to the decoder{near(kind, self.types)}"
                    )
                if end - start <= self.max_width:
                    grid[row, start, end - start - 1] = 1 + self.types.index(kind)
        first, last = units.spans[..., 0], units.spans[..., 1] - 1
        rows = torch.arange(len(gold), device=first.device).unsqueeze(1)
        labels = grid.to(first.device)[rows, first, (last - first).clamp(min=0)]
        return labels * units.mask

    @torch.no_grad()
    def decode(self, units: Units, text: Text) -> list[list[ScoredEntity]]:
        probability, label = self.classifier(units.vectors).softmax(dim=-1).max(dim=-1)
        chosen = units.mask & (label > 0)
        rows = chosen.nonzero()[:, 0].tolist()
        spans = units.spans[chosen].tolist()
        found: list[list[ScoredEntity]] = [[] for _ in units.mask]
        for row, (start, end), kind, score in zip(
            rows, spans, label[chosen].tolist(), probability[chosen].tolist(), strict=True
        ):
            found[row].append(ScoredEntity(start, end, self.types[kind - 1], score))
        return [without_overlaps(entities) for entities in found]


def candidates(length: int, max_width: int) -> Tensor:
    """(U, 2) int64 [start, end): all spans of up to ``max_width`` words among ``length``."""
    start = torch.arange(length).repeat_interleave(max_width)
    end = start + torch.arange(1, max_width + 1).repeat(length)
    return torch.stack([start, end], dim=-1)[end <= length]


def span_loss(logits: Tensor, labels: Tensor, mask: Tensor, o_weight: float) -> Tensor:
    """Σ weight · cross-entropy over real spans / number of real spans; weight 1 on entities.

    Args:
        logits: (B, U, classes).
        labels: (B, U) int64, 0 is O.
        mask: (B, U).
        o_weight: weight of the class O.
    """
    labels = labels[mask]
    losses = functional.cross_entropy(logits[mask], labels, reduction="none")
    return (losses * torch.where(labels > 0, 1.0, o_weight)).mean()


def without_overlaps(entities: Sequence[ScoredEntity]) -> list[ScoredEntity]:
    """Greedily by score (ties: the longer, then the left one); sorted by start."""
    kept: list[ScoredEntity] = []
    for entity in sorted(entities, key=lambda e: (-e.score, e.start - e.end, e.start)):
        if all(entity.end <= other.start or other.end <= entity.start for other in kept):
            kept.append(entity)
    return sorted(kept)
