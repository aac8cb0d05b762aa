"""How layers begin."""

from __future__ import annotations

from torch import nn


def keep_scale(layer: nn.Linear) -> None:
    """Let what passes a layer and then tanh stay as large as it is.

    Through several of them in a row a picture would else begin with next to nothing to say, and an
    attention before them with nothing to learn from.
    """
    nn.init.xavier_uniform_(layer.weight, gain=nn.init.calculate_gain("tanh"))
    nn.init.zeros_(layer.bias)
