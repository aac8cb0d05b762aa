"""Every short span of words is a candidate; the overlapping ones compete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from zoo.errors import DataError, near
from zoo.parts import Decoder
from zoo.registry import register
from zoo.types import Entity, Sample, ScoredEntity, Text, Units

Positive = Annotated[int, Field(gt=0, le=16_384)]
Probability = Annotated[float, Field(ge=0, lt=1)]


CASES = 5
"""Upper, lower, title, digit, other."""

BUCKETS = 4
"""Of a span's width in sub-words: 1, 2, 3, more."""


@register("decoder", "span_classifier")
class SpanClassifier(Decoder):
    """Classifies every span of up to ``max_width`` words as a type or none (O).

    Cites: xu-etal-2024-effective

    A span's vector is linear in [its first sub-word ; its last one ; embedding of its width in
    sub-words, in buckets ; relu(embedding of its length in words) ; sum over its words of an
    embedding of their capitalisation]. (Words that a fuser has changed are one vector each, which
    then stands for both ends.) Loss: Σ weight · cross-entropy over the real spans of
    the batch, divided by their *number*; the weight is 1 on entities. Decoding takes each span's
    best type and keeps spans greedily by its probability (ties: the longer, then the left one)
    as long as they don't overlap. A gold entity wider than ``max_width`` can't be produced: a miss.

    Args:
        width: width D of the words' vectors, and of the spans' made of them.
        fused: width of the spans' vectors when they are classified.
        types: the entity types.
        max_width: of a candidate, in words.
        width_dim: size of the embedding of a span's width; None = none.
        length_dim: size of the embedding of a span's length; None = none.
        case_dim: size of the embedding of a word's capitalisation; None = none.
        o_weight: weight in the loss of spans that are no entity.
        dropout: on the words' vectors that spans are made of.
        hidden: whether a hidden layer (GELU, dropout) of the width of what it reads comes before
            the classes.
        hidden_dropout: in that layer.
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
        width_dim: Positive | None = 50,
        length_dim: Positive | None = 50,
        case_dim: Positive | None = 100,
        o_weight: Annotated[float, Field(gt=0)] = 0.5,
        dropout: Probability = 0.1,
        hidden: bool = False,
        hidden_dropout: Probability = 0.2,
    ) -> None:
        super().__init__()
        self.types = types
        self.max_width = max_width
        self.o_weight = o_weight
        self.dropout = nn.Dropout(dropout)
        features = {
            "width": (BUCKETS, width_dim),
            "length": (max_width, length_dim),
            "case": (CASES, case_dim),
        }
        self.features = nn.ModuleDict(
            {name: nn.Embedding(rows, dim) for name, (rows, dim) in features.items() if dim}
        )
        self.sizes = [width, width, *(dim for _, dim in features.values() if dim)]
        self.projection = nn.Linear(sum(self.sizes), width)
        classes = 1 + len(types)
        self.classifier: nn.Module = nn.Linear(fused, classes)
        if hidden:
            self.classifier = nn.Sequential(
                nn.Linear(fused, fused),
                nn.GELU(),
                nn.Dropout(hidden_dropout),
                nn.Linear(fused, classes),
            )

    def units(self, words: Units, text: Text, samples: Sequence[Sample]) -> Units:
        """All spans: first word rising, then last word rising; U follows the longest sentence."""
        spans = candidates(words.mask.shape[1], self.max_width).to(words.mask.device)
        mask = spans[:, 1] <= words.mask.sum(dim=1, keepdim=True)
        vectors = self.vectors(spans, words, text, samples)
        return Units(vectors, mask, spans * mask.unsqueeze(-1))

    def vectors(self, spans: Tensor, words: Units, text: Text, samples: Sequence[Sample]) -> Tensor:
        """The candidates' vectors (B, U, D), for spans (U, 2) that are the same in every row.

        The projection is linear, so each piece of the concatenation is projected where there is
        little of it (once a word, once a row of an embedding), and spans add up the results.
        """
        first_weight, last_weight, *others = torch.split(self.projection.weight, self.sizes, dim=1)
        start, end = spans.unbind(1)
        first, last = words.vectors, words.vectors if words.last is None else words.last
        first = functional.linear(self.dropout(first), first_weight, self.projection.bias)
        last = functional.linear(self.dropout(last), last_weight)
        vectors = first.index_select(1, start) + last.index_select(1, end - 1)
        for (name, embedding), weight in zip(self.features.items(), others, strict=True):
            assert isinstance(embedding, nn.Embedding)
            table = embedding.weight.relu() if name == "length" else embedding.weight
            rows = functional.linear(table, weight)
            if name == "length":
                vectors = vectors + rows[end - start - 1]
            elif name == "width":
                sizes = within(_pieces(text), start, end)
                vectors = vectors + rows[(sizes - 1).clamp(0, BUCKETS - 1)]
            else:
                kinds = functional.one_hot(cases(samples, words.mask), 1 + CASES)[..., 1:]
                vectors = vectors + within(kinds, start, end).to(rows) @ rows
        return vectors

    def loss(
        self, units: Units, text: Text, gold: Sequence[Sequence[Entity]]
    ) -> Mapping[str, Tensor]:
        logits = self._logits(units)
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

    def log_marginals(self, units: Units, text: Text) -> Tensor:
        """(B, U, 1 + types): log p(class | span), class 0 is O."""
        return self._logits(units).log_softmax(dim=-1) * units.mask.unsqueeze(-1)

    def _logits(self, units: Units) -> Tensor:
        """(B, U, 1 + types), 0 on padding, for which nothing is computed."""
        real = units.mask.flatten().nonzero().squeeze(1)
        logits: Tensor = self.classifier(units.vectors.flatten(0, 1).index_select(0, real))
        # in the weights' precision: in half of it, sure candidates would all be equally probable
        logits = logits.to(self.projection.weight.dtype)
        spread = logits.new_zeros(units.mask.numel(), logits.shape[1])
        return spread.index_copy(0, real, logits).view(*units.mask.shape, -1)

    @torch.no_grad()
    def decode(self, units: Units, text: Text) -> list[list[ScoredEntity]]:
        probability, label = self._logits(units).softmax(dim=-1).max(dim=-1)
        chosen = units.mask & (label > 0)
        rows = chosen.nonzero()[:, 0].tolist()
        spans = units.spans[chosen].tolist()
        found: list[list[ScoredEntity]] = [[] for _ in units.mask]
        for row, (start, end), kind, score in zip(
            rows, spans, label[chosen].tolist(), probability[chosen].tolist(), strict=True
        ):
            found[row].append(ScoredEntity(start, end, self.types[kind - 1], score))
        return [without_overlaps(entities) for entities in found]


def _pieces(text: Text) -> Tensor:
    """Sub-words of each word (B, N); 1 where the encoder has none."""
    return text.mask.long() if text.pieces is None else text.pieces


def within(counts: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Sums of ``counts`` (B, N, …) int64 over the words of spans [start, end), (U,): (B, U, …)."""
    sums = counts.cumsum(dim=1)
    sums = torch.cat([torch.zeros_like(sums[:, :1]), sums], dim=1)
    return sums.index_select(1, end) - sums.index_select(1, start)


def cases(samples: Sequence[Sample], mask: Tensor) -> Tensor:
    """Capitalisation of each word (B, N) int64, 1 to 5 by :func:`case`; 0 on padding."""
    rows = torch.zeros(mask.shape, dtype=torch.int64)
    for row, sample in zip(rows, samples, strict=True):
        row[: len(sample.words)] = torch.tensor([case(word) for word in sample.words])
    return rows.to(mask.device)


@cache
def case(word: str) -> int:
    """1 upper, 2 lower, 3 title, 4 digit, 5 other: the first that Python says the word is."""
    tests = (word.isupper(), word.islower(), word.istitle(), word.isdigit(), True)
    return 1 + tests.index(True)


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
    taken = bytearray(max((entity.end for entity in entities), default=0))  # 1 on words of kept
    for entity in sorted(entities, key=lambda e: (-e.score, e.start - e.end, e.start)):
        if 1 not in taken[entity.start : entity.end]:
            taken[entity.start : entity.end] = b"\1" * (entity.end - entity.start)
            kept.append(entity)
    return sorted(kept)
