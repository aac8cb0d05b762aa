"""``zoo ablate``: from a registry's ablations to runs, tables and plots."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo import cli
from zoo.results.record import read_run

ABLATIONS = """\
ablations:
  parts:
    description: what each part is good for
    base: seeing
    seeds: [1, 2]
    arms:
      default: {aligner.level: sentence}
      spans: {system: spans}
    grid: {aligner.objective: [nt_xent, info_nce]}
    leave_one_out: [aligner]
  noise:
    base: [seeing, plain]
    arms: {spans: {system: spans}}
    across: {dataset.irrelevant: [0, 1]}
"""
FILES = [
    f"{name}.{suffix}"
    for name in ("noise", "parts")
    for suffix in ("csv", "json", "md", "png", "svg", "tex")
]
SUITE = """\
  other:
    systems: [plain]
    datasets: [mini]
    seeds: [3, 4]
    backbone: tiny
    recipe: quick
"""
RUNS = 4 * 2 + 2 * 3 - 2
"""Four arms with two seeds; three systems on two data sets; two runs are in both."""

Use = Callable[..., tuple[int, str, str]]


@pytest.fixture
def registry(registry: Path) -> Path:
    registry.write_text(registry.read_text() + ABLATIONS)
    return registry


@pytest.fixture
def use(registry: Path, monkeypatch, capsys) -> Use:
    """Run the command line in this process: exit code, standard output, standard error."""
    monkeypatch.chdir(registry.parent)
    monkeypatch.delenv("ZOO_DATA", raising=False)
    monkeypatch.setenv("ZOO_CACHE", str(registry.parent / "cache"))
    monkeypatch.setenv("COLUMNS", "200")

    def use(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["zoo", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return stop.value.code, out, err

    return use


_finished: list[tuple[Path, str]] = []


@pytest.fixture
def finished(registry: Path, zoo, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The ablations' runs and tables, made once by a process of their own; what it printed."""
    if not _finished:
        done = zoo("ablate")
        assert (done.returncode, done.stderr) == (0, "")
        kept = tmp_path_factory.mktemp("finished") / "results"
        shutil.copytree(registry.parent / "results", kept)
        _finished.append((kept, done.stdout))
    kept, printed = _finished[0]
    shutil.copytree(kept, registry.parent / "results", dirs_exist_ok=True)
    return printed


def folders(root: Path) -> dict[str, int]:
    """The folder of each run, and when it was written."""
    found = root.glob("runs/*/*/[0-9]*")
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in found}


SCORE = re.compile(r"\d\.\d\d ± ")


def content(root: Path) -> dict[str, object]:
    """What tables and plots say, times aside."""
    answer: dict[str, object] = {}
    for path in sorted((root / "ablations").iterdir()):
        if path.suffix == ".csv":
            rows = list(csv.DictReader(path.open()))
            answer[path.name] = [{**row, "train_seconds": ""} for row in rows]
        elif path.suffix == ".json":
            tables = json.loads(path.read_text())["tables"]
            for table in tables:
                for row in table["rows"]:
                    row["train_seconds"] = None
            answer[path.name] = tables
        elif path.suffix in (".md", ".tex"):
            lines = without_seconds(path.read_text())
            answer[path.name] = lines
        else:
            answer[path.name] = path.read_bytes()
    return answer


def without_seconds(text: str) -> list[list[str]]:
    """The lines, cell by cell, without the column ``train s``."""
    answer, seconds = [], None
    for line in text.splitlines():
        row = [cell.strip() for cell in line.split(" | ")]
        seconds = row.index("train s") if "train s" in row else seconds
        answer.append([cell for i, cell in enumerate(row) if len(row) == 1 or i != seconds])
    return answer


# Runs and tables ----------------------------------------------------------------------------------


def test_what_is_printed_and_written(finished: str, registry: Path) -> None:
    root = registry.parent / "results"
    assert f"{RUNS} runs: 0 of {RUNS} already done, {RUNS} to do" in finished
    assert len(folders(root)) == RUNS, "what two ablations share is made once"
    assert sorted(path.name for path in (root / "ablations").iterdir()) == FILES
    for title in (
        "parts: seeing on mini",
        "noise: seeing on mini, irrelevant=0",
        "noise: plain on mini, irrelevant=1",
    ):
        assert title in finished
    for line in ("parts.{md,csv,tex,json,png,svg}", "noise.{md,csv,tex,json,png,svg}"):
        assert line in finished
    assert "base = default = objective=nt_xent" in finished

    (parts,) = json.loads((root / "ablations" / "parts.json").read_text())["tables"]
    assert [row["arm"] for row in parts["rows"]] == [
        "base = default = objective=nt_xent",
        "spans",
        "objective=info_nce",
        "without aligner",
    ]
    assert [row["n"] for row in parts["rows"]] == [2, 2, 2, 2]
    base, *others = parts["rows"]
    assert base["delta"] is base["p"] is None
    for row in others:
        assert row["delta"] == pytest.approx(row["f1"]["mean"] - base["f1"]["mean"])
        assert 0 < row["p_runs"] <= row["p_runs_holm"] <= 1
    assert (
        (root / "ablations" / "parts.md")
        .read_text()
        .startswith("# parts: what each part is good for\n")
    )
    noise = json.loads((root / "ablations" / "noise.json").read_text())["tables"]
    assert [(table["base"], table["across"]) for table in noise] == [
        ("seeing", "irrelevant=0"),
        ("seeing", "irrelevant=1"),
        ("plain", "irrelevant=0"),
        ("plain", "irrelevant=1"),
    ]
    assert len({table["fingerprint"] for table in noise}) == 2
    records = [read_run(path.parent) for path in root.glob("runs/*/*/*/run.json")]
    assert {(record.arm or "").partition(":")[0] for record in records} == {"parts", "noise"}
    assert ["systems.seeing.aligner=null"] in [record.overrides for record in records]


def test_the_second_time_nothing_is_trained(finished: str, registry: Path, use: Use) -> None:
    root = registry.parent / "results"
    before, files = folders(root), {p: p.read_bytes() for p in (root / "ablations").iterdir()}
    code, out, err = use("ablate", "registry.yaml")
    assert (code, err) == (0, "")
    assert f"{RUNS} runs: {RUNS} of {RUNS} already done, 0 to do" in out
    assert "epoch 1/1" not in out
    assert folders(root) == before
    assert {p: p.read_bytes() for p in (root / "ablations").iterdir()} == files
    rows = [line for line in finished.splitlines() if SCORE.search(line)]
    assert len(rows) == 4 + 4 * 2
    assert [line for line in out.splitlines() if SCORE.search(line)] == rows


def test_test_posts_in_the_training_set_are_told(finished: str, registry: Path, use: Use) -> None:
    for file in (registry.parent / "results" / "datasets").iterdir():
        posts = json.loads(file.read_text())
        posts["train"]["ids"].append(posts["test"]["ids"][0])
        file.write_text(json.dumps(posts))
    code, out, _ = use("ablate", "--ablation", "parts")
    assert code == 0
    assert "In the training set stand: 1 by id and" in " ".join(out.split())


def test_what_is_missing_is_made(finished: str, registry: Path, use: Use) -> None:
    root = registry.parent / "results"
    before, tables = folders(root), content(root)
    gone = next(name for name in before if "/seeing/" in name)
    shutil.rmtree(root / gone)
    code, out, _ = use("ablate")
    assert code == 0
    assert f"{RUNS} runs: {RUNS - 1} of {RUNS} already done, 1 to do" in out
    after = folders(root)
    assert after.keys() == before.keys()
    assert [name for name in after if after[name] != before[name]] == [gone]
    assert content(root) == tables


def test_a_suite_s_runs_are_found(finished: str, registry: Path, use: Use) -> None:
    """The base is the system as every suite has it."""
    code, out, _ = use("run", "--seed", "1", "--system", "seeing", "--system", "spans")
    assert code == 0
    assert "2 of 2 already done, 0 to do" in out


def test_one_ablation_one_seed_one_override(finished: str, registry: Path, use: Use) -> None:
    root = registry.parent / "results"
    noise = (root / "ablations" / "noise.md").read_bytes()
    command = ["ablate", "--ablation", "parts", "--seed", "2", "--rerun", "never"]
    code, out, _ = use(*command)
    assert code == 0
    assert "4 runs: 4 of 4 already done, 0 to do" in out
    assert "noise" not in out
    (parts,) = json.loads((root / "ablations" / "parts.json").read_text())["tables"]
    assert [row["n"] for row in parts["rows"]] == [2, 2, 2, 2], "what is stored is shown"

    code, out, _ = use(*command, "-o", "recipes.quick.epochs=2")
    assert code == 0
    assert "4 runs: 0 of 4 already done, 0 to do" in out
    (parts,) = json.loads((root / "ablations" / "parts.json").read_text())["tables"]
    assert [row["n"] for row in parts["rows"]] == [0, 0, 0, 0]
    assert [row["f1"] for row in parts["rows"]] == [None] * 4
    assert "With -o recipes.quick.epochs=2." in parts["notes"]
    assert (root / "ablations" / "noise.md").read_bytes() == noise


def test_another_suite_s_data_and_seeds(registry: Path, use: Use) -> None:
    """What an ablation does not say is that of the suite; its tables have names of their own."""
    registry.write_text(registry.read_text().replace("ablations:\n", f"{SUITE}ablations:\n"))
    code, out, _ = use("ablate", "--suite", "other", "--ablation", "noise", "--dry-run")
    assert code == 0
    assert "noise: seeing on mini, irrelevant=1, seeds 3, 4:" in out
    code, out, _ = use("ablate", "--suite", "other", "--ablation", "noise", "--seed", "3")
    assert code == 0
    assert sorted(p.name for p in Path("results/ablations").iterdir()) == [
        name.replace("noise", "noise-other") for name in FILES if name.startswith("noise")
    ]
    (record, *_) = (read_run(p.parent) for p in Path("results").glob("runs/*/*/*/run.json"))
    assert (record.seed, record.recipe) == (3, "quick")


def test_dry_run_lists_everything_and_writes_nothing(registry: Path, use: Use) -> None:
    code, out, err = use("ablate", "--dry-run")
    assert (code, err) == (0, "")
    assert [p.name for p in registry.parent.iterdir()] == ["registry.yaml"]
    assert "parts: seeing on mini, seeds 1, 2:" in out
    assert "  base = default = objective=nt_xent: as it is; 2 of 2 to run" in out
    assert "  spans: spans: as it is; 2 of 2 to run" in out
    assert "  without aligner: systems.seeing.aligner=null; 2 of 2 to run" in out
    assert "  base: datasets.mini.irrelevant=1; 1 of 1 to run" in out
    assert f"would run {RUNS} of {RUNS} runs" in out


def test_two_systems_that_are_one(registry: Path, use: Use) -> None:
    """The text-only version of one system is another; it is run once, and found again."""
    text = registry.read_text().partition("ablations:\n")[0]
    registry.write_text(f"""{text}ablations:
  a: {{base: seeing, leave_one_out: [views]}}
  b: {{base: seeing, arms: {{plain: {{system: plain}}}}}}
""")
    code, out, _ = use("ablate")
    assert code == 0
    assert "2 runs: 0 of 2 already done, 2 to do" in out
    root = registry.parent / "results"
    made = folders(root)
    assert len(made) == 2
    rows = [
        json.loads((root / "ablations" / f"{name}.json").read_text())["tables"][0]["rows"][1]
        for name in ("a", "b")
    ]
    assert {**rows[0], "arm": "plain"} == rows[1]
    assert "2 of 2 already done, 0 to do" in use("ablate")[1]


# Failures -----------------------------------------------------------------------------------------

BROKEN = '''\
import os, signal
from pathlib import Path
from zoo.decoders.crf import Crf
from zoo.parts import Decoder
from zoo.registry import register

@register("decoder", "test_odd")
class Odd(Decoder):
    """Fails where there is a file `fail`, dies where there is a file `die`."""
    loss_names = ("crf",)
    def __init__(self, fused: int, types: list):
        super().__init__()
        self.crf = Crf(fused, types)
    def loss(self, units, text, gold):
        if Path("fail").exists():
            raise RuntimeError("the dog ate it")
        if Path("die").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return self.crf.loss(units, text, gold)
    def decode(self, units, text):
        return self.crf.decode(units, text)
'''
ODD = """\
ablations:
  odd:
    base: plain
    seeds: [1, 2]
    arms: {bioes: {decoder.scheme: BIOES}, odd: {decoder: {part: test_odd}}}
    grid: {recipe.epochs: [2]}
"""


@pytest.fixture
def odd(registry: Path) -> list[str]:
    """A registry with an arm that fails or dies, and the command that runs it."""
    registry.write_text(registry.read_text().partition("ablations:\n")[0] + ODD)
    (registry.parent / "odd.py").write_text(BROKEN)
    return ["ablate", "--plugin", "odd.py", "--jobs", "1"]


def test_a_run_that_fails_leaves_the_others(registry: Path, odd: list[str], use: Use) -> None:
    (registry.parent / "fail").touch()
    code, out, _ = use(*odd)
    assert code == 1
    assert "the dog ate it" in out
    assert "2 of 8 runs failed" in out
    root = registry.parent / "results"
    (table,) = json.loads((root / "ablations" / "odd.json").read_text())["tables"]
    assert [(row["arm"], row["n"]) for row in table["rows"]] == [
        ("base", 2),
        ("bioes", 2),
        ("odd", 0),
        ("epochs=2", 2),
    ]
    assert "odd: no runs." in table["notes"]
    assert table["rows"][2]["f1"] is None
    (registry.parent / "fail").unlink()
    code, out, _ = use(*odd)
    assert code == 0
    assert "8 runs: 6 of 8 already done, 2 to do" in out


@pytest.mark.slow
def test_killed_and_resumed(registry: Path, odd: list[str], use: Use) -> None:
    """The tables are, times aside, those of a run that nothing disturbed."""
    folder = registry.parent
    assert use(*odd, "--results", "undisturbed")[0] == 0
    (folder / "die").touch()
    start = "from zoo.cli import main; main()"
    died = subprocess.run(
        [sys.executable, "-c", start, *odd],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "ZOO_DATA"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert died.returncode == -signal.SIGKILL
    root = folder / "results"
    done = len(folders(root))
    assert 0 < done < 8
    assert not (root / "ablations").exists()
    (folder / "die").unlink()
    before = folders(root)
    code, out, _ = use(*odd)
    assert code == 0
    assert f"8 runs: {done} of 8 already done, {8 - done} to do" in out
    assert {name: folders(root)[name] for name in before} == before
    assert len(folders(root)) == 8
    assert content(root) == content(folder / "undisturbed")
    assert not list(root.rglob("*.tmp"))


# Mistakes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--ablation", "part"], ["--ablation part", "`parts`"]),
        (["--ablation", "x", "--ablation", "y"], ["--ablation x", "noise, parts"]),
        (["-o", "ablations.parts.base=saying"], ["-o ablations.parts.base=saying", "`seeing`"]),
        (["-o", "ablations.part.base=plain"], ["`part`", "`parts`"]),
        (["-o", "ablations.parts.seeds=[1, 1]"], ["ablations.parts.seeds", "twice"]),
        (["--jobs", "0"], ["--jobs"]),
        (["--suite", "mimi"], ["--suite mimi", "`mini`"]),
    ],
)
def test_wrong_argument(registry: Path, use: Use, args: list[str], words: list[str]) -> None:
    code, out, err = use("ablate", *args)
    assert (code, out) == (2, "")
    assert any(all(word in line for word in words) for line in err.splitlines()), err
    assert [p.name for p in registry.parent.iterdir()] == ["registry.yaml"], "nothing is written"


def test_a_registry_without_ablations(registry: Path, use: Use) -> None:
    registry.write_text(registry.read_text().partition("ablations:\n")[0])
    code, _, err = use("ablate")
    assert code == 2
    assert err.startswith("zoo: registry.yaml: no section `ablations`")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("verb", ["ablate", "run"])
def test_a_wrong_arm_is_found_before_anything_runs(registry: Path, use: Use, verb: str) -> None:
    registry.write_text(registry.read_text().replace("aligner.level: sent", "aligner.levle: sent"))
    code, out, err = use(verb)
    assert (code, out) == (2, "")
    assert err == (
        "zoo: ablations.parts.arms.default: unknown key `levle` in systems.seeing.aligner "
        "(registry.yaml:37); did you mean `level`?\n"
    )
    assert not (registry.parent / "results").exists()
