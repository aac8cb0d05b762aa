"""The whole pictures through an MLP, beside each word: the fusion of AutoGluon's multimodal NER."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from zoo.errors import ConfigError
from zoo.parts import Fuser, ViewSpec
from zoo.registry import register
from zoo.types import Units, Views

Size = Annotated[int, Field(gt=0, le=16_384)]


@register("fuser", "late_fusion")
class LateFusion(Fuser):
    """The pooled vectors of all views, adapted, concatenated and transformed, beside each unit.

    Cites: tang-etal-2024-autogluon

    Every view's pooled vector g is mapped to the width of the widest, a = W g + b; the a of all
    views together pass a layer (layer normalisation, linear, leaky ReLU, dropout) for each number
    in ``hidden``; what comes out, z, is the same for all units: out = [h_i ; z]. A view that a row
    lacks gives 0 in place of a; in a row that lacks all views z is 0.

    Args:
        width: D, of the units that come in.
        views: what each view will give.
        level: whether words (token) or candidate spans (span) are classified.
        hidden: sizes of the layers; the last is what is added to a unit's width.
        dropout: in each layer.

    Raises:
        ConfigError: ``hidden`` is empty.
    """

    def __init__(
        self,
        width: int,
        views: dict[str, ViewSpec],
        *,
        level: Literal["token", "span"] = "token",
        hidden: list[Size] | None = None,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    ) -> None:
        super().__init__()
        sizes = [128] if hidden is None else list(hidden)
        if not sizes:
            raise ConfigError("late_fusion: `hidden` is empty; name the size of at least one layer")
        self.level = level
        self.width = width + sizes[-1]
        widest = max(spec.width for spec in views.values())
        self.adapters = nn.ModuleDict(
            {name: nn.Linear(spec.width, widest) for name, spec in views.items()}
        )
        before = [widest * len(views), *sizes[:-1]]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.LayerNorm(one), nn.Linear(one, two), nn.LeakyReLU(), nn.Dropout(dropout)
                )
                for one, two in zip(before, sizes, strict=True)
            )
        )

    def forward(self, units: Units, views: Views) -> Units:
        present = torch.stack([views[name].present for name in self.adapters])
        adapted = [
            adapt(views[name].pooled) * there.unsqueeze(-1)
            for (name, adapt), there in zip(self.adapters.items(), present, strict=True)
        ]
        whole = self.layers(torch.cat(adapted, dim=-1)) * present.any(dim=0).unsqueeze(-1)
        beside = whole.unsqueeze(1).expand(-1, units.mask.shape[1], -1)
        return units.with_vectors(
            torch.cat([units.vectors, beside.to(units.vectors.dtype)], dim=-1)
        )
