"""Training bert-crf: the whole step against the bare backbone's forward and backward.

The whole step is an epoch of the real training loop: tokenising, batching, forward, CRF loss,
backward, clipping, optimizer, schedule, the sums for the history. The bare one is the transformer's
forward and backward alone, on the very same batches, which it finds ready made.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from accelerate.utils import set_seed

from benchmarks.common import ROOT, Result, Settings, alternate, dataset, ratio, registry, row
from zoo.build import build
from zoo.system import Collator
from zoo.training.batches import shuffled
from zoo.training.loop import Trainer
from zoo.training.optimizer import make_schedule
from zoo.types import Sample

SEED = 1


class Epochs:
    """A trainer of bert-crf on ``minilm``, and the sentences that its epochs take."""

    def __init__(self, settings: Settings) -> None:
        config = registry()
        splits, name = dataset(config, "twitter2017", settings)
        set_seed(SEED)
        recipe = config.recipes["minilm"]
        system = build(config.spec("bert-crf", "minilm"), splits["train"], ROOT)
        self.trainer = Trainer(system, recipe, SEED)
        self.train = random.Random(SEED).sample(
            splits["train"], min(len(splits["train"]), settings.batches * recipe.batch_size)
        )
        self.data = f"{name}: {len(self.train)} training sentences, batches of {recipe.batch_size}"
        self.schedule = make_schedule(self.trainer.optimizer, recipe, 10**6)
        prepare = self.trainer.accelerator.prepare
        self.model, self.optimizer = prepare(system, self.trainer.optimizer)

    def batches(self) -> list[list[Sample]]:
        """The batches of every epoch, which ``__call__`` makes too."""
        return shuffled(
            self.train,
            self.trainer.recipe.batch_size,
            random.Random(SEED),
            self.trainer.collate.cost,
        )

    def __call__(self) -> None:
        """One epoch as a run does it, in its deterministic mode; the same batches every time."""
        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True, warn_only=True)
        self.trainer.rng = random.Random(SEED)
        self.trainer._epoch(self.model, self.optimizer, self.schedule, self.train, 1)
        torch.use_deterministic_algorithms(before, warn_only=True)


class Bare:
    """Forward and backward of the transformer alone."""

    def __init__(self, epochs: Epochs, batches: Sequence[Sequence[Sample]]) -> None:
        self.backbone = epochs.trainer.system.text.body.model
        made = [epochs.trainer.batch(batch).inputs["text"] for batch in batches]
        self.inputs = [{k: batch[k] for k in ("input_ids", "attention_mask")} for batch in made]

    def __call__(self) -> None:
        self.backbone.train()
        for inputs in self.inputs:
            self.backbone(**inputs).last_hidden_state.mean().backward()
            self.backbone.zero_grad()


def run(settings: Settings) -> Result:
    epochs = Epochs(settings)
    bare = Bare(epochs, epochs.batches())

    def first() -> None:
        """An epoch in which no sentence has been tokenised yet."""
        epochs.trainer.collate = Collator(epochs.trainer.system)
        epochs.trainer.system.text.body.splitter._known.clear()
        epochs()

    sides = {"bare": bare, "first": first, "later": epochs}
    times = alternate(sides, settings.repeats)
    n = len(epochs.train)
    return Result(
        "Training bert-crf (minilm): the whole step against the bare backbone",
        epochs.data,
        "sentences",
        [
            row("bare backbone: forward and backward", times["bare"], n),
            row("whole step, first epoch (tokenises)", times["first"], n),
            row("whole step, later epochs", times["later"], n),
        ],
        [
            ratio("whole step / bare, first epoch", times["first"], times["bare"], at_most=1.25),
            ratio("whole step / bare, later epochs", times["later"], times["bare"], at_most=1.25),
        ],
    )
