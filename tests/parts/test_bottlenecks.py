"""Bottlenecks: levels, priors and estimators against closed forms; what a discriminator can do."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from zoo.aligners.contrastive import info_nce
from zoo.aligners.dual_bottleneck import DualBottleneck, Latents
from zoo.aligners.information_bottleneck import InformationBottleneck
from zoo.aligners.late_interaction import Bags
from zoo.contracts.inputs import GOLD, PRESENT, VIEWS, WIDTH, make_text, make_views
from zoo.errors import ConfigError

TEXT, PICTURES = make_text(), make_views()
GRID = {"grid": VIEWS["grid"]}
ROWS = [i for i, there in enumerate(PRESENT) if there]


def bottleneck(**chosen: object) -> InformationBottleneck:
    torch.manual_seed(0)
    return InformationBottleneck(WIDTH, GRID, **chosen).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("prior", ["text", "standard"])
@pytest.mark.parametrize("over", ["max", "mean"])
def test_regions_diverge_from_the_sentence(prior: str, over: str) -> None:
    """Level region against torch's own divergence, region by region."""
    aligner = bottleneck(level="region", prior=prior, over=over)
    losses = aligner(TEXT, {"grid": PICTURES["grid"]}, GOLD).losses
    expected = []
    for row in ROWS:
        own = aligner.text(TEXT.sentence[row])
        whole = Normal(*own) if prior == "text" else Normal(torch.zeros(WIDTH), torch.ones(WIDTH))
        net = aligner.bottlenecks["grid"]
        each = torch.stack(
            [
                kl_divergence(Normal(*net.image(net.project(region))), whole).sum()
                for region in PICTURES["grid"].regions[row]
            ]
        )
        expected.append(each.max() if over == "max" else each.mean())
    torch.testing.assert_close(losses["kl.grid"], torch.stack(expected).mean())


def test_a_picture_counts_once_however_many_regions_it_has() -> None:
    mask = PICTURES["grid"].mask.clone()
    mask[ROWS[0], 1:] = False
    view = replace(PICTURES["grid"], mask=mask)
    aligner = bottleneck(level="region", over="mean", prior="standard")
    found = aligner(TEXT, {"grid": view}, GOLD).losses["kl.grid"]
    net, standard = aligner.bottlenecks["grid"], Normal(torch.zeros(WIDTH), torch.ones(WIDTH))
    each = [
        kl_divergence(Normal(*net.image(net.project(view.regions[row][mask[row]]))), standard)
        .sum(-1)
        .mean()
        for row in ROWS
    ]
    torch.testing.assert_close(found, torch.stack(each).mean())


def test_what_flows_on_at_level_region() -> None:
    """Each region's latent, and their mean in place of the pooled vector."""
    aligner = bottleneck(level="region")
    flowing = aligner(TEXT, {"grid": PICTURES["grid"]}, None).views["grid"]
    net = aligner.bottlenecks["grid"]
    for row in ROWS:
        latents = net.image(net.project(PICTURES["grid"].regions[row])).mean
        torch.testing.assert_close(flowing.regions[row], latents)
        torch.testing.assert_close(flowing.pooled[row], latents.mean(0))


@pytest.mark.parametrize("level", ["sentence", "token"])
def test_standard_prior(level: str) -> None:
    """The picture's latents are drawn to the standard normal, whatever the text says."""
    aligner = bottleneck(level=level, prior="standard")
    changed = make_text(seed=7)
    one, other = (
        aligner(text, {"grid": PICTURES["grid"]}, GOLD).losses["kl.grid"]
        for text in (TEXT, changed)
    )
    assert torch.equal(one, other) == (level == "sentence"), "at level token words choose regions"
    if level == "sentence":
        net = aligner.bottlenecks["grid"]
        posterior = Normal(*net.image(net.project(PICTURES["grid"].pooled[ROWS])))
        nats = kl_divergence(posterior, Normal(0.0, 1.0)).sum(-1).mean()
        torch.testing.assert_close(one, nats)


def test_bilinear_scores_under_cross_entropy() -> None:
    """-I is the cross-entropy of pairs (1) and of pictures of the row before (0), added."""
    aligner = bottleneck(estimator="bce")
    losses = aligner(TEXT, {"grid": PICTURES["grid"]}, GOLD).losses
    net = aligner.bottlenecks["grid"]
    said = aligner.text(TEXT.sentence[ROWS]).mean
    seen = net.image(net.project(PICTURES["grid"].pooled[ROWS])).mean
    entropy = functional.binary_cross_entropy_with_logits
    own, other = net.score(seen, said), net.score(seen.roll(1, 0), said)
    expected = entropy(own, torch.ones_like(own)) + entropy(other, torch.zeros_like(other))
    torch.testing.assert_close(losses["mutual_information.grid"], expected)


@pytest.mark.parametrize("level", ["sentence", "region"])
def test_contrast_of_latents(level: str) -> None:
    aligner = bottleneck(level=level, estimator="info_nce", temperature=0.3)
    aligned = aligner(TEXT, {"grid": PICTURES["grid"]}, GOLD)
    said = aligner.text(TEXT.sentence[ROWS]).mean
    bags = [
        Bags(vectors.unsqueeze(1), torch.ones(len(ROWS), 1, dtype=torch.bool))
        for vectors in (said, aligned.views["grid"].pooled[ROWS])
    ]
    expected = info_nce(bags[0], bags[1], 0.3)
    torch.testing.assert_close(aligned.losses["mutual_information.grid"], expected)
    assert all(net.discriminator is None for net in aligner.bottlenecks.values())


# dual_bottleneck ---------------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["mean", "sum"])
def test_divergence_from_the_standard_normal(over: str) -> None:
    mean, log_variance = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    nats = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))[mask]
    expected = nats.mean() if over == "mean" else nats.sum(-1).mean()
    found = Latents(mean, log_variance, mask).divergence(over)  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected)


def test_noise_begins_as_told() -> None:
    """The log-variance is a normalised state, whose offset is where training starts."""
    for deviation in (0.1, 1.0):
        aligner = DualBottleneck(WIDTH, GRID, deviation=deviation)
        start = (aligner.text.log_variance.norm2.bias / 2).exp()
        torch.testing.assert_close(start, torch.full((WIDTH,), deviation))


def test_a_cube_of_weights_is_refused() -> None:
    with pytest.raises(ConfigError, match="scores: width"):
        DualBottleneck(WIDTH, GRID, discriminator="bilinear", scores="width")


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 2**31), st.floats(0.1, 30), st.integers(2, 9), st.sampled_from(["one", "width"])
)
def test_a_sum_of_two_scores_cannot_tell_pairs_apart(
    seed: int, scale: float, rows: int, scores: str
) -> None:
    """``concat`` never comes below 2 ln 2, the loss of a constant, on whatever batch."""
    torch.manual_seed(seed)
    aligner = DualBottleneck(4, {"grid": VIEWS["grid"]}, discriminator="concat", scores=scores)  # type: ignore[arg-type]
    said, shown = scale * torch.randn(2, rows, 4)
    assert aligner.tell_apart("grid", said, shown) >= 2 * math.log(2) - 1e-5
    assert aligner.tell_apart("grid", said, said) >= 2 * math.log(2) - 1e-5


def test_a_bilinear_score_can() -> None:
    aligner = DualBottleneck(4, {"grid": VIEWS["grid"]})
    with torch.no_grad():
        aligner.discriminators["grid"].weight.copy_(10 * torch.eye(4))
        aligner.discriminators["grid"].bias.fill_(-5)
        vectors = torch.eye(4)
        assert aligner.tell_apart("grid", vectors, vectors) < 0.1
