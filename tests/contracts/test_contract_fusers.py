"""What the contract of fusers does not ask for: built-in ones give such rows back exactly."""

from __future__ import annotations

import pytest
import torch

from zoo.contracts.inputs import PRESENT, WIDTH, make_units, make_views


@pytest.mark.parametrize("present", [PRESENT, (False,) * 5], ids=["some", "none"])
def test_a_row_without_a_picture_is_unchanged(fuser, present) -> None:
    for mode in (True, False):
        built = fuser.build().train(mode)
        units = make_units(built.level)
        fused = built(units, make_views(present)).vectors
        rows = [row for row, there in enumerate(present) if not there]
        own, more = fused[rows].split([WIDTH, built.width - WIDTH], dim=2)
        assert torch.equal(own, units.vectors[rows])
        # beside the unit itself: once more the unit, or nothing
        assert not more.any() or torch.equal(more, own)
