"""Attention of units to a picture: what the fusers share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.errors import ConfigError


class Packed:
    """The M real ones of units (B, U), one below the other, so that padding costs nothing.

    Args:
        real: (B, U) bool.
    """

    def __init__(self, real: Tensor) -> None:
        self.shape = real.shape
        self.places = real.flatten().nonzero().squeeze(1)

    def rows(self, x: Tensor) -> Tensor:
        """(M, D) of (B, U, D)."""
        return x.flatten(0, 1).index_select(0, self.places)

    def back(self, rows: Tensor, x: Tensor) -> Tensor:
        """(B, U, D): rows (M, D) at their places among x (B, U, D)."""
        kind = torch.promote_types(rows.dtype, x.dtype)
        flat = x.flatten(0, 1).to(kind).index_copy(0, self.places, rows.to(kind))
        return flat.view(*self.shape, -1)

    def spread(self, rows: Tensor) -> Tensor:
        """(B, U, D): rows (M, D) at their places, and zeros elsewhere."""
        return self.back(rows, rows.new_zeros(*self.shape, rows.shape[1]))


class AttentionLayer(nn.Module):
    """a = LN(x + O · MHA(x, keys, keys)); with a feed-forward: c = LN(a + F2 · GELU(F1 · a)).

    Post-norm, eps 1e-12, exact (erf) GELU, scores divided by the root of the head's width.

    Args:
        width: D.
        heads: a divisor of D; None: heads of 64, at least four.
        dropout: on attention weights and on what is added to the residual stream.
        feed_forward: hidden size of the feed-forward block; None = none.

    Raises:
        ConfigError: the heads don't divide the width.
    """

    def __init__(
        self, width: int, heads: int | None, dropout: float, feed_forward: int | None = None
    ) -> None:
        super().__init__()
        self.heads = heads or max(4, width // 64)
        if width % self.heads:
            raise ConfigError(
                f"`heads: {self.heads}` does not divide the units' width {width}; choose a divisor"
            )
        self.query = nn.Linear(width, width)
        # no bias: it would move all scores of a query alike, which softmax doesn't see
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        begin_small(self.output)
        self.layer_norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward: nn.Module | None = None
        if feed_forward is not None:
            self.feed_forward = nn.Sequential(
                nn.Linear(width, feed_forward), nn.GELU(), nn.Linear(feed_forward, width)
            )
            self.feed_forward_norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, keys: Tensor, mask: Tensor, real: Tensor | None = None) -> Tensor:
        """(B, U, D) from x (B, U, D), keys (B, K, D) and mask (B, K), True = may be looked at.

        Where ``real`` (B, U) is False, x comes back as it was, and nothing is computed. A row
        without any key gives an undefined, finite answer where it is real.
        """
        packed = None if real is None else Packed(real)
        rows = x if packed is None else packed.rows(x)
        query = self.query(rows)
        query = query if packed is None else packed.spread(query)
        open_mask = mask | ~mask.any(dim=1, keepdim=True)  # softmax over nothing is NaN
        attended = functional.scaled_dot_product_attention(
            self._split(query),
            self._split(self.key(keys)),
            self._split(self.value(keys)),
            attn_mask=open_mask[:, None, None, :],
            dropout_p=self.dropout.p if self.training else 0.0,
        )
        attended = attended.transpose(1, 2).flatten(2)
        attended = attended if packed is None else packed.rows(attended)
        rows = self.layer_norm(rows + self.dropout(self.output(attended)))
        if self.feed_forward is not None:
            rows = self.feed_forward_norm(rows + self.dropout(self.feed_forward(rows)))
        return rows if packed is None else packed.back(rows, x)

    @torch.no_grad()
    def weights(self, x: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """The attention weights (B, U, K) that :meth:`forward` uses, without dropout: the mean over
        heads; 0 on keys that may not be looked at."""
        query, key = self._split(self.query(x)), self._split(self.key(keys))
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        open_mask = mask | ~mask.any(dim=1, keepdim=True)
        scores = scores.masked_fill(~open_mask[:, None, None, :], -torch.inf)
        weights: Tensor = scores.softmax(dim=-1).mean(dim=1) * mask.unsqueeze(1)
        return weights

    def _split(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, heads, L, D / heads)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


def begin_small(output: nn.Linear) -> None:
    """Let a layer that adds to a residual stream begin with little to say.

    Small, not zero: an untrained picture does little harm, and every parameter still gets a
    gradient at the first step.
    """
    nn.init.xavier_uniform_(output.weight, gain=0.1)
    nn.init.zeros_(output.bias)


def resize(before: int, after: int) -> nn.Module:
    """From a view's width to the units'; nothing where they are the same."""
    return nn.Identity() if before == after else nn.Linear(before, after)


def where_seen(seen: Tensor, fused: Tensor, units: Tensor) -> Tensor:
    """``fused`` (B, U, D) in the rows that have a picture (B,), the units themselves elsewhere."""
    return torch.where(seen[:, None, None], fused, units)
