"""UMGF's graph of words and visual objects, with gated messages (Zhang et al., AAAI 2021)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from zoo.blocks.attention import AttentionLayer, begin_small, project, where_seen
from zoo.errors import ConfigError
from zoo.parts import Fuser, ViewSpec
from zoo.registry import register
from zoo.types import Units, Views

Positive = Annotated[int, Field(gt=0, le=16_384)]
EPS = 1e-5
"""Of all layer normalisations here."""

WIDEST = 512
"""Of the nodes, unless their width is set."""


@register("fuser", "gated_graph")
class GatedGraph(Fuser):
    """Words and objects are nodes, each linked to all of the other kind; layers of messages.

    Cites: zhang-etal-2021-multi

    The objects are the regions of all views. With the units S (B, U, D)::

        x_0 = W S                          word nodes, (B, U, hidden)
        o_0 = relu(W2 relu(W1 R))          object nodes, (B, R, hidden); W1 for each view
        (x, o) <- GraphLayer(x, o)         ``layers`` times
        fused = [S ; x]                    (B, U, D + hidden)

    The last layer leaves the objects alone, since nothing reads them. A row without any picture
    gives [S ; 0]. No attention is published: a gate is no share of a whole.

    Args:
        width: D, of the units that come in.
        views: what each view will give; its regions are the objects.
        level: whether words (token) or candidate spans (span) are the nodes.
        hidden: width of the nodes; None: D in whole heads, but at most 512, as published for 768.
        layers: of the graph; two, as the paper chose on dev, where the released code has six.
        heads: of the attention within each kind; a divisor of ``hidden``.
        feed_forward: hidden size of the feed-forward layers, as a multiple of ``hidden``.
        dropout: behind each ReLU of the object nodes; there is none in the layers.

    Raises:
        ConfigError: the heads don't divide ``hidden``.
    """

    def __init__(
        self,
        width: int,
        views: dict[str, ViewSpec],
        *,
        level: Literal["token", "span"] = "token",
        hidden: Positive | None = None,
        layers: Annotated[int, Field(gt=0, le=100)] = 2,
        heads: Positive = 8,
        feed_forward: Annotated[float, Field(gt=0, le=64)] = 0.5,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    ) -> None:
        super().__init__()
        hidden = hidden or max(1, min(width, WIDEST) // heads) * heads
        if hidden % heads:
            raise ConfigError(
                f"gated_graph: `heads: {heads}` does not divide `hidden: {hidden}`; "
                "choose a divisor"
            )
        self.level = level
        self.width = width + hidden
        self.words = project(width, hidden)
        self.objects = nn.ModuleDict(
            {name: project(spec.width, hidden) for name, spec in views.items()}
        )
        self.object = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            GraphLayer(hidden, heads, feed_forward, number == layers - 1)
            for number in range(layers)
        )

    def forward(self, units: Units, views: Views) -> Units:
        mask = torch.cat([views[name].mask for name in self.objects], dim=1)
        objects = self.nodes(views)
        words: Tensor = self.words(units.vectors)
        for layer in self.layers:
            words, objects = layer(words, objects, units.mask, mask)
        words = where_seen(mask.any(dim=1), words, torch.zeros_like(words))
        return units.with_vectors(torch.cat([units.vectors, words], dim=-1))

    def nodes(self, views: Views) -> Tensor:
        """The object nodes o_0 (B, R, hidden)."""
        projected = [linear(views[name].regions) for name, linear in self.objects.items()]
        inner = self.dropout(torch.cat(projected, dim=1).relu())
        nodes: Tensor = self.dropout(self.object(inner).relu())
        return nodes


class GraphLayer(nn.Module):
    """One round of messages between words x (B, U, D) and objects o (B, R, D)::

        x1 = LN(x + MHA(x, x, x))      o1 = LN(o + MHA'(o, o, o)), the values the nodes themselves
        m_t = Σ_j σ(A [x1_t ; o1_j] + a) * o1_j      the gated sum over the objects
        n_j = Σ_t σ(C [x1_t ; o1_j] + c) * x1_t      the gated sum over the words
        x2 = LN(x1 + m)                o2 = LN(o1 + n)
        x = LN(x2 + F2 relu(F1 x2))    o likewise, with weights of its own

    A gate has one number for each channel. MHA' has queries and keys, but neither a projection of
    values nor one of what comes out. Padding is linked to nothing.

    Args:
        width: D.
        heads: of both attentions.
        feed_forward: hidden size of the feed-forward layers, as a multiple of D.
        last: whether the objects stop at o1.
    """

    def __init__(self, width: int, heads: int, feed_forward: float, last: bool) -> None:
        super().__init__()
        hidden = max(1, round(feed_forward * width))
        self.heads = heads
        self.words_among = AttentionLayer(width, heads, dropout=0.0, eps=EPS)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # as in AttentionLayer
        self.objects_norm = nn.LayerNorm(width, eps=EPS)
        self.to_words = Gate(width)
        self.words_update = Update(width, hidden)
        self.to_objects = None if last else Gate(width)
        self.objects_update = None if last else Update(width, hidden)

    def forward(
        self, words: Tensor, objects: Tensor, real: Tensor, seen: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The nodes of the next layer.

        Args:
            real: (B, U), the words that are no padding.
            seen: (B, R), the objects that are there.
        """
        words = self.words_among(words, words, real)
        objects = self.objects_norm(objects + self.among(objects, seen))
        from_objects = self.to_words(words, objects, objects * seen.unsqueeze(-1))
        after = self.words_update(words, from_objects)
        if self.to_objects is None or self.objects_update is None:
            return after, objects
        from_words = self.to_objects(objects, words, words * real.unsqueeze(-1))
        return after, self.objects_update(objects, from_words)

    def among(self, objects: Tensor, seen: Tensor) -> Tensor:
        """MHA'(o, o, o)."""

        def split(x: Tensor) -> Tensor:
            return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

        query, key = self.query(objects), self.key(objects)
        open_mask = seen | ~seen.any(dim=1, keepdim=True)  # softmax over nothing is NaN
        attended = functional.scaled_dot_product_attention(
            split(query),
            split(key),
            split(objects.to(query.dtype)),
            attn_mask=open_mask[:, None, None, :],
        )
        return attended.transpose(1, 2).flatten(2)


class Gate(nn.Module):
    """Σ_j σ(W_1 a_i + W_2 b_j + c) * m_j: what the nodes a (B, I, D) receive from b (B, J, D).

    A linear layer over [a_i ; b_j] is the sum of one over each, so that it is applied once a node
    and not once a pair.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.receiver = project(width, width)
        self.sender = nn.Linear(width, width, bias=False)
        nn.init.xavier_uniform_(self.sender.weight)

    def forward(self, receivers: Tensor, senders: Tensor, messages: Tensor) -> Tensor:
        """(B, I, D) from a, b, and the messages m (B, J, D), 0 where there is no link."""
        pairs = self.receiver(receivers).unsqueeze(2) + self.sender(senders).unsqueeze(1)
        received: Tensor = (pairs.sigmoid() * messages.to(pairs.dtype).unsqueeze(1)).sum(dim=2)
        return received


class Update(nn.Module):
    """LN(y + F2 relu(F1 y)) with y = LN(x + message)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=EPS)
        last = nn.Linear(hidden, width)
        begin_small(last)
        self.feed_forward = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), last)
        self.feed_forward_norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, nodes: Tensor, message: Tensor) -> Tensor:
        nodes = self.norm(nodes + message)
        updated: Tensor = self.feed_forward_norm(nodes + self.feed_forward(nodes))
        return updated
