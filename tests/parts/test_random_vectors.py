"""The control that replaces features by random vectors."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from zoo.data.synthetic import Synthetic
from zoo.encoders.bilstm import BiLSTM
from zoo.encoders.caption import Caption
from zoo.encoders.random_vectors import RandomVectors
from zoo.encoders.small import SmallCNN
from zoo.errors import ConfigError
from zoo.types import Sample


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return Synthetic(Path(), train=6, dev=1, test=1, captions=True).read()["train"]


def view(encoder: RandomVectors, samples: list[Sample]):
    return encoder(encoder.collate([encoder.prepare(sample) for sample in samples]))


def test_shape_of_what_it_replaces_and_nothing_else(samples: list[Sample]) -> None:
    torch.manual_seed(1)
    one = RandomVectors(encoder=SmallCNN(width=16))
    torch.manual_seed(2)
    two = RandomVectors(encoder=SmallCNN(width=16))
    first, second = view(one, samples), view(two, samples)
    assert first.regions.shape == (6, 25, 16)
    assert first.pooled.shape == (6, 16)
    assert torch.equal(first.regions, second.regions), "the same whatever the run's seed"
    assert torch.equal(first.pooled, second.pooled)
    assert not list(one.parameters())
    assert not one.state_dict()


def test_they_hang_on_the_content_alone(samples: list[Sample]) -> None:
    encoder = RandomVectors(encoder=SmallCNN(width=16))
    a, b = samples[0], samples[1]
    renamed = replace(a, id="x", words=b.words, caption="other")
    seen = view(encoder, [a, renamed, b, replace(a, picture=None)])
    assert torch.equal(seen.regions[0], seen.regions[1])
    assert not torch.equal(seen.regions[0], seen.regions[2])
    assert not seen.mask[3].any()
    assert seen.mask[:3].all()


def test_standard_normal_and_uncorrelated(samples: list[Sample]) -> None:
    seen = view(RandomVectors(encoder=SmallCNN(width=64)), samples)
    numbers = seen.regions.flatten(1)
    assert abs(float(numbers.mean())) < 0.05
    assert float(numbers.std()) == pytest.approx(1, abs=0.05)
    apart = torch.corrcoef(numbers) - torch.eye(6)
    assert float(apart.abs().max()) < 0.12


def test_as_many_regions_as_the_caption_has_words(samples: list[Sample]) -> None:
    inner = Caption(encoder=BiLSTM(Counter(a=1), state=6))
    encoder = RandomVectors(encoder=inner, of="caption")
    assert encoder.sees == "caption"
    assert RandomVectors.sees_of({"of": "caption"}) == ("caption",)
    seen = view(encoder, samples)
    assert seen.mask.sum(1).tolist() == [len((s.caption or "").split()) for s in samples]


def test_what_it_reads_must_be_told() -> None:
    inner = Caption(encoder=BiLSTM(Counter(a=1), state=6))
    with pytest.raises(ConfigError, match="write `of: caption`"):
        RandomVectors(encoder=inner)
