"""A pre-trained transformer that answers one vector a word.

Word vectors are those of each word's first sub-word, as in Devlin et al. (2019), and beside them
those of its last. Sentences longer than the encoder's limit are read in overlapping windows.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from zoo.encoders.checkpoint import TEXT
from zoo.encoders.hub import fetch
from zoo.encoders.loading import load_config, load_model, strict
from zoo.encoders.pieces import PROBE, Splitter, cut_windows, shares_of
from zoo.errors import ConfigError
from zoo.parts import TextEncoder
from zoo.types import Inputs, Sample, Text

Sentence = Literal["first", "mean", "pooler"]
"""Where the sentence vector comes from: the state of the piece that stands for the sentence ([CLS],
which XLNet puts last) in its first window; the mean of all its pieces' states; the model's own
trained pooler over [CLS]."""


class Pieces(NamedTuple):
    """A sentence in sub-words: one window in all but the longest sentences.

    ``words`` has, a word, the window that its vectors are taken from, the place of its first
    sub-word there (counting special tokens) and how many it has from there on. ``own`` is how many
    pieces of the window are the sentence's (with its special pieces) where context stands behind.
    ``shares`` has, for each piece of several windows, the share by which it counts in a mean: 1 / n
    where n windows read it.
    """

    windows: list[list[int]]
    words: list[tuple[int, int, int]]
    own: int | None = None
    shares: tuple[list[float], ...] = ()


class Pretrained(TextEncoder):
    """Any Hugging Face encoder (BERT, RoBERTa, XLM-R, DeBERTa …) with its own tokenizer.

    A word that the tokenizer turns into nothing gets the unknown token. In a sentence too long for
    one window, a word of more than a quarter of a window keeps that many of its first pieces, so
    that every word stands whole in some window.

    Args:
        model: a name on the hub, a folder, or ``minilm``.
        sentence: where the sentence vector comes from.
        revision: of a hub model.
        context: text fields to read behind the sentence, where a second sentence stands for the
            tokenizer, with its separator and token type; cut to the room that is left in one
            window. A sentence that takes several windows has no context.

    Raises:
        ConfigError: the model can't be loaded whole, is of a family that gives no vectors for
            words, or has no such sentence vector.
    """

    def __init__(
        self,
        model: str,
        sentence: Sentence,
        revision: str | None = None,
        context: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        folder = fetch(model, TEXT, revision)
        config = load_config(model, folder)
        cls = encoder_class(model, config)
        self.splitter = Splitter(model, folder)
        self.context_fields = context
        if context:
            self._separator, self._context_type = self.splitter.between(model)
        self.model = load_model(
            model, folder, cls, sentence == "pooler", "set sentence to `first` or `mean`"
        )
        self.sentence = sentence
        self.width: int = config.hidden_size
        # CANINE reads blocks of characters, and what it makes of the last one is another's; its
        # convolution looks some characters ahead. Two blocks of padding keep a sentence clear.
        self._block = int(getattr(config, "downsampling_rate", 1))
        beside = len(self.splitter.prefix) + len(self.splitter.suffix)
        beside += 3 * self._block if self._block > 1 else 0
        self.limit = self._positions(config) - beside
        check_vocabulary(model, self.splitter.tokenizer, self.model)
        check_states(model, self)

    @property
    def tokenizer(self) -> Any:
        return self.splitter.tokenizer

    def _positions(self, config: Any) -> int:
        """How many tokens the model can read at once."""
        positions = getattr(config, "max_position_embeddings", None) or 512
        if positions < 0:  # XLNet's way to say that there is no limit
            positions = sys.maxsize
        for name, table in self.model.named_modules():
            if name.endswith("position_embeddings") and isinstance(table, nn.Embedding):
                # RoBERTa counts its positions from behind the padding index.
                offset = 0 if table.padding_idx is None else table.padding_idx + 1
                positions = min(positions, table.num_embeddings - offset)
        return int(min(positions, self.tokenizer.model_max_length))

    def prepare(self, sample: Sample) -> Pieces:
        read = self.splitter(sample.words)
        words = [pieces for pieces, _ in read]
        if sum(map(len, words)) > self.limit:
            words = [pieces[: max(1, self.limit // 4)] for pieces in words]
        slices, chosen = cut_windows(words, self.limit)
        flat = [piece for pieces in words for piece in pieces]
        prefix, suffix = self.splitter.prefix, self.splitter.suffix
        places, start = [], len(prefix)
        for pieces, (_, lead), window in zip(words, read, chosen, strict=True):
            lead = lead if lead < len(pieces) else 0
            places.append((window, start + lead - slices[window].start, len(pieces) - lead))
            start += len(pieces)
        shares = shares_of(slices, len(prefix), len(suffix))
        made = Pieces([prefix + flat[s] + suffix for s in slices], places, shares=shares)
        return self._with_context(made, sample) if self.context_fields else made

    def _with_context(self, alone: Pieces, sample: Sample) -> Pieces:
        """The sentence with the context behind it: whole fields, then a cut one, as room allows."""
        if len(alone.windows) > 1:
            return alone
        prefix, suffix = self.splitter.prefix, self.splitter.suffix
        own = len(alone.windows[0])
        whole = alone.windows[0][: own - len(suffix)]
        for name in self.context_fields:
            words = (sample.get(name) or "").split()
            room = self.limit + len(prefix) - len(whole) - len(self._separator)
            if words and room > 0:
                pieces = [piece for ids, _ in self.splitter(words) for piece in ids]
                whole = whole + self._separator + pieces[:room]
        if len(whole) == own - len(suffix):
            return alone
        return Pieces([whole + suffix], alone.words, own)

    def cost(self, sample: Sample, row: Pieces) -> int:
        """One token a piece, of all windows and of the context."""
        return sum(map(len, row.windows))

    def alike(self, row: Pieces) -> Hashable:
        """Sentences of as many pieces."""
        return tuple(map(len, row.windows))

    def lookups(self, row: Pieces) -> Mapping[nn.Module, Collection[int]]:
        """The pieces; of characters and bytes, which are few or hashed, nothing."""
        if not self.tokenizer.vocab_files_names:
            return {}
        pieces = {piece for window in row.windows for piece in window}
        model: Any = self.model
        return {model.get_input_embeddings(): {*pieces, self.splitter.pad}}

    def collate(self, rows: Sequence[Pieces]) -> dict[str, Tensor]:
        """For B sentences in W windows of at most L pieces.

        Returns:
            ``input_ids``, ``attention_mask`` (W, L); ``starts`` (B, N), places in the flattened
            (W·L) states; ``pieces`` (B, N), 0 on padding; ``mask`` (B, N); ``owner`` (W,), the
            sentence of each window; ``first`` (B,), each sentence's first window; ``summary`` (B,),
            the place of the piece in it that stands for the sentence. With ``context`` also
            ``context`` (W, L), True on the pieces behind the sentence; where a sentence has several
            windows, ``shares`` (W, L), by which its pieces count in a mean.
        """
        windows = [window for row in rows for window in row.windows]
        pad = self.splitter.pad
        length = self._padded(max(map(len, windows)))
        count = max(len(row.words) for row in rows)
        starts, pieces, first, summary, done = [], [], [], [], 0
        at = self.splitter.summary or 0
        for row in rows:
            padding = [0] * (count - len(row.words))
            places = [(done + window) * length + place for window, place, _ in row.words]
            starts.append(places + [done * length for _ in padding])
            pieces.append([size for _, _, size in row.words] + padding)
            first.append(done)
            summary.append(at if at >= 0 else (row.own or len(row.windows[0])) + at)
            done += len(row.windows)
        sizes = torch.tensor(pieces, dtype=torch.long).view(len(rows), count)
        behind: dict[str, Tensor] = {}
        if self.context_fields:
            own = [row.own or len(window) for row in rows for window in row.windows]
            ends, place = torch.tensor([own, list(map(len, windows))]), torch.arange(length)
            behind["context"] = (place >= ends[0, :, None]) & (place < ends[1, :, None])
        if any(row.shares for row in rows):
            shares = [each for row in rows for each in row.shares or ([1.0] * length,)]
            behind["shares"] = torch.tensor([s + [0.0] * (length - len(s)) for s in shares])
        return {
            **behind,
            "input_ids": torch.tensor([w + [pad] * (length - len(w)) for w in windows]),
            "attention_mask": torch.tensor(
                [[1] * len(w) + [0] * (length - len(w)) for w in windows]
            ),
            "starts": torch.tensor(starts, dtype=torch.long).view(len(rows), count),
            "pieces": sizes,
            "mask": sizes > 0,
            "owner": torch.tensor([i for i, row in enumerate(rows) for _ in row.windows]),
            "first": torch.tensor(first),
            "summary": torch.tensor(summary),
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

    def _padded(self, longest: int) -> int:
        """How long windows have to be when the longest has so many pieces."""
        if self._block > 1:
            longest += 3 * self._block - longest % self._block
        return longest

    def alone(self, inputs: Inputs) -> Inputs:
        if "context" not in inputs:
            return inputs
        real = inputs["attention_mask"] * ~inputs["context"]
        before, after = real.shape[1], self._padded(int(real.sum(dim=1).max()))
        window, place = inputs["starts"] // before, inputs["starts"] % before
        return {
            **{name: value for name, value in inputs.items() if name != "context"},
            "input_ids": torch.where(real > 0, inputs["input_ids"], self.splitter.pad)[:, :after],
            "attention_mask": real[:, :after],
            **({"shares": inputs["shares"][:, :after]} if "shares" in inputs else {}),
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
            return states[first, inputs["summary"]]
        own = inputs["attention_mask"]
        if "context" in inputs:
            own = own * ~inputs["context"]
        if "shares" in inputs:
            own = own * inputs["shares"]
        real: Tensor = own.unsqueeze(-1).to(states.dtype)
        batch, owner = first.shape[0], inputs["owner"]
        sums = states.new_zeros(batch, self.width).index_add(0, owner, (states * real).sum(1))
        counts = real.new_zeros(batch, 1).index_add(0, owner, real.sum(1))
        return sums / counts


def encoder_class(model: str, config: Any) -> Any:
    """The class of ``transformers`` that reads text alone. Raises ConfigError."""
    from transformers import MODEL_FOR_TEXT_ENCODING_MAPPING, AutoModel

    cls: Any = AutoModel
    if config.is_encoder_decoder:  # T5 and its kin have a class for their encoder
        cls = MODEL_FOR_TEXT_ENCODING_MAPPING.get(type(config), None)
    if cls is None or not hasattr(config, "hidden_size"):
        raise ConfigError(
            f"model `{model}` ({config.model_type}) is no plain text encoder; "
            "take one like bert-base-cased or xlm-roberta-base"
        )
    return cls


def check_vocabulary(model: str, tokenizer: Any, encoder: Any) -> None:
    """Refuse a tokenizer with more pieces than the model has vectors for."""
    if not tokenizer.vocab_files_names:
        return  # characters and bytes, which need no vocabulary
    table = encoder.get_input_embeddings()
    pieces = max(tokenizer.get_vocab().values(), default=-1) + 1
    if pieces > table.num_embeddings:
        raise ConfigError(
            f"model `{model}`: its tokenizer has {pieces} tokens and its embedding table "
            f"{table.num_embeddings} rows; they belong to different models"
        )


@torch.no_grad()
def check_states(model: str, encoder: Pretrained) -> None:
    """Run a few pieces through the model: refuse one that is no encoder of single sentences.

    A sentence has to get the same states alone and beside a longer one, and the summary of a
    sentence has to depend on what follows or precedes it (a causal model's first piece sees
    nothing but itself).
    """
    if encoder.limit < 1:
        raise ConfigError(f"model `{model}` has no room for a word beside its special tokens")
    if encoder.sentence == "first" and encoder.splitter.summary is None:
        raise ConfigError(
            f"model `{model}` has no piece that stands for the sentence; set sentence to `mean`"
        )
    if any(parameter.is_meta for parameter in encoder.parameters()):
        return
    short, other, long = _probes(encoder)
    was = encoder.model.training
    encoder.model.eval()
    with strict(f"model `{model}` can't be run as a text encoder"):
        alone = encoder(encoder.collate([short]))
        beside = encoder(encoder.collate([short, long]))
        pair = encoder(encoder.collate([short, other]))
    encoder.model.train(was)
    count = len(short.words)
    scale = 1 + alone.tokens.abs().max()
    if not (alone.tokens[0] - beside.tokens[0, :count]).abs().max() <= 1e-4 * scale:
        raise ConfigError(
            f"model `{model}`: the vectors of a sentence depend on how long the others in its "
            "batch are, or on chance; take another family of models"
        )
    if encoder.sentence == "first" and (pair.sentence[0] - pair.sentence[1]).abs().max() < 1e-6:
        raise ConfigError(
            f"model `{model}` is causal: its first piece sees nothing of the sentence; set "
            "sentence to `mean`"
        )


def _probes(encoder: Pretrained) -> tuple[Pieces, Pieces, Pieces]:
    """A short sentence, the same with another last piece, and a long one."""
    splitter = encoder.splitter
    special = {*splitter.tokenizer.all_special_ids, splitter.pad}
    found = [piece for pieces, _ in splitter(PROBE) for piece in pieces]
    ids = [piece for piece in dict.fromkeys([*found, *range(100)]) if piece not in special]
    if splitter.tokenizer.vocab_files_names:
        model: Any = encoder.model
        table = model.get_input_embeddings()
        ids = [piece for piece in ids if piece < table.num_embeddings]
    ids = ids or [splitter.unknown]

    def sentence(pieces: list[int]) -> Pieces:
        window = splitter.prefix + pieces + splitter.suffix
        return Pieces([window], [(0, len(splitter.prefix) + i, 1) for i in range(len(pieces))])

    few = max(1, min(4, encoder.limit // 2, len(ids) - 1))
    many = min(len(ids), encoder.limit, 40)
    return sentence(ids[:few]), sentence([*ids[: few - 1], ids[-1]]), sentence(ids[:many])
