"""docs/data.md is followed word by word: each file is saved, each command run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
Zoo = Callable[..., subprocess.CompletedProcess[str]]
SHOWN = re.compile(r"(?<!`:\n\n)```text\n((?:train|a\t).*?)```", re.DOTALL)
"""What the page says that commands print."""


def saved(folder: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"Save this as `([^`]+)`:\n\n```\w+\n(.*?)```", text, re.DOTALL)
    shown = len(SHOWN.findall(text))
    assert len(found) + shown == text.count("```") / 2, "every block of the page is saved"
    for name, content in found:
        (folder / name).write_text(content, encoding="utf-8")


def commands() -> list[list[str]]:
    lines = re.findall(r"^    zoo (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [shlex.split(line) for line in lines]


def export(folder: Path, posts: int) -> None:
    """The export that the page's first section speaks of, with all that is awkward about exports.

    Half of the posts have pictures, named by a field or by the post's id. Offsets count UTF-16
    units and may take in the blank behind a name, some entities stand inside others, some posts
    have no id, and lines end as on Windows.
    """
    people, places = ("Anna", "Lee", "Ada Lovelace", "Zoë"), ("Rome", "New York", "京都", "Łódź")
    lines = []
    (folder / "pictures").mkdir()
    for n in range(posts):
        who, where = people[n % 4], places[n // 4 % 4]
        text = f"#{n} 😀 {who} saw {where}{'.' if n % 3 else '… 👩‍👩‍👧'}"
        spans = [[*_units(text, who, n % 5 == 0), "PER"], [*_units(text, where, False), "LOC"]]
        if where == "New York" and n % 2:
            spans.append([*_units(text, "York", False), "LOC"])
        post = {"id": n, "text": text, "label": spans, "Comments": []}
        name = f"{n}.jpg"
        if n % 2 == 0:
            del post["id"]
        elif n % 4 == 1 and n > 1:
            post["image"] = name = f"photo {n}.JPG"
        lines.append(json.dumps(post, ensure_ascii=n % 3 == 0))
        if n % 2:
            Image.new("RGB", (8, 8), (n, 0, 0)).save(folder / "pictures" / name)
    (folder / "export.jsonl").write_bytes("\r\n".join(lines).encode("utf-8-sig"))


def _units(text: str, name: str, blank: bool) -> tuple[int, int]:
    """The place of a name in UTF-16 units, as JavaScript counts."""
    start = text.index(name)
    ends = (text[:start], text[: start + len(name) + blank])
    first, last = (len(each.encode("utf-16-le")) // 2 for each in ends)
    return first, last


def test_every_example_is_read(zoo: Zoo, tmp_path: Path) -> None:
    saved(tmp_path)
    export(tmp_path, 20)
    done = [args for args in commands() if args[0] not in ("run", "predict")]
    for args in done:
        told = zoo(*args)
        assert told.returncode == 0, (args, told.stdout, told.stderr)
    assert len([args for args in done if args[1] == "import"]) == 8


@pytest.mark.slow
def test_from_sixty_posts_to_predictions_by_the_page(tmp_path: Path) -> None:
    """The page's first section, word by word, in an empty folder."""
    saved(tmp_path)
    export(tmp_path, 60)
    section = PAGE.read_text(encoding="utf-8").split("\n## ")[1]
    made, predicted = SHOWN.findall(section)
    clean = {key: value for key, value in os.environ.items() if key != "ZOO_DATA"}
    told = {}
    for line in re.findall(r"^    zoo (.+)$", section, re.MULTILINE):
        done = subprocess.run(
            [sys.executable, "-c", "from zoo.cli import main; main()", *shlex.split(line)],
            cwd=tmp_path,
            env={**clean, "ZOO_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        words = line.split()
        told[words[1] if words[0] == "data" else words[0]] = done.stdout
    assert told["import"].splitlines()[-4:] == made.splitlines()
    assert "without a picture" in told["check"]
    found = [line.split("\t") for line in told["predict"].splitlines()]
    texts = {
        post["id"]: post["text"]
        for post in map(json.loads, (tmp_path / "new.jsonl").read_text("utf-8").splitlines())
    }
    assert found, "the model finds something"
    for id, _, words, score, place in found:
        start, end = map(int, place.split("-"))
        assert texts[id][start:end] == words
        assert 0 < float(score) <= 1
    wanted = {tuple(line.split("\t")[i] for i in (0, 1, 4)) for line in predicted.splitlines()}
    right = wanted & {(id, kind, place) for id, kind, _, _, place in found}
    assert len(right) >= 3, (found, "of the four entities that the page shows")
