"""What the contracts give to parts: the only place that makes inputs, for each kind.

Shapes as in :mod:`zoo.types`. Everything follows from seeds, so that a fault is found again.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.build import make
from zoo.data.synthetic import Synthetic
from zoo.parts import Aligner, Decoder, Encoder, Fuser, ViewSpec
from zoo.schema import PartSpec
from zoo.types import Entity, Sample, Text, Units, View, Views

WIDTH = 16
"""Of the text, for parts that are told it."""

VIEWS = {"grid": ViewSpec(16, 3), "patch": ViewSpec(12, None)}
"""The views, for parts that are told them; the rows of ``patch`` differ in how many regions."""

LENGTHS = (5, 1, 9, 30, 2)
"""Words of each sentence."""

PRESENT = (True, False, True, True, False)
"""Whether each sentence has a picture."""

GOLD = (
    (Entity(0, 1, "LOC"), Entity(2, 4, "PER")),
    (Entity(0, 1, "ORG"),),
    (),
    (Entity(3, 12, "LOC"), Entity(12, 13, "LOC"), Entity(29, 30, "MISC")),
    (Entity(0, 2, "PER"),),
)
"""For ``LENGTHS``; one entity is wider than any decoder of short spans can produce."""

SURFACE = ("Paris", "NASA", "said", "1984", "iPhone")
"""Words of the sentences that decoders see."""

_ENCODER = ("words", "types")
_MIDDLE = (*_ENCODER, "width", "text_width", "views")
SUPPLIED: Mapping[str, tuple[str, ...]] = {
    "reader": ("root",),
    "text_encoder": _ENCODER,
    "image_encoder": _ENCODER,
    "joint_encoder": _ENCODER,
    "aligner": _MIDDLE,
    "fuser": _MIDDLE,
    "decoder": (*_MIDDLE, "fused"),
    "objective": (*_MIDDLE, "fused"),
}
"""The positional arguments that :mod:`zoo.build` supplies to each kind of part."""


@cache
def make_samples() -> tuple[Sample, ...]:
    """Ten posts: with picture and caption, with one of them, with neither."""
    made = Synthetic(Path(), train=10, dev=1, test=1).read()["train"]
    captions = (None, "a man", "the red square beside a tree in Paris", " ", "two")
    return tuple(
        replace(sample, caption=captions[i % 5], picture=None if i in (0, 4, 8) else sample.picture)
        for i, sample in enumerate(made)
    )


@cache
def make_known(kind: str) -> Mapping[str, Any]:
    """What the builder would supply to a part of that kind, but for a reader's ``root``."""
    samples = make_samples()
    known = {
        "words": Counter(word for sample in samples for word in sample.words),
        "types": sorted({entity.type for sample in samples for entity in sample.entities}),
        "width": WIDTH,
        "text_width": WIDTH,
        "fused": WIDTH,
        "views": VIEWS,
    }
    return {name: known[name] for name in SUPPLIED[kind] if name in known}


@dataclass(frozen=True)
class Subject:
    """A part under one example of its settings.

    Args:
        spec: the validated part.
        folder: a folder of its own; readers read from there.
    """

    spec: PartSpec
    folder: Path

    @property
    def cls(self) -> type:
        return self.spec.cls

    @property
    def known(self) -> dict[str, Any]:
        """What the builder supplies."""
        if self.spec.kind == "reader":
            return {"root": self.folder}
        return dict(make_known(self.spec.kind))

    @property
    def samples(self) -> tuple[Sample, ...]:
        return make_samples()

    def build(self, seed: int = 0, dropout: bool = True, **known: Any) -> Any:
        """Build the part.

        Args:
            seed: of its initial weights.
            dropout: whether its ``nn.Dropout`` modules drop anything in training mode.
            known: what the builder is to supply instead.
        """
        seed_all(seed)
        built = make(self.spec, {**self.known, **known}, self.folder)
        if isinstance(built, nn.Module) and not dropout:
            for module in built.modules():
                if isinstance(module, nn.Dropout):
                    module.p = 0.0
        return built


def seed_all(seed: int) -> None:
    """Seed what a run seeds."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def make_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for a :class:`Subject`."""
    return tempfile.TemporaryDirectory(prefix="zoo-contract-")


def make_text(lengths: Sequence[int] = LENGTHS, width: int = WIDTH, seed: int = 0) -> Text:
    """A text encoder's output for sentences of these lengths."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    tokens = torch.randn(*mask.shape, width, generator=generator) * mask.unsqueeze(-1)
    return Text(tokens, torch.randn(len(lengths), width, generator=generator), mask)


def make_views(present: Sequence[bool] = PRESENT, seed: int = 1) -> dict[str, View]:
    """Image encoders' outputs as ``VIEWS`` says."""
    generator = torch.Generator().manual_seed(seed)
    views = {}
    for name, spec in VIEWS.items():
        regions = spec.regions or 4
        counts = torch.tensor([regions if spec.regions else 1 + i % 4 for i in range(len(present))])
        mask = (torch.arange(regions) < counts.unsqueeze(1)) & torch.tensor(present).unsqueeze(1)
        vectors = torch.randn(*mask.shape, spec.width, generator=generator)
        pooled = torch.randn(len(present), spec.width, generator=generator)
        views[name] = View(
            vectors * mask.unsqueeze(-1), pooled * torch.tensor(present).unsqueeze(1), mask
        )
    return views


def make_units(
    level: str, lengths: Sequence[int] = LENGTHS, width: int = WIDTH, seed: int = 2
) -> Units:
    """Words, or (level span) all spans of one and of two words."""
    words = Units.of_words(make_text(lengths, width, seed))
    if level != "span":
        return words
    mask = torch.cat([words.mask, words.mask[:, 1:]], dim=1)
    starts = words.spans[:, :-1, 0]
    pairs = torch.stack([starts, starts + 2], dim=-1) * words.mask[:, 1:, None]
    vectors = torch.cat([words.vectors, words.vectors[:, :-1] + words.vectors[:, 1:]], dim=1)
    return Units(vectors, mask, torch.cat([words.spans, pairs], dim=1))


def make_sentences(lengths: Sequence[int] = LENGTHS) -> list[Sample]:
    """The sentences that a decoder sees beside the words' vectors."""
    return [
        Sample(str(i), tuple(SURFACE[j % len(SURFACE)] for j in range(length)))
        for i, length in enumerate(lengths)
    ]


def make_spans(
    decoder: Decoder,
    lengths: Sequence[int] = LENGTHS,
    words: Units | None = None,
    **made: Any,
) -> Units:
    """A decoder's units of made-up sentences; ``words`` are made unless given."""
    words = make_units("token", lengths, **made) if words is None else words
    return decoder.units(words, make_text(lengths, words.vectors.shape[2]), make_sentences(lengths))


# Slices and disguises ----------------------------------------------------------------------------


def text_rows(text: Text, rows: Sequence[int], length: int | None = None) -> Text:
    """Some sentences of a batch, cut to ``length`` words where given."""
    return replace(
        text,
        tokens=text.tokens[list(rows), :length],
        sentence=text.sentence[list(rows)],
        mask=text.mask[list(rows), :length],
        last=None if text.last is None else text.last[list(rows), :length],
        pieces=None if text.pieces is None else text.pieces[list(rows), :length],
    )


def view_rows(views: Views, rows: Sequence[int]) -> dict[str, View]:
    """The views of some sentences of a batch."""
    chosen = list(rows)
    return {
        name: replace(
            view,
            regions=view.regions[chosen],
            pooled=view.pooled[chosen],
            mask=view.mask[chosen],
        )
        for name, view in views.items()
    }


def unit_rows(units: Units, rows: Sequence[int], kept: Tensor | None = None) -> Units:
    """The units of some sentences; ``kept`` (U,) bool says which of their units."""
    chosen = torch.tensor(list(rows))
    kept = torch.ones(units.mask.shape[1], dtype=torch.bool) if kept is None else kept
    return replace(
        units,
        vectors=units.vectors[chosen][:, kept],
        mask=units.mask[chosen][:, kept],
        spans=units.spans[chosen][:, kept],
        last=None if units.last is None else units.last[chosen][:, kept],
    )


def disguised(views: Views, value: float = 7.0) -> dict[str, View]:
    """The views with other content where their masks are empty: none of it may be read."""
    return {
        name: replace(
            view,
            regions=torch.where(view.mask.unsqueeze(-1), view.regions, value),
            pooled=torch.where(view.present.unsqueeze(-1), view.pooled, value),
        )
        for name, view in views.items()
    }


def padded(views: Views, more: int = 3, value: float = 9.0) -> dict[str, View]:
    """The views with ``more`` regions that are padding, where their number is not fixed."""
    made = dict(views)
    for name, view in views.items():
        if VIEWS[name].regions is None:
            batch, _, width = view.regions.shape
            made[name] = replace(
                view,
                regions=torch.cat(
                    [view.regions, view.regions.new_full((batch, more, width), value)], 1
                ),
                mask=torch.cat([view.mask, view.mask.new_zeros(batch, more)], 1),
            )
    return made


# Outputs -----------------------------------------------------------------------------------------


def read(encoder: Any, samples: Sequence[Sample]) -> Any:
    """An encoder's output for samples."""
    return encoder(encoder.collate([encoder.prepare(sample) for sample in samples]))


def output(part: nn.Module, seed: int = 0) -> Any:
    """What a part of any kind returns, losses included."""
    if isinstance(part, Encoder):
        return read(part, make_samples())
    if isinstance(part, Aligner):
        return part(make_text(seed=seed), make_views(seed=seed + 1), GOLD)
    if isinstance(part, Fuser):
        return part(make_units(part.level, seed=seed + 2), make_views(seed=seed + 1))
    assert isinstance(part, Decoder), "a kind without inputs"
    units = make_spans(part, seed=seed + 2)
    return units, part.loss(units, make_text(seed=seed), GOLD)


def tensors(value: Any) -> list[Tensor]:
    """The floating-point tensors in a part's output, whatever its kind."""
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, Mapping):
        return [t for each in value.values() for t in tensors(each)]
    if isinstance(value, tuple | list):
        return [t for each in value for t in tensors(each)]
    if hasattr(value, "__slots__"):
        return [t for name in value.__slots__ for t in tensors(getattr(value, name))]
    return []


def near(first: Tensor, second: Tensor, bound: float = 1e-5) -> bool:
    """Whether two outputs are equal but for the order of sums."""
    return first.shape == second.shape and torch.allclose(first, second, atol=bound, rtol=bound)


def equal(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    """Whether two lists of tensors hold the same numbers."""
    return len(first) == len(second) and all(map(torch.equal, first, second))


def sees(encoder: Any) -> frozenset[str]:
    """The fields of a sample that an encoder says it reads beside the words."""
    said = getattr(encoder, "sees", ())
    return frozenset([said] if isinstance(said, str) else said or ())
