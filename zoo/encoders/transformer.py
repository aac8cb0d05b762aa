"""The transformer text encoder: pre-trained, or small and trained from scratch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, with_config
from torch import nn
from typing_extensions import TypedDict

from zoo.encoders.checkpoint import TEXT
from zoo.encoders.hub import digest
from zoo.encoders.pretrained import Pretrained, Sentence
from zoo.encoders.scratch import Scratch
from zoo.errors import ConfigError
from zoo.parts import TextEncoder, field_names
from zoo.registry import register
from zoo.types import Inputs, Sample, Text

MOST_UNKNOWN = 0.9
"""Of the training words, the share from which on an unknown vocabulary is an error."""


@with_config(ConfigDict(extra="forbid", strict=True))
class ScratchSettings(TypedDict, total=False):
    """A transformer from scratch: ``layers`` (2), ``width`` (128), ``heads`` (4), ``dropout``
    (0.1), ``neighbours`` (0), the words on either side with which each word is read together."""

    layers: Annotated[int, Field(gt=0, le=100)]
    width: Annotated[int, Field(gt=0, le=16_384)]
    heads: Annotated[int, Field(gt=0, le=16_384)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    neighbours: Annotated[int, Field(ge=0, le=16)]


@register("text_encoder", "transformer")
class Transformer(TextEncoder):
    """A transformer; one vector a word, from its first sub-word.

    Cites: devlin-etal-2019-bert

    ``unknown_share`` is the share of the training words, by occurrences, in which the tokenizer of
    ``model`` does not know a piece.

    Args:
        words: the training split's words, for the vocabulary of ``scratch`` and for
            ``unknown_share``.
        model: a model to load: a name on the Hugging Face hub, a local folder, or ``minilm``.
        revision: of a model on the hub: a commit, branch or tag. Without it what the cache holds
            as ``main`` is taken if it is complete, else what the hub has.
        scratch: instead of ``model``: a small one over words and their characters, with a
            vocabulary learnt from the training split.
        sentence: the sentence vector: the state of the piece that stands for the sentence ([CLS]),
            the mean of all states, or the model's trained pooler (which only systems that use the
            sentence vector train).
        context: text fields to read behind the sentence, ``caption`` or names in the sample's
            ``extra``; one or a list.

    Raises:
        ConfigError: not exactly one of ``model`` and ``scratch``; a model that can't be loaded, or
            that knows less than a tenth of the training words; a ``context`` that is no text.
    """

    example: ClassVar[dict[str, Any]] = {"scratch": {"layers": 1, "width": 16, "heads": 2}}

    def __init__(
        self,
        words: Counter[str],
        *,
        model: str | None = None,
        revision: str | None = None,
        scratch: ScratchSettings | None = None,
        sentence: Sentence = "first",
        context: str | list[str] | None = None,
    ) -> None:
        super().__init__()
        if (model is None) == (scratch is None):
            raise ConfigError("transformer: give one of `model` and `scratch`, and not both")
        if model is None and revision is not None:
            raise ConfigError("transformer: `revision` belongs to `model`, and there is none")
        self.context_fields = field_names(context)
        for name in self.context_fields:
            if name in ("words", "picture") or self.context_fields.count(name) > 1:
                raise ConfigError(
                    f"transformer: `context` can't have `{name}`; name each text field once, "
                    "`caption` or another text of the samples"
                )
        self.body: TextEncoder
        self.unknown_share = 0.0
        if model is not None:
            self.body = Pretrained(model, sentence, revision, self.context_fields)
            self.unknown_share = self.body.splitter.unknown_share(words)
            if self.unknown_share > MOST_UNKNOWN:
                raise ConfigError(
                    f"model `{model}` does not know {self.unknown_share:.0%} of the training words "
                    "(its tokenizer reads them as unknown); take a model of their language and "
                    "script"
                )
        elif sentence == "pooler":
            raise ConfigError("transformer: `scratch` has no pooler; set sentence to `first`")
        else:
            self.body = Scratch(words, sentence, self.context_fields, **(scratch or {}))
        self.width = self.body.width

    @classmethod
    def loaded(cls, settings: Mapping[str, Any]) -> dict[str, str]:
        """What the model named in the settings is known by, without loading it."""
        model = settings.get("model")
        return {} if model is None else {model: digest(model, TEXT, settings.get("revision"))}

    def prepare(self, sample: Sample) -> Any:
        return self.body.prepare(sample)

    def cost(self, sample: Sample, row: Any) -> int:
        return self.body.cost(sample, row)

    def alike(self, row: Any) -> Hashable | None:
        return self.body.alike(row)

    def lookups(self, row: Any) -> Mapping[nn.Module, Collection[int]]:
        return self.body.lookups(row)

    def collate(self, rows: Sequence[Any]) -> Inputs:
        return self.body.collate(rows)

    def alone(self, inputs: Inputs) -> Inputs:
        return self.body.alone(inputs)

    def forward(self, inputs: Inputs) -> Text:
        text: Text = self.body(inputs)
        return text
