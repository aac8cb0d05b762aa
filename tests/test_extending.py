"""docs/extending.md is followed word by word: each file is saved, each command run."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
Zoo = Callable[..., subprocess.CompletedProcess[str]]


def files() -> dict[str, str]:
    """What is to be saved, by its name."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"Save this as `([^`]+)`:\n\n```\w+\n(.*?)```", text, re.DOTALL)
    assert len(found) == text.count("```") / 2, "every block of the page is saved"
    return dict(found)


def commands() -> list[list[str]]:
    lines = re.findall(r"^    zoo (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [shlex.split(line) for line in lines]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    for name, content in files().items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def test_every_addition_is_one_file_and_a_metric_and_a_column_are_one_line() -> None:
    for name in ("sentences.py", "epochs.py"):
        lines = [line for line in files()[name].splitlines() if line]
        assert len([line for line in lines if not line.startswith("from ")]) == 1
    kinds = set(re.findall(r'@register\("(\w+)"', "".join(files().values())))
    assert kinds == {
        "text_encoder", "image_encoder", "joint_encoder", "aligner", "decoder", "objective",
        "reader", "engine",
    }, "a fuser is in the README"  # fmt: skip


def test_every_part_fulfils_its_contract(saved: Path, zoo: Zoo) -> None:
    names = [args[1] for args in commands() if args[0] == "contract"]
    assert len(names) == 7
    done = zoo("contract", *names)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(names)} passed" in done.stdout


@pytest.mark.slow
def test_every_command_works(saved: Path, zoo: Zoo) -> None:
    for args in commands():
        done = zoo(*args)
        assert done.returncode == 0, (args, done.stdout[-2000:], done.stderr)
        if "epochs.py" in args:
            assert "best_epoch" in (saved / "results" / "leaderboard.csv").read_text()
