"""Dropout on a CPU at a quarter of its cost: 64 random bits decide on four numbers.

The generator is torch's, so that the seed decides. Each number is dropped with exactly the
probability asked for: 16 bits are compared with a bound, one of the two whole numbers next to the
exact one, which is itself drawn for each tensor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

MOST = 0.99
"""Beyond this, torch's own dropout is taken: the bound would not fit into 16 bits."""


@contextmanager
def lean_dropout(module: nn.Module) -> Iterator[None]:
    """Let every ``nn.Dropout`` below a module draw its numbers with :func:`noise` meanwhile."""
    found = [each for each in module.modules() if type(each) is nn.Dropout and not each.inplace]
    try:
        for each in found:
            each.__class__ = _Lean
        yield
    finally:
        for each in found:
            each.__class__ = nn.Dropout


class _Lean(nn.Dropout):
    """As ``nn.Dropout``, with other random numbers."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and 0 < self.p < MOST and input.device.type == "cpu":
            return input * noise(input, self.p)
        return super().forward(input)


def noise(like: Tensor, p: float) -> Tensor:
    """Factors for the numbers of a tensor: 0 with probability ``p``, else 1 / (1 - p)."""
    count = like.numel()
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    bound = math.floor(p * 2**16 - 2**15 + torch.rand((), dtype=torch.float64).item())
    factors = torch.empty(count, dtype=like.dtype)
    torch.ge(bits.view(torch.int16)[:count], bound, out=factors)
    return factors.mul_(1 / (1 - p)).view(like.shape)
