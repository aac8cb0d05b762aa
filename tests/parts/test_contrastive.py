"""Contrastive alignment of the whole text with the whole picture."""

from __future__ import annotations

import pytest
import torch

from zoo.aligners.contrastive import Contrastive, info_nce, nt_xent
from zoo.errors import ConfigError
from zoo.parts import ViewSpec
from zoo.types import Text, View

SPECS = {"grid": ViewSpec(6, 4), "caption": ViewSpec(5, None)}


def text(rows: int) -> Text:
    torch.manual_seed(0)
    return Text(torch.randn(rows, 3, 8), torch.randn(rows, 8), torch.ones(rows, 3) > 0)


def view(rows: int, present: list[int], regions: int = 4, width: int = 6) -> View:
    torch.manual_seed(1)
    mask = torch.zeros(rows, regions, dtype=torch.bool)
    mask[present] = True
    seen = mask.any(1, keepdim=True)
    return View(
        torch.randn(rows, regions, width) * mask.unsqueeze(-1),
        torch.randn(rows, width) * seen,
        mask,
    )


@pytest.mark.parametrize("objective", ["nt_xent", "info_nce"])
@pytest.mark.parametrize(("rows", "present"), [(3, []), (3, [1]), (1, [0]), (1, [])])
def test_nothing_to_contrast_with(objective: str, rows: int, present: list[int]) -> None:
    aligner = Contrastive(8, {"grid": SPECS["grid"]}, objective=objective)
    losses = aligner(text(rows), {"grid": view(rows, present)}, [[]] * rows).losses
    assert losses["contrastive.grid"].item() == 0


@pytest.mark.parametrize("objective", ["nt_xent", "info_nce"])
def test_rows_without_a_picture_are_left_out(objective: str) -> None:
    aligner = Contrastive(8, {"grid": SPECS["grid"]}, objective=objective)
    words, grid, kept = text(4), view(4, [0, 3]), [0, 3]
    fewer = Text(words.tokens[kept], words.sentence[kept], words.mask[kept])
    seen = View(grid.regions[kept], grid.pooled[kept], grid.mask[kept])
    loss = aligner(words, {"grid": grid}, [[]] * 4).losses["contrastive.grid"]
    assert loss > 0
    assert torch.isclose(loss, aligner(fewer, {"grid": seen}, [[]] * 2).losses["contrastive.grid"])


def test_one_loss_a_view_and_all_else_flows_on() -> None:
    aligner = Contrastive(8, SPECS)
    words, views = text(3), {"grid": view(3, [0, 1, 2]), "caption": view(3, [0, 2], 7, 5)}
    aligned = aligner(words, views, [[]] * 3)
    assert set(aligned.losses) == {"contrastive.grid", "contrastive.caption"}
    assert aligner.loss_names == ("contrastive",)
    assert aligned.text is words
    assert aligned.views is views
    sum(aligned.losses.values()).backward()
    for name, parameter in aligner.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_no_losses_when_predicting() -> None:
    aligner = Contrastive(8, {"grid": SPECS["grid"]})
    assert aligner(text(3), {"grid": view(3, [0, 1])}, None).losses == {}


def test_flattened_reads_every_region() -> None:
    aligner = Contrastive(8, SPECS, view={"grid": "flattened"})
    assert aligner.view_heads["grid"][0].in_features == 4 * 6
    assert aligner.view_heads["caption"][0].in_features == 5
    grid = view(3, [0, 1, 2])
    other = View(grid.regions.flip(1), grid.pooled, grid.mask)
    views = {"grid": grid, "caption": view(3, [], 7, 5)}
    one = aligner(text(3), views, [[]] * 3).losses["contrastive.grid"]
    assert one != aligner(text(3), {**views, "grid": other}, [[]] * 3).losses["contrastive.grid"]


def test_flattened_needs_a_fixed_number_of_regions() -> None:
    with pytest.raises(ConfigError, match="view `caption` has no fixed number of regions"):
        Contrastive(8, SPECS, view="flattened")


def test_an_unknown_view_is_named() -> None:
    with pytest.raises(ConfigError, match="names `gird`; did you mean `grid`"):
        Contrastive(8, SPECS, view={"gird": "flattened"})


@pytest.mark.parametrize("objective", [nt_xent, info_nce])
def test_pairs_that_agree_cost_less(objective: object) -> None:
    assert callable(objective)
    torch.manual_seed(0)
    first = torch.randn(6, 8)
    assert objective(first, first, 0.1) < objective(first, first.roll(1, 0), 0.1)
    torch.testing.assert_close(objective(first, first, 0.5), objective(3 * first, first, 0.5))
    second = torch.randn(6, 8)
    torch.testing.assert_close(objective(first, second, 0.5), objective(second, first, 0.5))
