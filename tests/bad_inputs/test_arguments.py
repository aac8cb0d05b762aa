"""Bad arguments, overrides and plug-ins: one clear line, exit code 2, nothing written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HUGE = "1" + 400 * "0"
LONG = "x" * 5000
PART = "-o", "systems.seeing.fuser.heads"

ARGUMENTS = [
    # Numbers
    *[(["run", "--seed", value], ["--seed"])
      for value in ("-1", "4294967296", "1.5", "nan", "", "1e3", HUGE, "x\ny", "\udcff", LONG)],
    *[(["run", "--jobs", value], ["--jobs"])
      for value in ("0", "-1", "1025", "inf", "", "2.0", HUGE)],
    *[(["compare", "a", "b", "--margin", value], ["--margin"])
      for value in ("0", "-1", "nan", "inf", "-inf", "1e999", "", "half")],
    *[(["runs", "--seed", value], ["--seed"]) for value in ("-1", "x", "1.0", "")],
    # Names
    *[([verb, option, name], [option])
      for verb, option in (("run", "--suite"), ("run", "--system"), ("run", "--dataset"))
      for name in ("gone", "a\nb", "\x1b[2J", "\u202e", "../x", LONG)],
    (["run", "--suite", ""], ["--suite"]),
    (["run", "--system", ""], ["--system"]),
    (["ablate"], ["no section `ablations`"]),
    (["show", "gone"], ["unknown system or part `gone`"]),
    (["show", "a\nb"], ["unknown system or part `a\\nb`"]),
    (["show", LONG], ["unknown system or part"]),
    (["show"], ["NAME"]),
    (["show", "plain", "--backbone", "\x07"], ["--backbone", "\\x07"]),
    (["cite"], ["NAME"]),
    (["cite", "a\nb"], ["unknown system, part or citation key `a\\nb`"]),
    (["cite", LONG], ["unknown system, part or citation key"]),
    (["list", "systems", "--registry", "gone.yaml"], ["gone.yaml"]),
    (["list", "\u2028"], ["unknown kind `\\u2028`"]),
    (["list", "decoder", "more"], ["more"]),
    (["contract", "gone.py"], ["gone.py", "no such file"]),
    (["contract", "gone"], ["`gone`"]),
    (["contract"], ["plug-in"]),
    (["contract", "a\nb"], ["a\\nb"]),
    (["r\nun"], ["unknown command `r un`"]),
    (["\udcff"], ["unknown command"]),
    ([LONG], ["unknown command"]),
    (["run", "--\x1b[2J"], ["\\x1b"]),
    (["run", "a.yaml", "b.yaml"], ["b.yaml"]),
    (["run", "--rerun", "some\ntimes"], ["--rerun"]),
    (["run", "--engine", "gone"], ["engine", "gone"]),
    (["data"], []),
    (["data", "stats", "gone"], ["unknown dataset `gone`"]),
    (["data", "check", "a\nb"], ["unknown dataset `a\\nb`"]),
    (["data", "gone"], ["gone"]),
    (["runs", "gone"], ["gone"]),
    (["runs"], ["results", "no such folder"]),
    (["runs", "rm", "--yes"], ["results", "no such folder"]),
    (["runs", "verify"], ["results", "no such folder"]),
    (["runs", "withhold"], ["say which runs"]),
    (["runs", "--state", "gone"], ["--state"]),
    (["runs", "--json", "rm"], ["behind the sub-command"]),
    (["compare", "a"], ["B"]),
    (["compare", "a", "b"], ["a", "no such file"]),
    (["compare", "a\nb", "c"], ["a\\nb", "no such file"]),
    (["compare", "a.jsonl", "b.jsonl"], ["a.jsonl", "no such file"]),
    (["compare", LONG, "c"], ["too long"]),
    (["compare", "a", "b", "--by", "size"], ["--by"]),
    (["leaderboard"], ["no stored runs"]),
    (["leaderboard", "--results", "registry.yaml"], ["no stored runs"]),
    (["leaderboard", "--results", LONG], []),
    (["score", "registry.yaml"], ["PRED"]),
    (["score", "gone", "gone"], ["gone", "can't be read"]),
    (["score", "{d}", "{d}"], ["can't be read"]),
    (["score", "registry.yaml", "registry.yaml", "--tags", "none"], ["--tags"]),
    (["score", "registry.yaml", "registry.yaml", "--label", "="], ["--label ="]),
    (["score", LONG, LONG], ["can't be read"]),
    (["init", "{d}"], ["exists already"]),
    (["init", "registry.yaml"], ["can't be written"]),
    (["init", LONG], []),
    # Paths
    (["run", LONG], ["too long"]),
    (["run", "\udcff.yaml"], ["no such file"]),
    (["run", "registry.yaml/x"], ["registry.yaml/x"]),
    (["run", "--data", "registry.yaml"], ["--data registry.yaml", "no such folder"]),
    (["run", "--results", "registry.yaml"], ["--results", "not a folder"]),
    (["run", "--results", "registry.yaml/x"], ["--results", "not a folder"]),
    (["run", "--results", LONG], ["too long"]),
    *[(["run", "--plugin", value], ["--plugin"])
      for value in ("gone.py", "{d}", "registry.yaml", LONG, "\udcff.py", "/dev/null")],
    # Overrides
    *[(["run", "-o", value], ["SECTION.NAME.KEY=VALUE"])
      for value in ("", "=", "a", "a=1", "=1", "a..b=1", ".=1", "a.=1", ".a=1", "a.b", "a.b.=1")],
    *[(["run", "-o", f"suites.mini.{rest}"], ["suites.mini"])
      for rest in ("seeds.0=2", "seeds.x=1", "systems.0.x=1", "seeds=-1", "seeds=[-1]",
                   "seeds=[4294967296]", "seeds=[nan]", "systems=[]", "systems=[a]", "gone=1",
                   "seeds=[1e999]", f"seeds=[{HUGE}]", "recipe=[quick]", "backbone=null",
                   "seeds=[.nan]", "systems={{a: b}}")],
    *[(["run", "-o", f"recipes.quick.{rest}"], ["recipes.quick"])
      for rest in ("epochs=0", "epochs=1.5", "epochs=nan", "epochs=.nan", "epochs=.inf",
                   f"epochs={HUGE}", "epochs=[1]", "epochs={a: 1}", "epochs.x=1", "clip=-.inf",
                   "batch_size=1e999", "learning_rates={}", "learning_rates=1", "threads=0",
                   "threads=1025", "gone=1", "learning_rates={a: 1, a: 2}", "epochs=\x1b",
                   "epochs=\u2028", "epochs=a\0b", "epochs='", "epochs=[", "epochs=*a",
                   "epochs=&a [*a]", "epochs=" + "[" * 3000, "epochs=\udcff", f"epochs={LONG}",
                   "epochs=: :", "epochs=!!int x", "epochs=\t- 1")],
    *[(["run", "-o", f"{path}=1"], [path.partition(".")[0]])
      for path in ("gone.a.b", "systems.gone.text", "systems.plain.gone.x",
                   "systems.plain.text.x.y",
                   "datasets.gone.train", "datasets.mini.train.x", "datasets.mini", "systems.plain",
                   "backbones.tiny.text", "backbones.tiny.gone.x", "systems.seeing.views.gone.x",
                   "systems.seeing.views", "systems.seeing.aligner.0.part", "suites.gone.seeds",
                   "systems.seeing.extends", "systems.seeing.aligner")],
    *[([*("run", PART[0]), f"{PART[1]}={value}"], ["fuser.heads"])
      for value in ("0", "-1", "1.5", "x", "[2]", ".nan", HUGE, "1000000000")],
    (["run", "-o", "systems.seeing.views.grid=[]"], ["views.grid"]),
    (["run", "-o", "systems.seeing.aligner=[null]"], ["aligner"]),
    (["run", "-o", "systems.seeing.decoder=null"], ["decoder"]),
    (["run", "-o", "systems.a/b={extends: plain}", "--system", "a/b"], ["can't name"]),
    (["run", "-o", "datasets.a/b={reader: synthetic}"], ["can't name a file"]),
    (["run", "-o", "datasets.mini.size=257"], ["size"]),
    (["run", "-o", "datasets.mini.seed=-1"], ["seed"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("args", "words"),
    ARGUMENTS,
    ids=[f"{i} {ascii(' '.join(a))[-50:]}" for i, (a, _) in enumerate(ARGUMENTS)],
)
def test_arguments(registry: Path, refuse, args: list[str], words: list[str]) -> None:
    refuse(args, words)


PLUGINS = {
    "syntax": ("def", ["SyntaxError"]),
    "indentation": (" x = 1\n  y = 2\n", ["IndentationError"]),
    "raises": ("raise ValueError('a\\nb\\x1b[2J')", ["ValueError", "a\\nb\\x1b"]),
    "exits": ("import sys\nsys.exit(0)", ["SystemExit"]),
    "recursion": ("def f(): f()\nf()", ["RecursionError"]),
    "NUL": ("x = 1\0", ["--plugin"]),
    "Latin-1": (b"x = '\xe9'", ["--plugin"]),
    "binary": (b"\x7fELF\x00\x01", ["--plugin"]),
    "imports": ("import nothing_of_that_name", ["nothing_of_that_name"]),
    "kind": ("from zoo.registry import register\nregister('fusor', 'x')", ["`fuser`"]),
    "taken": (
        "from zoo.registry import register\n@register('fuser', 'cross_attention')\nclass A: ...",
        ["taken"],
    ),
    "long": (f"raise ValueError('{LONG}')", ["ValueError"]),
}


@pytest.mark.parametrize("name", PLUGINS)
def test_plugins(registry: Path, tmp_path: Path, refuse, monkeypatch, name: str) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    content, words = PLUGINS[name]
    raw = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "own.py").write_bytes(raw)
    lines = refuse(["run", "--plugin", "own.py"], ["own" if name != "kind" else "", *words])
    assert len(lines) == 1


@pytest.mark.parametrize(
    "args",
    [
        ["run", "pipe"],
        ["run", "--plugin", "pipe"],
        ["run", "--results", "pipe"],
        ["run", "--data", "pipe"],
        ["score", "pipe", "pipe"],
        ["compare", "pipe", "pipe"],
        ["contract", "pipe"],
        ["runs", "--results", "pipe"],
    ],
    ids=" ".join,
)
def test_pipes_keep_nobody_waiting(registry: Path, tmp_path: Path, refuse, args) -> None:
    os.mkfifo(tmp_path / "pipe")
    refuse(args, ["pipe"])
