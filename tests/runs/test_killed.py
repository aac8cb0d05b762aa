"""``zoo run`` and ``zoo ablate``, killed at any moment: the same command again makes up for it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zoo.results.evidence import verify
from zoo.results.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]

ROOT = Path(__file__).parents[2]
REGISTRY = """\
datasets:
  mini: {reader: synthetic, train: 16, dev: 8, test: 8, languages: [en]}
backbones:
  tiny:
    text: {part: transformer, scratch: {layers: 1, width: 16, heads: 2}}
    grid: {part: small_cnn, frozen: true}
systems:
  plain:
    text: {part: $text}
    decoder: {part: crf}
  seeing:
    extends: plain
    views: {grid: {part: $grid}}
    fuser: {part: cross_attention, level: token, heads: 2}
recipes:
  quick: {epochs: 1, batch_size: 8, learning_rates: {"*": 1e-3}}
suites:
  mini: {systems: [plain, seeing], datasets: [mini], seeds: [1], backbone: tiny, recipe: quick}
ablations:
  scheme:
    base: plain
    seeds: [1]
    arms: {bioes: {decoder.scheme: BIOES}, seeing: {system: seeing}}
"""
FILES = {"run.json", "config.yaml", "predictions.dev.jsonl", "predictions.test.jsonl"}
COMMANDS = {"run": ["run", "registry.yaml"], "ablate": ["ablate", "registry.yaml"]}


class Nursery:
    """Runs commands in children of a process that has everything imported already."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py")), str(ROOT)],
            env={
                **{k: v for k, v in os.environ.items() if k != "ZOO_DATA"},
                "OMP_NUM_THREADS": "1",
                "COLUMNS": "160",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(order), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    made = Nursery()
    for name, command in COMMANDS.items():
        made(warm=str(place(tmp_path_factory.mktemp("warm") / name)), command=command)
    yield made
    assert made.process.stdin is not None
    made.process.stdin.close()
    assert made.process.wait(30) == 0


def place(folder: Path) -> Path:
    folder.mkdir()
    (folder / "registry.yaml").write_text(REGISTRY)
    return folder


def names(folder: Path) -> set[str]:
    """Every path in a folder but what this test itself writes."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if not (path.parent == folder and path.is_file())
        and not {".cache", ".lock"} & {*path.parts}
    }


def tables(folder: Path) -> dict[str, bytes]:
    """The tables and plots, and the predictions they are made of."""
    root = folder / "results"
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and (path.parent in (root, root / "ablations") or path.suffix == ".jsonl")
    }


def trained(folder: Path) -> Counter[str]:
    """How often each run's training began."""
    lines = (folder / "0.log").read_text().splitlines()
    return Counter(line for line in lines if not line.startswith("operations"))


def stored(folder: Path) -> dict[str, tuple[int, int]]:
    """By id, what tells whether a run is the very one that was stored before."""
    found = {}
    for run in Store(folder / "results").folders():
        state = (run / "run.json").stat()
        found[run.name.partition("-")[2]] = state.st_ino, state.st_mtime_ns
    return found


@pytest.fixture(scope="module", params=list(COMMANDS))
def undisturbed(
    request: pytest.FixtureRequest, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str], int, float]:
    """A folder in which the command ran to its end; its file operations and seconds."""
    command = COMMANDS[request.param]
    folder = place(tmp_path_factory.mktemp("calm") / request.param)
    answer = nursery(folder=str(folder), command=command)
    assert answer["codes"] == [0], (folder / "0.out").read_text()
    operations = int((folder / "0.log").read_text().split()[-1])
    assert operations > 40
    return folder, command, operations, answer["seconds"]


def whole(folder: Path) -> bool:
    """Whether what lies in a run's place now is a whole run; True where it is being replaced."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return True
    held = set(os.listdir(handle))  # of this very folder, whatever is done to its name
    own = os.fstat(handle).st_ino
    os.close(handle)
    try:
        return folder.stat().st_ino != own or held >= FILES
    except FileNotFoundError:
        return True


def check(nursery: Nursery, folder: Path, calm: Path, command: list[str]) -> None:
    """The command again, after it was killed: all is as if it had not been."""
    before, begun = stored(folder), trained(folder)
    answer = nursery(folder=str(folder), command=command)
    out = (folder / "0.out").read_text()
    assert answer["codes"] == [0], out
    after = trained(folder)
    assert {id: after[id] for id in before} == {id: begun[id] for id in before}, "trained twice"
    assert {id: state for id, state in stored(folder).items() if id in before} == before
    assert names(folder) == names(calm), "left over, or lost"
    assert tables(folder) == tables(calm)
    for run in Store(folder / "results").folders():
        assert verify(run)[1] == []


def test_killed_at_a_file_operation(
    nursery: Nursery, undisturbed: tuple[Path, list[str], int, float], tmp_path: Path
) -> None:
    calm, command, operations, _ = undisturbed
    ended = Counter[int]()
    for kill in sorted(random.Random(8).sample(range(1, operations), 40)):
        folder = place(tmp_path / f"{kill}")
        ended += Counter(nursery(folder=str(folder), command=command, kill=kill)["codes"])
        check(nursery, folder, calm, command)
    assert ended[-9] >= 38, "some have fewer operations (what was verified just now isn't stored)"
    assert set(ended) <= {0, -9}


def test_killed_at_a_moment(
    nursery: Nursery, undisturbed: tuple[Path, list[str], int, float], tmp_path: Path
) -> None:
    calm, command, _, seconds = undisturbed
    rng = random.Random(9)
    ended = Counter[int]()
    for number in range(20):
        folder = place(tmp_path / f"{number}")
        ended += Counter(
            nursery(folder=str(folder), command=command, seconds=rng.uniform(0, seconds))["codes"]
        )
        check(nursery, folder, calm, command)
    assert ended[-9] >= 10, "most of them were still going on"
    assert set(ended) <= {0, -9}


def test_four_at_once_without_locks(
    nursery: Nursery, undisturbed: tuple[Path, list[str], int, float], tmp_path: Path
) -> None:
    """What counts as complete is whole at every moment, also where two of the four are killed."""
    calm, command, operations, _ = undisturbed
    rng = random.Random(10)
    looks = 0
    for number in range(4):
        folder, ended = place(tmp_path / f"{number}"), threading.Event()

        def four(folder: Path = folder, ended: threading.Event = ended) -> None:
            several = [{}, {"kill": rng.randrange(operations)}] * 2
            nursery(folder=str(folder), command=command, unlocked=True, several=several)
            ended.set()

        thread = threading.Thread(target=four)
        thread.start()
        while not ended.wait(0.01):
            for run in Store(folder / "results").folders():
                assert whole(run), f"{run} counts as complete and is not"
                looks += 1
        thread.join()
        for run in Store(folder / "results").folders():
            assert verify(run)[1] == []
        check(nursery, folder, calm, command)
    assert looks > 10
