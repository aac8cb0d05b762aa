"""From a specification to a system: what is learnt from the data, aligners, what is seen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from zoo import registry
from zoo.build import Learnt, build, make
from zoo.config.fit import misfits
from zoo.config.read import read
from zoo.data.synthetic import Synthetic
from zoo.encoders.caption import Caption
from zoo.encoders.transformer import Transformer
from zoo.errors import ConfigError, DataError, RunError
from zoo.parts import Aligner, Assembly, Decoder, JointEncoder, Objective, Reader, ViewSpec
from zoo.runs.job import missing
from zoo.schema import PartSpec, SystemSpec, sees
from zoo.system import Collator, System
from zoo.types import Alignment, Batch, Entity, Inputs, Output, Sample, Text, View, Views

REGISTRY = Path(__file__).parents[1] / "registry.yaml"


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    reader = Synthetic(tmp_path_factory.mktemp("root"), languages=["en"], train=12, dev=1, test=1)
    assert isinstance(reader, Reader)
    return reader.read()["train"]


@pytest.fixture(scope="module")
def specs() -> dict[str, SystemSpec]:
    shipped = read(REGISTRY)
    return {name: shipped.spec(name, "tiny") for name in shipped.systems}


def part(kind: str, name: str, **settings: Any) -> PartSpec:
    cls = registry.resolve(kind, name)
    return PartSpec(kind, name, cls, settings)


# What is learnt from the data --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cnn-bilstm-crf", "bert-span", "2m-ner", "smner"])
def test_a_system_without_its_data(
    specs: dict[str, SystemSpec], name: str, samples: list[Sample], tmp_path: Path
) -> None:
    """What was learnt and the weights make the same system again: the same predictions."""
    torch.manual_seed(1)
    system = build(specs[name], samples, tmp_path).eval()
    with torch.no_grad():
        for parameter in system.decoder.parameters():  # so that something is predicted
            if parameter.ndim > 1:
                parameter.mul_(4)
    stored = json.dumps(Learnt.of(samples).as_dict())
    weights = {key: value.clone() for key, value in system.state_dict().items()}

    torch.manual_seed(2)
    again = build(specs[name], Learnt.from_dict(json.loads(stored)), tmp_path).eval()
    again.load_state_dict(weights)
    with torch.no_grad():
        expected = system.predict(Collator(system)(samples))
        assert again.predict(Collator(again)(samples)) == expected
    assert any(expected)


class Deep(Decoder):
    """Changes what it is given."""

    def __init__(self, fused: int, types: list[str], *, hidden: list[int]) -> None:
        super().__init__()
        types.append("O")
        hidden.append(fused)
        self.types, self.hidden = types, hidden

    def units(self, *args: Any) -> Any: ...
    def loss(self, *args: Any) -> Any: ...
    def decode(self, *args: Any) -> Any: ...


def test_a_part_that_changes_what_it_is_given_changes_no_other(tmp_path: Path) -> None:
    spec, known = part("decoder", "crf", hidden=[8]), {"fused": 4, "types": ["A"]}
    spec = replace(spec, cls=Deep)
    for _ in range(2):
        built = make(spec, known, tmp_path)
        assert (built.hidden, built.types) == ([8, 4], ["A", "O"])


WORDS = st.text(min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(WORDS, min_size=1, max_size=5), max_size=6))
def test_learnt_survives_json(sentences: list[list[str]]) -> None:
    kinds = ("PER", "LOC", "ORG")
    samples = [
        Sample(str(i), tuple(words), (Entity(0, 1, kinds[i % 3]),))
        for i, words in enumerate(sentences)
    ]
    learnt = Learnt.of(samples)
    assert learnt.words == Counter(w for words in sentences for w in words)
    assert learnt.types == sorted({kinds[i % 3] for i in range(len(sentences))})
    text = json.dumps(learnt.as_dict())
    assert Learnt.from_dict(json.loads(text)) == learnt
    assert json.dumps(Learnt.of(samples[::-1]).as_dict()) == text, "order does not matter"


def test_an_encoder_knows_the_words_of_the_texts_that_it_reads() -> None:
    samples = [Sample("1", ("a", "b"), caption="a red dog", extra={"tags": "dog"})]
    learnt = Learnt.of(samples)
    assert Learnt.from_dict(json.loads(json.dumps(learnt.as_dict()))) == learnt
    scratch = {"layers": 1, "width": 8, "heads": 2}
    cases = {None: {}, "caption": {"a": 1, "red": 1, "dog": 1}, "tags": {"dog": 1}}
    for context, more in cases.items():
        settings = {"scratch": scratch, **({"context": context} if context else {})}
        part = PartSpec("text_encoder", "transformer", Transformer, settings)
        assert learnt.read_by(part) == Counter("ab") + Counter(more)
    inner = PartSpec("text_encoder", "transformer", Transformer, {"scratch": scratch})
    view = PartSpec("image_encoder", "caption", Caption, {}, {"encoder": inner})
    assert learnt.read_by(view) == Counter({"a": 2, "b": 1, "red": 1, "dog": 1})


def test_a_large_vocabulary_stays_small() -> None:
    """Most words are rare: little more than their letters is stored."""
    words = Counter({f"word{i}": 1 + 100_000 // (i + 1) for i in range(100_000)})
    learnt = Learnt(words, ["LOC"])
    text = json.dumps(learnt.as_dict(), separators=(",", ":"))
    assert len(text) < 1.4 * sum(map(len, words))
    assert Learnt.from_dict(json.loads(text)) == learnt


@pytest.mark.parametrize(
    "data", [{}, {"types": []}, {"types": [], "words": []}, {"types": [], "words": {"x": ["a"]}}]
)
def test_something_else_than_what_was_learnt(data: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="learnt"):
        Learnt.from_dict(data)


# Several aligners --------------------------------------------------------------------------------


def test_aligners_in_order(
    specs: dict[str, SystemSpec], samples: list[Sample], tmp_path: Path
) -> None:
    """Each is built for what the one before lets flow on, and called with it."""
    bottleneck = part("aligner", "information_bottleneck")
    contrastive = part("aligner", "contrastive")
    narrow = {"grid": part("image_encoder", "small_cnn", width=32)}
    one = replace(specs["smner"], views=narrow)
    spec = replace(one, aligner=(bottleneck, contrastive))
    assert [slot for slot, _ in spec.parts] == [
        "text", "views.grid", "aligner", "aligner", "fuser", "decoder"
    ]  # fmt: skip
    assert [each["part"] for each in spec.resolved()["aligner"]] == [
        "information_bottleneck", "contrastive"
    ]  # fmt: skip
    system = build(spec, samples, tmp_path)
    seen: list[int] = []
    for aligner in system.aligner:
        aligner.register_forward_hook(
            lambda module, args, result: seen.append(args[1]["grid"].pooled.shape[1])
        )
    output = system(Collator(system)(samples))
    width, latent = system.views["grid"].width, system.text.width
    assert seen == [width, latent] == [32, 64]
    assert set(output.losses) == {
        "mutual_information.grid", "kl.grid", "contrastive.grid", "spans"
    }  # fmt: skip


def test_the_same_aligner_twice(
    specs: dict[str, SystemSpec], samples: list[Sample], tmp_path: Path
) -> None:
    """At two levels: two losses, each with its own weight; none replaces the other."""
    levels = [part("aligner", "contrastive", level=level) for level in ("sentence", "token")]
    spec = replace(
        specs["bert-crf-contrastive"],
        aligner=tuple(levels),
        loss_weights={"contrastive": 0.5, "contrastive2": 0.25, "crf": 0.0},
    )
    assert spec.losses["aligner"] == ["contrastive", "contrastive2"]
    torch.manual_seed(3)
    system = build(spec, samples, tmp_path).eval()
    batch = Collator(system)(samples)
    losses = system(batch).losses
    assert set(losses) == {"contrastive.grid", "contrastive2.grid", "crf"}
    text, views = system.encode(batch)
    for name, aligner in zip(("contrastive", "contrastive2"), system.aligner, strict=True):
        alone = aligner(text, views, batch.gold).losses["contrastive.grid"]
        assert losses[f"{name}.grid"].item() == pytest.approx(alone.item())
    expected = 0.5 * losses["contrastive.grid"] + 0.25 * losses["contrastive2.grid"]
    assert system.total(losses).item() == pytest.approx(expected.item())


# Objectives and joint encoders, local to this test ------------------------------------------------


class Consistent(Objective):
    """The sentence alone is to be read as the sentence with its context is."""

    loss_names: ClassVar[tuple[str, ...]] = ("cross_view",)

    def __init__(self, width: int, *, temperature: float = 2.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, system: Assembly, batch: Batch, output: Output) -> Mapping[str, Tensor]:
        inputs = {**batch.inputs, "text": system.text.alone(batch.inputs["text"])}
        bare = system(replace(batch, inputs=inputs), train=False)
        real = output.units.mask
        teacher = system.decoder.log_marginals(output.units, output.text).detach()[real]
        student = system.decoder.log_marginals(bare.units, bare.text)[real]
        teacher, student = ((x / self.temperature).log_softmax(-1) for x in (teacher, student))
        divergence = (teacher.exp() * (teacher - student)).sum(-1).mean()
        return {"cross_view": divergence * self.scale.mean()}


class Blind(JointEncoder):
    """Reads the words and the caption's length; nothing flows on but the text."""

    sees: ClassVar[str] = "caption"

    def __init__(self, *, width: int = 8) -> None:
        super().__init__()
        self.width = width
        self.view_specs = {"caption": ViewSpec(width, 1)}
        self.layer = nn.Linear(1, width)

    def prepare(self, sample: Sample) -> tuple[int, int]:
        return len(sample.words), len(sample.caption or "")

    def collate(self, rows: Sequence[tuple[int, int]]) -> Inputs:
        return {"lengths": torch.tensor(rows)}

    def forward(self, inputs: Inputs) -> tuple[Text, Views]:
        lengths, captions = inputs["lengths"].unbind(1)
        mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
        tokens = self.layer(mask.float().unsqueeze(-1)) * mask.unsqueeze(-1)
        pooled = self.layer(captions.float().unsqueeze(1)) * (captions > 0).unsqueeze(1)
        view = View(pooled.unsqueeze(1), pooled, (captions > 0).unsqueeze(1))
        return Text(tokens, tokens[:, 0], mask), {"caption": view}


class Kl(Aligner):
    """Has a loss that another part has, too."""

    level = "sentence"
    loss_names = ("crf",)

    def __init__(self) -> None:
        super().__init__()

    def forward(self, text: Text, views: Views, gold: Any) -> Alignment:
        return Alignment(text, views, {"crf": text.tokens.sum()})


@pytest.fixture
def consistent() -> Iterator[PartSpec]:
    registry.register("objective", "consistent")(Consistent)
    assert "consistent" in registry.names("objective")
    yield part("objective", "consistent")
    del registry._registered["objective", "consistent"]


@pytest.mark.parametrize("name", ["bert-crf", "bert-softmax", "bert-span"])
def test_an_objective(
    specs: dict[str, SystemSpec],
    consistent: PartSpec,
    name: str,
    samples: list[Sample],
    tmp_path: Path,
) -> None:
    """Cross-view training: in training only, with gradients for all, its own parameters too."""
    spec = specs[name]
    assert spec.text is not None
    text = replace(spec.text, settings={**spec.text.settings, "context": "caption"})
    spec = replace(spec, text=text, objective=consistent, loss_weights={"cross_view": 0.5})
    assert [slot for slot, _ in spec.parts][-1] == "objective"
    assert spec.resolved()["objective"]["part"] == "consistent"
    assert spec.losses["objective"] == ["cross_view"]
    assert not spec.text_only
    captions = ["a red square", None, "two trees"]
    samples = [replace(s, caption=captions[i % 3]) for i, s in enumerate(samples)]
    torch.manual_seed(1)
    system = build(spec, samples, tmp_path).train()
    batch = Collator(system)(samples)
    losses = system(batch).losses
    assert losses["cross_view"] > 0
    system.total(losses).backward()
    trained = {n: p for n, p in system.named_parameters() if p.requires_grad}
    missed = [name for name, parameter in trained.items() if parameter.grad is None]
    assert not missed
    assert "objective.scale" in trained
    system.eval()
    assert set(system(batch, train=False).losses) == set()
    blind = Collator(system)([replace(s, caption=None) for s in samples])
    assert system(blind).losses["cross_view"].item() == pytest.approx(0, abs=1e-6)


def test_an_objective_may_change_the_views(
    specs: dict[str, SystemSpec], samples: list[Sample], tmp_path: Path
) -> None:
    class Swapped(Objective):
        loss_names = ("swapped",)

        def forward(self, system: Assembly, batch: Batch, output: Output) -> dict[str, Tensor]:
            text, views = system.encode(batch)
            turned = {
                name: View(*(x.roll(1, 0) for x in (view.regions, view.pooled, view.mask)))
                for name, view in views.items()
            }
            other = system(batch, train=False, encoded=(text, turned)).units.vectors
            same = system(batch, train=False, encoded=(text, views)).units.vectors
            assert torch.equal(same, output.units.vectors)
            return {"swapped": (other - same).square().mean()}

    system = build(specs["bert-crf-attention"], samples, tmp_path).eval()
    system.objective = Swapped()
    assert system(Collator(system)(samples)).losses["swapped"] > 0


def test_two_parts_with_one_loss(
    specs: dict[str, SystemSpec], samples: list[Sample], tmp_path: Path
) -> None:
    """One would replace the other without a word: refused before and while running."""
    spec = specs["bert-crf-attention"]
    with pytest.raises(ConfigError, match="aligner and decoder both have a loss `crf`"):
        build(replace(spec, aligner=(PartSpec("aligner", "kl", Kl, {}),)), samples, tmp_path)
    built = build(spec, samples, tmp_path)
    system = System(built.text, dict(built.views.items()), Kl(), None, built.decoder, {})
    with pytest.raises(Exception, match="two parts have a loss `crf`"):
        system(Collator(system)(samples))


def test_a_loss_named_like_a_column_of_the_history(
    specs: dict[str, SystemSpec], samples: list[Sample], tmp_path: Path
) -> None:
    """It would take the place of the total, or of the epoch's number."""
    spec = specs["bert-crf-attention"]
    named = type("Named", (Kl,), {"loss_names": ("loss",)})
    with pytest.raises(ConfigError, match=r"aligner has a loss `loss`, the name of a column"):
        build(replace(spec, aligner=(PartSpec("aligner", "kl", named, {}),)), samples, tmp_path)
    system = build(spec, samples, tmp_path)
    system.decoder.loss = lambda *_: {"epoch": torch.zeros(())}
    with pytest.raises(RunError, match="a part has a loss `epoch`"):
        system(Collator(system)(samples))


def test_a_loss_weight_for_a_view_of_a_joint_encoder(
    specs: dict[str, SystemSpec], samples: list[Sample], tmp_path: Path
) -> None:
    joint = PartSpec("joint_encoder", "blind", Blind, {"width": 8})
    spec = replace(specs["bert-crf-attention"], text=None, joint=joint, views={}, fuser=None)
    spec = replace(spec, aligner=(part("aligner", "contrastive"),))
    spec = replace(spec, loss_weights={"contrastive.caption": 0.2})
    assert misfits(spec) == []
    assert build(spec, samples, tmp_path).weight("contrastive.caption") == 0.2
    wrong = replace(spec, loss_weights={"contrastive.captoin": 0.2})
    with pytest.raises(ConfigError, match=r"no view `captoin`; did you mean `caption`"):
        build(wrong, samples, tmp_path)


# What encoders see -------------------------------------------------------------------------------


def test_what_a_system_sees(specs: dict[str, SystemSpec]) -> None:
    spec = specs["bert-crf-attention"]
    assert spec.sees == {"text": frozenset({"words"}), "views.grid": frozenset({"picture"})}
    assert not spec.text_only
    assert specs["bert-crf"].text_only
    context = part("text_encoder", "transformer", context=["caption", "tags"])
    assert sees(context) == {"words", "caption", "tags"}
    assert not replace(specs["bert-crf"], text=context).text_only
    nested = replace(part("image_encoder", "caption"), nested={"encoder": specs["bert-crf"].text})
    assert sees(nested) == {"caption"}, "the words it hands on are the caption's"
    joint = PartSpec("joint_encoder", "blind", Blind, {})
    spec = replace(specs["bert-crf"], text=None, joint=joint)
    assert spec.sees == {"joint": frozenset({"words", "caption"})}
    assert not spec.text_only
    wrapped = replace(joint, nested={"text": context, "image": part("image_encoder", "small_cnn")})
    assert sees(wrapped) == {"words", "caption", "tags", "picture"}


def test_what_no_sample_has(specs: dict[str, SystemSpec]) -> None:
    text = specs["bert-crf"]
    train = [Sample("1", ("a",)), Sample("2", ("b",), caption="c", extra={"passage": "d"})]

    def problems(context: str) -> list[str]:
        spec = replace(text, text=part("text_encoder", "transformer", context=context))
        return missing(spec, "mini", train)

    assert missing(text, "mini", train) == []
    assert problems("caption") == problems("passage") == []
    (found,) = problems("captoin")
    assert found == (
        "systems.bert-crf.text: no training sample of mini has a captoin; did you mean `caption`?"
    )
    (found,) = problems("pasage")
    assert "`passage`" in found
    spec = replace(text, text=part("text_encoder", "transformer", context="tags"))
    (found,) = missing(spec, "mini", train[:1])
    assert found.endswith("has a tags; its samples hold no text but the words")
    joint = replace(text, text=None, joint=PartSpec("joint_encoder", "blind", Blind, {}))
    (found,) = missing(joint, "mini", train[:1])
    assert "systems.bert-crf.joint: no training sample of mini has a caption; " in found
    assert missing(joint, "mini", train) == []
    (found,) = missing(specs["bert-crf-attention"], "mini", train)
    assert "systems.bert-crf-attention.views.grid" in found
    assert "has a picture; " in found


def test_a_joint_encoder(
    specs: dict[str, SystemSpec], samples: list[Sample], tmp_path: Path
) -> None:
    """Its own view specs reach the fuser."""
    fuser = part("fuser", "cross_attention", heads=2)
    joint = PartSpec("joint_encoder", "blind", Blind, {})
    spec = replace(specs["bert-crf"], text=None, joint=joint, fuser=fuser)
    samples = [replace(s, caption="c" * i) for i, s in enumerate(samples)]
    system = build(spec, samples, tmp_path)
    assert list(system.fuser.projections) == ["caption"]
    assert system(Collator(system)(samples)).losses["crf"].isfinite()


def test_listed_aligners_in_yaml() -> None:
    """The second one's losses have a weight of their own; a weight of no loss is an error."""
    system = "systems.bert-crf-contrastive"
    levels = "[{part: contrastive}, {part: contrastive, level: token}]"
    weighted = [f"{system}.aligner={levels}", f"{system}.loss_weights={{contrastive2: 0.1}}"]
    spec = read(REGISTRY, weighted).spec("bert-crf-contrastive", "tiny")
    assert [each.settings["level"] for each in spec.aligner] == ["sentence", "token"]
    assert spec.loss_weights == {"contrastive": 0.2, "contrastive2": 0.1}
    with pytest.raises(ConfigError, match="`contrastive2`"):
        read(REGISTRY, weighted[1:]).spec("bert-crf-contrastive", "tiny")
