"""All pictures of a post: regions one after the other, the mean of the pooled vectors."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from zoo.data.fingerprint import fingerprint
from zoo.data.jsonl import Jsonl, write_jsonl
from zoo.encoders.album import Album
from zoo.encoders.crops import Crops
from zoo.encoders.small import SmallCNN
from zoo.errors import ConfigError
from zoo.types import Picture, Sample


def picture(colour: str) -> Picture:
    out = io.BytesIO()
    Image.new("RGB", (40, 40), colour).save(out, "PNG")
    return Picture(f"{colour}.png", data=out.getvalue())


RED, GREEN, BLUE = map(picture, ("red", "green", "blue"))
POSTS = [
    Sample("1", ("a",), picture=RED, more_pictures=(GREEN, BLUE)),
    Sample("2", ("a",)),
    Sample("3", ("a",), picture=GREEN),
]


@pytest.fixture
def encoder() -> SmallCNN:
    torch.manual_seed(0)
    return SmallCNN(width=16).eval()


def test_regions_and_pooled(encoder: SmallCNN) -> None:
    album = Album(encoder=encoder, most=2).eval()
    view = album(album.collate([album.prepare(post) for post in POSTS]))
    alone = encoder(encoder.collate([encoder.prepare(Sample("x", ("a",), picture=each))
                                     for each in (RED, GREEN)]))  # fmt: skip
    count = alone.regions.shape[1]
    assert view.mask.sum(1).tolist() == [2 * count, 0, count]
    torch.testing.assert_close(view.regions[0], alone.regions.flatten(0, 1))
    torch.testing.assert_close(view.pooled[0], alone.pooled.mean(0))
    torch.testing.assert_close(view.regions[2, :count], alone.regions[1])
    torch.testing.assert_close(view.pooled[2], alone.pooled[1])
    assert not view.regions[1].any()
    assert album.cost(POSTS[0], album.prepare(POSTS[0])) == 2 * count


def test_the_features_of_a_frozen_one_are_kept_under_all_pictures(encoder: SmallCNN) -> None:
    album = Album(encoder=encoder, most=2)
    said = [album.beside(post) for post in POSTS]
    assert said == [GREEN.digest() + " ", "", ""], "the third is not read"


def test_it_needs_pictures() -> None:
    from zoo.encoders.caption import Caption

    words = Caption.__new__(Caption)
    with pytest.raises(ConfigError, match="reads no picture"):
        Album(encoder=words)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    posts = [Sample(post.id, post.words, picture=post.picture, more_pictures=post.more_pictures)
             for post in POSTS]  # fmt: skip
    for split in ("train", "dev", "test"):
        write_jsonl(tmp_path / f"{split}.jsonl", posts, tmp_path / "images")
    record = json.loads((tmp_path / "train.jsonl").read_text().splitlines()[0])
    assert record["image"] == ["red.png", "green.png", "blue.png"]
    splits = Jsonl(tmp_path, path=".", images="images").read()
    assert [[each.name for each in post.pictures] for post in splits["train"]] == [
        ["red.png", "green.png", "blue.png"],
        [],
        ["green.png"],
    ]
    before = fingerprint(splits)
    (tmp_path / "images" / "blue.png").write_bytes(RED.read())
    assert fingerprint(Jsonl(tmp_path, path=".", images="images").read()) != before


def test_boxes_are_those_of_the_first_picture(encoder: SmallCNN) -> None:
    boxes = {"boxes": json.dumps([[0, 0, 20, 20]])}
    post = Sample("1", ("a",), picture=RED, more_pictures=(GREEN,), extra=boxes)
    album = Album(encoder=Crops(encoder=encoder))
    first, second = album.prepare(post)
    assert [len(first.rows), len(second.rows)] == [2, 1]


def test_crops_of_a_post_are_those_of_its_first_picture(encoder: SmallCNN) -> None:
    boxes = {"boxes": json.dumps([[0, 0, 20, 20]])}
    post = Sample("1", ("a",), picture=RED, more_pictures=(GREEN,), extra=boxes)
    whole, crop = Crops(encoder=Album(encoder=encoder)).prepare(post).rows
    assert [len(whole), len(crop)] == [1, 1]
