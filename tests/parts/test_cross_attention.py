"""Cross-attention of units to the views."""

from __future__ import annotations

import pytest
import torch

from zoo.blocks.attention import AttentionLayer
from zoo.errors import ConfigError
from zoo.fusers.cross_attention import CrossAttention
from zoo.parts import ViewSpec
from zoo.types import Units, View

SPECS = {"grid": ViewSpec(6, 4), "caption": ViewSpec(8, None)}


def fuser(**settings: object) -> CrossAttention:
    torch.manual_seed(0)
    return CrossAttention(8, SPECS, **settings).eval()  # type: ignore[arg-type]


def units(rows: int = 3) -> Units:
    generator = torch.Generator().manual_seed(1)
    start = torch.arange(5).expand(rows, 5)
    return Units(
        torch.randn(rows, 5, 8, generator=generator),
        torch.ones(rows, 5, dtype=torch.bool),
        torch.stack([start, start + 1], -1),
    )


def view(lengths: list[int], regions: int, width: int) -> View:
    """Pictures with so many real regions; 0 = missing."""
    generator = torch.Generator().manual_seed(width)
    mask = torch.arange(regions) < torch.tensor(lengths).unsqueeze(1)
    vectors = torch.randn(len(lengths), regions, width, generator=generator)
    pooled = torch.randn(len(lengths), width, generator=generator)
    return View(vectors * mask.unsqueeze(-1), pooled * mask.any(1, keepdim=True), mask)


@pytest.mark.parametrize("feed_forward", [None, 2])
def test_a_row_without_any_picture_comes_back_unchanged(feed_forward: int | None) -> None:
    words = units(4)
    views = {"grid": view([4, 0, 0, 4], 4, 6), "caption": view([0, 0, 3, 2], 3, 8)}
    fused = fuser(feed_forward=feed_forward)(words, views)
    assert torch.equal(fused.vectors[1], words.vectors[1])
    for row in (0, 2, 3):
        assert not torch.allclose(fused.vectors[row], words.vectors[row])
    assert fused.vectors.isfinite().all()
    assert fused.mask is words.mask
    assert fused.spans is words.spans


def test_no_picture_in_the_batch() -> None:
    words = units()
    words.vectors.requires_grad_()
    module = fuser().train()
    views = {"grid": view([0, 0, 0], 4, 6), "caption": view([0, 0, 0], 0, 8)}
    fused = module(words, views)
    assert torch.equal(fused.vectors, words.vectors)
    fused.vectors.square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    assert words.vectors.grad is not None
    assert words.vectors.grad.isfinite().all()


def test_padding_regions_change_nothing() -> None:
    module, words = fuser(feed_forward=2), units()
    grid, caption = view([4, 2, 0], 4, 6), view([1, 3, 2], 3, 8)
    wider = View(
        torch.cat([caption.regions, torch.full((3, 5, 8), 99.0)], 1),
        caption.pooled,
        torch.cat([caption.mask, torch.zeros(3, 5, dtype=torch.bool)], 1),
    )
    one = module(words, {"grid": grid, "caption": caption}).vectors
    other = module(words, {"grid": grid, "caption": wider}).vectors
    torch.testing.assert_close(one, other)


def test_a_missing_view_is_not_looked_at() -> None:
    module, words = fuser(), units()
    caption = view([1, 3, 2], 3, 8)
    absent = view([0, 0, 0], 4, 6)
    noise = View(absent.regions + 9, absent.pooled + 9, absent.mask)
    one = module(words, {"grid": absent, "caption": caption}).vectors
    torch.testing.assert_close(one, module(words, {"grid": noise, "caption": caption}).vectors)


@pytest.mark.parametrize("feed_forward", [None, 2])
def test_every_parameter_gets_a_gradient(feed_forward: int | None) -> None:
    module = fuser(feed_forward=feed_forward, dropout=0.0).train()
    views = {"grid": view([4, 0, 4], 4, 6), "caption": view([2, 0, 3], 3, 8)}
    target = torch.randn(3, 5, 8)
    (module(units(), views).vectors * target).sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_starts_close_to_a_layer_norm_of_the_units() -> None:
    words = units()
    views = {"grid": view([4, 4, 4], 4, 6), "caption": view([2, 1, 3], 3, 8)}
    fused = fuser()(words, views).vectors
    plain = torch.nn.functional.layer_norm(words.vectors, (8,))
    assert (fused - plain).abs().mean() < 0.1 * plain.abs().mean()


def test_is_torchs_own_multi_head_attention() -> None:
    module, words = fuser(heads=2), units()
    views = {"grid": view([4, 2, 3], 4, 6), "caption": view([2, 1, 3], 3, 8)}
    layer = module.attention
    reference = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    query, key, value = layer.query, layer.key, layer.value
    reference.in_proj_weight.data = torch.cat([p.weight.data for p in (query, key, value)])
    reference.in_proj_bias.data = torch.cat([query.bias.data, torch.randn(8), value.bias.data])
    reference.out_proj.load_state_dict(layer.output.state_dict())
    keys, masks = [], []
    for name, seen in views.items():
        rows = torch.cat([seen.pooled[:, None], seen.regions], 1)
        keys.append(module.projections[name](rows))
        masks += [seen.mask[:, :1], seen.mask]
    looked_at = torch.cat(keys, 1)
    missing = ~torch.cat(masks, 1)
    attended = reference(words.vectors, looked_at, looked_at, key_padding_mask=missing)[0]
    expected = layer.layer_norm(words.vectors + attended)
    torch.testing.assert_close(module(words, views).vectors, expected)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match="`heads: 3` does not divide the units' width 8"):
        fuser(heads=3)


def test_keys_of_which_kind() -> None:
    """Of a view, the regions alone, the pooled vector alone, or both have a say."""
    grid = view([4, 4, 4], 4, 6)
    caption = view([2, 1, 3], 3, 8)
    other_regions = View(grid.regions + 1, grid.pooled, grid.mask)
    other_pooled = View(grid.regions, grid.pooled + 1, grid.mask)
    for keys, felt in {"both": (1, 1), "regions": (1, 0), "pooled": (0, 1)}.items():
        module = fuser(keys=keys)
        before = module(units(), {"grid": grid, "caption": caption}).vectors
        for changed, feels in zip((other_regions, other_pooled), felt, strict=True):
            after = module(units(), {"grid": changed, "caption": caption}).vectors
            assert torch.equal(before, after) is not bool(feels), keys


def test_concat_keeps_the_unit_beside_what_it_became() -> None:
    views = {"grid": view([4, 0, 4], 4, 6), "caption": view([2, 0, 3], 3, 8)}
    both, one = fuser(concat=True), fuser()
    assert (both.width, one.width) == (16, 8)
    fused = both(units(), views).vectors
    assert torch.equal(fused[..., :8], units().vectors)
    assert torch.equal(fused[..., 8:], one(units(), views).vectors)


def test_heads_are_64_wide_where_nothing_is_said() -> None:
    widths = {768: 12, 384: 6, 64: 4, 8: 4}
    for width, heads in widths.items():
        assert CrossAttention(width, SPECS).attention.heads == heads


@pytest.mark.parametrize("level", ["token", "span"])
def test_publishes_level_and_width(level: str) -> None:
    module = fuser(level=level)
    assert (module.level, module.width) == (level, 8)


def test_published_attention_is_what_is_used() -> None:
    """With one head, the weights and the values give what comes out."""
    words, views = units(), {"grid": view([4, 0, 2], 4, 6), "caption": view([1, 0, 3], 3, 8)}
    module = fuser(heads=1)
    module.publish_attention = True
    fused = module(words, views)
    assert {name: tuple(x.shape) for name, x in fused.attention.items()} == {
        "grid": (3, 5, 1 + 4),
        "caption": (3, 5, 1 + 3),
    }
    keys = torch.cat(
        [
            torch.cat(
                [module.projections[n](v.pooled.unsqueeze(1)), module.projections[n](v.regions)], 1
            )
            for n, v in views.items()
        ],
        dim=1,
    )
    weights = torch.cat(list(fused.attention.values()), dim=-1)
    layer = module.attention
    expected = layer.layer_norm(words.vectors + layer.output(weights @ layer.value(keys)))
    assert torch.allclose(fused.vectors[[0, 2]], expected[[0, 2]], atol=1e-6)
    assert not weights[1].any()
    assert not fused.attention["grid"][2, :, 1 + 2 :].any(), "masked regions"


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_both_ways_to_attend_are_the_same(count: int, heads: int) -> None:
    """Projections of queries and output applied to units, or to each head of the keys."""
    torch.manual_seed(3)
    layer = AttentionLayer(8, heads, dropout=0.1, feed_forward=16).double().eval()
    mask = torch.rand(4, count) > 0.3
    mask[:, :1] = True
    results = []
    for way in (layer._added, layer._added_by_few):
        x = torch.randn(4, 9, 8, generator=torch.Generator().manual_seed(1)).double()
        keys = torch.randn(4, count, 8, generator=torch.Generator().manual_seed(2)).double()
        inputs = [x.requires_grad_(), keys.requires_grad_()]
        added = way(*inputs, mask)
        weights = [p for n, p in layer.named_parameters() if n.split(".")[0] in PROJECTIONS]
        results.append([added, *torch.autograd.grad(added.square().sum(), [*inputs, *weights])])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


PROJECTIONS = ("query", "key", "value", "output")


@pytest.mark.parametrize("count", [2, 20])
def test_nothing_is_computed_where_units_are_not_real(count: int) -> None:
    torch.manual_seed(3)
    layer = AttentionLayer(8, 2, dropout=0.1, feed_forward=16).eval()
    x, keys = torch.randn(3, 9, 8), torch.randn(3, count, 8)
    mask, real = torch.ones(3, count, dtype=torch.bool), torch.rand(3, 9) > 0.5
    counted: list[int] = []
    layer.layer_norm.register_forward_hook(lambda _, given, __: counted.append(len(given[0])))
    found = layer(x, keys, mask, real)
    assert counted == [int(real.sum())]
    assert torch.equal(found[~real], x[~real])
    torch.testing.assert_close(found[real], layer(x, keys, mask)[real])
