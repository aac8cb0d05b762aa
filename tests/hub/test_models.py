"""Trained models that refer to others: stored by reference or whole, uploaded, and loaded again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import zoo
from zoo.data.jsonl import write_jsonl
from zoo.model.description import read_description
from zoo.model.share import make_whole
from zoo.types import Entity, Sample

REGISTRY = """\
datasets:
  posts: {{reader: jsonl, path: posts}}
backbones:
  none: {{}}
systems:
  frozen:
    text: {{part: transformer, model: someone/bert, frozen: true}}
    views:
      seen: {{part: vit, model: {clip}, frozen: true}}
      told: {{part: caption, frozen: true, encoder: {{part: transformer, model: someone/bert}}}}
      drawn: {{part: small_cnn, frozen: true}}
    fuser: {{part: cross_attention, level: token, heads: 2}}
    decoder: {{part: crf}}
  tuned:
    text: {{part: transformer, model: someone/bert}}
    decoder: {{part: crf}}
recipes:
  quick: {{epochs: 1, batch_size: 4, learning_rates: {{"*": 1.0e-2}}}}
suites:
  posts: {{systems: [frozen, tuned], datasets: [posts], seeds: [1], backbone: none, recipe: quick}}
"""


@pytest.fixture
def trained(
    hub: Any, save: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A results folder with a run of each system: of models of the hub, and of a folder."""
    from PIL import Image

    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ZOO_DATA", raising=False)
    hub.add("someone/bert", save("bert"), "b" * 40)
    shutil.copytree(save("clip"), tmp_path / "models" / "clip")
    samples = [
        Sample(f"{i}", ("Kevin", "in", "New", "York", *["x"] * i), (Entity(0, 1, "PER"),),
               caption="a man in a town")
        for i in range(6)
    ]  # fmt: skip
    (tmp_path / "posts" / "images").mkdir(parents=True)
    for split in ("train", "dev", "test"):
        write_jsonl(tmp_path / "posts" / f"{split}.jsonl", samples)
        text = (tmp_path / "posts" / f"{split}.jsonl").read_text()
        lines = [
            json.loads(line) | {"image": f"{i}.png"} for i, line in enumerate(text.splitlines())
        ]
        (tmp_path / "posts" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for i in range(6):
        Image.new("RGB", (40, 40), (40 * i, 90, 0)).save(tmp_path / "posts" / "images" / f"{i}.png")
    registry = tmp_path / "registry.yaml"
    registry.write_text(REGISTRY.format(clip=tmp_path / "models" / "clip"))
    zoo.run(registry, results=tmp_path / "results")
    return tmp_path / "results"


def predictions(name: str | Path, root: Path) -> list[zoo.Prediction]:
    picture = root / "pictures.png"
    model = zoo.load(name)
    return [
        model.predict("Kevin Durant in New York.", picture=picture, caption="a man"),
        model.predict(["Kevin", "York"], caption="a town"),
    ]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    from PIL import Image

    Image.new("RGB", (50, 40), (200, 90, 0)).save(tmp_path / "pictures.png")
    return tmp_path


def run_of(results: Path, system: str) -> Path:
    (found,) = results.glob(f"runs/{system}/posts/1-*")
    return found


def test_by_reference_and_whole(
    trained: Path, picture: Path, hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, tuned = run_of(trained, "frozen"), run_of(trained, "tuned")
    here, there = predictions(folder, picture), predictions(tuned, picture)
    found = read_description(folder / "model.json")
    kinds = {(each.model.rpartition("/")[2], each.kind) for each in found.references}
    assert kinds == {("bert", "hub"), ("clip", "folder")}
    stored = load_file(folder / "model.safetensors").keys()
    assert not stored & set(found.reloaded)
    assert not [name for name in stored if name.startswith("text.") or "told" in name]
    assert [name for name in stored if "drawn" in name], "what was drawn at random is stored"
    others = {name for name in found.reloaded if name.startswith(("fuser", "decoder"))}
    assert others == {"decoder.crf._constraint_mask"}, "a constant, and nothing that was trained"
    assert any(n.startswith("text.") for n in load_file(tuned / "model.safetensors"))

    # whole: neither hub, nor cache, nor the folder that it was made from
    saved = zoo.load(folder).save_pretrained(tmp_path / "saved", whole=True)
    for each in (folder, tuned):
        make_whole(each)
        assert read_description(each / "model.json").whole
    hub.down = True
    shutil.rmtree(tmp_path / "home")
    shutil.rmtree(tmp_path / "models")
    shutil.rmtree(tmp_path / "posts")
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr("zoo.encoders.hub._asked", {})
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere)
    assert predictions(elsewhere, picture) == here
    assert predictions(saved, picture) == here
    assert predictions(tuned, picture) == there
    text = (saved / "config.json").read_text() + (saved / "README.md").read_text()
    assert str(tmp_path) not in text
    from zoo.results.evidence import verify

    assert verify(folder)[1] == []


def test_what_is_missing_is_named(
    trained: Path, picture: Path, hub: Any, tmp_path: Path, save: Callable[[str], Path]
) -> None:
    folder = run_of(trained, "frozen")
    saved = zoo.load(folder).save_pretrained(tmp_path / "saved")
    with pytest.raises(zoo.ConfigError, match="`clip`, not here; store the model with --whole"):
        zoo.load(saved)
    with (tmp_path / "models" / "clip" / "preprocessor_config.json").open("a") as file:
        file.write(" ")
    with pytest.raises(zoo.ConfigError, match=r"clip` is not what it was .* --whole"):
        zoo.load(folder)

    tuned = run_of(trained, "tuned")
    shutil.rmtree(tmp_path / "home")
    hub.add("someone/bert", save("clip"), "c" * 40)  # main is another model now
    assert predictions(tuned, picture), "the commit that it was trained with is fetched"


def test_uploaded_and_loaded(
    trained: Path, picture: Path, hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_of(trained, "tuned")
    here = predictions(folder, picture)
    model = zoo.load(folder)
    with pytest.raises(zoo.ConfigError, match="refuses access"):
        model.push_to_hub("someone/mine", token="reader")
    url = model.push_to_hub("someone/mine", token="writer", whole=True)
    commit = url.rpartition("/")[2]
    files = hub.repositories["someone/mine"][commit]
    assert {"README.md", "config.json", "learnt.json", "model.safetensors"} <= files.keys()
    assert b"model-index" in files["README.md"]

    monkeypatch.chdir(tmp_path)
    shutil.rmtree(tmp_path / "home")
    assert predictions("someone/mine", picture) == here
    hub.down = True
    assert predictions("someone/mine", picture) == here, "from the cache"
    again = zoo.Model.from_pretrained("someone/mine", revision=commit)
    assert again.predict("Kevin Durant in New York.").entities == here[0].entities
    hub.down = False
    assert zoo.load("someone/mine").push_to_hub("someone/mine", token="writer") == url


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("modeling.py", b"raise SystemExit", "is code"),
        ("pytorch_model.bin", b"", "pickle"),
        ("config.json", b'{"auto_map": {"AutoModel": "modeling.Mine"}}', "never run"),
        ("config.json", b'{"model_type": "bert"}', "no model of zoo"),
    ],
)
def test_a_repository_with_code_is_refused(
    hub: Any, tmp_path: Path, name: str, content: bytes, part: str
) -> None:
    for file in ("config.json", "learnt.json", "model.safetensors"):
        (tmp_path / file).write_text("{}")
    (tmp_path / name).write_bytes(content)
    hub.add("someone/bad", tmp_path)
    with pytest.raises(zoo.DataError, match=part):
        zoo.load("someone/bad")


def test_names_that_are_nothing(hub: Any) -> None:
    for name, part in (("someone/none", "no such model"), ("./none", "no such folder")):
        with pytest.raises(zoo.ConfigError, match=part):
            zoo.load(name)
