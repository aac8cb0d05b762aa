"""Predicting with bert-crf: a stream of sentences against the bare backbone's forward.

The stream is what ``zoo predict`` does with words: tokenising, batches without padding,
forward, CRF decoding with probabilities, and the results in the order of the sentences. The bare
backbone is the transformer alone, on batches of 32 sentences of like length which it finds ready
made and padded. Each of ``--batches`` stands for a thousand sentences of one stream (100 for the
100,000 of which constant memory is asked); ``--repeats`` says in how many pieces it is read, before
each of which the bare backbone is timed, so that a long stream and a short forward meet the same
machine. What is compared is the sums over the pieces, since a stream reads ahead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice

import psutil
import torch
from accelerate.utils import set_seed

from benchmarks.common import (
    ROOT,
    Result,
    Settings,
    Timing,
    alternate,
    dataset,
    ratio,
    registry,
    row,
)
from zoo.build import build
from zoo.model.predictor import Predictor
from zoo.system import Collator
from zoo.training.batches import by_cost
from zoo.types import Sample

SEED = 1
ROWS = 32
BARE = 2_000
"""The most sentences that the bare backbone reads a turn; its time is scaled to the stream's."""


class Stream:
    """A predictor of bert-crf on ``minilm``, and the one stream of sentences that it reads; a call
    takes the next piece of it."""

    def __init__(self, settings: Settings) -> None:
        config = registry()
        splits, name = dataset(config, "twitter2017", settings)
        self.samples = [sample for split in splits.values() for sample in split]
        self.count, self.pieces = 1000 * settings.batches, settings.repeats
        set_seed(SEED)
        system = build(config.spec("bert-crf", "minilm"), splits["train"], ROOT)
        self.predictor = Predictor(system)
        self.data = f"{name}: {self.count:,} sentences, of {len(self.samples):,} in turn"
        self.found = self.predictor(self.sentences())
        self.read = 0
        self.memory: list[int] = []

    def sentences(self) -> Iterator[Sample]:
        """Each of them is tokenised anew, though they come again: no word is remembered."""
        for number, sample in enumerate(islice(cycle(self.samples), self.count)):
            if number % len(self.samples) == 0:
                self.predictor.system.text.body.splitter._known.clear()
            yield sample

    def __call__(self) -> None:
        size = -(-self.count // self.pieces)
        self.read += sum(1 for _ in islice(self.found, size))
        self.memory.append(psutil.Process().memory_info().rss >> 20)


class Bare:
    """Forward of the transformer alone, on sentences from all over what the stream reads."""

    def __init__(self, stream: Stream) -> None:
        system = stream.predictor.system
        self.backbone, self.device = system.text.body.model, stream.predictor.device
        samples = stream.samples[: stream.count]
        samples = samples[:: -(-len(samples) // BARE)]
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
    bare()  # to warm up
    turns = [alternate({"bare": bare, "stream": stream}, 1) for _ in range(stream.pieces)]
    assert stream.read == stream.count, "the stream was read to its end"
    scale = stream.count / (bare.count * len(turns))
    once, whole = _sum(turns, "bare", scale), _sum(turns, "stream")
    memory = ", ".join(f"{mib:,}" for mib in stream.memory)
    return Result(
        "Predicting with bert-crf (minilm): a stream against the bare backbone's forward",
        stream.data,
        "sentences",
        [
            row("bare backbone: forward", once, stream.count),
            row("whole stream: words to entities", whole, stream.count),
        ],
        [ratio("speed of the stream / bare", once, whole, at_least=0.85)],
        [f"Resident memory after each piece of the stream: {memory} MiB."],
    )


def _sum(turns: Sequence[Mapping[str, Timing]], side: str, scale: float = 1) -> Timing:
    """What a side took in all turns, as one turn."""
    wall = sum(seconds for turn in turns for seconds in turn[side].wall)
    return Timing([scale * wall], [scale * sum(s for turn in turns for s in turn[side].cpu)])
