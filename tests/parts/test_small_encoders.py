"""The small image encoders: shapes, missing pictures, gradients, independence of rows."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from zoo.encoders.small import SmallCNN, SmallViT
from zoo.errors import ConfigError
from zoo.parts import ImageEncoder
from zoo.types import Picture, Sample


def sample(name: str, size: tuple[int, int] | None = (36, 36)) -> Sample:
    if size is None:
        return Sample(name, ("a",))
    generator = torch.Generator().manual_seed(len(name))
    pixels = torch.randint(0, 256, (*size[::-1], 3), generator=generator, dtype=torch.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(buffer, "PNG")
    return Sample(name, ("a",), picture=Picture(name, data=buffer.getvalue()))


def encoders() -> list[ImageEncoder]:
    torch.manual_seed(0)
    return [
        SmallCNN(),
        SmallCNN(width=16, layers=2, size=18),
        SmallCNN(width=24, layers=1, size=9),
        SmallViT(),
        SmallViT(width=24, layers=1, heads=3, patch=4, size=20),
    ]


@pytest.fixture(params=range(5))
def encoder(request: pytest.FixtureRequest) -> ImageEncoder:
    return encoders()[request.param]


def test_shapes_and_resizing(encoder: ImageEncoder) -> None:
    rows = [encoder.prepare(sample("a")), encoder.prepare(sample("bb", (50, 20)))]
    assert all(row.dtype == torch.uint8 and row.shape[0] == 3 for row in rows)
    view = encoder(encoder.collate(rows))
    assert view.regions.shape == (2, encoder.regions, encoder.width)
    assert view.pooled.shape == (2, encoder.width)
    assert view.mask.all()
    assert view.mask.shape == (2, encoder.regions)


def test_pixels_are_the_pictures() -> None:
    red = io.BytesIO()
    Image.new("RGB", (36, 36), (200, 10, 30)).save(red, "PNG")
    row = SmallCNN().prepare(Sample("r", ("a",), picture=Picture("r", data=red.getvalue())))
    assert row is not None
    assert row.amax(dim=(1, 2)).tolist() == row.amin(dim=(1, 2)).tolist() == [200, 10, 30]


def test_missing_pictures_are_empty_rows(encoder: ImageEncoder) -> None:
    encoder.eval()
    rows = [encoder.prepare(s) for s in (sample("a"), sample("b", None), sample("ccc"))]
    assert rows[1] is None
    view = encoder(encoder.collate(rows))
    assert view.present.tolist() == [True, False, True]
    assert not view.regions[1].any()
    assert not view.pooled[1].any()
    alone = encoder(encoder.collate(rows[2:]))
    torch.testing.assert_close(view.regions[2], alone.regions[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(view.pooled[2], alone.pooled[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_all_pictures_missing(encoder: ImageEncoder, training: bool) -> None:
    encoder.train(training)
    view = encoder(encoder.collate([None, None, None]))
    assert view.regions.shape == (3, encoder.regions, encoder.width)
    assert not view.mask.any()
    assert not view.regions.any()
    assert torch.isfinite(view.pooled).all()


@pytest.mark.parametrize("pictures", [1, 3])
def test_every_parameter_gets_a_gradient(encoder: ImageEncoder, pictures: int) -> None:
    rows = [encoder.prepare(sample("a" * (i + 1))) for i in range(pictures)]
    view = encoder(encoder.collate([*rows, None]))
    weights = torch.randn(encoder.width)
    (view.regions @ weights).pow(2).sum().add((view.pooled @ weights).pow(2).sum()).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_vit_pools_by_its_class_token_and_cnn_by_the_mean() -> None:
    cnn, vit = SmallCNN().eval(), SmallViT().eval()
    view = cnn(cnn.collate([cnn.prepare(sample("a"))]))
    torch.testing.assert_close(view.pooled, view.regions.mean(dim=1))
    view = vit(vit.collate([vit.prepare(sample("a"))]))
    torch.testing.assert_close(view.pooled, view.regions[:, 0])


def test_vit_refuses_what_does_not_divide() -> None:
    with pytest.raises(ConfigError, match="`patch: 8` does not divide `size: 36`"):
        SmallViT(patch=8)
    with pytest.raises(ConfigError, match="`patch: 9` is odd"):
        SmallViT(patch=9)
    with pytest.raises(ConfigError, match="`heads: 5` does not divide `width: 64`"):
        SmallViT(heads=5)


def test_cnn_refuses_a_grid_of_one_region() -> None:
    """A batch with one picture would end in training: one value has no statistics."""
    with pytest.raises(ConfigError, match="6 layers leave one region of 36 x 36 pixels"):
        SmallCNN(layers=6)
    lone = [SmallCNN(layers=5).train(), SmallViT(patch=36).train()]
    for encoder in lone:
        assert encoder(encoder.collate([encoder.prepare(sample("a"))])).regions.isfinite().all()
