"""What a picture says is drawn towards what the text says (Xu et al., LREC-COLING 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from zoo.aligners.contrastive import COLDEST, info_nce
from zoo.aligners.late_interaction import Bags
from zoo.parts import Aligner, ViewSpec
from zoo.registry import register
from zoo.types import Alignment, Entity, Text, View, Views

Estimator = Literal["jsd", "bce", "info_nce"]

FLOOR = 1e-7
"""The least standard deviation of a latent."""


class Gaussian(NamedTuple):
    """Diagonal Gaussians: mean and standard deviation, (…, D) each."""

    mean: Tensor
    deviation: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Reparameterised, from standard normal noise (…, D)."""
        return self.mean + self.deviation * noise


class Distribution(nn.Module):
    """linear, ReLU, linear, ReLU, linear: a vector's Gaussian.

    The last layer gives the mean and o, with deviation = softplus(o) + 1e-7.
    """

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.layers = mlp(width, latent, 2 * latent)

    def forward(self, x: Tensor) -> Gaussian:
        # in the weights' precision: densities are too fine for half of it
        both = self.layers(x).to(self.layers[-1].weight.dtype)
        mean, deviation = both.chunk(2, dim=-1)
        return Gaussian(mean, functional.softplus(deviation) + FLOOR)


def mlp(width: int, hidden: int, out: int) -> nn.Sequential:
    """Three linear layers with ReLU between them."""
    return nn.Sequential(
        nn.Linear(width, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, out),
    )


def kl_divergence(first: Gaussian, second: Gaussian) -> Tensor:
    """KL(first ‖ second) in nats, analytic: Gaussians (…, D) to (…)."""
    ratio = (first.deviation / second.deviation).square()
    distance = ((first.mean - second.mean) / second.deviation).square()
    return (ratio + distance - 1 - ratio.log()).sum(dim=-1) / 2


def mutual_information(matching: Tensor, other: Tensor) -> Tensor:
    """The Jensen-Shannon estimate (Hjelm et al., ICLR 2019), at most 0: -2 ln 2 for no knowledge.

    Args:
        matching: (M,) the discriminator's scores of pairs that belong together.
        other: (M,) of pairs that don't.
    """
    return -functional.softplus(-matching).mean() - functional.softplus(other).mean()


@register("aligner", "information_bottleneck")
class InformationBottleneck(Aligner):
    """Latents of text and picture: informative of each other, the picture's within the text's.

    Cites: xu-etal-2024-effective, almudevar-etal-2025-aligning

    Two nets give the text's latent t ~ p(t | text) and the picture's v ~ q(v | view), diagonal
    Gaussians; drawn in training, their means in evaluation. Losses for each view:
    ``mutual_information.<view>``, -I by the Jensen-Shannon estimate with a discriminator
    D([v ; t]) that tells v from that of the row before in the batch, and ``kl.<view>``,
    KL(q(v) ‖ p(t)), analytic, the batch mean of sums over D: whatever of the picture has nothing to
    do with the text costs. Weigh them by ``loss_weights`` (SMNER: 0.1 and 0.001).

    Level ``sentence`` aligns the sentence vector with the view's pooled vector. Level ``token``
    aligns every word with what it attends to in its picture, c = softmax(h · W r / √D) r; the
    negative is what it attends to in the picture of the row before. Level ``region`` (Almudévar et
    al., ICML 2025) gives every region r a latent v_r, whose divergence from the sentence's p(t) is
    ``kl``; -I is that of the sentence and the mean of the v_r.

    Rows without a picture are left out; of a single row there is no negative: -I is 0.

    Args:
        width: D, of the text and of the latents.
        views: what each view will give.
        level: what is aligned.
        flow: what goes on to the fuser. ``latent``: v is the view's pooled vector (at level token
            the mean of the words' v), and its regions are projected to D by the projection of the
            pooled vector (at level region they are the v_r, and the pooled vector is their mean).
            ``unchanged``: the views as they came.
        prior: what the picture's latent is drawn to: the ``text``'s, or the ``standard`` normal
            (MMIB).
        estimator: of -I. ``jsd``: D is a net of three layers on [v ; t] (SMNER). ``bce``: D is
            bilinear, v · W t + b, under binary cross-entropy (MMIB), whose two terms together are
            the same function of the scores. ``info_nce``: no D; the cosine of v and t is compared
            with those of all other rows, as by the aligner ``contrastive``.
        temperature: divides the cosine of ``info_nce``.
        over: at level region: whether the divergence of a picture is the largest (``max``) of its
            regions' or their ``mean``.
    """

    loss_names = ("mutual_information", "kl")

    def __init__(
        self,
        width: int,
        views: dict[str, ViewSpec],
        *,
        level: Literal["sentence", "token", "region"] = "sentence",
        flow: Literal["latent", "unchanged"] = "latent",
        prior: Literal["text", "standard"] = "text",
        estimator: Estimator = "jsd",
        temperature: Annotated[float, Field(ge=COLDEST)] = 0.1,
        over: Literal["max", "mean"] = "max",
    ) -> None:
        super().__init__()
        self.level = level
        self.flow = flow
        self.prior, self.over, self.temperature = prior, over, temperature
        if flow == "latent":
            self.views = {name: ViewSpec(width, spec.regions) for name, spec in views.items()}
        self.text = Distribution(width, width)
        self.bottlenecks = nn.ModuleDict(
            {
                name: Bottleneck(width, spec.width, level == "token", estimator)
                for name, spec in views.items()
            }
        )

    def forward(
        self, text: Text, views: Views, gold: Sequence[Sequence[Entity]] | None
    ) -> Alignment:
        # K words a sentence, of which the levels sentence and region have one: the whole
        said, real = text.sentence.unsqueeze(1), text.mask[:, :1]
        if self.level == "token":
            said, real = text.tokens, text.mask
        prior: Gaussian = self.text(said)
        latent = self.draw(prior)
        losses: dict[str, Tensor] = {}
        flowing: dict[str, View] = {}
        for name, bottleneck in self.bottlenecks.items():
            assert isinstance(bottleneck, Bottleneck)
            view, rows = views[name], views[name].present
            regions, pooled = (bottleneck.project(x) for x in (view.regions, view.pooled))
            regions = regions * view.mask.unsqueeze(-1)
            shown = Shown(regions[rows], pooled[rows].unsqueeze(1), view.mask[rows])
            there, parts = real[rows], real[rows]
            if self.level == "region":  # R latents a picture, whatever was said
                shown, parts = shown._replace(pooled=shown.regions), shown.mask
            posterior: Gaussian = bottleneck.posterior(said[rows], shown)
            drawn = self.draw(posterior)
            whole = _mean(drawn, parts)
            if self.level == "region":
                regions = _back(drawn * parts.unsqueeze(-1), rows)
            flowing[name] = View(regions, _back(whole, rows), view.mask)
            if gold is None:
                continue
            own = Gaussian(prior.mean[rows], prior.deviation[rows])
            if self.prior == "standard":
                own = Gaussian(torch.zeros_like(own.mean), torch.ones_like(own.deviation))
            divergence = kl_divergence(posterior, own)
            if self.level == "region":  # of each picture first: some have more regions than others
                divergence = divergence.masked_fill(~parts, 0)
                if self.over == "max":
                    divergence = divergence.amax(dim=1, keepdim=True)
                else:
                    divergence = divergence.sum(1, keepdim=True) / parts.sum(1, keepdim=True)
                parts = there
            losses[f"kl.{name}"] = _total(divergence, parts)
            losses[f"mutual_information.{name}"] = drawn.new_zeros(())
            if len(drawn) > 1:
                seen = whole.unsqueeze(1) if self.level == "region" else drawn
                other = seen.roll(1, dims=0)
                if self.level == "token" and bottleneck.discriminator is not None:
                    other = self.draw(bottleneck.posterior(said[rows], shown.rolled()))
                losses[f"mutual_information.{name}"] = self.uninformed(
                    bottleneck, latent[rows], seen, other, there
                )
        return Alignment(text, flowing if self.flow == "latent" else views, losses)

    def uninformed(
        self, bottleneck: Bottleneck, latent: Tensor, seen: Tensor, other: Tensor, there: Tensor
    ) -> Tensor:
        """-I of K latents of the text, of their pictures and of other pictures (P, K, D each), of
        which ``there`` (P, K) are real."""
        if bottleneck.discriminator is None:
            return info_nce(Bags(latent, there), Bags(seen, there), self.temperature)
        scores = (bottleneck.score(v, latent)[there] for v in (seen, other))
        return -mutual_information(*scores)

    def draw(self, gaussian: Gaussian) -> Tensor:
        """A sample in training, the mean in evaluation: prediction is deterministic."""
        if not self.training:
            return gaussian.mean
        return gaussian.sample(torch.randn_like(gaussian.mean))


class Shown(NamedTuple):
    """What P pictures show: ``regions`` (P, R, D), ``pooled`` (P, 1, D), ``mask`` (P, R)."""

    regions: Tensor
    pooled: Tensor
    mask: Tensor

    def rolled(self) -> Shown:
        """Every row gets the picture of the row before."""
        return Shown(*(x.roll(1, dims=0) for x in self))


class Bottleneck(nn.Module):
    """The nets of one view.

    Args:
        width: D.
        seen: width of the view.
        attends: whether words attend to regions, or the pooled vector is what is seen.
        estimator: which discriminator is needed, if any.
    """

    def __init__(self, width: int, seen: int, attends: bool, estimator: Estimator = "jsd") -> None:
        super().__init__()
        self.project = nn.Identity() if seen == width else nn.Linear(seen, width)
        self.attention = nn.Linear(width, width, bias=False) if attends else None
        self.image = Distribution(width, width)
        self.discriminator: nn.Module | None = None
        if estimator == "jsd":
            self.discriminator = mlp(2 * width, width, 1)
        elif estimator == "bce":
            self.discriminator = nn.Bilinear(width, width, 1)

    def posterior(self, said: Tensor, shown: Shown) -> Gaussian:
        """q(v) of what each of K words (P, K, D) sees: (P, K, D)."""
        seen = shown.pooled
        if self.attention is not None:
            seen = functional.scaled_dot_product_attention(
                said, self.attention(shown.regions), shown.regions, shown.mask.unsqueeze(1)
            )
        answer: Gaussian = self.image(seen)
        return answer

    def score(self, image: Tensor, text: Tensor) -> Tensor:
        """D([v ; t]): (P, K, D) each to (P, K)."""
        assert self.discriminator is not None, "info_nce has no scores"
        both = [torch.cat([image, text], dim=-1)]
        if isinstance(self.discriminator, nn.Bilinear):
            both = [image, text]
        score: Tensor = self.discriminator(*both).squeeze(-1)
        return score.to(image.dtype)


def _mean(values: Tensor, real: Tensor) -> Tensor:
    """Over the real words: (P, K, D) to (P, D)."""
    return (values * real.unsqueeze(-1)).sum(dim=1) / real.sum(dim=1, keepdim=True)


def _total(values: Tensor, real: Tensor) -> Tensor:
    """The mean of the real entries of (P, K); 0 where there is none."""
    return values[real].sum() / real.sum().clamp(min=1)


def _back(values: Tensor, rows: Tensor) -> Tensor:
    """P entries (P, …, D) at their places among B rows (B,); zero elsewhere."""
    return values.new_zeros(len(rows), *values.shape[1:]).masked_scatter(
        rows.view(-1, *[1] * (values.ndim - 1)), values
    )
