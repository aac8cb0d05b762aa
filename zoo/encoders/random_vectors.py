"""A control: random vectors in place of what an image encoder makes of a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.encoders.pictures import place
from zoo.errors import ConfigError
from zoo.parts import ImageEncoder
from zoo.registry import register
from zoo.types import Inputs, Sample, View

Drawn = tuple[Tensor, Tensor]
"""``regions`` (R, D) and ``pooled`` (D,) of one picture."""


@register("image_encoder", "random_vectors")
class RandomVectors(ImageEncoder):
    """Fixed random vectors, drawn once a picture, in place of its features.

    A system that is no worse with them does not use what is in the picture; what it gains over its
    text-only version then comes from further parameters, noise, or telling pictures apart.

    Width and number of regions are those of ``encoder``. Every number is drawn from a standard
    normal distribution, seeded by the content of the picture (or the caption): the same in every
    run and every epoch; equal pictures have equal vectors, and nothing else of a picture enters.
    Nothing is trained; ``encoder`` is built to know its shape and does not become part of the
    system.

    Args:
        encoder: what is replaced.
        of: what that reads of a sample.

    Raises:
        ConfigError: ``encoder`` reads something else than ``of`` says.
    """

    example: ClassVar[dict[str, Any]] = {"encoder": {"part": "small_cnn", "width": 16}}

    def __init__(
        self, *, encoder: ImageEncoder, of: Literal["picture", "caption"] = "picture"
    ) -> None:
        super().__init__()
        if encoder.sees != of:
            raise ConfigError(
                f"random_vectors: {type(encoder).__name__} reads the {encoder.sees}; "
                f"write `of: {encoder.sees}`"
            )
        self.sees = of  # type: ignore[misc]  # as the one that it replaces
        self.width, self.regions = encoder.width, encoder.regions
        self._replaced = (encoder.eval(),)  # in a tuple: its parameters are not the system's

    @classmethod
    def sees_of(cls, settings: Any) -> tuple[str, ...]:
        return (settings.get("of", "picture"),)

    def prepare(self, sample: Sample) -> Drawn | None:
        row = self._replaced[0].prepare(sample)  # refuses what can't be read
        if row is None:
            return None
        content = sample.picture.digest() if self.sees == "picture" else sample.caption  # type: ignore[union-attr]
        seed = hashlib.sha256(f"{self.sees} {content}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(seed[:7], "big"))
        count = self.regions if self.regions is not None else self._count(row)
        drawn = torch.randn(1 + count, self.width, generator=generator)
        return drawn[1:], drawn[0]

    @torch.no_grad()
    def _count(self, row: Any) -> int:
        """How many regions the encoder makes of a prepared sample."""
        encoder = self._replaced[0]
        with torch.autocast("cpu", enabled=False):  # it stays on the processor
            view: View = encoder(encoder.collate([row]))
        return int(view.mask[0].sum())

    def cost(self, sample: Sample, row: Drawn | None) -> int:
        return 0 if row is None else len(row[0])

    def collate(self, rows: Sequence[Drawn | None]) -> Inputs:
        """``regions`` (P, R, D), ``pooled`` (P, D) and ``mask`` (P, R) of the P pictures that are
        there, with R the most that one of them has; ``present`` (B,)."""
        there = [row for row in rows if row is not None]
        present = torch.tensor([row is not None for row in rows], dtype=torch.bool)
        if not there:
            nothing = torch.zeros(0, self.regions or 1, self.width)
            mask = torch.zeros(0, self.regions or 1, dtype=torch.bool)
            return {"regions": nothing, "pooled": nothing[:, 0], "mask": mask, "present": present}
        counts = torch.tensor([len(regions) for regions, _ in there])
        regions = nn.utils.rnn.pad_sequence([regions for regions, _ in there], batch_first=True)
        return {
            "regions": regions,
            "pooled": torch.stack([pooled for _, pooled in there]),
            "mask": torch.arange(regions.shape[1]) < counts[:, None],
            "present": present,
        }

    def forward(self, inputs: Inputs) -> View:
        return place(inputs["regions"], inputs["pooled"], inputs["present"], inputs["mask"])
