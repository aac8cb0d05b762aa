"""The picture reads the words, then the words read the picture (Cui et al., TASLP 2024)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.blocks.attention import resize, where_seen
from zoo.blocks.cross_block import CrossBlock
from zoo.parts import Fuser, ViewSpec
from zoo.registry import register
from zoo.types import Units, View, Views


@register("fuser", "two_step")
class TwoStep(Fuser):
    """Regions attend to the units, and the units to what the regions became.

    Cites: cui-etal-2024-enhancing

    R holds [pooled ; regions] of all views, each projected to the units' width where its own is
    another: seen = CA5(R; units), fused = CA6(units; seen), with the blocks of
    :class:`zoo.blocks.cross_block.CrossBlock`. Padding, of units in the first step and of regions
    in the second, is not looked at. A row whose views are all missing comes back as it was.

    Args:
        width: D, of the units that come in and go out.
        views: what each view will give.
        level: whether words (token) or candidate spans (span) look at the picture.
        heads: of the attentions; a divisor of the width. None = heads of 64, at least four.

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
    ) -> None:
        super().__init__()
        self.level = level
        self.width = width
        self.projections = nn.ModuleDict(
            {name: resize(spec.width, width) for name, spec in views.items()}
        )
        self.read = CrossBlock(width, heads)
        self.look = CrossBlock(width, heads)

    def forward(self, units: Units, views: Views) -> Units:
        shown = [_whole(views[name], project) for name, project in self.projections.items()]
        regions, mask = (torch.cat(part, dim=1) for part in zip(*shown, strict=True))
        seen = self.read(regions, units.vectors, units.mask)
        fused = where_seen(mask.any(dim=1), self.look(units.vectors, seen, mask), units.vectors)
        if not self.publish_attention:
            return units.with_vectors(fused)
        weights = self.look.weights(units.vectors, seen, mask) * units.mask.unsqueeze(-1)
        each = torch.split(weights, [mask.shape[1] for _, mask in shown], dim=-1)
        return units.with_vectors(fused, attention=dict(zip(self.projections, each, strict=True)))


def _whole(view: View, project: nn.Module) -> tuple[Tensor, Tensor]:
    """[pooled ; regions], projected (B, 1 + R, D), and their mask."""
    vectors = torch.cat([view.pooled.unsqueeze(1), view.regions], dim=1)
    return project(vectors), torch.cat([view.present.unsqueeze(1), view.mask], dim=1)
