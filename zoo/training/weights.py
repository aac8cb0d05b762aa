"""The weights of a system that are its own, and the features of its frozen encoders."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from zoo.encoders.frozen import Frozen, FrozenText
from zoo.system import System


def frozen_encoders(system: System) -> dict[str, Frozen | FrozenText]:
    """The frozen encoders of a system by their path in it, without those inside of others."""
    found: dict[str, Frozen | FrozenText] = {}
    for name, module in system.named_modules():
        if isinstance(module, Frozen | FrozenText) and not name.startswith(
            tuple(f"{outer}." for outer in found)
        ):
            found[name] = module
    return found


def feature_digests(system: System) -> dict[str, str]:
    """SHA-256 over the features that each frozen encoder gave, by its path in the system."""
    return {name: each.kept.digest() for name, each in frozen_encoders(system).items()}


def changing_weights(system: System) -> dict[str, Tensor]:
    """Copies on the CPU of the tensors that training may change."""
    frozen = tuple(f"{name}." for name in frozen_encoders(system))
    return {name: _copy(value) for name, value in _state(system) if not name.startswith(frozen)}


def stored_bytes(system: System) -> int:
    """The bytes of what a run stores: all tensors but those that a frozen encoder loads again."""
    frozen = tuple(f"{name}." for name, each in frozen_encoders(system).items() if each.reloaded)
    return sum(value.nbytes for name, value in _state(system) if not name.startswith(frozen))


def _state(system: System) -> Iterator[tuple[str, Tensor]]:
    yield from system.state_dict().items()


def _copy(value: Tensor) -> Tensor:
    """Tensors that share memory are copied once each."""
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)
