"""``--json``: standard output holds JSON alone, in a documented shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo import cli

Use = Callable[..., Any]

FEATURES = {
    "list": ["list", "decoder"],
    "show system": ["show", "plain"],
    "show part": ["show", "crf"],
    "data list": ["data", "list"],
    "data check": ["data", "check"],
    "data stats": ["data", "stats"],
    "data overlap": ["data", "overlap", "--exact"],
    "contract": ["contract", "softmax"],
}
KEYS = {
    "list": {"parts"},
    "show system": {
        "name", "backbone", "description", "cites", "system", "parameters"
    },
    "show part": {"parts"},
    "data list": {"datasets"},
    "data check": {"datasets", "absent"},
    "data stats": {"datasets", "absent"},
    "data overlap": {"overlaps", "absent"},
    "contract": {"parts", "passed", "failed", "skipped"},
}  # fmt: skip


@pytest.fixture
def use(registry: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Use:
    """Give a command in the registry's folder; the JSON that it prints, and standard error."""
    monkeypatch.chdir(registry.parent)
    monkeypatch.delenv("ZOO_DATA", raising=False)
    monkeypatch.setenv("ZOO_CACHE", str(registry.parent / "cache"))

    def run(*args: str, code: int = 0) -> tuple[Any, str]:
        monkeypatch.setattr("sys.argv", ["zoo", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        assert stop.value.code == code, captured.err
        return json.loads(captured.out), captured.err

    return run


@pytest.mark.parametrize("name", FEATURES)
def test_what_there_is(use: Use, name: str) -> None:
    found, said = use(*FEATURES[name], "--json")
    assert found.keys() == KEYS[name]
    assert said == ""


def test_parts_and_settings(use: Use) -> None:
    found, _ = use("list", "decoder", "--json")
    assert {"crf", "softmax"} <= {each["name"] for each in found["parts"]["decoder"]}
    found, _ = use("show", "crf", "--json")
    (part,) = found["parts"]
    assert (part["kind"], part["settings"]["scheme"]["default"]) == ("decoder", "BIO")
    found, _ = use("show", "plain", "--json")
    slots = found["parameters"]["slots"]
    assert slots["all"]["total"] >= slots["text"]["total"] > 0
    found, _ = use("contract", "softmax", "--json")
    assert (found["passed"], found["failed"]) == (1, 0)
    assert (found["parts"][0]["state"], found["parts"][0]["faults"]) == ("passed", [])


def test_a_fault_of_a_plug_in(use: Use, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise ValueError('no')\n")
    found, _ = use("contract", str(tmp_path / "broken.py"), "--json", code=1)
    assert found["parts"][0]["plugin"] == "broken.py"
    assert "ValueError: no" in found["parts"][0]["faults"][0]


def test_runs_and_tables(use: Use) -> None:
    one = "--system", "plain", "--jobs", "1"
    tried, said = use("run", *one, "--dry-run", "--json")
    assert tried["would_run"] == [{"system": "plain", "dataset": "mini", "seed": 1, "epochs": 1}]
    assert tried["systems"][0]["samples"] > 0
    assert "would run 1 of 1 run" in said
    found, said = use("run", *one, "--json")
    assert "1 run: 0 of 1 already done, 1 to do" in said
    assert "plain on mini, seed 1: epoch 1/1" in said
    (table,) = found["tables"]
    (row,) = table["rows"]
    assert (table["dataset"], row["system"]) == ("mini", "plain")
    again, said = use("run", *one, "--json", "--quiet")
    assert (again, said) == (found, "")
    assert use("leaderboard", "--json")[0]["tables"][0]["rows"][0]["system"] == "plain"
    (run,) = use("runs", "--json")[0]["runs"]
    assert (run["system"], run["state"]) == ("plain", "complete")
    predictions = str(Path(run["folder"]) / "predictions.test.jsonl")
    assert "f1" in use("score", predictions, predictions, "--json")[0]
    assert use("compare", run["id"], run["id"], "--json")[0]


def test_quiet_runs_say_failures_alone(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object) -> None:
        raise ValueError("no luck")

    monkeypatch.setattr("zoo.runs.run.run", fails)
    found, said = use("run", "--system", "plain", "--jobs", "1", "--quiet", "--json", code=1)
    assert found == {"tables": []}
    first, second = said.splitlines()
    assert first.startswith("[1/1] plain on mini, seed 1: failed: ValueError: no luck")
    assert second == "1 of 1 run failed; see above"
