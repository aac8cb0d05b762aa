"""Dropout with fewer random bits: the probability is exact, and the seed decides."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from zoo.training.dropout import MOST, lean_dropout, noise


@pytest.mark.parametrize("p", [0.1, 0.25, 1 / 3, 0.5, 0.9])
def test_numbers_are_dropped_with_the_probability_asked_for(p: float) -> None:
    torch.manual_seed(1)
    count = 1_000_003
    factors = noise(torch.empty(count), p)
    dropped = int((factors == 0).sum())
    assert abs(dropped - p * count) < 5 * math.sqrt(count * p * (1 - p))
    assert set(factors.unique().tolist()) == {0.0, torch.tensor(1 / (1 - p)).item()}
    pairs = (factors[1:] == 0) & (factors[:-1] == 0)
    assert abs(int(pairs.sum()) - p * p * count) < 5 * math.sqrt(count * p * p * (1 - p * p) * 3)


def test_the_probability_is_exact_where_16_bits_do_not_hold_it() -> None:
    """A third of the smallest probability that 16 bits hold."""
    torch.manual_seed(1)
    p, calls, count = 2**-16 / 3, 600, 2**16
    dropped = sum(int((noise(torch.empty(count), p) == 0).sum()) for _ in range(calls))
    assert abs(dropped - calls / 3) < 5 * math.sqrt(calls)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (0, 4), (2, 3, 7)])
def test_shape_and_type_are_those_of_the_input(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    factors = noise(torch.empty(shape, dtype=dtype), 0.5)
    assert factors.shape == shape
    assert factors.dtype == dtype
    assert ((factors == 0) | (factors == 2)).all()


def test_the_seed_decides() -> None:
    one, same, other = (
        (torch.manual_seed(seed), noise(torch.empty(1000), 0.3))[1] for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_modules_are_as_before_and_the_gradient_is_that_of_what_was_kept() -> None:
    class Own(nn.Dropout):
        pass

    module = nn.Sequential(nn.Dropout(0.5), Own(0.5), nn.Dropout(0.5, inplace=True))
    with lean_dropout(module):
        assert [type(each).__name__ for each in module] == ["_Lean", "Own", "Dropout"]
        inputs = torch.ones(1000, requires_grad=True)
        out = module[0](inputs)
        out.sum().backward()
        assert inputs.grad is not None
        assert torch.equal(inputs.grad, out)
        assert set(out.tolist()) == {0.0, 2.0}
        module.eval()
        assert module[0](inputs) is inputs
    assert [type(each) for each in module] == [nn.Dropout, Own, nn.Dropout]


@pytest.mark.parametrize("p", [0.0, MOST, 1.0])
def test_where_nothing_or_nearly_all_is_dropped_torch_does_it(p: float) -> None:
    module = nn.Dropout(p)
    results = []
    for lean in (True, False):
        torch.manual_seed(1)
        if lean:
            with lean_dropout(module):
                results.append(module(torch.ones(100)))
        else:
            results.append(module(torch.ones(100)))
    assert torch.equal(*results)
