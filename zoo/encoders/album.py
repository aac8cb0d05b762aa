"""All pictures of a post, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field

from zoo.encoders.pictures import collate_several, place_several, seen_by, unseen
from zoo.errors import ConfigError
from zoo.parts import ImageEncoder
from zoo.registry import register
from zoo.types import Inputs, Sample, View


@register("image_encoder", "album")
class Album(ImageEncoder):
    """The pictures of a post, each through one encoder; their regions stand one after the other.

    Regions (B, R, width), R the most that the pictures of a post in the batch have together; pooled
    (B, width): the mean over the pictures. A post with one picture gets what the encoder gives.
    What an encoder reads of a sample beside a picture, as boxes in it, belongs to the first one.

    Args:
        encoder: what sees; it may be frozen, and its features are then kept a picture.
        most: pictures of a post that are read, in their order.

    Raises:
        ConfigError: the encoder reads no picture.
    """

    example: ClassVar[dict[str, Any]] = {"encoder": {"part": "small_cnn", "width": 16}}

    def __init__(
        self, *, encoder: ImageEncoder, most: Annotated[int, Field(ge=1, le=100)] = 4
    ) -> None:
        super().__init__()
        if encoder.sees != "picture":
            raise ConfigError(f"album: {type(encoder).__name__} reads no picture; take another")
        self.encoder = encoder
        self.width, self.most = encoder.width, most

    def beside(self, sample: Sample) -> str:
        """The digests of the pictures after the first, and what the encoder reads beside each."""
        more = (picture.digest() for picture in sample.more_pictures[: self.most - 1])
        return " ".join((*more, self.encoder.beside(sample)))

    def prepare(self, sample: Sample) -> list[Any] | None:
        if sample.picture is None:
            return None
        first = replace(sample, more_pictures=())
        bare = replace(first, caption=None, extra={})  # boxes, for one, are those of the first
        others = sample.more_pictures[: self.most - 1]
        return [
            self.encoder.prepare(each)
            for each in (first, *(replace(bare, picture=picture) for picture in others))
        ]

    def cost(self, sample: Sample, row: list[Any] | None) -> int:
        return sum(self.encoder.cost(sample, each) for each in row or ())

    def collate(self, rows: Sequence[list[Any] | None]) -> Inputs:
        return collate_several(self.encoder, rows)

    def forward(self, inputs: Inputs) -> View:
        present, sizes = inputs["present"], inputs["sizes"].tolist()
        if not sizes:
            return unseen(present, self.width)
        view = seen_by(self.encoder, inputs)
        posts = zip(*(torch.split(each, sizes) for each in (view.regions, view.mask)), strict=True)
        pooled = torch.stack([each.mean(dim=0) for each in torch.split(view.pooled, sizes)])
        return place_several([vectors[mask] for vectors, mask in posts], pooled, present)
