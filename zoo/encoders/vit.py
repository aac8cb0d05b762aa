"""Vision models of the Hugging Face hub: class token and patches are the regions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from zoo.encoders.checkpoint import IMAGE, one_line
from zoo.encoders.hub import digest, fetch
from zoo.encoders.loading import freeze_unreached, load_config, load_model, strict
from zoo.encoders.pictures import IMAGENET, collate_pictures, normalise, read_picture, see
from zoo.errors import ConfigError
from zoo.parts import ImageEncoder
from zoo.registry import register
from zoo.types import Inputs, Sample, View


class Family(NamedTuple):
    """What is known of a family of models.

    ``loader`` is the class of ``transformers``. Then what its pictures look like where the model
    does not say: mean and standard deviation of the colours, whether the centre is cut out, and
    Pillow's resampling filter. ``first`` says whether a class token comes first, ``pooled`` what
    ``pooled: class`` means; ``skip`` names the setting that counts the tokens behind the class
    token that are no patches, or counts them. ``free``: it reads pictures of the size that its
    preprocessor makes; otherwise of that in its configuration. ``norm`` is a norm that its last
    states still lack.
    """

    loader: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: bool
    resample: int
    first: bool = True
    pooled: Literal["class", "mean", "own"] = "class"
    skip: str | int = 0
    free: bool = False
    norm: str | None = None
    squeezed: int | None = None


_HALF = (0.5, 0.5, 0.5)
_CLIP = Family(
    "CLIPVisionModel",
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
    crop=True,
    resample=3,
    norm="post_layernorm",
)
_SIGLIP = Family(
    "SiglipVisionModel", _HALF, _HALF, crop=False, resample=3, first=False, pooled="mean"
)
_SIGLIP2 = _SIGLIP._replace(loader="Siglip2VisionModel", resample=2)
_DINO2 = Family("Dinov2Model", *IMAGENET, crop=True, resample=3, free=True)
_DINO3 = Family("DINOv3ViTModel", *IMAGENET, crop=False, resample=2, free=True)
_SWIN = Family("SwinModel", *IMAGENET, crop=False, resample=3, first=False, pooled="mean")
_CONVNEXT = Family(
    "ConvNextModel",
    *IMAGENET,
    crop=True,
    resample=3,
    first=False,
    pooled="own",
    free=True,
    norm="layernorm",
    squeezed=384,
)
FAMILIES = {
    "clip": _CLIP,
    "clip_vision_model": _CLIP,
    "vit": Family("ViTModel", _HALF, _HALF, crop=False, resample=2),
    "siglip": _SIGLIP,
    "siglip_vision_model": _SIGLIP,
    "siglip2": _SIGLIP2,
    "siglip2_vision_model": _SIGLIP2,
    "dinov2": _DINO2,
    "dinov2_with_registers": _DINO2._replace(
        loader="Dinov2WithRegistersModel", skip="num_register_tokens"
    ),
    "dinov3_vit": _DINO3._replace(skip="num_register_tokens"),
    "dinov3_convnext": _DINO3._replace(loader="DINOv3ConvNextModel"),
    "swin": _SWIN,
    "swinv2": _SWIN._replace(loader="Swinv2Model"),
    "convnext": _CONVNEXT,
    "convnextv2": _CONVNEXT._replace(loader="ConvNextV2Model"),
    "deit": Family("DeiTModel", *IMAGENET, crop=True, resample=3, skip=1),
    "beit": Family("BeitModel", _HALF, _HALF, crop=True, resample=2),
}
"""By the ``model_type`` of a model's configuration."""


Side = Annotated[int, Field(ge=1, le=4096)]
Finite = Annotated[float, Field(ge=-10, le=10)]
Positive = Annotated[float, Field(gt=0, le=10)]


class Preprocessor(BaseModel):
    """What a model says of its pictures; None where it says nothing."""

    model_config = ConfigDict(strict=True)

    size: Side | dict[str, Side | None] | None = None
    crop_size: Side | dict[str, Side | None] | None = None
    crop_pct: Annotated[float, Field(gt=0, le=1)] | None = None
    do_center_crop: bool | None = None
    resample: Annotated[int, Field(ge=0, le=5)] | None = None
    image_mean: Annotated[list[Finite], Field(min_length=3, max_length=3)] | None = None
    image_std: Annotated[list[Positive], Field(min_length=3, max_length=3)] | None = None
    do_normalize: bool | None = None
    do_resize: Literal[True] | None = None
    do_rescale: Literal[True] | None = None
    do_pad: Literal[False] | None = None
    rescale_factor: Annotated[float, Field(gt=0.99 / 255, lt=1.01 / 255)] | None = None

    def colours(self, family: Family) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of the colours."""
        if self.do_normalize is False:
            return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        return tuple(self.image_mean or family.mean), tuple(self.image_std or family.std)

    def whole_side(self, size: int) -> int:
        """The shorter side of the pictures that the centre is cut out of, in pixels."""
        asked = _side(self.size, "shortest_edge", "height") or size
        return max(size, int(size / self.crop_pct) if self.crop_pct else asked)

    def own_size(self, otherwise: int, crop: bool) -> int:
        """Height and width of the pictures that the model's preprocessor makes, in pixels."""
        cut = _side(self.crop_size, "height", "shortest_edge") if crop else None
        return cut or _side(self.size, "height", "shortest_edge") or otherwise


def _side(said: int | Mapping[str, int | None] | None, *names: str) -> int | None:
    """The first of the sides that a size names; the size itself where it is a number."""
    if isinstance(said, Mapping):
        return next((side for name in names if (side := said.get(name))), None)
    return said


def read_preprocessor(folder: Path) -> Preprocessor:
    """What the model says of its pictures.

    ``processor_config.json`` with a section on pictures goes before ``preprocessor_config.json``,
    as in ``transformers``.

    Raises:
        ConfigError: a file is damaged, or asks for what is not done here.
    """
    file = folder / "processor_config.json"
    said = _read_json(file).get("image_processor")
    if not isinstance(said, dict):
        file = folder / "preprocessor_config.json"
        said = _read_json(file)
    try:
        read = Preprocessor.model_validate(said)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise _unlike(file, name, said[name]) from error
    for name in ("size", "crop_size"):
        sides = getattr(read, name)
        if isinstance(sides, dict):
            high, wide = sides.get("height"), sides.get("width")
            if not _side(sides, "height", "shortest_edge") or (high and wide and high != wide):
                raise _unlike(file, name, said[name])
    return read


def _unlike(file: Path, name: str, said: Any) -> ConfigError:
    return ConfigError(
        f"{file}: `{name}` is {said!r:.60}; pictures can't be prepared so, and the model would "
        "see others than it was trained with; correct it, or take another model"
    )


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: can't be read as JSON ({one_line(error)})") from error
    if not isinstance(said, dict):
        raise ConfigError(f"{file}: must hold a mapping, not {said!r:.40}")
    return said


@register("image_encoder", "vit")
class ViT(ImageEncoder):
    """A vision model of ``transformers``; class token, if any, and patches are the regions.

    It may be a vision transformer, the vision tower of CLIP, SigLIP or SigLIP 2, DINOv2, DINOv3,
    Swin, ConvNeXt, DeiT or BEiT. Regions (B, R, width): the last layer's normalised states, the
    class token first, without registers and distillation token (a final norm that the model itself
    applies to its pooled vector only, as CLIP and ConvNeXt do, is applied to all). SigLIP 2 with
    flexible resolution reads squares of as many patches as it has positions.

    Cites: dosovitskiy-etal-2021-image, radford-etal-2021-learning

    Args:
        model: a name on the Hugging Face hub or a local folder, of a model of these families.
        revision: of a model on the hub: a commit, branch or tag. Without it what the cache holds
            as ``main`` is taken if it is complete, else what the hub has.
        pooled: the class token (in a model without one the mean of the patches; ConvNeXt has a
            pooling of its own), or the model's trained pooler (which only systems that use the
            pooled vector train).

    Raises:
        ConfigError: a model that can't be loaded, is of another type, or lacks a pooler.
    """

    example: ClassVar[dict[str, Any]] = {"model": "openai/clip-vit-base-patch32"}
    grid = True

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
        headed = bool(getattr(config, "vision_use_head", False))
        self.model = load_model(
            model,
            folder,
            getattr(transformers, family.loader),
            pooled == "pooler" and not headed,
            "set pooled to class",
        )
        self.pooled = "own" if pooled == "pooler" else family.pooled
        self.first, self.norm = family.first, family.norm
        skip = getattr(config, family.skip) if isinstance(family.skip, str) else family.skip
        self.skip = int(skip)
        said = read_preprocessor(folder)
        self.mean, self.std = said.colours(family)
        self.resample = family.resample if said.resample is None else said.resample
        crop = family.crop if said.do_center_crop is None else said.do_center_crop
        self.patch: int | None = None
        if hasattr(config, "num_patches"):  # SigLIP 2 reads patches
            self.patch = config.patch_size
            self.size: int = math.isqrt(config.num_patches) * config.patch_size
        else:
            own = said.own_size(config.image_size, crop)
            self.size = own if family.free else config.image_size
            if family.squeezed and self.size >= family.squeezed and not said.do_center_crop:
                crop = False  # from that size on its processor squeezes the whole picture
        self.short = said.whole_side(self.size) if crop else None
        self.model.eval()
        with strict(f"vit: model `{model}` can't read pictures of {self.size} pixels"):
            regions, summary = self._encode(torch.zeros(1, 3, self.size, self.size))
        self.regions, self.width = regions.shape[1:]
        freeze_unreached(self.model, regions, summary)
        self.model.train()

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
        pixels = normalise(pixels, self.mean, self.std)
        out = self.model(
            **(_patches(pixels, self.patch) if self.patch else {"pixel_values": pixels})
        )
        states: Tensor = out.last_hidden_state
        if states.ndim == 4:
            states = states.flatten(2).transpose(1, 2)
        if self.norm:
            states = getattr(self.model, self.norm)(states)
        if self.skip:
            states = torch.cat([states[:, :1], states[:, 1 + self.skip :]], dim=1)
        if self.pooled == "own":
            return states, out.pooler_output
        return states, states[:, 0] if self.pooled == "class" else states.mean(dim=1)


def _patches(pixels: Tensor, size: int) -> dict[str, Tensor]:
    """Pictures (P, 3, H, W) as SigLIP 2 reads them: patches (P, N, size * size * 3), row by row,
    a mask of the real ones, and how many there are in each direction."""
    count, colours, height, width = pixels.shape
    high, wide = height // size, width // size
    cut = pixels.view(count, colours, high, size, wide, size).permute(0, 2, 4, 3, 5, 1)
    shape = torch.tensor([[high, wide]], device=pixels.device).expand(count, 2)
    return {
        "pixel_values": cut.reshape(count, high * wide, size * size * colours),
        "pixel_attention_mask": pixels.new_ones(count, high * wide, dtype=torch.long),
        "spatial_shapes": shape,
    }
