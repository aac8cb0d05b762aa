"""Two small image encoders that are trained from scratch with the system: a CNN and a ViT.

For pictures of a few dozen pixels (dataset ``mini``) on a processor without an accelerator.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.encoders.pictures import collate_pictures, read_picture, see
from zoo.errors import ConfigError
from zoo.parts import ImageEncoder
from zoo.registry import register
from zoo.types import Inputs, Sample, View

Size = Annotated[int, Field(ge=8, le=512)]
Positive = Annotated[int, Field(ge=1, le=100)]
Dropout = Annotated[float, Field(ge=0, lt=1)]


def _scaled(pixels: Tensor) -> Tensor:
    """uint8 [0, 255] to float [-1, 1]."""
    return pixels.float() / 127.5 - 1


@register("image_encoder", "small_cnn")
class SmallCNN(ImageEncoder):
    """A few strided convolutions; the cells of the last grid are the regions.

    ``layers`` convolutions of 3x3 and stride 2, each followed by batch normalisation and GELU;
    channels double up to ``width`` in the last. Regions (B, g * g, width), row by row, with
    g = ceil(size / 2 ** layers), each layer-normalised: attention starts with keys that differ,
    and so finds the right region in fewer steps. Pooled (B, width) is their mean.

    Args:
        width: of a region.
        layers: convolutions, each of which halves height and width.
        size: to which pictures are resized, in pixels.

    Raises:
        ConfigError: only one region is left.
    """

    regions: int
    grid = True

    def __init__(
        self,
        *,
        width: Annotated[int, Field(ge=8, le=16_384)] = 64,
        layers: Annotated[int, Field(ge=1, le=6)] = 3,
        size: Size = 36,
    ) -> None:
        super().__init__()
        self.width, self.size = width, size
        self.regions = (-(-size // 2**layers)) ** 2
        if self.regions == 1:  # of a batch with one picture there would be no batch statistics
            raise ConfigError(
                f"small_cnn: {layers} layers leave one region of {size} x {size} pixels; take "
                "fewer `layers` or a larger `size`"
            )
        channels = [3, *(max(8, width >> (layers - 1 - i)) for i in range(layers - 1)), width]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(after),
                    nn.GELU(),
                )
                for before, after in itertools.pairwise(channels)
            )
        )
        self.norm = nn.LayerNorm(width)

    def prepare(self, sample: Sample) -> Tensor | None:
        return read_picture(sample, self.size)

    def collate(self, rows: Sequence[Tensor | None]) -> Inputs:
        return collate_pictures(rows, (3, self.size, self.size))

    def forward(self, inputs: Inputs) -> View:
        return see(inputs, self.regions, self.width, self._encode)

    def _encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        regions = self.norm(self.stages(_scaled(pixels)).flatten(2).transpose(1, 2))
        return regions, regions.mean(dim=1)


@register("image_encoder", "small_vit")
class SmallViT(ImageEncoder):
    """A small vision transformer; the class token and the patches are the regions.

    Patches are projected by two convolutions (3x3 of stride 2 with batch normalisation and GELU,
    then patch / 2; Xiao et al., 2021: from few pictures, one linear map learns much slower), given
    learnt positions and, with a class token before them, passed through pre-norm transformer
    layers. Regions (B, 1 + (size / patch) ** 2, width), the class token first; pooled (B, width) is
    the class token.

    Args:
        width: of a region; divisible by ``heads``.
        layers: of the transformer.
        heads: of its attention.
        patch: height and width of a patch, in pixels; even, divides ``size``.
        size: to which pictures are resized, in pixels.
        dropout: inside the transformer.

    Raises:
        ConfigError: ``patch`` is odd or does not divide ``size``, or ``heads`` not ``width``.

    Cites: dosovitskiy-etal-2021-image
    """

    regions: int
    grid = True

    def __init__(
        self,
        *,
        width: Annotated[int, Field(ge=8, le=16_384)] = 64,
        layers: Positive = 2,
        heads: Positive = 4,
        patch: Annotated[int, Field(ge=2, le=512, multiple_of=2)] = 6,
        size: Size = 36,
        dropout: Dropout = 0.0,
    ) -> None:
        super().__init__()
        if patch % 2:
            raise ConfigError(f"small_vit: `patch: {patch}` is odd; choose an even number")
        if size % patch:
            raise ConfigError(
                f"small_vit: `patch: {patch}` does not divide `size: {size}`; choose a divisor"
            )
        if width % heads:
            raise ConfigError(
                f"small_vit: `heads: {heads}` does not divide `width: {width}`; choose a divisor"
            )
        self.width, self.size = width, size
        patches = (size // patch) ** 2
        self.regions = 1 + patches
        self.project = nn.Sequential(
            nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width // 2),
            nn.GELU(),
            nn.Conv2d(width // 2, width, patch // 2, stride=patch // 2),
        )
        self.first = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, patches, width) * 0.02)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 2 * width, dropout, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def prepare(self, sample: Sample) -> Tensor | None:
        return read_picture(sample, self.size)

    def collate(self, rows: Sequence[Tensor | None]) -> Inputs:
        return collate_pictures(rows, (3, self.size, self.size))

    def forward(self, inputs: Inputs) -> View:
        return see(inputs, self.regions, self.width, self._encode)

    def _encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        patches = self.project(_scaled(pixels)).flatten(2).transpose(1, 2) + self.positions
        states = torch.cat([self.first.expand(len(patches), -1, -1), patches], dim=1)
        for layer in self.layers:
            states = layer(states)
        states = self.norm(states)
        return states, states[:, 0]
