"""Runs are whole or not there, and never made twice."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import platform
import random
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import ConfigError, DataError, RunError
from zoo.evaluation.predictions import read_predictions, score_predictions, write_predictions
from zoo.evaluation.scores import Scores, score
from zoo.files import abandoned, owner, write_atomic
from zoo.identity import HARNESS, digest, run_id, variant_id
from zoo.results.evidence import verify
from zoo.results.record import RunRecord, file_digest, read_run, write_run
from zoo.results.store import Store
from zoo.types import Entity, Prediction, Sample, ScoredEntity

CONFIG = {"system": {"decoder": {"part": "crf"}}, "recipe": {"rate": 1e-5, "epochs": 8}}


def record(**changes: Any) -> RunRecord:
    seed = changes.get("seed", 1)
    fields: dict[str, Any] = {
        "id": run_id(digest(CONFIG), "f" * 64, "s" * 64, "fp32", seed),
        "system": "bert-crf",
        "dataset": "twitter2017",
        "seed": seed,
        "backbone": "minilm",
        "recipe": "default",
        "overrides": ["systems.bert-crf.decoder.scheme=BIOES"],
        "config_hash": digest(CONFIG),
        "data_fingerprint": "f" * 64,
        "sources_hash": "s" * 64,
        "precision": "fp32",
        "harness": HARNESS,
        "tags": "lenient",
        "versions": {"python": "3.11.9", "zoo": "0.1.0"},
        "git": {"commit": "abc", "dirty": False},
        "device": "cpu",
        "command": "zoo run registry.yaml",
        "started": datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC),
        "seconds": {"train": 12.5, "total": 14.0},
        "epochs": 8,
        "best_epoch": 5,
        "dev": score([[Entity(0, 1, "PER")]], [[]], ["en"]),
        "test": score([[Entity(0, 1, "PER")]], [[]], ["en"]),
        "speed": {"train": 100.0, "predict": 300},
        "parameters": {"trained": 10, "total": 20},
        "text_only": True,
    }
    return RunRecord.model_validate(fields | changes)


def fill(folder: Path, run: RunRecord) -> None:
    """What a run's folder holds."""
    (folder / "config.yaml").write_text("seed: 1\n")
    line = '{"id": "1", "language": "en", "gold": [[0, 1, "PER"]], "predicted": []}\n'
    for split in ("dev", "test"):
        (folder / f"predictions.{split}.jsonl").write_text(line)
    write_run(folder, run)


def put(store: Store, run: RunRecord) -> Path:
    with store.lock(run), store.writer(run) as folder:
        fill(folder, run)
    return store.folder(run)


def loaded(store: Store) -> list[RunRecord]:
    """The records of all runs, without the digests that are added when they are stored."""
    return [plain(run.record) for run in store.load_runs()]


def plain(stored: RunRecord) -> RunRecord:
    return stored.model_copy(update={"files": None, "digest": None})


def everything(root: Path) -> list[str]:
    """Every file below a folder except the locks."""
    files = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in files if path.parts[0] != ".lock")


# Ids ---------------------------------------------------------------------------------------------


def test_run_id_depends_on_everything() -> None:
    given = ("c", "f", "s", "fp32")
    one = run_id(*given, 1, 1)
    assert len(one) == 12
    others = [
        run_id("d", "f", "s", "fp32", 1, 1),
        run_id("c", "g", "s", "fp32", 1, 1),
        run_id("c", "f", "t", "fp32", 1, 1),
        run_id("c", "f", "s", "bf16", 1, 1),
        run_id("c", "f", "s", "fp32", 2, 1),
        run_id("c", "f", "s", "fp32", 1, 2),
        run_id("c", "fs", "", "fp32", 1, 1),
        variant_id(*given, 1),
    ]
    assert len({one, *others}) == 9
    assert run_id(*given, 1) == run_id(*given, 1, HARNESS)


def test_digest_is_canonical() -> None:
    one = digest({"a": 1, "b": {"c": "ß", "d": [1, 2]}})
    assert one == digest({"b": {"d": [1, 2], "c": "ß"}, "a": 1})
    assert one != digest({"b": {"d": [2, 1], "c": "ß"}, "a": 1})


def test_ids_stay_what_they_are() -> None:
    """Stored runs are found by these: a change here would orphan every one of them."""
    config = digest({"a": [1, 2.5, None, True, "é"]})
    assert run_id(config, "f", "s", "fp32", 3, 1) == "e6ca3e0edf58"
    assert variant_id(config, "f", "s", "fp32", 1) == "03c8a8974fad"


def test_seeds_share_a_variant() -> None:
    assert record(seed=1).variant == record(seed=2).variant
    assert record(seed=1).variant != record(data_fingerprint="0" * 64).variant
    assert record(seed=1).variant != record(sources_hash="0" * 64).variant
    assert record(seed=1).variant != record(precision="bf16").variant
    assert record(seed=1).variant != record(harness=0).variant
    assert record(seed=1).id != record(seed=2).id


# Records -----------------------------------------------------------------------------------------


def test_record_comes_back_as_it_was(tmp_path: Path) -> None:
    dev = Scores(10, 9, 8, {"PER": Scores(10, 9, 8)})
    store, run = Store(tmp_path), record(dev=dev)
    assert not store.complete(run)
    folder = put(store, run)
    assert folder == tmp_path / "runs" / "bert-crf" / "twitter2017" / f"1-{run.id}"
    assert store.complete(run)
    assert plain(store.read(run)) == run
    assert loaded(store) == [run]
    stored = json.loads((folder / "run.json").read_text())
    assert stored["dev"]["f1"] == pytest.approx(2 * 8 / 19 * 100)
    assert stored["test"]["per_language"]["en"]["per_type"]["PER"]["gold"] == 1
    assert stored["files"] == {
        path.name: file_digest(path) for path in folder.iterdir() if path.name != "run.json"
    }


def test_no_runs(tmp_path: Path) -> None:
    assert Store(tmp_path / "nothing").load_runs() == []
    assert everything(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "1"}, "seed: Input should be a valid integer"),
        ({"sede": 1}, "sede: Extra inputs are not permitted"),
        ({"id": None}, "id: Input should be a valid string"),
        ({"test": {"gold": 1}}, "test: Value error, scores need a count `predicted`"),
        ({"tags": "loose"}, "tags: Input should be 'lenient' or 'strict'"),
        ({"started": "yesterday"}, "started: Input should be a valid datetime"),
    ],
)
def test_broken_record_is_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    store = Store(tmp_path)
    path = put(store, record()) / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError) as caught:
        store.load_runs()
    assert len(caught.value.problems) == 1
    line = caught.value.problems[0]
    assert line.startswith(f"{path}: {message}")
    assert "delete the folder" in line
    assert "\n" not in line


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"id": NaN}'])
def test_torn_record_is_named(tmp_path: Path, content: bytes) -> None:
    store = Store(tmp_path)
    put(store, record(seed=2))
    path = put(store, record()) / "run.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"^[^\n]*run\.json: [^\n]+$"):
        store.load_runs()


def test_every_broken_record_is_named_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for seed in (1, 2, 3):
        (put(store, record(seed=seed)) / "run.json").write_text("{}")
    with pytest.raises(DataError) as caught:
        store.load_runs()
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", "a\\b"])
def test_names_stay_inside_the_results(tmp_path: Path, name: str) -> None:
    for change in ({"system": name}, {"dataset": name}):
        with pytest.raises(ConfigError, match="can't name a folder"):
            Store(tmp_path).folder(record(**change))


# By id --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"system": "renamed"}, {"dataset": "renamed"}])
def test_a_run_is_found_under_other_names(tmp_path: Path, change: dict[str, Any]) -> None:
    store, run = Store(tmp_path), record()
    folder, asked = put(store, run), record(**change)
    assert asked.id == run.id
    assert store.find(run.id) == store.folder(asked) == folder
    assert store.complete(asked)
    assert plain(store.read(asked)) == asked, "the rest is as stored, the names as asked for"
    assert plain(store.read(run)) == run
    (found,) = store.load_runs([asked])
    assert plain(found.record) == asked
    assert loaded(store) == [run], "as it is stored"
    assert not store.complete(record(seed=2, **change))
    assert store.find("0" * 12) is None


def test_its_own_folder_comes_first(tmp_path: Path) -> None:
    store, run, other = Store(tmp_path), record(), record(system="a", device="other")
    put(store, run)
    with store.lock(other), store.writer(other) as folder:
        fill(folder, other)
    assert store.read(other).device == "other"
    assert plain(store.read(run)) == run
    assert len(store.load_runs()) == 2


def test_an_unfinished_run_is_not_found(tmp_path: Path) -> None:
    store, run = Store(tmp_path), record()
    with store.lock(run), store.writer(run) as folder:
        fill(folder, run)
        assert store.find(run.id) is None
    assert store.find(run.id) is not None


# Whole or not there ------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_interruption_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    store, run = Store(tmp_path), record()

    def interrupted() -> None:
        with store.lock(run), store.writer(run) as folder:
            fill(folder, run)
            assert not store.complete(run)
            assert store.load_runs() == []
            raise error

    with pytest.raises(error):
        interrupted()
    assert everything(tmp_path) == []
    put(store, run)
    assert store.complete(run)


def test_interruption_keeps_the_run_it_would_have_replaced(tmp_path: Path) -> None:
    store, run = Store(tmp_path), record()
    put(store, run)

    def interrupted() -> None:
        with store.lock(run), store.writer(run) as folder:
            fill(folder, record(device="other"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert plain(store.read(run)) == run
    new = record(device="other")
    put(store, new)
    assert loaded(store) == [new]
    assert len(everything(tmp_path / "runs")) == 4


def test_run_without_record_is_refused(tmp_path: Path) -> None:
    store, run = Store(tmp_path), record()
    with pytest.raises(FileNotFoundError, match=r"run\.json"), store.lock(run), store.writer(run):
        pass
    assert everything(tmp_path) == []


@pytest.mark.parametrize("name", ["config.yaml", "predictions.dev.jsonl", "predictions.test.jsonl"])
def test_run_without_a_required_file_is_refused(tmp_path: Path, name: str) -> None:
    store, run = Store(tmp_path), record()

    def incomplete() -> None:
        with store.lock(run), store.writer(run) as folder:
            fill(folder, run)
            (folder / name).unlink()

    with pytest.raises(FileNotFoundError, match=name):
        incomplete()
    assert everything(tmp_path) == []


KILLED = """\
import os, signal, sys; sys.path.insert(0, sys.argv[2])
from pathlib import Path; from zoo.results.store import *; from zoo.results.record import *
run = RunRecord.model_validate_json(sys.stdin.read()); store = Store(Path(sys.argv[1]))
with store.lock(run), store.writer(run) as folder:
    write_run(folder, run); os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_a_writer(root: Path, run: RunRecord) -> Path:
    """The folder that a process left which was killed while it wrote a run."""
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(root), str(Path(__file__).parents[2])],
        input=run.model_dump_json(),
        text=True,
        check=False,
    )
    assert child.returncode == -9
    (left,) = root.glob("runs/*/*/.*")
    return left


def test_kill_leaves_nothing_that_is_read(tmp_path: Path) -> None:
    store, run = Store(tmp_path), record()
    left = kill_a_writer(tmp_path, run)
    host = re.sub(r"\W", "_", platform.node())[:40]
    assert re.fullmatch(rf"\.1-{run.id}\.{host}-\d+-\d+-\d+\.tmp", left.name), "who wrote it"
    assert [path.name for path in left.iterdir()] == ["run.json"]
    assert not store.complete(run)
    assert store.load_runs() == []
    folder = put(store, run)  # the lock is free, the remains are cleared away
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_what_a_dead_process_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    """Not what a living process writes, nor one on another host, nor a checkpoint."""
    store, run, other = Store(tmp_path), record(), record(seed=2)
    checkpoint = store.checkpoint(run)
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.pt").write_bytes(b"1")
    left = kill_a_writer_beside(tmp_path, run, checkpoint)
    elsewhere = left.with_name(f".1-{run.id}.another_host-1-1-0.tmp")
    elsewhere.mkdir()
    file = tmp_path / left.name.replace(f".1-{run.id}", ".leaderboard.md")
    file.write_text("torn")
    with store.writer(other) as living:
        store.clean()
        assert living.is_dir()
        fill(living, other)
    assert not left.exists()
    assert not file.exists()
    assert elsewhere.is_dir()
    assert (checkpoint / "state.pt").read_bytes() == b"1"
    assert store.complete(other)


def kill_a_writer_beside(root: Path, run: RunRecord, checkpoint: Path) -> Path:
    hidden = checkpoint.rename(root / "aside")
    left = kill_a_writer(root, run)
    hidden.rename(checkpoint)
    return left


def test_a_process_id_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    name = owner()
    host, pid, start, number = name.rsplit("-", 3)
    assert not abandoned(f".1-a.{name}.tmp")
    assert abandoned(f".1-a.{host}-{pid}-{int(start) - 60}-{number}.tmp")
    assert abandoned(".1-a.tmp"), "as version 0.2 named them"
    assert name != owner()


def test_run_lost_between_the_two_renames_comes_back(tmp_path: Path) -> None:
    store, run = Store(tmp_path), record()
    folder = put(store, run)
    folder.rename(folder.with_name(f".{folder.name}.old"))
    assert not store.complete(run)
    with store.lock(run):
        assert plain(store.read(run)) == run


def test_the_first_of_two_writers_is_kept_and_a_rerun_replaces(tmp_path: Path) -> None:
    store = Store(tmp_path)
    slow, fast = record(device="slow"), record(device="fast")
    with store.writer(slow) as folder:  # neither holds the lock
        fill(folder, slow)
        with store.writer(fast) as other:
            fill(other, fast)
    assert loaded(store) == [fast]
    with store.writer(slow) as folder:
        fill(folder, slow)
    assert loaded(store) == [slow], "it was there before the writer began"
    assert [path.name for path in store.folder(slow).parent.iterdir()] == [store.folder(slow).name]


# Two processes -----------------------------------------------------------------------------------


def make_once(root: Path, run: RunRecord, log: Path, start: Any) -> None:
    store = Store(root)
    start.wait()
    with store.lock(run):
        if not store.complete(run):
            with store.writer(run) as folder:
                with log.open("a") as file:
                    file.write("made\n")
                time.sleep(0.2)
                fill(folder, run)


def test_two_processes_make_a_run_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, log, run = context.Barrier(2), tmp_path / "log", record()
    arguments = (tmp_path / "results", run, log, start)
    processes = [context.Process(target=make_once, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert log.read_text() == "made\n"
    assert loaded(Store(tmp_path / "results")) == [run]


def test_waiting_is_told_and_other_runs_are_free(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    store, run = Store(tmp_path), record()

    def hold() -> None:
        with store.lock(run):
            held.set()
            release.wait(30)

    process = context.Process(target=hold)
    process.start()
    assert held.wait(30)
    with store.lock(record(seed=2), on_wait=lambda: pytest.fail("nobody makes seed 2")):
        pass
    with store.lock(run, on_wait=release.set):
        assert release.is_set()
    process.join(30)
    assert process.exitcode == 0


WHOLE = {"run.json", "config.yaml", "predictions.dev.jsonl", "predictions.test.jsonl", "big"}


def without_locks(root: Path, seeds: list[int], start: Any, number: int) -> None:
    """Make all runs again and again, as if the file system had no locks."""
    FileLock.acquire = lambda self, timeout=None: None
    FileLock.release = lambda self, force=False: None
    store, rng = Store(root), random.Random(number)
    start.wait()
    for turn in range(12):
        for seed in rng.sample(seeds, len(seeds)):
            run = record(seed=seed, device=f"{number} {turn}")
            with store.lock(run), store.writer(run) as folder:
                fill(folder, run)
                (folder / "big").write_bytes(rng.randbytes(20_000))
                write_run(folder, run)
                if rng.random() < 0.02:
                    os._exit(7)  # as a kill would end it


def inode(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except FileNotFoundError:
        return None


@pytest.mark.slow
def test_four_processes_without_locks(tmp_path: Path) -> None:
    """What counts as complete is whole, at every moment; the next command leaves nothing over."""
    context = multiprocessing.get_context("fork")
    store, seeds = Store(tmp_path), [1, 2, 3]
    start = context.Barrier(4)
    processes = [
        context.Process(target=without_locks, args=(tmp_path, seeds, start, number))
        for number in range(4)
    ]
    for process in processes:
        process.start()
    looks = 0
    while any(process.is_alive() for process in processes):
        for folder in store.folders():
            try:
                handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                continue  # it is being replaced
            names = set(os.listdir(handle))  # of this very folder, whatever is done to its name
            own = os.fstat(handle).st_ino
            os.close(handle)
            assert inode(folder) != own or names == WHOLE, "in its place and not whole"
            looks += 1
    for process in processes:
        process.join(60)
        assert process.exitcode in (0, 7)
    assert looks > 10
    assert loaded(store), "and each is verified"
    store.clean()
    for seed in seeds:
        if not store.complete(record(seed=seed)):
            put(store, record(seed=seed))
    assert len(store.load_runs()) == 3
    assert not list(tmp_path.glob("runs/*/*/.*"))
    for folder in store.folders():
        assert verify(folder)[1] == []


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    store, run = Store(tmp_path), record()
    put(store, run)
    assert loaded(store) == [run]


# Predictions -------------------------------------------------------------------------------------

SAMPLES = [
    Sample("7", ("Kevin", "Durant", "!"), (Entity(0, 2, "PER"),)),
    Sample("8\u2028é", ("no",), (), language="de"),
]
PREDICTED = [[ScoredEntity(0, 2, "PER", 1 / 3), ScoredEntity(2, 3, "LOC", 1.0)], []]


def test_predictions_file(tmp_path: Path) -> None:
    path = tmp_path / "predictions.test.jsonl"
    write_predictions(path, SAMPLES, PREDICTED)
    assert path.read_bytes().decode() == (
        '{"id": "7", "gold": [[0, 2, "PER"]], '
        '"predicted": [[0, 2, "PER", 0.333333], [2, 3, "LOC", 1.0]]}\n'
        '{"id": "8\u2028é", "language": "de", "gold": [], "predicted": []}\n'
    )
    predictions = read_predictions(path)
    assert predictions == [
        Prediction(
            "7",
            (Entity(0, 2, "PER"),),
            (ScoredEntity(0, 2, "PER", 0.333333), ScoredEntity(2, 3, "LOC", 1.0)),
        ),
        Prediction("8\u2028é", (), (), "de"),
    ]
    assert isinstance(predictions[0].gold[0], Entity)
    ours = score_predictions(predictions)
    assert ours == score([s.entities for s in SAMPLES], PREDICTED, [None, "de"])


def test_predictions_must_be_as_many_as_the_samples(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        write_predictions(tmp_path / "p.jsonl", SAMPLES, PREDICTED[:1])
    assert everything(tmp_path) == []


def test_a_probability_that_is_no_number_is_not_stored(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    with pytest.raises(RunError, match=r"sentence '7': the probability of \[0, 1, 'X'\] is nan"):
        write_predictions(path, SAMPLES[:1], [[ScoredEntity(0, 1, "X", float("nan"))]])
    assert not path.exists()


SPANS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(1, 4), st.text(min_size=1, max_size=3)), max_size=3
)


@given(
    st.lists(
        st.tuples(st.text(), SPANS, SPANS, st.floats(0, 1), st.none() | st.text(max_size=3)),
        unique_by=lambda row: row[0],
        max_size=5,
    )
)
def test_predictions_come_back(tmp_path_factory: pytest.TempPathFactory, rows: Any) -> None:
    path = tmp_path_factory.mktemp("predictions") / "p.jsonl"
    samples = [
        Sample(name, ("w",), tuple(Entity(s, s + w, t) for s, w, t in gold), language=language)
        for name, gold, _, _, language in rows
    ]
    predicted = [
        [ScoredEntity(s, s + w, t, round(p, 6)) for s, w, t in found] for _, _, found, p, _ in rows
    ]
    write_predictions(path, samples, predicted)
    first = path.read_bytes()
    back = read_predictions(path)
    assert [(p.id, p.gold, list(p.predicted), p.language) for p in back] == [
        (s.id, s.entities, found, s.language) for s, found in zip(samples, predicted, strict=True)
    ]
    write_predictions(path, samples, [list(p.predicted) for p in back])
    assert path.read_bytes() == first


GOOD = '{"id": "1", "gold": [], "predicted": []}'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", 1),
        (GOOD + "\n\n", 2),
        (GOOD + "\n" + GOOD, 2),
        (GOOD + "\n[]", 2),
        ('{"id": 1, "gold": [], "predicted": []}', 1),
        ('{"id": "1", "gold": []}', 1),
        ('{"id": "1", "gold": [], "predicted": [], "words": []}', 1),
        ('{"id": "1", "gold": [[0, 1]], "predicted": []}', 1),
        ('{"id": "1", "gold": [[1, 1, "PER"]], "predicted": []}', 1),
        ('{"id": "1", "gold": [[-1, 1, "PER"]], "predicted": []}', 1),
        ('{"id": "1", "gold": [[0, 1.5, "PER"]], "predicted": []}', 1),
        ('{"id": "1", "gold": [], "predicted": [[0, 1, "PER"]]}', 1),
        ('{"id": "1", "gold": [], "predicted": [[2, 1, "PER", 0.5]]}', 1),
        ('{"id": "1", "gold": [], "predicted": [[0, 1, "PER", NaN]]}', 1),
    ],
)
def test_broken_predictions_name_file_and_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_predictions(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert "\n" not in str(caught.value)


def test_missing_predictions_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"p\.jsonl: No such file"):
        read_predictions(tmp_path / "p.jsonl")
    with pytest.raises(DataError, match=r"run\.json: No such file"):
        read_run(tmp_path)


# Files -------------------------------------------------------------------------------------------


def test_write_atomic(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    write_atomic(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    write_atomic(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert everything(tmp_path) == ["a/b.txt"]


def test_write_atomic_keeps_the_old_file_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b.txt"
    write_atomic(path, "old")

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.files.os.replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert everything(tmp_path) == ["b.txt"]


def test_no_torch() -> None:
    """Results can be read where nothing is trained."""
    program = (
        "import sys, zoo.results.leaderboard, zoo.results.store, zoo.results.writers\n"
        "sys.exit('torch' in sys.modules)"
    )
    repository = Path(__file__).parents[2]
    assert (
        subprocess.run([sys.executable, "-c", program], cwd=repository, check=False).returncode == 0
    )
