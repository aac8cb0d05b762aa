"""Training 2m-ner and smner: forward and backward against those of their encoders alone.

Both systems have the same three encoders, MiniLM for the text and one for each of two views of the
caption, all of them trained; on the very same batches, which both sides find ready made. What comes
on top is what the systems themselves cost: aligner, fuser, decoder.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import torch
from accelerate.utils import set_seed
from torch import Tensor

from benchmarks.common import ROOT, Result, Settings, alternate, dataset, ratio, row
from zoo.build import build
from zoo.config.read import read
from zoo.system import System
from zoo.training.batches import shuffled
from zoo.training.loop import Trainer
from zoo.types import Batch, Sample

SEED = 1
NAMES = ("2m-ner", "smner")
CHANGES = (
    "backbones.minilm.grid.frozen=false",
    "backbones.minilm.patch.frozen=false",
    "systems.smner.views.patch={part: $patch}",
)


class Step:
    """A system with its batches; what the two sides share."""

    def __init__(self, name: str, train: list[Sample], settings: Settings) -> None:
        config = read(ROOT / "registry.yaml", CHANGES)
        set_seed(SEED)
        self.system: System = build(config.spec(name, "minilm"), train, ROOT)
        trainer = Trainer(self.system, config.recipes["minilm"], SEED)
        self.autocast = trainer.accelerator.autocast
        size = trainer.recipe.batch_size
        chosen = random.Random(SEED).sample(train, min(len(train), settings.batches * size))
        self.sentences = len(chosen)
        self.batches = [
            trainer.batch(samples)
            for samples in shuffled(chosen, size, random.Random(SEED), trainer.collate.cost)
        ]

    def encoders(self) -> None:
        """Forward and backward of the encoders alone."""
        self._each(self._encoded)

    def whole(self) -> None:
        """Forward and backward of the system."""
        self._each(lambda batch: self.system.total(self.system(batch).losses))

    def _encoded(self, batch: Batch) -> Tensor:
        text, views = self.system.encode(batch)
        outputs = [text.tokens, text.sentence]
        outputs += [x for view in views.values() for x in (view.regions, view.pooled)]
        return torch.stack([x.float().mean() for x in outputs]).sum()

    def _each(self, forward: Callable[[Batch], Tensor]) -> None:
        self.system.train()
        for batch in self.batches:
            with self.autocast():
                loss = forward(batch)
            loss.backward()
            self.system.zero_grad()


def run(settings: Settings) -> Result:
    config = read(ROOT / "registry.yaml")
    splits, name = dataset(config, "twitter2017", settings)
    if all(sample.caption is None for sample in splits["train"]):
        splits["train"] = [captioned(sample) for sample in splits["train"]]
    rows, figures, sentences = [], [], 0
    for system in NAMES:
        step = Step(system, splits["train"], settings)
        sides = {"encoders": step.encoders, "whole": step.whole}
        times = alternate(sides, settings.repeats)
        sentences = step.sentences
        rows += [
            row(f"{system}: its encoders alone", times["encoders"], sentences),
            row(f"{system}: the whole", times["whole"], sentences),
        ]
        figures.append(
            ratio(f"{system} / its encoders", times["whole"], times["encoders"], at_most=1.35)
        )
    return Result(
        "Training 2m-ner and smner (minilm): forward and backward against their encoders' own",
        f"{name}: {sentences} training sentences",
        "sentences",
        rows,
        figures,
    )


def captioned(sample: Sample) -> Sample:
    """A stand-in where the data have no captions."""
    return replace(sample, caption=" ".join(sample.words[:10]))
