"""The transformer text encoder: pre-trained, or small and trained from scratch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from zoo.encoders.pretrained import Pretrained, Sentence
from zoo.encoders.scratch import Scratch
from zoo.errors import ConfigError
from zoo.parts import TextEncoder, context_fields
from zoo.registry import register
from zoo.types import Inputs, Sample, Text


@with_config(ConfigDict(extra="forbid", strict=True))
class ScratchSettings(TypedDict, total=False):
    """A transformer from scratch: ``layers`` (2), ``width`` (128), ``heads`` (4), ``dropout``."""

    layers: Annotated[int, Field(gt=0)]
    width: Annotated[int, Field(gt=0)]
    heads: Annotated[int, Field(gt=0)]
    dropout: Annotated[float, Field(ge=0, lt=1)]


@register("text_encoder", "transformer")
class Transformer(TextEncoder):
    """A transformer; one vector a word, from its first sub-word.

    Cites: devlin-etal-2019-bert

    Args:
        words: the training split's words (for ``scratch``).
        model: a model to load: a name on the Hugging Face hub, a local folder, or ``minilm``.
        scratch: instead of ``model``: a small one over words and their characters, with a
            vocabulary learnt from the training split.
        sentence: the sentence vector: the first piece's state ([CLS]), the mean of all states, or
            the model's trained pooler (which only systems that use the sentence vector train).
        context: text fields to read behind the sentence, ``caption`` or names in the sample's
            ``extra``; one or a list.

    Raises:
        ConfigError: not exactly one of ``model`` and ``scratch``; a model that can't be loaded; a
            ``context`` that is no text.
    """

    def __init__(
        self,
        words: Counter[str],
        *,
        model: str | None = None,
        scratch: ScratchSettings | None = None,
        sentence: Sentence = "first",
        context: str | list[str] | None = None,
    ) -> None:
        super().__init__()
        if (model is None) == (scratch is None):
            raise ConfigError("transformer: give one of `model` and `scratch`, and not both")
        self.context = context_fields(context)
        for name in self.context:
            if name in ("words", "picture") or self.context.count(name) > 1:
                raise ConfigError(
                    f"transformer: `context` can't have `{name}`; name each text field once, "
                    "`caption` or another text of the samples"
                )
        self.body: TextEncoder
        if model is not None:
            self.body = Pretrained(model, sentence, self.context)
        elif sentence == "pooler":
            raise ConfigError("transformer: `scratch` has no pooler; set sentence to `first`")
        else:
            self.body = Scratch(words, sentence, self.context, **(scratch or {}))
        self.width = self.body.width

    def prepare(self, sample: Sample) -> Any:
        return self.body.prepare(sample)

    def collate(self, rows: Sequence[Any]) -> Inputs:
        return self.body.collate(rows)

    def alone(self, inputs: Inputs) -> Inputs:
        return self.body.alone(inputs)

    def forward(self, inputs: Inputs) -> Text:
        text: Text = self.body(inputs)
        return text
