"""Predicting with bert-crf: a stream of sentences against the bare backbone's forward.

The stream is what ``zoo predict`` does with words: tokenising, batches without padding,
forward, CRF decoding with probabilities, and the results in the order of the sentences. The bare
backbone is the transformer alone, on batches of 32 sentences of like length which it finds ready
made and padded. Each of ``--batches`` stands for a thousand sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice

import psutil
import torch
from accelerate.utils import set_seed

from benchmarks.common import ROOT, Result, Settings, alternate, dataset, ratio, registry, row
from zoo.build import build
from zoo.model.predictor import Predictor
from zoo.system import Collator
from zoo.training.batches import by_cost
from zoo.types import Sample

SEED = 1
ROWS = 32
BARE = 2_000
"""Sentences that the bare backbone reads a turn; its time is scaled to as many as the stream's."""


class Stream:
    """A predictor of bert-crf on ``minilm``, and the sentences that it reads."""

    def __init__(self, settings: Settings) -> None:
        config = registry()
        splits, name = dataset(config, "twitter2017", settings)
        self.samples = [sample for split in splits.values() for sample in split]
        self.count = 1000 * settings.batches
        set_seed(SEED)
        system = build(config.spec("bert-crf", "minilm"), splits["train"], ROOT)
        self.predictor = Predictor(system)
        self.data = f"{name}: {self.count:,} sentences, of {len(self.samples):,} in turn"
        self.memory: list[int] = []

    def sentences(self) -> Iterator[Sample]:
        return islice(cycle(self.samples), self.count)

    def __call__(self) -> None:
        """All sentences, none of which has been tokenised yet."""
        self.predictor.system.text.body.splitter._known.clear()
        process, memory = psutil.Process(), []
        for number, _ in enumerate(self.predictor(self.sentences())):
            if number * 4 % self.count < 4:
                memory.append(process.memory_info().rss >> 20)
        self.memory = [*memory, process.memory_info().rss >> 20]


class Bare:
    """Forward of the transformer alone."""

    def __init__(self, stream: Stream) -> None:
        system = stream.predictor.system
        self.backbone, self.device = system.text.body.model, stream.predictor.device
        samples = list(islice(stream.sentences(), min(BARE, stream.count)))
        self.count, collate = len(samples), Collator(system)
        made = [collate(batch).inputs["text"] for batch in by_cost(samples, ROWS, collate.cost)]
        self.inputs = [{k: each[k] for k in ("input_ids", "attention_mask")} for each in made]

    def __call__(self) -> None:
        with torch.inference_mode():
            for inputs in self.inputs:
                moved = {name: value.to(self.device) for name, value in inputs.items()}
                self.backbone(**moved).last_hidden_state.sum().item()


def run(settings: Settings) -> Result:
    stream = Stream(settings)
    bare = Bare(stream)
    times = alternate({"bare": bare, "stream": stream}, settings.repeats)
    scale = stream.count / bare.count
    for clock in (times["bare"].wall, times["bare"].cpu):
        clock[:] = [seconds * scale for seconds in clock]
    memory = ", ".join(f"{mib:,}" for mib in stream.memory)
    return Result(
        "Predicting with bert-crf (minilm): a stream against the bare backbone's forward",
        stream.data,
        "sentences",
        [
            row("bare backbone: forward", times["bare"], stream.count),
            row("whole stream: words to entities", times["stream"], stream.count),
        ],
        [ratio("speed of the stream / bare", times["bare"], times["stream"], at_least=0.85)],
        [f"Resident memory at the quarters of the stream: {memory} MiB."],
    )
