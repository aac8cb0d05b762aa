"""Words and regions each pass a bottleneck of their own (Cui et al., TASLP 2024)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from zoo.blocks.cross_block import CrossBlock
from zoo.errors import ConfigError
from zoo.parts import Aligner, ViewSpec
from zoo.registry import register
from zoo.types import Alignment, Entity, Text, View, Views


@register("aligner", "dual_bottleneck")
class DualBottleneck(Aligner):
    """Words and regions become latents near a standard normal; a discriminator ties the pairs.

    Cites: cui-etal-2024-enhancing

    Of the sentence vector and the words, H = [sentence ; words], two self-attention blocks
    (:class:`zoo.blocks.cross_block.CrossBlock`) give the means and log-variances of one Gaussian
    each: mu = CA1(H; H), s = CA2(H; H), z = mu + exp(s / 2) · noise in training, z = mu in
    evaluation. So do two blocks of every view's R = [pooled ; regions], projected to the text's
    width. The latents take the place of what they are made of: text and views flow on changed.

    Losses: ``kl_text`` and ``kl.<view>``, KL to N(0, I) of each word and region, which asks what of
    it is worth its nats; ``discriminator.<view>``, the binary cross-entropy of telling the sentence
    and picture of a post, z_t and z_v of the two whole vectors, from the sentence and the picture
    of the row before: its two terms are added. Neither padding nor rows without a picture count;
    for a discriminator there have to be two rows with one, else its loss is 0.

    Args:
        width: D, of the text and of the latents.
        views: what each view will give.
        discriminator: ``bilinear``, z_t · W z_v + b; or ``concat`` (the released default), linear
            in [z_t ; z_v], which is z_t's score plus z_v's and can't tell pairs apart (the page
            of the system proves it).
        scores: how many ``concat`` gives a pair, of whose losses the mean is taken: ``one``, or
            ``width``, D of them (released).
        kl: over the D dimensions, the divergences' ``mean`` (released) or their ``sum``, which is
            the divergence itself.
        deviation: of the noise before training; released, 1.
        heads: of the attentions; a divisor of the width. None = heads of 64, at least four.

    Raises:
        ConfigError: the heads don't divide the width, or ``scores: width`` with ``bilinear``.
    """

    level = "region"
    loss_names = ("discriminator", "kl_text", "kl")
    whole_losses = ("kl_text",)

    def __init__(
        self,
        width: int,
        views: dict[str, ViewSpec],
        *,
        discriminator: Literal["bilinear", "concat"] = "bilinear",
        scores: Literal["one", "width"] = "one",
        kl: Literal["mean", "sum"] = "mean",
        deviation: Annotated[float, Field(gt=0, le=1)] = 0.1,
        heads: Annotated[int, Field(gt=0, le=16_384)] | None = None,
    ) -> None:
        super().__init__()
        if discriminator == "bilinear" and scores == "width":
            raise ConfigError(
                "dual_bottleneck: `scores: width` would need a cube of weights under "
                "`discriminator: bilinear`; set `scores: one`, or `discriminator: concat`"
            )
        self.kl = kl
        self.views = {name: ViewSpec(width, spec.regions) for name, spec in views.items()}
        self.text = Bottleneck(width, width, heads, deviation)
        self.bottlenecks = nn.ModuleDict(
            {name: Bottleneck(spec.width, width, heads, deviation) for name, spec in views.items()}
        )
        many = width if scores == "width" else 1
        self.discriminators = nn.ModuleDict(
            {
                name: nn.Bilinear(width, width, 1)
                if discriminator == "bilinear"
                else nn.Linear(2 * width, many)
                for name in views
            }
        )

    def forward(
        self, text: Text, views: Views, gold: Sequence[Sequence[Entity]] | None
    ) -> Alignment:
        real = _first(text.mask[:, 0], text.mask)
        spread = self.training or gold is not None  # to predict, means are enough
        said: Latents = self.text(_first(text.sentence, text.tokens), real, spread)
        drawn = said.draw(self.training)
        flowing: dict[str, View] = {}
        losses = {} if gold is None else {"kl_text": said.divergence(self.kl)}
        for name, bottleneck in self.bottlenecks.items():
            view = views[name]
            real = _first(view.present, view.mask)
            seen: Latents = bottleneck(_first(view.pooled, view.regions), real, spread)
            shown = seen.draw(self.training)
            flowing[name] = View(shown[:, 1:], shown[:, 0], view.mask)
            if gold is not None:
                losses[f"kl.{name}"] = seen.divergence(self.kl)
                losses[f"discriminator.{name}"] = self.tell_apart(
                    name, drawn[view.present, 0], shown[view.present, 0]
                )
        words = replace(text, tokens=drawn[:, 1:], sentence=drawn[:, 0], last=None)
        return Alignment(words, flowing, losses)

    def tell_apart(self, name: str, said: Tensor, shown: Tensor) -> Tensor:
        """The discriminator's loss of P sentences and their pictures, (P, D) each."""
        if len(said) < 2:
            return said.new_zeros(())
        pairs, others = (self.score(name, said, seen) for seen in (shown, shown.roll(1, dims=0)))
        return functional.softplus(-pairs).mean() + functional.softplus(others).mean()

    def score(self, name: str, said: Tensor, shown: Tensor) -> Tensor:
        """(P, 1), or with ``scores: width`` (P, D)."""
        net = self.discriminators[name]
        if isinstance(net, nn.Bilinear):
            score: Tensor = net(said, shown)
        else:
            score = net(torch.cat([said, shown], dim=-1))
        return score.to(said.dtype)


class Bottleneck(nn.Module):
    """The mean and the log-variance of each of K vectors, by two self-attention blocks."""

    def __init__(self, before: int, width: int, heads: int | None, deviation: float) -> None:
        super().__init__()
        self.projection = nn.Identity() if before == width else nn.Linear(before, width)
        self.mean = CrossBlock(width, heads)
        self.log_variance = CrossBlock(width, heads)
        with torch.no_grad():
            self.log_variance.norm2.bias.fill_(2 * math.log(deviation))

    def forward(self, x: Tensor, mask: Tensor, spread: bool = True) -> Latents:
        """Of x (B, K, D') and mask (B, K); without ``spread`` the means alone."""
        x = self.projection(x)
        precise = self.mean.norm2.weight.dtype  # exp of half of it is too coarse
        mean = self.mean(x, x, mask).to(precise)
        if not spread:
            return Latents(mean, mean.new_full((), -torch.inf), mask)
        return Latents(mean, self.log_variance(x, x, mask).to(precise), mask)


class Latents(NamedTuple):
    """Diagonal Gaussians: ``mean`` and ``log_variance`` (B, K, D), ``mask`` (B, K).

    The log-variance of points is -inf."""

    mean: Tensor
    log_variance: Tensor
    mask: Tensor

    def draw(self, training: bool) -> Tensor:
        """A sample in training, the mean in evaluation; 0 on padding."""
        drawn = self.mean
        if training:
            drawn = drawn + (self.log_variance / 2).exp() * torch.randn_like(drawn)
        return drawn * self.mask.unsqueeze(-1)

    def divergence(self, over: Literal["mean", "sum"]) -> Tensor:
        """KL to N(0, I): the mean of the real vectors', 0 where there is none."""
        each = self.mean.square() + self.log_variance.exp() - 1 - self.log_variance
        each = each.mean(dim=-1) if over == "mean" else each.sum(dim=-1)
        return (each * self.mask).sum() / self.mask.sum().clamp(min=1) / 2


def _first(one: Tensor, others: Tensor) -> Tensor:
    """(B, …) put before (B, K, …) along K."""
    return torch.cat([one.unsqueeze(1), others], dim=1)
