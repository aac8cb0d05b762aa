"""Examples of every registered part, with the folders that some of them read.

A part that is registered has to stand in ``EXAMPLES``: the contract of its kind (zoo.contracts) and
what the tests here add to it run over all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo import registry
from zoo.contracts.check import Report, examine
from zoo.contracts.common import specify
from zoo.contracts.inputs import Subject, make_samples
from zoo.types import Sample
from zoo.yaml import parse, plain

# Settings as they stand in YAML; $name stands for a folder that a fixture of that name writes.
EXAMPLES: dict[tuple[str, str], list[str]] = {
    ("reader", "bio"): [
        "path: $bio, captions: captions.txt, images: images",
        "path: $bio, tags: strict, labels: {ORG: GROUP}",
    ],
    ("reader", "jsonl"): ["path: $jsonl"],
    ("reader", "synthetic"): [
        "train: 12, dev: 6, test: 6, missing: 0.3",
        "train: 1, dev: 1, test: 1",
    ],
    ("text_encoder", "transformer"): [
        "scratch: {layers: 1, width: 16, heads: 2}",
        "scratch: {layers: 1, width: 16, heads: 2}, sentence: mean",
        "scratch: {layers: 1, width: 16, heads: 2}, context: caption",
        "scratch: {layers: 1, width: 16, heads: 2, neighbours: 1}, context: caption",
        "model: $bert",
        "model: $bert, sentence: pooler",
        "model: $bert, sentence: mean, context: [caption, passage]",
    ],
    ("text_encoder", "bilstm"): [
        "word_width: 8, character_width: 4, filters: 4, state: 6",
        "characters: bilstm, character_state: 3, word_width: 8, character_width: 4, state: 6",
    ],
    ("text_encoder", "contextual"): [
        "encoder: {part: transformer, scratch: {layers: 1, width: 16, heads: 2}}, heads: 2",
        "encoder: {part: transformer, model: $bert, frozen: true}, heads: 2, feed_forward: 1",
        "encoder: {part: transformer, model: $bert, context: caption}, heads: 2, layers: 2",
    ],
    ("image_encoder", "caption"): [
        "encoder: {part: transformer, scratch: {layers: 1, width: 16, heads: 2}}",
        "encoder: {part: bilstm, state: 6}",
        "encoder: {part: transformer, model: $bert}",
    ],
    ("image_encoder", "cnn"): ["network: mobilenet_v3_small, weights: null, size: 64"],
    ("image_encoder", "vit"): ["model: $vit", "model: $clip", "model: $vit, pooled: pooler"],
    ("image_encoder", "open_clip"): ["model: 'local-dir:$open_clip'"],
    ("image_encoder", "timm"): [
        "model: test_efficientnet, weights: false, size: 64",
        "model: test_vit, weights: false",
        "model: $timm",
    ],
    ("image_encoder", "pyramid"): [
        "network: squeezenet1_1, weights: null, size: 64",
        "network: mobilenet_v3_small, weights: null, size: 64, stages: 2, cells: 1",
    ],
    ("image_encoder", "crops"): [
        "encoder: {part: small_cnn, width: 16}",
        "encoder: {part: small_cnn, width: 16, size: 48}, source: grid, unit: shares",
        "encoder: {part: vit, model: $vit}, most: 2",
    ],
    ("image_encoder", "album"): [
        "encoder: {part: small_cnn, width: 16}",
        "encoder: {part: vit, model: $vit}, most: 2",
    ],
    ("image_encoder", "detector"): [
        "network: fasterrcnn_mobilenet_v3_large_320_fpn, weights: null, size: 64, threshold: 0.005",
    ],
    ("image_encoder", "small_cnn"): ["width: 16", "width: 8, layers: 2, size: 24"],
    ("image_encoder", "small_vit"): ["width: 16, layers: 1, heads: 2"],
    ("image_encoder", "random_vectors"): [
        "encoder: {part: small_cnn, width: 16}",
        "of: caption, encoder: {part: caption, encoder: {part: bilstm, state: 6}}",
    ],
    ("aligner", "contrastive"): [
        "",
        "objective: info_nce, hidden: 8, view: {grid: flattened}, learn_temperature: true",
        "level: token",
        "level: span, objective: info_nce, temperature: 0.1, text_share: 0.7",
        "level: token, objective: top_k, k: 2, head: linear, temperature: 0.1",
        "level: span, objective: top_k, k: 1, view: {patch: none}",
        "text: words, view: {grid: none, patch: pooled}",
    ],
    ("aligner", "information_bottleneck"): [
        "",
        "flow: unchanged",
        "level: token",
        "level: region, estimator: info_nce",
        "level: region, over: mean, estimator: bce, prior: standard",
        "level: token, estimator: info_nce, flow: unchanged",
        "prior: standard, estimator: bce",
    ],
    ("aligner", "dual_bottleneck"): [
        "",
        "discriminator: concat, kl: sum, heads: 2",
        "discriminator: concat, scores: width, deviation: 1.0",
    ],
    ("fuser", "collaboration"): ["", "level: span, keys: {grid: pooled}, heads: 2"],
    ("fuser", "cross_attention"): [
        "",
        "level: span, heads: 2, feed_forward: 2, concat: true",
        "keys: regions",
        "keys: pooled",
    ],
    ("fuser", "multimodal_transformer"): ["", "level: span, heads: 2, feed_forward: 1.5"],
    ("fuser", "matching_gate"): [
        "",
        "level: span, heads: 2, mismatched: 0.7",
        "exchange: attended, positions: 30, mismatched: 0.7",
    ],
    ("fuser", "gated_graph"): ["", "level: span, hidden: 12, heads: 2, layers: 1"],
    ("fuser", "two_step"): ["", "level: span, heads: 2"],
    ("fuser", "hierarchy"): [
        "",
        "keys: {patch: regions, grid: pooled}, heads: 2",
        "queries: released, level: span, keys: {patch: regions, grid: pooled}",
    ],
    ("fuser", "co_attention"): ["", "score: additive, hidden: 8, level: span"],
    ("fuser", "modulated_attention"): ["", "level: span, hidden: 8"],
    ("fuser", "late_fusion"): ["", "hidden: [12, 8], level: span"],
    ("decoder", "softmax"): ["", "scheme: BIOES"],
    ("decoder", "crf"): ["", "scheme: BIOES", "constrained: false"],
    ("decoder", "auxiliary_crf"): ["", "scheme: BIOES, share: 0.3, heads: 2"],
    ("decoder", "pointer"): [""],
    ("decoder", "span_classifier"): [
        "",
        "max_width: 2, hidden: true",
        "width_dim: null, length_dim: null, case_dim: null",
    ],
    ("objective", "cross_view"): ["", "temperature: 4.0"],
}


@dataclass
class Example:
    """One example of a part: its settings, and what they give."""

    kind: str
    name: str
    settings: Mapping[str, Any]
    folder: Path

    @property
    def cls(self) -> type:
        return registry.resolve(self.kind, self.name)

    @property
    def samples(self) -> list[Sample]:
        return list(make_samples())

    def subject(self, frozen: bool = False) -> Subject:
        spec = specify(self.kind, self.name, self.settings)
        assert not isinstance(spec, list), spec
        return Subject(replace(spec, frozen=frozen), self.folder)

    def build(self, seed: int = 0, frozen: bool = False, **known: Any) -> Any:
        return self.subject(frozen).build(seed, dropout=False, **known)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes an argument named like a kind runs for every example of that kind.

    ``module`` runs for every example of every kind but the readers.
    """
    for argument in metafunc.fixturenames:
        if argument in (*registry.KINDS, "module", "example"):
            chosen = {
                "module": registry.KINDS[1:],
                "example": registry.KINDS,
            }.get(argument, (argument,))
            cases = [
                pytest.param((kind, name, text), id=f"{kind}-{name}-{i}")
                for (kind, name), texts in EXAMPLES.items()
                if kind in chosen
                for i, text in enumerate(texts)
            ]
            metafunc.parametrize(argument, cases, indirect=True)


@pytest.fixture
def new_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    for key in registry.BUILT_IN:
        registry.resolve(*key)  # a module that is imported under the patch would be lost after it
    monkeypatch.setattr(registry, "_registered", registry.registered())
    monkeypatch.setattr(registry, "_plugin_files", {})


@pytest.fixture
def contract(tmp_path: Path, new_parts: None) -> Callable[..., Report]:
    """Load a plug-in's source and run the contract of the part that it registers."""

    def contract(source: str, name: str = "gate") -> Report:
        path = tmp_path / f"{name}.py"
        path.write_text(source, encoding="utf-8")
        before = registry.registered()
        registry.load_plugin_file(path)
        (new,) = [key for key in registry.registered() if key not in before]
        return examine(new[0], registry.resolve(*new))

    return contract


def _example(request: pytest.FixtureRequest, folder: Path) -> Example:
    kind, name, text = request.param
    for word in {w for w in CHECKPOINTS if f"${w}" in text}:
        text = text.replace(f"${word}", str(request.getfixturevalue(word)))
    settings = parse(f"settings: {{{text}}}", "example.yaml")["settings"]
    return Example(kind, name, plain(settings), folder)


CHECKPOINTS = ("bio", "jsonl", "bert", "vit", "clip", "open_clip", "timm")


def _fixture(name: str) -> Callable[..., Example]:
    def example(
        request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Example:
        return _example(request, tmp_path_factory.mktemp("cache"))

    return pytest.fixture(example, name=name)


for _name in (*registry.KINDS, "module", "example"):
    globals()[f"{_name}_fixture"] = _fixture(_name)


@pytest.fixture(scope="session")
def samples() -> list[Sample]:
    """Ten posts: with picture and caption, with one of them, with neither."""
    return list(make_samples())


# What parts read ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def bio(tmp_path_factory: pytest.TempPathFactory, samples: list[Sample]) -> Path:
    from zoo.tags import write_tags

    folder = tmp_path_factory.mktemp("bio")
    (folder / "images").mkdir()
    for n, split in enumerate(("train", "dev", "test")):
        lines = []
        for i, sample in enumerate(samples):
            lines.append(f"IMGID:{n}{i}")
            tags = write_tags(sample.entities, len(sample.words))
            lines += [f"{w}\t{tag}" for w, tag in zip(sample.words, tags, strict=True)]
            lines.append("")
            if sample.picture:
                (folder / "images" / f"{n}{i}.png").write_bytes(sample.picture.read())
        (folder / f"{split}.txt").write_text("\n".join(lines), encoding="utf-8")
    (folder / "captions.txt").write_text("00.jpg :a man\n11.jpg :a tree\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def jsonl(tmp_path_factory: pytest.TempPathFactory, samples: list[Sample]) -> Path:
    from zoo.data.jsonl import write_jsonl

    folder = tmp_path_factory.mktemp("jsonl")
    for split in ("train", "dev", "test"):
        renamed = [replace(s, id=f"{split}/{s.id}", picture=None) for s in samples]
        write_jsonl(folder / f"{split}.jsonl", renamed)
    return folder


SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 24 positions over letters: long sentences take several windows."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("bert")
    letters = [chr(code) for code in range(33, 127)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(pieces), max_position_embeddings=24, **SMALL)
    BertModel(config).save_pretrained(folder)
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    BertTokenizer(vocab=vocabulary, do_lower_case=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import ViTConfig, ViTModel

    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    ViTModel(ViTConfig(image_size=32, patch_size=16, **SMALL)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    CLIPVisionModel(CLIPVisionConfig(image_size=32, patch_size=16, **SMALL)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def open_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import open_clip as package

    folder = tmp_path_factory.mktemp("open_clip")
    vision = {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16}
    text = {"context_length": 8, "vocab_size": 20, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}
    torch.manual_seed(0)
    torch.save(package.CLIP(**config).state_dict(), folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    return folder


@pytest.fixture(scope="session")
def timm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import timm as package
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("timm")
    torch.manual_seed(0)
    network = package.create_model("test_efficientnet", num_classes=3)
    save_file(network.state_dict(), folder / "model.safetensors")
    looks = {"input_size": [3, 64, 64], "num_classes": 3}
    about = {"architecture": "test_efficientnet", "num_classes": 3, "pretrained_cfg": looks}
    (folder / "config.json").write_text(json.dumps(about))
    return folder


# Helpers as fixtures: test modules can't import from a conftest ----------------------------------


@pytest.fixture(scope="session", name="examples")
def examples_fixture() -> dict[tuple[str, str], list[str]]:
    return EXAMPLES
