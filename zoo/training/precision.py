"""The precision of a run: a function of its recipe and the machine, known before it begins."""

from __future__ import annotations

from typing import Literal

import torch

from zoo.config.specs import Recipe
from zoo.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp16"]


def resolve_precision(recipe: Recipe) -> Precision:
    """The recipe's precision; ``auto`` is bf16 or fp16 where a GPU has it, and else fp32.

    Raises:
        ConfigError: fp16 without a GPU.
    """
    if recipe.precision == "fp16" and not torch.cuda.is_available():
        raise ConfigError(
            "the recipe's precision fp16 needs a CUDA GPU, and this machine has none; "
            "set it to `auto`, `fp32` or `bf16`"
        )
    if recipe.precision != "auto":
        return recipe.precision
    if not torch.cuda.is_available():
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
