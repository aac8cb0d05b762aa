"""Training: the whole step of four systems against the bare forward and backward of their encoders.

The whole step is an epoch of the real training loop: batching, forward, losses, backward, clipping,
optimizer, schedule, the sums for the history. The bare one is forward and backward of the trained
transformers alone, as the library makes them (its dropout, the dense gradient of its embeddings),
in the same precision and on the very same batches, which it finds ready made.
"""

from __future__ import annotations

import random
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from accelerate.utils import set_seed

from benchmarks.common import ROOT, Result, Settings, alternate, dataset, ratio, registry, row
from zoo.build import build
from zoo.encoders.pretrained import Pretrained
from zoo.system import Collator, System
from zoo.training.batches import by_cost, shuffled
from zoo.training.loop import Trainer
from zoo.types import Sample

SEED = 1
AT_MOST = {"bert-crf": 1.12, "bert-span": 1.12, "2m-ner": 1.2, "smner": 1.4}
"""The systems, and the bound of whole / bare."""


class Epochs:
    """A trainer of a system on ``minilm`` in the midst of training, and what its epochs take.

    The rows of embeddings that are trained are those that occur in the whole training split.
    """

    def __init__(self, settings: Settings, name: str = "bert-crf") -> None:
        config = registry()
        splits, self.name = dataset(config, "twitter2017", settings)
        if all(sample.caption is None for sample in splits["train"]):
            splits["train"] = [captioned(sample) for sample in splits["train"]]
        self.split, self.test = splits["train"], splits["test"]
        recipe = config.recipes["minilm"]
        spec = config.spec(name, "minilm")

        def made() -> System:
            set_seed(SEED)
            return build(spec, self.split, ROOT / "results" / ".cache" / "features")

        self.other = made()
        self.trainer = Trainer(made(), recipe, SEED)
        self.precision = self.trainer.accelerator.mixed_precision.replace("no", "fp32")
        count = min(len(self.split), settings.batches * recipe.batch_size)
        self.train = random.Random(SEED).sample(self.split, count)
        self.data = f"{self.name}: {count} training sentences, batches of {recipe.batch_size}"
        self._open = ExitStack()

    def __enter__(self) -> Epochs:
        self._open.enter_context(self.trainer.training(self.split, 10**6))
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def batches(self) -> list[list[Sample]]:
        """The batches of every epoch, which ``__call__`` makes too."""
        size, cost = self.trainer.recipe.batch_size, self.trainer.collate.cost
        return shuffled(self.train, size, random.Random(SEED), cost)

    def __call__(self) -> None:
        """One epoch as a run does it, in its deterministic mode; the same batches every time."""
        before = torch.are_deterministic_algorithms_enabled()
        fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        self.trainer.rng = random.Random(SEED)
        self.trainer.epoch(self.train, 1)
        torch.use_deterministic_algorithms(before, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]

    def first(self) -> None:
        """An epoch in which no sentence has been tokenised yet."""
        trainer = self.trainer
        trainer.collate = Collator(trainer.system, max_tokens=trainer.collate.max_tokens)
        trainer.system.text.body.splitter._known.clear()  # type: ignore[union-attr]
        self()


class Bare:
    """Forward and backward of the trained encoders alone; of those that are pretrained, the
    library's model."""

    def __init__(self, epochs: Epochs) -> None:
        self.autocast = epochs.trainer.accelerator.autocast
        self.models: list[tuple[torch.nn.Module, list[dict[str, Any]]]] = []
        self.encoders: list[tuple[torch.nn.Module, list[Any]]] = []
        made = [epochs.trainer.batch(batch).inputs for batch in epochs.batches()]
        for slot, encoder in epochs.other.encoders().items():
            trained = [each for each in encoder.modules() if any(map(_learns, each.parameters()))]
            bodies = [body for body in trained if isinstance(body, Pretrained)]
            for body in bodies:
                names = ("input_ids", "attention_mask")
                inputs = [{name: each[slot][name] for name in names} for each in made]
                self.models.append((body.model.train(), inputs))
            if trained and not bodies:
                self.encoders.append((encoder.train(), [each[slot] for each in made]))

    def __call__(self) -> None:
        for model, batches in self.models:
            for inputs in batches:
                with self.autocast():
                    loss = model(**inputs).last_hidden_state.float().mean()
                loss.backward()
                model.zero_grad()
        for encoder, batches in self.encoders:
            for inputs in batches:
                with self.autocast():
                    state = encoder(inputs)
                    vectors = getattr(state, "tokens", None)
                    loss = (state.regions if vectors is None else vectors).float().mean()
                loss.backward()
                encoder.zero_grad()


def _learns(parameter: torch.nn.Parameter) -> bool:
    return parameter.requires_grad


def run(settings: Settings) -> Result:
    rows, figures, notes, data = [], [], [], ""
    for name, most in AT_MOST.items():
        with Epochs(settings, name) as epochs:
            sides = {"bare": Bare(epochs), "later": epochs}
            if name == "bert-crf":
                sides["first"] = epochs.first
            times = alternate(sides, settings.repeats)
            count, data = len(epochs.train), epochs.data
            rows.append(row(f"{name}: bare encoders, forward and backward", times["bare"], count))
            for side in [each for each in sides if each != "bare"]:
                what = "whole step" if side == "later" else "whole step, first epoch (tokenises)"
                rows.append(row(f"{name}: {what}", times[side], count))
                figures.append(ratio(f"{name}: {what} / bare", times[side], times["bare"], most))
            if name == "bert-crf":
                notes = [f"Both sides in {epochs.precision}.", *facts(epochs)]
    return Result(
        "Training (minilm): the whole step against the bare encoders", data, "sentences",
        rows, figures, notes,
    )  # fmt: skip


def facts(epochs: Epochs) -> list[str]:
    """What the batches waste on padding, and how much of the embeddings is trained."""
    trainer = epochs.trainer
    size, cost = trainer.recipe.batch_size, trainer.collate.cost
    train = shuffled(epochs.split, size, random.Random(SEED), cost)
    test = by_cost(epochs.test, 2 * size, cost)
    ((table, rows),) = trainer.collate.lookups(epochs.split).items()
    whole = getattr(table, "num_embeddings", 0)
    return [
        f"Real / padded pieces: {full(train, cost):.3f} in training, {full(test, cost):.3f} in "
        f"prediction. Of {whole:,} rows of embeddings {len(rows):,} occur and are trained."
    ]


def full(batches: list[list[Sample]], cost: Any) -> float:
    """The share of pieces that are no padding."""
    costs = [[cost(sample)[0] for sample in batch] for batch in batches]
    return sum(map(sum, costs)) / sum(len(each) * max(each) for each in costs)


def captioned(sample: Sample) -> Sample:
    """A stand-in where the data have no captions."""
    return replace(sample, caption=" ".join(sample.words[:10]))
