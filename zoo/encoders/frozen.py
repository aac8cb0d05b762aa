"""A frozen image encoder: never trained, and its features computed once and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from zoo.encoders.pictures import place
from zoo.errors import RunError
from zoo.files import owner
from zoo.identity import sources
from zoo.parts import Encoder, ImageEncoder
from zoo.types import Inputs, Picture, Sample, View


class Features(NamedTuple):
    """What one picture gives: ``regions`` (R, D) and ``pooled`` (D,)."""

    regions: Tensor
    pooled: Tensor


def fingerprint(encoder: ImageEncoder) -> str:
    """SHA-256 over all that makes a feature, save the picture: weights, structure, settings of the
    transform; the source of the encoder, of what it is made of, of the transform and of picture
    decoding; and the versions of the libraries that decode and compute."""
    digest = hashlib.sha256(repr(encoder).encode())
    for name, module in encoder.named_modules():
        if isinstance(module, Encoder):
            settings = {
                key: value
                for key, value in sorted(vars(module).items())
                if key != "training" and isinstance(value, str | int | float | tuple | None)
            }
            digest.update(f"{name}{settings}".encode())
    own = [
        type(module)
        for module in encoder.modules()
        if isinstance(module, Encoder) or type(module).__module__.startswith("zoo.")
    ]
    digest.update(sources([*own, place, Picture]).encode())
    digest.update(repr(_versions()).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(flat.numpy().tobytes())
    return digest.hexdigest()


class Frozen(ImageEncoder):
    """An image encoder that stays as it is: no gradient, always in eval mode.

    Features are computed one picture at a time and in full precision, so that they depend on
    nothing but the picture, the weights, the transform, and the kind of device; a change in any of
    these makes another key. They are kept in
    ``cache``, one safetensors file a picture, and read from there (memory-mapped) ever after.

    Args:
        encoder: what is frozen.
        cache: folder of the features, shared by all runs.
    """

    def __init__(self, encoder: ImageEncoder, cache: Path) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False).eval()
        self.cache = cache
        self.sees = encoder.sees  # type: ignore[misc]  # as the one inside
        self.width, self.regions = encoder.width, encoder.regions
        self._fingerprint: str | None = None
        self.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        self.encoder.eval()
        return self

    def prepare(self, sample: Sample) -> Features | None:
        """The picture's features, on the CPU. Raises RunError where the cache can't be written."""
        content, row = self._content(sample)
        if content is None:
            return None
        if self._fingerprint is None:
            self._fingerprint = fingerprint(self.encoder)
        device = _device(self.encoder).type
        key = hashlib.sha256(f"{self._fingerprint} {device} {content}".encode()).hexdigest()
        file = self.cache / key[:2] / f"{key}.safetensors"
        features = _read(file)
        if features is None:
            row = self.encoder.prepare(sample) if row is None else row
            if row is None:
                return None
            _write(file, self._compute(row))
            features = _read(file)
            if features is None:
                raise RunError(
                    f"{file}: what was just written can't be read back; is the disk full?"
                )
        return features

    def _content(self, sample: Sample) -> tuple[str | None, Any]:
        """What of a sample the features depend on, and its prepared row if that was needed."""
        if self.sees == "picture":
            return (sample.picture.digest() if sample.picture else None), None
        row = self.encoder.prepare(sample)  # cheap, and shows what the tokenizer made of it
        return (None if row is None else f"{sample.caption} {row!r}"), row

    @torch.no_grad()
    def _compute(self, row: Any) -> Features:
        device = _device(self.encoder)
        inputs = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in self.encoder.collate([row]).items()
        }
        with torch.autocast(device.type, enabled=False):  # a run of any precision may read them
            view: View = self.encoder(inputs)
        return Features(view.regions[0][view.mask[0]], view.pooled[0])

    def collate(self, rows: Sequence[Features | None]) -> Inputs:
        """``regions`` (P, R, D), ``pooled`` (P, D), ``mask`` (P, R) of the P pictures that are
        there, with R the most that one of them has; ``present`` (B,)."""
        features = [row for row in rows if row is not None]
        most = max((len(row.regions) for row in features), default=self.regions or 1)
        regions = torch.zeros(len(features), most, self.width)
        mask = torch.zeros(len(features), most, dtype=torch.bool)
        for i, row in enumerate(features):
            regions[i, : len(row.regions)] = row.regions
            mask[i, : len(row.regions)] = True
        return {
            "regions": regions,
            "pooled": torch.stack([row.pooled for row in features])
            if features
            else torch.zeros(0, self.width),
            "mask": mask,
            "present": torch.tensor([row is not None for row in rows], dtype=torch.bool),
        }

    def forward(self, inputs: Inputs) -> View:
        return place(inputs["regions"], inputs["pooled"], inputs["present"], inputs["mask"])


def _device(encoder: nn.Module) -> torch.device:
    weights = (*encoder.parameters(), *encoder.buffers())
    return weights[0].device if weights else torch.device("cpu")


def _versions() -> list[str]:
    """Major and minor versions of the libraries that a feature depends on."""
    packages = ("torch", "torchvision", "transformers", "open_clip_torch", "pillow")
    return [".".join(metadata.version(name).split(".")[:2]) for name in packages]


def _forget(module: nn.Module, _: object) -> None:
    """Other weights, other features."""
    assert isinstance(module, Frozen)
    module._fingerprint = None


def _read(file: Path) -> Features | None:
    """None where the file is missing or not whole: it is then made anew."""
    try:
        return Features(**load_file(file))
    except (FileNotFoundError, SafetensorError, TypeError):
        return None


def _write(file: Path, features: Features) -> None:
    """Whole or not at all: written beside, then renamed."""
    data = save({k: v.float().cpu().contiguous() for k, v in features._asdict().items()})
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # in the cache itself, where what a dead process left is looked for
        beside = file.parents[1] / f".{file.stem}.{owner()}.tmp"
        try:
            beside.write_bytes(data)
            beside.replace(file)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(
            f"{file.parent}: the features of a frozen encoder can't be written: {error}"
        ) from error
