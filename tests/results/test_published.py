"""What git keeps of ``results/``: what is published, and nothing that a run writes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from zoo.results.evidence import verify

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "results" / "published"


def ignored(path: str) -> bool:
    done = subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False)
    if done.returncode == 128:
        pytest.skip("this is no checkout")
    return done.returncode == 0


@pytest.mark.parametrize(
    "path",
    [
        "runs/plain/mini/1-abc/run.json",
        "leaderboard.md",
        "ablations/parts.svg",
        "failed/plain-mini-1-abc.log",
        ".lock/1-abc.lock",
        ".cache/verified.json",
        "published/0.2/.cache/verified.json",
        "published/0.2/runs/bert-crf/mmnerd-en/1-abc/predictions.test.jsonl",
        "published/0.2/runs/bert-crf/mini/1-abc/model.safetensors",
        "published/0.2/runs/bert-crf/mini/1-abc/model.json",
        "published/0.2/runs/bert-crf/mini/1-abc/learnt.json",
    ],
)
def test_what_a_run_writes_is_ignored(path: str) -> None:
    assert ignored(f"results/{path}")


@pytest.mark.parametrize(
    "path", ["README.md", "published/1.0/leaderboard.md", "published/1.0/runs/a/b/1-c/run.json"]
)
def test_what_is_published_is_not(path: str) -> None:
    assert not ignored(f"results/{path}")


def test_every_published_run_is_what_its_record_says() -> None:
    records = sorted(PUBLISHED.glob("*/runs/*/*/*/run.json"))
    assert records
    assert [line for record in records for line in verify(record.parent)[1]] == []
