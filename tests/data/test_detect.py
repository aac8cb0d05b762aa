"""What ``zoo init --data`` makes of a folder or a file, and what it says of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zoo.data.detect import detect
from zoo.errors import DataError

COLUMNS = "".join(f"IMGID:{n}\nw{n}\tB-PER\n\n" for n in range(4))
PREDICTED = "".join(f'{{"words": ["w{n}"], "entities": []}}\n' for n in range(9))
BASE = {f"{split}.txt": COLUMNS.replace("IMGID:", f"IMGID:{split}")
        for split in ("train", "valid", "test")}  # fmt: skip


def put(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    return folder


def found(place: Path) -> tuple[dict[str, Any], list[str]]:
    told: list[str] = []
    return detect(place, told.append), told


def test_captions_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    files = {"mine.txt": COLUMNS, "captions.txt": "1.jpg :a\n1.jpg :b\n", "images/0.jpg": ""}
    settings, told = found(put(tmp_path, files) / "mine.txt")
    assert settings == {"reader": "bio", "images": "images"}
    (line,) = told
    assert line.startswith("left out: captions.txt (")
    assert "captions.txt:2: the id `1` is a duplicate" in line


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"predictions.jsonl": PREDICTED}, "files of jsonl and of bio are there"),
        ({"captions_a.txt": "1 :a\n", "captions_b.txt": "1 :a\n"}, "captions_a.txt and captions_b"),
        ({"images/train1.jpg": "", "cropped/train1.jpg": ""}, "cropped and images may both be the"),
    ],
    ids=["readers", "captions", "pictures"],
)  # fmt: skip
def test_what_can_be_read_in_several_ways(tmp_path: Path, more: dict[str, str], word: str) -> None:
    with pytest.raises(DataError, match=word):
        found(put(tmp_path, BASE | more))


def test_a_file_of_the_other_reader_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    settings, told = found(put(tmp_path, BASE | {"log.jsonl": '{"loss": 1}\n'}))
    assert settings == {"reader": "bio"}
    assert told[0].startswith("left out: log.jsonl (")
    put(tmp_path, {"train.jsonl": "{"})
    with pytest.raises(DataError, match=r"jsonl"):
        found(tmp_path)
