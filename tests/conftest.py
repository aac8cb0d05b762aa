"""What many tests share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.warm import Warm

# Tests run in as many processes as there are cores (-n 2): more threads would only be in each
# other's way. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell has what it starts in the background ignore Ctrl-C, and so would what tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

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


@pytest.fixture(scope="session")
def warm() -> Iterator[Callable[[], Warm]]:
    """The process that command lines are forked from; it begins when it is first asked for."""
    started: list[Warm] = []

    def get() -> Warm:
        if not started:
            started.append(Warm())
        return started[0]

    yield get
    for each in started:
        each.end()


@pytest.fixture
def zoo(
    tmp_path: Path, warm: Callable[[], Warm]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line as a process of its own, in the test's own folder, without ZOO_DATA."""

    def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if k != "ZOO_DATA"}
        clean |= {"ZOO_CACHE": str(tmp_path / "cache"), "COLUMNS": "200", **env}
        if not any(name.startswith(("HF_", "PYTHON", "OMP_")) for name in env):
            return warm().run(args, tmp_path, clean, timeout=240)
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


Found = Sequence[Sequence[tuple[int, int, str]]]


@pytest.fixture
def put_run() -> Callable[..., Path]:
    """Store a run as training does, without training: ``put_run(root, found=…, seed=2) -> folder``.

    Its test split has three sentences with one gold entity each; ``found`` says what is predicted.
    """
    from zoo.evaluation.predictions import read_predictions, score_predictions
    from zoo.identity import digest
    from zoo.results.record import RunRecord, write_run
    from zoo.results.store import Store

    gold = [[(0, 2, "PER")], [(1, 2, "LOC")], [(0, 1, "ORG")]]

    def put(root: Path, found: Found = ([(0, 2, "PER")], [], []), **changes: Any) -> Path:
        lines = "".join(
            json.dumps({"id": f"s{i}", "gold": wanted, "predicted": [[*e, 0.5] for e in entities]})
            + "\n"
            for i, (wanted, entities) in enumerate(zip(gold, found, strict=True))
        )
        fields: dict[str, Any] = {
            "system": "plain",
            "dataset": "mini",
            "seed": 1,
            "config_hash": digest([changes.get("system"), changes.get("overrides")]),
            "data_fingerprint": "f" * 64,
            "sources_hash": "s" * 64,
            "versions": {"torch": "2.9.1"},
            "device": "cpu, 1 threads",
            "precision": "fp32",
            "harness": 1,
            "command": "zoo run",
            "started": datetime(2025, 1, 2, tzinfo=UTC),
            "seconds": {"train": 1.0, "total": 2.0},
            "sentences": {"test": 3},
            "epochs": 1,
            "best_epoch": 1,
            "speed": {"train": 1.0, "predict": 1.0},
            "parameters": {"trained": 10, "total": 20},
            "text_only": True,
            **changes,
        }
        fields.setdefault("id", digest([fields["config_hash"], fields["seed"], str(changes)])[:12])
        with Store(root).writer(RunRecord.model_construct(**fields)) as folder:
            for split in ("dev", "test"):
                (folder / f"predictions.{split}.jsonl").write_text(lines)
                scores = score_predictions(read_predictions(folder / f"predictions.{split}.jsonl"))
                fields.setdefault(split, scores)
            (folder / "config.yaml").write_text("seed: 1\n")
            (folder / "history.csv").write_text("epoch,loss\n1,0.5\n")
            (folder / "model.safetensors").write_bytes(b"weights")
            record = RunRecord.model_validate(fields)
            write_run(folder, record)
        return Store(root).folder(record)

    return put


@pytest.fixture(autouse=True)
def no_plugins_of_other_tests() -> Iterator[None]:
    """Files that a test loads as plug-ins are its own, as they are a command's."""
    from zoo import registry

    yield
    registry.forget_plugin_files()
