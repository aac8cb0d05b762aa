"""A table's numbers follow from the predictions, and what was changed is refused by name."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zoo.errors import ConfigError, DataError
from zoo.evaluation.scores import EXACT, METRICS, Scores, score
from zoo.results import evidence
from zoo.results.ablations import Comparison, Outcome, ablation_tables
from zoo.results.columns import spread
from zoo.results.evidence import verify, withhold
from zoo.results.leaderboard import COLUMNS, leaderboard
from zoo.results.record import file_digest, read_run, write_run
from zoo.results.store import Store
from zoo.results.tables import Column, Spread, Table
from zoo.results.writers import to_csv, to_json, to_latex, to_markdown
from zoo.types import Entity, ScoredEntity

PutRun = Callable[..., Path]
RIGHT = ([(0, 2, "PER")], [(1, 2, "LOC")], [(0, 1, "ORG")])
TEST = "predictions.test.jsonl"


def cells(table: Table, key: str) -> list[Any]:
    index = [column.key for column in table.columns].index(key)
    return [row[index] for row in table.rows]


def old(*paths: Path) -> None:
    """Have files look as if they were written an hour ago (but for ctime, which can't be set)."""
    for path in paths:
        os.utime(path, (time.time() - 3600,) * 2)


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


# What is refused ---------------------------------------------------------------------------------


def a_label(folder: Path) -> Path:
    edit(folder / TEST, '"LOC"', '"ORG"')
    return folder / TEST


def a_label_and_its_digest(folder: Path) -> Path:
    """Nor does it help to store the digest of what was changed."""
    edit(folder / TEST, '"LOC"', '"ORG"')
    record = read_run(folder)
    write_run(folder, record)
    return folder / TEST


def a_label_of_an_old_run(folder: Path) -> Path:
    """Records of version 0.2 hold no digests; their scores still tell."""
    edit(folder / TEST, '"LOC"', '"ORG"')
    data = json.loads((folder / "run.json").read_text())
    del data["files"], data["digest"]
    (folder / "run.json").write_text(json.dumps(data))
    return folder / TEST


def a_cut_file(folder: Path) -> Path:
    data = (folder / TEST).read_bytes()
    (folder / TEST).write_bytes(data[: len(data) // 2])
    return folder / TEST


def a_line_less(folder: Path) -> Path:
    lines = (folder / TEST).read_text().splitlines(keepends=True)
    (folder / TEST).write_text("".join(lines[:-1]))
    return folder / TEST


def no_test_predictions(folder: Path) -> Path:
    (folder / TEST).unlink()
    return folder / TEST


def no_dev_predictions(folder: Path) -> Path:
    (folder / "predictions.dev.jsonl").unlink()
    return folder / "predictions.dev.jsonl"


def another_config(folder: Path) -> Path:
    (folder / "config.yaml").write_text("seed: 2\n")
    return folder / "config.yaml"


def a_number_in_the_record(folder: Path) -> Path:
    edit(folder / "run.json", '"train": 1.0', '"train": 2.0')
    return folder / "run.json"


def a_space_in_the_record(folder: Path) -> Path:
    edit(folder / "run.json", '"seed": 1', '"seed":  1')
    return folder / "run.json"


def a_record_without_its_digest(folder: Path) -> Path:
    data = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(data | {"digest": None}))
    return folder / "run.json"


def a_copied_folder(folder: Path) -> Path:
    copy = folder.with_name("2-" + folder.name[2:])
    shutil.copytree(folder, copy)
    return copy / "run.json"


def another_system(folder: Path) -> Path:
    home = folder.parents[1].with_name("better") / folder.parent.name
    home.mkdir(parents=True)
    folder.rename(home / folder.name)
    return home / folder.name / "run.json"


def another_dataset(folder: Path) -> Path:
    folder.parent.rename(folder.parent.with_name("other"))
    return folder.parent.with_name("other") / folder.name / "run.json"


CHANGES = [
    a_label,
    a_label_and_its_digest,
    a_label_of_an_old_run,
    a_cut_file,
    a_line_less,
    no_test_predictions,
    no_dev_predictions,
    another_config,
    a_number_in_the_record,
    a_space_in_the_record,
    a_record_without_its_digest,
    a_copied_folder,
    another_system,
    another_dataset,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_was_changed_is_named(tmp_path: Path, put_run: PutRun, change: Any) -> None:
    put_run(tmp_path, system="another")
    folder = put_run(tmp_path)
    store = Store(tmp_path)
    assert len(store.load_runs()) == 2
    named = change(folder)
    for _ in range(2):  # nor the second time, when the others are remembered
        with pytest.raises(DataError) as caught:
            store.load_runs()
        (line,) = caught.value.problems
        assert line.startswith(f"{named}: ")
        assert "\n" not in line
        assert "delete the folder" in line
    assert any(line.startswith(f"{named}: ") for line in verify(named.parent)[1])


@pytest.mark.parametrize("name", ["run.json", "config.yaml", TEST, "predictions.dev.jsonl"])
def test_every_byte_of_what_tables_need_counts(tmp_path: Path, put_run: PutRun, name: str) -> None:
    folder = put_run(tmp_path)
    data = (folder / name).read_bytes()
    for at in {*range(0, len(data), 97), len(data) - 1}:
        (folder / name).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(DataError, match=name):
            Store(tmp_path).load_runs()
    (folder / name).write_bytes(data)
    assert len(Store(tmp_path).load_runs()) == 1


@pytest.mark.parametrize("name", ["history.csv", "model.safetensors"])
def test_weights_and_history_may_go_but_not_change(
    tmp_path: Path, put_run: PutRun, name: str
) -> None:
    folder = put_run(tmp_path)
    assert verify(folder) == (6, [])
    (folder / name).write_bytes(b"other")
    assert [line.split(": ")[0] for line in verify(folder)[1]] == [str(folder / name)]
    (folder / name).unlink()
    assert verify(folder) == (5, [])
    (folder / "notes.txt").write_text("mine")
    (line,) = verify(folder)[1]
    assert "notes.txt: run.json doesn't list it" in line


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_verify_finds_what_is_no_file(tmp_path: Path, put_run: PutRun, kind: str) -> None:
    folder = put_run(tmp_path)
    path = folder / "history.csv"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("gone")
    (line,) = verify(folder)[1]
    assert line.startswith(f"{path}: not a regular file")


def test_a_record_of_a_trained_run_is_whole(tmp_path: Path, put_run: PutRun) -> None:
    folder = put_run(tmp_path)
    data = json.loads((folder / "run.json").read_text()) | {"device": None, "kind": "run"}
    (folder / "run.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match="a trained run has `device`"):
        Store(tmp_path).load_runs()


# What is remembered ------------------------------------------------------------------------------


def count(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    read: list[str] = []

    def counted(path: Path) -> str:
        read.append(path.name)
        return file_digest(path)

    monkeypatch.setattr(evidence, "file_digest", counted)
    return read


def test_a_file_that_did_not_change_is_not_read_again(
    tmp_path: Path, put_run: PutRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put_run(tmp_path)
    store, read = Store(tmp_path), count(monkeypatch)
    (first,) = store.load_runs()
    assert len(read) == 3
    store.load_runs()
    assert len(read) == 6, "a file of this moment is not remembered: it may still change unseen"

    # two seconds later
    now = time.time_ns
    monkeypatch.setattr(evidence.time, "time_ns", lambda: now() + 3_000_000_000)
    store.load_runs()
    read.clear()
    monkeypatch.setattr(evidence, "score_predictions", lambda _: pytest.fail("scored again"))
    (again,) = store.load_runs()
    assert read == []
    assert (again.record, again.scores, again.digest) == (first.record, first.scores, first.digest)
    assert store.load_runs([first.record])[0].scores == first.scores

    # the same size, and the time put back: the time of the change itself can't be
    before = (folder / TEST).stat()
    edit(folder / TEST, '"LOC"', '"ORG"')
    os.utime(folder / TEST, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (folder / TEST).stat().st_size == before.st_size
    with pytest.raises(DataError, match=TEST):
        store.load_runs()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"code": 1, "files": {}}', b'{"files": 3}', b"\xff", b"null"],
)
def test_a_broken_memory_is_none(tmp_path: Path, put_run: PutRun, content: bytes) -> None:
    put_run(tmp_path)
    memory = tmp_path / ".cache" / "verified.json"
    memory.parent.mkdir()
    memory.write_bytes(content)
    assert len(Store(tmp_path).load_runs()) == 1


@pytest.mark.parametrize(
    "entry", [None, 3, [1], [[1, 2, 3, 4], None, None], [[], "x", {"gold": 1}]]
)
def test_a_broken_entry_is_none(tmp_path: Path, put_run: PutRun, entry: Any) -> None:
    folder = put_run(tmp_path)
    memory = tmp_path / ".cache" / "verified.json"
    memory.parent.mkdir()
    key = (folder / TEST).relative_to(tmp_path).as_posix()
    memory.write_text(json.dumps({"code": evidence._code(), "files": {key: entry}}))
    assert len(Store(tmp_path).load_runs()) == 1


def test_what_other_code_computed_is_not_believed(
    tmp_path: Path, put_run: PutRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_run(tmp_path)
    now = time.time_ns
    monkeypatch.setattr(evidence.time, "time_ns", lambda: now() + 3_000_000_000)
    Store(tmp_path).load_runs()
    read = count(monkeypatch)
    monkeypatch.setattr(evidence, "_code", lambda: "other")
    Store(tmp_path).load_runs()
    assert len(read) == 3


def test_where_nothing_can_be_written_runs_are_read_all_the_same(
    tmp_path: Path, put_run: PutRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_run(tmp_path)

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(evidence, "write_atomic", refuse)
    assert len(Store(tmp_path).load_runs()) == 1


# Withheld and external ---------------------------------------------------------------------------


def test_withheld_predictions_are_said_in_every_format(tmp_path: Path, put_run: PutRun) -> None:
    folder = put_run(tmp_path)
    digest = file_digest(folder / TEST)
    (before,) = Store(tmp_path).load_runs()
    withhold(folder)
    withhold(folder)
    assert not list(folder.glob("predictions.*"))
    (run,) = Store(tmp_path).load_runs()
    assert (run.scores, run.digest, run.predictions) == (before.scores, digest, None)
    assert verify(folder) == (4, [])
    tables = leaderboard([run])
    assert cells(tables[0], "remarks") == ["predictions withheld"]
    for text in (to_markdown(tables, "L"), to_csv(tables), to_latex(tables), to_json(tables)):
        assert "predictions withheld" in text
    (folder / "config.yaml").unlink()
    with pytest.raises(DataError, match=r"config\.yaml: missing"):
        withhold(folder)


@pytest.mark.parametrize("name", ["history.csv", "model.safetensors", "foreign.txt"])
def test_what_was_changed_is_not_withheld(tmp_path: Path, put_run: PutRun, name: str) -> None:
    """The record gets the digests of all files anew: they must be those that it had."""
    folder = put_run(tmp_path)
    with (folder / name).open("ab") as file:
        file.write(b"1\n")
    with pytest.raises(DataError, match=name):
        withhold(folder)
    assert verify(folder)[1] != []
    assert (folder / TEST).exists()


def test_a_mean_over_fewer_seeds_than_the_row_s_is_not_shown(
    tmp_path: Path, put_run: PutRun
) -> None:
    folder, _ = (put_run(tmp_path, id=f"{seed}" * 12, seed=seed) for seed in (1, 2))
    (before,) = leaderboard(Store(tmp_path).load_runs())
    assert cells(before, "f1_width_1_word")[0] is not None
    withhold(folder)
    (table,) = leaderboard(Store(tmp_path).load_runs())
    assert (cells(table, "n"), cells(table, "f1_width_1_word")) == ([2], [None])
    assert cells(table, "f1_type_PER") == cells(before, "f1_type_PER")
    assert "Intervals and ranks are computed from predictions, which are withheld." in table.notes


def test_predictions_made_elsewhere(tmp_path: Path, put_run: PutRun) -> None:
    """What only training tells is missing, and shown as missing."""
    names = ("device", "epochs", "best_epoch", "speed", "parameters", "text_only", "precision")
    nothing = dict.fromkeys(names)
    put_run(tmp_path, system="plain")
    folder = put_run(
        tmp_path, RIGHT, system="theirs", kind="external", versions={}, seconds={}, **nothing
    )
    (folder / "config.yaml").unlink()
    store = Store(tmp_path)
    (table,) = leaderboard(store.load_runs())
    assert cells(table, "system") == ["theirs", "plain"]
    assert cells(table, "remarks") == ["predictions made elsewhere", None]
    for key in ("train_seconds", "predict_speed", "trained", "parameters", "train_speed"):
        assert cells(table, key)[0] is None
        assert cells(table, key)[1] is not None
    shown = dict(zip(table.shown()[0], table.shown()[1], strict=True))
    assert (shown["F1"], shown["train s"], shown["total (M)"]) == ("100.00 ± –", "–", "–")


# Metrics and columns -----------------------------------------------------------------------------


@pytest.fixture
def further() -> Iterator[None]:
    """A metric and a column, each by its one line."""
    before = dict(METRICS)
    METRICS["perfect"] = lambda gold, found: (
        100 * sum(set(a) == set(b) for a, b in zip(gold, found, strict=True)) / len(gold)
    )
    COLUMNS.append(Column("best", "best epoch", spread(lambda run: run.record.best_epoch)))
    yield
    COLUMNS.pop()
    METRICS.clear()
    METRICS.update(before)


def test_a_metric_is_one_line_and_applies_to_runs_of_before(
    tmp_path: Path, put_run: PutRun, request: pytest.FixtureRequest
) -> None:
    folders = [put_run(tmp_path, seed=1), put_run(tmp_path, RIGHT, seed=2, config_hash="a")]
    assert "perfect" not in (folders[0] / "run.json").read_text()
    request.getfixturevalue("further")
    put_run(tmp_path, RIGHT, seed=3, config_hash="a")
    runs = Store(tmp_path).load_runs()
    assert [run.metrics["perfect"] for run in runs] == pytest.approx([100 / 3, 100, 100])
    assert '"perfect": 100.0' in (Store(tmp_path).folder(runs[2].record) / "run.json").read_text()
    (table,) = leaderboard(runs)
    assert cells(table, "perfect") == [Spread(100.0, 0.0), Spread(pytest.approx(100 / 3), None)]
    assert cells(table, "best") == [Spread(1.0, 0.0), Spread(1.0, None)]
    column = next(column for column in table.columns if column.key == "perfect")
    assert column.detail
    (arms,) = ablation_tables([Comparison("t", {}, [Outcome("base", "f" * 64, runs[1:])])])
    assert cells(arms, "perfect") == [Spread(100.0, 0.0)]
    assert "perfect,perfect_sd" in to_csv([table])
    assert json.loads(to_json([table]))["tables"][0]["rows"][0]["perfect"]["mean"] == 100.0


@pytest.mark.parametrize(
    ("name", "metric", "message"),
    [
        ("f1", lambda gold, found: 1.0, r"METRICS\['f1'\]: the name is taken"),
        ("gold", lambda gold, found: 1.0, r"METRICS\['gold'\]: the name is taken"),
        ("mine", lambda gold, found: 1 / 0, r"METRICS\['mine'\] fails: ZeroDivisionError"),
        ("mine", lambda gold, found: float("nan"), r"METRICS\['mine'\] returns nan"),
        ("mine", lambda gold, found: "high", r"METRICS\['mine'\] fails: ValueError"),
    ],
)
def test_a_wrong_metric_is_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, metric: Any, message: str
) -> None:
    monkeypatch.setitem(METRICS, name, metric)
    with pytest.raises(ConfigError, match=message):
        score([[Entity(0, 1, "PER")]], [[ScoredEntity(0, 1, "PER", 0.5)]])


def test_a_metric_gets_plain_entities_and_may_use_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        METRICS, "mine", lambda gold, found: METRICS["f1"](gold, found) / 2 * (gold == found)
    )
    ours = score([[Entity(0, 1, "PER")]], [[ScoredEntity(0, 1, "PER", 0.5)]])
    assert ours.metrics == {"mine": 50.0}
    assert Scores.from_dict(ours.as_dict()).metrics == {"mine": 50.0}
    assert list(ours.as_dict())[:4] == ["precision", "recall", "f1", "mine"]
    assert set(EXACT) == {"precision", "recall", "f1"}
    for name, metric in EXACT.items():
        assert metric([[Entity(0, 1, "A")]], [[Entity(0, 1, "A")]]) == getattr(ours, name) == 100


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda runs: 1 / 0, "column `mine` fails: ZeroDivisionError"),
        (lambda runs: float("inf"), "column `mine` returns inf"),
        (lambda runs: Spread(float("nan"), None), "not finite"),
    ],
)
def test_a_wrong_column_is_one_line(
    tmp_path: Path, put_run: PutRun, monkeypatch: pytest.MonkeyPatch, value: Any, message: str
) -> None:
    put_run(tmp_path)
    runs = Store(tmp_path).load_runs()
    monkeypatch.setattr("zoo.results.leaderboard.COLUMNS", [*COLUMNS, Column("mine", "m", value)])
    with pytest.raises(ConfigError, match=message):
        leaderboard(runs)
    monkeypatch.setattr("zoo.results.leaderboard.COLUMNS", [*COLUMNS, Column("n", "again")])
    with pytest.raises(ConfigError, match="2 columns `n`"):
        leaderboard(runs)


# What may be pooled ------------------------------------------------------------------------------

OTHERS = [
    ({"precision": "bf16"}, "precision bf16 (most: fp32)"),
    ({"device": "NVIDIA H100 80GB HBM3"}, "cuda (most: cpu)"),
    ({"device": "mps, 8 threads"}, "mps (most: cpu)"),
    ({"versions": {"torch": "2.10.0+cu132"}}, "torch 2.10 (most: 2.9)"),
    ({"versions": {}}, "torch unknown (most: 2.9)"),
]


@pytest.mark.parametrize(("change", "remark"), OTHERS)
def test_seeds_of_another_environment_are_a_row_of_their_own(
    tmp_path: Path, put_run: PutRun, change: dict[str, Any], remark: str
) -> None:
    for seed in (1, 2):
        put_run(tmp_path, seed=seed, config_hash="a")
    put_run(tmp_path, RIGHT, seed=3, config_hash="a", **change)
    runs = Store(tmp_path).load_runs()
    (table,) = leaderboard(runs)
    rows = {row[0]: row[1] for row in zip(cells(table, "n"), cells(table, "remarks"), strict=True)}
    assert rows == {2: None, 1: remark}
    assert any("never pooled" in note for note in table.notes)
    for text in (to_markdown([table], "L"), to_csv([table]), to_latex([table]), to_json([table])):
        assert remark in text

    (arms,) = ablation_tables([Comparison("t", {}, [Outcome("base", "f" * 64, runs)])])
    assert cells(arms, "n") == [2, 1]
    assert cells(arms, "remarks") == [None, remark]
    assert len(set(cells(arms, "arm"))) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"device": "cpu, 2 threads"},
        {"versions": {"torch": "2.9.0"}},
        {"versions": {"torch": "2.9.1+cpu", "numpy": "2"}},
    ],
)
def test_what_makes_no_difference_is_pooled(
    tmp_path: Path, put_run: PutRun, change: dict[str, Any]
) -> None:
    put_run(tmp_path, seed=1, config_hash="a")
    put_run(tmp_path, seed=2, config_hash="a", **change)
    (table,) = leaderboard(Store(tmp_path).load_runs())
    assert cells(table, "n") == [2]
    assert "remarks" not in [column.key for column in table.columns]


def test_an_arm_is_compared_with_the_base_in_its_environment(
    tmp_path: Path, put_run: PutRun
) -> None:
    def outcome(name: str, found: Any, *made: dict[str, Any]) -> Outcome:
        root = tmp_path / name
        for changes in made:
            put_run(root, found, config_hash=name, **changes)
        return Outcome(name, "f" * 64, Store(root).load_runs())

    other = {"precision": "bf16"}
    base = outcome("base", RIGHT, {"seed": 1}, {"seed": 2}, {"seed": 4}, {"seed": 3, **other})
    less = ([(0, 2, "PER")], [], [])
    arm = outcome("arm", less, {"seed": 1}, {"seed": 3, **other})
    alone = outcome("alone", less, {"seed": 2, **other})
    (table,) = ablation_tables([Comparison("t", {}, [base, arm, alone])])
    assert cells(table, "arm") == [
        "base",
        "base (bf16 cpu torch 2.9)",
        "arm",
        "arm (bf16 cpu torch 2.9)",
        "alone",
    ]
    assert cells(table, "n") == [3, 1, 1, 1, 1]
    assert cells(table, "delta") == [None, None, -50.0, -50.0, -50.0]
    assert [p is None for p in cells(table, "p_runs")] == [True, True, False, False, True]
    assert cells(table, "remarks")[-1] == "precision bf16 (most: fp32)"


def test_withheld_predictions_are_not_compared(tmp_path: Path, put_run: PutRun) -> None:
    put_run(tmp_path / "base")
    withhold(put_run(tmp_path / "arm", RIGHT))
    base, arm = (Store(tmp_path / name).load_runs() for name in ("base", "arm"))
    made = [Outcome("base", "f" * 64, base), Outcome("arm", "f" * 64, arm)]
    (table,) = ablation_tables([Comparison("t", {}, made)])
    assert cells(table, "delta") == [None, None]
    assert cells(table, "remarks") == [None, "predictions withheld"]


# Which rows --------------------------------------------------------------------------------------


def test_variants_with_overrides_are_counted_or_shown(tmp_path: Path, put_run: PutRun) -> None:
    put_run(tmp_path)
    for seed in (1, 2):
        put_run(tmp_path, seed=seed, overrides=["systems.plain.aligner=null"], config_hash="a")
    put_run(tmp_path, dataset="other", overrides=["x=1"])
    runs = Store(tmp_path).load_runs()
    mini, other = leaderboard(runs)
    assert cells(mini, "n") == [1]
    assert "1 variant with overrides not shown: `zoo leaderboard --all`." in mini.notes
    assert cells(other, "overrides") == ["x=1"], "there is nothing else on these data"
    mini, other = leaderboard(runs, all=True)
    assert sorted(cells(mini, "n")) == [1, 2]
    assert not any("not shown" in note for note in mini.notes)
    assert cells(other, "overrides") == ["x=1"]


def test_the_digest_shows_who_has_the_same_predictions(tmp_path: Path, put_run: PutRun) -> None:
    first = put_run(tmp_path, seed=1, config_hash="a")
    put_run(tmp_path, RIGHT, seed=2, config_hash="a")
    put_run(tmp_path, system="same")
    (table,) = leaderboard(Store(tmp_path).load_runs())
    both, same = cells(table, "predictions")
    assert same == file_digest(first / TEST)[:8]
    assert both.split()[0] == same
    assert len(both.split()) == 2
