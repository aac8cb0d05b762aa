"""Networks of the timm collection: convolutional networks and vision transformers, over a thousand.

What timm reads of a file is read here first, so that no pickle runs code, and every weight of the
network, its classifier included, has to be in the file before the classifier is taken away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor

from zoo.encoders.checkpoint import Need, choose_weights, digest_file, one_line
from zoo.encoders.hub import digest, fetch, locate
from zoo.encoders.loading import strict
from zoo.encoders.pictures import collate_pictures, normalise, read_picture, see
from zoo.encoders.references import Name, note, stored
from zoo.encoders.trunks import Trunk
from zoo.errors import ConfigError, near
from zoo.parts import ImageEncoder
from zoo.registry import register
from zoo.types import Inputs, Sample, View

HUB = "hf-hub:"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
FOLDER = Need("config.json", _WEIGHTS)
"""A model as timm stores it."""

FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}
"""Pillow's numbers by timm's names."""


def named_weights(model: str) -> tuple[str, Need]:
    """Where the hub has the weights of a network of timm's. Raises ConfigError."""
    import timm

    said = timm.get_pretrained_cfg(model)
    where = said and said.hf_hub_id
    if not where:
        tags = timm.list_pretrained(f"{model.partition('.')[0]}*")
        beside = f"; with weights there are {', '.join(tags[:4])}" if tags else ""
        raise ConfigError(
            f"timm: the hub has no weights of {model}; write `weights: false` or a file{beside}"
        )
    names = (said.hf_hub_filename,) if said.hf_hub_filename else _WEIGHTS
    return where, Need(None, names)


def check_name(model: str) -> None:
    """Raises ConfigError where timm has no such network."""
    import timm

    name, _, tag = model.partition(".")
    if not timm.is_model(name):
        raise ConfigError(f"timm: there is no network `{model}`{near(name, timm.list_models())}")
    tags = timm.list_pretrained(f"{name}.*")
    if tag and model not in tags:
        raise ConfigError(f"timm: {name} has no weights `{tag}`{near(model, tags)}")


def is_folder(model: str) -> bool:
    """Whether a model is described by a ``config.json``, and not by timm's list."""
    import timm

    return model.startswith(HUB) or (
        not timm.is_model(model.partition(".")[0]) and locate(model) is not None
    )


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The state_dict in a file; nothing but tensors is read. Raises ConfigError."""
    with strict(f"timm: {file} can't be loaded"):
        read = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
    for key in ("state_dict", "model"):
        read = read[key] if isinstance(read, Mapping) and key in read else read
    tensors = isinstance(read, Mapping) and all(isinstance(v, Tensor) for v in read.values())
    if not read or not tensors:  # timm would take its own weights for none
        raise ConfigError(f"timm: {file} can't be loaded: it holds no state_dict of tensors")
    return dict(read)


def build_network(
    model: str, weights: bool | str, revision: str | None = None, size: int | None = None
) -> Any:
    """A network of timm with its weights, in eval mode, without its classifier.

    Raises:
        ConfigError: no such network; weights that can't be had or don't fit.
    """
    import timm

    about: dict[str, Any] = {}
    file: Path | None = None
    name = model
    if is_folder(model):
        folder = fetch(model.removeprefix(HUB), FOLDER, revision)
        name, about = read_config(model, folder)
        if weights is True:
            names = {path.name for path in folder.iterdir()}
            file = folder / choose_weights(names, FOLDER, model, f"{folder} has")
    else:
        check_name(model)
        if weights is True:
            where, need = named_weights(model)
            folder = fetch(where, need, revision)
            file = next(folder / each for each in need.weights if (folder / each).is_file())
    if isinstance(weights, str):
        known = Name(weights)
        file = stored(known) or Path(weights).expanduser()
        if not file.is_file():
            raise ConfigError(f"timm: weights `{weights}`: no such file (of a state_dict)")
        note(known, file)
    if size is not None and getattr(timm.get_pretrained_cfg(name), "fixed_input_size", False):
        about["img_size"] = size
    if file is not None:
        given = {"state_dict": read_tensors(file), "custom_load": False}
        about |= {"pretrained": True, "pretrained_cfg_overlay": given}
    with strict(f"timm: {model} ({file or 'untrained'}) can't be built"):
        network = timm.create_model(name, **about).eval()
        network.reset_classifier(0)
    return network


def read_config(model: str, folder: Path) -> tuple[str, dict[str, Any]]:
    """The name of a network and the arguments that make it, from ``config.json``.

    Raises:
        ConfigError: the file is no description of a network of timm.
    """
    import timm

    file = folder / "config.json"
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        name, looks = said["architecture"], dict(said.get("pretrained_cfg") or said)
        more = dict(said.get("model_args") or {})
        classes = said.get("num_classes", looks.get("num_classes", 1000))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(f"timm: {file} describes no network ({one_line(error)})") from error
    if not isinstance(name, str) or not timm.is_model(name):
        raise ConfigError(
            f"timm: model `{model}` is a `{str(name)[:80]}`, which the installed timm does not have"
        )
    looks = {key: tuple(v) if isinstance(v, list) else v for key, v in looks.items()}
    known = set(timm.models.PretrainedCfg.__dataclass_fields__) - {"url", "file", "state_dict"}
    looks = {key: value for key, value in looks.items() if key in known}
    looks |= {"architecture": name, "num_classes": classes}
    return name, {"pretrained_cfg": looks, "num_classes": classes, **more}


@register("image_encoder", "timm")
class Timm(ImageEncoder):
    """Any network of timm; the cells of its last grid, or its patches, are the regions.

    Regions (B, R, width): row by row, without class tokens and registers. Pooled (B, width): the
    network's own pooling before its classifier; where that has another width than the regions,
    their mean. Pictures are prepared as the network says.

    Cites: wightman-2019-pytorch

    Args:
        model: a name of timm's, as ``resnet50`` or ``vit_small_patch14_dinov2.lvd142m``;
            ``hf-hub:NAME``; a folder with ``config.json`` as timm stores it; or
            ``efficientnet-lite0``.
        weights: whether to load the weights that belong to the model; or a file with a state_dict
            of the whole network.
        revision: of weights on the hub: a commit, branch or tag.
        size: height and width of the pictures in pixels, where not the network's own.

    Raises:
        ConfigError: no such network; weights that can't be had or don't fit; a network whose
            features are no grid and no sequence.
    """

    example: ClassVar[dict[str, Any]] = {"model": "test_efficientnet", "weights": False, "size": 64}
    grid = True

    def __init__(
        self,
        *,
        model: str,
        weights: bool | str = True,
        revision: str | None = None,
        size: Annotated[int, Field(ge=32, le=1024)] | None = None,
    ) -> None:
        super().__init__()
        from timm.data import resolve_data_config

        network = build_network(model, weights, revision, size)
        says = resolve_data_config({}, model=network)
        self.size: int = size or max(says["input_size"][1:])
        self.mean, self.std = tuple(says["mean"]), tuple(says["std"])
        self.resample = FILTERS.get(says["interpolation"], FILTERS["bicubic"])
        whole = says.get("crop_mode") == "squash"
        self.short = None if whole else int(self.size / says["crop_pct"])
        self.trunk = Trunk(network, self.size, f"timm: {model}")
        self.regions, self.width = self.trunk.regions, self.trunk.width
        self.train()

    @classmethod
    def loaded(cls, settings: Mapping[str, Any]) -> dict[str, str]:
        """What the weights and the description named in the settings are known by."""
        model, weights = settings["model"], settings.get("weights", True)
        revision = settings.get("revision")
        found: dict[str, str] = {}
        if is_folder(model):
            found[model] = digest(model.removeprefix(HUB), FOLDER, revision)
        elif weights is True:
            check_name(model)
            found[f"timm {model}"] = digest(*named_weights(model), revision)
        if isinstance(weights, str):
            file = Path(weights).expanduser()
            if not file.is_file():
                raise ConfigError(f"timm: weights `{weights}`: no such file (of a state_dict)")
            found[weights] = digest_file(file)
        return found

    def prepare(self, sample: Sample) -> Tensor | None:
        return read_picture(sample, self.size, self.short, self.resample)

    def collate(self, rows: Sequence[Tensor | None]) -> Inputs:
        return collate_pictures(rows, (3, self.size, self.size))

    def forward(self, inputs: Inputs) -> View:
        return see(inputs, self.regions or 1, self.width, self._encode)

    def _encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        seen: tuple[Tensor, Tensor] = self.trunk(normalise(pixels, self.mean, self.std))
        return seen
