"""All stages of a convolutional network: from fine cells of simple patterns to whole objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.encoders.cnn import CNN, build_trunk
from zoo.encoders.pictures import IMAGENET, collate_pictures, normalise, read_picture, see
from zoo.parts import ImageEncoder
from zoo.registry import register
from zoo.types import Inputs, Sample, View


@register("image_encoder", "pyramid")
class Pyramid(ImageEncoder):
    """The last stages of a torchvision network, each pooled to a small grid.

    A stage is what the network computes at one resolution. Regions (B, stages * cells ** 2, width):
    stage by stage from the finest, each row by row. The stages have vectors of different widths;
    ``width`` is their sum, and each stage fills its own part of it, with zeros elsewhere: so a
    linear layer behind is a projection of its own for each stage. Pooled (B, width): the means of
    all stages side by side.

    Cites: lin-etal-2017-feature

    Args:
        network: a name of torchvision's, as for ``cnn``.
        weights: as for ``cnn``.
        size: height and width of what is cut out, in pixels.
        stages: how many, counted from the last.
        cells: height and width of each stage's grid.

    Raises:
        ConfigError: unknown network or weights; weights that can't be had or don't fit.
    """

    example: ClassVar[dict[str, Any]] = {"network": "squeezenet1_1", "weights": None, "size": 64}

    def __init__(
        self,
        *,
        network: str = "resnet50",
        weights: str | None = "DEFAULT",
        size: Annotated[int, Field(ge=64, le=1024)] = 224,
        stages: Annotated[int, Field(ge=1, le=8)] = 4,
        cells: Annotated[int, Field(ge=1, le=16)] = 2,
    ) -> None:
        super().__init__()
        self.size, self.short, self.cells = size, round(size * 256 / 224), cells
        self.stages = stages
        self.trunk = build_trunk(network, weights)
        self.trunk.eval()  # the probe is not to move the batch statistics
        with torch.no_grad():
            found = self._run(torch.zeros(1, 3, size, size))
        self.trunk.train()
        self.widths = tuple(stage.shape[1] for stage in found)
        self.width = sum(self.widths)
        self.regions = len(found) * cells**2

    @classmethod
    def loaded(cls, settings: Mapping[str, Any]) -> dict[str, str]:
        """The weights named in the settings, with their file's name or SHA-256."""
        return CNN.loaded(settings)

    def prepare(self, sample: Sample) -> Tensor | None:
        return read_picture(sample, self.size, self.short)

    def collate(self, rows: Sequence[Tensor | None]) -> Inputs:
        return collate_pictures(rows, (3, self.size, self.size))

    def forward(self, inputs: Inputs) -> View:
        return see(inputs, self.regions or 1, self.width, self._encode)

    def _encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        regions, means, before = [], [], 0
        for stage in self._run(normalise(pixels, *IMAGENET)):
            grid = nn.functional.adaptive_avg_pool2d(stage, self.cells).flatten(2).transpose(1, 2)
            after = self.width - before - grid.shape[2]
            regions.append(nn.functional.pad(grid, (before, after)))
            means.append(stage.mean(dim=(2, 3)))
            before += grid.shape[2]
        return torch.cat(regions, dim=1), torch.cat(means, dim=1)

    def _run(self, states: Tensor) -> list[Tensor]:
        """What the network computes last at each of its lowest resolutions, finest first."""
        found: list[Tensor] = []
        for module in _steps(self.trunk):
            states = module(states)
            if found and found[-1].shape[2:] == states.shape[2:]:
                found.pop()
            found.append(states)
        return found[-self.stages :]


def _steps(trunk: nn.Sequential) -> Iterator[nn.Module]:
    """The modules that run one after the other, in the longest of the chains too."""
    for module in trunk:
        if isinstance(module, nn.Sequential) and len(trunk) <= 2:
            yield from module
        else:
            yield module
