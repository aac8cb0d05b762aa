"""What the features of frozen encoders are kept under."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from zoo.encoders.pictures import place
from zoo.identity import sources
from zoo.parts import Encoder
from zoo.types import Picture, Sample


class Asked(NamedTuple):
    """A sample whose features are wanted, and what they are kept under.

    ``alone`` is the same sample without context, where the encoder reads any.
    """

    key: bytes
    sample: Sample
    alone: Asked | None = None


def fingerprint(encoder: Encoder, *others: type, asked: str = "") -> str:
    """SHA-256 over all that makes a feature, save the sample: weights, structure, settings of the
    transform; the source of the encoder, of what it is made of, of the transform, of picture
    decoding and of ``others``; and the versions of the libraries that decode and compute.

    Args:
        asked: the encoder's settings, of which its attributes may show nothing.
    """
    digest = hashlib.sha256(f"{asked}{encoder!r}".encode())
    for name, module in encoder.named_modules():
        if isinstance(module, Encoder):
            settings = {
                key: value
                for key, value in sorted(vars(module).items())
                if key != "training" and isinstance(value, str | int | float | tuple | None)
            }
            digest.update(f"{name}{settings}".encode())
        else:  # what a library's module does not show, as the number of its heads
            numbers = {
                key: value
                for key, value in sorted(vars(module).items())
                if key != "training" and key[0] != "_" and isinstance(value, int | float)
            }
            digest.update(f"{name}{numbers}".encode())
        config: Any = getattr(module, "config", None)
        if hasattr(config, "to_dict"):
            digest.update(f"{name}{_structure(config.to_dict())}".encode())
    own = [
        type(module)
        for module in encoder.modules()
        if isinstance(module, Encoder) or type(module).__module__.startswith("zoo.")
    ]
    digest.update(sources([*own, *others, place, Picture, Asked]).encode())
    digest.update(repr(_versions()).encode())
    digest.update(weights_digest(encoder).encode())
    return digest.hexdigest()


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over all parameters and buffers, with their names; also those that are not stored."""
    digest = hashlib.sha256()
    for name, tensor in sorted({**dict(module.named_buffers()), **module.state_dict()}.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(flat.numpy())
    return digest.hexdigest()


def key_of(text: Any, row: Any) -> bytes:
    """What the features of a text are kept under: itself, and what the tokenizer made of it."""
    digest = hashlib.sha256()
    for part in _canonical((text, row)):
        digest.update(part)
    return digest.digest()


def _canonical(value: Any) -> list[bytes]:
    """A prepared row as bytes; rows that differ anywhere give others."""
    if isinstance(value, Asked):
        return [b"asked", value.key]
    if isinstance(value, Tensor):
        return _canonical(value.detach().cpu().numpy())
    if isinstance(value, np.ndarray):
        return [f"{value.dtype}{value.shape}".encode(), value.tobytes()]
    if isinstance(value, tuple | list):
        if all(type(each) is int for each in value):
            return [repr(value).encode()]
        return [f"({len(value)}".encode(), *(b for each in value for b in _canonical(each))]
    if isinstance(value, Mapping):
        return _canonical([each for pair in value.items() for each in pair])
    if isinstance(value, str | int | float | None):
        return [repr(value).encode(), b"\0"]
    return [pickle.dumps(value)]


def _structure(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a model's configuration says of its structure, without where it came from."""
    beside = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "architectures")
    return sorted((key, repr(value)) for key, value in config.items() if key not in beside)


def device_kind(device: torch.device) -> str:
    """What of a device decides in which order its sums are taken."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"cpu {torch.backends.cpu.get_cpu_capability()}"
    return device.type


def _versions() -> list[str]:
    """Major and minor versions of the libraries that a feature depends on."""
    packages = ("torch", "torchvision", "transformers", "open_clip_torch", "timm", "pillow")
    return [".".join(metadata.version(name).split(".")[:2]) for name in packages]
