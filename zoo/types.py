"""The shared vocabulary: everything that passes from one part to another.

Parts depend on this module alone, never on each other. Shapes: B sentences, N words, R regions,
U units, D a part's own output width. Masks are bool and True where real.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from zoo.errors import DataError, shown

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose
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
    """What was wanted and what was found in one sentence.

    Args:
        group: the same number for sentences of the split that share a picture; None: this one
            shares none, or the file does not say.
        unseen: those spans, (start, end), of gold and predicted entities whose words are no entity
            of the training split; None: the file does not say.
    """

    id: str
    gold: tuple[Entity, ...]
    predicted: tuple[ScoredEntity, ...]
    language: str | None = None
    group: int | None = None
    unseen: frozenset[tuple[int, int]] | None = None


FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""The picture formats that are decoded, by Pillow's names. No other decoder is ever started."""

MAX_PIXELS = 80_000_000
"""The most pixels (width × height) a picture may have; more is taken for a decompression bomb."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, by the file it lies in or by its encoded bytes (one of ``FORMATS``)."""

    name: str
    path: Path | None = None
    data: bytes | None = None

    def read(self) -> bytes:
        """The encoded bytes. Raises OSError where the file can't be read."""
        if self.data is not None:
            return self.data
        assert self.path is not None, "a picture has a path or bytes"
        if self.path.exists() and not self.path.is_file():
            raise OSError(errno.EINVAL, "not a file", str(self.path))  # a pipe would wait for ever
        return self.path.read_bytes()

    def open(self) -> Image:
        """The picture as a viewer shows it, RGB, 8 bits a channel.

        The format is recognised by content, whatever the suffix. Of an animation it is the first
        frame. The EXIF orientation is applied, 16-bit greys are scaled to 8 bits (value >> 8), and
        transparent parts lie on white.

        Raises:
            DataError: the file can't be read or decoded, has more than ``MAX_PIXELS`` pixels, or is
                a PNG with a wrong checksum or without its end.
        """
        try:
            data = self.read()
        except OSError as error:
            raise self._broken(error) from error
        try:
            return _decode(data)
        except MemoryError:
            raise
        except Exception as error:  # Pillow raises whatever a malformed file makes it stumble over
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> DataError:
        return DataError(
            f"{self.path or self.name}: can't be read as a picture ({_reason(error)}); "
            f"replace it, or remove it and its sentences count as ones without a picture"
        )

    def digest(self) -> str:
        """SHA-256 of the encoded bytes; that of a file is remembered until the file changes."""
        state = self.state()
        known = None if state is None else PICTURE_DIGESTS.get(state)
        if known is None:
            known = hashlib.sha256(self.read()).hexdigest()
            if state is not None:
                PICTURE_DIGESTS[state] = known
        return known

    def state(self) -> str | None:
        """What changes when the file does: path, size, and times in nanoseconds; None for one
        without a file, or whose file has changed so lately that it may change again unseen."""
        if self.data is not None or self.path is None:
            return None
        try:
            seen = self.path.stat()
        except OSError:
            return None
        if time.time_ns() - max(seen.st_mtime_ns, seen.st_ctime_ns) < _SETTLED:
            return None
        where = os.path.abspath(self.path)
        return f"{seen.st_size} {seen.st_mtime_ns} {seen.st_ctime_ns} {where}"


PICTURE_DIGESTS: dict[str, str] = {}
"""SHA-256 of the pictures in files, by :meth:`Picture.state`."""

_SETTLED = 2_000_000_000
"""Nanoseconds after which a further change surely shows in a file's times."""


def _decode(data: bytes) -> Image:
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise ValueError("the file is empty")
    _silence_bomb_warnings()
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError(
            f"not a JPEG, PNG, WebP, GIF or BMP file; it begins with "
            f"`{shown(data[:12].decode('latin-1'))}`"
        ) from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} × {height} pixels; at most {MAX_PIXELS:,} are decoded")
    if image.format == "PNG":  # decoding does not look at the checksums of most chunks
        with Image.open(io.BytesIO(data), formats=("PNG",)) as again:
            again.verify()
    turn = _turn(image)
    image = _rgb(image)
    return image if turn is None else image.transpose(turn)


@cache
def _silence_bomb_warnings() -> None:
    """Pillow only warns of pictures that are refused here."""
    from PIL.Image import DecompressionBombWarning

    warnings.filterwarnings("ignore", category=DecompressionBombWarning)


def _rgb(image: Image) -> Image:
    """Colours in 8 bits a channel, without transparency."""
    import numpy as np
    from PIL import Image as pillow

    if image.mode.startswith("I"):  # 16-bit greys, which Pillow's own conversion clips at 255
        values = np.asarray(image)
        grey = (values >> 8).clip(0, 255).astype(np.uint8)
        grey[values == image.info.get("transparency", -1)] = 255
        return pillow.fromarray(grey).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return pillow.alpha_composite(pillow.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _turn(image: Image) -> Transpose | None:
    """What makes a picture upright that its camera stored turned or mirrored (EXIF)."""
    from PIL.Image import Transpose

    try:
        orientation = image.getexif().get(0x0112)
    except Exception:  # malformed EXIF says nothing of the picture, which viewers show as it is
        return None
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return turns.get(orientation) if isinstance(orientation, int) else None


def _reason(error: Exception) -> str:
    """What a library says of a file, in one line, without the addresses of its objects."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = re.sub(r"<\S+ object at 0x[0-9a-fA-F]+>", "the file", " ".join(str(error).split()))
    return text or type(error).__name__


@dataclass(frozen=True, slots=True)
class Sample:
    """One sentence, what was posted with it, and its gold entities (sorted by start).

    ``picture`` is None where it is missing, ``caption`` is None where there is none: a fact that
    reaches the model as an empty view mask, never as a substitute. ``more_pictures`` are those
    after the first, which the encoder ``album`` reads. ``extra`` holds further text fields by name
    (retrieved passages, object tags).
    """

    id: str
    words: tuple[str, ...]
    entities: tuple[Entity, ...] = ()
    language: str | None = None
    picture: Picture | None = None
    caption: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    more_pictures: tuple[Picture, ...] = ()

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All of them, in order."""
        return (*(() if self.picture is None else (self.picture,)), *self.more_pictures)

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
    """Sentences to be processed together and, by slot of the system, each encoder's inputs.

    A slot whose encoder can't read the whole batch at once is in ``micro`` instead of ``inputs``:
    the inputs of a few sentences at a time, in the order of the samples.
    """

    samples: Sequence[Sample]
    inputs: Mapping[str, Inputs]
    micro: Mapping[str, Sequence[Inputs]] = field(default_factory=dict)

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
    the losses and published attention maps of all parts, and the views that the encoders made."""

    units: Units
    text: Text
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    attention: Mapping[str, Tensor] = field(default_factory=dict)
    views: Views = field(default_factory=dict)


Level = Literal["sentence", "token", "span", "region"]
"""What an aligner aligns with the picture: the whole sentence, its words, its entity spans; or, at
level region, each of the picture's regions with the sentence."""
