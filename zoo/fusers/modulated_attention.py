"""The sentence looks at the picture once, and each word weighs what was seen (Lu et al., 2018)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from zoo.blocks.attention import resize, where_seen
from zoo.parts import Fuser, ViewSpec
from zoo.registry import register
from zoo.types import Units, Views


@register("fuser", "modulated_attention")
class ModulatedAttention(Fuser):
    """One visual attention a sentence, then two gates a unit: for the unit, and for the picture.

    Cites: lu-etal-2018-visual

    With the regions v_j = tanh(P r_j) of all views and the mean q of the units h_i:

        α = softmax_j w · tanh(K v_j + Q q),  c = Σ_j α_j v_j
        β_v = σ(A h_i + A' c), β_w = σ(B h_i + B' c), m = tanh(C h_i + C' c)
        out_i = β_w * h_i + β_v * m                                  (element by element)

    The gates need not sum to 1. That of the unit begins open, that of the picture half open.
    Padding is not looked at; a row without a picture comes back as it was.

    Args:
        width: D, of the units that come in and go out.
        views: what each view will give; regions of another width are projected.
        level: whether words (token) or candidate spans (span) look at the pictures.
        hidden: size of the space in which scores are taken; None = the width.
    """

    def __init__(
        self,
        width: int,
        views: dict[str, ViewSpec],
        *,
        level: Literal["token", "span"] = "token",
        hidden: Annotated[int, Field(gt=0, le=16_384)] | None = None,
    ) -> None:
        super().__init__()
        self.level = level
        self.width = width
        self.projections = nn.ModuleDict(
            {name: resize(spec.width, width) for name, spec in views.items()}
        )
        self.key = nn.Linear(width, hidden or width)
        self.query = nn.Linear(width, hidden or width, bias=False)
        self.score = nn.Linear(hidden or width, 1, bias=False)
        self.unit = nn.Linear(width, 3 * width)
        self.context = nn.Linear(width, 3 * width, bias=False)
        with torch.no_grad():
            self.unit.bias[width : 2 * width].fill_(3.0)  # of β_w

    def forward(self, units: Units, views: Views) -> Units:
        regions = [project(views[name].regions) for name, project in self.projections.items()]
        there = torch.cat([views[name].mask for name in self.projections], dim=1)
        shown = torch.cat(regions, dim=1).tanh()
        words, mask = units.vectors, units.mask.unsqueeze(-1)
        asked = (words * mask).sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        scores = self.score((self.key(shown) + self.query(asked)).tanh()).squeeze(-1)
        alpha = scores.masked_fill(~there, torch.finfo(scores.dtype).min).softmax(dim=-1)
        context = alpha.unsqueeze(1) @ shown.to(alpha.dtype)
        picture, unit, mixed = (self.unit(words) + self.context(context)).chunk(3, dim=-1)
        fused = unit.sigmoid() * words + picture.sigmoid() * mixed.tanh()
        fused = where_seen(there.any(dim=1), fused, words)
        if not self.publish_attention:
            return units.with_vectors(fused)
        weights = (alpha.detach() * there).unsqueeze(1) * mask
        each = torch.split(weights, [x.shape[1] for x in regions], dim=-1)
        return units.with_vectors(fused, attention=dict(zip(self.projections, each, strict=True)))
