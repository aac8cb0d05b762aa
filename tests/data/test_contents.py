"""What is remembered of a dataset, and when it is read anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.data import contents
from zoo.data.bio import Bio
from zoo.data.contents import KEPT, Contents
from zoo.data.jsonl import Jsonl
from zoo.schema import PartSpec

LINE = '{"words": ["Rome"], "entities": []}\n'
Ask = Callable[..., tuple[str, int]]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks for the contents of a dataset; the answer, and how often something was read for it."""
    reads: list[PartSpec] = []
    read = contents.read_data

    def reading(part: PartSpec, root: Path) -> object:
        reads.append(part)
        return read(part, root)

    monkeypatch.setattr(contents, "read_data", reading)

    def ask(**settings: object) -> tuple[str, int]:
        reads.clear()
        known = Contents(tmp_path / "cache")
        part = PartSpec("reader", "jsonl", Jsonl, {"path": "posts", **settings})
        answer = known(part, tmp_path)
        known.keep()
        return answer, len(reads)

    (tmp_path / "cache").mkdir()
    (tmp_path / "posts").mkdir()
    for split in ("train", "dev", "test"):
        (tmp_path / "posts" / f"{split}.jsonl").write_text(LINE)
    return ask


def test_an_unchanged_dataset_is_read_once(ask: Ask) -> None:
    told = "1/1/1 sentences, no pictures, no captions"
    assert ask() == (told, 1)
    assert ask() == (told, 0)
    assert ask(images="photos") == (told, 1), "other settings"


def test_a_change_of_any_file_is_seen(ask: Ask, tmp_path: Path) -> None:
    ask()
    file = tmp_path / "posts" / "train.jsonl"
    before = file.stat()
    file.write_text(LINE.replace("Rome", "Oslo"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # ctime can't be set back
    assert ask()[1] == 1
    file.write_text(LINE * 2)
    assert ask() == ("2/1/1 sentences, no pictures, no captions", 1)
    (tmp_path / "posts" / "images").mkdir()
    assert ask()[1] == 1


def test_what_may_lie_elsewhere_is_read_each_time(ask: Ask, tmp_path: Path) -> None:
    for settings in ({"images": "../pictures"}, {"images": str(tmp_path / "pictures")}):
        assert [ask(**settings)[1] for _ in range(2)] == [1, 1], settings
    different = (LINE.replace("Rome", f"Rome{i}") for i in range(20))
    (tmp_path / "one.jsonl").write_text("".join(different))
    assert [ask(path="one.jsonl")[1] for _ in range(2)] == [1, 1], "pictures may lie beside it"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "posts" / "images").symlink_to(tmp_path / "elsewhere")
    assert [ask()[1] for _ in range(2)] == [1, 1]


@pytest.mark.parametrize("stored", ["{", "[1]", "3", '{"a": 3}'])
def test_a_foreign_cache_is_no_error(ask: Ask, tmp_path: Path, stored: str) -> None:
    (tmp_path / "cache" / KEPT).write_text(stored)
    assert [ask()[1] for _ in range(2)] == [1, 0]


def test_captions_in_the_data_root_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "posts").mkdir()
    for split in ("train", "dev", "test"):
        (tmp_path / "posts" / f"{split}.txt").write_text(f"IMGID:{split}\nRome B-LOC\n")
    (tmp_path / "captions.txt").write_text("train.jpg :a man\n")
    part = PartSpec("reader", "bio", Bio, {"path": "posts", "captions": "captions.txt"})

    def ask() -> str:
        known = Contents(tmp_path / "cache")
        answer = known(part, tmp_path)
        known.keep()
        return answer

    assert "1 captions" in ask()
    (tmp_path / "captions.txt").write_text("train.jpg :a man\ndev.jpg :a town\n")
    assert "2 captions" in ask()
