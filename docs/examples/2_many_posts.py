"""Predict a stream of posts with pictures in constant memory, and write JSON lines."""

import json
from collections.abc import Iterator
from pathlib import Path

import zoo


def posts() -> Iterator[zoo.Sample]:
    """Posts as they come: here those of a test split, without their labels."""
    for sample in zoo.read("mini")["test"][:50]:
        yield zoo.Sample(sample.id, sample.words, picture=sample.picture)


model = zoo.load("bert-crf@mini")
with Path("found.jsonl").open("w", encoding="utf-8") as file:
    for found in model.predict_all(posts()):
        entities = [[each.start, each.end, each.type] for each in found.entities]
        file.write(json.dumps({"id": found.id, "entities": entities}) + "\n")
