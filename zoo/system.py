"""A system: an assembly of parts. ``forward`` is these few lines and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from zoo.parts import Aligner, Decoder, Encoder, Fuser, ImageEncoder, JointEncoder, TextEncoder
from zoo.types import Batch, Sample, ScoredEntity, Text, Units, Views


@dataclass(frozen=True)
class Output:
    """The units to classify, the text-only states beside them, and the losses met on the way."""

    units: Units
    text: Text
    losses: Mapping[str, Tensor] = field(default_factory=dict)


class System(nn.Module):
    """words + picture → encoder → aligner → fuser → decoder → entities.

    Args:
        text: the text encoder, or a joint encoder, which makes the views too.
        views: image encoders by the name of their view.
        loss_weights: factors by loss name; a name also stands for those it begins
            (``contrastive`` for ``contrastive.grid``). 1 where none is given.
    """

    def __init__(
        self,
        text: TextEncoder | JointEncoder,
        views: Mapping[str, ImageEncoder],
        aligner: Aligner | None,
        fuser: Fuser | None,
        decoder: Decoder,
        loss_weights: Mapping[str, float],
    ) -> None:
        super().__init__()
        self.text = text
        self.views = nn.ModuleDict(views)
        self.aligner = aligner
        self.fuser = fuser
        self.decoder = decoder
        self.loss_weights = dict(loss_weights)

    def encoders(self) -> dict[str, Encoder]:
        """Every encoder by its slot, as ``Batch.inputs`` names them."""
        views = {f"views.{name}": encoder for name, encoder in self.views.items()}
        return {"text": self.text, **views}  # type: ignore[dict-item]

    def forward(self, batch: Batch, *, train: bool = True) -> Output:
        """Run all parts but the decoder's head; with ``train`` the losses of every part."""
        text, views = self.encode(batch)
        losses = dict(text.losses)
        for view in views.values():
            losses |= view.losses
        words = text
        if self.aligner is not None:
            aligned = self.aligner(text, views, batch.gold if train else None)
            words, views = aligned.text, aligned.views
            losses |= aligned.losses
        units = Units.of_words(words)
        if self.fuser is not None and self.fuser.level == "token":
            units = self.fuser(units, views)
            losses |= units.losses
        units = self.decoder.units(units, text, batch.samples)
        if self.fuser is not None and self.fuser.level == "span":
            units = self.fuser(units, views)
            losses |= units.losses
        if train:
            losses |= self.decoder.loss(units, text, batch.gold)
        return Output(units, text, losses)

    def encode(self, batch: Batch) -> tuple[Text, Views]:
        if isinstance(self.text, JointEncoder):
            text, views = self.text(batch.inputs["text"])
            return text, views
        made = {name: view(batch.inputs[f"views.{name}"]) for name, view in self.views.items()}
        return self.text(batch.inputs["text"]), made

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Σ weight × loss."""
        weighted = [self.weight(name) * loss for name, loss in losses.items()]
        return sum(weighted[1:], start=weighted[0])

    def weight(self, name: str) -> float:
        return self.loss_weights.get(name, self.loss_weights.get(name.partition(".")[0], 1.0))

    def predict(self, batch: Batch) -> list[list[ScoredEntity]]:
        """The entities of each sentence. Call in eval mode, without gradients."""
        output = self(batch, train=False)
        return self.decoder.decode(output.units, output.text)


class Collator:
    """Makes batches; keeps what the encoders prepared of each sample, up to a bound.

    Args:
        keep: bytes of prepared tensors to keep in memory; beyond that they are made anew.
    """

    def __init__(self, system: System, keep: int = 2 << 30) -> None:
        self.encoders = system.encoders()
        self.rows: dict[tuple[str, int], Any] = {}
        self.left = keep

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        inputs = {
            slot: encoder.collate([self.prepared(slot, encoder, sample) for sample in samples])
            for slot, encoder in self.encoders.items()
        }
        return Batch(samples, inputs)

    def prepared(self, slot: str, encoder: Encoder, sample: Sample) -> Any:
        key = slot, id(sample)  # ids may recur between splits; the splits outlive the collator
        if key in self.rows:
            return self.rows[key]
        row = encoder.prepare(sample)
        size = _bytes(row)
        if size <= self.left:
            self.left -= size
            self.rows[key] = row
        return row


def _bytes(row: Any) -> int:
    if isinstance(row, Tensor):
        return row.nbytes
    return sum(map(_bytes, row)) if isinstance(row, (tuple, list)) else 64
