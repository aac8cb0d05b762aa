"""YAML without its traps, and with line numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.config.tree import merge
from zoo.errors import ConfigError
from zoo.yaml import Node, load, parse, place, plain

SCALARS = [
    ("1e-5", 1e-5),
    ("5E3", 5000.0),
    ("-1.5e+2", -150.0),
    (".5", 0.5),
    ("2.", 2.0),
    ("010", 10),
    ("-007", -7),
    ("0o17", 15),
    ("0x1F", 31),
    ("12", 12),
    ("+3", 3),
    ("no", "no"),
    ("NO", "NO"),
    ("yes", "yes"),
    ("on", "on"),
    ("off", "off"),
    ("y", "y"),
    ("true", True),
    ("False", False),
    ("null", None),
    ("~", None),
    ("", None),
    ("1_000", "1_000"),
    ("12:30:45", "12:30:45"),
    ("2024-01-31", "2024-01-31"),
    ("1.2.3", "1.2.3"),
    ("e5", "e5"),
    ("'1e-5'", "1e-5"),
    ('"no"', "no"),
    ("'null'", "null"),
    ("+.inf", float("inf")),
    ("-.inf", float("-inf")),
]


@pytest.mark.parametrize(("text", "value"), SCALARS, ids=[repr(text) for text, _ in SCALARS])
def test_scalars(text: str, value: object) -> None:
    found = parse(f"key: {text}", "x.yaml")["key"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    value = parse("key: .nan", "x.yaml")["key"]
    assert value != value


def test_norway() -> None:
    assert plain(parse("languages: [en, no, de]", "x")) == {"languages": ["en", "no", "de"]}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcxyz _-.$*", min_size=1, max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_json_is_yaml(value: object) -> None:
    found = plain(parse(json.dumps(value, indent=1), "x.yaml"))
    assert found == value
    assert json.dumps(found) == json.dumps(value), "types too"


def test_every_key_knows_its_line() -> None:
    root = parse("a:\n  b: 1\n  c:\n    - d: 2\n    - e: 3\nf: {g: 4,\n  h: 5}\n", "x.yaml")
    places = {
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "c"): 3,
        ("a", "c", 0, "d"): 4,
        ("a", "c", 1, "e"): 5,
        ("f", "g"): 6,
        ("f", "h"): 7,
        ("f", "unknown"): 6,
        ("a", "c", 7, "e"): 3,
    }
    assert {path: place(root, path).line for path in places} == {
        path: f"x.yaml:{line}" for path, line in places.items()
    }
    assert place(root, ("unknown",)).line == ""


MISTAKES = [
    ("a: 1\na: 2", ["x.yaml:2", "duplicate key `a`", "x.yaml:1"]),
    ("a: {b: 1, b: 2}", ["x.yaml:1", "duplicate key `b`"]),
    ("a: 1\n'a': 2", ["x.yaml:2", "duplicate"]),
    ("a: [1, 2", ["x.yaml:", "not valid YAML"]),
    ("a: 1\n\tb: 2", ["x.yaml:2", "not valid YAML"]),
    ("a: *nowhere", ["x.yaml:1", "not valid YAML", "nowhere"]),
    ("a: &x {b: *x}", ["x.yaml:1", "contains itself"]),
    ("a: &x [1, *x]", ["x.yaml:1", "contains itself"]),
    ("{a: 1}: 2", ["x.yaml:1", "a key must be text"]),
    ("a: {<<: [1]}", ["x.yaml:1", "`<<`"]),
    ("a: 1\n---\nb: 2", ["x.yaml:", "not valid YAML"]),
    ("a: \x07", ["x.yaml", "not valid YAML"]),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES, ids=[repr(text) for text, _ in MISTAKES])
def test_mistakes(text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "x.yaml")
    (line,) = caught.value.problems
    assert "\n" not in line
    assert all(word in line for word in words), line


def test_all_mistakes_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("a: 1\na: 2\nb: {c: 1, c: 2}\n", "x.yaml")
    assert len(caught.value.problems) == 2


def test_anchors_and_merge_keys() -> None:
    root = parse("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: *a\n", "x.yaml")
    assert plain(root) == {"a": {"x": 1, "y": 2}, "b": {"y": 3, "x": 1}, "c": {"x": 1, "y": 2}}
    assert place(root, ("b", "x")).line == "x.yaml:1", "where it was written"
    assert place(root, ("b", "y")).line == "x.yaml:4"


def test_merge_goes_into_depth() -> None:
    base = parse("text: {part: a, x: 1}\nfuser: {part: f, heads: 2}\nkeep: 0", "base.yaml")
    changes = parse("fuser: {heads: 4}\nmore: 5", "changes.yaml")
    merged = merge(base, changes)
    assert plain(merged) == {
        "text": {"part": "a", "x": 1},
        "fuser": {"part": "f", "heads": 4},
        "keep": 0,
        "more": 5,
    }
    assert place(merged, ("fuser", "heads")).line == "changes.yaml:1"
    assert place(merged, ("fuser", "part")).line == "base.yaml:2"
    assert plain(base)["fuser"] == {"part": "f", "heads": 2}, "the base stays as it is"


def test_another_part_starts_afresh() -> None:
    base = parse("decoder: {part: crf, scheme: BIOES}", "x")
    same = merge(base, parse("decoder: {part: crf, dropout: 0}", "x"))
    other = merge(base, parse("decoder: {part: softmax}", "x"))
    assert plain(same)["decoder"] == {"part": "crf", "scheme": "BIOES", "dropout": 0}
    assert plain(other)["decoder"] == {"part": "softmax"}


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    with pytest.raises(ConfigError, match="no such file"):
        load(file)
    for content in (b"- 1\n", b"", b"word\n"):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match="top level must be a mapping"):
            load(file)
    file.write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigError, match="can't be read"):
        load(file)
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path)
    file.write_bytes("\ufeffa: 1\r\nb: é\r\n".encode())
    root = load(file)
    assert isinstance(root, Node)
    assert plain(root) == {"a": 1, "b": "é"}
    assert place(root, ("b",)).line == "x.yaml:2"
