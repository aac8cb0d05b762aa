"""A model's files come from one commit, whole, or the run is refused by one line."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from zoo.encoders.transformer import Transformer
from zoo.encoders.vit import ViT
from zoo.errors import ConfigError
from zoo.types import Sample

WORDS = ("Kevin", "Durant", "in", "New", "York")
SENTENCE = Sample("1", WORDS)
NAME = "someone/bert"
Save = Callable[[str], Path]


def refused(make: Callable[[], Any], *parts: str) -> None:
    with pytest.raises(ConfigError) as raised:
        make()
    message = str(raised.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def pieces(encoder: Transformer) -> list[str]:
    (window,) = encoder.prepare(SENTENCE).windows
    names: list[str] = encoder.body.tokenizer.convert_ids_to_tokens(window)
    return names


READ = ["[CLS]", *WORDS, "[SEP]"]


@pytest.fixture
def bert(save: Save) -> Path:
    return save("bert")


def load(**settings: Any) -> Transformer:
    return Transformer(Counter(WORDS), model=NAME, **settings)


def fill_cache(hub: Any, bert: Path, tmp_path: Path, *names: str) -> Path:
    """A snapshot of the hub's main with some of the files, as another program may leave it."""
    folder = tmp_path / "home" / "hub" / f"models--{NAME.replace('/', '--')}"
    snapshot = folder / "snapshots" / hub.find(NAME, "main")
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(hub.find(NAME, "main"))
    for name in names:
        shutil.copy(bert / name, snapshot)
    return snapshot


# What is loaded ----------------------------------------------------------------------------------


def test_an_empty_cache_gets_the_tokenizer_and_then_needs_no_hub(hub: Any, bert: Path) -> None:
    hub.add(NAME, bert)
    assert pieces(load()) == READ
    assert load().unknown_share == 0
    asked = len(hub.log)
    hub.down = True
    assert pieces(load()) == READ
    assert len(hub.log) == asked


@pytest.mark.parametrize(
    "cached",
    [
        ("config.json",),
        ("config.json", "model.safetensors"),
        ("config.json", "model.safetensors", "tokenizer_config.json"),
        ("config.json", "model.safetensors", "tokenizer.json"),
        ("config.json", "tokenizer.json", "tokenizer_config.json"),
    ],
    ids="+".join,
)
def test_a_cache_with_some_of_the_files(
    hub: Any, bert: Path, tmp_path: Path, cached: tuple[str, ...]
) -> None:
    hub.add(NAME, bert)
    fill_cache(hub, bert, tmp_path, *cached)
    assert pieces(load()) == READ
    # and without a hub it is not taken for the whole
    shutil.rmtree(tmp_path / "home")
    fill_cache(hub, bert, tmp_path, *cached)
    hub.down = True
    refused(load, "not whole", "can't be reached", "HF_HOME")


def test_a_whole_snapshot_of_another_program_is_used_as_it_is(
    hub: Any, bert: Path, tmp_path: Path
) -> None:
    hub.add(NAME, bert)
    fill_cache(hub, bert, tmp_path, *(p.name for p in bert.iterdir()))
    hub.down = True
    assert pieces(load()) == READ
    assert hub.log == []


def test_the_pinned_revision_is_what_is_loaded(hub: Any, bert: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(bert, other)
    weights = {name: tensor + 1 for name, tensor in load_file(bert / "model.safetensors").items()}
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    hub.add(NAME, bert, "b" * 40)
    hub.add(NAME, other, "c" * 40)
    hub.refs[NAME, "v1"] = "b" * 40
    name = "embeddings.LayerNorm.weight"
    for revision, plus in (("b" * 40, 0), (None, 1), ("c" * 40, 1), ("v1", 0)):
        encoder = load(revision=revision)
        there = weights["bert." + name] - 1 + plus
        torch.testing.assert_close(encoder.body.model.state_dict()[name], there)
        known = Transformer.loaded({"model": NAME, "revision": revision})
        assert known == {NAME: ("c" if plus else "b") * 40}
    hub.down = True
    assert pieces(load(revision="v1")) == READ
    assert pieces(load(revision="b" * 40)) == READ


def test_without_a_revision_the_cache_goes_before_a_newer_commit(hub: Any, bert: Path) -> None:
    hub.add(NAME, bert, "b" * 40)
    load()
    hub.add(NAME, bert, "c" * 40)
    assert Transformer.loaded({"model": NAME}) == {NAME: "b" * 40}


def test_the_commit_named_before_is_the_one_loaded(hub: Any, bert: Path, tmp_path: Path) -> None:
    """What identifies a run and what it loads is the same, though the hub moves on in between."""
    hub.add(NAME, bert, "b" * 40)
    assert Transformer.loaded({"model": NAME}) == {NAME: "b" * 40}
    hub.add(NAME, bert, "c" * 40)
    load()
    (snapshot,) = (tmp_path / "home").glob("hub/*/snapshots/*")
    assert snapshot.name == "b" * 40


def test_one_format_of_weights_is_downloaded(hub: Any, bert: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    shutil.copytree(bert, both)
    (both / "pytorch_model.bin").write_bytes(b"never read")
    (both / "tf_model.h5").write_bytes(b"never read")
    hub.add(NAME, both)
    load()
    assert not [line for line in hub.log if "pytorch_model" in line or "tf_model" in line]


def test_shards(hub: Any, bert: Path, tmp_path: Path) -> None:
    from transformers import AutoModel

    sharded = tmp_path / "sharded"
    shutil.copytree(bert, sharded)
    (sharded / "model.safetensors").unlink()
    AutoModel.from_pretrained(bert).save_pretrained(sharded, max_shard_size="20KB")
    assert len(list(sharded.glob("model-*.safetensors"))) > 1
    hub.add(NAME, sharded)
    assert pieces(load()) == READ
    hub.down = True
    assert pieces(load()) == READ


# What is refused ---------------------------------------------------------------------------------


def test_a_model_that_needs_a_token(hub: Any, bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(NAME, bert)
    hub.closed[NAME] = "hf_right"
    monkeypatch.delenv("HF_TOKEN", raising=False)
    refused(load, "401", "private or gated", "hf auth login", "HF_TOKEN")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert pieces(load()) == READ


def test_no_such_model_and_no_such_revision(hub: Any, bert: Path) -> None:
    refused(load, "no such model")
    hub.add(NAME, bert)
    refused(lambda: load(revision="v9"), "no revision `v9`")
    refused(lambda: load(revision="d" * 40), f"no revision `{'d' * 40}`")
    refused(lambda: Transformer(Counter(), model=str(bert), revision="v1"), "has no revisions")
    refused(lambda: Transformer(Counter(), scratch={}, revision="v1"), "belongs to `model`")


def test_the_hub_gone(hub: Any) -> None:
    hub.down = True
    refused(load, "can't be reached", "local folder")


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_the_hub_gone_half_way(
    hub: Any, bert: Path, file: str, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.add(NAME, bert)
    hub.cut[file] = 1_000
    refused(load, file, "broke off", "same command again")
    refused(load, file, "broke off", "same command again")
    assert capfd.readouterr() == ("", "")
    hub.cut.clear()
    assert pieces(load()) == READ


def test_a_download_that_breaks_off_once_goes_on(hub: Any, bert: Path) -> None:
    hub.add(NAME, bert)
    hub.cut["model.safetensors"] = 2
    assert pieces(load()) == READ
    assert sum(line.startswith("GET") and "model.safe" in line for line in hub.log) == 3


def test_no_tokenizer_on_the_hub(hub: Any, bert: Path) -> None:
    hub.add(NAME, bert, leave="tokenizer")
    refused(load, "has no tokenizer", "tokenizer.json", "vocab.txt")


def test_no_weights_and_no_configuration_on_the_hub(hub: Any, bert: Path) -> None:
    hub.add(NAME, bert, "b" * 40, leave="model")
    refused(load, "no weights", "model.safetensors")
    hub.add(NAME, bert, "c" * 40, leave="config")
    refused(lambda: load(revision="c" * 40), "no config.json")


@pytest.mark.parametrize("name", ["", " ", "a b", "x" * 3000, "nul\0"])
def test_names_that_are_none(hub: Any, name: str) -> None:
    refused(lambda: Transformer(Counter(), model=name), "model")


# Pictures ----------------------------------------------------------------------------------------


def test_clip(hub: Any, save: Save) -> None:
    hub.add("someone/clip", save("clip"))
    encoder = ViT(model="someone/clip")
    assert (encoder.short, encoder.mean) == (40, (0.1, 0.2, 0.3))
    hub.down = True
    assert ViT(model="someone/clip").mean == encoder.mean
    assert ViT.loaded({"model": "someone/clip"}) == {"someone/clip": "a" * 40}


def test_the_newer_file_of_a_processor_goes_before_the_older(save: Save, tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(save("clip"), folder)
    said = json.loads((folder / "preprocessor_config.json").read_text())
    newer = {"image_processor": {**said, "image_mean": [0.4, 0.4, 0.4]}}
    (folder / "processor_config.json").write_text(json.dumps(newer))
    assert ViT(model=str(folder)).mean == (0.4, 0.4, 0.4)
    (folder / "preprocessor_config.json").unlink()
    assert ViT(model=str(folder)).mean == (0.4, 0.4, 0.4)
    newer["image_processor"] = None  # an older file of that name, which is silent on pictures
    (folder / "processor_config.json").write_text(json.dumps(newer))
    assert ViT(model=str(folder)).mean != (0.4, 0.4, 0.4)
    (folder / "processor_config.json").write_text("{")
    refused(lambda: ViT(model=str(folder)), "processor_config.json", "JSON")
