"""Frozen encoders: never trained, and their features computed once and kept on disk.

What is kept of a sample is a function of the sample and the encoder alone, whichever process
computed it and with which other samples. Rows that :meth:`zoo.parts.Encoder.alike` says are alike
are computed in batches of a size that their cost decides, filled up where they are too few: so the
shapes of all tensors, and with them the order of sums, are the same for a row in any company. All
numbers are rounded to half precision once, also those that were computed a moment ago, so that a
run reads the same bytes from a new cache and from an old one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from zoo.encoders.features import Features, Passing, Row
from zoo.encoders.keys import Asked, device_kind, fingerprint, key_of
from zoo.encoders.pictures import place
from zoo.errors import RunError
from zoo.parts import Encoder, ImageEncoder, TextEncoder
from zoo.types import Inputs, Sample, Text, View

BATCH = 16
"""The most samples, and of text about so many tokens ..."""
TOKENS = 512
"""... that are computed together."""


class Kept:
    """Computes the features of an encoder's samples, all that are missing at once, and keeps them.

    Args:
        encoder: what is frozen.
        cache: the folder of all features.
        pack: takes one row's features out of what the encoder returns for a batch.
        asked: a digest of the encoder's settings.
    """

    def __init__(
        self,
        encoder: Encoder,
        cache: Path,
        pack: Callable[[Any, int], dict[str, Tensor]],
        asked: str,
    ) -> None:
        self.encoder, self.cache, self.pack, self.asked = encoder, cache, pack, asked
        self._fingerprint: str | None = None
        self._features: tuple[str, Features | Passing] | None = None
        self.passing = False
        """Whether what is computed is not written: of a stream of sentences, each read once."""
        self._missing: dict[bytes, Sample] = {}
        self._asked: dict[bytes, Sample] = {}

    @property
    def features(self) -> Features | Passing:
        """Those on disk, of the encoder with its present weights on its present device."""
        if self._fingerprint is None:
            self._fingerprint = fingerprint(self.encoder, Kept, asked=self.asked)
        key = f"{self._fingerprint} {device_kind(_device(self.encoder))}"
        if self._features is None or self._features[0] != key:
            folder = hashlib.sha256(key.encode()).hexdigest()[:32]
            stored = Features.at(self.cache / "features" / folder)
            self._features = key, Passing(stored) if self.passing else stored
        return self._features[1]

    def forget(self) -> None:
        """The weights may have changed."""
        self._fingerprint = None

    def ask(self, key: bytes, sample: Sample, alone: Asked | None = None) -> Asked:
        """Note that a sample's features will be read."""
        if not self.passing:
            self._asked[key] = sample
        if key not in self.features:
            self._missing[key] = sample
        return Asked(key, sample, alone)

    def read(self, asked: Sequence[Asked]) -> list[Row]:
        """The features of samples; what is missing of all that were asked for is computed.

        Raises:
            RunError: they can't be written, or the encoder computes what is no number.
        """
        features = self.features
        self._missing |= {each.key: each.sample for each in asked if each.key not in features}
        self.finish()
        rows = []
        for each in asked:
            row = features.get(each.key)
            if row is None:  # damaged on the disk, as is only now found
                self._missing[each.key] = each.sample
                self.finish()
                row = features.get(each.key)
            if row is None:
                raise RunError(
                    f"{features.folder}: the features of a frozen encoder can't be read back; "
                    "delete the folder"
                )
            rows.append(row)
        return rows

    def finish(self) -> None:
        """Compute what is missing of all that was asked for."""
        features = self.features
        missing, self._missing = self._missing, {}
        if all(key in features for key in missing):
            return
        waiting: dict[Hashable, list[tuple[bytes, Any]]] = {}
        with features.alone():
            features.refresh()  # another process may have computed them meanwhile
            for key, sample in missing.items():
                if key in features:
                    continue
                row = self.encoder.prepare(sample)
                like = self.encoder.alike(row)
                if like is None:
                    self._compute([(key, row)], 1)
                    continue
                size = self._size(sample, row)
                group = waiting.setdefault(like, [])
                group.append((key, row))
                if len(group) == size:
                    self._compute(waiting.pop(like), size)
            for group in waiting.values():
                self._compute(group, self._size(missing[group[0][0]], group[0][1]))
            features.flush()

    def digest(self) -> str:
        """SHA-256 over the features of all samples that were asked for."""
        self._missing |= {k: v for k, v in self._asked.items() if k not in self.features}
        self.finish()
        features, found = self.features, hashlib.sha256()
        assert isinstance(features, Features), "of a run, whose features are written"
        for key in sorted(self._asked):
            found.update(key + features.digest(key))
        return found.hexdigest()

    def _size(self, sample: Sample, row: Any) -> int:
        """How many rows of a kind are computed together: a power of two."""
        if self.encoder.sees == "picture":
            return BATCH
        most = TOKENS // max(1, self.encoder.cost(sample, row))
        return min(BATCH, 1 << max(0, most.bit_length() - 1))

    @torch.no_grad()
    def _compute(self, group: Sequence[tuple[bytes, Any]], size: int) -> None:
        device = _device(self.encoder)
        rows = [row for _, row in group]
        rows += rows[-1:] * (size - len(rows))
        inputs = moved(self.encoder.collate(rows), device)
        with torch.autocast(device.type, enabled=False):  # a run of any precision may read them
            made = self.encoder(inputs)
        for number, (key, _) in enumerate(group):
            packed = self.pack(made, number)
            self.features.put(key, {name: _half(value) for name, value in packed.items()})


class Frozen(ImageEncoder):
    """An image encoder that stays as it is: no gradient, always in eval mode.

    Features depend on nothing but the picture, the weights, the transform, and the kind of device.
    They are kept in ``cache``, in half precision.

    Args:
        encoder: what is frozen.
        cache: folder of the features, shared by all runs.
        reloaded: whether its weights come from elsewhere, so that no run need store them.
        asked: a digest of its settings, which the features are kept under, too.
    """

    def __init__(
        self, encoder: ImageEncoder, cache: Path, reloaded: bool = False, asked: str = ""
    ) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False).eval()
        self.reloaded = reloaded
        self.sees = encoder.sees  # type: ignore[misc]  # as the one inside
        self.width, self.regions = encoder.width, encoder.regions
        self.kept = Kept(encoder, cache, _pack_view, asked)
        self.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> Frozen:
        return super().train(False)

    def prepare(self, sample: Sample) -> Asked | None:
        """What the features are kept under; None where there is nothing to see."""
        if self.sees == "picture":
            if sample.picture is None:
                return None
            key = bytes.fromhex(sample.picture.digest())
            beside = self.encoder.beside(sample)
            return self.kept.ask(key_of(beside, key.hex()) if beside else key, sample)
        row = self.encoder.prepare(sample)  # cheap, and shows what the tokenizer made of it
        return None if row is None else self.kept.ask(key_of(sample.caption, row), sample)

    def collate(self, rows: Sequence[Asked | None]) -> Inputs:
        """``regions`` (P, R, D), ``pooled`` (P, D), ``mask`` (P, R) of the P pictures that are
        there, with R the most that one of them has; ``present`` (B,)."""
        present = torch.tensor([row is not None for row in rows], dtype=torch.bool)
        found = self.kept.read([row for row in rows if row is not None])
        if not found:
            nothing = torch.zeros(0, self.regions or 1, self.width)
            mask = torch.zeros(0, self.regions or 1, dtype=torch.bool)
            return {"regions": nothing, "pooled": nothing[:, 0], "mask": mask, "present": present}
        return {
            "regions": _padded(found, "regions").float(),
            "pooled": torch.stack([row["pooled"].float() for row in found]),
            "mask": _mask(found, "regions"),
            "present": present,
        }

    def forward(self, inputs: Inputs) -> View:
        return place(inputs["regions"], inputs["pooled"], inputs["present"], inputs["mask"])


class FrozenText(TextEncoder):
    """A text encoder that stays as it is: no gradient, always in eval mode.

    Features are kept as those of :class:`Frozen` are, one row a sentence. Its losses, if it has
    any, are not kept: nothing of it is trained.

    Args:
        encoder: what is frozen.
        cache: folder of the features, shared by all runs.
        reloaded: whether its weights come from elsewhere, so that no run need store them.
        asked: a digest of its settings, which the features are kept under, too.
    """

    def __init__(
        self, encoder: TextEncoder, cache: Path, reloaded: bool = False, asked: str = ""
    ) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False).eval()
        self.reloaded = reloaded
        self.sees = encoder.sees  # type: ignore[misc]  # as the one inside
        self.width, self.context_fields = encoder.width, encoder.context_fields
        self.kept = Kept(encoder, cache, _pack_text, asked)
        self.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> FrozenText:
        return super().train(False)

    def prepare(self, sample: Sample) -> Asked:
        """What the features are kept under."""
        alone = None
        if self.context_fields:
            bare = replace(sample, caption=None, extra={})
            alone = self.kept.ask(key_of(bare.words, self.encoder.prepare(bare)), bare)
        key = key_of(sample.words, self.encoder.prepare(sample))
        return self.kept.ask(key, sample, alone)

    def alike(self, row: Asked) -> Hashable:
        """Sentences of as many words."""
        return len(row.sample.words)

    def collate(self, rows: Sequence[Asked]) -> Inputs:
        """``tokens`` (B, N, D), ``sentence`` (B, D), ``mask`` (B, N); of sub-words also ``last``
        (B, N, D) and ``pieces`` (B, N). With context also ``alone.tokens`` … of the sentences
        without it."""
        inputs = self._collate(rows)
        if self.context_fields:
            bare = self._collate([row.alone for row in rows if row.alone is not None])
            inputs |= {f"alone.{name}": value for name, value in bare.items()}
        return inputs

    def _collate(self, rows: Sequence[Asked]) -> dict[str, Tensor]:
        found = self.kept.read(rows)
        inputs = {
            "tokens": _padded(found, "tokens").float(),
            "sentence": torch.stack([row["sentence"].float() for row in found]),
            "mask": _mask(found, "tokens"),
        }
        if all("last" in row for row in found):
            inputs["last"] = inputs["tokens"].clone()
            places = _padded(found, "apart")
            inputs["last"][places] = torch.cat([row["last"].float() for row in found])
        if all("pieces" in row for row in found):
            inputs["pieces"] = _padded(found, "pieces").long()
        return inputs

    def alone(self, inputs: Inputs) -> Inputs:
        if not self.context_fields:
            return inputs
        head = "alone."
        return {name[len(head) :]: inputs[name] for name in inputs if name.startswith(head)}

    def forward(self, inputs: Inputs) -> Text:
        return Text(
            inputs["tokens"],
            inputs["sentence"],
            inputs["mask"],
            last=inputs.get("last"),
            pieces=inputs.get("pieces"),
        )


def _pack_view(view: View, row: int) -> dict[str, Tensor]:
    return {"regions": view.regions[row][view.mask[row]], "pooled": view.pooled[row]}


def _pack_text(text: Text, row: int) -> dict[str, Tensor]:
    """``last`` holds the words for which it is another vector than in ``tokens``: ``apart``."""
    real = text.mask[row]
    packed = {"tokens": text.tokens[row][real], "sentence": text.sentence[row]}
    if text.last is not None:
        last = text.last[row][real]
        packed["apart"] = (last != packed["tokens"]).any(dim=-1)
        packed["last"] = last[packed["apart"]]
    if text.pieces is not None:
        packed["pieces"] = text.pieces[row][real].to(torch.int32)
    return packed


def _half(value: Tensor) -> Tensor:
    """In half precision where all of it fits. Raises RunError for what is no number."""
    value = value.detach().cpu()
    if not value.is_floating_point():
        return value
    if not value.isfinite().all():
        raise RunError("a frozen encoder computes what is no number; take another one, or train it")
    half = value.half()
    return half if half.isfinite().all() else value.float()


def _padded(rows: Sequence[Row], name: str) -> Tensor:
    """What the rows have by this name, (B, most, …), with zeros behind."""
    values = [row[name] for row in rows]
    if len({value.dtype for value in values}) > 1:
        values = [value.float() for value in values]
    return pad_sequence(values, batch_first=True)


def _mask(rows: Sequence[Row], name: str) -> Tensor:
    lengths = torch.tensor([len(row[name]) for row in rows])
    return torch.arange(int(lengths.max())) < lengths.unsqueeze(1)


def moved(inputs: Inputs, device: torch.device) -> Inputs:
    """Inputs on a device, with the tensors of the mappings and lists in them."""
    if device.type == "cpu":
        return inputs
    from accelerate.utils import send_to_device  # half a second

    on_device: Inputs = send_to_device(inputs, device)
    return on_device


def _device(encoder: nn.Module) -> torch.device:
    weights = (*encoder.parameters(), *encoder.buffers())
    return weights[0].device if weights else torch.device("cpu")


def _forget(module: nn.Module, _: object) -> None:
    """Other weights, other features."""
    assert isinstance(module, Frozen | FrozenText)
    module.kept.forget()
