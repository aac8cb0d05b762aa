"""``python -m benchmarks.memory [--sentences N] [--data DIR] [--out FILE]``: memory of training.

The peak of a process that trains bert-crf with an encoder of BERT-base's size (12 layers of width
768, random weights, 30,000 pieces) on the longest sentences of ``cp_mner``, sixteen a batch: what
the dearest batches of an epoch need. Without ``cp_mner``, made-up sentences of 500 words take their
place. Takes some minutes a batch on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import set_seed

from benchmarks.common import machine
from zoo.build import build, read_data
from zoo.config.specs import Recipe
from zoo.data.bio import Bio
from zoo.decoders.crf import Crf
from zoo.encoders.transformer import Transformer
from zoo.files import write_atomic
from zoo.schema import PartSpec, SystemSpec
from zoo.training.loop import Trainer
from zoo.types import Entity, Sample

PIECES = 30_000
LIMIT = 12.0
"""GB that training at batch size 16 is to stay below."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--sentences", type=int, default=32, metavar="N", help="longest ones (32)")
    parser.add_argument("--layers", type=int, default=12, metavar="N", help="of the encoder (12)")
    parser.add_argument("--batch-size", type=int, default=16, metavar="N", help="sentences (16)")
    parser.add_argument("--data", type=Path, help="folder of the real data (ZOO_DATA)")
    parser.add_argument("--out", type=Path, help="a JSON file to store the record in")
    given = parser.parse_args(arguments)
    root = given.data or (Path(os.environ["ZOO_DATA"]) if os.environ.get("ZOO_DATA") else None)
    record = measure(root, given.sentences, given.layers, given.batch_size)
    print(json.dumps(record, indent=2))
    if given.out:
        write_atomic(given.out, json.dumps(record, indent=2))


def measure(root: Path | None, sentences: int, layers: int, batch_size: int) -> dict[str, Any]:
    """Train on the longest sentences; the peak of this process in GB, and what it was of."""
    here = machine()
    train, name = longest(root, sentences)
    with tempfile.TemporaryDirectory() as folder:
        store_encoder(Path(folder), {word for sample in train for word in sample.words}, layers)
        set_seed(1)
        text = PartSpec("text_encoder", "transformer", Transformer, {"model": folder})
        crf = PartSpec("decoder", "crf", Crf, {})
        spec = SystemSpec("bert-crf", "base", text, None, {}, (), None, crf, {})
        system = build(spec, train, Path(folder))
    recipe = Recipe(epochs=1, batch_size=batch_size, learning_rates={"*": 1e-5})
    trainer = Trainer(system, recipe, 1)
    loaded = peak()
    begin = time.perf_counter()
    with trainer.training(train, 10):
        trainer.epoch(train, 1)
    lengths = sorted(len(sample.words) for sample in train)
    return {
        "benchmark": "memory",
        "command": f"python -m benchmarks.memory --sentences {sentences}",
        "machine": here,
        "data": f"{name}: {len(train)} sentences of {lengths[0]} to {lengths[-1]} words",
        "batch_size": batch_size,
        "max_tokens": trainer.collate.max_tokens,
        "parameters": sum(p.numel() for p in system.parameters()),
        "seconds": round(time.perf_counter() - begin, 1),
        "peak_before_training_gb": loaded,
        "peak_gb": peak(),
        "limit_gb": LIMIT,
        "met": peak() < LIMIT,
    }


def peak() -> float:
    """The most memory that this process has had so far, in GB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most * (1 if sys.platform == "darwin" else 1024) / 1e9, 2)


def longest(root: Path | None, sentences: int) -> tuple[list[Sample], str]:
    """The longest training sentences of ``cp_mner``, else as many made-up ones."""
    if root is not None and (root / "cp_mner").is_dir():
        train = read_data(PartSpec("reader", "bio", Bio, {"path": "cp_mner"}), root)["train"]
        return sorted(train, key=lambda sample: -len(sample.words))[:sentences], "cp_mner"
    rng = random.Random(1)
    words = [chr(rng.randrange(0x4E00, 0x9FA5)) for _ in range(2000)]
    made = [
        Sample(f"s{i}", tuple(rng.choices(words, k=500)), entities=(Entity(3, 5, "PER"),))
        for i in range(sentences)
    ]
    return made, "made-up sentences (cp_mner is not here)"


def store_encoder(folder: Path, words: set[str], layers: int) -> None:
    """An encoder of base size with random weights, which knows every word."""
    from transformers import BertConfig, BertModel, BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *sorted({letter for word in words for letter in word})]
    pieces += [f"##{piece}" for piece in pieces[len(special) :]]
    pieces += [f"[unused{i}]" for i in range(PIECES - len(pieces))]
    BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}).save_pretrained(folder)
    config = BertConfig(vocab_size=len(pieces), num_hidden_layers=layers)
    BertModel(config).save_pretrained(folder)


if __name__ == "__main__":
    main()
