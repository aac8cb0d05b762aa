"""A first use, which has to work with the lowest versions of the dependencies, too."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_shipped_registry_trains_and_scores(
    tmp_path: Path, zoo: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert zoo("init", str(tmp_path)).returncode == 0
    arguments = ["run", str(tmp_path / "registry.yaml"), "--seed", "1", "--jobs", "2"]
    for system in ("bert-crf", "bert-span", "2m-ner", "smner"):
        arguments += ["--system", system]
    small = ["-o", "recipes.tiny.epochs=1", "-o", "datasets.mini={train: 64, dev: 32, test: 32}"]
    done = zoo(*arguments, *small)
    assert done.returncode == 0, done.stdout + done.stderr
    again = zoo(*arguments, *small)
    assert "4 of 4 already done, 0 to do" in again.stdout
