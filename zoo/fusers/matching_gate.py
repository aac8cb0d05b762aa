"""MAF's gate, weighted by how well text and picture match (Xu et al., WSDM 2022)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from zoo.blocks.attention import AttentionLayer, project, where_seen
from zoo.parts import Fuser, ViewSpec
from zoo.registry import register
from zoo.types import Units, Views

Positive = Annotated[int, Field(gt=0, le=16_384)]


@register("fuser", "matching_gate")
class MatchingGate(Fuser):
    """Units look at the regions; what they see counts as much as the picture matches the text.

    Cites: xu-etal-2022-maf

    With block(x; y) a layer of BERT whose queries are x and whose keys and values are y, the units
    S (B, U, D) and the regions R (B, R, D_v) of all views::

        X = block(S; W R)                        what each unit sees
        p = softmax(M [mean S ; mean X])_match   one number a sentence: do text and picture match?
        g = σ(W_t S + W_i (p X) + b)             one number for each channel
        fused = [S ; g * p X]                    (B, U, 2 D)

    In training some sentences exchange their pictures in pairs, and ``match`` is the cross-entropy
    of telling them from the others: the mean over the rows that have a picture. With ``exchange:
    pictures`` such a sentence looks twice, and what flows on has seen its own picture; as released
    (``attended``) the exchange flows on, and the decoder learns from it, too. A row without a
    picture takes no part and gives [S ; 0]. The published attention is that of the units to the
    regions, in X.

    Args:
        width: D, of the units that come in; 2 D go out.
        views: what each view will give.
        level: whether words (token) or candidate spans (span) are fused.
        heads: of the attention; a divisor of the width. None = heads of 64, at least four.
        feed_forward: hidden size of the block's feed-forward layer, as a multiple of the width.
        dropout: on attention weights and on what is added to the residual stream.
        mismatched: the share of a batch's pictures that is exchanged in training.
        exchange: what is exchanged: ``pictures``, at which the units look once more, for the match
            alone; or X itself (``attended``), for which the words of another sentence have looked.
        positions: None: p is read from the means of S and X, whatever the length. A number: from
            the vectors of that many units in a row, each with weights of its own and 0 for padding
            (released: 128 sub-words, padding included); what lies beyond is not read.

    Raises:
        ConfigError: the heads don't divide the width.
    """

    loss_names = whole_losses = ("match",)

    def __init__(
        self,
        width: int,
        views: dict[str, ViewSpec],
        *,
        level: Literal["token", "span"] = "token",
        heads: Positive | None = None,
        feed_forward: Annotated[float, Field(gt=0, le=64)] = 4.0,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        mismatched: Annotated[float, Field(ge=0, le=1)] = 0.25,
        exchange: Literal["pictures", "attended"] = "pictures",
        positions: Positive | None = None,
    ) -> None:
        super().__init__()
        self.level = level
        self.width = 2 * width
        self.mismatched, self.exchange, self.positions = mismatched, exchange, positions
        self.projections = nn.ModuleDict(
            {name: project(spec.width, width) for name, spec in views.items()}
        )
        hidden = max(1, round(feed_forward * width))
        self.attention = AttentionLayer(width, heads, dropout, hidden, small=False)
        self.match = nn.Linear(2 * width * (positions or 1), 2)
        self.gate_text = nn.Linear(width, width)
        self.gate_picture = nn.Linear(width, width, bias=False)  # the other one's is enough

    def forward(self, units: Units, views: Views) -> Units:
        seen = [views[name] for name in self.projections]
        mask = torch.cat([view.mask for view in seen], dim=1)
        projected = [linear(views[name].regions) for name, linear in self.projections.items()]
        regions, present = torch.cat(projected, dim=1), mask.any(dim=1)
        picture = self.attention(units.vectors, regions, mask)  # X
        own = torch.arange(len(present), device=present.device)
        partner = self.partners(present) if self.training else own
        moved = partner != own
        if self.exchange == "attended":
            picture = torch.where(
                moved[:, None, None], (picture * units.mask.unsqueeze(-1))[partner], picture
            )
        logits = self.match(self.matched(units.vectors, picture, units.mask))

        losses, attention = {}, {}
        if self.training:
            asked = logits
            if self.exchange == "pictures" and moved.any():
                words, there = units.vectors[moved], units.mask[moved]
                wrong = self.attention(words, regions[partner[moved]], mask[partner[moved]])
                asked = logits.masked_scatter(
                    moved[:, None], self.match(self.matched(words, wrong, there)).to(logits.dtype)
                )
            each = functional.cross_entropy(asked, (~moved).long(), reduction="none")
            losses["match"] = (each * present).sum() / present.sum().clamp(min=1)

        picture = logits.softmax(dim=-1)[:, 1, None, None] * picture
        gate = (self.gate_text(units.vectors) + self.gate_picture(picture)).sigmoid()
        nothing = torch.zeros_like(units.vectors)
        picture = where_seen(present, (gate * picture).to(nothing.dtype), nothing)
        fused = torch.cat([units.vectors, picture], dim=-1)
        if self.publish_attention:
            weights = self.attention.weights(units.vectors, regions, mask)
            split = torch.split(
                weights * units.mask.unsqueeze(-1), [view.mask.shape[1] for view in seen], dim=-1
            )
            attention = dict(zip(self.projections, split, strict=True))
        return units.with_vectors(fused, losses, attention)

    def partners(self, present: Tensor) -> Tensor:
        """(B,) int64: the row whose picture each row gets. Of the rows that have a picture, drawn
        at random, ``mismatched`` exchange theirs in pairs; all others keep their own."""
        partner = torch.arange(len(present), device=present.device)
        rows = present.nonzero().squeeze(1)
        rows = rows[torch.randperm(len(rows)).to(rows.device)]  # drawn on the CPU everywhere
        half = int(self.mismatched * len(rows) / 2)
        if half:
            first, second = rows[-2 * half : -half], rows[-half:]
            partner[first], partner[second] = second, first
        return partner

    def matched(self, units: Tensor, picture: Tensor, mask: Tensor) -> Tensor:
        """What the match is read from, (B, 2 D) or (B, 2 D · positions), out of S, X and the mask
        of the units."""
        both = torch.cat([units, picture.to(units.dtype)], dim=-1) * mask.unsqueeze(-1)
        if self.positions is None:
            return both.sum(dim=1) / mask.sum(dim=1, keepdim=True)
        both = both[:, : self.positions]
        return functional.pad(both, (0, 0, 0, self.positions - both.shape[1])).flatten(1)
