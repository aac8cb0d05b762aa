"""The tensors of a trained system: which are stored, and how exactly they are put back.

What is stored is exactly what can't be loaded again: a tensor is left out if building the system
anew, under another state of the random number generators, gives the same bytes. So a frozen
encoder's pretrained weights are left out; what was trained, and what was drawn at random, is not.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoo.errors import DataError

_OTHER_SEED = 20_011  # any: what depends on it is stored


@contextmanager
def own_randomness(seed: int = _OTHER_SEED) -> Iterator[None]:
    """Seed all generators for a block, and put them back behind it."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def reloaded(system: nn.Module, again: nn.Module) -> list[str]:
    """The names of tensors that building the system gives anew.

    Args:
        system: the trained one.
        again: the same built under :func:`own_randomness`.
    """
    trained = {name for name, each in system.named_parameters() if each.requires_grad}
    there = again.state_dict()
    return sorted(
        name
        for name, tensor in system.state_dict().items()
        if name not in trained and name in there and _same(tensor, there[name])
    )


def _same(one: Tensor, other: Tensor) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return _bytes(one) == _bytes(other)


def digest(system: nn.Module, names: list[str]) -> str:
    """SHA-256 over the named tensors of a system."""
    state, found = system.state_dict(), hashlib.sha256()
    for name in sorted(names):
        tensor = state[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(_bytes(tensor))
    return found.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return flat.numpy().tobytes()


def write_weights(path: Path, system: nn.Module, without: list[str]) -> None:
    """Store a system's tensors but those named; what share memory are stored once each, by copy.

    The file gets the permissions that any new file of its folder gets, which safetensors does not
    always give it.
    """
    left_out = set(without)
    tensors = {
        name: tensor.detach().cpu().clone().contiguous()
        for name, tensor in system.state_dict().items()
        if name not in left_out
    }
    path.touch()
    mode = path.stat().st_mode
    save_file(tensors, path)
    path.chmod(mode)


def restore(system: nn.Module, path: Path, left_out: list[str], expected: str | None) -> None:
    """Put stored tensors into a system that was just built.

    Args:
        left_out: the tensors that building it has loaded; ``expected``: their digest, which is
            compared unless it is None.

    Raises:
        DataError: names, shapes or types of the stored tensors are not exactly the system's, or
            what building it has loaded is not what it was when the model was stored.
    """
    try:
        tensors: Mapping[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: can't be read as safetensors ({error})") from None
    state = system.state_dict()
    wanted = state.keys() - set(left_out)
    other = "the stored model and the system that its settings describe are different"
    if names := wanted - tensors.keys() or set(left_out) - state.keys():
        raise DataError(f"{path}: it lacks {_some(names)}; {other}")
    if names := tensors.keys() - wanted:
        raise DataError(f"{path}: it holds {_some(names)}, which has no place; {other}")
    for name, tensor in tensors.items():
        place = state[name]
        if tensor.shape != place.shape or tensor.dtype != place.dtype:
            raise DataError(
                f"{path}: {name} is {_kind(tensor)}, and has to be {_kind(place)}; {other}"
            )
    if left_out and expected is not None and digest(system, left_out) != expected:
        raise DataError(
            f"{path}: the weights that are loaded beside it ({_some(set(left_out))}) are not those "
            "that it was trained with; get the models that it names again"
        )
    system.load_state_dict({**{name: state[name] for name in left_out}, **tensors})


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype} {' x '.join(map(str, tensor.shape))}".replace("torch.", "")


def _some(names: set[str]) -> str:
    first, *rest = sorted(names)
    return f"{first} and {len(rest)} more" if rest else first


def rebuilt(build: Callable[[], nn.Module]) -> nn.Module:
    """A system built under randomness of its own."""
    with own_randomness():
        return build()
