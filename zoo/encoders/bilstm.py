"""The text encoder of the years before pre-training: word and character vectors, BiLSTM."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from zoo.encoders.words import WordEmbedding
from zoo.parts import TextEncoder
from zoo.registry import register
from zoo.types import Inputs, Sample, Text

Positive = Annotated[int, Field(gt=0, le=16_384)]


@register("text_encoder", "bilstm")
class BiLSTM(TextEncoder):
    """Word embeddings and a character CNN or BiLSTM, read by a BiLSTM in both directions.

    With a BiLSTM over the characters of each word it is the hierarchical one of Lample et al.
    (2016), else that of Ma and Hovy (2016). Tokens (B, N, 2 * state); sentence (B, 2 * state): the
    last state of each direction.

    Cites: ma-hovy-2016-end, lample-etal-2016-neural

    Args:
        words: the training split's words, from which the vocabulary is learnt.
        word_width: of the word embeddings, looked up in lower case.
        character_width: of the character embeddings; case is kept.
        characters: what reads the characters of a word: a convolution (``cnn``) or a ``bilstm``.
        filters: of the character convolution, three characters wide.
        character_state: of the character BiLSTM, in each direction.
        state: of the LSTM, in each direction.
        layers: of the LSTM.
        dropout: on what goes into the LSTM and what comes out of it.
    """

    def __init__(
        self,
        words: Counter[str],
        *,
        word_width: Positive = 100,
        character_width: Positive = 30,
        characters: Literal["cnn", "bilstm"] = "cnn",
        filters: Positive = 30,
        character_state: Positive = 25,
        state: Positive = 200,
        layers: Annotated[int, Field(gt=0, le=100)] = 1,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
    ) -> None:
        super().__init__()
        self.embedding = WordEmbedding(
            words,
            word_width=word_width,
            character_width=character_width,
            filters=filters,
            character_state=character_state if characters == "bilstm" else None,
        )
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(
            self.embedding.width, state, layers, batch_first=True, bidirectional=True
        )
        self.width = 2 * state

    def prepare(self, sample: Sample) -> list[tuple[int, ...]]:
        return self.embedding.prepare(sample.words)

    def collate(self, rows: Sequence[list[tuple[int, ...]]]) -> dict[str, Tensor]:
        return self.embedding.collate(rows)

    def forward(self, inputs: Inputs) -> Text:
        mask: Tensor = inputs["mask"]
        vectors = self.dropout(self.embedding(inputs))
        # On the CPU, where packing wants them; a sentence without words is read as one padding.
        lengths = mask.sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        states, (last, _) = self.lstm(packed)
        tokens, _ = pad_packed_sequence(states, batch_first=True, total_length=mask.shape[1])
        sentence = torch.cat([last[-2], last[-1]], dim=1)
        return Text(self.dropout(tokens) * mask.unsqueeze(-1), self.dropout(sentence), mask)
