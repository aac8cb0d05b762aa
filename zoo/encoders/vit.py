"""Vision transformers of the Hugging Face hub: class token and patches are the regions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor

from zoo.encoders.checkpoint import IMAGE, one_line
from zoo.encoders.hub import digest, fetch
from zoo.encoders.loading import load_config, load_model
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


def read_preprocessor(folder: Path) -> dict[str, Any]:
    """What the model says of its pictures; empty where it says nothing.

    ``processor_config.json`` with a section on pictures goes before ``preprocessor_config.json``,
    as in ``transformers``. Raises ConfigError.
    """
    whole = _read_json(folder / "processor_config.json")
    said = whole.get("image_processor")
    return said if isinstance(said, dict) else _read_json(folder / "preprocessor_config.json")


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: can't be read as JSON ({one_line(error)})") from error
    if not isinstance(said, dict):
        raise ConfigError(f"{file}: must hold a mapping, not {said!r:.40}")
    return said


@register("image_encoder", "vit")
class ViT(ImageEncoder):
    """A vision transformer or CLIP's vision tower; class token and patches are the regions.

    Regions (B, 1 + patches, width): the last layer's normalised states, the class token first
    (CLIP's final layer norm, which CLIP itself applies to the class token only, is applied to all).

    Cites: dosovitskiy-etal-2021-image, radford-etal-2021-learning

    Args:
        model: a name on the Hugging Face hub or a local folder, of model type vit or clip.
        revision: of a model on the hub: a commit, branch or tag. Without it what the cache holds
            as ``main`` is taken if it is complete, else what the hub has.
        pooled: the class token, or the model's trained pooler over it (which only systems that use
            the pooled vector train).

    Raises:
        ConfigError: a model that can't be loaded, is of another type, or lacks a pooler.
    """

    example: ClassVar[dict[str, Any]] = {"model": "openai/clip-vit-base-patch32"}

    def __init__(
        self,
        *,
        model: str,
        revision: str | None = None,
        pooled: Literal["class", "pooler"] = "class",
    ) -> None:
        super().__init__()
        import transformers

        folder = fetch(model, IMAGE, revision)
        config = load_config(model, folder)
        if config.model_type not in FAMILIES:
            raise ConfigError(
                f"vit: model `{model}` is of type {config.model_type}; available: "
                f"{', '.join(FAMILIES)}"
            )
        family = FAMILIES[config.model_type]
        config = getattr(config, "vision_config", config)
        encoder = load_model(
            model,
            folder,
            getattr(transformers, family.loader),
            pooled == "pooler",
            "set pooled to class",
        )
        self.model = encoder
        self.norm_all = hasattr(encoder, "post_layernorm")
        self.pooled = pooled
        self.width: int = config.hidden_size
        self.size: int = config.image_size
        self.regions = 1 + (config.image_size // config.patch_size) ** 2
        said = read_preprocessor(folder)
        self.mean = tuple(said.get("image_mean", family.mean))
        self.std = tuple(said.get("image_std", family.std))
        self.resample: int = said.get("resample", family.resample)
        self.short: int | None = None
        if said.get("do_center_crop", family.crop):
            size = said.get("size", self.size)
            self.short = size.get("shortest_edge", self.size) if isinstance(size, dict) else size

    @classmethod
    def loaded(cls, settings: Mapping[str, Any]) -> dict[str, str]:
        """What the model named in the settings is known by, without loading it."""
        model = settings["model"]
        return {model: digest(model, IMAGE, settings.get("revision"))}

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
