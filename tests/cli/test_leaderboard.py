"""``zoo leaderboard``, on the published runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from zoo import cli

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
RUNS = PUBLISHED / "0.2" / "runs" / "bert-crf"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for dataset in ("twitter2017", "wikineural"):
        folder = tmp_path / "runs" / "bert-crf" / dataset
        shutil.copytree(RUNS / dataset, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return tmp_path


def leaderboard(results: Path, monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    monkeypatch.setattr("sys.argv", ["zoo", "leaderboard", "--results", str(results), *args])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_tables_are_made_from_the_runs(results, monkeypatch, capsys) -> None:
    picture = results / "board.svg"
    args = ("--dataset", "twitter2017", "--svg", str(picture))
    assert leaderboard(results, monkeypatch, *args) == 0
    shown = capsys.readouterr().out
    assert "bert-crf" in shown
    assert "twitter2017" in shown
    assert "wikineural" not in shown, "only the dataset asked for is shown"
    for suffix in ("md", "csv", "tex", "json"):
        text = (results / f"leaderboard.{suffix}").read_text()
        assert "twitter2017" in text
        assert "wikineural" in text, "the files hold all"
    drawn = picture.read_text()
    assert "bert-crf" in drawn
    assert "@font-face" not in drawn, "a picture loads nothing"


def test_a_broken_record_is_named(results, monkeypatch, capsys) -> None:
    record = next((results / "runs").glob("*/*/*/run.json"))
    record.write_text("{}")
    assert leaderboard(results, monkeypatch) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert str(record) in lines[0]


def test_an_unknown_dataset_is_named(results, monkeypatch, capsys) -> None:
    assert leaderboard(results, monkeypatch, "--dataset", "twitter2071") == 2
    assert "`twitter2017`" in capsys.readouterr().err
