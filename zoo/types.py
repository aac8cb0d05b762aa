"""The shared vocabulary: everything that passes from one part to another.

Parts depend on this module alone, never on each other. Shapes: B sentences, N words, R regions,
U units, D a part's own output width. Masks are bool and True where real.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


class Entity(NamedTuple):
    """A named entity over words: ``start`` inclusive, ``end`` exclusive."""

    start: int
    end: int
    type: str


class ScoredEntity(NamedTuple):
    """A predicted entity and the probability the decoder gives it."""

    start: int
    end: int
    type: str
    score: float

    @property
    def entity(self) -> Entity:
        return Entity(self.start, self.end, self.type)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was wanted and what was found in one sentence."""

    id: str
    gold: tuple[Entity, ...]
    predicted: tuple[ScoredEntity, ...]
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, by the file it lies in or by its encoded bytes (PNG, JPEG)."""

    name: str
    path: Path | None = None
    data: bytes | None = None

    def read(self) -> bytes:
        """The encoded bytes. Raises OSError where the file can't be read."""
        if self.data is not None:
            return self.data
        assert self.path is not None, "a picture has a path or bytes"
        return self.path.read_bytes()

    def open(self) -> Image:
        """The decoded picture, RGB. Raises OSError where it can't be decoded."""
        from PIL import Image

        return Image.open(io.BytesIO(self.read())).convert("RGB")

    def digest(self) -> str:
        """SHA-256 of the encoded bytes."""
        return hashlib.sha256(self.read()).hexdigest()


@dataclass(frozen=True, slots=True)
class Sample:
    """One sentence, what was posted with it, and its gold entities (sorted by start).

    ``picture`` is None where it is missing, ``caption`` is None where there is none: a fact that
    reaches the model as an empty view mask, never as a substitute. ``extra`` holds further text
    fields by name (retrieved passages, object tags).
    """

    id: str
    words: tuple[str, ...]
    entities: tuple[Entity, ...] = ()
    language: str | None = None
    picture: Picture | None = None
    caption: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> Any | None:
        """The words, the picture, the caption, or the text in ``extra`` of that name; None where
        the sample has none."""
        own = name in ("words", "picture", "caption")
        return getattr(self, name) if own else self.extra.get(name)


Splits = dict[str, list[Sample]]
"""What a reader answers: ``train``, ``dev`` and ``test``, each in file order."""

Inputs = Mapping[str, Any]
"""What an encoder's ``collate`` makes of a batch: tensors by name."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Sentences to be processed together and, by slot of the system, each encoder's inputs."""

    samples: Sequence[Sample]
    inputs: Mapping[str, Inputs]

    @property
    def gold(self) -> list[tuple[Entity, ...]]:
        return [sample.entities for sample in self.samples]


@dataclass(frozen=True, slots=True)
class Text:
    """What a text encoder answers: ``tokens`` (B, N, D) one vector a *word*, ``sentence`` (B, D),
    ``mask`` (B, N), and named losses of its own, if any.

    Encoders of sub-words add ``last`` (B, N, D), the vector of each word's last sub-word
    (``tokens`` holds that of its first), and ``pieces`` (B, N) int64, how many it has.

    An encoder that reads context behind the sentence (``context``) still returns the sentence's
    own words only. ``attention`` is as in :class:`Units`, with U = N.
    """

    tokens: Tensor
    sentence: Tensor
    mask: Tensor
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    last: Tensor | None = None
    pieces: Tensor | None = None
    attention: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """What an image encoder answers: ``regions`` (B, R, D), ``pooled`` (B, D), ``mask`` (B, R).

    A missing picture is a row whose mask is all False and whose vectors are zero.
    """

    regions: Tensor
    pooled: Tensor
    mask: Tensor
    losses: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def present(self) -> Tensor:
        """(B,) bool: the rows that have a picture."""
        return self.mask.any(dim=1)


Views = Mapping[str, View]


@dataclass(frozen=True, slots=True)
class Alignment:
    """What an aligner answers: what flows on, and its named losses."""

    text: Text
    views: Views
    losses: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Units:
    """What is classified, words or candidate spans: ``vectors`` (B, U, D), ``mask`` (B, U),
    ``spans`` (B, U, 2) word offsets [start, end) (int64; (0, 0) on padding). Words that no fuser
    has changed bring ``last`` along (see :class:`Text`).

    ``attention`` holds, by the name of a view, the attention of every unit to the view's K keys,
    (B, U, K): the mean over heads, without dropout and gradient. K = R; 1 + R where the view's
    pooled vector comes before its regions; 1 where it alone is a key. The weights of a unit sum to
    1 over all views that are attended to together; they are 0 on masked keys, thus everywhere in a
    row without a picture, and on padded units. Attention is published only on request
    (``System.publish_attention``).
    """

    vectors: Tensor
    mask: Tensor
    spans: Tensor
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    last: Tensor | None = None
    attention: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of_words(cls, text: Text) -> Units:
        """The sentence's words as units: U = N."""
        import torch

        start = torch.arange(text.mask.shape[1], device=text.mask.device)
        spans = torch.stack([start, start + 1], dim=-1) * text.mask.unsqueeze(-1)
        return cls(text.tokens, text.mask, spans, last=text.last)

    def with_vectors(
        self,
        vectors: Tensor,
        losses: Mapping[str, Tensor] | None = None,
        attention: Mapping[str, Tensor] | None = None,
    ) -> Units:
        """The same units with other vectors (B, U, any width): how a fuser returns its result.

        Mask and spans stay. ``last`` is dropped, because it no longer belongs to the vectors. The
        losses and attention maps given are added to those that the units bring.
        """
        return Units(
            vectors,
            self.mask,
            self.spans,
            {**self.losses, **(losses or {})},
            attention={**self.attention, **(attention or {})},
        )


@dataclass(frozen=True, slots=True)
class Output:
    """What a system returns for a batch: the units to classify, the text-only states beside them,
    and the losses and published attention maps of all parts."""

    units: Units
    text: Text
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    attention: Mapping[str, Tensor] = field(default_factory=dict)


Level = Literal["sentence", "token", "span", "region"]
"""What an aligner aligns with the picture: the whole sentence, its words, its entity spans; or, at
level region, each of the picture's regions with the sentence."""
