"""How many tokens an encoder may read at once where the recipe does not say it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil
import torch

PER_TOKEN = 4 << 20
"""Bytes of memory for each token. A base-sized encoder (12 layers of width 768, windows of 512,
fp32) keeps 1.5 MiB a token for its gradient; the rest is for weights, optimiser and other parts."""

MOST = 4096
"""The bound on a CPU, where memory is shared and larger batches are no faster: what 16 GiB give. A
base-sized encoder then trains in about 9 GB."""

_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
"""What a container may have, in control groups of version 2 and 1."""


def default_max_tokens(device: torch.device) -> int:
    """The bound for a device: a function of the machine, not of what is free at the moment."""
    if device.type == "cuda":
        return max(1, torch.cuda.get_device_properties(device).total_memory // PER_TOKEN)
    return max(1, min(MOST, machine_memory() // PER_TOKEN))


def machine_memory(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that the machine has, or its container may have."""
    found = [int(psutil.virtual_memory().total)]
    for name in _LIMITS:
        with suppress(OSError, ValueError):  # no such file, or `max`: no limit
            found.append(int((groups / name).read_text()))
    return min(found)
