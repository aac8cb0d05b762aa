"""UMT's multimodal transformer with a visual gate (Yu et al., ACL 2020)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.blocks.attention import AttentionLayer, project, where_seen
from zoo.parts import Fuser, ViewSpec
from zoo.registry import register
from zoo.types import Units, Views


@register("fuser", "multimodal_transformer")
class MultimodalTransformer(Fuser):
    """Units look at the regions, regions at the units, and a gate weighs what was seen.

    Cites: yu-etal-2020-improving-multimodal

    With block(x; y) a layer of BERT whose queries are x and whose keys and values are y, the units
    S (B, U, D) and the regions R (B, R, D_v) of all views::

        X = block(S; S)           the units among themselves
        Q = block(X; W1 R)        word-aware picture, a vector for each unit
        P = block(W2 R; X)        text-aware regions, a vector for each region
        A = block(X; P)           picture-aware units
        g = σ(W [A ; Q] + b)      visual gate, one number for each channel
        fused = [A ; g * Q]       (B, U, 2 D)

    All four blocks have weights of their own; each view has its own W1 and W2. A row without any
    picture gives [S ; 0]. The published attention is that of the units to the regions, in Q.

    Args:
        width: D, of the units that come in; 2 D go out.
        views: what each view will give.
        level: whether words (token) or candidate spans (span) are fused.
        heads: of the attentions; a divisor of the width. None = heads of 64, at least four.
        feed_forward: hidden size of the blocks' feed-forward layers, as a multiple of the width.
        dropout: on attention weights and on what is added to the residual streams.

    Raises:
        ConfigError: the heads don't divide the width.
    """

    def __init__(
        self,
        width: int,
        views: dict[str, ViewSpec],
        *,
        level: Literal["token", "span"] = "token",
        heads: Annotated[int, Field(gt=0, le=16_384)] | None = None,
        feed_forward: Annotated[float, Field(gt=0, le=64)] = 4.0,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    ) -> None:
        super().__init__()
        self.level = level
        self.width = 2 * width
        self.for_units, self.for_regions = (
            nn.ModuleDict({name: project(spec.width, width) for name, spec in views.items()})
            for _ in range(2)
        )

        def block() -> AttentionLayer:
            return AttentionLayer(width, heads, dropout, max(1, round(feed_forward * width)))

        self.units_to_units, self.units_to_regions = block(), block()
        self.regions_to_units, self.units_to_aware_regions = block(), block()
        self.gate = nn.Linear(2 * width, width)

    def forward(self, units: Units, views: Views) -> Units:
        seen = [views[name] for name in self.for_units]
        mask = torch.cat([view.mask for view in seen], dim=1)
        regions, own = (
            torch.cat([linear(views[name].regions) for name, linear in each.items()], dim=1)
            for each in (self.for_units, self.for_regions)
        )
        text = self.units_to_units(units.vectors, units.vectors, units.mask)  # X
        picture = self.units_to_regions(text, regions, mask)  # Q
        aware_regions = self.regions_to_units(own, text, units.mask)  # P
        aware_units = self.units_to_aware_regions(text, aware_regions, mask)  # A
        gate = self.gate(torch.cat([aware_units, picture], dim=-1)).sigmoid()
        fused = torch.cat([aware_units, gate * picture], dim=-1)
        bare = torch.cat([units.vectors, torch.zeros_like(units.vectors)], dim=-1)
        fused = where_seen(mask.any(dim=1), fused, bare)
        if not self.publish_attention:
            return units.with_vectors(fused)
        weights: Tensor = self.units_to_regions.weights(text, regions, mask)
        weights = weights * units.mask.unsqueeze(-1)
        each = torch.split(weights, [view.mask.shape[1] for view in seen], dim=-1)
        return units.with_vectors(fused, attention=dict(zip(self.for_units, each, strict=True)))
