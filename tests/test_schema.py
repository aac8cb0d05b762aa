"""The constructor signature is the schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from zoo import registry
from zoo.errors import ConfigError
from zoo.parts import Decoder, Fuser, TextEncoder
from zoo.schema import PartSpec, keywords, model, nested_kind, supplied, validate_part
from zoo.yaml import Node, parse, place


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    depth: Annotated[int, Field(ge=1)] = 1
    name: str = "x"


class Example:
    """An example of a part."""

    def __init__(
        self,
        width: int,
        types: list[str],
        *,
        needed: int,
        rate: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        mode: Literal["one", "other"] = "one",
        size: int | None = 3,
        names: Sequence[str] = ("a",),
        inner: Inner = Inner(),  # noqa: B008
        flag: bool = False,
    ) -> None: ...


class Outer(TextEncoder):
    """An encoder that has others in it."""

    def __init__(self, *, first: TextEncoder, scale: float = 1.0) -> None: ...


class Wide(TextEncoder):
    """An encoder that has so many others in it that they are in order by no accident."""

    def __init__(
        self,
        *,
        f: TextEncoder,
        e: TextEncoder,
        d: TextEncoder,
        c: TextEncoder,
        b: TextEncoder,
        a: TextEncoder,
    ) -> None: ...


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    before = set(registry._registered)
    registry.register("decoder", "test_example")(Example)
    registry.register("text_encoder", "test_outer")(Outer)
    registry.register("text_encoder", "test_wide")(Wide)
    yield
    for key in registry._registered.keys() - registry.BUILT_IN.keys() - before:
        del registry._registered[key]


def check(
    settings: str, kind: str = "decoder", name: str = "test_example"
) -> tuple[Any, list[str]]:
    """The part, and what is wrong."""
    root = parse(f"systems:\n  s:\n    slot: {{part: {name}, {settings}}}\n", "r.yaml")
    slots = root["systems"]["s"]
    try:
        return validate_part(kind, slots["slot"], slots.where["slot"]), []
    except ConfigError as error:
        return None, list(error.problems)


def test_who_supplies_what() -> None:
    assert supplied(Example) == ("width", "types")
    assert list(keywords(Example)) == [
        "needed", "rate", "mode", "size", "names", "inner", "flag"
    ]  # fmt: skip
    assert keywords(Example)["needed"][1] is ...
    assert model(Example).model_config["extra"] == "forbid"
    assert [nested_kind(base) for base in (TextEncoder, Fuser, Decoder, int, Outer)] == [
        "text_encoder", "fuser", "decoder", None, None
    ]  # fmt: skip


def test_settings_and_defaults() -> None:
    part, _ = check("needed: 2, rate: 0, inner: {depth: 4}, names: [b, c], size: null")
    assert isinstance(part, PartSpec)
    assert (part.kind, part.name, part.cls, part.frozen) == (
        "decoder", "test_example", Example, False
    )  # fmt: skip
    assert part.settings["rate"] == 0.0
    assert part.settings["size"] is None
    assert part.resolved() == {
        "part": "test_example",
        "needed": 2,
        "rate": 0,
        "mode": "one",
        "size": None,
        "names": ["b", "c"],
        "inner": {"depth": 4, "name": "x"},
        "flag": False,
    }


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("rate: 0.1", ["`needed` is missing"]),
        ("needed: 1, needed_: 2", ["unknown key `needed_` in systems.s.slot", "`needed`?"]),
        ("needed: '1'", ["systems.s.slot.needed", "'1'"]),
        ("needed: 1.0", ["systems.s.slot.needed", "1.0"]),
        ("needed: true", ["systems.s.slot.needed", "True"]),
        ("needed: 1, rate: 1", ["slot.rate", "less than 1"]),
        ("needed: 1, rate: .nan", ["slot.rate"]),
        ("needed: 1, mode: neither", ["slot.mode", "'one' or 'other'", "'neither'"]),
        ("needed: 1, flag: 1", ["slot.flag"]),
        ("needed: 1, names: a", ["slot.names"]),
        ("needed: 1, names: [1]", ["slot.names.0", "1"]),
        ("needed: 1, inner: {depth: 0}", ["slot.inner.depth", "0"]),
        ("needed: 1, inner: {dept: 1}", ["`dept`", "systems.s.slot.inner", "`depth`?"]),
        ("needed: 1, inner: 3", ["slot.inner"]),
        ("needed: 1, width: 3", ["unknown key `width`"]),
        ("needed: 1, frozen: true", ["unknown key `frozen`"]),
    ],
)
def test_mistakes(settings: str, words: list[str]) -> None:
    part, problems = check(settings)
    assert part is None
    assert len(problems) == 1
    assert "r.yaml:3" in problems[0]
    assert "\n" not in problems[0]
    assert all(word in problems[0] for word in words), problems[0]


def test_every_mistake_in_one_pass() -> None:
    _, problems = check("rate: 7, mode: x, flagg: true, inner: {depth: 0}")
    assert len(problems) == 5


def test_nested_parts() -> None:
    inner = "{part: transformer, scratch: {layers: 1}}"
    part, _ = check(f"first: {inner}, frozen: true", "text_encoder", "test_outer")
    assert part.frozen
    assert part.settings == {"scale": 1.0}
    assert [p.name for p in part.walk()] == ["test_outer", "transformer"]
    assert part.resolved()["frozen"] is True
    assert part.resolved()["first"]["scratch"] == {"layers": 1}

    deep = f"first: {{part: test_outer, first: {inner}}}"
    part, _ = check(deep, "text_encoder", "test_outer")
    assert len(part.walk()) == 3

    wide = ", ".join(f"{name}: {{part: bilstm}}" for name in "abcdef")
    part, _ = check(wide, "text_encoder", "test_wide")
    assert list(part.nested) == list("fedcba"), "the order in which they are built"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("scale: 2", ["`first` is missing", "text_encoder"]),
        ("first: {part: bilstmm}", ["slot.first.part", "`bilstmm`", "`bilstm`?"]),
        ("first: {part: crf}", ["unknown text_encoder `crf`"]),
        ("first: {}", ["slot.first", "`part` is missing"]),
        ("first: {part: 3}", ["slot.first", "`part` must be a name, not 3; name a"]),
        ("first: bilstm", ["slot.first", "mapping"]),
        ("first: {part: bilstm, state: 0}", ["slot.first.state"]),
        ("first: {part: bilstm, stat: 1}", ["`stat`", "systems.s.slot.first", "`state`?"]),
        ("first: {part: transformer, scratch: {leyers: 1}}", ["leyers"]),
    ],
)
def test_mistakes_in_nested_parts(settings: str, words: list[str]) -> None:
    part, problems = check(settings, "text_encoder", "test_outer")
    assert part is None
    assert len(problems) == 1
    assert "r.yaml:3" in problems[0]
    assert all(word in problems[0] for word in words), problems[0]


def test_places() -> None:
    root = parse("a:\n  b: 1\n", "r.yaml")
    assert str(place(root, ("a", "b"))) == "a.b (r.yaml:2)"
    assert str(place(root, ("a", "c"))) == "a (r.yaml:1)", "the deepest that is there"
    assert str(place(Node(), ("a",))) == ""
