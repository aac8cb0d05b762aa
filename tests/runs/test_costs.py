"""The time that is left, as a command of several systems goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from zoo.results.store import Store
from zoo.runs.costs import Costs, stored_seconds


@dataclass(frozen=True)
class Run:
    system: str
    seed: int
    epochs: int = 10
    dataset: str = "mini"

    @property
    def id(self) -> str:
        return f"{self.system}-{self.seed}"

    @property
    def variant(self) -> str:
        return self.system


CHEAP, DEAR = [[Run(name, seed) for seed in (1, 2, 3)] for name in ("cheap", "dear")]


def finish(costs: Costs, run: Run, seconds: float, epochs: int = 10, beside: float = 0) -> None:
    for _ in range(epochs):
        costs.epoch(run, seconds)
    costs.end(run, epochs * seconds + beside)


def test_epochs_of_a_dear_system_cost_more_than_those_of_a_cheap_one():
    costs = Costs([*CHEAP, *DEAR], {"cheap": 1.0, "dear": 4.0})
    assert costs.left() is None, "nothing is known of any"
    costs.epoch(CHEAP[0], 2.0)
    assert costs.left() == pytest.approx(29 * 2 + 30 * 8)
    finish(costs, DEAR[0], 6.0)
    assert costs.left() == pytest.approx(29 * 2 + 20 * 6), "what was measured wins"
    assert costs.left(at_once=2) == pytest.approx((29 * 2 + 20 * 6) / 2)


def test_stored_runs_tell_what_was_not_measured():
    costs = Costs([*CHEAP, *DEAR], {"cheap": 1.0, "dear": 4.0}, {"dear": 5.0})
    assert costs.left() == pytest.approx(30 * 1.25 + 30 * 5)


def test_runs_that_stop_early_shorten_the_others():
    costs = Costs(CHEAP)
    finish(costs, CHEAP[0], 2.0, epochs=5, beside=3.0)
    assert costs.left() == pytest.approx(2 * (5 * 2 + 3))
    for _ in range(7):
        costs.epoch(CHEAP[1], 2.0)
    assert costs.left() == pytest.approx(2 + 13), "one that goes on longer has one more at least"


def test_the_longest_run_bounds_what_several_at_once_can_do():
    costs = Costs([CHEAP[0], DEAR[0]], stored={"cheap": 1.0, "dear": 9.0})
    assert costs.left(at_once=8) == 90


def test_failed_runs_and_runs_of_others_count_no_more():
    costs = Costs(CHEAP, stored={"cheap": 1.0})
    costs.epoch(CHEAP[0], 3.0)
    costs.end(CHEAP[0])
    costs.end(CHEAP[1], 1000.0)
    assert costs.left() == 30
    costs.end(CHEAP[2])
    assert costs.left() == 0


def test_broken_stored_runs_are_passed_over(tmp_path):
    folder = tmp_path / "runs" / "cheap" / "mini" / "1-abc"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"seconds": "?"}))
    assert stored_seconds(CHEAP, Store(tmp_path)) == {}
