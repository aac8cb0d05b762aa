"""Attention that aligners and fusers share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.errors import ConfigError


class CrossBlock(nn.Module):
    """out = LN2(P + W · P) with P = LN1(x + O · MHA(x, keys, keys)): MMIB's cross-attention block.

    Queries, keys and values have no bias; W is one linear layer without an activation; eps 1e-5.
    The two layers that add to the residual stream begin small, so that an untrained block passes on
    little but its queries, normalised.

    Args:
        width: D.
        heads: a divisor of D; None: heads of 64, at least four.

    Raises:
        ConfigError: the heads don't divide the width.
    """

    def __init__(self, width: int, heads: int | None) -> None:
        super().__init__()
        self.heads = heads or max(4, width // 64)
        if width % self.heads:
            raise ConfigError(
                f"`heads: {self.heads}` does not divide the width {width}; choose a divisor"
            )
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.dense = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        for layer in (self.output, self.dense):
            nn.init.xavier_uniform_(layer.weight, gain=0.1)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """(B, U, D) from x (B, U, D), keys (B, K, D) and mask (B, K), True = may be looked at.

        A row without any key gives an undefined, finite answer.
        """
        attended = functional.scaled_dot_product_attention(
            self._split(self.query(x)),
            self._split(self.key(keys)),
            self._split(self.value(keys)),
            attn_mask=_open(mask)[:, None, None, :],
        )
        x = self.norm1(x + self.output(attended.transpose(1, 2).flatten(2)))
        out: Tensor = self.norm2(x + self.dense(x))
        return out

    @torch.no_grad()
    def weights(self, x: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """The attention weights (B, U, K): the mean over heads; 0 on keys that may not be looked
        at."""
        query, key = self._split(self.query(x)), self._split(self.key(keys))
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        scores = scores.masked_fill(~_open(mask)[:, None, None, :], -torch.inf)
        weights: Tensor = scores.softmax(dim=-1).mean(dim=1) * mask.unsqueeze(1)
        return weights

    def _split(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, heads, L, D / heads)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


def _open(mask: Tensor) -> Tensor:
    """(B, K): everything in rows without any key, since softmax over nothing is NaN."""
    return mask | ~mask.any(dim=1, keepdim=True)
