"""The contract of fusers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zoo.types import Units, View


def near(first: Tensor, second: Tensor) -> bool:
    return torch.allclose(first, second, atol=1e-4, rtol=1e-4)


def test_units_come_back(fuser, make_units, make_views) -> None:
    built = fuser.build().eval()
    assert built.level in ("token", "span")
    units = make_units(built.level)
    fused = built(units, make_views())
    assert type(fused) is Units
    assert fused.vectors.shape == (*units.mask.shape, built.width)
    assert fused.vectors.isfinite().all()
    assert torch.equal(fused.mask, units.mask)
    assert torch.equal(fused.spans, units.spans)
    for name, loss in fused.losses.items():
        assert name.partition(".")[0] in type(built).loss_names
        assert loss.isfinite()


def test_the_picture_has_an_effect(fuser, make_units, make_views) -> None:
    built = fuser.build().eval()
    units = make_units(built.level)
    one, other = (built(units, make_views(seed=seed)).vectors for seed in (1, 2))
    assert not near(one[0, 0], other[0, 0])


def test_a_row_without_a_picture_is_unchanged(fuser, make_units, make_views) -> None:
    built = fuser.build().eval()
    units = make_units(built.level)
    rows = [1, 4]
    fused = [built(units, make_views(seed=seed)).vectors for seed in (1, 2)]
    assert torch.equal(fused[0][rows], fused[1][rows]), "other rows' pictures don't leak in"
    same = units.vectors.repeat(1, 1, built.width // units.vectors.shape[2])
    assert torch.equal(fused[0][rows], same[rows])


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_a_batch_without_any_picture(fuser, make_units, make_views, mode: bool) -> None:
    built = fuser.build().train(mode)
    units = make_units(built.level)
    fused = built(units, make_views((False,) * 5))
    assert fused.vectors.isfinite().all()
    same = units.vectors.repeat(1, 1, built.width // units.vectors.shape[2])
    assert torch.equal(fused.vectors, same)
    loss = fused.vectors.sum()
    if loss.requires_grad:
        loss.backward()
        gradients = [p.grad for p in built.parameters() if p.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients), "no NaN behind the scenes"


def test_padding_of_regions_does_not_matter(fuser, make_units, make_views) -> None:
    built, views = fuser.build().eval(), make_views()
    units = make_units(built.level)
    padded = dict(views)
    for name, view in views.items():
        batch, _, width = view.regions.shape
        if fuser.known["views"][name].regions is None:
            padded[name] = View(
                torch.cat([view.regions, torch.full((batch, 3, width), 9.0)], dim=1),
                view.pooled,
                torch.cat([view.mask, torch.zeros(batch, 3, dtype=torch.bool)], dim=1),
            )
    assert padded["patch"].mask.shape[1] > views["patch"].mask.shape[1]
    assert near(built(units, views).vectors, built(units, padded).vectors)


def test_a_sentence_does_not_see_its_neighbours(fuser, make_units, make_views) -> None:
    built, views = fuser.build().eval(), make_views()
    units = make_units(built.level)
    together = built(units, views).vectors
    for i, mask in enumerate(units.mask):
        real = mask.nonzero().squeeze(1)
        one = Units(*(t[i : i + 1, real] for t in (units.vectors, units.mask, units.spans)))
        own = {
            name: View(v.regions[i : i + 1], v.pooled[i : i + 1], v.mask[i : i + 1])
            for name, v in views.items()
        }
        assert near(built(one, own).vectors[0], together[i, real])
