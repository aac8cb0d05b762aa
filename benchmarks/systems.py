"""Training: the whole step of every system against what it has to compute.

That is the bare forward and backward of its encoders (:mod:`benchmarks.train_step`), and those of
its own modules (aligner, fuser, decoder, objective with all losses) on stored states: what the
encoders made of the same batches a moment ago, with gradients down to these states. The rest of a
step is batches, clipping, optimizer, schedule and what passes between the parts.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import Result, Settings, Timing, alternate, ratio, registry, row
from benchmarks.train_step import Bare, Epochs
from zoo.types import Batch, Text, Views

SUITE = "twitter2017-all"
AT_MOST = 1.1
"""The bound of whole / (bare encoders + own modules)."""


class Own:
    """Forward and backward of a system's own modules on stored states."""

    def __init__(self, epochs: Epochs) -> None:
        self.trainer = epochs.trainer
        self.system = epochs.trainer.system.train()
        self.batches: list[tuple[Batch, tuple[Text, Views]]] = []
        for samples in epochs.batches():
            batch = self.trainer.batch(samples)
            with torch.no_grad(), self.trainer.accelerator.autocast():
                text, views = self.system.encode(batch)
            trained = any(each.requires_grad for each in self.system.text.parameters())
            stored = leaves(text, trained)
            seen = {
                name: leaves(
                    view, any(p.requires_grad for p in self.system.views[name].parameters())
                )
                for name, view in views.items()
            }
            self.batches.append((batch, (stored, seen)))

    def __call__(self) -> None:
        for batch, encoded in self.batches:
            with self.trainer.accelerator.autocast():
                loss = self.system.total(self.system(batch, encoded=encoded).losses)
            loss.backward()
            self.system.zero_grad()


def leaves(state: Any, trained: bool) -> Any:
    """A text or view whose tensors are the beginning of a graph, where its encoder is trained."""
    values = {field.name: getattr(state, field.name) for field in fields(state)}
    floats = {
        name: value.detach().clone().requires_grad_(trained)
        for name, value in values.items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }
    return replace(state, **floats, losses={})


def plus(one: Timing, other: Timing) -> Timing:
    """Of both together, turn by turn."""
    return Timing(
        *([a + b for a, b in zip(getattr(one, clock), getattr(other, clock), strict=True)]
          for clock in ("wall", "cpu"))
    )  # fmt: skip


def run(settings: Settings) -> Result:
    names = registry().suites[SUITE].systems
    rows, figures, data = [], [], ""
    for name in names[:2] if settings.repeats == 1 else names:
        with Epochs(settings, name) as epochs:
            sides = {"encoders": Bare(epochs), "own modules": Own(epochs), "whole step": epochs}
            times = alternate(sides, settings.repeats)
        count, data = len(epochs.train), epochs.data
        rows += [row(f"{name}: {side}", times[side], count) for side in sides]
        both = plus(times["encoders"], times["own modules"])
        figures.append(ratio(f"{name}: whole step / (encoders + own)", times["whole step"], both,
                             AT_MOST))  # fmt: skip
    return Result(
        "Training (minilm): the whole step of every system against what it has to compute",
        data, "sentences", rows, figures,
        ["Of systems that encode a sentence twice, the second time counts as an own module."],
    )  # fmt: skip
