"""The precision of a run: a function of its recipe and the machine, known before it begins.

On a CPU, ``auto`` follows from what the CPU can do and never from a timing, so that equal machines
always agree. Forward and backward of bert-crf (MiniLM, batches of 16, one core) in bf16 took, as a
multiple of the time in fp32:

=====================================  =========  ========
what the CPU has                       bf16       ``auto``
=====================================  =========  ========
AVX2 (AMD EPYC, third generation)      8.8 ×      fp32
AVX-512 with bf16 products, no AMX     1.56 ×     fp32
AMX with bf16 tiles (``amx_bf16``)     no figure  bf16
=====================================  =========  ========

Without AMX the products themselves are as fast at best, and the conversions come on top. No CPU
with AMX was at hand; its tiles multiply bf16 at sixteen times the peak rate of AVX-512 in fp32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from zoo.config.specs import Recipe
from zoo.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp16"]

CPU_INFO = Path("/proc/cpuinfo")


def resolve_precision(recipe: Recipe) -> Precision:
    """The recipe's precision; ``auto`` is bf16 or fp16 on a GPU, bf16 on a CPU with AMX, else fp32.

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
        return "bf16" if "amx_bf16" in cpu_features() else "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def cpu_features() -> frozenset[str]:
    """The CPU's features as Linux names them (``avx2``, ``amx_bf16``); empty on other systems."""
    try:
        text = CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    lines = (line.partition(":") for line in text.splitlines())
    found = (words for name, _, words in lines if name.strip() in ("flags", "Features"))
    return frozenset(next(found, "").split())
