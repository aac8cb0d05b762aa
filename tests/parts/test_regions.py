"""Regions of a picture: stages of a network, given boxes, detected objects."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import models

from zoo.encoders.cnn import CNN
from zoo.encoders.crops import Crops
from zoo.encoders.detector import Detector
from zoo.encoders.frozen import Frozen
from zoo.encoders.pyramid import Pyramid
from zoo.encoders.small import SmallCNN
from zoo.errors import ConfigError, DataError
from zoo.parts import ImageEncoder
from zoo.types import Picture, Sample, View


def painted(size: tuple[int, int], *patches: tuple[tuple[int, int, int, int], str]) -> Picture:
    image = Image.new("RGB", size, "black")
    for box, colour in patches:
        image.paste(colour, box)
    out = io.BytesIO()
    image.save(out, "PNG")
    return Picture("painted.png", data=out.getvalue())


PICTURE = painted((80, 40), ((0, 0, 40, 40), "red"), ((40, 20, 80, 40), "blue"))
LEFT, LOW = [0, 0, 40, 40], [40, 20, 80, 40]


def boxed(*boxes: Sequence[float], picture: Picture = PICTURE) -> Sample:
    return Sample("7", ("x",), picture=picture, extra={"boxes": json.dumps(boxes)})


def read(encoder: ImageEncoder, *samples: Sample) -> View:
    view: View = encoder(encoder.collate([encoder.prepare(sample) for sample in samples]))
    return view


@pytest.fixture
def small() -> SmallCNN:
    torch.manual_seed(0)
    return SmallCNN(size=32, width=8).eval()


# crops -------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_crop_is_seen_as_a_picture_of_its_own(small: SmallCNN) -> None:
    encoder = Crops(encoder=small).eval()
    view = read(encoder, boxed(LEFT, LOW), Sample("2", ("x",)), boxed())
    assert view.mask.tolist() == [[True] * 3, [False] * 3, [True, False, False]]
    red, blue = (
        painted((40, 40), ((0, 0, 40, 40), "red")),
        painted((40, 20), ((0, 0, 40, 20), "blue")),
    )
    alone = read(small, *(Sample("1", ("x",), picture=p) for p in (PICTURE, red, blue)))
    torch.testing.assert_close(view.regions[0], alone.pooled)
    torch.testing.assert_close(view.pooled[0], alone.pooled[0])


@torch.no_grad()
def test_shares_are_pixels_by_size(small: SmallCNN) -> None:
    pixels = read(Crops(encoder=small), boxed(LEFT, LOW))
    shares = read(Crops(encoder=small, unit="shares"), boxed([0, 0, 0.5, 1], [0.5, 0.5, 1, 1]))
    assert torch.equal(pixels.regions, shares.regions)


@torch.no_grad()
def test_the_grid_under_a_box_is_averaged(small: SmallCNN) -> None:
    class Cells(SmallCNN):
        """A grid whose cells tell their column and row."""

        def forward(self, inputs: Any) -> View:
            view = super().forward(inputs)
            side = int((self.regions or 0) ** 0.5)
            rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
            told = torch.stack([columns, rows], dim=-1).float().view(1, -1, 2)
            regions = torch.zeros_like(view.regions)
            regions[..., :2] = told
            return View(regions, view.pooled, view.mask)

    cells = Cells(size=32, width=8).eval()
    side = int((cells.regions or 0) ** 0.5)
    encoder = Crops(encoder=cells, source="grid").eval()
    view = read(encoder, boxed(LEFT, LOW, [0, 0, 80, 40]))
    middle = (side - 1) / 2
    got = view.regions[0, 1:, :2]
    assert got[0, 0] < middle < got[1, 0]  # left, and right of the middle
    assert got[0, 1] == pytest.approx(middle, abs=1e-5)
    assert got[1, 1] > middle
    torch.testing.assert_close(got[2], torch.tensor([middle, middle]), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_box_outside_of_the_centre_is_left_out_of_the_grid() -> None:
    torch.manual_seed(0)
    cnn = CNN(network="squeezenet1_1", weights=None, size=64).eval()
    encoder = Crops(encoder=cnn, source="grid").eval()
    wide = painted((400, 40), ((0, 0, 10, 40), "red"))
    assert read(encoder, boxed([0, 0, 10, 40], picture=wide)).mask.tolist() == [[True]]
    assert read(encoder, boxed([190, 0, 210, 40], picture=wide)).mask.tolist() == [[True, True]]


@torch.no_grad()
@pytest.mark.parametrize("source", ["crops", "grid"])
def test_frozen_crops_are_kept_by_picture_and_boxes(
    source: Any, small: SmallCNN, tmp_path: Path
) -> None:
    plain = Crops(encoder=small, source=source).eval()
    samples = [boxed(LEFT), boxed(LOW), boxed(), replace(boxed(), extra={})]
    wanted = read(plain, *samples)
    frozen = Frozen(Crops(encoder=small, source=source), tmp_path)
    for _ in range(2):
        found = read(frozen, *samples)
        assert torch.equal(found.mask, wanted.mask)
        torch.testing.assert_close(found.regions, wanted.regions, atol=2e-3, rtol=2e-3)
    inner = read(Crops(encoder=Frozen(small, tmp_path), source=source), *samples)
    torch.testing.assert_close(inner.regions, wanted.regions, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[1, 2, 3]]", "no JSON list of boxes"),
        ("left", "no JSON list of boxes"),
        ('{"a": 1}', "no JSON list of boxes"),
        ("[[0, 0, NaN, 4]]", "without an inside"),
        ("[[10, 10, 10, 20]]", "without an inside"),
        ("[[90, 0, 120, 20]]", "without an inside"),
    ],
)
def test_what_is_no_box(text: str, message: str, small: SmallCNN) -> None:
    with pytest.raises(DataError, match="sample 7") as raised:
        Crops(encoder=small).prepare(replace(boxed(), extra={"boxes": text}))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_encoder_without_a_grid(small: SmallCNN) -> None:
    inner = Crops(encoder=small)
    with pytest.raises(ConfigError, match="has no grid"):
        Crops(encoder=inner, source="grid")
    stages = Pyramid(network="resnet18", weights=None, size=64, stages=4, cells=2)
    assert stages.regions == 16, "as many as a grid of four rows has, but no grid"
    with pytest.raises(ConfigError, match="Pyramid has no grid"):
        Crops(encoder=stages, source="grid")
    with pytest.raises(ConfigError, match="Pyramid has no grid"):
        Crops(encoder=Frozen(stages, Path()), source="grid")
    assert Crops.sees_of({"boxes": "objects"}) == ("picture", "objects")


# pyramid -----------------------------------------------------------------------------------------


@torch.no_grad()
def test_every_stage_has_its_own_part_of_the_width() -> None:
    torch.manual_seed(0)
    encoder = Pyramid(network="resnet18", weights=None, size=64, cells=2).eval()
    assert encoder.widths == (64, 128, 256, 512)
    assert (encoder.width, encoder.regions) == (960, 16)
    sample = Sample("1", ("x",), picture=PICTURE)
    view = read(encoder, sample)
    starts = [0, 64, 192, 448, 960]
    network = encoder.trunk
    pixels = encoder.prepare(sample)
    assert isinstance(pixels, Tensor)
    from zoo.encoders.pictures import IMAGENET, normalise

    states = normalise(pixels[None], *IMAGENET)
    for name, module in network.named_children():
        states = module(states)
        if name.startswith("layer"):
            stage = int(name[-1]) - 1
            own = slice(starts[stage], starts[stage + 1])
            rows = view.regions[0, 4 * stage : 4 * stage + 4]
            grid = torch.nn.functional.adaptive_avg_pool2d(states, 2)[0].flatten(1).T
            torch.testing.assert_close(rows[:, own], grid)
            rest = torch.cat([rows[:, : own.start], rows[:, own.stop :]], dim=1)
            assert not rest.any()
            torch.testing.assert_close(view.pooled[0, own], states.mean(dim=(2, 3))[0])


@pytest.mark.parametrize("network", ["vgg11", "efficientnet_b0", "densenet121", "mobilenet_v2"])
@pytest.mark.slow
def test_stages_of_other_networks(network: str) -> None:
    encoder = Pyramid(network=network, weights=None, size=64, cells=1).eval()
    assert encoder.regions == 4
    view = read(encoder, Sample("1", ("x",), picture=PICTURE))
    assert view.regions.isfinite().all()


# detector ----------------------------------------------------------------------------------------

NETWORK = "fasterrcnn_mobilenet_v3_large_320_fpn"


@torch.no_grad()
def test_the_vectors_are_those_that_the_detector_classifies(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = models.get_model(NETWORK, weights=None, weights_backbone=None)
    # an untrained one that is sure of some class, so that there is something to find
    network.roi_heads.box_predictor.cls_score.bias[7] = 8.0
    file = tmp_path / "weights.pth"
    torch.save(network.state_dict(), file)
    encoder = Detector(network=NETWORK, weights=str(file), size=96, most=3)
    assert set(Detector.loaded({"network": NETWORK, "weights": str(file)})) == {str(file)}
    samples = [
        Sample("1", ("x",), picture=PICTURE),
        Sample("2", ("x",)),
        boxed(picture=painted((50, 90))),
    ]
    view = read(encoder.train(), *samples)
    assert not encoder.network.training
    assert view.mask[:, 0].tolist() == [True, False, True]
    assert 1 < int(view.mask[0].sum()) <= 4
    alone = read(encoder, samples[2])
    count = int(alone.mask.sum())
    torch.testing.assert_close(alone.regions[0, :count], view.regions[2, :count])
    # the same objects as the network's own forward pass finds, and with the same scores
    pixels = encoder.prepare(samples[0])
    assert pixels is not None
    (found,) = encoder.network([pixels.float() / 255])
    assert len(found["boxes"]) == int(view.mask[0].sum()) - 1
    scores = encoder.network.roi_heads.box_predictor.cls_score(view.regions[0, 1:4]).softmax(-1)
    assert scores[:, 7].gt(0.5).all()

    frozen = Frozen(encoder, tmp_path / "cache")
    for _ in range(2):
        kept = read(frozen, *samples)
        assert torch.equal(kept.mask, view.mask)
        torch.testing.assert_close(kept.regions, view.regions, atol=1e-2, rtol=1e-2)


def test_detectors_that_torchvision_does_not_have(tmp_path: Path) -> None:
    for settings, message in (
        ({"network": "fasterrcnn_resnet5_fpn"}, "did you mean `fasterrcnn_resnet50_fpn`"),
        ({"network": "resnet50"}, "no such network"),
        ({"weights": "COCO"}, "has no weights `COCO`"),
        ({"weights": "none.pth"}, "no such file"),
    ):
        with pytest.raises(ConfigError) as raised:
            Detector(**settings)
        assert message in str(raised.value)
    file = tmp_path / "other.pth"
    torch.save(models.squeezenet1_1(weights=None).state_dict(), file)
    with pytest.raises(ConfigError, match="can't take the weights"):
        Detector(network=NETWORK, weights=str(file))
    known = Detector.loaded({})
    assert list(known) == ["fasterrcnn_resnet50_fpn DEFAULT"]
    assert Detector.loaded({"weights": None}) == {}
