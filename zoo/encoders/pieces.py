"""A pre-trained tokenizer that reads one word at a time, each as it stands in a sentence."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from zoo.encoders.checkpoint import VOCABULARIES, has_vocabulary, one_line
from zoo.encoders.loading import strict
from zoo.errors import ConfigError

PROBE = ("Kevin", "Durant", "plays", "in", "New", "York")
"""Words that are read one by one and as running text; the pieces have to be the same."""

_TEXT = " ".join(("So", *PROBE))
_MARKED = (
    "Mütter",
    "Mu\u0308tter",
    "ＮＢＡ",
    "京都",
    "ﬁnal",
    "½",
    "™",
    "…",
    "\U0001d5d7",
    "😀",
    "Ελλάδα",
)
"""Words that a normaliser may change: accents, full width, ligatures, signs, Chinese, letters of
mathematics."""
LEAD = 3
"""The most pieces that the first word of this text has, with the sign of a word's beginning."""

MOST_KNOWN = 300_000
"""Words whose pieces are remembered; beyond that all are forgotten, so that memory has a bound."""

BARE = ("▁", "Ġ", " ")
"""Pieces that say no more than that a word begins."""


class Splitter:
    """Words to pieces (sub-words).

    ``prefix`` and ``suffix`` are the special pieces around a sentence; ``summary`` is the place of
    the one that stands for the whole sentence (0: the first; negative: from the end; None: there is
    none). ``pad`` and ``unknown`` are pieces, too.

    Args:
        model: its name, for messages.
        folder: where its files are.

    Raises:
        ConfigError: the tokenizer's files are missing or damaged, or it reads words inside a
            sentence otherwise than running text.
    """

    def __init__(self, model: str, folder: Path) -> None:
        self.tokenizer = load_tokenizer(model, folder)
        with strict(f"model `{model}`: its tokenizer can't be loaded"):
            self._way = self._choose_way(model)
            encoded = self.tokenizer("a", return_special_tokens_mask=True, verbose=False)
        ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
        inner = special.index(0) if 0 in special else len(special)
        last = len(special) - special[::-1].index(0) if 0 in special else len(special)
        self.prefix: list[int] = ids[:inner]
        self.suffix: list[int] = ids[last:]
        tokenizer = self.tokenizer
        first, cls = self.prefix[:1], tokenizer.cls_token_id
        self.summary: int | None = None
        if first and first[0] in (cls, tokenizer.bos_token_id):
            self.summary = 0
        elif cls is not None and cls in self.suffix:
            self.summary = self.suffix.index(cls) - len(self.suffix)
        self.pad: int = tokenizer.pad_token_id or 0
        unknown = tokenizer.unk_token_id
        self.unknown: int = self.pad if unknown is None else unknown
        self._known: dict[str, tuple[list[int], int]] = {}

    def __call__(self, words: Sequence[str]) -> list[tuple[list[int], int]]:
        """Of each word its pieces, at least one, and which of them its vector is taken from: the
        first that is not a bare sign of a word's beginning."""
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        new = [word for word in dict.fromkeys(words) if word not in self._known]
        if new:
            for word, ids in zip(new, self._encode(new, self._way), strict=True):
                self._known[word] = self._lead(ids or [self.unknown])
        return [self._known[word] for word in words]

    def between(self, model: str) -> tuple[list[int], int]:
        """The pieces between two sentences, and the token type of the second.

        What ends a sentence comes first, so that the pieces up to there are the sentence alone.
        Raises ConfigError where the tokenizer has no such pieces.
        """
        encoded = self.tokenizer("a", "a", return_special_tokens_mask=True, verbose=False)
        ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
        first = next((i for i in range(len(self.prefix), len(ids)) if special[i]), len(ids))
        second = next((i for i in range(first, len(ids)) if not special[i]), first)
        found = ids[first:second]
        if found[: len(self.suffix)] != self.suffix:
            found = self.suffix
        if not found:
            raise ConfigError(
                f"model `{model}` has no piece between two sentences, so it can't read `context`"
            )
        kinds = encoded.get("token_type_ids")
        return found, kinds[second] if kinds and second < len(ids) else 0

    def unknown_share(self, words: Counter[str]) -> float:
        """Of all occurrences of words, the share in which the tokenizer does not know a piece."""
        total = words.total()
        pieces = self(list(words))
        unknown = sum(
            count
            for (ids, _), count in zip(pieces, words.values(), strict=True)
            if self.unknown in ids
        )
        return unknown / total if total else 0.0

    def _lead(self, ids: list[int]) -> tuple[list[int], int]:
        skip = 0
        while skip < len(ids) - 1 and self.tokenizer.convert_ids_to_tokens(ids[skip]) in BARE:
            skip += 1
        bare = self.tokenizer.convert_ids_to_tokens(ids[skip]) in BARE
        return ids, 0 if bare else skip

    def _encode(self, words: Sequence[str], way: str) -> list[list[int]]:
        if way == "split":
            batch: Any = [[word] for word in words]
        else:
            batch = [f" {word}" if way == "space" else word for word in words]
        return self.tokenizer(  # type: ignore[no-any-return]
            batch, is_split_into_words=way == "split", add_special_tokens=False, verbose=False
        )["input_ids"]

    def _choose_way(self, model: str) -> str:
        """How a word has to be given to get the pieces that it has in running text.

        Byte-level tokenizers tell words with a space before them from others, and not every class
        of tokenizers puts one before words that come split.
        """
        running = self.tokenizer(_TEXT, add_special_tokens=False, verbose=False)["input_ids"]
        for way in ("split", "space", "plain"):
            ids = [piece for word in self._encode(PROBE, way) for piece in word]
            if len(PROBE) <= len(ids) < len(running) and running[-len(ids) :] == ids:
                return way
        raise ConfigError(
            f"model `{model}`: its tokenizer gives a word by itself other pieces than inside of "
            f"`{_TEXT}`, so that vectors of words can't be had; take another model"
        )


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


def shares_of(slices: Sequence[slice], before: int, after: int) -> tuple[list[float], ...]:
    """Of each of several windows the shares of its pieces, so that a piece of several counts once.

    Args:
        before, after: special pieces around a window, which count once in all.
    """
    if len(slices) == 1:
        return ()
    times = [0] * slices[-1].stop
    for each in slices:
        for place in range(each.start, each.stop):
            times[place] += 1
    special = [1 / len(slices)]
    return tuple(
        special * before + [1 / n for n in times[each]] + special * after for each in slices
    )


def load_tokenizer(model: str, folder: Path) -> Any:
    """The model's tokenizer, with the vocabulary that its files hold. Raises ConfigError."""
    from transformers import AutoTokenizer

    names = {p.name for p in folder.iterdir() if p.is_file()}
    try:
        with strict(f"model `{model}`: its tokenizer can't be loaded"):
            tokenizer = AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False, add_prefix_space=True
            )
    except ConfigError as error:
        if "vocab.json" in names and not names & {"tokenizer.json", "merges.txt"}:
            raise _missing(model, folder, ["merges.txt"]) from error
        if has_vocabulary(names):
            raise
        raise _missing(model, folder, VOCABULARIES[:3]) from error
    read = dict(type(tokenizer).vocab_files_names or {})
    if "tokenizer.json" in names and tokenizer.is_fast:
        sources = ["tokenizer.json"]
    else:
        read.pop("tokenizer_file", None)
        sources = sorted(file for file in read.values() if file in names)
        lacking = sorted({file for key, file in read.items() if key != "spm_file"} - names)
        others = any(name.endswith(".model") for name in names)
        if lacking and not (others and lacking == ["tokenizer.model"]):
            wanted = " and ".join(lacking)
            raise _missing(
                model, folder, (*(["tokenizer.json"] if tokenizer.is_fast else []), wanted)
            )
    have = tokenizer.get_vocab() if sources else {}
    for source in sources:
        entries = _entries(folder / source)
        wrong = [
            piece
            for piece, number in entries.items()
            if have.get(piece) != number and (number is not None or piece not in have)
        ]
        if wrong:
            raise ConfigError(
                f"model `{model}`: {len(wrong)} of the {len(entries)} pieces in {folder / source} "
                f"are not in the tokenizer that is made of it ({len(have)} pieces); the files are "
                "of different models"
            )
    if "tokenizer.json" in sources:
        _compare(model, folder / "tokenizer.json", tokenizer)
    return tokenizer


def _compare(model: str, file: Path, tokenizer: Any) -> None:
    """Raise ConfigError where the tokenizer splits a text otherwise than its file says.

    The library takes only the vocabulary from the file and all else, lower-casing for one, from
    ``tokenizer_config.json`` or a default. The first word may differ, which a space may precede.
    """
    from tokenizers import Tokenizer

    with strict(f"model `{model}`: its tokenizer can't be loaded"):
        own = Tokenizer.from_file(str(file))
        own.no_truncation()
        own.no_padding()

    def differs(text: str) -> tuple[list[str], list[str]] | None:
        with strict(f"model `{model}`: its tokenizer can't be loaded"):
            there = own.encode(text, add_special_tokens=False).ids
            here = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        alike = 0
        while alike < min(len(there), len(here)) and there[-alike - 1] == here[-alike - 1]:
            alike += 1
        if max(len(there), len(here)) - alike <= LEAD:
            return None
        pieces = tokenizer.convert_ids_to_tokens
        return pieces(there), pieces(here)

    marked = [f"{_TEXT} {word}" for word in _MARKED]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not differs(_TEXT) and any(map(differs, marked)) and backend is not None:
        backend.normalizer = own.normalizer  # the library makes one of its own for some classes
    for text in (_TEXT, *marked):
        if found := differs(text):
            said, done = found
            raise ConfigError(
                f"model `{model}`: `{text}` is split into {' '.join(done)} where {file} says "
                f"{' '.join(said)}; put the model's own tokenizer_config.json there"
            )


def _missing(model: str, folder: Path, files: Iterable[str]) -> ConfigError:
    return ConfigError(
        f"model `{model}`: {folder} has no tokenizer, and without its vocabulary every word would "
        f"be unknown; put its files there ({' or '.join(files)})"
    )


def _entries(file: Path) -> dict[str, int | None]:
    """The pieces in a vocabulary file, with their numbers where the file fixes these."""
    try:
        if file.suffix == ".json":
            content = json.loads(file.read_text(encoding="utf-8"))
            added: list[Any] = []
            if file.name == "tokenizer.json":
                content, added = content["model"]["vocab"], content.get("added_tokens", [])
            if isinstance(content, list):
                content = {entry[0]: number for number, entry in enumerate(content)}
            return {**content, **{entry["content"]: entry["id"] for entry in added}}
        if file.suffix == ".txt" and file.name.startswith("vocab"):
            lines = file.read_text(encoding="utf-8").split("\n")
            return {piece.rstrip("\r"): number for number, piece in enumerate(lines) if piece}
        if file.suffix == ".model":
            from sentencepiece import SentencePieceProcessor

            processor = SentencePieceProcessor(model_file=str(file))
            numbers = range(processor.get_piece_size())
            return {
                processor.id_to_piece(number): None
                for number in numbers
                if not (processor.is_control(number) or processor.is_unknown(number))
            }
    except (OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
        raise ConfigError(f"{file}: can't be read as a vocabulary ({one_line(error)})") from error
    return {}
