"""Several runs at once: the same runs as one by one, whatever becomes of the processes."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from zoo.config.read import read
from zoo.engines import engine, processes
from zoo.errors import ConfigError
from zoo.results.store import Store
from zoo.runs.datasets import load_datasets
from zoo.runs.job import Job, make_jobs, variants
from zoo.runs.run import prepare

Zoo = Callable[..., subprocess.CompletedProcess[str]]

PLUGIN = '''\
import os, signal, time
from pathlib import Path
import torch
from zoo.decoders.crf import Crf
from zoo.parts import Decoder
from zoo.registry import register

@register("decoder", "test_told")
class Told(Decoder):
    """Does to the run of a seed what a file named for that seed says."""
    loss_names = ("crf",)
    def __init__(self, fused: int, types: list):
        super().__init__()
        self.crf = Crf(fused, types)
    def loss(self, units, text, gold):
        told = Path(f"seed-{torch.initial_seed()}")
        what = told.read_text() if told.exists() else ""
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "raise":
            raise LookupError("nothing there")
        if what == "wait":
            told.rename(told.with_suffix(".waits"))
            time.sleep(120)
        return self.crf.loss(units, text, gold)
    def decode(self, units, text):
        return self.crf.decode(units, text)
'''
COMMAND = ["run", "registry.yaml", "--system", "told", "--plugin", "told.py"]


def seeds(*numbers: int) -> list[str]:
    return [word for number in numbers for word in ("--seed", str(number))]


@pytest.fixture
def told(registry: Path) -> Path:
    """The folder of a registry whose system `told` does what a file says."""
    system = "systems:\n  told: {text: {part: $text}, decoder: {part: test_told}}\n"
    registry.write_text(registry.read_text().replace("systems:\n", system, 1))
    (registry.parent / "told.py").write_text(PLUGIN)
    return registry.parent


def stored(results: Path) -> dict[str, dict[str, object]]:
    """What of each run must be the same whenever it is made: all but times."""
    found = {}
    for folder in results.glob("runs/*/*/[0-9]*"):
        with (folder / "history.csv").open() as file:
            history = [{**row, "seconds": None} for row in csv.DictReader(file)]
        names = ("config.yaml", "model.safetensors", "predictions.dev.jsonl")
        same = {name: (folder / name).read_bytes() for name in (*names, "predictions.test.jsonl")}
        found[folder.name] = {"history": history, **same}
    return found


@pytest.mark.slow
def test_runs_are_the_same_and_one_that_dies_or_raises_leaves_the_others(
    told: Path, zoo: Zoo
) -> None:
    (told / "seed-1").write_text("die")
    (told / "seed-2").write_text("raise")
    command = [*COMMAND, *seeds(1, 2, 3, 4)]
    done = zoo(*command, "--jobs", "2")
    assert (done.returncode, done.stderr) == (1, "")
    lines = [line for line in done.stdout.splitlines() if "failed" in line]
    (died,) = [line for line in lines if "seed 1: failed" in line]
    assert "its process was ended by signal 9 (Killed" in died
    assert "is there enough memory? try a smaller --jobs" in died
    (raised,) = [line for line in lines if "seed 2: failed" in line]
    assert "LookupError: nothing there (traceback: " in raised
    assert "2 of 4 runs failed" in done.stdout
    for seed in (3, 4):
        (number,) = {
            line.split("]")[0] for line in done.stdout.splitlines() if f"mini, seed {seed}:" in line
        }
        assert number in ("[3/4", "[4/4"), "a run keeps its number"
    assert "all stored runs" in done.stdout, "the table is shown"
    assert sorted(name[0] for name in stored(told / "results")) == ["3", "4"]

    for file in told.glob("seed-*"):
        file.unlink()
    again = zoo(*command, "--results", "elsewhere")
    assert again.returncode == 0, again.stderr
    one_by_one = stored(told / "elsewhere")
    assert len(one_by_one) == 4
    assert stored(told / "results").items() <= one_by_one.items(), "the same bytes"


START = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
START += "from zoo.cli import main; main()"


@pytest.mark.skipif(os.name == "nt", reason="process groups are another thing there")
@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_no_process_outlives_the_command(told: Path, zoo: Zoo, how: signal.Signals) -> None:
    command = [*COMMAND, *seeds(1, 2, 3)]
    for seed in (2, 3):
        (told / f"seed-{seed}").write_text("wait")
    process = subprocess.Popen(
        [sys.executable, "-c", START, *command, "--jobs", "2"],
        cwd=told,
        env={k: v for k, v in os.environ.items() if k != "ZOO_DATA"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while len(list(told.glob("*.waits"))) < 2 and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # a terminal tells all of its processes
    else:
        process.kill()
    # Its end is read only when none is left that could write to it: all are gone.
    out, err = process.communicate(timeout=30)
    assert "seed 1: test F1" in out
    folders = [folder.name for folder in told.glob("results/runs/*/*/*")]
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert err.strip() == "zoo: interrupted; nothing is lost: the same command resumes"
        assert [name[0] for name in folders] == ["1"], "nothing half-written stays"
        return
    assert process.returncode == -signal.SIGKILL
    assert err == ""
    again = zoo(*command)
    assert again.returncode == 0, again.stderr
    assert "3 runs: 1 of 3 already done, 2 to do" in again.stdout
    assert sorted(name[0] for name in stored(told / "results")) == ["1", "2", "3"]


def test_a_number_of_jobs_that_can_t_be(registry: Path, zoo: Zoo) -> None:
    done = zoo("run", "registry.yaml", "--jobs", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("zoo: Invalid value for '--jobs': 0 ")


# Parts of it, in this process --------------------------------------------------------------------


@pytest.fixture
def jobs(registry: Path, monkeypatch) -> list[Job]:
    monkeypatch.setenv("ZOO_CACHE", str(registry.parent / "cache"))
    plans = read(registry).plan(seeds=(1, 2))
    return make_jobs(plans, load_datasets(plans, registry.parent))


def with_threads(job: Job, threads: int | None) -> Job:
    recipe = job.plan.recipe.model_copy(update={"threads": threads})
    return replace(job, plan=replace(job.plan, recipe=recipe))


def test_a_run_has_its_recipe_s_threads(jobs) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (before + 1, None, 1, None):
            prepare(with_threads(jobs[0], threads))
            assert torch.get_num_threads() == (threads or before)
    finally:
        torch.set_num_threads(before)


def test_how_many_go_on_at_once(jobs, monkeypatch) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 8)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def at_once(*threads: int | None) -> int:
        return processes.at_once([with_threads(jobs[0], number) for number in threads])

    assert [at_once(1), at_once(3), at_once(8), at_once(9)] == [8, 2, 1, 1]
    assert at_once(1, 2) == 4
    assert at_once(1, None) == 1, "one takes them all"
    assert at_once() == 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert at_once(1) == 1


def test_no_more_workers_than_runs(jobs) -> None:
    chosen = [
        engine(given, workers)
        for given, workers in ((jobs, 3), (jobs, 9), (jobs[:1], 9), (jobs[:2], 1))
    ]
    assert [getattr(each, "workers", "here") for each in chosen] == [3, 4, "here", "here"]


def test_one_job_a_variant(jobs) -> None:
    assert [(job.system, job.seed) for job in variants(jobs)] == [("plain", 2), ("seeing", 2)]
    other = replace(jobs[0], config_hash="another")
    found = variants([*jobs, other])
    assert len(found) == 3, "an arm has its system's name and another config"
    assert len({job.variant for job in found}) == 3


class Pipe:
    """A worker's end of a pipe: asks for each number once."""

    def __init__(self, *numbers: int) -> None:
        self.asked, self.sent = [*numbers, None], []

    def recv(self) -> int | None:
        return self.asked.pop(0)

    def send(self, told: object) -> None:
        self.sent.append(told)


def test_changed_source_is_not_run_under_the_old_id(jobs, tmp_path: Path) -> None:
    """A worker loads the parts anew; by then somebody may have edited them."""
    stale = replace(jobs[0], sources="of before")
    store = Store(tmp_path / "results")
    runs = processes._pickled([stale, jobs[-1]], store, "missing")
    pipe = Pipe(0)
    processes._make(pipe, processes._Order(Path.cwd(), [], runs))
    (what, message), well = pipe.sent
    assert (what, well) == ("fail", False)
    assert "changed" in message
    assert not store.root.exists()


def test_what_can_t_be_handed_over_is_one_line(jobs, tmp_path: Path) -> None:
    odd = replace(jobs[0], config={"system": lambda: None})
    with pytest.raises(ConfigError, match="use --jobs 1") as error:
        processes.Processes(2).execute([odd, odd], Store(tmp_path), SimpleNamespace(), "missing")
    assert len(error.value.problems) == 1
    assert "\n" not in error.value.problems[0]


def test_nothing_is_imported_from_the_working_folder(registry: Path) -> None:
    """A file named like a module of Python's own must not be run by the processes."""
    trap = registry.parent / "socket.py"
    trap.write_text("open('trapped', 'w').close()\nraise SystemExit('trapped')\n")
    program = Path(sys.executable).with_name("zoo")
    done = subprocess.run(
        [str(program), "run", str(registry), "--jobs", "2"],
        cwd=registry.parent,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert not (registry.parent / "trapped").exists()
