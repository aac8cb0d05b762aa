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
of its own for each view is named ``<name>.<view>``; those that never are stand in ``whole_losses``
too, so that a weight for a view of them is refused. No two parts of a system may have a loss of the
same name, but for aligners (see :func:`aligner_losses`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.types import (
    Alignment,
    Batch,
    Entity,
    Inputs,
    Level,
    Output,
    Sample,
    ScoredEntity,
    Splits,
    Text,
    Units,
    View,
    Views,
)


class ViewSpec(NamedTuple):
    """What is known of a view before any batch: its width and, where fixed, its region count."""

    width: int
    regions: int | None


@runtime_checkable
class Reader(Protocol):
    """A dataset format. A protocol, so that a reader need not import this module and torch with it.

    A reader of made data may also offer ``text_only_ceiling(split)``, the best F1 that a system
    can expect that reads nothing but the words, and ``grounding_bar(split)``, the best F1 of one
    that also counts the objects in the picture and does not know which belongs to which name.
    """

    def read(self) -> Splits:
        """All splits, each in file order. Raises DataError with everything that is wrong."""


class Encoder(nn.Module, ABC):
    """What all encoders share: their inputs are made on the CPU, in two steps.

    ``sees`` names what of a sample the class reads: ``words``, ``picture``, ``caption`` or a name
    in ``Sample.extra``. :meth:`sees_of` refines it where that depends on the settings.
    """

    width: int
    sees: ClassVar[str | tuple[str, ...]] = "words"
    loss_names: ClassVar[tuple[str, ...]] = ()
    whole_losses: ClassVar[tuple[str, ...]] = ()
    publish_attention: bool = False
    """Whether to return attention maps (set by ``System.publish_attention``)."""

    @classmethod
    def sees_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """What of a sample a part with these settings reads."""
        return (cls.sees,) if isinstance(cls.sees, str) else tuple(cls.sees)

    @abstractmethod
    def prepare(self, sample: Sample) -> Any:
        """One sample's inputs; a function of the sample alone, so it may be kept and reused."""

    def cost(self, sample: Sample, row: Any) -> int:
        """What a prepared sample costs in tokens: its words, unless a class knows better.

        A token is what :meth:`forward` keeps a vector a layer of. Batches are padded, so that they
        cost their dearest row times their rows; the recipe's ``max_tokens`` bounds that.
        """
        return len(sample.words)

    def alike(self, row: Any) -> Hashable | None:
        """What prepared rows have in common that may be computed in one batch when the encoder is
        frozen; None: each is computed alone.

        A batch of alike rows has the same shapes whichever they are, none is padded, and all have
        the same :meth:`cost`: so no row changes what another one's vectors are, not even in the
        last bit. By default tensors of the same shape are alike, and nothing else.
        """
        return tuple(row.shape) if isinstance(row, Tensor) else None

    def lookups(self, row: Any) -> Mapping[nn.Module, Collection[int]]:
        """Large tables of embeddings (``nn.Embedding``), and their rows that a prepared sample is
        looked up in, those for padding too.

        Of a table that is named, only the rows that the training data are looked up in are trained;
        reading another in training mode is an error. A table that is not named is trained whole.
        """
        return {}

    @abstractmethod
    def collate(self, rows: Sequence[Any]) -> Inputs:
        """Tensors for a batch of prepared samples."""


class TextEncoder(Encoder):
    """Reads the words and, where ``context`` names text fields of the sample, these behind them.

    A text encoder that can read context has a setting ``context``: a field's name or a list of
    them. The fields stand behind the sentence, each after a separator; a field that a sample lacks
    brings no separator. Where the whole is too long the context is cut, never the sentence.
    """

    context_fields: tuple[str, ...] = ()
    """What this one reads behind the sentence."""

    @classmethod
    def sees_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        return (*super().sees_of(settings), *field_names(settings.get("context")))

    @abstractmethod
    def forward(self, inputs: Inputs) -> Text:
        """One vector a word of the sentence, from its first sub-word; no word is ever cut or
        dropped, and no context stands in the result."""

    def alone(self, inputs: Inputs) -> Inputs:
        """The same inputs as if no sample had any context: the other view of cross-view training.

        With them, :meth:`forward` returns what it returns for the samples without the fields.

        Raises:
            ConfigError: the encoder reads context and does not override this method.
        """
        if self.context_fields:
            raise ConfigError(
                f"{type(self).__name__} reads context and has no method `alone`, which the "
                "objective needs; write it, or take away `context` or the objective"
            )
        return inputs


def field_names(context: str | Sequence[str] | None) -> tuple[str, ...]:
    """The fields that a setting ``context`` names."""
    return (context,) if isinstance(context, str) else tuple(context or ())


class ImageEncoder(Encoder):
    """``sees`` says what of a sample it reads. ``prepare`` returns None where that is missing."""

    sees: ClassVar[Literal["picture", "caption"]] = "picture"
    regions: int | None = None
    """R where it is the same for every picture."""
    grid: ClassVar[bool] = False
    """Whether the regions are the cells of one square grid, row by row; a class token may stand
    before them."""

    def cost(self, sample: Sample, row: Any) -> int:
        """One token a region; nothing where there is no picture."""
        return 0 if row is None else self.regions or 1

    def beside(self, sample: Sample) -> str:
        """What it reads of a sample beside the picture, as boxes in it: the features of a frozen
        encoder are kept under both."""
        return ""

    @abstractmethod
    def forward(self, inputs: Inputs) -> View: ...


class JointEncoder(Encoder):
    """The picture enters inside the text encoder (HVPNeT, MKGformer, RpBERT).

    ``sees`` names what it reads beside the words. ``view_specs`` says what the views that
    :meth:`forward` returns are like, by name; it is empty where none flows on. Then the system
    needs neither aligner nor fuser.

    The ways in are in :mod:`zoo.encoders.layers`: extra keys and values for each layer, extra
    input embeddings, and two models that run layer by layer in lock-step.
    """

    sees: ClassVar[str | tuple[str, ...]] = "picture"
    view_specs: Mapping[str, ViewSpec] = MappingProxyType({})

    @classmethod
    def sees_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        return ("words", *super().sees_of(settings))

    @abstractmethod
    def forward(self, inputs: Inputs) -> tuple[Text, Views]:
        """A row without a picture gets the vectors that its words alone get, and empty views."""


class Aligner(nn.Module, ABC):
    """May only add losses (contrastive) or also replace what flows on (bottleneck).

    A system may have several; each receives what the one before it let flow on. ``views`` says
    what flows on, where that is not what came in. The text keeps its width.
    """

    level: Level
    views: dict[str, ViewSpec] | None = None
    loss_names: ClassVar[tuple[str, ...]] = ()
    whole_losses: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def forward(
        self, text: Text, views: Views, gold: Sequence[Sequence[Entity]] | None
    ) -> Alignment:
        """``gold`` is None when predicting; then no loss needs to be computed."""


class Fuser(nn.Module, ABC):
    """Puts the views into the units. ``width`` is that of the units it returns."""

    level: Literal["token", "span"]
    width: int
    loss_names: ClassVar[tuple[str, ...]] = ()
    whole_losses: ClassVar[tuple[str, ...]] = ()
    publish_attention: bool = False
    """Whether to return attention maps (set by ``System.publish_attention``)."""

    @abstractmethod
    def forward(self, units: Units, views: Views) -> Units:
        """``units.with_vectors(…)``. A row without a picture is returned unchanged (up to a
        projection of its own)."""


class Decoder(nn.Module, ABC):
    """``classifies`` says what its units are: the words themselves, or candidate spans."""

    classifies: ClassVar[Literal["token", "span"]] = "token"
    loss_names: ClassVar[tuple[str, ...]] = ()
    whole_losses: ClassVar[tuple[str, ...]] = ()

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

    def log_marginals(self, units: Units, text: Text) -> Tensor:
        """(B, U, C) the logarithm of each unit's probability of each class, with gradient; for
        objectives that compare the predictions of two views. 0 on padding.

        Raises:
            ConfigError: the decoder does not override this method.
        """
        raise ConfigError(
            f"{type(self).__name__} has no method `log_marginals`, which the objective needs; "
            "write it, or take another decoder"
        )

    @abstractmethod
    def decode(self, units: Units, text: Text) -> list[list[ScoredEntity]]:
        """Entities of each sentence, sorted by start, without overlaps."""


class Assembly(Protocol):
    """What an objective may use of its system (:class:`zoo.system.System`)."""

    text: TextEncoder | JointEncoder
    decoder: Decoder

    def encode(self, batch: Batch) -> tuple[Text, Views]:
        """What the encoders make of a batch."""

    def __call__(
        self, batch: Batch, *, train: bool = True, encoded: tuple[Text, Views] | None = None
    ) -> Output:
        """Run the system. An objective passes ``train=False``: no losses that need gold, and no
        objective again; dropout and gradients stay as they are."""

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Σ weight × loss, with the weights of the system's losses."""


class Objective(nn.Module, ABC):
    """Adds losses that need the system more than once: cross-view training, relation gates.

    It is called in training only, after everything else. It may run encoder and decoder again on
    changed inputs, for example on the sentence without its context::

        inputs = {**batch.inputs, "text": system.text.alone(batch.inputs["text"])}
        bare = system(replace(batch, inputs=inputs), train=False)
        here = system.decoder.log_marginals(bare.units, bare.text)

    or on changed views: ``system(batch, train=False, encoded=(text, changed))``. Its parameters are
    trained like any part's.

    ``needs_context`` says that it compares the sentence with what it is without its context. Then
    the text encoder has to read some, and with ``context: null`` the objective goes, too.
    """

    loss_names: ClassVar[tuple[str, ...]] = ()
    whole_losses: ClassVar[tuple[str, ...]] = ()
    needs_context: ClassVar[bool] = False

    @abstractmethod
    def forward(self, system: Assembly, batch: Batch, output: Output) -> Mapping[str, Tensor]:
        """Named losses. ``output`` is what the system returned for the ``batch``."""


def aligner_losses(aligners: Sequence[type]) -> list[dict[str, str]]:
    """What a system calls the losses of its aligners, each in its order.

    A name that an aligner before has taken gets a number: where two are ``contrastive``, the second
    one's losses are ``contrastive2`` and ``contrastive2.<view>``, with loss weights of their own.
    """
    taken: set[str] = set()
    named = []
    for aligner in aligners:
        names = {}
        for name in getattr(aligner, "loss_names", ()):
            number, public = 1, name
            while public in taken:
                number += 1
                public = f"{name}{number}"
            taken.add(public)
            names[name] = public
        named.append(names)
    return named
