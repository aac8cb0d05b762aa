"""docs/data.md is followed word by word: each file is saved, each command run."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from PIL import Image

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
Zoo = Callable[..., subprocess.CompletedProcess[str]]


def saved(folder: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"Save this as `([^`]+)`:\n\n```\w+\n(.*?)```", text, re.DOTALL)
    assert len(found) == text.count("```") / 2, "every block of the page is saved"
    for name, content in found:
        (folder / name).write_text(content, encoding="utf-8")


def commands() -> list[list[str]]:
    lines = re.findall(r"^    zoo (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [shlex.split(line) for line in lines]


def export(folder: Path, posts: int) -> None:
    """The export that the page's first section speaks of: half of the posts have pictures."""
    people, places = ("Anna", "Lee", "Ada Lovelace", "Zoë"), ("Rome", "New York", "京都", "Łódź")
    lines = []
    (folder / "pictures").mkdir()
    for n in range(posts):
        who, where = people[n % 4], places[n // 4 % 4]
        text = f"#{n} 😀 {who} saw {where}."
        start = text.index(who)
        spans = [[start, start + len(who), "PER"]]
        spans.append([text.index(where), text.index(where) + len(where), "LOC"])
        lines.append(json.dumps({"id": n, "text": text, "label": spans}))
        if n % 2:
            Image.new("RGB", (8, 8), (n, 0, 0)).save(folder / "pictures" / f"{n}.jpg")
    (folder / "export.jsonl").write_text("\n".join(lines), encoding="utf-8")


def test_every_example_is_read(zoo: Zoo, tmp_path: Path) -> None:
    saved(tmp_path)
    export(tmp_path, 20)
    done = [args for args in commands() if args[0] != "run"]
    for args in done:
        told = zoo(*args)
        assert told.returncode == 0, (args, told.stdout, told.stderr)
    assert len([args for args in done if args[1] == "import"]) == 8
