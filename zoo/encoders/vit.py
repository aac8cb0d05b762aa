"""Vision transformers of the Hugging Face hub: class token and patches are the regions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from zoo.encoders.hub import load, locate
from zoo.encoders.pictures import collate_pictures, normalise, read_picture, see
from zoo.errors import ConfigError
from zoo.parts import ImageEncoder
from zoo.registry import register
from zoo.types import Inputs, Sample, View


class Family(NamedTuple):
    """What a family's pictures look like where the model does not say: mean and standard deviation
    of the colours, whether the centre is cut out, and Pillow's resampling filter."""

    loader: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: bool
    resample: int


_CLIP = Family(
    "CLIPVisionModel",
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
    crop=True,
    resample=3,
)
FAMILIES = {
    "clip": _CLIP,
    "clip_vision_model": _CLIP,
    "vit": Family("ViTModel", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), crop=False, resample=2),
}
"""By the ``model_type`` of a model's configuration."""


def read_preprocessor(model: str) -> dict[str, Any]:
    """The model's ``preprocessor_config.json``; empty where it has none. Raises ConfigError."""
    name, place = "preprocessor_config.json", locate(model)
    if Path(place).is_dir():
        file = Path(place) / name
        if not file.is_file():
            return {}
    else:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        found = try_to_load_from_cache(place, name)  # as with weights, the hub is not asked
        if found is None:
            try:
                found = hf_hub_download(place, name)
            except LocalEntryNotFoundError as error:
                raise ConfigError(
                    f"model `{model}`: {name} is not in the cache, and the hub can't be reached; "
                    "give a local folder"
                ) from error
            except EntryNotFoundError:
                return {}
        if not isinstance(found, str):
            return {}  # the hub said before that it has none
        file = Path(found)
    try:
        settings: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file}: no JSON ({error})") from error
    return settings


@register("image_encoder", "vit")
class ViT(ImageEncoder):
    """A vision transformer or CLIP's vision tower; class token and patches are the regions.

    Regions (B, 1 + patches, width): the last layer's normalised states, the class token first
    (CLIP's final layer norm, which CLIP itself applies to the class token only, is applied to all).

    Cites: dosovitskiy-etal-2021-image, radford-etal-2021-learning

    Args:
        model: a name on the Hugging Face hub or a local folder, of model type vit or clip.
        pooled: the class token, or the model's trained pooler over it (which only systems that use
            the pooled vector train).

    Raises:
        ConfigError: a model that can't be loaded, is of another type, or lacks a pooler.
    """

    example: ClassVar[dict[str, Any]] = {"model": "openai/clip-vit-base-patch32"}

    def __init__(self, *, model: str, pooled: Literal["class", "pooler"] = "class") -> None:
        super().__init__()
        import transformers

        config: Any = load(model, transformers.AutoConfig.from_pretrained)
        if config.model_type not in FAMILIES:
            raise ConfigError(
                f"vit: model `{model}` is of type {config.model_type}; there is: "
                f"{', '.join(FAMILIES)}"
            )
        family = FAMILIES[config.model_type]
        config = getattr(config, "vision_config", config)
        encoder, found = load(
            model,
            getattr(transformers, family.loader).from_pretrained,
            dtype=torch.float32,
            output_loading_info=True,
        )
        pooler = getattr(encoder, "pooler", None)
        if pooled == "pooler":
            if pooler is None or any("pooler" in key for key in found["missing_keys"]):
                raise ConfigError(
                    f"vit: model `{model}` has no trained pooler; set pooled to class"
                )
        elif pooler is not None:
            encoder.pooler = None  # it would never get a gradient
        self.model: nn.Module = encoder
        self.norm_all = hasattr(encoder, "post_layernorm")
        self.pooled = pooled
        self.width: int = config.hidden_size
        self.size: int = config.image_size
        self.regions = 1 + (config.image_size // config.patch_size) ** 2
        said = read_preprocessor(model)
        self.mean = tuple(said.get("image_mean", family.mean))
        self.std = tuple(said.get("image_std", family.std))
        self.resample: int = said.get("resample", family.resample)
        self.short: int | None = None
        if said.get("do_center_crop", family.crop):
            size = said.get("size", self.size)
            self.short = size.get("shortest_edge", self.size) if isinstance(size, dict) else size

    def prepare(self, sample: Sample) -> Tensor | None:
        return read_picture(sample, self.size, self.short, self.resample)

    def collate(self, rows: Sequence[Tensor | None]) -> Inputs:
        return collate_pictures(rows, (3, self.size, self.size))

    def forward(self, inputs: Inputs) -> View:
        return see(inputs, self.regions or 1, self.width, self._encode)

    def _encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        out = self.model(pixel_values=normalise(pixels, self.mean, self.std))
        if self.pooled == "pooler":
            return out.last_hidden_state, out.pooler_output
        states = out.last_hidden_state
        if self.norm_all:
            states = self.model.post_layernorm(states)  # type: ignore[operator]
        return states, states[:, 0]
