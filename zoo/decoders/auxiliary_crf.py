"""UMT's CRF that is helped by the detection of entity spans in the text alone (Yu et al., 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from zoo.blocks.attention import AttentionLayer
from zoo.decoders.crf import Crf
from zoo.decoders.tagging import Scheme, Tagging
from zoo.parts import Decoder
from zoo.registry import register
from zoo.types import Entity, ScoredEntity, Text, Units

ANY = "entity"
"""The one type of the auxiliary task."""


@register("decoder", "auxiliary_crf")
class AuxiliaryCrf(Decoder):
    """A CRF over the units' tags, and one over the same tags without types, of the text alone.

    Cites: yu-etal-2020-improving-multimodal

    With the text-only states S (B, N, D), a layer of BERT, the units F and the fixed matrix C,
    whose rows are the untyped tags (O, B, I) and whose columns are the typed ones::

        Z = block(S; S)
        E_a = W_a Z + b_a                             where entities begin and go on, (B, N, 3)
        E = (1 - share) (W F + b) + share E_a C       (B, N, K)
        C[O, O] = 1, C[B, B-t] = C[I, I-t] = 1 / T for each of the T types, 0 elsewhere

    ``crf`` is the negative log-likelihood of the tags under E, ``entity_spans`` that of the untyped
    tags under E_a; each is the mean over sentences (:class:`zoo.decoders.crf.Crf`), with
    transitions of its own. UMT weighs them 1 and 0.5. Decoding and scores are those of the typed
    CRF.

    Args:
        fused: width of the units.
        text_width: D, of the text-only states.
        types: the entity types.
        scheme: the tags.
        dropout: on the units, on attention weights and on the residual stream of the block.
        constrained: only legal tag sequences; False allows all of them.
        share: of the converted emissions in the sum.
        heads: of the block's attention; a divisor of D. None = heads of 64, at least four.
        feed_forward: hidden size of the block's feed-forward layer, as a multiple of D.

    Raises:
        ConfigError: the heads don't divide the width.
    """

    loss_names = ("crf", "entity_spans")

    def __init__(
        self,
        fused: int,
        text_width: int,
        types: list[str],
        *,
        scheme: Scheme = "BIO",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        constrained: bool = True,
        share: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        heads: Annotated[int, Field(gt=0, le=16_384)] | None = None,
        feed_forward: Annotated[float, Field(gt=0, le=64)] = 4.0,
    ) -> None:
        super().__init__()
        self.share = share
        hidden = max(1, round(feed_forward * text_width))
        self.block = AttentionLayer(text_width, heads, dropout, hidden)
        self.typed = Crf(fused, types, scheme=scheme, dropout=dropout, constrained=constrained)
        self.untyped = Crf(text_width, [ANY], scheme=scheme, dropout=0.0, constrained=constrained)
        matrix = conversion(self.untyped.tagging, self.typed.tagging)
        self.register_buffer("conversion", matrix, persistent=False)
        self.conversion: Tensor

    def emissions(self, units: Units, text: Text) -> tuple[Tensor, Tensor]:
        """Those of the typed tags (B, N, K), and of the untyped ones."""
        states = self.block(text.tokens, text.tokens, text.mask)
        untyped = self.untyped.emissions(Units(states, text.mask, units.spans))
        converted = untyped @ self.conversion.to(untyped.dtype)
        typed = (1 - self.share) * self.typed.emissions(units) + self.share * converted
        return typed, untyped

    def loss(
        self, units: Units, text: Text, gold: Sequence[Sequence[Entity]]
    ) -> Mapping[str, Tensor]:
        typed, untyped = self.emissions(units, text)
        tags = self.typed.tagging.encode(gold, units.mask)
        bare = [[entity._replace(type=ANY) for entity in entities] for entities in gold]
        spans = self.untyped.tagging.encode(bare, units.mask)
        return {
            "crf": self.typed.negative_log_likelihood(typed, tags, units.mask),
            "entity_spans": self.untyped.negative_log_likelihood(untyped, spans, units.mask),
        }

    def log_marginals(self, units: Units, text: Text) -> Tensor:
        """(B, N, K): log p(y_i = k | x) of each word's typed tags (:class:`Crf`)."""
        return self.typed.marginals_of(self.emissions(units, text)[0], units.mask)

    @torch.no_grad()
    def decode(self, units: Units, text: Text) -> list[list[ScoredEntity]]:
        return self.typed.decode_from(self.emissions(units, text)[0], units.mask)


def conversion(untyped: Tagging, typed: Tagging) -> Tensor:
    """(tags without types, tags with them): 1 for the same tag; of a tag that may have any of the T
    types, 1 / T for each."""
    matrix = torch.zeros(len(untyped), len(typed))
    for row, bare in enumerate(untyped.tags):
        prefix = bare.removesuffix(f"-{ANY}")
        same = [
            column
            for column, tag in enumerate(typed.tags)
            if tag == bare or (prefix != bare and tag.startswith(f"{prefix}-"))
        ]
        matrix[row, same] = 1 / len(same)
    return matrix
