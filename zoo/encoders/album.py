"""All pictures of a post, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch.nn.utils.rnn import pad_sequence

from zoo.encoders.pictures import place
from zoo.errors import ConfigError
from zoo.parts import ImageEncoder
from zoo.registry import register
from zoo.types import Inputs, Sample, View

SEEN = "seen."


@register("image_encoder", "album")
class Album(ImageEncoder):
    """The pictures of a post, each through one encoder; their regions stand one after the other.

    Regions (B, R, width), R the most that the pictures of a post in the batch have together; pooled
    (B, width): the mean over the pictures. A post with one picture gets what the encoder gives.

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
        pictures = (sample.picture, *sample.more_pictures)[: self.most]
        return [
            self.encoder.prepare(replace(sample, picture=each, more_pictures=()))
            for each in pictures
        ]

    def cost(self, sample: Sample, row: list[Any] | None) -> int:
        return sum(self.encoder.cost(sample, each) for each in row or ())

    def collate(self, rows: Sequence[list[Any] | None]) -> Inputs:
        """The encoder's inputs for all pictures as ``seen.NAME``; ``sizes`` (P,), how many belong
        to a post that has any; and ``present`` (B,)."""
        there = [row for row in rows if row is not None]
        seen = self.encoder.collate([each for row in there for each in row]) if there else {}
        return {
            **{f"{SEEN}{name}": value for name, value in seen.items()},
            "sizes": torch.tensor([len(row) for row in there], dtype=torch.long),
            "present": torch.tensor([row is not None for row in rows], dtype=torch.bool),
        }

    def forward(self, inputs: Inputs) -> View:
        present, sizes = inputs["present"], inputs["sizes"].tolist()
        if not sizes:
            nothing = torch.zeros(0, 1, self.width, device=present.device)
            return place(nothing, nothing[:, 0], present)
        view: View = self.encoder(
            {name[len(SEEN) :]: inputs[name] for name in inputs if name.startswith(SEEN)}
        )
        posts = zip(*(torch.split(each, sizes) for each in (view.regions, view.mask)), strict=True)
        regions = [vectors[mask] for vectors, mask in posts]
        counts = torch.tensor([len(each) for each in regions], device=present.device)
        padded = pad_sequence(regions, batch_first=True)
        mask = torch.arange(padded.shape[1], device=present.device) < counts.unsqueeze(1)
        pooled = torch.stack([each.mean(dim=0) for each in torch.split(view.pooled, sizes)])
        return place(padded, pooled, present, mask)
