"""How layers begin."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def keep_scale(layer: nn.Linear) -> None:
    """Let what passes a layer and then tanh stay as large as it is.

    Through several of them in a row a picture would else begin with next to nothing to say, and an
    attention before them with nothing to learn from.
    """
    keep_scale_(layer.weight)
    nn.init.zeros_(layer.bias)


@torch.no_grad()
def keep_scale_(weight: Tensor) -> None:
    """The same for weights (out, in) alone."""
    nn.init.xavier_uniform_(weight, gain=nn.init.calculate_gain("tanh"))
