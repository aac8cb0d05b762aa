"""Words or spans look at the picture (Xu et al., LREC-COLING 2024; Wang et al., 2024)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from zoo.errors import ConfigError
from zoo.parts import Fuser, ViewSpec
from zoo.registry import register
from zoo.types import Units, Views

Positive = Annotated[int, Field(gt=0)]


class CrossAttentionLayer(nn.Module):
    """a = LN(x + O · MHA(x, keys, keys)); with a feed-forward: c = LN(a + F2 · GELU(F1 · a)).

    Post-norm, eps 1e-12, exact (erf) GELU, scores divided by the root of the head's width.

    Args:
        width: D.
        heads: a divisor of D.
        dropout: on attention weights and on what is added to the residual stream.
        feed_forward: hidden size of the feed-forward block; None = none.
    """

    def __init__(self, width: int, heads: int, dropout: float, feed_forward: int | None) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        # no bias: it would move all scores of a query alike, which softmax doesn't see
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        # Small, not zero: the layer starts as a LayerNorm of its input, so an untrained picture
        # does little harm, and every parameter still gets a gradient at the first step.
        nn.init.xavier_uniform_(self.output.weight, gain=0.1)
        nn.init.zeros_(self.output.bias)
        self.layer_norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward: nn.Module | None = None
        if feed_forward is not None:
            self.feed_forward = nn.Sequential(
                nn.Linear(width, feed_forward), nn.GELU(), nn.Linear(feed_forward, width)
            )
            self.feed_forward_norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """(B, U, D) from x (B, U, D), keys (B, K, D) and mask (B, K), True = may be looked at.

        A row without any key gives an undefined, finite answer.
        """
        open_mask = mask | ~mask.any(dim=1, keepdim=True)  # softmax over nothing is NaN
        attended = functional.scaled_dot_product_attention(
            self._split(self.query(x)),
            self._split(self.key(keys)),
            self._split(self.value(keys)),
            attn_mask=open_mask[:, None, None, :],
            dropout_p=self.dropout.p if self.training else 0.0,
        )
        attended = attended.transpose(1, 2).flatten(2)
        x = self.layer_norm(x + self.dropout(self.output(attended)))
        if self.feed_forward is not None:
            x = self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        return x

    def _split(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, heads, L, D / heads)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


@register("fuser", "cross_attention")
class CrossAttention(Fuser):
    """Units attend to [pooled ; regions] of all views, in one Transformer cross-attention layer.

    Cites: xu-etal-2024-effective

    A view whose width is another than the units' is projected by a linear layer of its own.
    Units of a row whose views are all missing come back exactly as they were.

    Args:
        width: D, of the units that come in and go out.
        views: what each view will give.
        level: whether words (token) or candidate spans (span) look at the picture.
        heads: of the attention; a divisor of the width.
        dropout: on attention weights and on what is added to the residual stream.
        feed_forward: hidden size of a feed-forward block behind the attention (SMNER: 4 D);
            None = none (2M-NER).

    Raises:
        ConfigError: the heads don't divide the width.
    """

    def __init__(
        self,
        width: int,
        views: dict[str, ViewSpec],
        *,
        level: Literal["token", "span"] = "token",
        heads: Positive = 4,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        feed_forward: Positive | None = None,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(
                f"cross_attention: `heads: {heads}` does not divide the units' width {width}; "
                "choose a divisor"
            )
        self.level = level
        self.width = width
        self.projections = nn.ModuleDict(
            {
                name: nn.Identity() if view.width == width else nn.Linear(view.width, width)
                for name, view in views.items()
            }
        )
        self.attention = CrossAttentionLayer(width, heads, dropout, feed_forward)

    def forward(self, units: Units, views: Views) -> Units:
        keys, masks = [], []
        for name, project in self.projections.items():
            view = views[name]
            keys.append(project(torch.cat([view.pooled.unsqueeze(1), view.regions], dim=1)))
            masks.append(torch.cat([view.present.unsqueeze(1), view.mask], dim=1))
        mask = torch.cat(masks, dim=1)
        fused = self.attention(units.vectors, torch.cat(keys, dim=1), mask)
        seen = mask.any(dim=1)[:, None, None]
        return Units(torch.where(seen, fused, units.vectors), units.mask, units.spans)
