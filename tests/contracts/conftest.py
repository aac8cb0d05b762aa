"""An example of every registered part: the settings to build it small.

Whoever registers a part adds a line here, and the contract of its kind is tested.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo import registry
from zoo.build import make
from zoo.data.synthetic import Synthetic
from zoo.parts import Aligner, Decoder, Encoder, Fuser, ViewSpec
from zoo.schema import PartSpec, validate_part
from zoo.types import Entity, Sample, Text, Units, View, Views
from zoo.yaml import Place, parse

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
        "model: $bert",
        "model: $bert, sentence: pooler",
        "model: $bert, sentence: mean, context: [caption, passage]",
    ],
    ("text_encoder", "bilstm"): ["word_width: 8, character_width: 4, filters: 4, state: 6"],
    ("image_encoder", "caption"): [
        "encoder: {part: transformer, scratch: {layers: 1, width: 16, heads: 2}}",
        "encoder: {part: bilstm, state: 6}",
        "encoder: {part: transformer, model: $bert}",
    ],
    ("image_encoder", "cnn"): ["network: resnet18, weights: null, size: 64"],
    ("image_encoder", "vit"): ["model: $vit", "model: $clip", "model: $vit, pooled: pooler"],
    ("image_encoder", "open_clip"): ["model: 'local-dir:$open_clip'"],
    ("image_encoder", "small_cnn"): ["width: 16", "width: 8, layers: 2, size: 24"],
    ("image_encoder", "small_vit"): ["width: 16, layers: 1, heads: 2"],
    ("aligner", "contrastive"): [
        "",
        "objective: info_nce, hidden: 8, view: {grid: flattened}, learn_temperature: true",
        "level: token",
        "level: span, objective: info_nce, temperature: 0.1",
    ],
    ("aligner", "information_bottleneck"): ["", "flow: unchanged", "level: token"],
    ("fuser", "collaboration"): ["", "level: span, keys: {grid: pooled}, heads: 2"],
    ("fuser", "cross_attention"): [
        "",
        "level: span, heads: 2, feed_forward: 2, concat: true",
        "keys: regions",
        "keys: pooled",
    ],
    ("decoder", "softmax"): ["", "scheme: BIOES"],
    ("decoder", "crf"): ["", "scheme: BIOES", "constrained: false"],
    ("decoder", "span_classifier"): [
        "",
        "max_width: 2, hidden: true",
        "width_dim: null, length_dim: null, case_dim: null",
    ],
}

WIDTH = 16
"""Of the text, in examples of parts that are told it."""

VIEWS = {"grid": ViewSpec(16, 3), "patch": ViewSpec(12, None)}


@dataclass
class Example:
    """One example of a part, validated as if it stood in a registry."""

    part: PartSpec
    known: Mapping[str, Any]
    cache: Path
    samples: list[Sample]
    frozen: bool = False

    def build(self, seed: int = 0, **known: Any) -> Any:
        torch.manual_seed(seed)
        built = make(replace(self.part, frozen=self.frozen), {**self.known, **known}, self.cache)
        if isinstance(built, torch.nn.Module):
            for module in built.modules():  # so that training mode draws no numbers
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
        return built


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


def _example(request: pytest.FixtureRequest, samples: list[Sample], cache: Path) -> Example:
    kind, name, text = request.param
    for word in {w for w in CHECKPOINTS if f"${w}" in text}:
        text = text.replace(f"${word}", str(request.getfixturevalue(word)))
    key = "reader" if kind == "reader" else "part"
    node = parse(f"part: {{{key}: {name}, {text}}}", "example.yaml")["part"]
    part = validate_part(kind, node, Place(("part",), "example.yaml"))
    known = {
        "root": cache,
        "words": Counter(word for sample in samples for word in sample.words),
        "types": sorted({entity.type for sample in samples for entity in sample.entities}),
        "width": WIDTH,
        "fused": WIDTH,
        "text_width": WIDTH,
        "views": VIEWS,
    }
    return Example(part, known, cache, samples)


CHECKPOINTS = ("bio", "jsonl", "bert", "vit", "clip", "open_clip")


def _fixture(name: str) -> Callable[..., Example]:
    def example(
        request: pytest.FixtureRequest,
        samples: list[Sample],
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Example:
        return _example(request, samples, tmp_path_factory.mktemp("cache"))

    return pytest.fixture(example, name=name)


for _name in (*registry.KINDS, "module", "example"):
    globals()[f"{_name}_fixture"] = _fixture(_name)


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Ten tweets: with picture and caption, with one of them, with neither."""
    made = Synthetic(tmp_path_factory.mktemp("root"), train=10, dev=1, test=1).read()["train"]
    captions = (None, "a man", "the red square beside a tree in Paris", " ", "two")
    return [
        replace(sample, caption=captions[i % 5], picture=None if i in (0, 4, 8) else sample.picture)
        for i, sample in enumerate(made)
    ]


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


# What passes from part to part -------------------------------------------------------------------

LENGTHS = (5, 1, 9, 30, 2)


def make_text(lengths: tuple[int, ...] = LENGTHS, width: int = WIDTH, seed: int = 0) -> Text:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    tokens = torch.randn(*mask.shape, width, generator=generator) * mask.unsqueeze(-1)
    return Text(tokens, torch.randn(len(lengths), width, generator=generator), mask)


def make_views(
    present: tuple[bool, ...] = (True, False, True, True, False), seed: int = 1
) -> Views:
    """Views as ``VIEWS`` says; the rows of ``patch`` have differently many regions."""
    generator = torch.Generator().manual_seed(seed)
    views = {}
    for name, spec in VIEWS.items():
        regions = spec.regions or 4
        counts = torch.tensor([regions if spec.regions else 1 + i % 4 for i in range(len(present))])
        mask = (torch.arange(regions) < counts.unsqueeze(1)) & torch.tensor(present).unsqueeze(1)
        vectors = torch.randn(*mask.shape, spec.width, generator=generator)
        pooled = torch.randn(len(present), spec.width, generator=generator)
        views[name] = View(
            vectors * mask.unsqueeze(-1), pooled * torch.tensor(present).unsqueeze(1), mask
        )
    return views


def make_units(
    level: str, lengths: tuple[int, ...] = LENGTHS, width: int = WIDTH, seed: int = 2
) -> Units:
    """Words, or all spans of one and of two words."""
    words = Units.of_words(make_text(lengths, width, seed))
    if level == "token":
        return words
    mask = torch.cat([words.mask, words.mask[:, 1:]], dim=1)
    starts = words.spans[:, :-1, 0]
    pairs = torch.stack([starts, starts + 2], dim=-1) * words.mask[:, 1:, None]
    vectors = torch.cat([words.vectors, words.vectors[:, :-1] + words.vectors[:, 1:]], dim=1)
    return Units(vectors, mask, torch.cat([words.spans, pairs], dim=1))


def make_spans(decoder: Decoder, lengths: tuple[int, ...] = LENGTHS, **made: Any) -> Units:
    """A decoder's units of made-up sentences; ``words`` are made unless given."""
    words = made.get("words") or make_units("token", lengths, **made)
    surface = ("Paris", "NASA", "said", "1984", "iPhone")
    samples = [
        Sample(str(i), tuple(surface[j % 5] for j in range(length)))
        for i, length in enumerate(lengths)
    ]
    return decoder.units(words, make_text(lengths, words.vectors.shape[2]), samples)


GOLD = (
    (Entity(0, 1, "LOC"), Entity(2, 4, "PER")),
    (Entity(0, 1, "ORG"),),
    (),
    (Entity(3, 12, "LOC"), Entity(12, 13, "LOC"), Entity(29, 30, "MISC")),
    (Entity(0, 2, "PER"),),
)
"""For ``LENGTHS``; one entity is wider than any decoder of short spans can produce."""


def read(encoder: Encoder, samples: list[Sample]) -> Any:
    """A text or image encoder's answer."""
    return encoder(encoder.collate([encoder.prepare(sample) for sample in samples]))


def tensors(answer: Any) -> list[Tensor]:
    """The tensors in a part's answer, whatever its kind."""
    if isinstance(answer, Tensor):
        return [answer] if answer.is_floating_point() else []
    if isinstance(answer, Mapping):
        return [t for value in answer.values() for t in tensors(value)]
    if isinstance(answer, tuple | list):
        return [t for value in answer for t in tensors(value)]
    if hasattr(answer, "__slots__"):
        return [t for name in answer.__slots__ for t in tensors(getattr(answer, name))]
    return []


def answer(module: torch.nn.Module, samples: list[Sample]) -> list[Tensor]:
    """What a part of any kind gives, losses and all."""
    if isinstance(module, Encoder):
        return tensors(read(module, samples))
    if isinstance(module, Aligner):
        return tensors(module(make_text(), make_views(), GOLD))
    if isinstance(module, Fuser):
        return tensors(module(make_units(module.level), make_views()))
    assert isinstance(module, Decoder)
    units = make_spans(module)
    return [*tensors(units), *tensors(module.loss(units, make_text(), GOLD))]


# Helpers as fixtures: test modules can't import from a conftest ----------------------------------


@pytest.fixture(scope="session", name="examples")
def examples_fixture() -> dict[tuple[str, str], list[str]]:
    return EXAMPLES


@pytest.fixture(scope="session", name="answer")
def answer_fixture() -> Callable[..., list[Tensor]]:
    return answer


@pytest.fixture(scope="session", name="read")
def read_fixture() -> Callable[..., Any]:
    return read


@pytest.fixture(scope="session", name="gold")
def gold_fixture() -> tuple[tuple[Entity, ...], ...]:
    return GOLD


@pytest.fixture(scope="session", name="make_text")
def make_text_fixture() -> Callable[..., Text]:
    return make_text


@pytest.fixture(scope="session", name="make_views")
def make_views_fixture() -> Callable[..., Views]:
    return make_views


@pytest.fixture(scope="session", name="make_units")
def make_units_fixture() -> Callable[..., Units]:
    return make_units


@pytest.fixture(scope="session", name="make_spans")
def make_spans_fixture() -> Callable[..., Units]:
    return make_spans
