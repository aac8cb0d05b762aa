"""Vision transformers of the open_clip collection: the patches are the regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from zoo.encoders.pictures import collate_pictures, normalise, read_picture, see
from zoo.errors import ConfigError, near
from zoo.parts import ImageEncoder
from zoo.registry import register
from zoo.types import Inputs, Sample, View

SCHEMAS = ("hf-hub:", "local-dir:")
"""open_clip's prefixes for a model that is not in its list, by where it lies."""


def build_tower(model: str, pretrained: str | None) -> Any:
    """open_clip's vision transformer of that name, without the projection into the shared space.

    Raises:
        ConfigError: unknown model or weights, weights that can't be had, or no plain transformer.
    """
    import open_clip
    from open_clip.transformer import VisionTransformer
    from safetensors import SafetensorError

    if not model.startswith(SCHEMAS):
        known = open_clip.list_models()
        if model not in known:
            raise ConfigError(f"open_clip: there is no model `{model}`{near(model, known)}")
        tags = open_clip.list_pretrained_tags_by_model(model)
        if pretrained and pretrained not in tags and not Path(pretrained).is_file():
            raise ConfigError(
                f"open_clip: {model} has no weights `{pretrained}`{near(pretrained, tags)}"
            )
    try:
        tower = open_clip.create_model(model, pretrained=pretrained).visual
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ConfigError(
            f"open_clip: {model} ({pretrained or 'no weights'}) can't be loaded: "
            f"{' '.join(str(error).split())[:300]}; give a local file as `pretrained`, or null"
        ) from error
    if not isinstance(tower, VisionTransformer) or tower.attn_pool is not None:
        raise ConfigError(
            f"open_clip: {model} has no plain vision transformer, and so no patches; "
            "take one like ViT-B-32"
        )
    tower.proj = None
    tower.output_tokens = True
    return tower


@register("image_encoder", "open_clip")
class OpenCLIP(ImageEncoder):
    """An open_clip vision transformer; the patches are the regions.

    Regions (B, patches, width): the last layer's states, after its final layer norm; pooled
    (B, width): the model's own pooling, before the projection into the space shared with texts.

    Cites: cherti-etal-2023-reproducible

    Args:
        model: a name of open_clip's, as ``ViT-B-32``; or ``hf-hub:NAME``, ``local-dir:FOLDER``.
        pretrained: a tag of open_clip's, as ``laion2b_s34b_b79k``, or a file; null: untrained (but
            ``hf-hub:`` and ``local-dir:`` bring their own weights).

    Raises:
        ConfigError: unknown model or weights, or weights that can't be had.
    """

    example: ClassVar[dict[str, Any]] = {"model": "ViT-S-32"}

    def __init__(self, *, model: str = "ViT-B-32", pretrained: str | None = None) -> None:
        super().__init__()
        self.tower = build_tower(model, pretrained)
        said: dict[str, Any] = self.tower.preprocess_cfg
        self.mean, self.std = tuple(said["mean"]), tuple(said["std"])
        self.resample = 2 if said["interpolation"] == "bilinear" else 3
        self.size: int = self.tower.image_size[0]
        self.short = None if said["resize_mode"] == "squash" else self.size
        self.width: int = self.tower.ln_post.normalized_shape[0]
        high, wide = self.tower.grid_size
        self.regions = high * wide

    def prepare(self, sample: Sample) -> Tensor | None:
        return read_picture(sample, self.size, self.short, self.resample)

    def collate(self, rows: Sequence[Tensor | None]) -> Inputs:
        return collate_pictures(rows, (3, self.size, self.size))

    def forward(self, inputs: Inputs) -> View:
        return see(inputs, self.regions or 1, self.width, self._encode)

    def _encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        pooled, patches = self.tower(normalise(pixels, self.mean, self.std))
        return patches, pooled
