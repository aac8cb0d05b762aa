"""2M-NER's collaboration of text and pictures (Wang et al., arXiv 2404.17122)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.blocks.attention import AttentionLayer, begin_small, resize, where_seen
from zoo.errors import ConfigError, near
from zoo.parts import Fuser, ViewSpec
from zoo.registry import register
from zoo.types import Units, View, Views

Keys = Literal["pooled", "regions"]


@register("fuser", "collaboration")
class Collaboration(Fuser):
    """One cross-attention for each view, concatenated and projected to the units' width.

    Cites: wang-etal-2024-2mner

    F_v = LN(H + O_v · MHA_v(H, V, V)) for the regions V of a view, or, where the view's pooled
    vector g alone is looked at, F_v = LN(H + O_v · W_v · g): attention over a single key is a
    constant, so the branch adds one vector to all words (2M-NER's ResNet branch, which repeats g
    for every word, computes just that). fused = W [F_1 ; F_2 ; …], dropout.

    Begins as the mean of its branches. In a row that lacks a view its branch is LN(H); a row
    that lacks them all comes back as it was.

    Args:
        width: D, of the units that come in and go out.
        views: what each view will give.
        level: whether words (token) or candidate spans (span) look at the pictures.
        keys: what of a view is looked at, its pooled vector or its regions; one for all views or
            one a view (regions where not named).
        heads: of the attentions; a divisor of the width. None = heads of 64, at least four.
        dropout: on attention weights, on what is added to the residual stream, on what comes out.

    Raises:
        ConfigError: ``keys`` names an unknown view, or the heads don't divide the width.
    """

    def __init__(
        self,
        width: int,
        views: dict[str, ViewSpec],
        *,
        level: Literal["token", "span"] = "token",
        keys: Keys | dict[str, Keys] = "regions",
        heads: Annotated[int, Field(gt=0, le=16_384)] | None = None,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    ) -> None:
        super().__init__()
        self.level = level
        self.width = width
        if isinstance(keys, str):
            keys = dict.fromkeys(views, keys)
        for name in keys:
            if name not in views:
                raise ConfigError(f"collaboration: `keys` names `{name}`{near(name, views)}")
        self.branches = nn.ModuleDict(
            {
                name: GlobalBranch(width, spec.width, dropout)
                if keys.get(name) == "pooled"
                else RegionBranch(width, spec.width, heads, dropout)
                for name, spec in views.items()
            }
        )
        self.fusion = nn.Linear(len(views) * width, width)
        with torch.no_grad():
            mean = torch.eye(width).repeat(1, len(views)) / len(views)
            self.fusion.weight.mul_(0.1).add_(mean)
            self.fusion.bias.zero_()
        self.dropout = nn.Dropout(dropout)

    def forward(self, units: Units, views: Views) -> Units:
        branches = [branch(units.vectors, views[name]) for name, branch in self.branches.items()]
        fused = self.dropout(self.fusion(torch.cat(branches, dim=-1)))
        seen = torch.stack([views[name].present for name in self.branches]).any(dim=0)
        attention = {}
        if self.publish_attention:
            for name, branch in self.branches.items():
                if isinstance(branch, RegionBranch):
                    weights = branch.weights(units.vectors, views[name])
                    attention[name] = weights * units.mask.unsqueeze(-1)
        fused = where_seen(seen, fused, units.vectors)
        return units.with_vectors(fused, attention=attention)


class RegionBranch(nn.Module):
    """LN(H + O · MHA(H, V, V)) over a view's regions V."""

    def __init__(self, width: int, seen: int, heads: int | None, dropout: float) -> None:
        super().__init__()
        self.projection = resize(seen, width)
        self.attention = AttentionLayer(width, heads, dropout)

    def forward(self, units: Tensor, view: View) -> Tensor:
        """(B, U, D) to (B, U, D)."""
        attended = self.attention(units, self.projection(view.regions), view.mask)
        return where_seen(view.present, attended, self.attention.layer_norm(units))

    def weights(self, units: Tensor, view: View) -> Tensor:
        """The attention of each unit to each region (B, U, R)."""
        return self.attention.weights(units, self.projection(view.regions), view.mask)


class GlobalBranch(nn.Module):
    """LN(H + O · W · (W_g · g)) with a view's pooled vector g."""

    def __init__(self, width: int, seen: int, dropout: float) -> None:
        super().__init__()
        self.projection = resize(seen, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        begin_small(self.output)
        self.layer_norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, units: Tensor, view: View) -> Tensor:
        """(B, U, D) to (B, U, D)."""
        added = self.dropout(self.output(self.value(self.projection(view.pooled))))
        added = added * view.present.unsqueeze(1)
        normalised: Tensor = self.layer_norm(units + added.unsqueeze(1))
        return normalised
