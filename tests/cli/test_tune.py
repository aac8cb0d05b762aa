"""``zoo tune``: the same small budget for every system, on dev alone, and ``zoo run --tuned``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from zoo.cli import run_, tune_
from zoo.config.read import read
from zoo.errors import ConfigError, DataError
from zoo.results.record import read_run
from zoo.runs import tuning
from zoo.runs.datasets import dataset_key, load_datasets

ROOT = Path(__file__).parents[2]


def call(command, registry: Path, *args: str) -> str:
    done = CliRunner().invoke(
        command,
        [str(registry), "--data", str(registry.parent), "--jobs", "1", *args],
        standalone_mode=False,
    )
    if done.exception:
        raise done.exception
    assert done.return_value in (0, None), done.output
    return done.output


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")


def test_tune_then_run(registry: Path) -> None:
    registry.write_text(registry.read_text().replace("epochs: 1", "epochs: 3"))
    args = ("--system", "plain", "--factor", "0.5", "--factor", "1", "--factor", "2")
    shown = call(tune_.command, registry, *args)
    assert "The test split was not read." in shown
    results = registry.parent / "results"
    trials = sorted((results / "tuning" / "runs" / "plain" / "mini").glob("*/run.json"))
    assert len(trials) == 3
    for path in trials:
        record = read_run(path.parent)
        assert record.sentences == {"train": 8, "dev": 8, "test": 8}
        assert (record.epochs, record.seed) == (2, 0)
        assert record.test.f1 == record.dev.f1, "dev stands in for test"
        assert tuning.NOTE in record.notes
    (file,) = (results / "tuning" / "chosen" / "mini").iterdir()
    choice = json.loads(file.read_text())
    best = max(trial["dev_f1"] for trial in choice["trials"])
    (chosen,) = [t for t in choice["trials"] if t["learning_rates"] == choice["learning_rates"]]
    assert chosen["dev_f1"] == best
    assert {t["run"] for t in choice["trials"]} == {read_run(p.parent).id for p in trials}
    assert (results / "tuning" / "tuning.md").exists()
    assert "3 of 3 already done" in call(tune_.command, registry, *args)
    assert not (results / "runs").exists()

    call(run_.command, registry, "--system", "plain", "--tuned")
    (run,) = (results / "runs" / "plain" / "mini").glob("*/run.json")
    record = read_run(run.parent)
    assert record.recipe == "quick, tuned"
    assert record.sentences["train"] == 24
    written = yaml.safe_load((run.parent / "config.yaml").read_text())["recipe"]
    assert written["learning_rates"] == choice["learning_rates"]
    assert written["epochs"] == 3


def test_what_was_not_tuned(registry: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        call(run_.command, registry, "--tuned")
    one, two = caught.value.problems
    assert "--tuned: plain on mini has not been tuned" in one
    assert "--suite mini --system seeing --dataset mini" in two


def test_the_test_split_is_not_among_the_data_of_trials() -> None:
    config = read(ROOT / "registry.yaml")
    plans = config.plan("mini", ["bert-crf"], ["mini-tiny"])
    (data,) = load_datasets(plans, ROOT).values()
    small = tuning.reduced(data, tuning.Budget())
    assert small.splits["test"] is small.splits["dev"] is data.splits["dev"]
    assert len(small.splits["train"]) == 40
    order = [data.splits["train"].index(sample) for sample in small.splits["train"]]
    assert order == sorted(order)
    assert small.fingerprint != data.fingerprint
    again = tuning.reduced(data, tuning.Budget())
    assert again.fingerprint == small.fingerprint
    planned = tuning.trials(plans, tuning.Budget())
    assert len(plans) == 3
    assert [plan.recipe.learning_rates for plan in planned] == [
        {"*": 0.0002},
        {"*": 0.0006},
        {"*": 0.002},
        {"*": 0.006},
    ]
    assert {(plan.recipe.epochs, plan.seed) for plan in planned} == {(5, 0)}


def test_the_choice(tmp_path: Path) -> None:
    config = read(ROOT / "registry.yaml")
    plan, *_ = config.plan("mini", ["bert-crf"], ["mini-tiny"])
    data = load_datasets([plan], ROOT)
    budget = tuning.Budget()
    loaded = data[dataset_key(plan)]
    found = [(10.0, "a"), (30.0, "b"), (30.0, "c"), (30.0, "d")]
    choice = tuning.choose(plan, loaded, budget, found)
    assert choice.learning_rates == {"*": 0.002}, "of equals, the recipe's own"
    assert tuning.read_choice(tmp_path, plan, loaded) is None
    path = tuning.write_choice(tmp_path, plan, loaded, choice)
    assert tuning.read_choice(tmp_path, plan, loaded) == choice
    (made,) = tuning.tuned([plan], data, tmp_path)
    assert (made.recipe, made.recipe_name) == (plan.recipe, "tiny, tuned")
    path.write_text(path.read_text().replace(choice.key, "0" * 64))
    with pytest.raises(DataError, match="about another system, recipe or dataset"):
        tuning.read_choice(tmp_path, plan, loaded)
    path.write_text("{}")
    with pytest.raises(DataError, match="run `zoo tune` again"):
        tuning.read_choice(tmp_path, plan, loaded)


def test_a_factor_twice(registry: Path) -> None:
    with pytest.raises(ConfigError, match="given twice"):
        call(tune_.command, registry, "--factor", "1", "--factor", "1.0")


def test_different_budgets_are_not_mixed(tmp_path: Path) -> None:
    config = read(ROOT / "registry.yaml")
    plans = config.plan("mini", ["bert-crf", "bert-span"], ["mini-tiny"], [1])
    data = load_datasets(plans, ROOT)
    for plan, budget in zip(
        plans, (tuning.Budget((1.0,)), tuning.Budget((1.0,), share=0.1)), strict=True
    ):
        loaded = data[dataset_key(plan)]
        choice = tuning.choose(plan, loaded, budget, [(1.0, "a")])
        tuning.write_choice(tmp_path, plan, loaded, choice)
    with pytest.raises(ConfigError, match=r"tuned with different budgets .*bert-span on mini-tiny"):
        tuning.tuned(plans, data, tmp_path)
    assert len(tuning.tuned(plans[:1], data, tmp_path)) == 1


def test_a_choice_is_of_the_code_that_it_was_made_with(tmp_path: Path, monkeypatch) -> None:
    config = read(ROOT / "registry.yaml")
    plan, *_ = config.plan("mini", ["bert-crf"], ["mini-tiny"])
    data = load_datasets([plan], ROOT)[dataset_key(plan)]
    budget = tuning.Budget((1.0,))
    tuning.write_choice(tmp_path, plan, data, tuning.choose(plan, data, budget, [(1.0, "a")]))
    assert tuning.read_choice(tmp_path, plan, data)
    monkeypatch.setattr(tuning, "sources", lambda parts: "other")
    assert tuning.read_choice(tmp_path, plan, data) is None
