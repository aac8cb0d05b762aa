"""Word vectors learnt from the training split: one a known word, beside one from its characters.

The characters give every word a vector, known or not, with its case kept: a convolution followed
by a maximum (Ma and Hovy, 2016, section 2.1), or the last states of an LSTM in each direction
(Lample et al., 2016, section 4.1). Words are looked up in lower case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from zoo.types import Inputs

PADDING, UNKNOWN = 0, 1
LONGEST = 32
"""Characters read of a word: its first ones."""


def vocabulary(counts: Counter[str], least: int) -> dict[str, int]:
    """Ids from 2 upwards of what occurs at least ``least`` times, most frequent first."""
    known = sorted((-n, key) for key, n in counts.items() if n >= least)
    return {key: i for i, (_, key) in enumerate(known, start=2)}


class WordEmbedding(nn.Module):
    """(B, N, width) vectors for words: learnt word embedding ; what the characters give.

    Args:
        words: the training split's words with their counts.
        word_width: of the word embedding.
        character_width: of the character embedding.
        filters: of the character convolution; its windows are three characters wide.
        character_state: of a character LSTM in each direction, in place of the convolution.
        least: words seen less often share the embedding for unknown words, which thereby is
            trained.
    """

    def __init__(
        self,
        words: Counter[str],
        *,
        word_width: int,
        character_width: int,
        filters: int,
        character_state: int | None = None,
        least: int = 2,
    ) -> None:
        super().__init__()
        lowered: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        for word, n in words.items():
            lowered[word.lower()] += n
            for character in word:
                characters[character] += n
        self._words = vocabulary(lowered, least)
        self._characters = vocabulary(characters, least)
        self.words = nn.Embedding(len(self._words) + 2, word_width, padding_idx=PADDING)
        self.characters = nn.Embedding(
            len(self._characters) + 2, character_width, padding_idx=PADDING
        )
        self.convolution: nn.Conv1d | None = None
        self.lstm: nn.LSTM | None = None
        if character_state is None:
            self.convolution = nn.Conv1d(character_width, filters, kernel_size=3, padding=1)
            self.width = word_width + filters
        else:
            self.lstm = nn.LSTM(
                character_width, character_state, batch_first=True, bidirectional=True
            )
            self.width = word_width + 2 * character_state

    def prepare(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """A word: its id, then its characters' ids."""
        return [
            (
                self._words.get(word.lower(), UNKNOWN),
                *(self._characters.get(c, UNKNOWN) for c in word[:LONGEST] or " "),
            )
            for word in words
        ]

    def collate(self, rows: Sequence[list[tuple[int, ...]]]) -> dict[str, Tensor]:
        """Each distinct word of the batch (V) is embedded once.

        Returns:
            ``words`` (V,); ``characters`` (V, C); ``index`` (B, N), into V; ``mask`` (B, N).
        """
        distinct: dict[tuple[int, ...], int] = {(PADDING, PADDING): 0}
        count = max(map(len, rows))
        index = [
            [distinct.setdefault(word, len(distinct)) for word in row] + [0] * (count - len(row))
            for row in rows
        ]
        longest = max(map(len, distinct))
        padded = [word + (PADDING,) * (longest - len(word)) for word in distinct]
        # by way of numpy, which reads numbers out of lists three times as fast
        numbers = torch.from_numpy(np.array(padded, dtype=np.int64))
        lengths = torch.tensor([len(row) for row in rows]).unsqueeze(1)
        return {
            "words": numbers[:, 0].contiguous(),
            "characters": numbers[:, 1:].contiguous(),
            "index": torch.from_numpy(np.array(index, dtype=np.int64).reshape(len(rows), count)),
            "mask": torch.arange(count) < lengths,
        }

    def forward(self, inputs: Inputs) -> Tensor:
        """(B, N, width)."""
        characters = inputs["characters"]
        padding = characters == PADDING
        shapes = self.shapes(self.characters(characters), padding)
        # The padding word has no characters.
        shapes = shapes.masked_fill(padding.all(dim=1, keepdim=True), 0.0)
        distinct = torch.cat([self.words(inputs["words"]), shapes], dim=1)
        vectors: Tensor = nn.functional.embedding(inputs["index"], distinct)
        return vectors

    def shapes(self, characters: Tensor, padding: Tensor) -> Tensor:
        """(V, D) from the characters' embeddings (V, C, D_c) and which are padding (V, C)."""
        if self.convolution is not None:
            read: Tensor = self.convolution(characters.transpose(1, 2))
            return read.masked_fill(padding.unsqueeze(1), -torch.inf).amax(dim=2)
        assert self.lstm is not None, "characters are read by one of the two"
        lengths = (~padding).sum(dim=1).clamp(min=1).cpu()
        packed = pack_padded_sequence(characters, lengths, batch_first=True, enforce_sorted=False)
        last = self.lstm(packed)[1][0]
        return torch.cat([last[0], last[1]], dim=1)
