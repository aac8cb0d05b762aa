"""``zoo runs``: what is stored is listed, deleted and verified."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from zoo.cli.runs_ import command
from zoo.errors import ConfigError, DataError
from zoo.results.record import read_run
from zoo.results.store import Store

Use = Callable[..., Result]
NAME = "1-abcdefabcdef"


@pytest.fixture
def results(tmp_path: Path, put_run, monkeypatch) -> Path:
    """Runs in every state: complete, an arm, external, incomplete, a checkpoint, broken."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "results"
    put_run(root, id="aaaaaaaaaaaa")
    put_run(root, id="bbbbbbbbbbbb", seed=2)
    put_run(root, id="cccccccccccc", overrides=["systems.plain.aligner=null"])
    put_run(root, id="dddddddddddd", system="theirs", kind="external")
    home = root / "runs" / "plain" / "mini"
    for name in (f"{NAME}.elsewhere-1-1-0.tmp", "1-aaaaaaaaaaaa.checkpoint"):
        (home / f".{name}").mkdir()
        (home / f".{name}" / "state").write_bytes(b"x" * 1500)
    broken = put_run(root, id="eeeeeeeeeeee", dataset="other")
    (broken / "run.json").write_text("{}")
    return root


@pytest.fixture
def use(results: Path) -> Use:
    def use(*args: str, input: str | None = None) -> Result:
        return CliRunner().invoke(
            command, args, input=input, standalone_mode=False, catch_exceptions=True
        )

    return use


def folders(results: Path) -> list[str]:
    return sorted(path.name for path in results.glob("runs/*/*/*"))


ALL = [
    ".1-aaaaaaaaaaaa.checkpoint",
    f".{NAME}.elsewhere-1-1-0.tmp",
    "1-aaaaaaaaaaaa",
    "1-cccccccccccc",
    "1-dddddddddddd",
    "1-eeeeeeeeeeee",
    "2-bbbbbbbbbbbb",
]


def test_the_list(results: Path, use: Use) -> None:
    lines = use().output.splitlines()
    assert lines[0].split() == [
        *("system", "dataset", "seed", "id", "variant", "state", "size", "overrides")
    ]
    cells = [line.split() for line in lines[1:]]
    states = {(row[0], row[2], row[3]): row[5] for row in cells}
    assert states == {
        ("plain", "1", "abcdefabcdef"): "incomplete",
        ("plain", "1", "aaaaaaaaaaaa"): "complete",
        ("plain", "1", "cccccccccccc"): "complete",
        ("plain", "1", "eeeeeeeeeeee"): "broken",
        ("plain", "2", "bbbbbbbbbbbb"): "complete",
        ("theirs", "1", "dddddddddddd"): "external",
    } | {("plain", "1", "aaaaaaaaaaaa"): states["plain", "1", "aaaaaaaaaaaa"]}
    assert sorted(row[5] for row in cells if row[3] == "aaaaaaaaaaaa") == ["checkpoint", "complete"]
    (arm,) = [line for line in lines if "cccccccccccc" in line]
    assert arm.endswith("systems.plain.aligner=null")
    assert read_run(results / "runs/plain/mini/1-cccccccccccc").variant in arm
    assert any("1.5 kB" in line for line in lines)


def test_json(results: Path, use: Use) -> None:
    runs = json.loads(use("--json").output)["runs"]
    assert len(runs) == 7
    one = next(run for run in runs if run["id"] == "cccccccccccc")
    folder = Path(one["folder"])
    assert one == {
        "system": "plain",
        "dataset": "mini",
        "seed": 1,
        "id": "cccccccccccc",
        "variant": read_run(folder).variant,
        "overrides": ["systems.plain.aligner=null"],
        "suite": None,
        "state": "complete",
        "withheld": False,
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "folder": "results/runs/plain/mini/1-cccccccccccc",
    }


@pytest.mark.parametrize(
    ("args", "count"),
    [
        (["--system", "theirs"], 1),
        (["--seed", "2"], 1),
        (["--seed", "2", "--seed", "1", "--state", "complete"], 3),
        (["--dataset", "other"], 1),
        (["--state", "checkpoint"], 1),
        (["--system", "theirs", "--state", "broken"], 0),
    ],
)
def test_filters(use: Use, args: list[str], count: int) -> None:
    assert len(json.loads(use(*args, "--json").output)["runs"]) == count


def test_what_a_dead_process_left_is_gone(results: Path, use: Use) -> None:
    (results / "runs/plain/mini/.1-ffffffffffff.tmp").mkdir()  # as version 0.2 named them
    assert "ffffffffffff" not in use().output
    assert folders(results) == ALL


# Deleting ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "left"),
    [
        (["aaaaaa"], [".1-abc", "1-ccc", "1-ddd", "1-eee", "2-bbb"]),
        (["--state", "checkpoint"], [".1-abc", "1-aaa", "1-ccc", "1-ddd", "1-eee", "2-bbb"]),
        (["--seed", "2"], [".1-aaa", ".1-abc", "1-aaa", "1-ccc", "1-ddd", "1-eee"]),
        (["--system", "plain"], [".1-aaa", ".1-abc", "1-ddd"]),
        (["--state", "incomplete"], [".1-aaa", "1-aaa", "1-ccc", "1-ddd", "1-eee", "2-bbb"]),
        (["--state", "broken"], [".1-aaa", ".1-abc", "1-aaa", "1-ccc", "1-ddd", "2-bbb"]),
        ([], [".1-aaa", ".1-abc"]),
    ],
)
def test_rm(results: Path, use: Use, args: list[str], left: list[str]) -> None:
    """A checkpoint goes when it is named, and so does what another host may be writing."""
    done = use("rm", *args, "--yes")
    assert done.exception is None
    assert "deleted" in done.output
    assert sorted(folders(results)) == sorted(
        next(name for name in ALL if name.startswith(short)) for short in left
    )


def test_rm_takes_a_variant(results: Path, use: Use) -> None:
    variant = read_run(results / "runs/plain/mini/1-aaaaaaaaaaaa").variant
    assert use("rm", variant[:8], "--yes").exception is None
    assert "1-aaaaaaaaaaaa" not in folders(results)
    assert "2-bbbbbbbbbbbb" not in folders(results), "another seed of the same variant"
    assert ".1-aaaaaaaaaaaa.checkpoint" in folders(results), "a checkpoint was not named"


def test_rm_asks_first(results: Path, use: Use) -> None:
    done = use("rm", "--seed", "2", input="n\n")
    assert "bbbbbbbbbbbb" in done.output, "what would be deleted is shown"
    assert "nothing was deleted" in done.output
    done = use("rm", "--seed", "2", input="")
    assert isinstance(done.exception, ConfigError)
    assert "--yes" in str(done.exception)
    assert folders(results) == ALL
    assert "deleted 1 run" in use("rm", "--seed", "2", input="y\n").output
    assert "2-bbbbbbbbbbbb" not in folders(results)
    assert "nothing to delete" in use("rm", "--state", "complete", "--system", "theirs").output


def test_a_run_that_was_deleted_is_made_again(results: Path, use: Use, put_run) -> None:
    record = read_run(results / "runs/plain/mini/2-bbbbbbbbbbbb")
    use("rm", "bbbbbbbbbbbb", "--yes")
    assert not Store(results).complete(record)
    put_run(results, id="bbbbbbbbbbbb", seed=2)
    assert Store(results).complete(record)


# Verifying ---------------------------------------------------------------------------------------


def test_verify(results: Path, use: Use, zoo) -> None:
    done = use("verify", "--system", "plain", "--dataset", "mini")
    assert (done.return_value, done.output) == (0, "18 files of 3 runs: none wrong\n")

    weights = results / "runs/plain/mini/1-aaaaaaaaaaaa/model.safetensors"
    weights.write_bytes(b"weighty")
    history = results / "runs/plain/mini/2-bbbbbbbbbbbb/history.csv"
    history.write_text(history.read_text().replace("0.5", "0.4"))
    lines = use("verify").output.splitlines()
    assert [line.partition(": ")[0] for line in lines[:-1]] == [
        str(path.relative_to(results.parent))
        for path in (weights, history, results / "runs/plain/other/1-eeeeeeeeeeee/run.json")
    ]
    assert lines[-1] == "25 files of 5 runs: 3 wrong"
    done = zoo("runs", "verify")
    assert (done.returncode, done.stderr) == (1, "")
    assert zoo("runs", "verify", "--system", "theirs").returncode == 0


def test_verify_says_what_has_no_digests(results: Path, use: Use) -> None:
    record = results / "runs/theirs/mini/1-dddddddddddd/run.json"
    data = json.loads(record.read_text())
    del data["files"], data["digest"]
    record.write_text(json.dumps(data))
    done = use("verify", "--system", "theirs")
    assert done.return_value == 0
    assert "1 of 1 run store no digests" in done.output.replace("stores", "store")


def test_withhold(results: Path, use: Use) -> None:
    assert isinstance(use("withhold").exception, ConfigError)
    assert "of 1 run" in use("withhold", "aaaaaa", "--state", "complete").output
    folder = results / "runs/plain/mini/1-aaaaaaaaaaaa"
    assert not list(folder.glob("predictions.*"))
    assert read_run(folder).withheld
    (run,) = [run for run in json.loads(use("--json").output)["runs"] if run["withheld"]]
    assert run["id"] == "aaaaaaaaaaaa"
    assert use("verify", "aaaaaa").return_value == 0


# Wrong use ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--results", "gone"], "gone: no such folder"),
        (["--system", "plane"], "--system plane: no stored run"),
        (["rm", "zzzzzz", "--yes"], "zzzzzz: no stored run"),
        (["rm", "", "--yes"], "``: too short to name a run; give 6 characters"),
        (["withhold", ""], "``: too short to name a run"),
        (["withhold", "aaaaa"], "`aaaaa`: too short to name a run"),
        (["--system", "theirs", "--seed", "2"], "no stored run is all that is asked for"),
        (["verify", "--seed", "9"], "--seed 9: no stored run"),
    ],
)
def test_wrong_use_is_one_line(results: Path, use: Use, args: list[str], words: str) -> None:
    done = use(*args)
    assert isinstance(done.exception, DataError)
    (line,) = done.exception.problems
    assert words in line
    assert folders(results) == ALL


def test_options_go_behind_the_sub_command(zoo, results: Path) -> None:
    done = zoo("runs", "--system", "theirs", "rm", "--yes")
    assert (done.returncode, done.stdout) == (2, "")
    assert "options go behind the sub-command" in done.stderr
    assert folders(results) == ALL
    assert zoo("runs", "--results", str(results), "verify", "--system", "theirs").returncode == 0
    assert zoo("runs", "verify", "--help").returncode == 0
