"""The public API: a small list, light to import, typed, and shown by scripts that run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import zoo

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))


def run(*command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key != "ZOO_DATA"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_the_list_is_true() -> None:
    for name in zoo.__all__:
        assert getattr(zoo, name).__doc__, name
    assert set(zoo.__all__) <= set(dir(zoo))
    assert zoo.__all__ == sorted(zoo.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = zoo.nothing  # type: ignore[attr-defined]


def test_the_page_names_everything() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in zoo.__all__:
        assert re.search(rf"`(Model\.)?{name}\b", page), name


def test_importing_is_light(tmp_path: Path) -> None:
    heavy = "torch transformers pydantic numpy rich click"
    code = f"import zoo, sys; print([m for m in '{heavy}'.split() if m in sys.modules])"
    done = run("-c", code, folder=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.slow
def test_a_user_s_script_is_typed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text((Path(__file__).parent / "script.py").read_text(encoding="utf-8"))
    options = ("--strict", "--cache-dir", str(tmp_path / "cache"), "--follow-imports", "silent")
    done = run("-m", "mypy", *options, str(script), folder=tmp_path, MYPYPATH=str(ROOT))
    assert done.returncode == 0, done.stdout + done.stderr
    script.write_text(script.read_text().replace("entity.type", "entity.kind"))
    done = run("-m", "mypy", *options, str(script), folder=tmp_path, MYPYPATH=str(ROOT))
    assert 'has no attribute "kind"' in done.stdout


@pytest.mark.slow
def test_the_examples_run(tmp_path: Path) -> None:
    assert len(EXAMPLES) == 5
    printed = {}
    for script in EXAMPLES:
        done = run(str(script), folder=tmp_path, ZOO_CACHE=str(tmp_path / "cache"))
        assert done.returncode == 0, f"{script.name}: {done.stderr}"
        printed[script.stem[0]] = done.stdout
    assert "bert-crf: F1" in printed["1"]
    assert len((tmp_path / "found.jsonl").read_text().splitlines()) == 50
    assert "PER: F1 0.00" in printed["3"]
    assert "a difference of" in printed["4"]
    assert "library_name: mner-zoo" in printed["5"]


def test_score_takes_entities_and_nothing_else() -> None:
    found = zoo.Found(0, 1, "PER", 0.5, "Anna")
    scored = zoo.ScoredEntity(0, 1, "PER", 0.5)
    for one in ([found], [scored], [(0, 1, "PER")], [[0, 1, "PER"]], (x for x in [found])):
        assert zoo.score([[zoo.Entity(0, 1, "PER")]], iter([one])).f1 == 100
    for sentence in (
        ["B-PER", "O"], "O", 5, None, {"entities": []}, ["abc"], [("0", 1, "PER")], [(2, 1, "PER")],
        [(0, 1)], [(0, 1, "")], [{"start": 0}],
    ):  # fmt: skip
        with pytest.raises(zoo.ConfigError, match=r"sentence 1 of predicted: .* is no ent"):
            zoo.score([[]], [sentence])
