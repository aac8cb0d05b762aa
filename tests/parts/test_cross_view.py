"""The objective that compares a sentence with its context and alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.build import build
from zoo.config.ablations import set_out
from zoo.config.config import shipped_file
from zoo.config.read import read
from zoo.data.synthetic import Synthetic
from zoo.errors import ConfigError
from zoo.objectives.cross_view import CrossView
from zoo.runs.job import missing
from zoo.system import Collator, System
from zoo.types import Sample

DECODERS = ["softmax", "crf", "auxiliary_crf", "pointer", "span_classifier"]


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    made = Synthetic(Path(), train=8, dev=1, test=1, captions=True).read()["train"]
    return [*made[:6], *(replace(sample, caption=None) for sample in made[6:])]


def assemble(samples: list[Sample], folder: Path, *overrides: str) -> System:
    torch.manual_seed(0)
    changes = [f"systems.ita.{override}" for override in overrides]
    spec = read(shipped_file(), changes).spec("ita", "tiny-captions")
    return build(spec, samples, folder)


def without_dropout(system: System) -> System:
    """In training mode, as objectives are called, with nothing left to chance."""
    for module in system.train().modules():
        if hasattr(module, "p"):
            module.p = 0.0
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    return system


def bare(samples: list[Sample]) -> list[Sample]:
    return [replace(sample, caption=None) for sample in samples]


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_second_view_is_the_sentence_without_its_caption(
    decoder: str, samples: list[Sample], tmp_path: Path
) -> None:
    """By definition, from two passes over samples with and without their captions."""
    system = without_dropout(assemble(samples, tmp_path, f"decoder={{part: {decoder}}}"))
    collate, temperature = Collator(system), system.objective.temperature
    output = system(collate(samples))
    here, there = (system(collate(each), train=False) for each in (samples, bare(samples)))
    p, q = (
        (system.decoder.log_marginals(each.units, each.text) / temperature).softmax(-1)
        for each in (here, there)
    )
    terms = torch.where(p > 0, p * (p / q.clamp(min=1e-30)).log(), 0.0).sum(-1)
    wanted = temperature**2 * terms[here.units.mask].sum() / len(samples)
    torch.testing.assert_close(output.losses["cross_view"], wanted, atol=1e-5, rtol=1e-4)
    assert output.losses["cross_view"] > 0

    gold = [sample.entities for sample in samples]
    alone = system.decoder.loss(there.units, there.text, gold)
    torch.testing.assert_close(output.losses["alone"], system.total(alone), atol=1e-5, rtol=1e-4)


def test_pictures_are_encoded_once(samples: list[Sample], tmp_path: Path) -> None:
    """What batch normalisation counts would otherwise move twice a step."""
    views = "{grid: {part: small_cnn}}"
    system = assemble(samples, tmp_path, f"views={views}", "fuser={part: cross_attention}").train()
    system(Collator(system)(samples))
    counts = [value for name, value in system.named_buffers() if "num_batches" in name]
    assert counts
    assert all(count == 1 for count in counts)


def test_equal_views_do_not_differ(samples: list[Sample], tmp_path: Path) -> None:
    """Without captions both views are the same sentence."""
    system = without_dropout(assemble(samples, tmp_path))
    losses = system(Collator(system)(bare(samples))).losses
    assert losses["cross_view"].abs() < 1e-6
    torch.testing.assert_close(losses["alone"], 0.5 * losses["crf"], atol=1e-5, rtol=1e-5)


def test_the_sentence_with_its_context_learns_nothing_from_the_one_alone(
    samples: list[Sample], tmp_path: Path
) -> None:
    """The teacher has no gradient: neither its states nor the scores of its transitions."""
    system = without_dropout(assemble(samples, tmp_path))
    batch = Collator(system)(samples)
    output = system(batch, train=False)
    states: list[torch.Tensor] = []
    system.text.register_forward_hook(lambda *made: states.append(made[-1].tokens))
    loss = CrossView(temperature=2.0)(system, batch, output)["cross_view"]
    gradient = torch.autograd.grad(
        loss, [output.units.vectors, states[-1], system.decoder.crf.transitions], allow_unused=True
    )
    assert gradient[0] is None
    assert gradient[1].abs().sum() > 0
    student = system.decoder.log_marginals(
        replace(output.units, vectors=states[-1].detach()), output.text
    )
    here = system.decoder.log_marginals(output.units, output.text).detach()
    teacher, student = (each.div(2).log_softmax(-1) for each in (here, student))
    loss = 4 * (teacher.exp() * (teacher - student)).sum() / len(samples)
    (wanted,) = torch.autograd.grad(loss, [system.decoder.crf.transitions])
    torch.testing.assert_close(gradient[2], wanted, atol=1e-5, rtol=1e-4)


def test_its_losses_are_those_of_training_alone(samples: list[Sample], tmp_path: Path) -> None:
    system = assemble(samples, tmp_path)
    batch = Collator(system)(samples)
    assert set(system.train()(batch).losses) == {"crf", "cross_view", "alone"}
    assert set(system(batch, train=False).losses) == set()


def test_a_frozen_encoder_has_both_views(samples: list[Sample], tmp_path: Path) -> None:
    system = assemble(samples, tmp_path, "text.frozen=true")
    whole = assemble(samples, tmp_path)
    ours, others = (
        without_dropout(each)(Collator(each)(samples)).losses for each in (system, whole)
    )
    assert ours["cross_view"] > 0
    assert set(ours) == set(others)


# What is written -----------------------------------------------------------------------------


def refused(*overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        read(shipped_file(), list(overrides)).spec(overrides[0].split(".")[1], "tiny-captions")
    return str(error.value)


def test_it_needs_context() -> None:
    message = refused("systems.bert-crf.objective={part: cross_view}")
    assert message.startswith("systems.bert-crf.objective (-o ")
    assert "it compares the sentence with and without context" in message
    assert "`text.context`" in message


def test_with_the_context_it_goes_too() -> None:
    config = read(shipped_file(), ["systems.ita.text.context=null"])
    spec = config.spec("ita", "tiny-captions")
    assert spec.objective is None
    assert spec.text_only
    assert spec.loss_weights == {"crf": 0.5}


def test_the_text_only_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a system that reads captions behind the sentence, the control has neither these nor the
    objective."""
    extra = "ablations.own={base: [ita, more-cross-view], controls: true}"
    config = read(shipped_file(), [extra])
    set_out(config, ["own"], "mini-captions")
    arms: dict[str, Any] = {p.arm.name: p.system for p in config.ablations["own"].arms}
    assert set(arms) == {"base", "text only"}
    assert arms["base"].objective is not None
    assert arms["text only"].objective is None
    assert arms["text only"].text_only


@pytest.mark.parametrize("system", ["caption-context", "ita", "more-cross-view"])
def test_a_dataset_without_the_field(system: str, samples: list[Sample]) -> None:
    config = read(shipped_file())
    spec = config.spec(system, "tiny-captions")
    assert missing(spec, "mine", samples) == []
    found = missing(spec, "mine", bare(samples))
    assert found == [
        f"systems.{system}.text: no training sample of mine has a caption; leave the system or the "
        "ablation out, or give the dataset its captions"
    ]
    wrong = read(shipped_file(), [f"systems.{system}.text.context=captions"])
    (found,) = missing(wrong.spec(system, "tiny-captions"), "mine", samples)
    assert "no training sample of mine has a captions; did you mean `caption`?" in found


@pytest.mark.parametrize("temperature", ["0", "-1.0", "hot"])
def test_a_temperature_is_positive(temperature: str) -> None:
    assert "temperature" in refused(f"systems.ita.objective.temperature={temperature}")
