"""What holds for every registered part, of whatever kind."""

from __future__ import annotations

import importlib
import inspect

import pytest
import torch
import yaml

from zoo import registry
from zoo.identity import digest
from zoo.parts import Aligner, Decoder, Fuser, ImageEncoder, JointEncoder, Objective, TextEncoder
from zoo.schema import keywords, supplied, validate_part
from zoo.yaml import Node, parse

BASES = {
    "text_encoder": TextEncoder,
    "image_encoder": ImageEncoder,
    "joint_encoder": JointEncoder,
    "aligner": Aligner,
    "fuser": Fuser,
    "decoder": Decoder,
    "objective": Objective,
}
SUPPLIED = {"root", "words", "width", "fused", "text_width", "views", "types"}
"""What zoo.build passes by name."""

REGISTERED = [(kind, name) for kind in registry.KINDS for name in registry.names(kind)]


def test_every_part_has_an_example(examples) -> None:
    """The meta-test: a part that is registered and not tested fails here."""
    untested = set(REGISTERED) - set(examples)
    assert not untested, "add examples to tests/contracts/conftest.py"
    assert not set(examples) - set(REGISTERED), "examples of parts that are not registered"
    assert all(examples.values())


@pytest.mark.parametrize("key", sorted(registry.BUILT_IN), ids="-".join)
def test_built_in_modules_register_what_they_are_listed_for(key: tuple[str, str]) -> None:
    importlib.import_module(registry.BUILT_IN[key])
    assert registry.resolve(*key).__module__ == registry.BUILT_IN[key]


@pytest.mark.parametrize(("kind", "name"), REGISTERED)
def test_class(kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = registry.resolve(kind, name)
    if kind in BASES:
        assert cls.__mro__[1] is BASES[kind], "base classes are one level deep"
    first = inspect.cleandoc(cls.__doc__ or "").splitlines()[0]
    assert 10 < len(first) <= 100
    assert registry.summary(kind, name) == first, "what `zoo list` shows"
    if (kind, name) in registry.BUILT_IN:
        monkeypatch.delitem(registry._registered, (kind, name))
        assert registry.summary(kind, name) == first, "without importing it, too"
    assert set(supplied(cls)) <= SUPPLIED
    for keyword, (annotation, default) in keywords(cls).items():
        assert annotation is not None, keyword
        assert keyword in cls.__doc__, f"the docstring does not say what `{keyword}` is"
        assert not isinstance(default, dict | list | set), f"`{keyword}` has a mutable default"
    kinds = {p.kind for p in inspect.signature(cls.__init__).parameters.values()}
    assert kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


def test_settings_survive_a_round_trip(example) -> None:
    """What is resolved is plain data, and validates to the same part again."""
    plain = example.part.resolved()
    node = parse(yaml.safe_dump({"part": plain}), "example.yaml")["part"]
    problems: list[str] = []
    again = validate_part(example.part.kind, node, ("part",), Node(), problems)
    assert not problems
    assert again is not None
    assert digest(again.resolved()) == digest(plain), "the run's id would change"


def test_every_trainable_parameter_gets_a_gradient(module, answer) -> None:
    built = module.build().train()
    torch.manual_seed(1)
    values = [t for t in answer(built, module.samples) if t.requires_grad]
    sum((t * torch.randn_like(t)).sum() for t in values).backward()
    trained = [(n, p) for n, p in built.named_parameters() if p.requires_grad]
    assert trained
    for name, parameter in trained:
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), f"{name} has no part in the answer"


def test_eval_mode_is_deterministic(module, answer) -> None:
    built = module.build().eval()
    first, second = (answer(built, module.samples) for _ in range(2))
    assert len(first) == len(second) > 0
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_weights_are_the_whole_state(module, answer) -> None:
    """A part with other weights gives the same once the weights are put in."""
    one, other = module.build(seed=1), module.build(seed=2)
    other.load_state_dict(one.state_dict())
    first, second = (answer(built.eval(), module.samples) for built in (one, other))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_seed_is_the_only_chance(module) -> None:
    one, other = module.build(seed=3).state_dict(), module.build(seed=3).state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
