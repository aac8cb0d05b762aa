"""``zoo leaderboard``, on the published runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
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


def test_every_published_run_is_read(tmp_path, monkeypatch, capsys) -> None:
    """Records of every version that ever published some: nothing is skipped, nothing is refused."""
    versions = sorted(PUBLISHED.glob("*/runs"))
    assert versions
    for number, folder in enumerate(versions):
        results = tmp_path / str(number)
        shutil.copytree(folder, results / "runs", ignore=shutil.ignore_patterns("*.safetensors"))
        assert leaderboard(results, monkeypatch, "--all") == 0
        capsys.readouterr()
        tables = json.loads((results / "leaderboard.json").read_text())["tables"]
        rows = [row for table in tables for row in table["rows"]]
        assert sum(row["n"] for row in rows) == len(list(folder.glob("*/*/*/run.json")))
        assert {row["remarks"] for t in tables for row in t["rows"] if "remarks" in row} <= {
            None,
            "predictions withheld",
        }


def test_arms_are_shown_when_asked_for(tmp_path, put_run, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    put_run(tmp_path)
    put_run(tmp_path, overrides=["systems.plain.aligner=null"])
    put_run(tmp_path, dataset="arms", overrides=["x=1"])
    assert leaderboard(tmp_path, monkeypatch) == 0
    out = capsys.readouterr().out
    assert "aligner=null" not in out + (tmp_path / "leaderboard.csv").read_text()
    assert "1 variant with overrides not shown" in out
    assert "x=1" in out, "there is nothing else on these data"
    assert leaderboard(tmp_path, monkeypatch, "--all") == 0
    for text in (capsys.readouterr().out, (tmp_path / "leaderboard.csv").read_text()):
        assert "aligner=null" in text
        assert "arms" in text


PLUGIN = """\
from zoo.evaluation.scores import METRICS
from zoo.results.columns import spread
from zoo.results.leaderboard import COLUMNS
from zoo.results.tables import Column

METRICS["untyped"] = lambda gold, found: 100 * METRICS["f1"](*([[e._replace(type="X") for e in s] for s in side] for side in (gold, found))) / 100
COLUMNS.append(Column("best", "best epoch", spread(lambda run: run.record.best_epoch)))
"""  # noqa: E501


def test_a_plug_in_s_metric_and_column(zoo, tmp_path, put_run) -> None:
    put_run(tmp_path / "results", ([(0, 2, "LOC")], [(1, 2, "LOC")], []))
    (tmp_path / "own.py").write_text(PLUGIN)
    done = zoo("leaderboard", "--details", "--plugin", "own.py", COLUMNS="300")
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("untyped", "best epoch", "80.00", "40.00"):
        assert words in done.stdout
    (row,) = json.loads((tmp_path / "results/leaderboard.json").read_text())["tables"][0]["rows"]
    assert row["untyped"]["mean"] == pytest.approx(80)


def test_no_torch(tmp_path, put_run) -> None:
    put_run(tmp_path / "results")
    program = (
        "import sys; from zoo.cli import cli\n"
        "cli.main(['leaderboard'], standalone_mode=False); sys.exit('torch' in sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": str(PUBLISHED.parents[1])}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=env, check=False)
    assert done.returncode == 0


def test_a_changed_label_is_named(tmp_path, put_run, monkeypatch, capsys) -> None:
    folder: Path = put_run(tmp_path)
    file = folder / "predictions.test.jsonl"
    file.write_text(file.read_text().replace("LOC", "ORG"))
    assert leaderboard(tmp_path, monkeypatch) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"zoo: {file}: changed since the run was stored; delete the folder to have the run made "
        "again\n"
    )
    assert not (tmp_path / "leaderboard.md").exists()


def test_the_numbers_of_papers_stand_in_tables_of_their_own(
    results, tmp_path, monkeypatch, capsys
) -> None:
    args = ("--dataset", "twitter2017", "--reported")
    assert leaderboard(results, monkeypatch, *args) == 0
    shown = capsys.readouterr().out
    assert shown.index("bert-crf") < shown.index("twitter2017: reported by papers")
    assert "epoch chosen on test" in shown
    assert "reported by papers" not in (results / "leaderboard.md").read_text()
    assert "twitter2015: reported by papers" in (results / "reported.md").read_text()
    empty = tmp_path / "empty"
    assert leaderboard(empty, monkeypatch, "--reported") == 0
    assert sorted(path.suffix for path in empty.glob("*.*")) == [".csv", ".json", ".md", ".tex"]
