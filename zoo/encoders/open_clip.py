"""Vision towers of the open_clip collection: patches, or the cells of a grid, are the regions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from zoo.encoders.checkpoint import OPEN_CLIP, Need, digest_file
from zoo.encoders.hub import digest, fetch
from zoo.encoders.loading import strict
from zoo.encoders.pictures import collate_pictures, normalise, read_picture, see
from zoo.encoders.references import Name, note, stored
from zoo.encoders.trunks import Trunk
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
    refuse_foreign_text(model, open_clip.get_model_config(model) or {})
    if not pretrained:
        return {}
    said: dict[str, Any] = open_clip.get_pretrained_cfg(model, pretrained)
    if not said and not (stored(Name(pretrained)) or Path(pretrained)).is_file():
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise ConfigError(
            f"open_clip: {model} has no weights `{pretrained}`{near(pretrained, tags)}"
        )
    return said


def refuse_foreign_text(model: str, config: Mapping[str, Any]) -> None:
    """Raises ConfigError where a model's text tower is another model of the hub.

    open_clip makes that tower, which nobody needs here, from whatever the hub holds at the moment.
    """
    foreign = (config.get("text_cfg") or {}).get("hf_model_name")
    if foreign:
        raise ConfigError(
            f"open_clip: the text tower of {model} is {foreign}, which open_clip would take from "
            "the hub unverified; take a model whose towers are both of open_clip, like ViT-B-32"
        )


def _stored_config(folder: Path) -> Mapping[str, Any]:
    """What a model's folder says of its towers; nothing where open_clip will refuse it itself."""
    try:
        config = json.loads((folder / "open_clip_config.json").read_bytes())
        found = config.get("model_cfg", {})
    except (OSError, ValueError, AttributeError):
        return {}
    return found if isinstance(found, Mapping) else {}


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
    """open_clip's vision tower of that name, with all of its weights.

    Raises:
        ConfigError: unknown model or weights, or weights that can't be had or don't fit.
    """
    import open_clip

    said = describe(model, pretrained)
    name, file, quick, look = model, None, False, {}
    if model.startswith(SCHEMAS):
        scheme, _, place = model.partition(":")
        kept = stored(Name(place, revision))
        if scheme == "local-dir" and kept is None and not Path(place).is_dir():
            raise ConfigError(f"open_clip: {model}: no such folder")
        folder = fetch(place, OPEN_CLIP, revision)
        refuse_foreign_text(model, _stored_config(folder))
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
        return open_clip.create_model(
            name,
            pretrained=file,
            weights_only=True,
            pretrained_text=False,
            require_pretrained=name != model or file is not None,
            force_quick_gelu=quick,
            force_preprocess_cfg=look,
        ).visual


class Patches(nn.Module):
    """open_clip's own vision transformer, without the projection into the shared space."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        tower.proj = None
        tower.output_tokens = True
        self.tower = tower
        self.width: int = tower.ln_post.normalized_shape[0]
        self.regions: int = tower.grid_size[0] * tower.grid_size[1]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        pooled, patches = self.tower(pixels)
        return patches, pooled


class Grid(nn.Module):
    """CLIP's ResNet without its attention pooling, which ends in the shared space: the cells of the
    last grid, and their mean."""

    def __init__(self, tower: Any, size: int) -> None:
        super().__init__()
        self.width: int = tower.attnpool.c_proj.in_features
        self.regions = (size // 32) ** 2
        tower.attnpool = nn.Identity()
        self.tower = tower

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        cells = self.tower(pixels).flatten(2).transpose(1, 2)
        return cells, cells.mean(dim=1)


def opened(tower: Any, size: int, model: str) -> Patches | Grid | Trunk:
    """A tower as regions and a pooled vector. Raises ConfigError for one of another kind."""
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    if isinstance(tower, TimmModel):
        return Trunk(tower.trunk.eval(), size, f"open_clip: {model}")
    if isinstance(tower, ModifiedResNet):
        return Grid(tower, size)
    if isinstance(tower, VisionTransformer) and tower.attn_pool is None:
        return Patches(tower)
    raise ConfigError(
        f"open_clip: the vision tower of {model} pools by attention inside of its transformer, and "
        "has no patches to give; take one like ViT-B-32"
    )


@register("image_encoder", "open_clip")
class OpenCLIP(ImageEncoder):
    """A vision tower of open_clip; the patches, or the cells of its last grid, are the regions.

    It may be a vision transformer, CLIP's ResNet, or a network of timm (SigLIP, EVA, ConvNeXt).
    Regions (B, R, width): the last layer's states, after its final norm; pooled (B, width): the
    model's own pooling, before the projection into the space shared with texts. CLIP's ResNet pools
    into that space, so that its cells' mean stands for it.

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
    grid = True

    def __init__(
        self,
        *,
        model: str = "ViT-B-32",
        pretrained: str | None = None,
        revision: str | None = None,
    ) -> None:
        super().__init__()
        tower = build_tower(model, pretrained, revision)
        said: dict[str, Any] = tower.preprocess_cfg
        self.mean, self.std = tuple(said["mean"]), tuple(said["std"])
        self.resample = 2 if said["interpolation"] == "bilinear" else 3
        size = tower.image_size
        self.size: int = size if isinstance(size, int) else size[0]
        self.short = None if said["resize_mode"] == "squash" else self.size
        self.tower = opened(tower, self.size, model)
        self.width, self.regions = self.tower.width, self.tower.regions
        self.train()

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
        seen: tuple[Tensor, Tensor] = self.tower(normalise(pixels, self.mean, self.std))
        return seen
