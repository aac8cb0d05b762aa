"""Fusers under which no word sees a region of its own, as their pages prove, and those that repair
it: the attention of two words, and what the picture adds to them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from zoo.contracts.common import specify
from zoo.contracts.inputs import Subject, make_units, make_views
from zoo.types import Units

BLIND: dict[str, tuple[str, dict[str, Any]]] = {
    "adacan": ("co_attention", {"score": "concat"}),
    "mt-mner-released": ("hierarchy", {"queries": "released"}),
    "gvatt": ("modulated_attention", {}),
}
SEEING: dict[str, tuple[str, dict[str, Any]]] = {
    "adacan-additive": ("co_attention", {"score": "additive"}),
    "mt-mner": ("hierarchy", {"queries": "words"}),
    "mmib": ("two_step", {}),
}


def fused(part: str, chosen: dict[str, Any], tmp_path, seed: int = 1) -> Units:
    spec = specify("fuser", part, chosen)
    assert not isinstance(spec, list), spec
    built = Subject(spec, tmp_path).build().eval()
    built.publish_attention = True
    with torch.no_grad():
        made: Units = built(make_units("token"), make_views(seed=seed))
    return made


@pytest.mark.parametrize("system", BLIND)
def test_all_words_of_a_sentence_look_alike(system: str, tmp_path) -> None:
    made = fused(*BLIND[system], tmp_path)
    for weights in made.attention.values():
        real = weights[0][made.mask[0]]
        assert torch.equal(real, real[:1].expand_as(real))
        assert real.sum() > 0


@pytest.mark.parametrize("system", SEEING)
def test_each_word_looks_for_itself(system: str, tmp_path) -> None:
    made = fused(*SEEING[system], tmp_path)
    assert max((w[0, 0] - w[0, 1]).abs().max() for w in made.attention.values()) > 1e-6


def test_late_fusion_adds_one_vector_to_all_words(tmp_path) -> None:
    made = fused("late_fusion", {"hidden": [8]}, tmp_path)
    added = made.vectors[0][made.mask[0]][:, -8:]
    assert torch.equal(added, added[:1].expand_as(added))
    assert not torch.equal(
        added, fused("late_fusion", {"hidden": [8]}, tmp_path, 5).vectors[0][made.mask[0]][:, -8:]
    )


def test_concatenated_scores_split() -> None:
    """The algebra of adacan's page: the word's part of w · tanh([K v ; Q h]) moves all scores
    of a word alike."""
    torch.manual_seed(0)
    regions, words, weight = torch.randn(7, 5), torch.randn(4, 5), torch.randn(10)
    pairs = torch.cat([regions.expand(4, 7, 5), words[:, None].expand(4, 7, 5)], dim=-1)
    attention = (pairs.tanh() @ weight).softmax(dim=1)
    alone = (regions.tanh() @ weight[:5]).softmax(dim=0)
    torch.testing.assert_close(attention, alone.expand(4, 7))
