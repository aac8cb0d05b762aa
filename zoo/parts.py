"""The contract of each kind of part. One level of base classes, nothing deeper.

A part's constructor is its schema (see :mod:`zoo.config`): keyword-only arguments are what a user
sets in YAML; positional ones are supplied by :mod:`zoo.build`, which passes by name those of the
following that a constructor asks for:

==============  =======================================================================
``words``       ``Counter[str]``: the training split's words (to learn a vocabulary)
``width``       int: width of what comes in (for aligners and fusers: of the text)
``fused``       int (decoders): width of the units it will be asked to classify
``text_width``  int (decoders): width of the text-only states beside the fused ones
``views``       ``dict[str, ViewSpec]`` (aligners, fusers): what each view will give
``types``       ``list[str]`` (decoders): the entity types, sorted
==============  =======================================================================

A keyword-only argument annotated with one of these base classes takes a nested part in YAML
(``encoder: {part: transformer, …}``) and receives it built.

Trained parts are ``nn.Module``s. Every class that adds losses names them in ``loss_names``; a loss
of its own for each view is named ``<name>.<view>``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from zoo.types import (
    Alignment,
    Entity,
    Inputs,
    Level,
    Sample,
    ScoredEntity,
    Text,
    Units,
    View,
    Views,
)


class ViewSpec(NamedTuple):
    """What is known of a view before any batch: its width and, where fixed, its region count."""

    width: int
    regions: int | None


class Encoder(nn.Module, ABC):
    """What text and image encoders share: their inputs are made on the CPU, in two steps."""

    width: int

    @abstractmethod
    def prepare(self, sample: Sample) -> Any:
        """One sample's inputs; a function of the sample alone, so it may be kept and reused."""

    @abstractmethod
    def collate(self, rows: Sequence[Any]) -> Inputs:
        """Tensors for a batch of prepared samples."""


class TextEncoder(Encoder):
    @abstractmethod
    def forward(self, inputs: Inputs) -> Text:
        """One vector a word, from its first sub-word; no word is ever cut or dropped."""


class ImageEncoder(Encoder):
    """``sees`` says what of a sample it reads. ``prepare`` answers None where that is missing."""

    sees: ClassVar[Literal["picture", "caption"]] = "picture"
    regions: int | None = None
    """R where it is the same for every picture."""

    @abstractmethod
    def forward(self, inputs: Inputs) -> View: ...


class JointEncoder(Encoder):
    """The picture enters inside the text encoder (HVPNeT, MKGformer, RpBERT)."""

    @abstractmethod
    def forward(self, inputs: Inputs) -> tuple[Text, Views]: ...


class Aligner(nn.Module, ABC):
    """May only add losses (contrastive) or also replace what flows on (bottleneck).

    ``views`` says what flows on, where that is not what came in.
    """

    level: Level
    views: dict[str, ViewSpec] | None = None
    loss_names: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def forward(
        self, text: Text, views: Views, gold: Sequence[Sequence[Entity]] | None
    ) -> Alignment:
        """``gold`` is None when predicting; then no loss needs to be computed."""


class Fuser(nn.Module, ABC):
    """Puts the views into the units. ``width`` is that of the units it gives back."""

    level: Literal["token", "span"]
    width: int
    loss_names: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def forward(self, units: Units, views: Views) -> Units:
        """A row without a picture comes back unchanged (up to a projection of its own)."""


class Decoder(nn.Module, ABC):
    """``classifies`` says what its units are: the words themselves, or candidate spans."""

    classifies: ClassVar[Literal["token", "span"]] = "token"
    loss_names: ClassVar[tuple[str, ...]] = ()

    def units(self, words: Units, text: Text, samples: Sequence[Sample]) -> Units:
        """The units to classify, of the width of ``words``; the words themselves by default.

        ``text`` holds the text-only states of the ``samples``.
        """
        return words

    @abstractmethod
    def loss(
        self, units: Units, text: Text, gold: Sequence[Sequence[Entity]]
    ) -> Mapping[str, Tensor]:
        """Named losses. ``text`` holds the text-only states beside the fused ``units``."""

    @abstractmethod
    def decode(self, units: Units, text: Text) -> list[list[ScoredEntity]]:
        """Entities of each sentence, sorted by start, without overlaps."""
