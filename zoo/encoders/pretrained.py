"""A pre-trained transformer that answers one vector a word.

Word vectors are those of each word's first sub-word, as in Devlin et al. (2019), and beside them
those of its last. Sentences longer than the encoder's limit are read in overlapping windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from zoo.encoders.hub import load
from zoo.errors import ConfigError
from zoo.parts import TextEncoder
from zoo.types import Inputs, Sample, Text

Sentence = Literal["first", "mean", "pooler"]
"""Where the sentence vector comes from: the state of the first piece ([CLS]) of the sentence's
first window; the mean of all its pieces' states; the model's own trained pooler over [CLS]."""


class Pieces(NamedTuple):
    """A sentence in sub-words: one window in all but the longest sentences.

    ``words`` has, a word, the window that its vectors are taken from, the place of its first
    sub-word there (counting special tokens) and how many it has. ``own`` is how many pieces of the
    window are the sentence's (with its special tokens) where context stands behind them.
    """

    windows: list[list[int]]
    words: list[tuple[int, int, int]]
    own: int | None = None


def cut_windows(words: Sequence[Sequence[int]], limit: int) -> tuple[list[slice], list[int]]:
    """Lay overlapping windows over a sentence, and say for each word which one to read it in.

    Windows are ``limit`` pieces wide and half a window apart. A word is read where it stands
    farthest from a cut; the true ends of the sentence are no cuts.

    Args:
        words: each word's pieces.
        limit: pieces a window may hold.

    Returns:
        Slices of the flat sequence of pieces, and a window index for each word.
    """
    total = sum(map(len, words))
    if total <= limit:
        return [slice(0, total)], [0] * len(words)
    lefts = [*range(0, total - limit, max(1, limit // 2)), total - limit]
    chosen, start = [], 0
    for pieces in words:
        end = start + len(pieces)

        def margin(window: int, start: int = start, end: int = end) -> int:
            left = lefts[window]
            before = start - left if left > 0 else total
            after = left + limit - end if left + limit < total else total
            return min(before, after)

        holding = [w for w, left in enumerate(lefts) if left <= start < left + limit]
        chosen.append(max(holding, key=margin))
        start = end
    return [slice(left, left + limit) for left in lefts], chosen


class Pretrained(TextEncoder):
    """Any Hugging Face encoder (BERT, RoBERTa, XLM-R, DeBERTa …) with its own tokenizer.

    A word that the tokenizer turns into nothing gets the unknown token. In a sentence too long for
    one window, a word of more than a quarter of a window keeps that many of its first pieces, so
    that every word stands whole in some window.

    Context stands behind the sentence as a second sentence does for the tokenizer, with its
    separator and token type, as far as one window has room. A sentence that takes several windows
    has none.
    """

    def __init__(self, model: str, sentence: Sentence, context: tuple[str, ...] = ()) -> None:
        super().__init__()
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        config = load(model, AutoConfig.from_pretrained)
        if config.is_encoder_decoder or not hasattr(config, "hidden_size"):
            raise ConfigError(
                f"model `{model}` ({config.model_type}) is no plain text encoder; "
                "take one like bert-base-cased or xlm-roberta-base"
            )
        # A space goes before every word, as inside a sentence: byte-level vocabularies tell the two
        # apart. Others ignore the option.
        self.tokenizer: Any = load(model, AutoTokenizer.from_pretrained, add_prefix_space=True)
        encoder, found = load(
            model, AutoModel.from_pretrained, dtype=torch.float32, output_loading_info=True
        )
        pooler = getattr(encoder, "pooler", None)
        if sentence == "pooler":
            if pooler is None or any("pooler" in key for key in found["missing_keys"]):
                raise ConfigError(
                    f"model `{model}` has no trained pooler; set sentence to `first` or `mean`"
                )
        elif pooler is not None:
            encoder.pooler = None  # it would never get a gradient
        self.model: nn.Module = encoder
        self.sentence = sentence
        self.width: int = config.hidden_size
        self._pieces: dict[str, list[int]] = {}
        probe = self.tokenizer(
            ["a"], is_split_into_words=True, return_special_tokens_mask=True, verbose=False
        )
        ids, special = probe["input_ids"], probe["special_tokens_mask"]
        inner = special.index(0) if 0 in special else len(special)
        last = len(special) - special[::-1].index(0) if 0 in special else len(special)
        self._prefix, self._suffix = ids[:inner], ids[last:]
        self.limit = self._positions(config) - len(self._prefix) - len(self._suffix)
        self._pad: int = self.tokenizer.pad_token_id or 0
        unknown = self.tokenizer.unk_token_id
        self._unknown: int = self._pad if unknown is None else unknown
        self.context = context
        if context:
            self._separator, self._context_type = self._second_sentence(model)

    def _second_sentence(self, model: str) -> tuple[list[int], int]:
        """The pieces between two sentences, and the token type of the second."""
        probe = self.tokenizer(
            ["a"], ["a"], is_split_into_words=True, return_special_tokens_mask=True, verbose=False
        )
        ids, special = probe["input_ids"], probe["special_tokens_mask"]
        start = special.index(1, len(self._prefix)) if 1 in special[len(self._prefix) :] else 0
        end = special.index(0, start) if 0 in special[start:] else start
        # what ends a sentence comes first, so that the pieces up to there are the sentence alone
        separator = ids[start:end]
        if separator[: len(self._suffix)] != self._suffix:
            separator = self._suffix
        if not separator:
            raise ConfigError(
                f"model `{model}` has no token between two sentences, so it can't read `context`"
            )
        kinds = probe.get("token_type_ids")
        return separator, kinds[end] if kinds else 0

    def _positions(self, config: Any) -> int:
        """How many tokens the model can read at once."""
        positions = getattr(config, "max_position_embeddings", None) or 512
        for name, table in self.model.named_modules():
            if name.endswith("position_embeddings") and isinstance(table, nn.Embedding):
                # RoBERTa counts its positions from behind the padding index.
                offset = 0 if table.padding_idx is None else table.padding_idx + 1
                positions = min(positions, table.num_embeddings - offset)
        return int(min(positions, self.tokenizer.model_max_length))

    def prepare(self, sample: Sample) -> Pieces:
        new = [w for w in dict.fromkeys(sample.words) if w not in self._pieces]
        if new:
            ids = self.tokenizer(
                [[w] for w in new],
                is_split_into_words=True,
                add_special_tokens=False,
                verbose=False,
            )["input_ids"]
            self._pieces.update((w, p or [self._unknown]) for w, p in zip(new, ids, strict=True))
        words = [self._pieces[w] for w in sample.words]
        if sum(map(len, words)) > self.limit:
            words = [pieces[: max(1, self.limit // 4)] for pieces in words]
        slices, chosen = cut_windows(words, self.limit)
        flat = [piece for pieces in words for piece in pieces]
        places, start = [], len(self._prefix)
        for pieces, window in zip(words, chosen, strict=True):
            places.append((window, start - slices[window].start, len(pieces)))
            start += len(pieces)
        made = Pieces([self._prefix + flat[s] + self._suffix for s in slices], places)
        return self._with_context(made, sample) if self.context else made

    def _with_context(self, alone: Pieces, sample: Sample) -> Pieces:
        """The sentence with the context behind it: whole fields, then a cut one, as room allows."""
        if len(alone.windows) > 1:
            return alone
        own, end = alone.windows[0], len(self._suffix)
        whole = own[: len(own) - end]
        most = self.limit + len(self._prefix)
        for name in self.context:
            room = most - len(whole) - len(self._separator)
            text = " ".join((sample.get(name) or "").split())
            if text and room > 0:
                ids = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
                whole = whole + (self._separator + ids[:room] if ids else [])
        if len(whole) == len(own) - end:
            return alone
        return Pieces([whole + self._suffix], alone.words, len(own))

    def collate(self, rows: Sequence[Pieces]) -> dict[str, Tensor]:
        """For B sentences in W windows of at most L pieces.

        Returns:
            ``input_ids``, ``attention_mask`` (W, L); ``starts`` (B, N), places in the flattened
            (W·L) states; ``pieces`` (B, N), 0 on padding; ``mask`` (B, N); ``owner`` (W,), the
            sentence of each window; ``first`` (B,), each sentence's first window. With
            ``context`` also ``context`` (W, L), True on the pieces behind the sentence.
        """
        windows = [window for row in rows for window in row.windows]
        length = max(map(len, windows))
        count = max(len(row.words) for row in rows)
        starts, pieces, first, done = [], [], [], 0
        for row in rows:
            padding = [0] * (count - len(row.words))
            places = [(done + window) * length + place for window, place, _ in row.words]
            starts.append(places + [done * length for _ in padding])
            pieces.append([size for _, _, size in row.words] + padding)
            first.append(done)
            done += len(row.windows)
        sizes = torch.tensor(pieces, dtype=torch.long).view(len(rows), count)
        behind: dict[str, Tensor] = {}
        if self.context:
            own = [row.own or len(window) for row in rows for window in row.windows]
            sizes_of = torch.tensor([len(window) for window in windows]).unsqueeze(1)
            place = torch.arange(length)
            after = place >= torch.tensor(own).unsqueeze(1)
            behind["context"] = after & (place < sizes_of)
        return {
            **behind,
            "input_ids": torch.tensor([w + [self._pad] * (length - len(w)) for w in windows]),
            "attention_mask": torch.tensor(
                [[1] * len(w) + [0] * (length - len(w)) for w in windows]
            ),
            "starts": torch.tensor(starts, dtype=torch.long).view(len(rows), count),
            "pieces": sizes,
            "mask": sizes > 0,
            "owner": torch.tensor([i for i, row in enumerate(rows) for _ in row.windows]),
            "first": torch.tensor(first),
        }

    def states(self, inputs: Inputs) -> tuple[Tensor, Tensor | None]:
        """Every piece's last state (W, L, D), and the pooler's output (W, D) where there is one."""
        kinds: dict[str, Tensor] = {}
        if "context" in inputs and self._context_type:
            kinds["token_type_ids"] = inputs["context"].long() * self._context_type
        out = self.model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], **kinds
        )
        return out.last_hidden_state, getattr(out, "pooler_output", None)

    def alone(self, inputs: Inputs) -> Inputs:
        if "context" not in inputs:
            return inputs
        real = inputs["attention_mask"] * ~inputs["context"]
        before, after = real.shape[1], int(real.sum(dim=1).max())
        window, place = inputs["starts"] // before, inputs["starts"] % before
        return {
            **{name: value for name, value in inputs.items() if name != "context"},
            "input_ids": (inputs["input_ids"] * real + self._pad * (1 - real))[:, :after],
            "attention_mask": real[:, :after],
            "starts": window * after + place,
        }

    def forward(self, inputs: Inputs) -> Text:
        return self.text(*self.states(inputs), inputs)

    def text(self, states: Tensor, pooled: Tensor | None, inputs: Inputs) -> Text:
        """The words and the sentence, from what :meth:`states` returns for the inputs."""
        mask, pieces = inputs["mask"], inputs["pieces"]

        def read(places: Tensor) -> Tensor:
            vectors: Tensor = states.flatten(0, 1).index_select(0, places.flatten())
            return vectors.view(*mask.shape, -1) * mask.unsqueeze(-1)  # type: ignore[no-any-return]

        return Text(
            read(inputs["starts"]),
            self._sentence(states, pooled, inputs),
            mask,
            last=read(inputs["starts"] + (pieces - 1).clamp(min=0)),
            pieces=pieces,
        )

    def _sentence(self, states: Tensor, pooled: Tensor | None, inputs: Inputs) -> Tensor:
        first: Tensor = inputs["first"]
        if self.sentence == "pooler":
            assert pooled is not None, "checked when the model was loaded"
            return pooled[first]
        if self.sentence == "first":
            return states[first, 0]
        own = inputs["attention_mask"]
        if "context" in inputs:
            own = own * ~inputs["context"]
        real: Tensor = own.unsqueeze(-1).to(states.dtype)
        batch, owner = first.shape[0], inputs["owner"]
        sums = states.new_zeros(batch, self.width).index_add(0, owner, (states * real).sum(1))
        counts = real.new_zeros(batch, 1).index_add(0, owner, real.sum(1))
        return sums / counts
