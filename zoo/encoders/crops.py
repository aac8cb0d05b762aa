"""Given boxes of a picture: what an encoder sees in each of them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from zoo.encoders.pictures import collate_several, place_several, seen_by, unseen
from zoo.errors import ConfigError, DataError
from zoo.parts import ImageEncoder
from zoo.registry import register
from zoo.types import Inputs, Picture, Sample, View

Box = tuple[float, float, float, float]
"""Left, top, right, bottom: shares of the picture's width and height."""


class Boxed(NamedTuple):
    """A picture: what the encoder prepared of it, or of it and each of its crops; its boxes in the
    square that the encoder reads, (K, 4)."""

    rows: list[Any]
    boxes: Tensor


@register("image_encoder", "crops")
class Crops(ImageEncoder):
    """The boxes that come with a picture, each as a region; the first region is the whole picture.

    Regions (B, R, width), R the most that a picture of the batch has; pooled (B, width): that of
    the whole picture. With ``source: crops`` each box is cut out and goes through the encoder as a
    picture of its own, and its pooled vector is the region. With ``source: grid`` the regions of
    the whole picture are averaged over the box, bilinearly sampled (RoIAlign); a box outside of
    what the encoder cuts out of the centre is left out.

    The boxes are in a text field of the sample: a JSON list of ``[left, top, right, bottom]``, in
    pixels of the picture as a viewer shows it or as shares of its size. A sample without the field
    has no boxes.

    Cites: he-etal-2017-mask, zhang-etal-2021-multi

    Args:
        encoder: what sees; it may be frozen, and its features are then kept a crop.
        boxes: the name of the field.
        unit: what the numbers are.
        source: what a region is made of.
        most: boxes of a picture that are used, in their order.

    Raises:
        ConfigError: the encoder reads no picture, or has no square grid of regions.
    """

    example: ClassVar[dict[str, Any]] = {"encoder": {"part": "small_cnn", "width": 16}}

    def __init__(
        self,
        *,
        encoder: ImageEncoder,
        boxes: str = "boxes",
        unit: Literal["pixels", "shares"] = "pixels",
        source: Literal["crops", "grid"] = "crops",
        most: Annotated[int, Field(ge=1, le=1000)] = 10,
    ) -> None:
        super().__init__()
        if encoder.sees != "picture":
            raise ConfigError(f"crops: {type(encoder).__name__} reads no picture; take another")
        self.encoder = encoder
        self.width = encoder.width
        self.field, self.unit, self.source, self.most = boxes, unit, source, most
        self.side = self.before = 0
        if source == "grid":
            inner: Any = getattr(encoder, "encoder", encoder)  # of a frozen one
            if not inner.grid or not hasattr(inner, "size") or encoder.regions is None:
                raise ConfigError(
                    f"crops: {type(inner).__name__} has no grid; set source to `crops`"
                )
            self.square: int = inner.size
            self.short: int | None = getattr(inner, "short", None)
            self.side = int(encoder.regions**0.5)
            self.before = encoder.regions - self.side**2
            if self.before not in (0, 1):
                raise ConfigError(
                    f"crops: the {encoder.regions} regions of {type(inner).__name__} are no "
                    "square grid; set source to `crops`"
                )

    @classmethod
    def sees_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        return ("picture", settings.get("boxes", "boxes"))

    def beside(self, sample: Sample) -> str:
        """The boxes as they are written."""
        return sample.extra.get(self.field) or ""

    def prepare(self, sample: Sample) -> Boxed | None:
        if sample.picture is None:
            return None
        boxes = self._read(sample)
        first = replace(sample, more_pictures=())  # the boxes are of the first
        rows = [self.encoder.prepare(first)]
        if self.source == "grid":
            return Boxed(rows, self._on_grid(sample.picture, boxes))
        for number, box in enumerate(boxes):
            cut = _crop(sample.picture, box, number)
            rows.append(self.encoder.prepare(replace(first, picture=cut)))
        return Boxed(rows, torch.zeros(0, 4))

    def cost(self, sample: Sample, row: Boxed | None) -> int:
        """What the encoder sees, of the picture and of every crop."""
        return 0 if row is None else sum(self.encoder.cost(sample, each) for each in row.rows)

    def collate(self, rows: Sequence[Boxed | None]) -> Inputs:
        """As :func:`collate_several`, for each picture and its crops; ``boxes`` (K, 5): the number
        of the picture before each box."""
        boxes = [
            torch.nn.functional.pad(row.boxes, (1, 0), value=i)
            for i, row in enumerate(row for row in rows if row is not None)
        ]
        return {
            **collate_several(self.encoder, [None if row is None else row.rows for row in rows]),
            "boxes": torch.cat(boxes) if boxes else torch.zeros(0, 5),
        }

    def forward(self, inputs: Inputs) -> View:
        if not len(inputs["sizes"]):
            return unseen(inputs["present"], self.width)
        view = seen_by(self.encoder, inputs)
        if self.source == "grid":
            parts = self._aligned(view, inputs["boxes"])
        else:
            parts = list(torch.split(view.pooled, inputs["sizes"].tolist()))
        whole = torch.stack([part[0] for part in parts])
        return place_several(parts, whole, inputs["present"])

    def _aligned(self, view: View, boxes: Tensor) -> list[Tensor]:
        """Of each picture its pooled vector, and one vector a box."""
        from torchvision.ops import roi_align

        cells = view.regions[:, self.before :].transpose(1, 2)
        grid = cells.reshape(len(cells), self.width, self.side, self.side)
        scaled = torch.cat([boxes[:, :1], boxes[:, 1:] * self.side], dim=1).to(grid.dtype)
        pooled = roi_align(grid, scaled, 2, sampling_ratio=2, aligned=True).mean(dim=(2, 3))
        owner = boxes[:, 0].long()
        return [
            torch.cat([view.pooled[i : i + 1], pooled[owner == i]]) for i in range(len(view.pooled))
        ]

    def _read(self, sample: Sample) -> list[Box]:
        """The boxes as shares of the picture. Raises DataError for what is no box."""
        text = self.beside(sample)
        if not text.strip() or sample.picture is None:
            return []
        width, height = sample.picture.open().size
        wide, high = (width, height) if self.unit == "pixels" else (1, 1)
        try:
            read = [tuple(map(float, box)) for box in json.loads(text)]
            boxes = [(a / wide, b / high, c / wide, d / high) for a, b, c, d in read]
        except (ValueError, TypeError) as error:
            raise DataError(
                f"sample {sample.id}: `{self.field}` is no JSON list of boxes [left, top, right, "
                f"bottom] ({' '.join(str(error).split())[:100]})"
            ) from error
        kept = [tuple(min(1.0, max(0.0, side)) for side in box) for box in boxes[: self.most]]
        for box, given in zip(kept, boxes, strict=False):
            if not (box[0] < box[2] and box[1] < box[3]):
                raise DataError(
                    f"sample {sample.id}: `{self.field}` has a box without an inside, "
                    f"{[round(side, 4) for side in given]} in shares of the {width} × {height} "
                    "picture; are `unit` and the order [left, top, right, bottom] right?"
                )
        return kept  # type: ignore[return-value]

    def _on_grid(self, picture: Picture, boxes: Sequence[Box]) -> Tensor:
        """The boxes in shares of the square that the encoder reads (K, 4)."""
        width, height = picture.open().size
        wide = high = float(self.square)
        if self.short is not None:
            scale = max(self.short, self.square) / min(width, height)
            wide, high = max(self.square, width * scale), max(self.square, height * scale)
        found = []
        for left, top, right, bottom in boxes:
            across = [(side * wide - (wide - self.square) / 2) / self.square
                      for side in (left, right)]  # fmt: skip
            down = [(side * high - (high - self.square) / 2) / self.square
                    for side in (top, bottom)]  # fmt: skip
            (x0, x1), (y0, y1) = (
                [min(1.0, max(0.0, side)) for side in sides] for sides in (across, down)
            )
            if x0 < x1 and y0 < y1:
                found.append([x0, y0, x1, y1])
        return torch.tensor(found).view(-1, 4)


def _crop(picture: Picture, box: Box, number: int) -> Picture:
    """What is in a box, as a picture of its own, of at least one pixel."""
    image = picture.open()
    width, height = image.size
    left, top = min(width - 1, int(box[0] * width)), min(height - 1, int(box[1] * height))
    right, bottom = max(left + 1, round(box[2] * width)), max(top + 1, round(box[3] * height))
    out = io.BytesIO()
    image.crop((left, top, right, bottom)).save(out, "PNG", compress_level=1)
    return Picture(f"{picture.name}#{number}", data=out.getvalue())
