"""Convolutional networks from torchvision: the cells of the last stage's grid are the regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.encoders.pictures import IMAGENET, collate_pictures, normalise, read_picture, see
from zoo.errors import ConfigError, near
from zoo.parts import ImageEncoder
from zoo.registry import register
from zoo.types import Inputs, Sample, View

FAMILIES = (
    "alexnet",
    "convnext",
    "densenet",
    "efficientnet",
    "mnasnet",
    "mobilenet",
    "regnet",
    "resnet",
    "resnext",
    "shufflenet",
    "squeezenet",
    "vgg",
    "wide_resnet",
)
"""Networks that are a chain of stages, then pooling, then a classifier."""

HEADS = ("avgpool", "fc", "classifier")


def build_trunk(name: str, weights: str | None) -> nn.Sequential:
    """A torchvision network up to its last convolutional stage: (P, 3, H, W) to (P, D, h, w).

    Raises:
        ConfigError: unknown network or weights; weights that can't be downloaded.
    """
    from torchvision import models

    known = [n for n in models.list_models(module=models) if n.startswith(FAMILIES)]
    if name not in known:
        raise ConfigError(f"cnn: torchvision has no such network `{name}`{near(name, known)}")
    tags = [*models.get_model_weights(name).__members__, "DEFAULT"]
    if weights is not None and weights not in tags:
        raise ConfigError(f"cnn: {name} has no weights `{weights}`{near(weights, tags)}")
    try:
        network = models.get_model(name, weights=weights, progress=False)
    except (OSError, RuntimeError) as error:
        if weights is None:
            raise
        raise ConfigError(
            f"cnn: the weights {weights} of {name} can't be downloaded ({error}); put the file "
            "into $TORCH_HOME/hub/checkpoints, or set weights to null"
        ) from error
    trunk = nn.Sequential()
    for part, module in network.named_children():
        if part in HEADS:
            break
        trunk.add_module(part, module)
    if isinstance(network, models.DenseNet):
        trunk.add_module("relu", nn.ReLU())  # which DenseNet applies between stage and pooling
    return trunk


@register("image_encoder", "cnn")
class CNN(ImageEncoder):
    """A torchvision classification network; the cells of its last grid are the regions.

    Regions (B, h * w, width), row by row; pooled (B, width) is their mean. Pictures are resized to
    a shorter side of size * 256 / 224 pixels, and the centre is cut out.

    Cites: he-etal-2016-deep

    Args:
        network: a name of torchvision's, as ``resnet50``, ``vgg16``, ``efficientnet_b0``.
        weights: a name of torchvision's, as ``DEFAULT`` or ``IMAGENET1K_V2``; null: untrained.
        size: height and width of what is cut out, in pixels.

    Raises:
        ConfigError: unknown network or weights; weights that can't be downloaded.
    """

    example: ClassVar[dict[str, Any]] = {"network": "squeezenet1_1", "weights": None, "size": 64}

    def __init__(
        self,
        *,
        network: str = "resnet50",
        weights: str | None = "DEFAULT",
        size: Annotated[int, Field(ge=64, le=1024)] = 224,
    ) -> None:
        super().__init__()
        self.size, self.short = size, round(size * 256 / 224)
        self.trunk = build_trunk(network, weights)
        self.trunk.eval()  # the probe is not to move the batch statistics
        with torch.no_grad():
            _, self.width, high, wide = self.trunk(torch.zeros(1, 3, size, size)).shape
        self.trunk.train()
        self.regions = high * wide

    def prepare(self, sample: Sample) -> Tensor | None:
        return read_picture(sample, self.size, self.short)

    def collate(self, rows: Sequence[Tensor | None]) -> Inputs:
        return collate_pictures(rows, (3, self.size, self.size))

    def forward(self, inputs: Inputs) -> View:
        return see(inputs, self.regions or 1, self.width, self._encode)

    def _encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        cells = self.trunk(normalise(pixels, *IMAGENET)).flatten(2).transpose(1, 2)
        return cells, cells.mean(dim=1)
