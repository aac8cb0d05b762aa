from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.pictures import SAMPLES
from zoo.encoders.cnn import CNN
from zoo.encoders.open_clip import OpenCLIP
from zoo.encoders.pictures import collate_pictures, normalise, place, read_picture
from zoo.encoders.vit import ViT
from zoo.errors import ConfigError, DataError
from zoo.parts import ImageEncoder
from zoo.types import Picture, Sample, View


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    from transformers import ViTConfig, ViTModel

    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )
    ViTModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A whole CLIP, of which only the vision tower is wanted, with its picture settings."""
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    small = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    text = CLIPTextConfig(vocab_size=20, max_position_embeddings=8, **small)
    vision = CLIPVisionConfig(image_size=32, patch_size=16, **small)
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8
    )
    CLIPModel(config).save_pretrained(folder)
    said = {
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.4, 0.5, 0.6],
        "size": {"shortest_edge": 40},
        "do_center_crop": True,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return str(folder)


@pytest.fixture(scope="session")
def clip_vision(clip: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    from transformers import CLIPVisionModel

    folder = tmp_path_factory.mktemp("clip_vision")
    CLIPVisionModel.from_pretrained(clip).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def open_clip_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    import open_clip

    folder = tmp_path_factory.mktemp("open_clip")
    config = {
        "embed_dim": 8,
        "vision_cfg": {
            "image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 16
        },
        "text_cfg": {
            "context_length": 8, "vocab_size": 20, "width": 16, "heads": 2, "layers": 1
        },
    }  # fmt: skip
    torch.manual_seed(0)
    model = open_clip.CLIP(**config)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    return f"local-dir:{folder}"


def test_a_text_tower_of_another_model_is_refused(
    open_clip_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """open_clip would have it from the hub, whatever is there at the moment."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match=r"the text tower of roberta-ViT-B-32 is roberta-base"):
        OpenCLIP(model="roberta-ViT-B-32")
    with pytest.raises(ConfigError, match="is roberta-base"):
        OpenCLIP.loaded({"model": "roberta-ViT-B-32", "pretrained": "laion2b_s12b_b32k"})
    folder = tmp_path / "foreign"
    shutil.copytree(open_clip_model.removeprefix("local-dir:"), folder)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] = {"hf_model_name": "roberta-base"}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="is roberta-base"):
        OpenCLIP(model=f"local-dir:{folder}")


KINDS = ("cnn", "vit", "clip", "clip_vision", "open_clip")


def build(kind: str, request: pytest.FixtureRequest) -> ImageEncoder:
    torch.manual_seed(1)
    if kind == "cnn":
        return CNN(network="mobilenet_v3_small", weights=None, size=64)
    if kind == "open_clip":
        return OpenCLIP(model=request.getfixturevalue("open_clip_model"))
    return ViT(model=request.getfixturevalue(kind))


@pytest.fixture(params=KINDS)
def encoder(request: pytest.FixtureRequest) -> ImageEncoder:
    return build(request.param, request).eval()


def see(encoder: ImageEncoder, samples: list[Sample]) -> View:
    view: View = encoder(encoder.collate([encoder.prepare(s) for s in samples]))
    return view


def test_shapes_and_missing_pictures(encoder: ImageEncoder) -> None:
    view = see(encoder, SAMPLES)
    assert view.regions.shape == (3, encoder.regions, encoder.width)
    assert view.pooled.shape == (3, encoder.width)
    assert view.present.tolist() == [True, False, True]
    assert not view.regions[1].any()
    assert not view.pooled[1].any()
    assert view.regions.isfinite().all()
    encoder.train()
    none = see(encoder, [SAMPLES[1]])
    assert none.regions.shape == (1, encoder.regions, encoder.width)
    assert not none.mask.any()


def test_a_picture_alone_equals_itself_in_a_batch(encoder: ImageEncoder) -> None:
    together, alone = see(encoder, SAMPLES), see(encoder, [SAMPLES[2]])
    torch.testing.assert_close(together.regions[2], alone.regions[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(together.pooled[2], alone.pooled[0], atol=1e-5, rtol=0)
    assert torch.equal(see(encoder, SAMPLES).regions, together.regions)


@pytest.mark.parametrize("used", ["regions", "pooled"])
def test_every_parameter_gets_a_gradient(encoder: ImageEncoder, used: str) -> None:
    vectors: Tensor = getattr(see(encoder, SAMPLES), used)
    (vectors * torch.randn_like(vectors)).sum().backward()
    assert [n for n, p in encoder.named_parameters() if p.grad is None] == []


def test_vit_equals_the_model_itself(vit: str) -> None:
    from transformers import ViTModel

    encoder = ViT(model=vit, pooled="pooler").eval()
    view = see(encoder, [SAMPLES[0]])
    pixels = read_picture(SAMPLES[0], 32)
    assert pixels is not None
    out = ViTModel.from_pretrained(vit).eval()(pixel_values=pixels[None].float() / 127.5 - 1)
    torch.testing.assert_close(view.regions, out.last_hidden_state)
    torch.testing.assert_close(view.pooled, out.pooler_output)
    torch.testing.assert_close(
        see(ViT(model=vit).eval(), [SAMPLES[0]]).pooled, out.last_hidden_state[:, 0]
    )


def test_clip_equals_the_model_itself(clip: str, clip_vision: str) -> None:
    from transformers import CLIPVisionModel

    encoder = ViT(model=clip).eval()
    assert (encoder.short, encoder.mean) == (40, (0.1, 0.2, 0.3))
    view = see(encoder, [SAMPLES[0]])
    pixels = read_picture(SAMPLES[0], 32, 40, 3)
    assert pixels is not None
    scaled = normalise(pixels[None], (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    out = CLIPVisionModel.from_pretrained(clip_vision).eval()(pixel_values=scaled)
    torch.testing.assert_close(view.pooled, out.pooler_output)


def test_open_clip_equals_the_model_itself(open_clip_model: str) -> None:
    import open_clip

    encoder = OpenCLIP(model=open_clip_model).eval()
    model = open_clip.create_model(open_clip_model).eval()
    pixels = encoder.collate([encoder.prepare(SAMPLES[0])])["pixels"]
    scaled = normalise(pixels, encoder.mean, encoder.std)
    torch.testing.assert_close(
        see(encoder, [SAMPLES[0]]).pooled @ model.visual.proj, model.encode_image(scaled)
    )


@pytest.mark.parametrize(
    ("network", "width", "regions"),
    [
        ("resnet18", 512, 4),
        ("vgg11", 512, 4),
        ("densenet121", 1024, 4),
        ("efficientnet_b0", 1280, 4),
        ("mobilenet_v2", 1280, 4),
        ("convnext_tiny", 768, 4),
        ("regnet_y_400mf", 440, 4),
        ("shufflenet_v2_x0_5", 1024, 4),
        ("mnasnet0_5", 1280, 4),
        ("squeezenet1_1", 512, 9),
    ],
)
def test_networks_of_torchvision(network: str, width: int, regions: int) -> None:
    # Shapes are enough, and VGG's classifier takes seconds to draw.
    with torch.device("meta" if network.startswith("vgg") else "cpu"):
        encoder = CNN(network=network, weights=None, size=64)
    assert (encoder.width, encoder.regions) == (width, regions)


def test_cnn_regions_lead_to_the_network_s_own_answer() -> None:
    from torchvision import models

    encoder = CNN(network="resnet18", weights=None, size=64).eval()
    network = models.resnet18(weights=None).eval()
    network.load_state_dict(encoder.trunk.state_dict(), strict=False)
    pixels = encoder.collate([encoder.prepare(SAMPLES[0])])["pixels"]
    scaled = normalise(pixels, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    answer = network.fc(see(encoder, [SAMPLES[0]]).pooled)
    torch.testing.assert_close(answer, network(scaled))


def test_wrong_settings_give_one_line(
    monkeypatch: pytest.MonkeyPatch, vit: str, clip: str, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    cases = [
        (lambda: CNN(network="resnet5"), "did you mean `resnet50`"),
        (lambda: CNN(network="swin_t"), "no such network"),
        (lambda: CNN(network="resnet50", weights="IMAGENET_V2"), "did you mean `IMAGENET1K_V2`"),
        (lambda: CNN(network="resnet50"), "can't be downloaded.*null"),
        (lambda: ViT(model=str(tmp_path)), "is of type bert; available: clip"),
        (lambda: ViT(model=str(tmp_path / "none")), "no such folder"),
        (lambda: ViT(model=clip, pooled="pooler"), "no trained pooler"),
        (lambda: OpenCLIP(model="ViT-B-23"), "did you mean `ViT-B-32`"),
        (lambda: OpenCLIP(model="ViT-B-32", pretrained="openia"), "did you mean `openai`"),
        (lambda: OpenCLIP(model=f"local-dir:{tmp_path}"), "can't be loaded"),
    ]
    for make, message in cases:
        with pytest.raises(ConfigError, match=message) as raised:
            make()
        assert "\n" not in str(raised.value)


def test_reading_pictures(tmp_path: Path) -> None:
    flat = Image.new("RGB", (100, 50), (255, 0, 0))
    flat.paste((0, 0, 255), (25, 0, 75, 50))
    flat.save(tmp_path / "flat.png")
    sample = Sample("x", ("x",), picture=Picture("flat", tmp_path / "flat.png"))
    cut = read_picture(sample, 32, 32)
    assert cut is not None
    assert cut.shape == (3, 32, 32)
    assert cut[2, :, 2:-2].min() > 250  # the centre alone is blue
    whole = read_picture(sample, 32)
    assert whole is not None
    assert whole[:, 16, 0].tolist() == [255, 0, 0]
    assert read_picture(Sample("y", ("y",)), 32) is None
    for content in (b"", b"no picture", (tmp_path / "flat.png").read_bytes()[:60]):
        bad = tmp_path / "bad.png"
        bad.write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.png: can't be read as a picture"):
            read_picture(Sample("z", ("z",), picture=Picture("bad", bad)), 32)


def test_placing_rows() -> None:
    rows = [None, torch.ones(3, 2, 2, dtype=torch.uint8), None]
    inputs = collate_pictures(rows, (3, 2, 2))
    assert inputs["pixels"].shape == (1, 3, 2, 2)
    regions = torch.ones(1, 4, 5, requires_grad=True)
    view = place(regions, torch.ones(1, 5), inputs["present"])
    assert view.mask.sum(1).tolist() == [0, 4, 0]
    view.regions.sum().backward()
    assert regions.grad is not None
    assert regions.grad.eq(1).all()
    empty = collate_pictures([None], (3, 2, 2))
    assert place(torch.ones(0, 4, 5), torch.ones(0, 5), empty["present"]).regions.shape == (1, 4, 5)
