"""The optimizer and its schedule, by the recipe."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from zoo.config.specs import Recipe
from zoo.errors import ConfigError


def make_optimizer(
    named: Iterable[tuple[str, nn.Parameter]], recipe: Recipe
) -> torch.optim.Optimizer:
    """AdamW, Adam or gradient descent over groups of one learning rate and weight decay each.

    Vectors and scalars (biases, normalisation) are not decayed.

    Raises:
        ConfigError: a trainable parameter that no pattern of ``learning_rates`` names.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        if not parameter.requires_grad:
            continue
        rate = recipe.learning_rate(name)
        if rate is None:
            raise ConfigError(
                f"no pattern of the recipe's learning_rates names the parameter {name}; "
                'add one, or "*" for all others'
            )
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    made = [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]
    # fused: one pass over memory, on a CPU a third of the time
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(made, momentum=recipe.momentum, fused=True)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(made, fused=True)


def fold_clipping(optimizer: torch.optim.Optimizer, limit: float | None) -> float:
    """Let the optimizer's next step clip the gradients to a global norm, in its own pass over them.

    The norm is exact, and the step is that of ``torch.nn.utils.clip_grad_norm_`` before it, up to
    rounding.

    Args:
        optimizer: fused, as :func:`make_optimizer` makes it.
        limit: of the norm; None: nothing is clipped.

    Returns:
        The norm before clipping.
    """
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    norms = torch._foreach_norm([p.grad for p in parameters if p.grad is not None])
    norm = float(torch.linalg.vector_norm(torch.stack(norms)))
    # the fused step divides by this on the way; gradient scalers give it theirs in the same way
    scale = 1.0 if limit is None else (norm + 1e-6) / limit
    device = norms[0].device
    optimizer.grad_scale = torch.tensor(scale, device=device) if scale > 1 else None  # type: ignore[attr-defined]
    return norm


def make_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> LambdaLR:
    """Linear warm-up over the recipe's share of ``steps``, then linear decay to 0 (or none)."""
    warm = round(recipe.warmup * steps)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        if recipe.schedule == "constant":
            return 1.0
        return max(0.0, (steps - step) / max(1, steps - warm))

    return LambdaLR(optimizer, factor)
