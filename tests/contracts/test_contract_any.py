"""What holds for the registry and for every built-in part, of whatever kind."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

from zoo import registry
from zoo.build import build
from zoo.contracts.common import BASES, specify
from zoo.contracts.examples import examples as named_examples
from zoo.contracts.inputs import SUPPLIED, make_known, make_samples
from zoo.registry import load_plugin_file, register
from zoo.schema import SystemSpec, keywords

REGISTERED = [(kind, name) for kind in registry.KINDS for name in registry.names(kind)]


def test_every_part_has_an_example(examples) -> None:
    """The meta-test: a part that is registered and not tested fails here."""
    untested = set(REGISTERED) - set(examples)
    assert not untested, "add examples to tests/contracts/conftest.py"
    assert not set(examples) - set(REGISTERED), "examples of parts that are not registered"
    assert all(examples.values())


@pytest.mark.parametrize(("kind", "name"), REGISTERED)
def test_every_class_names_an_example(kind: str, name: str) -> None:
    """What `zoo contract` and `zoo show` use; it is valid, too."""
    cls = registry.resolve(kind, name)
    assert named_examples(cls)
    for settings in named_examples(cls):
        spec = specify(kind, name, settings)
        assert not isinstance(spec, list), spec


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
    for keyword, (annotation, _) in keywords(cls).items():
        assert annotation is not None, keyword
        assert keyword in cls.__doc__, f"the docstring does not say what `{keyword}` is"


def test_there_is_something_to_train(module) -> None:
    """Else the contract's check of gradients would look at nothing."""
    # a control and a detector, in which nothing is trained on purpose; and losses of the system's
    # own parameters, whose gradient the contract of objectives looks at
    if module.name in ("random_vectors", "detector", "cross_view"):
        assert not any(p.requires_grad for p in module.build().parameters())
        return
    assert any(p.requires_grad for p in module.build().parameters())


@pytest.mark.usefixtures("new_parts")
def test_the_builder_supplies_what_the_contract_says(tmp_path: Path) -> None:
    """Parts that ask for all of it are built in a system."""
    lines = ["from zoo.contracts import inputs", "from zoo.registry import register, resolve"]
    chosen = {"text_encoder": "bilstm", "aligner": "contrastive", "fuser": "collaboration"}
    chosen |= {"decoder": "span_classifier", "image_encoder": "small_cnn"}
    own = dict.fromkeys(chosen, ()) | {"text_encoder": ("state=32",)}
    for kind, name in chosen.items():
        names = ", ".join(SUPPLIED[kind])
        lines += [
            f"Base = resolve({kind!r}, {name!r})",
            f"@register({kind!r}, 'asks_all')",
            f"class {kind}(Base):",
            f"    def __init__(self, {names}):",
            f"        super().__init__({', '.join([*registry_asks(kind, name), *own[kind]])})",
            f"        self.asked = dict({', '.join(f'{n}={n}' for n in SUPPLIED[kind])})",
        ]
    file = tmp_path / "asks_all.py"
    file.write_text("\n".join(lines))
    load_plugin_file(file)
    specs = {kind: specify(kind, "asks_all", {}) for kind in chosen}
    system = build(
        SystemSpec(
            name="all",
            backbone="none",
            text=specs["text_encoder"],
            joint=None,
            views={"grid": specs["image_encoder"]},
            aligner=(specs["aligner"],),
            fuser=specs["fuser"],
            decoder=specs["decoder"],
            loss_weights={},
        ),
        make_samples(),
        tmp_path,
    )
    parts = {
        "text_encoder": system.text,
        "image_encoder": system.views["grid"],
        "aligner": system.aligner[0],
        "fuser": system.fuser,
        "decoder": system.decoder,
    }
    for kind, part in parts.items():
        assert {n: type(v) for n, v in part.asked.items()} == {
            n: type(v) for n, v in make_known(kind).items()
        }


def registry_asks(kind: str, name: str) -> tuple[str, ...]:
    """The positional arguments of a built-in part."""
    from zoo.schema import supplied

    return supplied(registry.resolve(kind, name))


def test_register_is_what_a_part_is_known_by() -> None:
    """A class that is not registered has no contract."""
    from zoo.contracts.check import check

    class Nobody:
        """Not registered."""

    assert check("fuser", Nobody, {}) == [
        "not registered; decorate it with @register('fuser', NAME)"
    ]
    assert register is registry.register
