"""``zoo compare``: systems, runs and prediction files; one-line errors; 80 columns."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from zoo.evaluation.counts import counts
from zoo.evaluation.predictions import read_predictions, score_predictions
from zoo.evaluation.significance import compare
from zoo.evaluation.systems import interval
from zoo.results.leaderboard import leaderboard
from zoo.results.record import Parameters, RunRecord, Speed, read_run, write_run
from zoo.results.store import Store

TYPES = ("LOC", "ORG", "PER")


def predictions(
    path: Path, seed: int, recall: float, sentences: int = 60, more: bool = False
) -> Path:
    gold, rng = random.Random(1), random.Random(seed)
    lines = []
    for i in range(sentences):
        wanted = [[3 * j, 3 * j + gold.randint(1, 3), gold.choice(TYPES)] for j in range(2)]
        found = [[*e, 0.9] for e in wanted if rng.random() < recall]
        found += [[7, 8, "ORG", 0.4]] if rng.random() < 0.2 else []
        line = {"id": f"s{i}", "language": "en", "gold": wanted, "predicted": found}
        if more:
            line |= {"group": i // 2, "unseen": [[0, 1], [7, 8]]}
        lines.append(json.dumps(line))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def store(
    root: Path,
    system: str,
    seed: int,
    recall: float,
    dataset: str = "mini",
    suite: str = "mini",
    overrides: tuple[str, ...] = (),
    config: str = "1",
    fingerprint: str = "a" * 64,
) -> RunRecord:
    """A stored run; its predictions follow from its seed and recall."""
    id = hashlib.sha256(f"{system} {seed} {dataset} {config}".encode()).hexdigest()[:12]
    folder = root / "runs" / system / dataset / f"{seed}-{id}"
    files = [folder / f"predictions.{split}.jsonl" for split in ("dev", "test")]
    for file in files:
        predictions(file, 100 * seed + len(system), recall)
    (folder / "config.yaml").write_text("system: {}\n", encoding="utf-8")
    scores = score_predictions(read_predictions(files[1]))
    record = RunRecord(
        id=id,
        system=system,
        dataset=dataset,
        seed=seed,
        suite=suite,
        overrides=list(overrides),
        config_hash=(system.encode().hex() + config).ljust(64, "0")[:64],
        data_fingerprint=fingerprint,
        sources_hash="c" * 64,
        precision="fp32",
        harness=1,
        versions={"torch": "2.9.1"},
        device="cpu",
        command="zoo run",
        started=datetime(2030, 1, 1, tzinfo=UTC),
        seconds={"train": 1.0, "total": 1.0},
        epochs=1,
        best_epoch=1,
        dev=scores,
        test=scores,
        speed=Speed(train=1.0, predict=1.0),
        parameters=Parameters(trained=1, total=1),
        text_only=True,
    )
    write_run(folder, record)
    return record


@pytest.fixture
def results(tmp_path: Path) -> Path:
    root = tmp_path / "results"
    for seed in (1, 2, 3):
        store(root, "plain", seed, 0.7)
        store(root, "seeing", seed, 0.9)
    return root


def runs(root: Path, system: str) -> dict:
    folders = sorted(root.glob(f"runs/{system}/mini/*"))
    return {
        int(each.name[0]): read_predictions(each / "predictions.test.jsonl") for each in folders
    }


def test_systems(zoo, results):
    done = zoo("compare", "plain", "seeing", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    a, b = runs(results, "plain"), runs(results, "seeing")
    expected = interval(*counts(a, b))
    assert said["delta"] == pytest.approx(expected.delta)
    for name in ("low", "high", "p", "se", "df", "detectable"):
        assert said[name] == pytest.approx(getattr(expected, name))
    test = compare(a, b)
    assert said["these_runs"] == {
        "delta": pytest.approx(test.delta),
        "p": test.p,
        "seeds": [1, 2, 3],
    }
    assert said["a"]["seeds"] == said["b"]["seeds"] == [1, 2, 3]
    assert (said["sentences"], said["gold"]) == (60, 120)
    assert len(said["only_b"]["entities"]) > len(said["only_a"]["entities"])
    assert said["no_difference"] is False
    wide = json.loads(zoo("compare", "plain", "plain", "--json", "--margin", "50").stdout)
    assert (wide["delta"], wide["no_difference"]) == (0, True)


def test_screen(zoo, results):
    done = zoo("compare", "plain", "seeing", "--by", "type", COLUMNS="80")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    for words in ("95 % interval", "other seeds and sentences", "same models", "80 % power"):
        assert words in done.stdout
    assert "only A right" in done.stdout
    table = [line.split()[0] for line in lines if line.split() and line.split()[0] in TYPES]
    assert table == list(TYPES)
    assert "p: corrected for 4 comparisons (Holm), the one above included." in done.stdout


@pytest.mark.parametrize("by", ["type", "width", "language"])
def test_parts(zoo, results, by):
    said = json.loads(zoo("compare", "plain", "seeing", "--json", "--by", by).stdout)
    assert sum(part["gold"] for part in said["by"]) == said["gold"]
    shown = [said, *said["by"]]
    assert all(each["p_holm"] >= each["p"] for each in shown)
    least = min(shown, key=lambda each: each["p"])
    assert least["p_holm"] == pytest.approx(min(1, len(shown) * least["p"]))


def printed(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_files_runs_and_folders(zoo, results, tmp_path):
    (folder, *_) = sorted(results.glob("runs/plain/mini/*"))
    other = predictions(tmp_path / "other.jsonl", 7, 0.9)
    outputs = [
        json.loads(zoo("compare", name, str(other), "--json").stdout)
        for name in (
            str(folder),
            str(folder / "predictions.test.jsonl"),
            folder.name.partition("-")[2],
        )
    ]
    for said in outputs:
        assert "one seed" in said["why_not"]
        assert "low" not in said
        assert said["delta"] == outputs[0]["delta"]
        assert said["these_runs"] == outputs[0]["these_runs"]
        assert said["these_runs"]["p"] < 0.05
    text = zoo("compare", str(folder), str(other)).stdout
    assert "no interval: one seed says nothing about a system" in text
    assert "separate" not in text


def test_a_name_means_the_system_without_overrides(zoo, results):
    changed = store(results, "plain", 1, 0.2, overrides=("systems.plain.fuser=null",), config="2")
    said = json.loads(zoo("compare", "plain", "seeing", "--json").stdout)
    assert said["a"]["seeds"] == [1, 2, 3]
    arm = json.loads(zoo("compare", changed.variant, "plain", "--json").stdout)
    assert arm["a"]["overrides"] == ["systems.plain.fuser=null"]
    assert arm["a"]["seeds"] == [1]
    assert "systems.plain.fuser=null" in zoo("compare", changed.variant, "plain").stdout


def test_no_common_seed(zoo, results):
    for seed in (4, 5):
        store(results, "late", seed, 0.8)
    said = json.loads(zoo("compare", "plain", "late", "--json").stdout)
    assert said["these_runs"] is None
    assert said["low"] < said["delta"] < said["high"]
    assert "no seed is common" in zoo("compare", "plain", "late").stdout


def test_wrong_use_is_one_line(zoo, results, tmp_path):
    store(results, "plain", 1, 0.5, dataset="other", suite="b", fingerprint="d" * 64)
    store(results, "new", 1, 0.5, dataset="other", suite="b", fingerprint="d" * 64)
    few = predictions(tmp_path / "few.jsonl", 1, 0.5, sentences=3)
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    folder = str(next(results.glob("runs/plain/mini/1-*")))
    for args, words in (
        (["seeing", "seein"], "did you mean `seeing`?"),
        (["seeing", "absent.jsonl"], "absent.jsonl: no such file"),
        (["plain", "seeing"], "`plain` has 2 variants; choose with --dataset"),
        (["plain", "seeing", "--dataset", "mimi"], "--dataset mimi: no stored run on it; did you"),
        (["plain", "seeing", "--suite", "c"], "--suite c: no stored run of it"),
        (["seeing", "new"], "data (mini aaaaaaaaaaaa, other dddddddddddd); choose with --dataset"),
        ([folder, "new", "--dataset", "other"], "dddddddddddd); compare runs on the same data"),
        ([str(few), str(few), "--dataset", "mini"], "A and B are files or folders; leave it out"),
        ([str(few), str(few), "--suite", "mini"], "A and B are files or folders; leave it out"),
        ([str(empty), str(few)], "empty.jsonl: the file is empty; give stored predictions"),
        (["seeing", str(few)], "`s3` is in one of the two only"),
        (["plain", "seeing", "--results", "nowhere"], "nowhere holds no stored runs"),
        (["plain", "seeing", "--margin", "0"], "--margin"),
        (["plain", "seeing", "--dataset", "mini", "--by", "typ"], "--by"),
    ):
        done = zoo("compare", *args)
        assert (done.returncode, done.stdout) == (2, ""), args
        assert words in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
        assert len([x for x in done.stderr.splitlines() if "--help" not in x]) == 1, done.stderr
    assert zoo("compare", "plain", "seeing", "--dataset", "mini").returncode == 0
    assert zoo("compare", "plain", "new", "--suite", "b").returncode == 0


def test_no_language(zoo, tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "a", "gold": [[0, 1, "PER"]], "predicted": []}\n', encoding="utf-8")
    done = zoo("compare", str(path), str(path), "--by", "language")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the predictions name no language" in done.stderr


@pytest.mark.parametrize(
    ("by", "change"),
    [
        ("seen", {"unseen": []}),
        ("seen", {"unseen": None}),
        ("language", {"language": None}),
        ("language", {"language": "de"}),
    ],
)
def test_files_that_do_not_say_the_same_of_an_entity(zoo, tmp_path, by, change):
    one = predictions(tmp_path / "one.jsonl", 1, 0.8, more=True)
    lines = [json.loads(line) | change for line in one.read_text().splitlines()]
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for sides in ((one, other), (other, one)):
        done = zoo("compare", *map(str, sides), "--by", by)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"--by {by}: of the entity" in done.stderr
        said = json.loads(zoo("compare", *map(str, sides), "--by", "all", "--json").stdout)
        assert by not in {part["by"] for part in said["by"]}
        assert said["remarks"][0].startswith(f"left out: --by {by}: of the entity")


def test_a_type_by_another_name_of_the_table(zoo, tmp_path):
    """Types are data: one may be called as the row of all entities, or as a language."""
    file = tmp_path / "p.jsonl"
    gold = [[0, 1, "all"], [1, 2, "en"], [2, 3, "PER\n forged 99.9"]]
    line = {"id": "a", "language": "en", "gold": gold, "predicted": []}
    file.write_text(json.dumps(line) + "\n")
    said = json.loads(zoo("compare", str(file), str(file), "--by", "all", "--json").stdout)
    assert said["gold"] == 3
    parts = {(part["by"], part["name"]): part["gold"] for part in said["by"]}
    assert (parts["type", "all"], parts["type", "en"], parts["language", "en"]) == (1, 1, 3)
    assert "\n forged" not in printed(zoo("compare", str(file), str(file), "--by", "type"))


def test_torch_is_not_imported():
    code = (
        "import sys, zoo.cli.compare_, zoo.evaluation.systems, zoo.evaluation.predictions, "
        "zoo.results.store; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_that_training_showed_and_pictures_that_are_shared(zoo, tmp_path):
    one, two = (
        str(predictions(tmp_path / f"{seed}.jsonl", seed, 0.8, more=True)) for seed in (1, 2)
    )
    said = json.loads(zoo("compare", one, two, "--json", "--by", "seen", "--by", "width").stdout)
    assert [part["name"] for part in said["by"]][:2] == ["seen", "unseen"]
    assert sum(part["gold"] for part in said["by"][:2]) == said["gold"]
    assert (said["sentences"], said["samples"]) == (60, 30)
    text = zoo("compare", one, two, "--by", "all", COLUMNS="80").stdout
    assert "shared: 30 samples" in text
    for name in ("LOC", "en", "seen", "unseen", "3 or more words"):
        assert name in text
    assert max(map(len, text.splitlines()[3:])) <= 80


def test_variants_are_told_apart_by_what_differs(zoo, results):
    store(results, "plain", 1, 0.5, suite="other", config="2")
    store(results, "plain", 1, 0.5, overrides=("a.b=1",), config="3")
    done = zoo("compare", "plain", "seeing", "--suite", "mini")
    assert done.returncode == 0, "the one without overrides is meant"
    done = zoo("compare", "plain", "seeing")
    assert done.returncode == 2
    assert "choose with --suite mini|other, or give the id of one" in done.stderr
    assert "--dataset" not in done.stderr, "it would not tell them apart"
    assert "(suite other)" in done.stderr


def test_a_changed_file_of_a_run_is_refused(zoo, results):
    (folder, *_) = sorted(results.glob("runs/plain/mini/*"))
    file = folder / "predictions.test.jsonl"
    file.write_text(file.read_text().replace("0.9]", "0.8]"))
    done = zoo("compare", str(file), str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert "changed since the run was stored" in done.stderr


def test_seeds_that_another_suite_made_first(zoo, tmp_path: Path) -> None:
    """A variant is of a suite if any of its runs is."""
    root = tmp_path / "results"
    for seed in (1, 2, 3):
        store(root, "plain", seed, 0.7, suite="first" if seed < 3 else "second")
        store(root, "seeing", seed, 0.9, suite="second")
    said = json.loads(zoo("compare", "plain", "seeing", "--suite", "second", "--json").stdout)
    assert said["a"]["seeds"] == [1, 2, 3]


def test_seeds_from_another_kind_of_device_are_not_pooled(zoo, results: Path) -> None:
    folder = next((results / "runs" / "plain" / "mini").glob("3-*"))
    record = read_run(folder)
    write_run(folder, record.model_copy(update={"device": "NVIDIA H100"}))
    done = zoo("compare", "plain", "seeing")
    assert "seeds 3 of plain are left out, made elsewhere" in done.stdout
    assert "cuda" in done.stdout
    said = json.loads(zoo("compare", "plain", "seeing", "--json").stdout)
    assert (said["a"]["seeds"], said["b"]["seeds"]) == ([1, 2], [1, 2, 3])
    other = next((results / "runs" / "plain" / "mini").glob("2-*"))
    write_run(other, read_run(other).model_copy(update={"device": "NVIDIA H100", "seed": 2}))
    next((results / "runs" / "plain" / "mini").glob("1-*")).rename(tmp := results / "gone")
    assert tmp.exists()
    said = json.loads(zoo("compare", "plain", "seeing", "--json").stdout)
    assert said["remarks"] == [
        "A and B were made in different environments (cuda, precision fp32, torch 2.9, harness 1; "
        "cpu, precision fp32, torch 2.9, harness 1)"
    ]


def test_systems_that_find_nothing_get_no_rank(tmp_path: Path) -> None:
    for seed in (1, 2):
        store(tmp_path, "blind", seed, 0.0)
    (table,) = leaderboard(Store(tmp_path).load_runs())
    none = "No system with two or more seeds finds an entity, so there are no intervals and ranks."
    assert none in table.notes
    store(tmp_path, "once", 1, 0.9)
    (table,) = leaderboard(Store(tmp_path).load_runs())
    assert none in table.notes, "too few sentences are not the reason"
    for seed in (1, 2):
        store(tmp_path, "seeing", seed, 0.9)
    (table,) = leaderboard(Store(tmp_path).load_runs())
    keys = [column.key for column in table.columns]
    rows = {row[keys.index("system")]: row for row in table.rows}
    assert rows["blind"][keys.index("rank")] is None
    assert rows["seeing"][keys.index("rank")].place == 1
