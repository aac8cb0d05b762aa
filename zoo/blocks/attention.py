"""Attention of one sequence to another or to itself: what parts of several kinds share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.errors import ConfigError


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
