"""Entities as one tag a word, and back: what the decoders that tag words share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from zoo.errors import DataError, near
from zoo.tags import read_tags, write_tags
from zoo.types import Entity, ScoredEntity

Scheme = Literal["BIO", "BIOES"]


class Tagging:
    """The tags of a scheme, numbered: ``O`` is 0, then each type's prefixes in the scheme's order.

    Args:
        types: the entity types.
        scheme: BIO has two tags a type and ``O``, BIOES four and ``O``.
    """

    def __init__(self, types: Sequence[str], scheme: Scheme) -> None:
        self.scheme: Scheme = scheme
        prefixes = "BI" if scheme == "BIO" else "BIES"
        self.tags = ["O", *(f"{prefix}-{kind}" for kind in types for prefix in prefixes)]
        self._index = {tag: index for index, tag in enumerate(self.tags)}
        self._types = list(types)

    def __len__(self) -> int:
        return len(self.tags)

    def encode(self, gold: Sequence[Sequence[Entity]], mask: Tensor) -> Tensor:
        """Gold entities as tag numbers (B, N) int64, 0 on padding.

        Raises:
            DataError: an entity's type is none of the types.
        """
        rows = np.zeros(mask.shape, dtype=np.int64)
        for row, (entities, length) in enumerate(zip(gold, mask.sum(1).tolist(), strict=True)):
            for entity in entities:
                if entity.type not in self._types:
                    raise DataError(
                        f"entity type `{entity.type}` is unknown to the decoder"
                        f"{near(entity.type, self._types)}"
                    )
            tags = write_tags(entities, length, self.scheme)
            rows[row, :length] = [self._index[tag] for tag in tags]
        return torch.from_numpy(rows).to(mask.device)

    def read(self, paths: Tensor) -> list[list[Entity]]:
        """The entities of tag numbers (B, N), -1 on padding, read leniently."""
        return [
            read_tags([self.tags[tag] for tag in path if tag >= 0], "lenient")
            for path in paths.tolist()
        ]


def scored(
    entities: Sequence[Sequence[Entity]],
    probability: Callable[[Tensor, Tensor, Tensor], Tensor],
    device: torch.device,
) -> list[list[ScoredEntity]]:
    """Give every entity its probability, all in one call.

    Args:
        entities: those of each sentence.
        probability: of M entities' sentences, first and last words (inclusive), each (M,) int64,
            makes the probabilities (M,).
        device: where ``probability`` wants its arguments.
    """
    places = [(row, e.start, e.end - 1) for row, found in enumerate(entities) for e in found]
    if not places:
        return [[] for _ in entities]
    rows, first, last = torch.tensor(places, device=device).unbind(1)
    scores = iter(probability(rows, first, last).clamp(0, 1).tolist())
    return [[ScoredEntity(*entity, next(scores)) for entity in found] for found in entities]
