"""2M-NER and SMNER with the papers' encoders: run whole at toy size, counted at full size."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn

from zoo import cli
from zoo.build import build
from zoo.config.read import read
from zoo.data.synthetic import Synthetic
from zoo.encoders.transformer import Transformer
from zoo.evaluation.predictions import read_predictions
from zoo.model.description import read_description
from zoo.results.record import read_run
from zoo.system import System
from zoo.tags import write_tags
from zoo.types import Entity, Sample, Splits

REGISTRY = Path(__file__).parents[1] / "registry.yaml"
MBERT, BERT = "bert-base-multilingual-cased", "bert-base-uncased"
CASED = "bert-base-cased"
ROBERTA, VIT = "roberta-base", "google/vit-base-patch16-224"
XLMR = "xlm-roberta-large"
CLIP = "openai/clip-vit-base-patch32"
LOSSES = ("crf", "spans", "contrastive", "mutual_information", "kl")

# Run whole, at toy size --------------------------------------------------------------------------

TOY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    reader = Synthetic(
        tmp_path_factory.mktemp("root"), train=16, dev=4, test=6, missing=0.2, size=96
    )
    return reader.read()


@pytest.fixture(scope="module")
def data(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The splits as the files of Twitter-2017, with the pictures that can't be shipped."""
    root = tmp_path_factory.mktemp("data")
    images = root / "twitter2017" / "images"
    images.mkdir(parents=True)
    for split, samples in splits.items():
        lines = []
        for sample in samples:
            tags = write_tags(sample.entities, len(sample.words))
            rows = [f"{word}\t{tag}" for word, tag in zip(sample.words, tags, strict=True)]
            lines += [f"IMGID:{sample.id}", *rows, ""]
            if sample.picture:
                (images / f"{sample.id}.png").write_bytes(sample.picture.read())
        name = "valid" if split == "dev" else split
        (images.parent / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")
    (images.parent / "captions.txt").write_text("train-00000.jpg :a man\n", encoding="utf-8")
    return root


@dataclass(frozen=True)
class Hub:
    """What was downloaded: the folder of the caches, of each model in them, and a network."""

    home: Path
    models: dict[str, Path]
    resnet: dict[str, Tensor]
    resnet_file: str


@pytest.fixture(scope="module")
def hub(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Hub:
    """Toys of the papers' architectures in the caches of Hugging Face and torchvision, under the
    names that registry.yaml gives: they are found as if they had been downloaded.

    The network is a ResNet-18: the names of torchvision fix the sizes, and the weights of a
    ResNet-152 are 240 MB.
    """
    from torchvision import models
    from transformers import (
        BertConfig,
        BertModel,
        BertTokenizer,
        CLIPConfig,
        CLIPImageProcessor,
        CLIPModel,
    )

    home = tmp_path_factory.mktemp("downloaded")
    words = {word for samples in splits.values() for sample in samples for word in sample.words}
    torch.manual_seed(0)
    folders = {name: cached(home, name) for name in (MBERT, BERT, CLIP)}
    for name, vocabulary in ((MBERT, words), (BERT, {word.lower() for word in words})):
        ids = {piece: i for i, piece in enumerate(pieces(vocabulary))}
        BertTokenizer(vocab=ids, do_lower_case=name == BERT).save_pretrained(folders[name])
        BertModel(BertConfig(vocab_size=len(ids), **TOY)).save_pretrained(folders[name])
    towers = CLIPConfig(
        text_config={"vocab_size": 20, **TOY},
        vision_config={"image_size": 224, "patch_size": 32, **TOY},
    )
    CLIPModel(towers).save_pretrained(folders[CLIP])
    CLIPImageProcessor().save_pretrained(folders[CLIP])

    resnet = models.resnet18().state_dict()
    content = io.BytesIO()
    torch.save(resnet, content)
    # What torchvision downloads bears its hash in its name, and is checked against it.
    name = f"resnet18-{hashlib.sha256(content.getvalue()).hexdigest()[:8]}.pth"
    file = home / "hub" / "checkpoints" / name
    file.parent.mkdir()
    file.write_bytes(content.getvalue())
    return Hub(home, folders, resnet, name)


def cached(home: Path, name: str) -> Path:
    """The folder of a model's files in the cache of the Hugging Face hub."""
    folder, commit = home / "hub" / f"models--{name.replace('/', '--')}", "0" * 40
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    return folder / "snapshots" / commit


def pieces(words: Iterable[str]) -> list[str]:
    """A WordPiece vocabulary of every other word and all printable letters."""
    letters = [chr(code) for code in range(33, 127)]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return list(
        dict.fromkeys([*special, *letters, *(f"##{c}" for c in letters), *sorted(words)[::2]])
    )


Run = Callable[[str, int], Path]


@pytest.fixture
def run(
    data: Path,
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a system's own suite for some epochs; the folder of the run."""

    from torchvision.models import ResNet18_Weights

    def ask(*args: object, **options: object) -> NoReturn:
        raise AssertionError("all is in the cache, and the hub is asked")

    # what HF_HOME stands for; in this process it was read long ago
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub.home / "hub"))
    monkeypatch.setattr("httpx.Client.send", ask)
    monkeypatch.setenv("TORCH_HOME", str(hub.home))
    weights = ResNet18_Weights.IMAGENET1K_V1.value
    monkeypatch.setattr(weights, "url", f"https://localhost/{hub.resnet_file}")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))

    def run(system: str, epochs: int) -> Path:
        args = [
            *("run", str(REGISTRY), "--suite", f"paper-{system}", "--dataset", "twitter2017"),
            *("--seed", "1", "--data", str(data), "--results", str(tmp_path)),
            *("-o", "backbones.paper.grid.network=resnet18"),
            *("-o", f"recipes.paper-{system}.epochs={epochs}"),
        ]
        monkeypatch.setattr("sys.argv", ["zoo", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        assert (stop.value.code, err) == (0, ""), out
        (folder,) = tmp_path.glob(f"runs/{system}/twitter2017/1-*")
        return folder

    return run


def test_as_published(run: Run, hub: Hub, splits: Splits, tmp_path: Path) -> None:
    """Both systems, run as shipped but for the size of the ResNet and the number of epochs."""
    folder = run("2m-ner", 2)
    check(folder, "2m-ner", 2, hub, splits)
    said = yaml.safe_load((folder / "config.yaml").read_text())["system"]
    assert (said["text"]["model"], said["views"]["patch"]["model"]) == (MBERT, CLIP)
    assert terms(folder) == {"crf", "contrastive.patch", "contrastive.grid"}
    weights = load_file(folder / "model.safetensors")
    assert weights["aligner.0.view_heads.patch.0.weight"].shape == (32, 50 * 32), "flattened"
    assert began(weights, "text.body.model.", hub.models[MBERT])
    assert began(weights, "views.patch.model.", hub.models[CLIP], "vision_model.")

    features = kept(tmp_path)
    pictures = {s.picture.digest() for rows in splits.values() for s in rows if s.picture}
    assert sum(len(load_file(file)["ends"]) for file in features) == len(pictures)

    folder = run("smner", 1)
    check(folder, "smner", 1, hub, splits)
    said = yaml.safe_load((folder / "config.yaml").read_text())["system"]
    assert said["text"]["model"] == BERT
    assert terms(folder) == {"spans", "mutual_information.grid", "kl.grid"}
    weights = load_file(folder / "model.safetensors")
    assert began(weights, "text.body.model.", hub.models[BERT])
    assert kept(tmp_path) == features, "the same frozen ResNet: its features are read, not made"


def check(folder: Path, system: str, epochs: int, hub: Hub, splits: Splits) -> None:
    """What holds for the runs of both systems."""
    record = read_run(folder)
    assert (record.backbone, record.recipe, record.epochs) == ("paper", f"paper-{system}", epochs)
    assert record.sentences == {split: len(samples) for split, samples in splits.items()}
    for split in ("dev", "test"):
        predicted = read_predictions(folder / f"predictions.{split}.jsonl")
        gold = [(s.id, tuple(s.entities)) for s in splits[split]]
        assert [(p.id, tuple(p.gold)) for p in predicted] == gold

    # the ResNet is the downloaded one and stays it, to the bit: so it need not be stored
    trunk = {name: tensor for name, tensor in hub.resnet.items() if not name.startswith("fc.")}
    reloaded = read_description(folder / "model.json").reloaded
    assert {f"views.grid.encoder.trunk.{name}" for name in trunk} <= set(reloaded)
    assert not set(reloaded) & load_file(folder / "model.safetensors").keys()
    learnable = sum(p.numel() for name, p in trunk.items() if is_parameter(name))
    crf = 11 * 11 if system == "2m-ner" else 0  # allennlp-light's own mask, which is not trained
    assert record.parameters.total - record.parameters.trained == learnable + crf


def is_parameter(name: str) -> bool:
    return not name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def terms(folder: Path) -> set[str]:
    """The losses in a run's history."""
    with (folder / "history.csv").open() as file:
        columns = csv.DictReader(file).fieldnames or ()
    return {name for name in columns if name.partition(".")[0] in LOSSES}


def began(weights: dict[str, Tensor], slot: str, model: Path, tower: str = "") -> bool:
    """Whether training began with all weights of a checkpoint: the papers' rates move them little.

    ``tower`` is what the names in the checkpoint begin with; of others there, nothing is said.
    """
    loaded = {
        name.removeprefix(tower): tensor
        for name, tensor in load_file(model / "model.safetensors").items()
        if name.startswith(tower)
    }
    mine = {n.removeprefix(slot): w for n, w in weights.items() if n.startswith(slot)}
    return mine.keys() == loaded.keys() and all(
        torch.allclose(mine[name], loaded[name], atol=1e-3) for name in mine
    )


def kept(root: Path) -> dict[Path, int]:
    """The features in the cache, and when each was written."""
    return {file: file.stat().st_mtime_ns for file in root.glob("cache/**/*.safetensors")}


def test_capital_letters(hub: Hub) -> None:
    """Each model's tokenizer does with them what the model was trained on."""

    def read_words(name: str, *words: str) -> list[list[int]]:
        text = Transformer(Counter(), model=str(hub.models[name]), sentence="pooler")
        return [text.prepare(Sample("", (word,))).windows[0] for word in words]

    lower, upper = read_words(BERT, "paris", "PARIS")
    assert lower == upper
    lower, upper = read_words(MBERT, "paris", "PARIS")
    assert lower != upper


# Counted, at full size ---------------------------------------------------------------------------

BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
WIDTH, GRID, TYPES = 768, 2048, 4
LINEAR, NORM = WIDTH * WIDTH + WIDTH, 2 * WIDTH


def linear(before: int, after: int) -> int:
    return before * after + after


Assemble = Callable[..., System]


@pytest.fixture
def assemble(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Assemble:
    """Build a system under ``paper`` at its true size, as shapes without numbers: models made of
    their public configurations stand in for those of the hub."""
    import torchvision
    import transformers
    from transformers import (
        BertConfig,
        BertTokenizer,
        CLIPConfig,
        RobertaConfig,
        ViTConfig,
        XLMRobertaConfig,
    )

    roberta = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}
    configs: dict[str, Any] = {
        MBERT: BertConfig(vocab_size=119547, **BASE),
        BERT: BertConfig(vocab_size=30522, **BASE),
        CASED: BertConfig(vocab_size=28996, **BASE),
        ROBERTA: RobertaConfig(**roberta, **BASE),
        XLMR: XLMRobertaConfig(**roberta | {"vocab_size": 250002}, **LARGE),
        VIT: ViTConfig(image_size=224, patch_size=16, **BASE),
        CLIP: CLIPConfig(
            text_config={}, vision_config={"image_size": 224, "patch_size": 32, **BASE}
        ),
    }
    tokenizer = BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces(()))})

    def model(name: str, folder: Path, cls: Any, pooler: bool, instead: str) -> Any:
        config = configs[name]
        if cls is transformers.CLIPVisionModel:
            return cls(config.vision_config)
        if cls is transformers.ViTModel:
            return cls(config, add_pooling_layer=pooler)
        return cls.from_config(config, add_pooling_layer=pooler)

    for module in ("pretrained", "vit"):
        monkeypatch.setattr(f"zoo.encoders.{module}.fetch", lambda name, *_: Path(name))
        monkeypatch.setattr(f"zoo.encoders.{module}.load_config", lambda name, _: configs[name])
        monkeypatch.setattr(f"zoo.encoders.{module}.load_model", model)
    monkeypatch.setattr("zoo.encoders.pieces.load_tokenizer", lambda *_: tokenizer)
    untrained = torchvision.models.get_model
    monkeypatch.setattr(
        "zoo.encoders.cnn.read_weights", lambda name, _: untrained(name).state_dict()
    )
    entities = tuple(Entity(i, i + 1, f"T{i}") for i in range(TYPES))

    def assemble(name: str, backbone: str = "paper") -> System:
        with torch.device("meta"):
            spec = read(REGISTRY).spec(name, backbone)
            return build(spec, [Sample("1", ("a",) * TYPES, entities)], tmp_path)

    return assemble


def count(module: nn.Module, trained: bool = True) -> int:
    """The parameters of a part: those that are trained, or those that are not."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad == trained)


def test_size_of_2m_ner(assemble: Assemble) -> None:
    system = assemble("2m-ner")
    assert count(system.text) == 177_853_440, "mBERT and its pooler"
    assert count(system.views["patch"]) == 87_456_000, "the vision tower of CLIP ViT-B/32"
    assert count(system.views["grid"], trained=False) == 58_143_808, "ResNet-152 without its fc"
    assert count(system.views["grid"]) == 0
    assert (system.views["patch"].regions, system.views["grid"].regions) == (50, 49)

    heads = {
        "text": LINEAR + LINEAR,
        "patch": linear(50 * WIDTH, WIDTH) + LINEAR,  # class token and patches in a row
        "grid": linear(GRID, WIDTH) + LINEAR,
    }
    assert count(system.aligner) == sum(heads.values()) == 33_427_968

    # Released, each branch has four linear layers. We have no bias of the keys, which softmax
    # doesn't see, nor queries and keys of attention to a single vector, which is no choice.
    released = 2 * (4 * LINEAR + NORM) + linear(GRID, WIDTH) + linear(2 * WIDTH, WIDTH)
    assert count(system.fuser) == released - WIDTH - 2 * LINEAR == 6_299_904
    assert system.fuser.branches["patch"].attention.heads == 12

    tags = 1 + 2 * TYPES
    assert count(system.decoder) == linear(WIDTH, tags) + tags * tags + 2 * tags == 7_020
    assert count(system) == 177_853_440 + 87_456_000 + 33_427_968 + 6_299_904 + 7_020


def test_size_of_smner(assemble: Assemble) -> None:
    system = assemble("smner")
    assert count(system.text) == 109_482_240, "BERT and its pooler"
    assert count(system.views["grid"], trained=False) == 58_143_808, "ResNet-152 without its fc"
    assert count(system.views["grid"]) == 0

    gaussian = LINEAR + LINEAR + linear(WIDTH, 2 * WIDTH)
    discriminator = linear(2 * WIDTH, WIDTH) + LINEAR + linear(WIDTH, 1)
    bottleneck = 2 * gaussian + discriminator
    assert count(system.aligner) == linear(GRID, WIDTH) + bottleneck == 8_070_145

    feed_forward = linear(WIDTH, 3072) + linear(3072, WIDTH)
    released = 4 * LINEAR + NORM + feed_forward + NORM
    assert count(system.fuser) == released - WIDTH == 7_087_104, "all but the keys' bias"
    assert system.fuser.attention.heads == 12

    # Released, the tables of lengths and of cases have a row more: of what is not there.
    features = 4 * 50 + 4 * 50 + 5 * 100
    spans = linear(2 * WIDTH + 50 + 50 + 100, WIDTH)
    classifier = linear(2 * WIDTH, 2 * WIDTH) + linear(2 * WIDTH, 1 + TYPES)
    assert count(system.decoder) == features + spans + classifier == 3_703_433
    assert count(system) == 109_482_240 + 8_070_145 + 7_087_104 + 3_703_433


FEED_FORWARD = linear(WIDTH, 3072) + linear(3072, WIDTH)
BLOCK = 4 * LINEAR + NORM + FEED_FORWARD + NORM - WIDTH
"""A layer of BERT but for the keys' bias, which softmax doesn't see."""

TAGS = 1 + 2 * TYPES
CASED_SIZE = 107_719_680
"""BERT-base, cased, without its pooler."""


def crf(width: int, tags: int) -> int:
    return linear(width, tags) + tags * tags + 2 * tags


def test_size_of_umt(assemble: Assemble) -> None:
    system = assemble("umt")
    assert count(system.text) == CASED_SIZE
    assert count(system.views["grid"]) == 0
    gate = linear(2 * WIDTH, WIDTH)
    assert count(system.fuser) == 4 * BLOCK + 2 * linear(GRID, WIDTH) + gate == 32_676_096
    assert system.fuser.units_to_regions.heads == 12
    assert count(system.decoder) == BLOCK + crf(2 * WIDTH, TAGS) + crf(WIDTH, 3) == 7_103_358
    assert count(system) == CASED_SIZE + 32_676_096 + 7_103_358


def test_size_of_maf(assemble: Assemble) -> None:
    system = assemble("maf", "paper-maf")
    assert count(system.text) == CASED_SIZE + LINEAR, "BERT and its pooler"
    heads = LINEAR + LINEAR + linear(GRID, WIDTH) + LINEAR
    assert count(system.aligner) == heads == 3_345_408
    # Released, the match reads 2 · 128 · 768 numbers, and both layers of the gate have a bias.
    gate = 2 * LINEAR - WIDTH
    fuser = linear(GRID, WIDTH) + BLOCK + linear(2 * WIDTH, 2) + gate
    assert count(system.fuser) == fuser == 9_844_226
    assert count(system.decoder) == crf(2 * WIDTH, TAGS) == 13_932
    assert count(system) == CASED_SIZE + LINEAR + heads + fuser + 13_932


def test_size_of_umgf(assemble: Assemble) -> None:
    system, node = assemble("umgf"), 512
    assert count(system.text) == CASED_SIZE
    square, norm = linear(node, node), 2 * node
    words = 4 * square - node + norm  # without the keys' bias, as in the next line
    objects = 2 * square - node + norm
    gate = linear(2 * node, node)
    update = norm + linear(node, 256) + linear(256, node) + norm
    # The objects of the last layer take no messages: nothing reads them.
    layers = 2 * (words + objects + gate + update) + (gate + update)
    fuser = linear(WIDTH, node) + linear(GRID, node) + square + layers
    assert count(system.fuser) == fuser
    assert system.fuser.width == WIDTH + node
    assert count(system.decoder) == crf(WIDTH + node, TAGS) == 11_628
    assert count(system) == CASED_SIZE + fuser + 11_628


def test_size_of_hbilstm_crf(assemble: Assemble) -> None:
    def lstm(before: int, state: int) -> int:
        return 2 * 4 * (before * state + state * state + 2 * state)

    system = assemble("hbilstm-crf")
    known = 3  # padding, unknown, and the one word or letter of the training split
    embeddings = known * 100 + known * 25
    assert count(system.text) == embeddings + lstm(25, 25) + lstm(100 + 50, 100)
    assert system.text.width == 200
    assert count(system.decoder) == crf(200, TAGS)


def test_size_of_bert_pointer(assemble: Assemble) -> None:
    system = assemble("bert-pointer")
    assert count(system.text) == CASED_SIZE
    assert count(system) == CASED_SIZE + 2 * linear(WIDTH, 1 + TYPES)


CROSS = 3 * WIDTH * WIDTH + LINEAR + NORM + LINEAR + NORM
"""MMIB's block: queries, keys and values without bias, an output, a dense layer, two norms."""


def test_size_of_mmib(assemble: Assemble) -> None:
    system = assemble("mmib", "paper-mmib")
    assert count(system.text) == 108_891_648, "BERT without its pooler"
    assert count(system.views["grid"], trained=False) == 23_508_032, "ResNet-50 without its fc"
    bottlenecks = 4 * CROSS + linear(GRID, WIDTH)
    # Released, the discriminator is linear and has 768 scores a pair: 2 · 768 · 768 + 768.
    assert count(system.aligner) == bottlenecks + WIDTH * WIDTH + 1 == 13_978_369
    assert count(system.fuser) == 2 * CROSS == 5_907_456
    assert system.fuser.look.heads == 12
    assert count(system.decoder) == crf(WIDTH, TAGS) == 7_020
    assert count(system) == 108_891_648 + 13_978_369 + 5_907_456 + 7_020


def test_size_of_mt_mner(assemble: Assemble) -> None:
    attention = 4 * LINEAR + NORM - WIDTH  # but for the keys' bias
    given = 2 * LINEAR + NORM  # attention to a single vector: values and output
    shared = linear(GRID, WIDTH) + 2 * (2 * LINEAR + linear(2 * WIDTH, WIDTH))
    shared += 2 * (LINEAR + NORM) + linear(2 * WIDTH, WIDTH) + 2 * attention + given
    system = assemble("mt-mner", "paper-mt-mner")
    assert count(system.text) == 124_055_040, "RoBERTa without its pooler"
    assert count(system.views["patch"]) == 85_798_656, "ViT-B/16 without its pooler"
    assert count(system.views["grid"]) == 23_508_032, "ResNet-50 without its fc, trained"
    assert (system.views["patch"].regions, system.views["grid"].regions) == (197, 49)
    heads = linear(WIDTH, 256) + linear(GRID, 256), 2 * linear(WIDTH, 256)
    assert [count(each) for each in system.aligner] == list(heads)
    assert count(system.fuser) == shared + 2 * given == 16_935_936
    assert system.fuser.to_regions.heads == 8
    assert count(system.decoder) == 7_020
    released = assemble("mt-mner-released", "paper-mt-mner")
    assert count(released.fuser) == shared + 2 * given == 16_935_936


@pytest.mark.parametrize("system", ["adacan", "adacan-additive"])
def test_size_of_adacan(assemble: Assemble, system: str) -> None:
    made = assemble(system)
    assert count(made.text) == CASED_SIZE
    assert count(made.views["grid"]) == 0
    scores = LINEAR + WIDTH + (WIDTH * WIDTH if system == "adacan-additive" else 0)
    gates = linear(2 * WIDTH, 1) + linear(WIDTH, 1) + WIDTH
    assert count(made.fuser) == linear(GRID, WIDTH) + 2 * scores + 3 * LINEAR + gates
    assert count(made.decoder) == crf(2 * WIDTH, TAGS) == 13_932


def test_size_of_gvatt(assemble: Assemble) -> None:
    system = assemble("gvatt")
    scores = LINEAR + WIDTH * WIDTH + WIDTH
    gates = linear(WIDTH, 3 * WIDTH) + 3 * WIDTH * WIDTH
    assert count(system.fuser) == linear(GRID, WIDTH) + scores + gates == 6_296_064
    assert count(system) == CASED_SIZE + 6_296_064 + 7_020


def test_size_of_automm(assemble: Assemble) -> None:
    system = assemble("automm")
    # the views have one width, to which each is mapped; then layer normalisation and 128 numbers
    assert count(system.fuser) == linear(GRID, GRID) + 2 * GRID + linear(GRID, 128) == 4_462_720
    assert count(system.decoder) == linear(WIDTH + 128, TAGS) == 8_073
    assert count(system) == CASED_SIZE + 4_462_720 + 8_073


@pytest.mark.parametrize("system", ["caption-context", "ita", "more-cross-view"])
def test_size_of_image_as_text(assemble: Assemble, system: str) -> None:
    """Nothing but a text encoder and a CRF: context and the second view have no parameters."""
    made = assemble(system, "paper-xlmr")
    assert count(made.text) == 558_840_832, "XLM-R large without its pooler"
    tags = TAGS if system == "caption-context" else 1 + 4 * TYPES
    assert count(made) - count(made.text) == count(made.decoder) == crf(1024, tags)
    assert count(made.decoder) == {TAGS: 9_324, 17: 17_748}[tags]
