"""``--json`` on every verb: standard output parses, and nothing else is on it."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from tests.conftest import REGISTRY, ROOT
from zoo import cli
from zoo.cli import options

PLUGIN = "print('a plug-in that prints')\n"
RUN = "run", "--system", "plain", "--jobs", "1"
"""What trains the run that others are about."""

VERBS: dict[str, list[str]] = {
    "init": ["init", "made"],
    "run": [*RUN, "--rerun", "always"],
    "ablate": ["ablate", "--dry-run"],
    "tune": ["tune", "--dry-run", "--system", "plain"],
    "list": ["list", "decoder"],
    "show": ["show", "plain"],
    "cite": ["cite", "crf"],
    "compare": ["compare", "plain", "plain"],
    "predict": ["predict", "plain@mini", "--text", "Anna saw 😀"],
    "leaderboard": ["leaderboard"],
    "runs": ["runs"],
    "runs rm": ["runs", "rm", "--system", "other", "--yes"],
    "runs verify": ["runs", "verify"],
    "runs withhold": ["runs", "withhold", "--system", "other"],
    "runs export": ["runs", "export", "plain@mini", "out"],
    "models offline": ["models", "offline", "e5-small"],
    "data list": ["data", "list"],
    "data check": ["data", "check"],
    "data stats": ["data", "stats"],
    "data overlap": ["data", "overlap", "--exact"],
    "data import": ["data", "import", "posts.jsonl", "mine", "--split", "50/50"],
    "contract": ["contract", "softmax"],
    "score": ["score", "gold.txt", "gold.txt"],
}
LINES = {"predict"}
"""Verbs that print a JSON object a line."""

DOES = {
    "init", "run", "ablate", "tune", "predict", "runs rm", "runs verify", "runs withhold",
    "runs export", "models offline", "data import",
}  # fmt: skip
"""Verbs that do more than look something up."""

SILENT = {"init", "runs rm", "runs verify", "runs withhold", "models offline", "data import"}
"""Those of them that have no result to print."""


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its words."""
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    if command.invoke_without_command:
        yield " ".join(path), command
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from leaves(inner, (*path, name))


COMMANDS = dict(leaves(cli.cli))


def opts(command: click.Command) -> set[str]:
    return {each for option in command.params for each in option.opts}


Use = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a registry, a stored run and what the verbs read."""
    import zoo

    place = tmp_path_factory.mktemp("verbs")
    ablations = "ablations:\n  one: {base: plain, arms: {bioes: {decoder.scheme: BIOES}}}\n"
    (place / "registry.yaml").write_text(REGISTRY + ablations, encoding="utf-8")
    (place / "loud.py").write_text(PLUGIN)
    (place / "gold.txt").write_text("Anna B-PER\n")
    posts = ({"text": f"Anna {i}", "label": [[0, 4, "PER"]]} for i in range(4))
    (place / "posts.jsonl").write_text("\n".join(map(json.dumps, posts)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(place / "cache"))
        patch.delenv("ZOO_DATA", raising=False)
        zoo.run(place / "registry.yaml", systems=["plain"], results=place / "results")
    return place


@pytest.fixture
def use(
    folder: Path,
    put_run: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Use:
    """Give a command in that folder; what it prints, and what it says."""
    for made in ("out", "mine", "made", "results/runs/other"):
        shutil.rmtree(folder / made, ignore_errors=True)
    put_run(folder / "results", system="other")
    offline = folder / "offline"
    offline.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("ZOO_DATA", raising=False)
    monkeypatch.setenv("ZOO_CACHE", str(folder / "cache"))
    monkeypatch.setattr("zoo.encoders.converters.convert", lambda *_: print("a library prints"))
    monkeypatch.setattr("zoo.encoders.offline.locate_offline", lambda _: offline)

    def run(*args: str) -> tuple[str, str]:
        monkeypatch.setattr("sys.argv", ["zoo", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        assert stop.value.code == 0, captured.err
        return captured.out, captured.err

    return run


def test_every_verb_is_here() -> None:
    assert COMMANDS.keys() == VERBS.keys()


@pytest.mark.parametrize("name", VERBS)
def test_json_alone(use: Use, name: str) -> None:
    command, args = COMMANDS[name], [*VERBS[name], "--json"]
    if "--plugin" in opts(command):
        args += ["--plugin", "loud.py"]
    out, said = use(*args)
    found = [json.loads(line) for line in out.splitlines()] if name in LINES else [json.loads(out)]
    assert found
    assert all(isinstance(each, dict) for each in found)
    assert "--plugin" not in opts(command) or "a plug-in that prints" in said
    assert name != "models offline" or "a library prints" in said


@pytest.mark.parametrize("name", [name for name in VERBS if name in DOES])
def test_quiet(use: Use, name: str) -> None:
    out, said = use(*VERBS[name], "--quiet")
    assert said == ""
    if name in SILENT:
        assert out.replace("a library prints\n", "") == ""
    elif name != "predict":  # which may have found nothing
        assert out


def test_who_may_be_quiet() -> None:
    assert {name for name, command in COMMANDS.items() if "--quiet" in opts(command)} == DOES


def test_the_page_names_every_verb() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    table = text.partition("## Output for programs")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    named = {each for cell in cells for each in re.findall(r"`([^`]+)`", cell)}
    assert {each.partition(" --")[0] for each in named} == VERBS.keys()


def test_a_question_is_no_result(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    """``runs rm --json`` asks on standard error."""
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    out, said = use("runs", "rm", "--json")
    assert json.loads(out) == {"deleted": []}
    assert "Delete 2 runs?" in said


def test_results_are_written_where_nothing_was_kept() -> None:
    assert options.stdout() is sys.stdout
