"""Words or spans look at the picture (Xu et al., LREC-COLING 2024)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.blocks.attention import AttentionLayer, resize
from zoo.parts import Fuser, ViewSpec
from zoo.registry import register
from zoo.types import Units, View, Views

Positive = Annotated[int, Field(gt=0, le=16_384)]


@register("fuser", "cross_attention")
class CrossAttention(Fuser):
    """Units attend to [pooled ; regions] of all views, in one Transformer cross-attention layer.

    Cites: xu-etal-2024-effective

    A view whose width is another than the units' is projected by a linear layer of its own.
    Units of a row whose views are all missing come back exactly as they were.

    Args:
        width: D, of the units that come in.
        views: what each view will give.
        level: whether words (token) or candidate spans (span) look at the picture.
        keys: what of a view is looked at: its pooled vector and its regions, or one of them.
        heads: of the attention; a divisor of the width. None = heads of 64, at least four.
        dropout: on attention weights and on what is added to the residual stream.
        feed_forward: hidden size of a feed-forward block behind the attention, as a multiple of
            the width (SMNER: 4); None = none.
        concat: give back [unit ; what it became], 2 D wide (SMNER), instead of what it became.

    Raises:
        ConfigError: the heads don't divide the width.
    """

    def __init__(
        self,
        width: int,
        views: dict[str, ViewSpec],
        *,
        level: Literal["token", "span"] = "token",
        keys: Literal["both", "pooled", "regions"] = "both",
        heads: Positive | None = None,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        feed_forward: Positive | None = None,
        concat: bool = False,
    ) -> None:
        super().__init__()
        self.level = level
        self.keys = keys
        self.concat = concat
        self.width = 2 * width if concat else width
        self.projections = nn.ModuleDict(
            {name: resize(spec.width, width) for name, spec in views.items()}
        )
        hidden = feed_forward and feed_forward * width
        self.attention = AttentionLayer(width, heads, dropout, hidden)

    def forward(self, units: Units, views: Views) -> Units:
        looked_at = [self._keys(views[name], project) for name, project in self.projections.items()]
        keys, masks = (torch.cat(part, dim=1) for part in zip(*looked_at, strict=True))
        real = units.mask & masks.any(dim=1, keepdim=True)
        fused = self.attention(units.vectors, keys, masks, real)
        if self.concat:
            fused = torch.cat([units.vectors, fused], dim=-1)
        if not self.publish_attention:
            return units.with_vectors(fused)
        weights = self.attention.weights(units.vectors, keys, masks) * units.mask.unsqueeze(-1)
        each = torch.split(weights, [mask.shape[1] for _, mask in looked_at], dim=-1)
        return units.with_vectors(fused, attention=dict(zip(self.projections, each, strict=True)))

    def _keys(self, view: View, project: nn.Module) -> tuple[Tensor, Tensor]:
        """Projected vectors (B, K, D) and their mask (B, K)."""
        vectors, mask = view.regions, view.mask
        if self.keys != "regions":
            vectors, mask = view.pooled.unsqueeze(1), view.present.unsqueeze(1)
        if self.keys == "both":
            vectors = torch.cat([vectors, view.regions], dim=1)
            mask = torch.cat([mask, view.mask], dim=1)
        return project(vectors), mask
