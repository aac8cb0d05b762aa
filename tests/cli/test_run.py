"""``zoo run``: from a registry to runs, tables and exit codes."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
import yaml

from zoo import cli
from zoo.cli.report import LEVELS, WIDEST, curve, curves, duration
from zoo.data.jsonl import write_jsonl
from zoo.evaluation.predictions import read_predictions, score_predictions
from zoo.results.record import read_run
from zoo.types import Entity, Sample

FILES = [
    "config.yaml",
    "history.csv",
    "learnt.json",
    "model.json",
    "model.safetensors",
    "predictions.dev.jsonl",
    "predictions.test.jsonl",
    "run.json",
]
TABLES = [f"leaderboard.{suffix}" for suffix in ("csv", "json", "md", "tex")]
README = Path(__file__).parents[2] / "README.md"

Use = Callable[..., tuple[int, str, str]]


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


def runs(root: Path) -> dict[str, Path]:
    """Every folder of a run below a results folder, by system and seed."""
    found = {}
    for folder in sorted(root.glob("runs/*/*/*")):
        found[f"{folder.parent.parent.name} {folder.name}"] = folder
    return found


def content(folder: Path) -> dict[str, bytes | list[dict[str, str]]]:
    """What of a run must be the same when it is made again: all but times."""
    with (folder / "history.csv").open() as file:
        history = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    same = [name for name in FILES if name not in ("history.csv", "run.json")]
    return {"history.csv": history, **{name: (folder / name).read_bytes() for name in same}}


_finished: list[tuple[Path, str]] = []


@pytest.fixture
def finished(registry: Path, zoo, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The small registry's runs, made once by a process of their own; what it printed."""
    if not _finished:
        done = zoo("run", "registry.yaml")
        assert (done.returncode, done.stderr) == (0, "")
        kept = tmp_path_factory.mktemp("finished") / "results"
        shutil.copytree(registry.parent / "results", kept)
        _finished.append((kept, done.stdout))
    kept, printed = _finished[0]
    shutil.copytree(kept, registry.parent / "results", dirs_exist_ok=True)
    return printed


# A run and its files -----------------------------------------------------------------------------


def test_what_is_printed_and_written(finished: str, registry: Path) -> None:
    assert "2 runs: 0 of 2 already done, 2 to do" in finished
    assert re.search(r"plain on mini, seed 1: epoch 1/1, loss \d+\.\d+, dev F1 \d+\.\d\d", finished)
    assert re.search(r"seeing on mini, seed 1: test F1 \d+\.\d\d, best epoch 1", finished)
    assert finished.index("all stored runs") > finished.rindex("seeing")

    root = registry.parent / "results"
    assert sorted(p.name for p in root.iterdir() if p.is_file()) == TABLES
    assert len(runs(root)) == 2
    for folder in runs(root).values():
        assert sorted(p.name for p in folder.iterdir()) == FILES
        assert re.fullmatch(r"1-[0-9a-f]{12}", folder.name)
    assert not list(root.rglob("*.tmp"))
    board = (root / "leaderboard.md").read_text()
    assert "plain" in board
    assert "seeing" in board
    assert "eiling" in board


def test_the_record(finished: str, registry: Path) -> None:
    for folder in runs(registry.parent / "results").values():
        record = read_run(folder)
        assert folder.name == f"{record.seed}-{record.id}"
        assert (record.suite, record.backbone, record.recipe) == ("mini", "tiny", "quick")
        assert record.text_only == (record.system == "plain")
        assert record.sentences == {"train": 24, "dev": 8, "test": 8}
        assert record.text_only_ceiling is not None
        assert 50 < record.text_only_ceiling < 100, "percent, as all scores are"
        assert record.grounding_bar is not None
        assert record.text_only_ceiling <= record.grounding_bar <= 100
        assert record.command.endswith("run registry.yaml")
        assert {"python", "torch", "zoo"} <= record.versions.keys()
        assert 0 < record.parameters.trained <= record.parameters.total
        for split, scores in (("dev", record.dev), ("test", record.test)):
            predictions = read_predictions(folder / f"predictions.{split}.jsonl")
            assert score_predictions(predictions) == scores, "scores follow from predictions"
            assert [p.id for p in predictions] == [f"{split}-{i:05d}" for i in range(8)]
            assert any(p.gold for p in predictions)
        with (folder / "history.csv").open() as file:
            (row,) = csv.DictReader(file)
        terms = {"crf"} if record.text_only else {"crf", "contrastive.grid"}
        assert terms | {"epoch", "loss", "dev_f1", "seconds"} <= row.keys()
        assert float(row["dev_f1"]) == pytest.approx(record.dev.f1, abs=1e-5)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert config["seed"] == 1
        assert config["recipe"]["weight_decay"] == 0.01, "defaults are written out"
        assert config["system"]["text"]["scratch"]["width"] == 16, "$text is filled in"


def test_the_stored_weights_make_the_stored_predictions(
    finished: str, registry: Path, monkeypatch
) -> None:
    from safetensors.torch import load_file

    from zoo.config.read import read
    from zoo.evaluation.predictions import entity_names, write_predictions
    from zoo.results.store import Store
    from zoo.runs.datasets import load_datasets
    from zoo.runs.job import make_jobs
    from zoo.runs.run import prepare

    monkeypatch.setenv("ZOO_CACHE", str(registry.parent / "cache"))
    config = read(registry)
    plans = config.plan()
    data = load_datasets(plans, registry.parent)
    store = Store(registry.parent / "results")
    for job in make_jobs(plans, data):
        trainer = prepare(job)
        trainer.system.load_state_dict(load_file(store.folder(job) / "model.safetensors"))
        test = job.data.splits["test"]
        again = registry.parent / "again.jsonl"
        seen = entity_names(job.data.splits["train"])
        write_predictions(again, test, trainer.predict(test), seen)
        stored = (store.folder(job) / "predictions.test.jsonl").read_bytes()
        assert again.read_bytes() == stored


# The same run is never made twice ----------------------------------------------------------------


def test_the_second_time_nothing_is_trained(finished: str, registry: Path, use: Use) -> None:
    root = registry.parent / "results"
    before = {p: p.stat().st_mtime_ns for p in root.glob("runs/**/*")}
    code, out, err = use("run", "registry.yaml")
    assert (code, err) == (0, "")
    assert "2 runs: 2 of 2 already done, 0 to do" in out
    assert "epoch 1/1" not in out
    assert "plain" in out, "the leaderboard is shown"
    assert {p: p.stat().st_mtime_ns for p in root.glob("runs/**/*")} == before


def test_the_same_seed_gives_the_same_bytes(finished: str, registry: Path, use: Use) -> None:
    """In another process, in another folder, and when made again; another seed differs."""
    first = {name: content(f) for name, f in runs(registry.parent / "results").items()}
    code, out, _ = use("run", "registry.yaml", "--results", "elsewhere")
    assert code == 0
    assert "2 to do" in out
    assert {name: content(f) for name, f in runs(Path("elsewhere")).items()} == first
    code, out, _ = use("run", "registry.yaml", "--rerun", "always", "--system", "plain")
    assert code == 0
    assert "1 run: 1 of 1 already done, 1 to do" in out
    assert {name: content(f) for name, f in runs(registry.parent / "results").items()} == first

    assert use("run", "registry.yaml", "--system", "plain", "--seed", "2")[0] == 0
    found = runs(registry.parent / "results")
    one, two = (content(f) for name, f in found.items() if name.startswith("plain"))
    assert one["model.safetensors"] != two["model.safetensors"]
    assert one["predictions.test.jsonl"] != two["predictions.test.jsonl"]


def test_a_changed_setting_is_another_run(finished: str, registry: Path, use: Use) -> None:
    override = "systems.plain.decoder.scheme=BIOES"
    code, out, _ = use("run", "registry.yaml", "--system", "plain", "-o", override)
    assert code == 0
    assert "1 run: 0 of 1 already done, 1 to do" in out
    records = [read_run(folder) for folder in runs(registry.parent / "results").values()]
    assert [r.overrides for r in records if r.system == "plain"].count([override]) == 1
    assert len([r for r in records if r.system == "plain"]) == 2
    # What equals a default is the same run, however it is written.
    out = use("run", "registry.yaml", "-o", "systems.plain.decoder.scheme=BIO", "--dry-run")[1]
    assert "would run 0 of 2" in out


def test_never_rerun_makes_nothing(registry: Path, use: Use) -> None:
    code, out, _ = use("run", "registry.yaml", "--rerun", "never")
    assert code == 0
    assert "2 runs: 0 of 2 already done, 0 to do" in out
    assert "epoch 1/1" not in out
    assert not runs(registry.parent / "results")


def test_results_can_t_be_a_file(registry: Path, use: Use) -> None:
    code, out, err = use("run", "registry.yaml", "--results", "registry.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("zoo: --results registry.yaml: registry.yaml is not a folder")
    assert len(err.splitlines()) == 1


def test_a_changed_label_is_another_run(registry: Path, use: Use) -> None:
    folder = registry.parent / "tweets"
    folder.mkdir()
    samples = [
        Sample(str(i), ("Ada", "saw", "Rome", "."), (Entity(0, 1, "PER"), Entity(2, 3, "LOC")))
        for i in range(4)
    ]
    for split in ("train", "dev", "test"):
        named = [Sample(f"{split}{s.id}", s.words, s.entities) for s in samples]
        write_jsonl(folder / f"{split}.jsonl", named)
    own = "datasets:\n  own: {reader: jsonl, path: tweets}\n"
    registry.write_text(registry.read_text().replace("datasets:\n", own))
    command = ["run", "registry.yaml", "--system", "plain", "--dataset", "own"]
    assert use(*command)[0] == 0
    assert "would run 0 of 1" in use(*command, "--dry-run")[1]
    for old, new in (('"LOC"', '"ORG"'), ('"Rome"', '"Rom"')):
        file = folder / "test.jsonl"
        before = file.read_text()
        assert old in before
        file.write_text(before.replace(old, new, 1))
        assert "would run 1 of 1" in use(*command, "--dry-run")[1]
        file.write_text(before)
    assert "would run 0 of 1" in use(*command, "--dry-run")[1]

    # The pictures are not there, and a system that needs them says so before anything is trained.
    code, _, err = use("run", "registry.yaml", "--dataset", "own")
    assert code == 2
    assert "systems.seeing.views.grid" in err
    assert "picture" in err


# Rehearsal ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "1 second"),
        (42.4, "42 seconds"),
        (119, "2 minutes"),
        (5400, "90 minutes"),
        (9000, "2.5 hours"),
        (360_000, "100.0 hours"),
    ],
)
def test_durations_are_in_a_unit_that_suits_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_dry_run_shows_everything_and_writes_nothing(registry: Path, use: Use) -> None:
    code, out, err = use("run", "registry.yaml", "--dry-run", "--seed", "1", "--seed", "2")
    assert (code, err) == (0, "")
    assert [p.name for p in registry.parent.iterdir()] == ["registry.yaml"]
    assert "first sample train-00000" in out
    assert re.search(r"(PER|LOC|ORG|MISC): \[\d+, \d+\) \w+", out)
    assert "36 × 36 pixels" in out
    for system in ("plain", "seeing"):
        assert f"{system} on mini: one batch of 8 passes; " in out
        assert out.count(f"  {system} on mini, seed ") == 2
    assert "contrastive.grid" in out
    assert "would run 4 of 4 runs" in out


# Plug-ins ----------------------------------------------------------------------------------------

FUSER = '''\
import torch
from zoo.parts import Fuser
from zoo.registry import register
from zoo.types import Units

@register("fuser", "test_gate")
class Gate(Fuser):
    """Adds the pooled picture to every word, through a gate."""

    level = "token"

    def __init__(self, width, views, *, bias: float = 0.0):
        super().__init__()
        self.width, self.bias = width, bias
        self.maps = torch.nn.ModuleDict(
            {name: torch.nn.Linear(view.width, width) for name, view in views.items()}
        )

    def forward(self, units, views):
        vectors = units.vectors
        for name, linear in self.maps.items():
            seen = linear(views[name].pooled) * views[name].present.unsqueeze(1)
            vectors = vectors + torch.sigmoid(vectors + self.bias) * seen.unsqueeze(1)
        return Units(vectors, units.mask, units.spans)
'''


def test_a_fuser_of_ones_own(registry: Path, use: Use) -> None:
    """It runs, and a changed line makes another run, while a changed comment does not."""
    plugin = registry.parent / "gate.py"
    plugin.write_text(FUSER)
    own = ["-o", "systems.seeing.fuser={part: test_gate, bias: 1}", "--plugin", "gate.py"]
    command = ["run", "registry.yaml", "--system", "seeing", *own]
    code, out, err = use(*command)
    assert (code, err) == (0, "")
    assert "seeing on mini, seed 1: test F1" in out
    (folder,) = runs(registry.parent / "results").values()
    assert yaml.safe_load((folder / "config.yaml").read_text())["system"]["fuser"]["bias"] == 1.0

    for old, new, count in (
        ("import torch\n", "# a word of explanation\nimport torch\n\n", 0),
        ("through a gate", "by a gate", 0),
        ("torch.sigmoid", "torch.tanh", 1),
        ("bias: float = 0.0", "bias: float = 0.5", 1),
    ):
        assert old in FUSER
        plugin.write_text(FUSER.replace(old, new))
        assert f"would run {count} of 1" in use(*command, "--dry-run")[1], new

    plugin.write_text(FUSER)
    code, _, err = use(*command, "-o", "systems.seeing.fuser.bais=1")
    assert code == 2
    assert "`bais`" in err
    assert "`bias`" in err


def test_the_readme_s_own_fuser(registry: Path, use: Use) -> None:
    """The ten lines in the README work as they stand there."""
    if not README.is_file():
        pytest.skip("no README.md beside the tests")
    text = README.read_text(encoding="utf-8")
    heading = re.search(r"^#+ .*add your own fuser.*$", text, re.IGNORECASE | re.MULTILINE)
    assert heading, "the README shows how to add a fuser"
    block = re.search(r"```python\n(.*?)```", text[heading.end() :], re.DOTALL)
    assert block
    code_lines = [line for line in block[1].splitlines() if line.strip()]
    assert len(code_lines) <= 16, "about ten lines"
    (name,) = re.findall(r'@register\("fuser", "(\w+)"\)', block[1])
    (registry.parent / "own.py").write_text(block[1])
    own = ["-o", f"systems.seeing.fuser={{part: {name}}}", "--plugin", "own.py"]
    code, out, err = use("run", "registry.yaml", "--system", "seeing", *own)
    assert (code, err) == (0, "")
    assert "seeing on mini, seed 1: test F1" in out


# What is run, and what is said meanwhile ---------------------------------------------------------


def test_a_run_given_twice_is_one_run(registry: Path, monkeypatch, capsys) -> None:
    """Arms of several ablations may be the same run; and where nothing is to do nothing starts."""
    from zoo.cli.execute import carry_out
    from zoo.cli.options import Execution
    from zoo.cli.report import make_console
    from zoo.config.read import read
    from zoo.engines.processes import Processes
    from zoo.results.store import Store
    from zoo.runs.datasets import load_datasets
    from zoo.runs.job import make_jobs

    plans = read(registry).plan()
    jobs = make_jobs(plans, load_datasets(plans, registry.parent))
    store, made = Store(registry.parent / "results"), []

    def check(jobs, say) -> dict[str, float]:
        made.append(("check", len(jobs)))
        return {}

    monkeypatch.setattr("zoo.runs.run.check", check)

    def execute(engine, jobs, store, report, rerun) -> int:
        made.append((rerun, [job.system for job in jobs], engine.workers))
        return 1

    monkeypatch.setattr(Processes, "execute", execute)
    assert (
        carry_out([*jobs, *jobs], store, make_console(), Execution(False, "missing", 2, None, None))
        == 1
    )
    assert made == [("check", 2), ("missing", ["plain", "seeing"], 2)]
    assert carry_out(jobs, store, make_console(), Execution(False, "never", None, None, None)) == 0
    assert len(made) == 2
    assert [line for line in capsys.readouterr().out.splitlines() if line] == [
        "2 runs: 0 of 2 already done, 2 to do",
        "1 of 2 runs failed; see above",
        "2 runs: 0 of 2 already done, 0 to do",
    ]


def test_lines_of_several_runs_at_once(capsys) -> None:
    from types import SimpleNamespace

    from zoo.cli.report import ConsoleReport, make_console
    from zoo.runs.costs import Costs

    plan = SimpleNamespace(arm=None)
    arm = SimpleNamespace(arm=SimpleNamespace(name="without aligner"))
    one, two, three, four = jobs = [
        SimpleNamespace(
            system=name, dataset="mini", seed=1, id=name, variant=name, epochs=3, plan=each
        )
        for name, each in (("one", plan), ("two", plan), ("three", plan), ("four", arm))
    ]
    row = {"epoch": 1, "loss": 1.0, "dev_f1": 50.0, "seconds": 0.1}
    record = SimpleNamespace(test=SimpleNamespace(f1=60.0), best_epoch=1, seconds={"total": 2.0})
    with ConsoleReport(make_console(), jobs, Costs(jobs)) as report:
        (task,) = report.progress.tasks
        report.begin(one)
        assert task.description == "[1/4] one on mini, seed 1"
        report.begin(two)
        assert task.description == "2 runs at once"
        for job in (two, one, two):
            report.epoch(job, row)
        report.end(one, record)
        assert task.description == "[2/4] two on mini, seed 1"
        assert task.completed == 3 + 2, "an early end counts as all epochs"
        report.fail(three, "it died before it began")
        report.fail(two, "no luck")
        report.end(four, record)  # another process made it
        assert task.completed == 12
    lines = capsys.readouterr().out.split("\n")
    names = [line.partition(":")[0] for line in lines if line]
    order = ("[2/4] two", "[1/4] one", "[2/4] two", "[1/4] one", "[3/4] three", "[2/4] two")
    last = "[4/4] four (without aligner)"
    assert names == [f"{name} on mini, seed 1" for name in (*order, last)]


def test_curves_are_compact() -> None:
    rows = [
        {"epoch": n, "loss": 8.0 / n, "crf": 7.0 / n, "matching": 1.0 / n, "dev_f1": 10.0 * n,
         "seconds": 1.0}
        for n in range(1, 101)
    ]  # fmt: skip
    told = curves(rows)
    assert re.sub(f"[{LEVELS}]+", "#", told) == (
        "dev F1 # 1000.00, loss # 0.0800, crf # 0.0700, matching # 0.0100"
    )
    drawn = re.findall(f"[{LEVELS}]+", told)
    assert {len(each) for each in drawn} == {WIDEST}
    assert drawn[0] == "".join(sorted(drawn[0]))
    assert (curve([1.0]), curve([0, 7, 3.4]), curve([2, 2])) == (LEVELS[0], "▁█▄", "▁▁")


def test_a_terminal_shows_curves_and_the_time_left() -> None:
    from types import SimpleNamespace

    from rich.console import Console

    from zoo.cli.report import ConsoleReport
    from zoo.runs.costs import Costs

    plan = SimpleNamespace(arm=None)
    jobs = [
        SimpleNamespace(
            system=name, dataset="mini", seed=1, id=name, variant=name, epochs=4, plan=plan
        )
        for name in ("one", "two")
    ]
    record = SimpleNamespace(test=SimpleNamespace(f1=60.0), best_epoch=1, seconds={"total": 40.0})
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=120, color_system=None)
    with ConsoleReport(console, jobs, Costs(jobs, {"one": 1.0, "two": 3.0})) as report:
        report.begin(jobs[0])
        for epoch in range(1, 5):
            row = {"epoch": epoch, "loss": 1.0, "dev_f1": 10.0 * epoch, "seconds": 10.0}
            report.epoch(jobs[0], row)
        report.progress.refresh()
        report.end(jobs[0], record)
    shown = out.getvalue()
    assert "dev F1 ▁▃▆█ 40.00, loss ▁▁▁▁ 1.0000" in shown
    assert "40 s; about 2 minutes left" in shown, "4 epochs of a system 3 times as dear"


# Failures ----------------------------------------------------------------------------------------

BROKEN = '''\
import os, time
from pathlib import Path
from zoo.decoders.crf import Crf
from zoo.parts import Decoder
from zoo.registry import register

class Odd(Exception):
    """No error that anyone knows."""

class Wrapped(Decoder):
    def __init__(self, fused: int, types: list):
        super().__init__()
        self.crf = Crf(fused, types)
    def loss(self, units, text, gold):
        return self.spoil(self.crf.loss(units, text, gold))
    def decode(self, units, text):
        return self.crf.decode(units, text)

@register("decoder", "test_raises")
class Raises(Wrapped):
    """Raises what it likes."""
    loss_names = ("crf",)
    def spoil(self, losses):
        raise Odd("the dog\\n ate it")

@register("decoder", "test_nan")
class NaN(Wrapped):
    """Has a loss that is no number."""
    loss_names = ("crf",)
    def spoil(self, losses):
        return {"crf": losses["crf"] * float("nan")}

@register("decoder", "test_waits")
class Waits(Wrapped):
    """Waits in the second epoch as long as there is a file `wait`."""
    loss_names = ("crf",)
    calls = 0
    def spoil(self, losses):
        self.calls += 1
        if self.calls > 3 and Path("wait").exists():
            Path("waiting").touch()
            time.sleep(60)
        return losses
'''
SYSTEMS = """\
systems:
  raises: {text: {part: $text}, decoder: {part: test_raises}}
  nan: {text: {part: $text}, decoder: {part: test_nan}}
  waits: {text: {part: $text}, decoder: {part: test_waits}}
"""


@pytest.fixture
def broken(registry: Path) -> Path:
    """A registry with systems that fail, and the plug-in that makes them."""
    (registry.parent / "broken.py").write_text(BROKEN)
    registry.write_text(registry.read_text().replace("systems:\n", SYSTEMS, 1))
    return registry


def test_a_run_that_fails_leaves_the_others(broken: Path, use: Use) -> None:
    systems = [arg for name in ("raises", "nan", "plain") for arg in ("--system", name)]
    command = ["run", "registry.yaml", *systems, "--plugin", "broken.py"]
    code, out, _ = use(*command)
    assert code == 1
    assert "raises on mini, seed 1: failed: Odd: the dog ate it" in out
    (line,) = [line for line in out.splitlines() if "nan on mini, seed 1: failed" in line]
    assert "crf=nan" in line
    assert line.count("train-") == 8, "the ids of the batch"
    assert "plain on mini, seed 1: test F1" in out
    assert "2 of 3 runs failed" in out

    root = broken.parent / "results"
    assert [name.split()[0] for name in runs(root)] == ["plain"]
    (log,) = (root / "failed").iterdir()
    assert "ate it" in log.read_text()
    assert str(log) in out
    board = (root / "leaderboard.md").read_text()
    assert "plain" in board
    assert "raises" not in board

    code, out, _ = use(*command)
    assert code == 1, "what failed is tried again"
    assert "3 runs: 1 of 3 already done, 2 to do" in out


MEMORY = '''\
import torch
from zoo.decoders.crf import Crf
from zoo.parts import Decoder
from zoo.registry import register

class Greedy(Decoder):
    """Wants more memory than there is."""
    loss_names = ("crf",)
    def __init__(self, fused: int, types: list):
        super().__init__()
        self.crf = Crf(fused, types)
    def loss(self, units, text, gold):
        self.want()
        return self.crf.loss(units, text, gold)
    def decode(self, units, text):
        return self.crf.decode(units, text)

@register("decoder", "test_torch")
class Torch(Greedy):
    want = staticmethod(lambda: torch.empty(1 << 50, dtype=torch.uint8))

@register("decoder", "test_python")
class Python(Greedy):
    want = staticmethod(lambda: bytearray(1 << 60))

@register("decoder", "test_device")
class Device(Greedy):
    def want(self):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
'''


def test_a_run_that_needs_too_much_memory_is_told_so_in_one_line(registry: Path, use: Use) -> None:
    names = ("torch", "python", "device")
    systems = "".join(
        f"  {name}: {{text: {{part: $text}}, decoder: {{part: test_{name}}}}}\n" for name in names
    )
    registry.write_text(registry.read_text().replace("systems:\n", f"systems:\n{systems}", 1))
    (registry.parent / "memory.py").write_text(MEMORY)
    chosen = [word for name in (*names, "plain") for word in ("--system", name)]
    code, out, err = use("run", "registry.yaml", "--plugin", "memory.py", *chosen)
    assert (code, err) == (1, "")
    remedy = (
        "out of memory; lower max_tokens or batch_size in the recipe, or run fewer at once (--jobs)"
    )
    for name in names:
        assert f"{name} on mini, seed 1: failed: {remedy}\n" in out
    assert "plain on mini, seed 1: test F1" in out
    assert not (registry.parent / "results" / "failed").exists(), "the traceback tells no more"
    code, out, err = use(
        "run", "registry.yaml", "--plugin", "memory.py", "--system", "torch", "--dry-run"
    )
    assert (code, err) == (1, f"zoo: systems.torch: {remedy}\n")


# Interruption ------------------------------------------------------------------------------------

START = """\
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
from zoo.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_an_interrupted_run_is_made_by_the_same_command(
    broken: Path, use: Use, how: signal.Signals
) -> None:
    folder = broken.parent
    (folder / "wait").touch()
    systems = ["--system", "plain", "--system", "waits"]
    command = ["run", "registry.yaml", *systems, "--plugin", "broken.py"]
    command += ["-o", "recipes.quick.epochs=2"]
    process = subprocess.Popen(
        [sys.executable, "-c", START, *command],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "ZOO_DATA"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (folder / "waiting").exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(how)
    out, err = process.communicate(timeout=30)

    root = folder / "results"
    assert "waits on mini, seed 1: epoch 1/2" in out, "lines are printed as they come"
    whole = [name for name in runs(root) if ".tmp" not in name]
    assert [name.split()[0] for name in whole] == ["plain"]
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert err.strip() == "zoo: interrupted; nothing is lost: the same command resumes"
        assert len(runs(root)) == 1, "nothing half-written stays"
    else:
        assert process.returncode == -signal.SIGKILL

    (folder / "wait").unlink()
    assert "2 runs: 1 of 2 already done, 1 to do" in use(*command)[1]
    assert sorted(name.split()[0] for name in runs(root)) == ["plain", "waits"]
    assert all(sorted(p.name for p in f.iterdir()) == FILES for f in runs(root).values())
    assert sorted(p.name for p in root.iterdir() if p.is_file()) == TABLES
    rows = json.loads((root / "leaderboard.json").read_text())
    assert "waits" in json.dumps(rows)


def test_a_learning_rate_that_no_parameter_gets_is_told(zoo, registry: Path) -> None:
    rates = 'recipes.quick.learning_rates={"txet.*": 1.0, "*": 1e-3}'
    done = zoo("run", "registry.yaml", "--system", "plain", "-o", rates, "--keep-weights", "none")
    assert done.returncode == 0, done.stderr
    told = "recipe quick: no parameter of these systems gets the learning rate `txet.*`"
    assert told in done.stdout + done.stderr


def test_learning_rates_are_those_of_trained_parameters_and_of_each_variant(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo.config.read import read
    from zoo.runs.datasets import load_datasets
    from zoo.runs.job import make_jobs
    from zoo.runs.run import check

    monkeypatch.setenv("ZOO_CACHE", str(registry.parent / "cache"))

    def jobs(*overrides: str):
        plans = read(registry, overrides).plan(systems=["plain"])
        return make_jobs(plans, load_datasets(plans, registry.parent))

    def told(jobs) -> list[str]:
        said: list[str] = []
        check(jobs, said.append)
        return [note.partition("rate ")[2] for note in said]

    typo = jobs('recipes.quick.learning_rates={"txet.*": 1.0, "*": 1e-3}')
    assert told([*jobs(), *typo]) == ["`txet.*`"], "not of the first variant alone"
    text = 'recipes.quick.learning_rates={"text.*": 1e-5, "*": 1e-3}'
    assert told(jobs(text)) == []
    assert told(jobs(text, "backbones.tiny.text.frozen=true")) == ["`text.*`"]
