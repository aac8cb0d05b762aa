"""Vision transformers of the open_clip collection: the patches are the regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from zoo.encoders.checkpoint import OPEN_CLIP, Need, digest_file
from zoo.encoders.hub import digest, fetch
from zoo.encoders.loading import strict
from zoo.encoders.pictures import collate_pictures, normalise, read_picture, see
from zoo.encoders.references import Name, note, stored
from zoo.errors import ConfigError, near
from zoo.parts import ImageEncoder
from zoo.registry import register
from zoo.types import Inputs, Sample, View

SCHEMAS = ("hf-hub:", "local-dir:")
"""open_clip's prefixes for a model that is not in its list, by where it lies."""


LOOK = ("mean", "std", "interpolation", "resize_mode")
"""What a tag says of its pictures."""


def describe(model: str, pretrained: str | None) -> dict[str, Any]:
    """What open_clip knows of the weights with that tag; empty for a file or none.

    Raises:
        ConfigError: unknown model or weights.
    """
    import open_clip

    if model.startswith(SCHEMAS):
        if pretrained:
            raise ConfigError(
                f"open_clip: {model} brings its own weights; leave out `pretrained: {pretrained}`"
            )
        return {}
    known = open_clip.list_models()
    if model not in known:
        raise ConfigError(f"open_clip: there is no model `{model}`{near(model, known)}")
    if not pretrained:
        return {}
    said: dict[str, Any] = open_clip.get_pretrained_cfg(model, pretrained)
    if not said and not (stored(Name(pretrained)) or Path(pretrained)).is_file():
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise ConfigError(
            f"open_clip: {model} has no weights `{pretrained}`{near(pretrained, tags)}"
        )
    return said


def weights_on_hub(said: Mapping[str, Any]) -> tuple[str, Need] | None:
    """The repository and the file of a tag's weights; None where they are not on the hub."""
    name, _, file = str(said.get("hf_hub") or "").rpartition("/")
    if not name:
        return None
    names = (f"{Path(file).stem}.safetensors", file) if file else OPEN_CLIP.weights
    return name, Need(None, tuple(dict.fromkeys(names)))


def get_weights(model: str, pretrained: str, said: Mapping[str, Any], revision: str | None) -> Path:
    """The file with the weights of a tag, or the file named itself. Raises ConfigError."""
    from open_clip.pretrained import download_pretrained_from_url

    name = Name(f"{model} {pretrained}" if said else pretrained)
    file = stored(name)
    if not said or file is not None:
        file = file or Path(pretrained)
        note(name, file)
        return file
    hub = weights_on_hub(said)
    if hub:
        folder = fetch(hub[0], hub[1], revision)
        return next(folder / name for name in hub[1].weights if (folder / name).is_file())
    with strict(f"open_clip: the weights {pretrained} of {model} can't be downloaded"):
        file = Path(download_pretrained_from_url(said["url"]))
        note(name, file)
        return file


def build_tower(model: str, pretrained: str | None, revision: str | None = None) -> Any:
    """open_clip's vision transformer of that name, without the projection into the shared space.

    Raises:
        ConfigError: unknown model or weights, weights that can't be had or don't fit, or no plain
            transformer.
    """
    import open_clip
    from open_clip.transformer import VisionTransformer

    said = describe(model, pretrained)
    name, file, quick, look = model, None, False, {}
    if model.startswith(SCHEMAS):
        scheme, _, place = model.partition(":")
        kept = stored(Name(place, revision))
        if scheme == "local-dir" and kept is None and not Path(place).is_dir():
            raise ConfigError(f"open_clip: {model}: no such folder")
        folder = fetch(place, OPEN_CLIP, revision)
        name = f"local-dir:{folder}"
    elif pretrained:
        file = str(get_weights(model, pretrained, said, revision))
        quick = bool(said.get("quick_gelu"))
        look = {key: said[key] for key in LOOK if key in said}
        if said and not quick and open_clip.get_model_config(model).get("quick_gelu"):
            raise ConfigError(
                f"open_clip: {model} computes with QuickGELU, and its weights {pretrained} were "
                f"trained without; take {model.removesuffix('-quickgelu')}"
            )
    with strict(f"open_clip: {model} ({pretrained or 'no tag'}) can't be loaded"):
        tower = open_clip.create_model(
            name,
            pretrained=file,
            weights_only=True,
            pretrained_text=False,
            require_pretrained=name != model or file is not None,
            force_quick_gelu=quick,
            force_preprocess_cfg=look,
        ).visual
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
            ``hf-hub:`` and ``local-dir:`` bring their own weights). With a tag of weights that were
            trained with QuickGELU, the model computes with QuickGELU.
        revision: of a model or of weights on the hub: a commit, branch or tag. Without it what the
            cache holds as ``main`` is taken if it is complete, else what the hub has.

    Raises:
        ConfigError: unknown model or weights, or weights that can't be had or don't fit.
    """

    example: ClassVar[dict[str, Any]] = {"model": "ViT-S-32"}

    def __init__(
        self,
        *,
        model: str = "ViT-B-32",
        pretrained: str | None = None,
        revision: str | None = None,
    ) -> None:
        super().__init__()
        self.tower = build_tower(model, pretrained, revision)
        said: dict[str, Any] = self.tower.preprocess_cfg
        self.mean, self.std = tuple(said["mean"]), tuple(said["std"])
        self.resample = 2 if said["interpolation"] == "bilinear" else 3
        self.size: int = self.tower.image_size[0]
        self.short = None if said["resize_mode"] == "squash" else self.size
        self.width: int = self.tower.ln_post.normalized_shape[0]
        high, wide = self.tower.grid_size
        self.regions = high * wide

    @classmethod
    def loaded(cls, settings: Mapping[str, Any]) -> dict[str, str]:
        """What the weights named in the settings are known by, without loading them."""
        model, pretrained = settings.get("model", "ViT-B-32"), settings.get("pretrained")
        revision = settings.get("revision")
        said = describe(model, pretrained)
        if model.startswith(SCHEMAS):
            return {model: digest(model.partition(":")[2], OPEN_CLIP, revision)}
        if not pretrained:
            return {}
        if not said:
            return {pretrained: digest_file(Path(pretrained))}
        hub = weights_on_hub(said)
        known = digest(*hub, revision) if hub else "/".join(said["url"].split("/")[-2:])
        return {f"{model} {pretrained}": known}

    def prepare(self, sample: Sample) -> Tensor | None:
        return read_picture(sample, self.size, self.short, self.resample)

    def collate(self, rows: Sequence[Tensor | None]) -> Inputs:
        return collate_pictures(rows, (3, self.size, self.size))

    def forward(self, inputs: Inputs) -> View:
        return see(inputs, self.regions or 1, self.width, self._encode)

    def _encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        pooled, patches = self.tower(normalise(pixels, self.mean, self.std))
        return patches, pooled
