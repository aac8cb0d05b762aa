"""Words and regions attend to each other; two gates decide what is kept (Zhang et al., 2018)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.blocks.attention import resize
from zoo.blocks.scale import keep_scale
from zoo.parts import Fuser, ViewSpec
from zoo.registry import register
from zoo.types import Units, Views


@register("fuser", "co_attention")
class CoAttention(Fuser):
    """Co-attention, a gate between the modalities, and a gate against noise; beside each unit.

    Cites: zhang-etal-2018-adaptive

    With the units h_t and the regions v_j = tanh(P r_j) of all views:

        α_t = softmax_j score(h_t, v_j),  v̂_t = Σ_j α_tj v_j        (what a word sees)
        β_t = softmax_i score'(v̂_t, h_i), ĥ_t = Σ_i β_ti h_i        (which words that is about)
        v' = tanh(A v̂_t), h' = tanh(B ĥ_t), g = σ(w · [v' ; h']), m_t = g v' + (1 - g) h'
        s = σ(w' · [h_t ; m_t]), u_t = s · tanh(C m_t);     out = [h_t ; u_t].

    g and s are one number a unit; s begins open. Padding is not attended to. In a row without a
    picture u is 0.

    Args:
        width: D, of the units that come in; what goes out is twice as wide.
        views: what each view will give; regions of another width are projected.
        level: whether words (token) or candidate spans (span) look at the pictures.
        score: ``additive``, w · tanh(K v_j + Q h_t); or ``concat``, as published:
            w · tanh([K v_j ; Q h_t] + b). The latter is a term of the region plus a term of the
            word; in the softmax over regions the word's cancels. So α, and with it β, v̂ and ĥ, is
            the same for all words of a sentence: it is computed once, and Q does not exist.
        hidden: size of the space in which scores are taken; None = the width.
    """

    def __init__(
        self,
        width: int,
        views: dict[str, ViewSpec],
        *,
        level: Literal["token", "span"] = "token",
        score: Literal["concat", "additive"] = "concat",
        hidden: Annotated[int, Field(gt=0, le=16_384)] | None = None,
    ) -> None:
        super().__init__()
        self.level = level
        self.width = 2 * width
        self.projections = nn.ModuleDict(
            {name: resize(spec.width, width) for name, spec in views.items()}
        )
        asks = score == "additive"
        self.to_regions = Scores(width, hidden or width, asks)
        self.to_units = Scores(width, hidden or width, asks)
        self.seen, self.said = nn.Linear(width, width), nn.Linear(width, width)
        self.between = nn.Linear(2 * width, 1)
        self.filter_unit = nn.Linear(width, 1)
        self.filter_mixed = nn.Linear(width, 1, bias=False)
        self.out = nn.Linear(width, width)
        for layer in (self.seen, self.said, self.out):
            keep_scale(layer)
        nn.init.constant_(self.filter_unit.bias, 2.0)

    def forward(self, units: Units, views: Views) -> Units:
        regions = [project(views[name].regions) for name, project in self.projections.items()]
        there = torch.cat([views[name].mask for name in self.projections], dim=1)
        shown = torch.cat(regions, dim=1).tanh()
        words, mask = units.vectors, units.mask
        alpha = self.to_regions(words, shown, there)  # (B, U, R), or (B, 1, R)
        seen = alpha @ shown.to(alpha.dtype)
        about = self.to_units(seen, words, mask) @ words
        seen, said = self.seen(seen).tanh(), self.said(about).tanh()
        gate = self.between(torch.cat([seen, said], dim=-1)).sigmoid()
        mixed = gate * seen + (1 - gate) * said
        kept = (self.filter_unit(words) + self.filter_mixed(mixed)).sigmoid()
        added = kept * self.out(mixed).tanh() * there.any(dim=1)[:, None, None]
        fused = torch.cat([words, added.to(words.dtype)], dim=-1)
        if not self.publish_attention:
            return units.with_vectors(fused)
        weights = (alpha.detach() * there.unsqueeze(1)).expand(*mask.shape, -1)
        each = torch.split(weights * mask.unsqueeze(-1), [x.shape[1] for x in regions], dim=-1)
        return units.with_vectors(fused, attention=dict(zip(self.projections, each, strict=True)))


class Scores(nn.Module):
    """softmax over keys of w · tanh(K k), or with queries w · tanh(K k + Q q).

    Begins with scores that differ by about one, for of nearly equal weights little is learnt, and
    with biases away from 0, where tanh is straight: only where it is bent does a score depend on
    key and query together.
    """

    def __init__(self, width: int, hidden: int, asks: bool) -> None:
        super().__init__()
        self.key = nn.Linear(width, hidden)
        self.query = nn.Linear(width, hidden, bias=False) if asks else None
        self.weight = nn.Linear(hidden, 1, bias=False)  # a bias would move all scores alike
        for layer in (self.key, self.query):
            if layer is not None:
                nn.init.xavier_uniform_(layer.weight)
        nn.init.uniform_(self.key.bias, -1.5, 1.5)
        nn.init.normal_(self.weight.weight, std=2 * hidden**-0.5)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """The weights (B, U, K), or (B, 1, K) without queries, from (B, U, D), (B, K, D), (B, K).

        A row without any key gives an undefined, finite answer.
        """
        inner = self.key(keys).unsqueeze(1)
        if self.query is not None:
            inner = inner + self.query(queries).unsqueeze(2)
        scores = self.weight(inner.tanh()).squeeze(-1)
        weights: Tensor = scores.masked_fill(
            ~mask.unsqueeze(1), torch.finfo(scores.dtype).min
        ).softmax(dim=-1)
        return weights
