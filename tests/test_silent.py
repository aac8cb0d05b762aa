"""Mistakes in a registry that once changed nothing, or something else, without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.config.read import read
from zoo.errors import ConfigError
from zoo.identity import configuration, sources
from zoo.registry import load_plugin_file, resolve
from zoo.yaml import flow, parse

ADDED = """\
  more:
    extends: seeing
    {line}
recipes:
"""


def problems(registry: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(registry, overrides).plan()
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("alinger: null", ["`alinger`", "`aligner`"]),
        ("views: {gird: null}", ["`gird`", "`grid`"]),
        ("aligner: [null]", ["aligner", "mapping"]),
        ("decoder: !env CRF", ["tags", "!env"]),
        ("description: !!str 5", ["tags"]),
        ('description: "a\\0b"', ["NUL"]),
        ('description: "\\ud800"', ["character"]),
        ("extends2: 1", ["`extends2`"]),
    ],
)
def test_a_line_that_would_do_nothing(registry: Path, line: str, words: list[str]) -> None:
    text = registry.read_text().replace("recipes:\n", ADDED.format(line=line), 1)
    registry.write_text(text)
    found = problems(registry)
    assert all(word in found for word in words), found


@pytest.mark.parametrize("name", ["gpt-3.5", "a/b", "a\\b", "x" * 101, "漢" * 90])
def test_names_that_no_path_or_file_can_have(registry: Path, name: str) -> None:
    for old in ("plain:\n", "quick:\n", "mini: {"):
        text = registry.read_text().replace(old, old.replace(old.split(":")[0], name), 1)
        path = registry.with_name("other.yaml")
        path.write_text(text, encoding="utf-8")
        assert "can't name a file or be part of a path" in problems(path)


def test_comparisons_are_told_apart_by_more_than_their_title(registry: Path) -> None:
    text = registry.read_text().replace(
        "systems:\n", "systems:\n  plain on b: {extends: plain}\n", 1
    )
    text = text.replace("datasets:\n", "datasets:\n  b on mini: {reader: synthetic}\n", 1)
    text += (
        "ablations:\n  study: {base: [plain, plain on b], datasets: [mini, b on mini], "
        "arms: {short: {recipe.epochs: 2}}}\n"
    )
    registry.write_text(text)
    arms = read(registry).ablations["study"].arms
    assert len({plan.arm.comparison for plan in arms}) == 4
    assert len({plan.arm.comparison.title for plan in arms}) < 4


@pytest.mark.parametrize("name", ["base", "base = same"])
def test_no_arm_is_called_as_the_base_may_be(registry: Path, name: str) -> None:
    registry.write_text(
        f"{registry.read_text()}ablations:\n  study:\n    base: plain\n    arms:\n"
        f"      same: {{}}\n      {name}: {{recipe.epochs: 2}}\n"
    )
    assert "choose another name" in problems(registry)


PLUGIN = """
from zoo.parts import Fuser
from zoo.registry import register

@register("fuser", "{name}")
class C(Fuser):
    "A fuser."
    value = {value}
"""


def test_plug_ins_of_one_file_name_keep_their_own_source(tmp_path: Path) -> None:
    def source(folder: str, value: int) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        file = tmp_path / folder / "parts.py"
        file.write_text(PLUGIN.format(name=f"of_{folder}", value=value))
        load_plugin_file(file)
        return sources([resolve("fuser", f"of_{folder}")])

    one, other = source("a", 1), source("b", 1)
    assert one != other
    assert resolve("fuser", "of_a").__module__ != resolve("fuser", "of_b").__module__
    assert source("a", 2) != one
    assert resolve("fuser", "of_a").value == 2  # type: ignore[attr-defined]
    assert sources([resolve("fuser", "of_b")]) == other


def test_a_setting_named_like_the_model_still_counts(registry: Path, monkeypatch) -> None:
    from zoo.encoders.transformer import Transformer

    monkeypatch.setattr(Transformer, "loaded", classmethod(lambda cls, s: {"caption": "d" * 64}))
    with_context, without = (
        read(registry, [f"systems.plain.text={{part: transformer, model: caption{more}}}"])
        for more in (", context: caption", "")
    )
    recipe = without.recipes["quick"]
    ids = [configuration(c.spec("plain", "tiny"), recipe)[0] for c in (with_context, without)]
    assert ids[0] != ids[1]


@pytest.mark.parametrize("value", ["08", "1e-5", "0o17", ".5e3", "~", "true", "null", "no", "a b"])
def test_text_is_written_as_text(value: str) -> None:
    assert parse(f"x: {flow(value)}", "x")["x"] == value
    assert parse(flow({"key": [value]}), "x") == {"key": [value]}


def test_another_reader_starts_afresh(registry: Path) -> None:
    config = read(registry, ["datasets.mini.reader=bio", "datasets.mini.path=mine"])
    assert config.datasets["mini"].settings["path"] == "mine"
