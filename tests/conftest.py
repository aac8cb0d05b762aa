"""What many tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

REGISTRY = """\
datasets:
  mini: {reader: synthetic, train: 24, dev: 8, test: 8, languages: [en]}
backbones:
  tiny:
    text: {part: transformer, scratch: {layers: 1, width: 16, heads: 2}}
    grid: {part: small_cnn}
systems:
  plain:
    text: {part: $text}
    decoder: {part: crf}
  spans:
    text: {part: $text}
    decoder: {part: span_classifier}
  seeing:
    extends: plain
    views: {grid: {part: $grid}}
    aligner: {part: contrastive}
    fuser: {part: cross_attention, level: token, heads: 2}
recipes:
  quick:
    epochs: 1
    batch_size: 8
    learning_rates: {"*": 1e-3}
suites:
  mini:
    systems: [plain, seeing]
    datasets: [mini]
    seeds: [1]
    backbone: tiny
    recipe: quick
"""


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A small registry that runs in seconds, in a folder of its own."""
    path = tmp_path / "registry.yaml"
    path.write_text(REGISTRY, encoding="utf-8")
    return path


@pytest.fixture
def zoo(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line as a subprocess, in the test's own folder, without ZOO_DATA."""

    def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if k != "ZOO_DATA"}
        clean |= {"ZOO_CACHE": str(tmp_path / "cache"), "COLUMNS": "200", **env}
        return subprocess.run(
            [sys.executable, "-c", "from zoo.cli import main; main()", *args],
            cwd=tmp_path,
            env=clean,
            capture_output=True,
            text=True,
            timeout=240,
        )

    return run


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the real data sets."""
    root = os.environ.get("ZOO_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("the real data sets are not here (ZOO_DATA is unset); they can't be shipped")
    return Path(root).resolve()
