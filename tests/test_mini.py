"""What ``mini`` is for: 2m-ner and smner rise above their text-only versions by the picture alone.

The systems, the data and the recipe are the shipped ones, under one seed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from zoo.config.read import read
from zoo.evaluation.predictions import score_predictions
from zoo.evaluation.significance import compare
from zoo.runs.datasets import Dataset, load_datasets
from zoo.runs.job import make_jobs
from zoo.runs.run import prepare
from zoo.training.loop import Trainer
from zoo.types import Prediction, Sample

REGISTRY = Path(__file__).parents[1] / "registry.yaml"
SEED = 1


def trained(name: str, *overrides: str) -> tuple[Trainer, Dataset]:
    plans = read(REGISTRY, overrides).plan("mini", [name], seeds=[SEED])
    (job,) = make_jobs(plans, load_datasets(plans, REGISTRY.parent))
    trainer, splits = prepare(job), job.data.splits
    trainer.fit(splits["train"], splits["dev"])
    return trainer, job.data


def predictions(trainer: Trainer, samples: Sequence[Sample]) -> list[Prediction]:
    found = trainer.predict(samples)
    return [
        Prediction(sample.id, sample.entities, tuple(entities))
        for sample, entities in zip(samples, found, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["2m-ner", "smner"])
def test_the_picture_is_what_helps(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    multimodal, data = trained(name)
    blind, _ = trained(name, f"systems.{name}.views=null")
    test = data.splits["test"]
    order = random.Random(SEED).sample(range(len(test)), len(test))
    shuffled = [replace(s, picture=test[i].picture) for s, i in zip(test, order, strict=True)]

    own, alone = predictions(multimodal, test), predictions(blind, test)
    others = predictions(multimodal, shuffled)
    assert alone == predictions(blind, shuffled), "the text-only version sees no picture"
    better = compare({SEED: alone}, {SEED: own})
    assert better.delta > 3
    assert better.p < 0.01
    assert data.ceiling is not None
    assert data.bar is not None
    assert data.bar > data.ceiling > score_predictions(alone).f1 - 1
    assert score_predictions(own).f1 > data.bar, "it knows which object belongs to which name"
    # no pictures, or those of other sentences: what the picture gave is gone. Wrong pictures do
    # some harm besides, for in training none of them is wrong.
    missing = predictions(multimodal, [replace(sample, picture=None) for sample in test])
    assert -2 < compare({SEED: alone}, {SEED: missing}).delta < 2
    assert -6 < compare({SEED: alone}, {SEED: others}).delta < 1
