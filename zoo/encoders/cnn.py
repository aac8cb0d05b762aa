"""Convolutional networks from torchvision: the cells of the last stage's grid are the regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import urlparse

import torch
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor, nn

from zoo.encoders.checkpoint import digest_file, one_line
from zoo.encoders.loading import strict
from zoo.encoders.pictures import IMAGENET, collate_pictures, normalise, read_picture, see
from zoo.encoders.references import Name, note, stored
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


def choose_weights(network: str, weights: str | None) -> Any:
    """What torchvision calls the weights of a ``cnn``; see :func:`weights_of`."""
    from torchvision import models

    return weights_of("cnn", models, FAMILIES, network, weights)


def weights_of(
    part: str, module: Any, families: tuple[str, ...], network: str, weights: str | None
) -> Any:
    """What torchvision calls these weights, or the path of a local file; None: untrained.

    Args:
        part: who asks, for messages.
        module: of torchvision's, whose networks may be asked for.
        families: how their names begin.

    Raises:
        ConfigError: unknown network or weights.
    """
    from torchvision import models

    known = [name for name in models.list_models(module=module) if name.startswith(families)]
    if network not in known:
        raise ConfigError(
            f"{part}: torchvision has no such network `{network}`{near(network, known)}"
        )
    if weights is None:
        return None
    tags = models.get_model_weights(network).__members__
    if weights in tags:
        return tags[weights]
    file = Path(weights).expanduser()
    if file.is_file():
        return file
    if file.suffix or "/" in weights:
        raise ConfigError(f"{part}: weights `{weights}`: no such file (of a network's state_dict)")
    raise ConfigError(f"{part}: {network} has no weights `{weights}`{near(weights, tags)}")


def known_by(chosen: Any, network: str, weights: str | None) -> dict[str, str]:
    """The chosen weights, with their file's name or SHA-256; nothing where there are none."""
    if chosen is None:
        return {}
    if isinstance(chosen, Path):
        return {str(weights): digest_file(chosen)}
    return {f"{network} {weights}": Path(urlparse(chosen.url).path).name}


def weights_file(weights: Any) -> Path:
    """The local file, or where torchvision's lies once it is downloaded."""
    if isinstance(weights, Path):
        return weights
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(weights.url).path).name


def read_weights(network: str, weights: Any) -> dict[str, Tensor]:
    """The tensors of a local file, or of torchvision's, downloaded once and checked by its hash.

    Nothing but tensors is read: a pickle that holds more is refused.

    Raises:
        ConfigError: the file can't be had, is another one than torchvision's, or can't be read.
    """
    file, expected = weights_file(weights), ""
    if not isinstance(weights, Path):
        expected = _hash_in(file.name)
        try:
            if not file.is_file():
                file.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(weights.url, str(file), expected, progress=False)
        except (OSError, RuntimeError) as error:
            raise ConfigError(
                f"cnn: the weights {weights.name} of {network} can't be downloaded "
                f"({one_line(error)}); put the file into {file.parent}, or set weights to null"
            ) from error
        if not digest_file(file).startswith(expected):
            raise ConfigError(
                f"cnn: {file} is not the file that torchvision names (its SHA-256 does not begin "
                f"with {expected}); delete it, and it is downloaded again"
            )
    with strict(f"cnn: {file} can't be loaded"):
        read = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
    if not isinstance(read, Mapping) or not all(isinstance(v, Tensor) for v in read.values()):
        raise ConfigError(f"cnn: {file} can't be loaded: it holds no state_dict of tensors")
    return dict(read)


def _hash_in(name: str) -> str:
    """The first digits of the SHA-256 that torchvision puts into a file's name."""
    return Path(name).stem.rpartition("-")[2]


def build_trunk(name: str, weights: str | None) -> nn.Sequential:
    """A torchvision network up to its last convolutional stage: (P, 3, H, W) to (P, D, h, w).

    Raises:
        ConfigError: unknown network or weights; weights that can't be had or don't fit.
    """
    from torchvision import models

    known = Name(f"{name} {weights}")
    chosen = stored(known) or choose_weights(name, weights)
    network = models.get_model(name, weights=None)
    if chosen is not None:
        tensors = read_weights(name, chosen)
        note(known, weights_file(chosen))
        with strict(f"cnn: {name} can't take the weights {weights}"):
            network.load_state_dict(tensors)
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
        weights: a name of torchvision's, as ``DEFAULT`` or ``IMAGENET1K_V2``; or a file with the
            whole network's state_dict; null: untrained.
        size: height and width of what is cut out, in pixels.

    Raises:
        ConfigError: unknown network or weights; weights that can't be had or don't fit.
    """

    example: ClassVar[dict[str, Any]] = {"network": "squeezenet1_1", "weights": None, "size": 64}
    grid = True

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

    @classmethod
    def loaded(cls, settings: Mapping[str, Any]) -> dict[str, str]:
        """The weights named in the settings, with their file's name or SHA-256."""
        network, weights = settings.get("network", "resnet50"), settings.get("weights", "DEFAULT")
        return known_by(choose_weights(network, weights), network, weights)

    def prepare(self, sample: Sample) -> Tensor | None:
        return read_picture(sample, self.size, self.short)

    def collate(self, rows: Sequence[Tensor | None]) -> Inputs:
        return collate_pictures(rows, (3, self.size, self.size))

    def forward(self, inputs: Inputs) -> View:
        return see(inputs, self.regions or 1, self.width, self._encode)

    def _encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        cells = self.trunk(normalise(pixels, *IMAGENET)).flatten(2).transpose(1, 2)
        return cells, cells.mean(dim=1)
