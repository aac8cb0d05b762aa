"""Image encoders over tiny random checkpoints of every family that they take."""

from __future__ import annotations

import io
import json
import random
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from zoo.encoders.open_clip import OpenCLIP
from zoo.encoders.timm import Timm
from zoo.encoders.vit import ViT
from zoo.errors import ConfigError
from zoo.parts import ImageEncoder
from zoo.types import Picture, Sample, View

SIZE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
SQUARE = {"image_size": 32, "patch_size": 8, **SIZE}
STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2}
TEXT = {"vocab_size": 20, "max_position_embeddings": 8, **SIZE}
HIERARCHY = {
    "image_size": 32,
    "patch_size": 4,
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 4,
}
SIGLIP2 = {"patch_size": 8, "num_patches": 16, **SIZE}
# By family: the class of transformers, its configuration, and the regions of the encoder.
MODELS: dict[str, tuple[str, dict[str, Any], int]] = {
    "siglip_vision_model": ("SiglipVisionModel", SQUARE, 16),
    "siglip": ("SiglipModel", {"text_config": TEXT, "vision_config": SQUARE}, 16),
    "siglip2_vision_model": ("Siglip2VisionModel", SIGLIP2, 16),
    "siglip2": ("Siglip2Model", {"text_config": TEXT, "vision_config": SIGLIP2}, 16),
    "clip": ("CLIPModel", {"text_config": TEXT, "vision_config": SQUARE}, 17),
    "clip_vision_model": ("CLIPVisionModel", SQUARE, 17),
    "vit": ("ViTModel", SQUARE, 17),
    "dinov2": ("Dinov2Model", SQUARE, 17),
    "dinov2_with_registers": (
        "Dinov2WithRegistersModel",
        {**SQUARE, "num_register_tokens": 3},
        17,
    ),
    "dinov3_vit": ("DINOv3ViTModel", {**SQUARE, "num_register_tokens": 3}, 17),
    "dinov3_convnext": (
        "DINOv3ConvNextModel",
        {"hidden_sizes": [8, 8, 8, 16], "depths": [1, 1, 1, 1], "image_size": 64},
        5,
    ),
    "swin": ("SwinModel", HIERARCHY, 16),
    "swinv2": ("Swinv2Model", HIERARCHY, 16),
    "convnext": ("ConvNextModel", {**STAGES, "image_size": 32}, 16),
    "convnextv2": ("ConvNextV2Model", {**STAGES, "image_size": 32}, 16),
    "deit": ("DeiTModel", SQUARE, 17),
    "beit": ("BeitModel", {**SQUARE, "use_relative_position_bias": True}, 17),
}


def picture(seed: int) -> Picture:
    image = Image.new("RGB", (90, 70))
    rng = random.Random(seed)
    image.putdata([tuple(rng.randbytes(3)) for _ in range(90 * 70)])
    out = io.BytesIO()
    image.save(out, "PNG")
    return Picture(f"{seed}.png", data=out.getvalue())


SAMPLES = [
    Sample("1", ("x",), picture=picture(1)),
    Sample("2", ("x",)),
    Sample("3", ("x",), picture=picture(3)),
]


def read(encoder: ImageEncoder, *samples: Sample) -> View:
    view: View = encoder(encoder.collate([encoder.prepare(sample) for sample in samples]))
    return view


def check(encoder: ImageEncoder, regions: int, width: int = 16) -> None:
    """Shapes, a missing picture, alone against in a batch, and gradients."""
    assert (encoder.regions, encoder.width) == (regions, width)
    encoder.eval()
    with torch.no_grad():
        view = read(encoder, *SAMPLES)
        alone = read(encoder, SAMPLES[2])
    assert view.regions.shape == (3, regions, width)
    assert view.pooled.shape == (3, width)
    assert view.mask.sum(dim=1).tolist() == [regions, 0, regions]
    torch.testing.assert_close(alone.regions[0], view.regions[2], atol=1e-5, rtol=0)
    torch.testing.assert_close(alone.pooled[0], view.pooled[2], atol=1e-5, rtol=0)
    assert not torch.equal(view.pooled[0], view.pooled[2])
    seen = read(encoder, SAMPLES[0])
    (seen.regions * torch.randn_like(seen.regions)).sum().backward(retain_graph=True)
    (seen.pooled * torch.randn_like(seen.pooled)).sum().backward()
    trained = {n: p for n, p in encoder.named_parameters() if p.requires_grad}
    assert trained
    assert [name for name, p in trained.items() if p.grad is None] == []


def make(family: str, folder: Path) -> Any:
    import transformers

    name, config, _ = MODELS[family]
    torch.manual_seed(0)
    cls = getattr(transformers, name)
    model = cls(cls.config_class(**deepcopy(config))).eval()
    model.save_pretrained(folder)
    size = config.get("image_size", 32)
    said = {"size": {"height": size, "width": size}, "do_center_crop": False}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return model


@pytest.mark.slow
@pytest.mark.parametrize("family", MODELS)
def test_a_family_of_transformers(family: str, tmp_path: Path) -> None:
    model = make(family, tmp_path)
    encoder = ViT(model=str(tmp_path))
    check(encoder, MODELS[family][2])
    # the same numbers as the model itself returns
    model = getattr(model, "vision_model", model)
    inputs = {"pixel_values": torch.zeros(1, 3, encoder.size, encoder.size)}
    pixels = torch.zeros(1, 3, encoder.size, encoder.size, dtype=torch.uint8)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (encoder.mean, encoder.std))
    inputs["pixel_values"] = (inputs["pixel_values"] - mean) / std
    if encoder.patch:
        from zoo.encoders.vit import _patches

        inputs = _patches(inputs["pixel_values"], encoder.patch)
    with torch.no_grad():
        regions, _ = encoder._encode(pixels)
        own = model(**inputs).last_hidden_state
    if encoder.norm is None:
        torch.testing.assert_close(regions[:, -1], own[:, -1], atol=1e-5, rtol=0)
        torch.testing.assert_close(regions[:, 0], own[:, 0], atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["siglip", "siglip2_vision_model", "vit", "beit"])
def test_trained_poolers(family: str, tmp_path: Path) -> None:
    make(family, tmp_path)
    check(ViT(model=str(tmp_path), pooled="pooler"), MODELS[family][2])


def test_the_patches_of_siglip_2_are_cut_as_transformers_cuts_them() -> None:
    from transformers.models.siglip2.image_processing_siglip2 import convert_image_to_patches

    from zoo.encoders.vit import _patches

    pixels = torch.randn(2, 3, 24, 24)
    cut = _patches(pixels, 8)
    theirs = [convert_image_to_patches(picture, 8) for picture in pixels]
    assert torch.equal(cut["pixel_values"], torch.stack(theirs))
    assert cut["spatial_shapes"].tolist() == [[3, 3], [3, 3]]


# open_clip ---------------------------------------------------------------------------------------

TOWER = {"context_length": 8, "vocab_size": 20, "width": 16, "heads": 2, "layers": 1}
VISION: dict[str, tuple[dict[str, Any], int, int]] = {
    "vit": (
        {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16},
        4,
        16,
    ),
    "resnet": ({"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 8}, 4, 256),
    "siglip": (
        {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none"},
        100,
        64,
    ),
    "eva": (
        {
            "image_size": 224,
            "timm_model_name": "eva02_tiny_patch14_224",
            "timm_pool": "token",
            "timm_proj": "linear",
        },
        256,
        192,
    ),
    "convnext": (
        {
            "image_size": 64,
            "timm_model_name": "test_convnext",
            "timm_pool": "",
            "timm_proj": "linear",
        },
        4,
        64,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("tower", VISION)
def test_a_tower_of_open_clip(tower: str, tmp_path: Path) -> None:
    import open_clip

    vision, regions, width = VISION[tower]
    embed = width if vision.get("timm_proj") == "none" else 8
    config = {"embed_dim": embed, "vision_cfg": vision, "text_cfg": TOWER}
    torch.manual_seed(0)
    model = open_clip.CLIP(**deepcopy(config))
    torch.save(model.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    check(OpenCLIP(model=f"local-dir:{tmp_path}"), regions, width)


# timm --------------------------------------------------------------------------------------------

NETWORKS = {
    "test_resnet": 49,
    "test_efficientnet": 25,
    "test_vit": 100,
    "test_convnext": 25,
    "swin_tiny_patch4_window7_224": 49,
    "vit_tiny_patch16_224": 196,
    "deit_tiny_distilled_patch16_224": 196,
    "mobilenetv3_small_050": 49,
    "vgg11": 49,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_timm(name: str) -> None:
    torch.manual_seed(0)
    encoder = Timm(model=name, weights=False)
    check(encoder, encoder.regions or 0, encoder.width)
    assert encoder.regions in (NETWORKS[name], (encoder.size // 32) ** 2)


def test_the_weights_of_timm_are_all_there(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    network = timm.create_model("test_vit")
    file = tmp_path / "weights.safetensors"
    save_file(network.state_dict(), file)
    encoder = Timm(model="test_vit", weights=str(file))
    assert torch.equal(encoder.trunk.network.state_dict()["norm.weight"], network.norm.weight)
    assert set(Timm.loaded({"model": "test_vit", "weights": str(file)})) == {str(file)}
    pixels = torch.zeros(1, 3, encoder.size, encoder.size, dtype=torch.uint8)
    with torch.no_grad():
        cells, pooled = encoder.eval()._encode(pixels)
        shown = (
            torch.zeros(1, 3, encoder.size, encoder.size)
            - torch.tensor(encoder.mean).view(1, 3, 1, 1)
        ) / torch.tensor(encoder.std).view(1, 3, 1, 1)
        states = network.eval().forward_features(shown)
        torch.testing.assert_close(cells, states[:, network.num_prefix_tokens :])
        torch.testing.assert_close(pooled, network.forward_head(states, pre_logits=True))

    few = load_file(file)
    del few["blocks.1.norm1.weight"]
    save_file(few, file)
    with pytest.raises(ConfigError, match="norm1"):
        Timm(model="test_vit", weights=str(file))
    torch.save({"a": network}, tmp_path / "pickle.pth")
    with pytest.raises(ConfigError, match="can't be loaded"):
        Timm(model="test_vit", weights=str(tmp_path / "pickle.pth"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "resnet500"}, "there is no network `resnet500`; did you mean"),
        ({"model": "resnet50.no_such"}, "has no weights `no_such`"),
        ({"model": "test_vit", "weights": "none.pth"}, "no such file"),
        ({"model": "crossvit_tiny_240", "weights": False}, "no grid and no sequence"),
        ({"model": "./nowhere"}, "no such folder"),
        ({"model": "vgg11", "weights": True, "revision": "x"}, "can't be reached"),
    ],
)
def test_networks_that_timm_does_not_have(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Timm(**settings)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("size", "squeezed"), [(224, False), (384, True)])
def test_convnext_squeezes_large_pictures_as_its_processor_does(
    size: int, squeezed: bool, tmp_path: Path
) -> None:
    import transformers

    config = transformers.ConvNextConfig(**{**STAGES, "image_size": 32, "num_stages": 2})
    transformers.ConvNextModel(config).save_pretrained(tmp_path)
    said = {"size": {"shortest_edge": size}, "crop_pct": 0.875}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    encoder = ViT(model=str(tmp_path))
    assert encoder.size == size
    assert (encoder.short is None) is squeezed
