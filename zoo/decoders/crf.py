"""A linear-chain conditional random field over words (Lafferty et al., ICML 2001)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.decoders.forward_backward import LogPartition, by_logsumexp, messages
from zoo.decoders.tagging import Scheme, Tagging, scored
from zoo.decoders.viterbi import viterbi
from zoo.parts import Decoder
from zoo.registry import register
from zoo.types import Entity, ScoredEntity, Text, Units

FORBIDDEN = -1e4
"""Score of an illegal transition: its probability is exactly 0 in float32 and float64."""


@register("decoder", "crf")
class Crf(Decoder):
    """Linear-chain CRF over words, BIO or BIOES.

    Cites: lafferty-etal-2001-conditional

    Emissions are linear in the units. Parameters and legal transitions are allennlp-light's. So is
    the likelihood, its mean over *sentences*, but it is computed in float64 by
    :mod:`zoo.decoders.forward_backward`. Only legal sequences exist when ``constrained``: illegal
    transitions (and starts, and ends) are out of the normaliser too, not of the decoding alone, so
    training and decoding know the same distribution and p(y | x) sums to one over the legal
    sequences.

    An entity's score is the posterior probability of its tags, p(y_s … y_e | x), by
    forward-backward.

    Args:
        fused: width D of the words' vectors.
        types: the entity types.
        scheme: the tags.
        dropout: on the words' vectors.
        constrained: only legal tag sequences; False allows all of them.
    """

    loss_names = ("crf",)

    def __init__(
        self,
        fused: int,
        types: list[str],
        *,
        scheme: Scheme = "BIO",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        constrained: bool = True,
    ) -> None:
        # here, because it imports much that only a decoder that is built needs
        from allennlp_light.modules.conditional_random_field.conditional_random_field import (
            ConditionalRandomField,
        )

        super().__init__()
        self.tagging = Tagging(types, scheme)
        self.dropout = nn.Dropout(dropout)
        self.emission = nn.Linear(fused, len(self.tagging))
        self.crf = ConditionalRandomField(len(self.tagging))
        legal = legal_transitions(self.tagging, constrained)
        self.register_buffer("legal", legal, persistent=False)
        self.legal: Tensor
        self.constrained = constrained

    def scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Transitions (K, K) from row to column, start (K,) and end (K,), illegal ones out."""
        crf, legal, k = self.crf, self.legal, len(self.tagging)
        if not self.constrained:
            return crf.transitions, crf.start_transitions, crf.end_transitions
        return (
            crf.transitions.where(legal[:k, :k], FORBIDDEN),
            crf.start_transitions.where(legal[k, :k], FORBIDDEN),
            crf.end_transitions.where(legal[:k, k + 1], FORBIDDEN),
        )

    def emissions(self, units: Units) -> Tensor:
        """(B, N, K), in the precision of the CRF's parameters."""
        emissions: Tensor = self.emission(self.dropout(units.vectors))
        return emissions.to(self.crf.transitions.dtype)

    def negative_log_likelihood(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Mean over sentences of -log p(tags | emissions).

        Args:
            emissions: (B, N, K).
            tags: (B, N) int64.
            mask: (B, N).
        """
        crf = self.crf
        scores = crf.transitions, crf.start_transitions, crf.end_transitions
        found: Tensor = LogPartition.apply(emissions, mask, *scores, tags, self._legal(), FORBIDDEN)
        return found.mean().to(crf.transitions.dtype)

    def _legal(self) -> Tensor | None:
        """Which transitions, starts and ends are legal (K² + 2 K,); None: all."""
        if not self.constrained:
            return None
        legal, k = self.legal, len(self.tagging)
        return torch.cat([legal[:k, :k].flatten(), legal[k, :k], legal[:k, k + 1]])

    def loss(
        self, units: Units, text: Text, gold: Sequence[Sequence[Entity]]
    ) -> Mapping[str, Tensor]:
        tags = self.tagging.encode(gold, units.mask)
        return {"crf": self.negative_log_likelihood(self.emissions(units), tags, units.mask)}

    def log_marginals(self, units: Units, text: Text) -> Tensor:
        """(B, N, K): log p(y_i = k | x) of each word's tags, by forward-backward.

        A tag that can't stand at a word has -10,000 in place of -inf, so that differences are
        numbers.
        """
        return self.marginals_of(self.emissions(units), units.mask)

    def decode(self, units: Units, text: Text) -> list[list[ScoredEntity]]:
        return self.decode_from(self.emissions(units), units.mask)

    def marginals_of(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """:meth:`log_marginals` of emissions (B, N, K)."""
        forward, backward = by_logsumexp(emissions, mask, *self.scores())
        joint = forward + backward
        found: Tensor = joint - joint[:, :1].logsumexp(dim=2, keepdim=True)
        return found.clamp(min=-1e4) * mask.unsqueeze(-1)

    @torch.no_grad()
    def decode_from(self, emissions: Tensor, mask: Tensor) -> list[list[ScoredEntity]]:
        """:meth:`decode` of emissions (B, N, K)."""
        transitions, start, end = self.scores()
        path = viterbi(emissions, mask, transitions, start, end)
        entities = self.tagging.read(path)
        if not any(entities):
            return [[] for _ in entities]

        found = messages(emissions, mask, transitions, start, end)
        tags = path.clamp(min=0)
        inner = found.steps.gather(2, tags.unsqueeze(2)).squeeze(2)
        inner[:, 1:] += transitions[tags[:, :-1], tags[:, 1:]]
        inner = inner.cumsum(dim=1)

        def posterior(row: Tensor, first: Tensor, last: Tensor) -> Tensor:
            before = found.forward[row, first, tags[row, first]]
            after = found.backward[row, last, tags[row, last]]
            between = inner[row, last] - inner[row, first]
            return (before + between + after - found.partition[row]).exp()

        return scored(entities, posterior, path.device)


def legal_transitions(tagging: Tagging, constrained: bool) -> Tensor:
    """(K+2, K+2) bool: whether the column's tag may follow the row's; K is start, K+1 is end."""
    size = len(tagging) + 2
    if not constrained:
        return torch.ones(size, size, dtype=torch.bool)
    from allennlp_light.modules.conditional_random_field.conditional_random_field import (
        allowed_transitions,
    )

    # allennlp-light knows BIOES by its other name, BIOUL: L ends an entity, U is one of one word
    other_names = {"E": "L", "S": "U"}
    labels = {i: other_names.get(tag[0], tag[0]) + tag[1:] for i, tag in enumerate(tagging.tags)}
    pairs = allowed_transitions("BIO" if tagging.scheme == "BIO" else "BIOUL", labels)
    legal = torch.zeros(size, size, dtype=torch.bool)
    legal[tuple(torch.tensor(pairs).T)] = True
    return legal
