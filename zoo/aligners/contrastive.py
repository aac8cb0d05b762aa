"""Text and picture of a pair are drawn together, those of different pairs apart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from zoo.aligners.late_interaction import Bags, gathered, late_interaction
from zoo.aligners.top_k import top_k
from zoo.errors import ConfigError, near
from zoo.parts import Aligner, ViewSpec
from zoo.registry import register
from zoo.types import Alignment, Entity, Text, View, Views

Level = Literal["sentence", "token", "span"]
Reading = Literal["pooled", "flattened", "whole", "none"]
Objective = Literal["nt_xent", "info_nce", "top_k"]

COLDEST = 0.01
"""The lowest temperature that is learnt, as in CLIP."""


@register("aligner", "contrastive")
class Contrastive(Aligner):
    """Adds a contrastive loss between the text and each view; changes nothing else.

    Cites: wang-etal-2024-2mner

    How alike a text and a picture are depends on the level: ``sentence``, the cosine of the
    sentence vector and the view's vector; ``token``, late interaction of the words and the regions
    (:func:`late_interaction`); ``span``, the same of the gold entities, each the mean of its words,
    and the regions. Vectors pass through a head (linear, ReLU, linear) before: one for the text,
    shared by all views, and one a view. There is a loss ``contrastive.<view>`` for each view.

    Rows without a picture are left out (at level span those without an entity, too); fewer than
    two leave nothing to contrast with: the loss is 0. Where several processes train, the pairs of
    all of them are the negatives. Under ``top_k`` pairs are not compared: its negatives are the
    other regions of the same picture (:func:`zoo.aligners.top_k.top_k`).

    Args:
        width: of the text.
        views: what each view will give.
        level: what is aligned.
        objective: ``nt_xent`` (SimCLR, Chen et al., ICML 2020: negatives of both modalities) or
            ``info_nce`` (CLIP, Radford et al., ICML 2021: of the other modality only), or, at the
            levels token and span, ``top_k`` (MT-MNER: of the same picture).
        text_share: of ``info_nce``: how much it weighs that a text picks its picture; the rest is
            for a picture that picks its text (MAF, Xu et al., WSDM 2022: 0.7).
        temperature: divides the similarity.
        learn_temperature: whether ``temperature`` is where a trained one starts.
        hidden: hidden and output size of the heads; None = the text's width.
        view: what the head of a view reads at level sentence: its pooled vector, all its regions
            in a row (flattened), or, whole, the latter where every picture has as many regions and
            the former where not; one for all views or one a view (pooled where not named). At any
            level, ``none`` leaves the view out: it has no loss.
        text: what the text's head reads at level sentence: the text's ``sentence`` vector, or the
            mean of its ``words``.
        head: ``mlp`` (linear, ReLU, linear) or one ``linear`` layer.
        k: of ``top_k``: how many regions are a word's own, and words a region's.

    Raises:
        ConfigError: ``view`` names an unknown view, or one to flatten whose number of regions
            differs from picture to picture, or leaves out all views; ``top_k`` at level sentence.
    """

    loss_names = ("contrastive",)

    def __init__(
        self,
        width: int,
        views: dict[str, ViewSpec],
        *,
        level: Level = "sentence",
        objective: Objective = "nt_xent",
        text_share: Annotated[float, Field(ge=0, le=1)] = 0.5,
        temperature: Annotated[float, Field(ge=COLDEST)] = 0.5,
        learn_temperature: bool = False,
        hidden: Annotated[int, Field(gt=0, le=16_384)] | None = None,
        view: Reading | dict[str, Reading] = "pooled",
        text: Literal["sentence", "words"] = "sentence",
        head: Literal["mlp", "linear"] = "mlp",
        k: Annotated[int, Field(gt=0, le=16_384)] = 5,
    ) -> None:
        super().__init__()
        self.level = level
        self.objective = nt_xent if objective == "nt_xent" else partial(info_nce, share=text_share)
        self.fewest = 2
        """The pairs that are needed for a loss."""
        if objective == "top_k":
            if level == "sentence":
                raise ConfigError(
                    "contrastive: `objective: top_k` chooses among regions, and `level: sentence` "
                    "has only one vector a picture; set `level: token`"
                )
            self.objective, self.fewest = partial(top_k, k=k), 1
        self.reads_words = text == "words"
        start = torch.tensor(float(temperature)).log()
        self.log_temperature = nn.Parameter(start) if learn_temperature else None
        self.fixed_temperature = temperature
        if isinstance(view, str):
            view = dict.fromkeys(views, view)
        for name in view:
            if name not in views:
                raise ConfigError(f"contrastive: `view` names `{name}`{near(name, views)}")
        # at the other levels the regions themselves are what is read
        self.flattened = {
            name
            for name, reading in view.items()
            if level == "sentence"
            and (reading == "flattened" or (reading == "whole" and views[name].regions))
        }
        left = {name: spec for name, spec in views.items() if view.get(name) != "none"}
        if not left:
            raise ConfigError(
                "contrastive: `view` leaves out every view; name one to align, or take the aligner "
                "away"
            )
        hidden = hidden or width
        make = mlp if head == "mlp" else nn.Linear
        self.text_head = make(width, hidden)
        self.view_heads = nn.ModuleDict(
            {name: make(self._width(name, spec), hidden) for name, spec in left.items()}
        )

    @property
    def temperature(self) -> Tensor | float:
        """The temperature as it is now."""
        if self.log_temperature is None:
            return self.fixed_temperature
        learnt = self.log_temperature.exp()
        # at the floor, too, the gradient is the temperature's own, so that it may rise again
        return learnt + (learnt.clamp(min=COLDEST) - learnt).detach()

    def forward(
        self, text: Text, views: Views, gold: Sequence[Sequence[Entity]] | None
    ) -> Alignment:
        if gold is None:
            return Alignment(text, views, {})
        said = self.said(text, gold)
        losses = {
            f"contrastive.{name}": self.contrast(said, self.seen(name, views[name]))
            for name in self.view_heads
        }
        return Alignment(text, views, losses)

    def said(self, text: Text, gold: Sequence[Sequence[Entity]]) -> Bags:
        """What of each text is aligned, behind the head: its sentence, words or entities."""
        if self.level == "sentence":
            return _ones(self.text_head(_mean(text) if self.reads_words else text.sentence))
        if self.level == "token":
            return Bags(self.text_head(text.tokens), text.mask)
        spans = entities(text, gold)
        return Bags(self.text_head(spans.vectors), spans.mask)

    def seen(self, name: str, view: View) -> Bags:
        """What of each picture is aligned, behind the head: the whole, or its regions."""
        project = self.view_heads[name]
        if self.level != "sentence":
            return Bags(project(view.regions), view.mask)
        whole = view.regions.flatten(1) if name in self.flattened else view.pooled
        return Bags(project(whole).unsqueeze(1), view.present.unsqueeze(1))

    def contrast(self, said: Bags, seen: Bags) -> Tensor:
        """The loss over the rows that have both."""
        if self.fewest > 1:
            said, seen = gathered(said), gathered(seen)
        both = said.present & seen.present
        if both.sum() < self.fewest:
            return said.vectors.new_zeros(())
        return self.objective(said.at(both), seen.at(both), self.temperature)

    def _width(self, name: str, spec: ViewSpec) -> int:
        """Of what a view's head reads."""
        if name not in self.flattened:
            return spec.width
        if spec.regions is None:
            raise ConfigError(
                f"contrastive: view `{name}` has no fixed number of regions and can't be "
                "flattened; set `view: pooled`"
            )
        return spec.width * spec.regions


def mlp(width: int, hidden: int) -> nn.Sequential:
    """Linear, ReLU, linear."""
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden))


def _mean(text: Text) -> Tensor:
    """The mean of each sentence's words (B, D)."""
    words = text.tokens * text.mask.unsqueeze(-1)
    return words.sum(dim=1) / text.mask.sum(dim=1, keepdim=True).clamp(min=1)


def _ones(vectors: Tensor) -> Bags:
    """Bags of one vector each, from (B, D)."""
    return Bags(vectors.unsqueeze(1), vectors.new_ones(len(vectors), 1, dtype=torch.bool))


def entities(text: Text, gold: Sequence[Sequence[Entity]]) -> Bags:
    """The gold entities of each sentence as the mean of their words: B bags, D wide."""
    most = max(1, *map(len, gold))
    within = torch.zeros(len(gold), most, text.mask.shape[1])
    for row, found in enumerate(gold):
        for place, entity in enumerate(found):
            within[row, place, entity.start : entity.end] = 1 / (entity.end - entity.start)
    within = within.to(text.tokens)
    return Bags(within @ text.tokens, within.any(dim=2))


def nt_xent(first: Bags, second: Bags, temperature: Tensor | float) -> Tensor:
    """Each of the 2B bags picks its partner among the other 2B - 1; mean over the 2B.

    Args:
        first: B bags of not normalised vectors.
        second: B bags, row i is the partner of row i.
        temperature: divides the similarity.
    """
    across = late_interaction(first, second)
    upper = torch.cat([late_interaction(first, first), across], dim=1)
    lower = torch.cat([across.T, late_interaction(second, second)], dim=1)
    similarity = torch.cat([upper, lower]) / temperature
    itself = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    partner = torch.arange(len(similarity), device=similarity.device).roll(len(across))
    return functional.cross_entropy(similarity.masked_fill(itself, -torch.inf), partner)


def info_nce(first: Bags, second: Bags, temperature: Tensor | float, share: float = 0.5) -> Tensor:
    """Each bag picks its partner among the B of the other side; both directions, weighted.

    Args:
        first: B bags of not normalised vectors.
        second: B bags, row i is the partner of row i.
        temperature: divides the similarity.
        share: of the first bags' choice in the sum.
    """
    similarity = late_interaction(first, second) / temperature
    partner = torch.arange(len(similarity), device=similarity.device)
    one = functional.cross_entropy(similarity, partner)
    other = functional.cross_entropy(similarity.T, partner)
    return share * one + (1 - share) * other
