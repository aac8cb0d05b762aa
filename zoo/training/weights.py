"""The weights of a system that are its own: all but those that frozen encoders load again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zoo.encoders.frozen import Frozen, FrozenText
from zoo.encoders.keys import weights_digest
from zoo.errors import DataError
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


def own_weights(system: System) -> dict[str, Tensor]:
    """What a run stores: copies of all tensors but those that a frozen encoder loads again.

    A frozen encoder that is not loaded from anywhere (untrained, by the seed) is stored.
    """
    frozen = tuple(f"{name}." for name in _reloaded(system))
    return {name: _copy(value) for name, value in _state(system) if not name.startswith(frozen)}


def save_weights(system: System, file: Path) -> None:
    """Store a system's own weights, and a digest of those of each frozen encoder left out."""
    digests = {name: weights_digest(each) for name, each in sorted(_reloaded(system).items())}
    save_file(own_weights(system), file, {"frozen": json.dumps(digests)})


def load_weights(system: System, file: Path) -> None:
    """Give a system that was built again the weights that :func:`save_weights` stored.

    Raises:
        DataError: the file can't be read or is of another system, or a frozen encoder has other
            weights than it had.
    """
    try:
        with safe_open(file, "pt") as stored:
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            said = (stored.metadata() or {}).get("frozen", "{}")
    except (OSError, SafetensorError) as error:
        raise DataError(f"{file}: the weights can't be read ({error})") from None
    left_out = _reloaded(system)
    here = {name: value.shape for name, value in _state(system)}
    missing = [
        name
        for name in here.keys() - state.keys()
        if not name.startswith(tuple(f"{outer}." for outer in left_out))
    ]
    others = [name for name, value in state.items() if here.get(name) != value.shape]
    if missing or others:
        raise DataError(
            f"{file}: the weights are of another system ({len(missing)} missing, {len(others)} "
            f"that it has not, among them {min(missing + others)})"
        )
    for name, digest in json.loads(said).items():
        if name not in left_out or weights_digest(left_out[name]) != digest:
            raise DataError(
                f"{file}: the frozen encoder in `{name}` has other weights than when this was "
                "trained; take the model that run.json names under `models`"
            )
    system.load_state_dict(state, strict=False)


def _reloaded(system: System) -> dict[str, Frozen | FrozenText]:
    return {name: each for name, each in frozen_encoders(system).items() if each.reloaded}


def _state(system: System) -> Iterator[tuple[str, Tensor]]:
    yield from system.state_dict().items()


def _copy(value: Tensor) -> Tensor:
    """Tensors that share memory are copied once each."""
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)
