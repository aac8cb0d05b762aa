"""Which files of a model an encoder reads, and what they are known by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import NamedTuple

from zoo.errors import ConfigError


class Need(NamedTuple):
    """The files of a model that an encoder reads.

    ``config``: without it there is no model; None: weights alone. ``weights``: file names, of
    which the first that the model has is taken (an index stands for its shards). ``more``: patterns
    of further files, taken if the model has them. ``settled``: of these it must be known whether
    the model has them before a cached snapshot counts as complete. ``vocabulary``: whether a
    tokenizer is needed.
    """

    config: str | None
    weights: tuple[str, ...]
    more: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    vocabulary: bool = False


VOCABULARIES = ("tokenizer.json", "vocab*", "*.model", "bpe.codes", "dict.txt", "entity_vocab.json")
"""Files that a tokenizer's vocabulary may be in."""

_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
TEXT = Need(
    "config.json",
    _WEIGHTS,
    (
        *VOCABULARIES,
        "merges.txt",
        "tokenizer*.json",
        "special_tokens_map.json",
        "added_tokens.json",
    ),
    ("tokenizer.json", "tokenizer_config.json"),
    vocabulary=True,
)
IMAGE = Need("config.json", _WEIGHTS, ("preprocessor_config.json", "processor_config.json"))
OPEN_CLIP = Need(
    "open_clip_config.json",
    (
        "open_clip_model.safetensors",
        "open_clip_pytorch_model.safetensors",
        "open_clip_pytorch_model.bin",
        "open_clip_pytorch_model.pth",
    ),
)


def choose_weights(names: Collection[str], need: Need, model: str, has: str) -> str:
    """The name of the weights (or of their index) to load.

    Args:
        has: the beginning of a message, as ``FOLDER has``.

    Raises:
        ConfigError: configuration or weights are missing.
    """
    if need.config and need.config not in names:
        raise ConfigError(f"model `{model}` can't be loaded: {has} no {need.config}")
    weights = next((name for name in need.weights if name in names), None)
    if weights is None:
        raise ConfigError(
            f"model `{model}` can't be loaded: {has} no weights ({' or '.join(need.weights)})"
        )
    return weights


def needed(folder: Path, names: Collection[str], need: Need) -> list[str]:
    """Which of the files named in a folder are read; none where something essential is missing."""
    weights = [name for name in need.weights if name in names][:1]
    if not weights or (need.config and need.config not in names):
        return []
    if weights[0].endswith(".index.json"):
        weights += read_shards(folder / weights[0])
    return [*([need.config] if need.config else []), *weights, *further(names, need)]


def further(names: Iterable[str], need: Need) -> list[str]:
    """The files beside configuration and weights; last those that ``need.settled`` names."""
    found = {
        name
        for name in names
        if "/" not in name and any(fnmatch(name, pattern) for pattern in need.more)
    }
    return sorted(found, key=lambda name: (name in need.settled, name))


def has_vocabulary(names: Iterable[str]) -> bool:
    """Whether one of the files may hold a tokenizer's vocabulary."""
    return any(fnmatch(name, pattern) for name in names for pattern in VOCABULARIES)


def read_shards(index: Path) -> list[str]:
    """The files that an index of weights lists. Raises ConfigError."""
    try:
        listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        names = sorted({str(name) for name in listed})
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ConfigError(f"{index}: no index of weights ({one_line(error)})") from error
    if any("/" in name or "\\" in name for name in names):
        raise ConfigError(f"{index}: names a file outside the model's folder")
    return names


def digest_folder(folder: Path, model: str) -> str:
    """SHA-256 over the names and bytes of all files of a model that any encoder may read.

    Raises:
        ConfigError: no model is there.
    """
    names = {p.name for p in folder.iterdir() if p.is_file()}
    read = {name for need in (TEXT, IMAGE, OPEN_CLIP) for name in needed(folder, names, need)}
    if not read:
        choose_weights(names, TEXT, model, f"{folder} has")
    whole = hashlib.sha256()
    for name in sorted(read & names):
        whole.update(f"{name}\0{digest_file(folder / name)}\0".encode())
    return whole.hexdigest()


def digest_file(file: Path) -> str:
    """SHA-256 of a file; computed once a process while its size and time stay."""
    state = file.stat()
    return _digest_file(str(file), state.st_size, state.st_mtime_ns)


@cache
def _digest_file(path: str, size: int, mtime: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def one_line(error: BaseException) -> str:
    """An error in one line."""
    text = str(error).strip() or type(error).__name__
    return " ".join(text.split())[:300]
