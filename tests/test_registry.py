"""The registry is a dictionary with a good error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from zoo import registry
from zoo.errors import ConfigError, near


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is forgotten after it."""
    before = set(registry._registered)
    monkeypatch.setattr(registry, "_plugins_loaded", True)
    yield
    for key in registry._registered.keys() - registry.BUILT_IN.keys() - before:
        del registry._registered[key]


def test_names_come_without_their_modules(tmp_path: Path) -> None:
    code = (
        "import sys; from zoo import registry; print(registry.names('decoder')); "
        "print([m for m in sys.modules if m in ('torch', 'zoo.decoders.crf')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    names, loaded = done.stdout.splitlines()
    assert "'crf'" in names
    assert loaded == "[]"


def test_resolve_imports_the_module() -> None:
    cls = registry.resolve("decoder", "crf")
    assert (cls.__module__, cls.__name__) == ("zoo.decoders.crf", "Crf")
    assert registry.resolve("decoder", "crf") is cls


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        ("decoder", "crff", "did you mean `crf`?"),
        ("fuser", "cross_atention", "did you mean `cross_attention`?"),
        ("aligner", "zzz", "there is: "),
    ],
)
def test_unknown_names_get_a_hint(kind: str, name: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        registry.resolve(kind, name)
    assert str(caught.value).startswith(f"unknown {kind} `{name}`; ")
    assert hint in str(caught.value)


def test_the_same_name_may_stand_in_two_kinds() -> None:
    @registry.register("fuser", "test_both")
    class One: ...

    @registry.register("decoder", "test_both")
    class Other: ...

    assert registry.resolve("fuser", "test_both") is One
    assert registry.resolve("decoder", "test_both") is Other
    assert "test_both" in registry.names("fuser")
    assert registry.names("fuser") == sorted(registry.names("fuser"))


def test_unknown_kind() -> None:
    with pytest.raises(ConfigError, match="did you mean `fuser`"):
        registry.register("fusor", "x")


def test_a_name_that_is_taken() -> None:
    class Mine: ...

    for name in ("crf", "softmax"):  # whether its module was imported already or not
        with pytest.raises(ConfigError, match="taken by zoo"):
            registry.register("decoder", name)(Mine)
    registry.register("decoder", "test_taken")(Mine)
    Other = type("Other", (), {"__module__": "elsewhere"})
    with pytest.raises(ConfigError, match="taken"):
        registry.register("decoder", "test_taken")(Other)
    again = type("Mine", (), {"__module__": Mine.__module__})
    registry.register("decoder", "test_taken")(again)  # its own module, loaded anew
    assert registry.resolve("decoder", "test_taken") is again


def test_near() -> None:
    assert near("fusor", ["fuser", "decoder"]) == "; did you mean `fuser`?"
    assert near("xyz", ["b", "a"]) == "; there is: a, b"
    assert near("xyz", []) == "; there is none"
    assert near(3, ["30"]) != ""


# Plug-ins ----------------------------------------------------------------------------------------

PLUGIN = "from zoo.registry import register\n@register('fuser', '{name}')\nclass C: ...\n"


def entry(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if an installed package had this module for an entry point."""
    points = [EntryPoint("mine", module, "zoo.plugins")]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    monkeypatch.setattr(registry, "_may_have_plugins", lambda: True)
    monkeypatch.setattr(registry, "_plugins_loaded", False)


def test_entry_points_are_loaded_when_names_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_entry_module.py").write_text(PLUGIN.format(name="test_entry"))
    monkeypatch.syspath_prepend(tmp_path)
    entry("test_entry_module", monkeypatch)
    assert "test_entry_module" not in sys.modules
    assert registry.resolve("fuser", "test_entry").__module__ == "test_entry_module"
    assert "test_entry" in registry.names("fuser")


def test_an_entry_point_that_breaks_names_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_broken_module.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    entry("test_broken_module", monkeypatch)
    with pytest.raises(ConfigError, match=r"`mine` \(test_broken_module\).*ZeroDivisionError"):
        registry.names("fuser")


def test_plug_in_files(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(PLUGIN.format(name="test_file"))
    registry.load_plugin_file(file)
    first = registry.resolve("fuser", "test_file")
    registry.load_plugin_file(file)
    assert registry.resolve("fuser", "test_file") is first, "a file is loaded once"
    file.write_text(PLUGIN.format(name="test_fine"))  # of the same size, within the same second
    registry.load_plugin_file(file)
    names = registry.names("fuser")
    assert "test_fine" in names
    assert "test_file" not in names, "and again when it was edited"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def broken(:\n", ["SyntaxError"]),
        ("import nothing_of_that_name\n", ["ModuleNotFoundError", "nothing_of_that_name"]),
        ("raise KeyError('x')\n", ["KeyError"]),
        ("from zoo.registry import register\nregister('fusor', 'x')\n", ["`fuser`"]),
    ],
)
def test_plug_in_files_that_break(tmp_path: Path, text: str, words: list[str]) -> None:
    file = tmp_path / "own.py"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        registry.load_plugin_file(file)
    assert len(caught.value.problems) == 1
    assert all(word in str(caught.value) for word in words)


def test_no_such_plug_in_file(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.py", tmp_path):
        with pytest.raises(ConfigError, match="no such file"):
            registry.load_plugin_file(path)
    (tmp_path / "notes.txt").write_text("no Python")
    with pytest.raises(ConfigError, match="not a Python file"):
        registry.load_plugin_file(tmp_path / "notes.txt")
