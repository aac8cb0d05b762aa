"""What the system refuses ends in one line and an exit code, never in a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

Zoo = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-c", "from zoo.cli import main; main()"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_for_the_output(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "list"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
    assert done.returncode == 1
    assert done.stderr.startswith("zoo: ")
    assert "space" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_closed_pipe(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "list"], stdout=writer, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, ""), "what was asked for was not said"


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_closed_outputs(tmp_path: Path, closed: str) -> None:
    ends = {"stdout": ">&-", "stderr": "2>&-", "both": ">&- 2>&-"}[closed]
    for args, code in (("list", 0), ("list gone", 2)):
        command = f'exec "{COMMAND[0]}" -c "{COMMAND[2]}" {args} {ends}'
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == code
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_for_errors(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, "list", "gone"], stderr=full, cwd=tmp_path)
    assert done.returncode == 2


LOST = """
import os, signal, time, weakref
from zoo import cli

class Thing: ...

def verb(**options):
    thing = Thing()
    reference = weakref.ref(thing, lambda _: [os.kill(os.getpid(), {number}), list(range(9))])
    del thing
    time.sleep(60)

cli.cli.main = verb
cli.main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_inside_of_a_callback_is_not_lost(tmp_path: Path, number: int, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOST.format(number=int(number))],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=50,
    )
    assert done.returncode == code
    assert done.stderr.startswith("zoo: ")
    assert done.stderr.count("\n") == 1


def test_torchrun_is_refused(zoo: Zoo) -> None:
    done = zoo("run", WORLD_SIZE="2", RANK="0", LOCAL_RANK="0")
    assert done.returncode == 2
    assert "torchrun" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_in_a_file_s_place(zoo: Zoo, tmp_path: Path, registry: Path) -> None:
    (tmp_path / "leaderboard.md").mkdir()
    for verb in (["leaderboard", "--results", str(registry)], ["run", str(tmp_path)]):
        done = zoo(*verb)
        assert done.returncode in (1, 2)
        assert done.stderr.startswith("zoo: ")
        assert "Traceback" not in done.stderr


LETTERS = "abcdefghij"
BOMB = "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
    f"{name}: &{name} [{', '.join(9 * [f'*{before}'])}]\n" for before, name in pairwise(LETTERS)
)


@pytest.mark.parametrize(
    ("text", "word"),
    [("a: " + "[" * 5000 + "]" * 5000, "nested too deeply"), (BOMB, "aliases")],
    ids=["deep", "bomb"],
)
def test_files_made_to_hurt(zoo: Zoo, tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "registry.yaml").write_text(text)
    done = zoo("run")
    assert done.returncode == 2
    assert word in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_terminated_as_interrupted(registry: Path, number: int, code: int) -> None:
    process = subprocess.Popen(
        [*COMMAND, "run", str(registry), "-o", "recipes.quick.epochs=500", "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=registry.parent,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch 1/" in line:
            break
    process.send_signal(number)
    time.sleep(0.1)
    if number == signal.SIGINT:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "resumes" in errors
    assert "Traceback" not in errors
    assert not list((registry.parent / "results").glob("runs/*/*/.*.tmp"))


def test_files_and_pipes_get_utf_8(zoo: Zoo, registry: Path) -> None:
    text = registry.read_text(encoding="utf-8")
    registry.write_text(
        text.replace("  plain:\n", "  plain:\n    description: Zoë’s 😀\n"), "utf-8"
    )
    for told in (["list", "systems"], ["list", "systems", "--json"]):
        done = zoo(*told, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
        assert done.returncode == 0, done.stderr
        assert "Zoë’s 😀" in done.stdout
