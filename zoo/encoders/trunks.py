"""A network of timm without its classifier, as regions and a pooled vector."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zoo.encoders.loading import freeze_unreached, strict
from zoo.errors import ConfigError


class Trunk(nn.Module):
    """Pixels (P, 3, size, size) to cells (P, R, D) and pooled (P, D).

    Cells are the last grid, row by row, or the patches, without class tokens and registers. Pooled
    is the network's own pooling before its classifier; where that has another width than the
    cells, their mean. What is then not used of the network is not trained.

    Args:
        network: of timm, in eval mode.
        size: height and width of the pictures.
        name: of the model, for messages.

    Raises:
        ConfigError: the network reads no pictures of that size, or its features are no grid and no
            sequence.
    """

    def __init__(self, network: Any, size: int, name: str) -> None:
        super().__init__()
        self.network = network
        self._last = "NHWC" in str(getattr(network, "output_fmt", "")).upper()
        self._before: int = getattr(network, "num_prefix_tokens", 0)
        with strict(f"{name} can't read pictures of {size} pixels"):
            states = network.forward_features(torch.zeros(1, 3, size, size))
        if not isinstance(states, Tensor) or states.ndim not in (3, 4):
            raise ConfigError(
                f"the features of {name} are no grid and no sequence; take another network"
            )
        cells = self._cells(states)
        self.regions, self.width = cells.shape[1:]
        with strict(f"{name} has no features to pool"):
            pooled = network.forward_head(states, pre_logits=True)
        self.own_pooling = pooled.shape == (1, self.width)
        freeze_unreached(network, cells, *([pooled] if self.own_pooling else []))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        states = self.network.forward_features(pixels)
        cells = self._cells(states)
        if self.own_pooling:
            return cells, self.network.forward_head(states, pre_logits=True)
        return cells, cells.mean(dim=1)

    def _cells(self, states: Tensor) -> Tensor:
        if states.ndim == 3:
            return states[:, self._before :]
        return states.flatten(1, 2) if self._last else states.flatten(2).transpose(1, 2)
