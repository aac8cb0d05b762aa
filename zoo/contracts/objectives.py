"""The contract of objectives, each tried in a small system of built-in parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from zoo.build import build
from zoo.contracts.common import losses, specify
from zoo.contracts.inputs import Subject, make_samples, seed_all
from zoo.schema import PartSpec, SystemSpec
from zoo.system import Collator, System
from zoo.types import Batch

_SMALL: dict[str, Any] = {"scratch": {"layers": 1, "width": 16, "heads": 2}}


def _system(subject: Subject) -> tuple[System, Batch]:
    """A system with the objective, and a batch with and without pictures."""

    def part(kind: str, name: str, settings: Mapping[str, Any]) -> PartSpec:
        found = specify(kind, name, settings)
        assert isinstance(found, PartSpec), found
        return found

    needs = getattr(subject.spec.cls, "needs_context", False)
    context = {"context": "caption"} if needs else {}
    spec = SystemSpec(
        name="contract",
        backbone="none",
        text=part("text_encoder", "transformer", _SMALL | context),
        joint=None,
        views={"grid": part("image_encoder", "small_cnn", {"width": 8})},
        aligner=(),
        fuser=part("fuser", "cross_attention", {"level": "token"}),
        decoder=part("decoder", "crf", {}),
        loss_weights={},
        objective=subject.spec,
    )
    seed_all(0)
    samples = list(make_samples())
    samples[0] = replace(samples[0], picture=None)
    system = build(spec, samples, subject.folder)
    return system, Collator(system)(samples)


def returned(subject: Subject) -> Iterator[str]:
    """a training step of a small system"""
    system, batch = _system(subject)
    system.train()
    output = system(batch, train=False)
    assert system.objective is not None
    yield from losses(system.objective, system.objective(system, batch, output))


def in_training(subject: Subject) -> Iterator[str]:
    """its losses in training, and none in prediction"""
    system, batch = _system(subject)
    assert system.objective is not None
    without = set(system.train()(batch, train=False).losses)
    names = set(system(batch).losses)
    own = {name for name in names if name.partition(".")[0] in type(system.objective).loss_names}
    if not own:
        yield "it adds no loss in training; return one for each name in `loss_names`"
    if own & without:
        yield "it adds its losses in prediction, too"


def gradient(subject: Subject) -> Iterator[str]:
    """the gradient of its losses"""
    system, batch = _system(subject)
    assert system.objective is not None
    own = type(system.objective).loss_names
    output = system.train()(batch)
    mine = [loss for name, loss in output.losses.items() if name.partition(".")[0] in own]
    sum(mine[1:], start=mine[0]).backward()
    for name, parameter in system.objective.named_parameters():
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any()):
            yield f"the parameter {name} gets no gradient"
    if not any(p.grad is not None for p in system.parameters()):
        yield "no parameter of the system gets a gradient from it"


CHECKS = (in_training, gradient)
