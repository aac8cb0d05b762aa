"""Text and picture of a pair are drawn together, those of different pairs apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from zoo.errors import ConfigError
from zoo.parts import Aligner, ViewSpec
from zoo.registry import near, register
from zoo.types import Alignment, Entity, Text, View, Views

Reading = Literal["pooled", "flattened"]


@register("aligner", "contrastive")
class Contrastive(Aligner):
    """Adds a contrastive loss between the whole text and each whole view; changes nothing else.

    Cites: wang-etal-2024-2mner

    One head (linear, ReLU, linear) for the text, shared by all views, and one a view; a loss
    ``contrastive.<view>`` for each of them. Rows without a picture are left out; fewer than two
    pictures leave nothing to contrast with: the loss is 0.

    Args:
        width: of the text.
        views: what each view will give.
        level: what is aligned: the whole text and the whole picture.
        objective: ``nt_xent`` (SimCLR, Chen et al., ICML 2020: negatives of both modalities) or
            ``info_nce`` (CLIP, Radford et al., ICML 2021: of the other modality only).
        temperature: divides the cosine.
        hidden: hidden and output size of the heads; None = the text's width.
        view: what the head of a view reads, its pooled vector or all its regions in a row; one
            for all views or one a view (pooled where not named).

    Raises:
        ConfigError: ``view`` names an unknown view, or one to flatten whose number of regions
            differs from picture to picture.
    """

    loss_names = ("contrastive",)

    def __init__(
        self,
        width: int,
        views: dict[str, ViewSpec],
        *,
        level: Literal["sentence"] = "sentence",
        objective: Literal["nt_xent", "info_nce"] = "nt_xent",
        temperature: Annotated[float, Field(gt=0)] = 0.5,
        hidden: Annotated[int, Field(gt=0)] | None = None,
        view: Reading | dict[str, Reading] = "pooled",
    ) -> None:
        super().__init__()
        self.level = level
        self.objective = nt_xent if objective == "nt_xent" else info_nce
        self.temperature = temperature
        if isinstance(view, str):
            view = dict.fromkeys(views, view)
        for name in view:
            if name not in views:
                raise ConfigError(f"contrastive: `view` names `{name}`{near(name, views)}")
        self.flattened = {name for name, reading in view.items() if reading == "flattened"}
        hidden = hidden or width
        self.text_head = head(width, hidden)
        self.view_heads = nn.ModuleDict(
            {name: head(self._width(name, spec), hidden) for name, spec in views.items()}
        )

    def forward(
        self, text: Text, views: Views, gold: Sequence[Sequence[Entity]] | None
    ) -> Alignment:
        if gold is None:
            return Alignment(text, views, {})
        losses = {f"contrastive.{name}": self._loss(text, name, views[name]) for name in views}
        return Alignment(text, views, losses)

    def _loss(self, text: Text, name: str, view: View) -> Tensor:
        present = view.present
        seen = (view.regions.flatten(1) if name in self.flattened else view.pooled)[present]
        if len(seen) < 2:
            return text.sentence.new_zeros(())
        first = self.text_head(text.sentence[present])
        second = self.view_heads[name](seen)
        return self.objective(first, second, self.temperature)

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


def head(width: int, hidden: int) -> nn.Sequential:
    """Linear, ReLU, linear."""
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden))


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Each of the 2B vectors picks its partner among the other 2B - 1; mean over the 2B.

    Args:
        first: (B, D), not normalised.
        second: (B, D), row i is the partner of row i.
        temperature: divides the cosine.
    """
    both = functional.normalize(torch.cat([first, second]), dim=1)
    similarity = both @ both.T / temperature
    itself = torch.eye(len(both), dtype=torch.bool, device=both.device)
    partner = torch.arange(len(both), device=both.device).roll(len(first))
    return functional.cross_entropy(similarity.masked_fill(itself, -torch.inf), partner)


def info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Each vector picks its partner among the B of the other side; mean over both directions.

    Args:
        first: (B, D), not normalised.
        second: (B, D), row i is the partner of row i.
        temperature: divides the cosine.
    """
    first, second = functional.normalize(first, dim=1), functional.normalize(second, dim=1)
    similarity = first @ second.T / temperature
    partner = torch.arange(len(first), device=first.device)
    one = functional.cross_entropy(similarity, partner)
    other = functional.cross_entropy(similarity.T, partner)
    return (one + other) / 2
