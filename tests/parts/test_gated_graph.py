"""The gated messages against a loop over pairs; the numbers are checked in tests/golden."""

from __future__ import annotations

import pytest
import torch

from zoo.errors import ConfigError
from zoo.fusers.gated_graph import Gate, GatedGraph
from zoo.parts import ViewSpec


def test_a_gate_is_a_sum_over_pairs() -> None:
    torch.manual_seed(0)
    gate = Gate(4)
    receivers, senders, messages = torch.randn(2, 3, 4), torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    made = gate(receivers, senders, messages)
    weight = torch.cat([gate.receiver.weight, gate.sender.weight], dim=1)
    for row in range(2):
        for i in range(3):
            total = torch.zeros(4)
            for j in range(5):
                pair = torch.cat([receivers[row, i], senders[row, j]])
                total += (weight @ pair + gate.receiver.bias).sigmoid() * messages[row, j]
            torch.testing.assert_close(made[row, i], total)


@pytest.mark.parametrize(("width", "hidden"), [(768, 512), (384, 384), (60, 56), (4, 8)])
def test_the_width_of_the_nodes(width, hidden) -> None:
    fuser = GatedGraph(width, {"grid": ViewSpec(4, 2)}, layers=1)
    assert fuser.width == width + hidden


def test_heads_that_do_not_divide() -> None:
    with pytest.raises(ConfigError, match="`heads: 8` does not divide `hidden: 12`"):
        GatedGraph(16, {"grid": ViewSpec(4, 2)}, hidden=12)
