"""Statistics of tables: what they say, and that what did not change is not computed again."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.results.test_ablation_tables import Runs
from zoo.errors import DataError
from zoo.evaluation.counts import counts
from zoo.evaluation.systems import Interval, mean, standings
from zoo.results import statistics
from zoo.results.evidence import Run
from zoo.results.leaderboard import leaderboard, statistical_notes
from zoo.results.statistics import Statistics
from zoo.results.tables import Range


def rows(*kinds: tuple[str, float, int]) -> list[list[Run]]:
    return [
        [Runs().make(name, right, seed) for seed in range(1, seeds + 1)]
        for name, right, seeds in kinds
    ]


def predictions(row: list[Run]) -> dict[int, Any]:
    return {run.record.seed: run.predictions for run in row}


def test_rows_with_one_seed_or_without_predictions_stand_aside() -> None:
    made = rows(("a", 0.9, 3), ("b", 0.5, 1), ("c", 0.6, 2), ("d", 0.7, 2))
    made[3] = [replace(run, read=None) for run in made[3]]
    found = Statistics().standings(made)
    assert [row.rank is None for row in found.rows] == [False, True, False, True]
    assert [row.interval is None for row in found.rows] == [False, True, False, True]
    left, right = counts(predictions(made[0]), predictions(made[2]))
    ranks, detectable = standings([left, right])
    assert ranks[0] is not None
    assert found.rows[0].rank == (ranks[0].place, ranks[0].best, ranks[0].worst, ranks[0].shared)
    assert found.detectable == detectable
    whole = mean(left)
    assert isinstance(whole, Interval)
    assert found.rows[0].interval == Range(whole.low, whole.high)
    notes = statistical_notes(found, "all pairs")
    assert any(note.startswith("Rows without a rank have one seed") for note in notes)
    one = statistical_notes(Statistics().standings(made[:1]), "all pairs")
    assert not any("Rows without a rank" in note for note in one)
    assert Statistics().standings([made[3]]).withheld
    assert Statistics().standings([made[1]]).rows[0].rank is None
    assert Statistics().standings([]).rows == []


def test_no_interval_of_a_mean_goes_beyond_what_f1_can_be() -> None:
    good, bad = rows(("a", 1.0, 1), ("a", 0.2, 1))
    two = [good[0], replace(bad[0], record=bad[0].record.model_copy(update={"seed": 2}))]
    whole = mean(counts(predictions(two))[0])
    assert isinstance(whole, Interval)
    assert whole.high > 100
    assert whole.low < 0
    assert Statistics().standings([two]).rows[0].interval == Range(0.0, 100.0)


def test_sentences_that_share_a_picture_are_said() -> None:
    (row,) = rows(("a", 0.9, 2))
    shared = [
        replace(each, group=i // 4) for i, each in enumerate(row[0].predictions or ()) if i < 40
    ]
    told = [
        replace(run, read=lambda run=run: [*shared, *(run.predictions or ())[40:]], digest=str(i))
        for i, run in enumerate(row)
    ]
    assert Statistics().standings([told]).pictures == 50
    assert Statistics().standings([row]).pictures is None


def test_what_did_not_change_is_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rows(("a", 0.9, 4), ("b", 0.5, 3))
    first = Statistics(tmp_path)
    found, difference = first.standings(made), first.difference(*made)
    first.save()

    def fail(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(statistics, "_predictions", fail)
    again = Statistics(tmp_path)
    assert again.standings(made) == found
    assert again.difference(*made) == difference
    assert found.same is not None
    written = again.file.stat().st_mtime_ns if again.file else 0
    again.save()
    assert again.file is not None
    assert again.file.stat().st_mtime_ns == written, "nothing to write"
    other = [[replace(run, digest="other") for run in row] for row in made]
    with pytest.raises(AssertionError, match="computed again"):
        again.standings(other)
    monkeypatch.setattr(statistics, "_code", lambda: "changed")
    with pytest.raises(AssertionError, match="computed again"):
        Statistics(tmp_path).standings(made)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"code": 1, "known": 2}', "\x00"])
def test_a_broken_memory_is_forgotten(tmp_path: Path, text: str) -> None:
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "statistics.json").write_text(text)
    assert Statistics(tmp_path).standings(rows(("a", 0.9, 2))).rows[0].rank is not None


def test_other_sentences_under_the_same_data_are_named() -> None:
    one, two = rows(("a", 0.9, 2), ("b", 0.9, 2))
    less = [replace(run, read=lambda run=run: (run.predictions or ())[1:]) for run in two]
    with pytest.raises(DataError, match=r"seeing: can't compare: the sentence `s0`"):
        leaderboard([*one, *less])


def test_a_table_of_before_needs_no_numpy(tmp_path: Path, put_run: Any) -> None:
    for seed in (1, 2):
        put_run(tmp_path, seed=seed)
    code = (
        "import sys; from zoo import cli; sys.argv = ['zoo', 'leaderboard', '--results', "
        f"{str(tmp_path)!r}]\ntry: cli.main()\nexcept SystemExit: pass\n"
        "print([name for name in ('numpy', 'scipy', 'torch') if name in sys.modules])"
    )
    outputs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert outputs[1].stdout.splitlines()[-1] == "[]"
    known = json.loads((tmp_path / ".cache" / "statistics.json").read_text())["known"]
    assert known
