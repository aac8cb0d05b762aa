"""Attention of one sequence to another or to itself: what parts of several kinds share."""

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


class AttentionLayer(nn.Module):
    """a = LN(x + O · MHA(x, keys, keys)); with a feed-forward: c = LN(a + F2 · GELU(F1 · a)).

    Post-norm, exact (erf) GELU, scores divided by the root of the head's width. With x as its own
    keys it is a layer of BERT.

    Args:
        width: D.
        heads: a divisor of D; None: heads of 64, at least four.
        dropout: on attention weights and on what is added to the residual stream.
        feed_forward: hidden size of the feed-forward block; None = none.
        eps: of the layer normalisations.
        small: whether what is added to x begins small (:func:`begin_small`); there is no need where
            x itself goes on beside the result.

    Raises:
        ConfigError: the heads don't divide the width.
    """

    def __init__(
        self,
        width: int,
        heads: int | None,
        dropout: float,
        feed_forward: int | None = None,
        eps: float = 1e-12,
        small: bool = True,
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
        begin(self.output, SMALL if small else 1.0)
        self.layer_norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward: nn.Module | None = None
        if feed_forward is not None:
            self.feed_forward = nn.Sequential(
                nn.Linear(width, feed_forward), nn.GELU(), nn.Linear(feed_forward, width)
            )
            self.feed_forward_norm = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor, keys: Tensor, mask: Tensor, real: Tensor | None = None) -> Tensor:
        """(B, U, D) from x (B, U, D), keys (B, K, D) and mask (B, K), True = may be looked at.

        Where ``real`` (B, U) is False, x comes back as it was, and nothing is computed. A row
        without any key gives an undefined, finite answer where it is real.
        """
        open_mask = mask | ~mask.any(dim=1, keepdim=True)  # softmax over nothing is NaN
        units, count, width = x.shape[1], keys.shape[1], x.shape[2]
        few_keys = count * (width + self.heads * units) < width * units
        added = (self._added_by_few if few_keys else self._added)(x, keys, open_mask)
        if real is None:
            return self._behind(x, added)
        packed = Packed(real)
        return packed.back(self._behind(packed.rows(x), packed.rows(added)), x)

    def _added(self, x: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """O · MHA(x, keys, keys): (B, U, D)."""
        attended = functional.scaled_dot_product_attention(
            self._split(self.query(x)),
            self._split(self.key(keys)),
            self._split(self.value(keys)),
            attn_mask=mask[:, None, None, :],
            dropout_p=self.dropout.p if self.training else 0.0,
        )
        added: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return added

    def _added_by_few(self, x: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """The same where keys are few: the projections of queries and of what was attended to are
        applied to each key and head, (Q x) · k = x · (Qᵀ k) and O Σ a v = Σ a (O v)."""
        key, value = self.key(keys), self.value(keys)
        width = x.shape[2] // self.heads
        turned = self._by_heads(key, self.query.weight)
        moved = (self._split(key) @ self.query.bias.view(self.heads, width, 1)).flatten(1)
        scores = (x @ turned.transpose(1, 2) + moved.unsqueeze(1)) * width**-0.5
        scores = scores.view(*x.shape[:2], self.heads, keys.shape[1])
        weights = scores.masked_fill(~mask[:, None, None, :], -torch.inf).softmax(dim=-1)
        added: Tensor = self.dropout(weights).flatten(2) @ self._by_heads(
            value, self.output.weight.T
        )
        return added + self.output.bias

    def _by_heads(self, x: Tensor, weight: Tensor) -> Tensor:
        """Each head's part of x (B, K, D) by its part of a weight (D, D): (B, heads · K, D)."""
        batch, count, width = x.shape
        parts = (
            x.view(batch, count, self.heads, width // self.heads).permute(2, 0, 1, 3).flatten(1, 2)
        )
        made = parts @ weight.reshape(self.heads, -1, width)
        return made.view(self.heads, batch, count, width).transpose(0, 1).flatten(1, 2)

    def _behind(self, x: Tensor, added: Tensor) -> Tensor:
        """(…, D): what comes behind the attention."""
        x = self.layer_norm(x + self.dropout(added))
        if self.feed_forward is not None:
            x = self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        return x

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


SMALL = 0.1
"""How much a layer begins with that adds to a residual stream: an untrained picture does little
harm, and every parameter still gets a gradient at the first step."""


def begin(linear: nn.Linear, gain: float) -> None:
    """Let a layer begin with vectors of ``gain`` times the scale of what comes in."""
    nn.init.xavier_uniform_(linear.weight, gain=gain)
    nn.init.zeros_(linear.bias)


def begin_small(output: nn.Linear) -> None:
    """Let a layer that adds to a residual stream begin with little to say."""
    begin(output, SMALL)


def resize(before: int, after: int) -> nn.Module:
    """From a view's width to the units'; nothing where they are the same."""
    return nn.Identity() if before == after else nn.Linear(before, after)


def project(before: int, after: int) -> nn.Linear:
    """From a view's width to the units', keeping the scale of the vectors: attention then starts
    with keys that differ as much as those that come in."""
    linear = nn.Linear(before, after)
    begin(linear, 1.0)
    return linear


def where_seen(seen: Tensor, fused: Tensor, units: Tensor) -> Tensor:
    """``fused`` (B, U, D) in the rows that have a picture (B,), the units themselves elsewhere."""
    return torch.where(seen[:, None, None], fused, units)
