"""The CRF's loss and best path, against allennlp-light's and pytorch-crf's.

All three have the same transitions, all of them legal, and get the same emissions for the
sentence lengths of real batches; that they answer the same is checked before anything is timed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import torch
from allennlp_light.modules.conditional_random_field.conditional_random_field import (
    ConditionalRandomField,
)
from torch import Tensor, nn
from torchcrf import CRF

from benchmarks.common import Result, Settings, alternate, dataset, ratio, registry, row
from zoo.decoders.crf import Crf
from zoo.decoders.viterbi import viterbi
from zoo.training.batches import by_length, shuffled
from zoo.types import Sample

SIZE = 16
"""Sentences a batch in training; twice as many in prediction."""


class Words(NamedTuple):
    """A batch: emissions (B, N, K), tags (B, N), mask (B, N)."""

    emissions: Tensor
    tags: Tensor
    mask: Tensor


def random_words(samples: list[Sample], tags: int) -> Words:
    lengths = torch.tensor([len(sample.words) for sample in samples])
    mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
    return Words(
        torch.randn(*mask.shape, tags, requires_grad=True),
        torch.randint(tags, mask.shape),
        mask,
    )


class Peers:
    """Three CRFs with the same parameters."""

    def __init__(self, types: list[str]) -> None:
        self.ours = Crf(8, types, constrained=False)
        tags = len(self.ours.tagging)
        self.allennlp = ConditionalRandomField(tags)
        self.torchcrf = CRF(tags, batch_first=True)
        for theirs in (self.allennlp, self.torchcrf):
            theirs.load_state_dict(
                {name: tensor.clone() for name, tensor in self.ours.crf.state_dict().items()},
                strict=False,
            )

    def losses(self) -> dict[str, Callable[[Words], Tensor]]:
        """The mean over the sentences of the negative log-likelihood."""
        return {
            "zoo": lambda w: self.ours.negative_log_likelihood(*w),
            "allennlp-light": lambda w: -self.allennlp(*w) / len(w.mask),
            "pytorch-crf": lambda w: -self.torchcrf(*w, reduction="mean"),
        }

    def paths(self) -> dict[str, Callable[[Words], list[list[int]]]]:
        """The best path of every sentence, as lists."""

        def ours(words: Words) -> list[list[int]]:
            found = viterbi(words.emissions, words.mask, *self.ours.scores()).tolist()
            lengths = words.mask.sum(1).tolist()
            return [path[:length] for path, length in zip(found, lengths, strict=True)]

        return {
            "zoo": ours,
            "allennlp-light": lambda w: [
                path for path, _ in self.allennlp.viterbi_tags(w.emissions, w.mask)
            ],
            "pytorch-crf": lambda w: self.torchcrf.decode(w.emissions, w.mask),
        }


def run(settings: Settings) -> Result:
    splits, name = dataset(registry(), "twitter2017", settings)
    torch.manual_seed(1)
    peers = Peers(sorted({entity.type for sample in splits["train"] for entity in sample.entities}))
    tags = len(peers.ours.tagging)
    rng = random.Random(1)
    training = shuffled(splits["train"], SIZE, rng)[: settings.batches]
    prediction = rng.sample(batches := by_length(splits["test"], 2 * SIZE), len(batches))
    train = [random_words(batch, tags) for batch in training]
    test = [random_words(batch, tags) for batch in prediction[: settings.batches]]
    losses, paths = peers.losses(), peers.paths()
    for peer in ("allennlp-light", "pytorch-crf"):
        for words in train:
            torch.testing.assert_close(losses[peer](words), losses["zoo"](words))
        for words in test:
            assert paths[peer](words) == paths["zoo"](words), f"{peer} decodes differently"

    def learn(loss: Callable[[Words], Tensor], module: nn.Module) -> Callable[[], None]:
        def side() -> None:
            for words in train:
                loss(words).backward()
                module.zero_grad()
                words.emissions.grad = None

        return side

    def decode(path: Callable[[Words], list[list[int]]]) -> Callable[[], object]:
        return lambda: [path(words) for words in test]

    modules = {
        "zoo": peers.ours,
        "allennlp-light": peers.allennlp,
        "pytorch-crf": peers.torchcrf,
    }
    learned = alternate(
        {n: learn(losses[n], m) for n, m in modules.items()}, settings.repeats, settings.calls
    )
    decoded = alternate({n: decode(paths[n]) for n in modules}, settings.repeats, settings.calls)
    sentences = {"loss": sum(map(len, training)), "path": sum(len(words.mask) for words in test)}
    return Result(
        "CRF loss (forward and backward) and best path, against peers",
        f"{name}: sentence lengths of {len(train)} training batches of {SIZE} and {len(test)} "
        f"test batches of {2 * SIZE}, random emissions, {tags} tags",
        "sentences",
        [
            row(f"{what}, {peer}", times[peer], sentences[what])
            for what, times in (("loss", learned), ("path", decoded))
            for peer in modules
        ],
        [
            ratio(f"{what}: {peer} / zoo", times[peer], times["zoo"])
            for what, times in (("loss", learned), ("path", decoded))
            for peer in ("allennlp-light", "pytorch-crf")
        ],
        ["The answers of all three were equal."],
    )
