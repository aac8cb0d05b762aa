"""Boxes files of reader ``bio``, from the file to what the encoder ``crops`` sees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from zoo.data.bio import Bio
from zoo.data.boxes import read_boxes
from zoo.encoders.crops import Crops
from zoo.encoders.small import SmallCNN
from zoo.errors import DataError
from zoo.types import Splits

LEFT, RIGHT = [0, 0, 8, 16], [8, 0, 16, 16]


@pytest.fixture
def posts(tmp_path: Path) -> Path:
    """Three sentences a split, each with a picture, red on the left and blue on the right."""
    folder = tmp_path / "posts"
    (folder / "images").mkdir(parents=True)
    image = Image.new("RGB", (16, 16), "red")
    image.paste("blue", tuple(RIGHT))
    for number, split in enumerate(("train", "dev", "test")):
        ids = [f"{number}_{i}" for i in range(3)]
        text = "".join(f"IMGID:{id}\nin\tO\nRome\tB-LOC\n\n" for id in ids)
        (folder / f"{split}.txt").write_text(text)
        for id in ids:
            image.save(folder / "images" / f"{id}.png")
    return folder


def read(folder: Path, boxes: object) -> Splits:
    text = boxes if isinstance(boxes, str) else json.dumps(boxes)
    (folder / "boxes.json").write_text(text)
    return Bio(folder.parent, path="posts", images="images", boxes="boxes.json").read()


def test_boxes_go_by_the_id_of_the_picture(posts: Path) -> None:
    splits = read(posts, {"0_0.jpg": [LEFT, RIGHT], "0_1": [], "1_0": [[0, 0, 0.5, 1e1]]})
    first, second, third = splits["train"]
    assert json.loads(first.extra["boxes"]) == [LEFT, RIGHT]
    assert json.loads(second.extra["boxes"]) == []
    assert third.extra == {}, "it is not in the file"
    assert json.loads(splits["dev"][0].extra["boxes"]) == [[0, 0, 0.5, 10.0]]
    told = [str(finding.text) for finding in splits.findings]
    assert any("train: 1 sentence is not in the boxes file: 0_2" in text for text in told)


@torch.no_grad()
def test_crops_sees_what_is_in_them(posts: Path) -> None:
    torch.manual_seed(0)
    samples = read(posts, {"0_0": [LEFT, RIGHT], "0_1": [RIGHT]})["train"]
    encoder = Crops(encoder=SmallCNN(size=32, width=8)).eval()
    view = encoder(encoder.collate([encoder.prepare(sample) for sample in samples]))
    assert view.mask.sum(dim=1).tolist() == [3, 2, 1]
    blue, again = view.regions[0, 2], view.regions[1, 1]
    torch.testing.assert_close(blue, again)
    assert not torch.allclose(view.regions[0, 1], blue)


def test_without_the_setting_nothing_changes(posts: Path) -> None:
    with_boxes = read(posts, {"0_0": [LEFT]})
    without = Bio(posts.parent, path="posts", images="images").read()
    assert without["train"][0].extra == {}
    assert without["train"][1:] == with_boxes["train"][1:]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("{", "not JSON"),
        ("[]", "not an object"),
        ('{"0_0": 1}', "`0_0` is not a list of boxes"),
        ('{"0_0": {"a": 1}}', "`0_0` is not a list of boxes"),
        ('{"0_0": [1, 2, 3, 4]}', "box 1 of `0_0` is not four numbers"),
        ('{"0_0": [[1, 2, 3]]}', "box 1 of `0_0` is not four numbers"),
        ('{"0_0": [[0, 0, 1, 1], [1, 2, 3, "4"]]}', "box 2 of `0_0` is not four numbers"),
        ('{"0_0": [[0, 0, true, 1]]}', "box 1 of `0_0` is not four numbers"),
        ('{"0_0": [[0, 0, NaN, 1]]}', "box 1 of `0_0` is not four numbers"),
        ('{"0_0": [[5, 0, 1, 1]]}', "box 1 of `0_0` is empty"),
        ('{"0_0": [], "0_0.jpg": []}', "the id `0_0` occurs twice"),
        ('{" ": []}', "boxes without an id"),
        ('{"9": []}', "no boxes are of a sentence; the file has 9"),
    ],
)
def test_what_is_no_boxes_file(posts: Path, text: str, told: str) -> None:
    with pytest.raises(DataError) as error:
        read(posts, text)
    assert told in str(error.value)
    assert "boxes.json" in str(error.value)


def test_a_file_that_is_not_there(posts: Path) -> None:
    with pytest.raises(DataError, match=r"boxes\.json"):
        Bio(posts.parent, path="posts", boxes="boxes.json").read()
    with pytest.raises(DataError, match="not a file; `boxes` names a file"):
        read_boxes(posts)
