"""The top-k contrast against a plain loop."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zoo.aligners.contrastive import Contrastive
from zoo.aligners.late_interaction import Bags
from zoo.aligners.top_k import top_k
from zoo.contracts.inputs import GOLD, VIEWS, WIDTH, make_text, make_views
from zoo.errors import ConfigError


def bags(sizes: list[int], seed: int, width: int = 5) -> Bags:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(sizes)) < torch.tensor(sizes).unsqueeze(1)
    return Bags(torch.randn(*mask.shape, width, generator=generator), mask)


def by_hand(first: Bags, second: Bags, temperature: float, k: int) -> float:
    def side(one: Bags, other: Bags) -> float:
        losses = []
        for row in range(len(one.mask)):
            keys = other.vectors[row][other.mask[row]]
            if len(keys) <= k:
                continue
            for vector in one.vectors[row][one.mask[row]]:
                alike = sorted(cosine(vector, key) for key in keys)[::-1]
                own, rest = sum(alike[:k]) / k, sum(alike[k:]) / (len(keys) - k)
                losses.append(math.log(1 + math.exp((rest - own) / temperature)))
        return sum(losses) / len(losses) if losses else 0.0

    return (side(first, second) + side(second, first)) / 2


def cosine(one: Tensor, other: Tensor) -> float:
    return float(one @ other / one.norm() / other.norm())


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_as_by_hand(k: int) -> None:
    """Padding on both sides; bags of no more than k leave the other side's vectors out."""
    first, second = bags([4, 1, 6], 0), bags([2, 5, 3], 1)
    expected = by_hand(first, second, 0.2, k)
    assert top_k(first, second, 0.2, k).item() == pytest.approx(expected, abs=1e-5)


def test_nothing_to_choose_from() -> None:
    assert top_k(bags([2], 0), bags([3], 1), 0.1, 5).item() == 0


def test_a_single_pair_has_a_loss() -> None:
    """Its negatives are of the same picture; the other objectives need two pairs."""
    text, view = make_text((6,)), {"grid": make_views((True,))["grid"]}
    losses = {
        objective: Contrastive(
            WIDTH, {"grid": VIEWS["grid"]}, level="token", objective=objective, k=2
        )(text, view, GOLD[:1]).losses["contrastive.grid"]
        for objective in ("top_k", "info_nce", "nt_xent")
    }  # type: ignore[arg-type]
    assert losses["top_k"] > 0
    assert losses["info_nce"] == losses["nt_xent"] == 0


def test_there_is_one_vector_a_picture_at_level_sentence() -> None:
    with pytest.raises(ConfigError, match="level: token"):
        Contrastive(WIDTH, VIEWS, objective="top_k")


def test_some_view_has_to_be_left() -> None:
    with pytest.raises(ConfigError, match="leaves out every view"):
        Contrastive(WIDTH, VIEWS, view="none")


def test_a_view_that_is_left_out_has_no_loss_and_no_head() -> None:
    aligner = Contrastive(WIDTH, VIEWS, view={"grid": "none"})
    losses = aligner(make_text(), make_views(), GOLD).losses
    assert set(losses) == {"contrastive.patch"}
    assert set(aligner.view_heads) == {"patch"}


def test_the_mean_of_the_words_can_stand_for_the_sentence() -> None:
    aligner, text = Contrastive(WIDTH, VIEWS, text="words", head="linear"), make_text()
    said = aligner.said(text, GOLD).vectors[:, 0]
    for row, mask in enumerate(text.mask):
        torch.testing.assert_close(said[row], aligner.text_head(text.tokens[row][mask].mean(0)))
