"""Optimizer groups by parameter name, and the schedule."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import clip_grad_norm_

from zoo.config.specs import Recipe
from zoo.errors import ConfigError
from zoo.training.optimizer import fold_clipping, make_optimizer, make_schedule


def recipe(**settings: Any) -> Recipe:
    return Recipe(**{"epochs": 1, "learning_rates": {"*": 0.1}, **settings})


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.text = nn.ModuleDict({"body": nn.Linear(3, 2), "head": nn.Linear(2, 2)})
        self.decoder = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))


def groups(model: nn.Module, **settings: Any) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of every parameter that is trained."""
    optimizer = make_optimizer(model.named_parameters(), recipe(**settings))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def test_the_first_pattern_that_matches_counts() -> None:
    rates = {"text.body.*": 1e-5, "text.*": 1e-4, "*.bias": 5.0, "*": 1e-3}
    found = groups(Model(), learning_rates=rates)
    assert {name: rate for name, (rate, _) in found.items()} == {
        "text.body.weight": 1e-5,
        "text.body.bias": 1e-5,
        "text.head.weight": 1e-4,
        "text.head.bias": 1e-4,
        "decoder.0.weight": 1e-3,
        "decoder.0.bias": 5.0,
        "decoder.1.weight": 1e-3,
        "decoder.1.bias": 5.0,
    }


def test_vectors_are_not_decayed() -> None:
    found = groups(Model(), weight_decay=0.3)
    decayed = {name for name, (_, decay) in found.items() if decay == 0.3}
    assert decayed == {"text.body.weight", "text.head.weight", "decoder.0.weight"}
    assert all(decay == 0 for name, (_, decay) in found.items() if name not in decayed)


def test_frozen_parameters_need_no_pattern() -> None:
    model = Model()
    model.text.requires_grad_(False)
    assert set(groups(model, learning_rates={"decoder.*": 1})) == {
        "decoder.0.weight", "decoder.0.bias", "decoder.1.weight", "decoder.1.bias"
    }  # fmt: skip


def test_a_parameter_without_pattern_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"text\.head\.weight"):
        groups(Model(), learning_rates={"text.body.*": 1e-5, "decoder.*": 1e-3})


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)],
)
def test_optimizer(name: str, kind: type) -> None:
    optimizer = make_optimizer(Model().named_parameters(), recipe(optimizer=name))
    assert type(optimizer) is kind


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("limit", [None, 0.01, 1.0, 1e6])
def test_folded_clipping_updates_as_clipping_before_does(name: str, limit: float | None) -> None:
    models, optimizers = [], []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(Model())
        optimizers.append(
            make_optimizer(models[-1].named_parameters(), recipe(optimizer=name, weight_decay=0.1))
        )
    for step in range(5):
        norms = []
        for model, optimizer, folded in zip(models, optimizers, (True, False), strict=True):
            chance = torch.Generator().manual_seed(step)
            for parameter in [*model.parameters()][:-1]:  # not every weight has a gradient
                gradient = torch.randn(parameter.shape, generator=chance)
                parameter.grad = gradient * 10 ** (step - 2)
            if folded:
                norms.append(fold_clipping(optimizer, limit))
            else:
                norms.append(float(clip_grad_norm_(model.parameters(), limit or torch.inf)))
            optimizer.step()
            optimizer.zero_grad()
        assert norms[0] == pytest.approx(norms[1], rel=1e-6)
    for ours, theirs in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_gradient_descent(momentum: float) -> None:
    """w <- w - rate · m, with m <- momentum · m + gradient."""
    weight = nn.Parameter(torch.tensor([1.0]))
    chosen = recipe(optimizer="sgd", momentum=momentum, weight_decay=0.0)
    optimizer = make_optimizer([("w", weight)], chosen)
    expected, moving = 1.0, 0.0
    for gradient in (2.0, -1.0, 4.0):
        weight.grad = torch.tensor([gradient])
        optimizer.step()
        moving = momentum * moving + gradient
        expected -= 0.1 * moving
    assert weight.item() == pytest.approx(expected)


def test_momentum_is_only_of_gradient_descent() -> None:
    with pytest.raises(ValueError, match="only `optimizer: sgd` has momentum, and this is `adam`"):
        recipe(optimizer="adam", momentum=0.9)


def test_a_step_is_not_clipped_as_the_one_before_was() -> None:
    model = nn.Linear(1, 1, bias=False)
    optimizer = make_optimizer([("w", model.weight)], recipe(optimizer="adam"))
    for size in (8.0, 0.5):
        model.weight.grad = torch.tensor([[size]])
        assert fold_clipping(optimizer, 1.0) == size
        optimizer.step()
        assert float(model.weight.grad) == pytest.approx(min(size, 1.0), rel=1e-6)


def course(steps: int, **settings: Any) -> list[float]:
    """The factor at each update."""
    chosen = recipe(**settings)
    optimizer = make_optimizer(Model().named_parameters(), chosen)
    factor = make_schedule(optimizer, chosen, steps).lr_lambdas[0]
    return [factor(step) for step in range(steps + 1)]


def test_linear_schedule() -> None:
    assert course(10, warmup=0.4) == pytest.approx(
        [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0]
    )


def test_constant_schedule() -> None:
    assert course(5, warmup=0.4, schedule="constant") == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1])


@given(st.integers(1, 300), st.floats(0, 1), st.sampled_from(["linear", "constant"]))
def test_schedules_rise_then_fall(steps: int, warmup: float, kind: str) -> None:
    factors = course(steps, warmup=warmup, schedule=kind)
    assert all(0 < factor <= 1 for factor in factors[:-1]), "every update changes something"
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert kind == "constant" or warmup == 1 or factors[-1] == 0


def test_every_group_has_its_rate_in_proportion() -> None:
    chosen = recipe(learning_rates={"text.*": 1e-5, "*": 1e-3}, warmup=0.5)
    optimizer = make_optimizer(Model().named_parameters(), chosen)
    schedule = make_schedule(optimizer, chosen, 10)
    for _ in range(7):
        optimizer.step()
        schedule.step()
    factor = schedule.lr_lambdas[0](7)
    rates = sorted({group["lr"] for group in optimizer.param_groups})
    assert rates == pytest.approx([1e-5 * factor, 1e-3 * factor])
