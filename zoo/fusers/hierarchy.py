"""Three attentions in a row, joined by gates (Han et al., MT-MNER)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.blocks.attention import AttentionLayer, begin_small, resize, where_seen
from zoo.blocks.scale import keep_scale
from zoo.errors import ConfigError, near
from zoo.parts import Fuser, ViewSpec
from zoo.registry import register
from zoo.types import Units, View, Views

Keys = Literal["both", "pooled", "regions"]


@register("fuser", "hierarchy")
class Hierarchy(Fuser):
    """Text, regions and the whole picture are attended to in turn, gated, and put to each unit.

    Cites: han-etal-2025-mtmner

    With the units T, the regions L and the pooled vector G of the picture, CAM(q; kv) =
    LN(q + O · MHA(q, kv, kv)) and GFM(a, b) = g · tanh(A a) + (1 - g) · tanh(B b),
    g = σ(W [a ; b]):

        f1 = CAM1(q; T), f2 = CAM2(f1; L), f3 = CAM3(f2; G), f = GFM1(f1, GFM2(f2, f3)),
        fused = W [CAM_t(T + LN(W_t T); f) ; CAM_g(G + LN(W_g G); f)].

    The first query q is, with ``queries: words``, each unit itself, and the f of CAM_t and CAM_g is
    that unit's own. With ``released`` it is G for all of them, as in the released code: then f is
    one vector for all units of a sentence, computed once, and no unit looks at a region of its own.
    Attention to a single vector, or to many that are equal, is a constant, LN(q + O · V · f), and
    has neither queries nor keys; so both have the same parameters.

    Begins near W [T ; …] = T. A row that lacks its regions or its pooled vector comes back as it
    was.

    Args:
        width: D, of the units that come in and go out.
        views: what each view will give.
        level: whether words (token) or candidate spans (span) look at the pictures.
        queries: what asks first: the ``words`` (at level span, the spans), or as ``released``.
        keys: what a view gives: its regions to L, its pooled vector to G (the mean of those of
            several views), or both; one for all views or one a view (both where not named). Where
            no view gives one of the two, all do.
        heads: of the attentions; a divisor of the width. None = heads of 64, at least four.
        dropout: on attention weights and on what is added to the residual stream.

    Raises:
        ConfigError: ``keys`` names an unknown view, or the heads don't divide the width.
    """

    def __init__(
        self,
        width: int,
        views: dict[str, ViewSpec],
        *,
        level: Literal["token", "span"] = "token",
        queries: Literal["words", "released"] = "words",
        keys: Keys | dict[str, Keys] = "both",
        heads: Annotated[int, Field(gt=0, le=16_384)] | None = None,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    ) -> None:
        super().__init__()
        self.level = level
        self.width = width
        self.words = queries == "words"
        if isinstance(keys, str):
            keys = dict.fromkeys(views, keys)
        for name in keys:
            if name not in views:
                raise ConfigError(f"hierarchy: `keys` names `{name}`{near(name, views)}")
        self.local = [v for v in views if keys.get(v, "both") != "pooled"] or list(views)
        self.whole = [v for v in views if keys.get(v, "both") != "regions"] or list(views)
        self.projections = nn.ModuleDict(
            {name: resize(spec.width, width) for name, spec in views.items()}
        )

        def attention() -> AttentionLayer:
            return AttentionLayer(width, heads, dropout, eps=1e-5)

        self.to_text, self.to_regions = attention(), attention()
        self.to_whole = Given(width, dropout)
        self.gate1, self.gate2 = Gate(width), Gate(width)
        self.lift_text, self.lift_whole = Lift(width), Lift(width)
        self.text, self.picture = Given(width, dropout), Given(width, dropout)
        self.fusion = nn.Linear(2 * width, width)
        with torch.no_grad():
            self.fusion.weight.mul_(0.1)[:, :width].add_(torch.eye(width))
            self.fusion.bias.zero_()

    def forward(self, units: Units, views: Views) -> Units:
        vectors, mask = units.vectors, units.mask
        regions = [self.projections[name](views[name].regions) for name in self.local]
        there = torch.cat([views[name].mask for name in self.local], dim=1)
        whole, seen = self._whole(views)
        query = vectors if self.words else whole.unsqueeze(1)
        first = self.to_text(query, vectors, mask)
        second = self.to_regions(first, torch.cat(regions, dim=1), there)
        third = self.to_whole(second, whole.unsqueeze(1))
        high = self.gate1(first, self.gate2(second, third))

        text = self.text(self.lift_text(vectors), high)
        picture = self.picture(self.lift_whole(whole.unsqueeze(1)), high)
        fused = self.fusion(torch.cat([text, picture.expand_as(text)], dim=-1))
        fused = where_seen(seen & there.any(dim=1), fused, vectors)
        if not self.publish_attention:
            return units.with_vectors(fused)
        weights = self.to_regions.weights(first, torch.cat(regions, dim=1), there)
        weights = weights.expand(*mask.shape, -1) * mask.unsqueeze(-1)
        each = torch.split(weights, [x.shape[1] for x in regions], dim=-1)
        return units.with_vectors(fused, attention=dict(zip(self.local, each, strict=True)))

    def _whole(self, views: Views) -> tuple[Tensor, Tensor]:
        """G (B, D): the mean of the pooled vectors that are there; which rows have one (B,)."""
        given: list[View] = [views[name] for name in self.whole]
        present = torch.stack([view.present for view in given])
        pooled = torch.stack(
            [self.projections[n](v.pooled) for n, v in zip(self.whole, given, strict=True)]
        )
        total = (pooled * present.unsqueeze(-1)).sum(dim=0)
        return total / present.sum(dim=0).clamp(min=1).unsqueeze(-1), present.any(dim=0)


class Given(nn.Module):
    """LN(x + O · V · g): the attention of each x to one vector g, which is no choice."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        begin_small(self.output)
        self.layer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, given: Tensor) -> Tensor:
        """(B, U, D) from x and given, (B, U, D) or (B, 1, D) each."""
        added = self.dropout(self.output(self.value(given)))
        normalised: Tensor = self.layer_norm(x + added)
        return normalised


class Gate(nn.Module):
    """GFM(a, b) = g · tanh(A a) + (1 - g) · tanh(B b), g = σ(W [a ; b])."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.gate = nn.Linear(2 * width, width)
        for layer in (self.first, self.second):
            keep_scale(layer)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(B, U, D) each."""
        gate = self.gate(torch.cat([first, second], dim=-1)).sigmoid()
        gated: Tensor = gate * self.first(first).tanh() + (1 - gate) * self.second(second).tanh()
        return gated


class Lift(nn.Module):
    """x + LN(W x); the normalisation begins with a gain of 0.1, so that x prevails."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(width, width)
        self.layer_norm = nn.LayerNorm(width)
        nn.init.constant_(self.layer_norm.weight, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        lifted: Tensor = x + self.layer_norm(self.projection(x))
        return lifted
