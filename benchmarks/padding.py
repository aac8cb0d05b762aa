"""Training bert-crf: length-bucketed dynamic batches against padding to 128 sub-words.

Both sides are whole training epochs over the same sentences. The fixed one is what many released
systems do: batches at random, every sentence padded to 128 pieces (only the encoder's input: the
CRF still sees the words alone, to the other side's advantage).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from unittest.mock import patch

from torch import Tensor
from torch.nn.functional import pad

import zoo.training.loop
from benchmarks.common import Result, Settings, alternate, ratio, row
from benchmarks.train_step import Epochs
from zoo.system import Collator
from zoo.training.batches import Cost
from zoo.types import Batch, Sample

LENGTH = 128


class FixedLength(Collator):
    """Batches as ever, then padded."""

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        batch = super().__call__(samples)
        return Batch(samples, {"text": padded(batch.inputs["text"])})


def padded(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A pre-trained encoder's inputs with ``LENGTH`` pieces a window, the same words in them."""
    length = inputs["input_ids"].shape[1]
    wide = max(LENGTH, length)
    starts = inputs["starts"] // length * wide + inputs["starts"] % length
    grown = {
        name: pad(inputs[name], (0, wide - length)) for name in ("input_ids", "attention_mask")
    }
    return {**inputs, **grown, "starts": starts}


def at_random(
    samples: Sequence[Sample], size: int, rng: random.Random, cost: Cost
) -> list[list[Sample]]:
    """Batches without regard to cost."""
    order = rng.sample(samples, len(samples))
    return [order[i : i + size] for i in range(0, len(order), size)]


def run(settings: Settings) -> Result:
    with Epochs(settings) as epochs:
        return _run(epochs, settings)


def _run(epochs: Epochs, settings: Settings) -> Result:
    trainer, bucketed = epochs.trainer, epochs.trainer.collate
    fixed_length = FixedLength(trainer.system)

    def ours() -> None:
        trainer.collate = bucketed
        epochs()

    def fixed() -> None:
        trainer.collate = fixed_length
        with patch.object(zoo.training.loop, "shuffled", at_random):
            epochs()

    times = alternate({"ours": ours, "fixed": fixed}, max(1, settings.repeats // 2))
    n = len(epochs.train)
    return Result(
        f"Training bert-crf (minilm): length-bucketed batches against padding to {LENGTH} pieces",
        epochs.data,
        "sentences",
        [
            row("length-bucketed, padded to the longest", times["ours"], n),
            row(f"at random, padded to {LENGTH}", times["fixed"], n),
        ],
        [ratio(f"padding to {LENGTH} / ours", times["fixed"], times["ours"], at_least=3)],
    )
