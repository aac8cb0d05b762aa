"""The CRF's loss and best path, against allennlp-light's and pytorch-crf's.

All three have the same transitions, all of them legal, and get the same emissions for the
sentence lengths of real batches; that they answer the same is checked before anything is timed.
Then the loss alone, against pytorch-crf's, with other numbers of tags and words.
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

from benchmarks.common import (
    Figure,
    Result,
    Row,
    Settings,
    alternate,
    dataset,
    ratio,
    registry,
    row,
)
from zoo.decoders.crf import Crf
from zoo.decoders.viterbi import viterbi
from zoo.training.batches import by_cost, shuffled
from zoo.types import Sample

SIZE = 16
"""Sentences a batch in training; twice as many in prediction."""


TAGS, WORDS = (9, 33, 129), (32, 128, 500)
"""Numbers of tags, and of words of each sentence, for which the loss is timed."""


class Words(NamedTuple):
    """A batch: emissions (B, N, K), tags (B, N), mask (B, N)."""

    emissions: Tensor
    tags: Tensor
    mask: Tensor


def random_words(lengths: list[int], tags: int) -> Words:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    return Words(
        torch.randn(*mask.shape, tags, requires_grad=True),
        torch.randint(tags, mask.shape),
        mask,
    )


def lengths(samples: list[Sample]) -> list[int]:
    return [len(sample.words) for sample in samples]


def learn(
    loss: Callable[[Words], Tensor], module: nn.Module, batches: list[Words]
) -> Callable[[], None]:
    """Forward and backward."""

    def side() -> None:
        for words in batches:
            loss(words).backward()
            module.zero_grad()
            words.emissions.grad = None

    return side


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


def sizes(settings: Settings) -> tuple[list[Row], list[Figure]]:
    """The loss of one batch against pytorch-crf's, for each number of tags and of words.

    A single turn, for trying out, has the smallest of each.
    """
    rows, figures = [], []
    some = 1 if settings.repeats == 1 else None
    for tags in TAGS[:some]:
        peers = Peers([str(kind) for kind in range(tags // 2)])
        losses = peers.losses()
        for length in WORDS[:some]:
            batch = [random_words([length] * SIZE, tags)]
            torch.testing.assert_close(losses["pytorch-crf"](*batch), losses["zoo"](*batch))
            times = alternate(
                {
                    "zoo": learn(losses["zoo"], peers.ours, batch),
                    "pytorch-crf": learn(losses["pytorch-crf"], peers.torchcrf, batch),
                },
                settings.repeats,
            )
            what = f"loss, {tags} tags, {length} words"
            rows += [row(f"{what}, {peer}", times[peer], SIZE) for peer in times]
            figures.append(
                ratio(f"{what}: pytorch-crf / zoo", times["pytorch-crf"], times["zoo"], at_least=1)
            )
    return rows, figures


def cost(sample: Sample) -> int:
    return len(sample.words)


def run(settings: Settings) -> Result:
    splits, name = dataset(registry(), "twitter2017", settings)
    torch.manual_seed(1)
    peers = Peers(sorted({entity.type for sample in splits["train"] for entity in sample.entities}))
    tags = len(peers.ours.tagging)
    rng = random.Random(1)
    training = shuffled(splits["train"], SIZE, rng, cost)[: settings.batches]
    prediction = rng.sample(batches := by_cost(splits["test"], 2 * SIZE, cost), len(batches))
    train = [random_words(lengths(batch), tags) for batch in training]
    test = [random_words(lengths(batch), tags) for batch in prediction[: settings.batches]]
    losses, paths = peers.losses(), peers.paths()
    for peer in ("allennlp-light", "pytorch-crf"):
        for words in train:
            torch.testing.assert_close(losses[peer](words), losses["zoo"](words))
        for words in test:
            assert paths[peer](words) == paths["zoo"](words), f"{peer} decodes differently"

    def decode(path: Callable[[Words], list[list[int]]]) -> Callable[[], object]:
        return lambda: [path(words) for words in test]

    modules = {
        "zoo": peers.ours,
        "allennlp-light": peers.allennlp,
        "pytorch-crf": peers.torchcrf,
    }
    learned = alternate(
        {n: learn(losses[n], m, train) for n, m in modules.items()},
        settings.repeats,
        settings.calls,
    )
    decoded = alternate({n: decode(paths[n]) for n in modules}, settings.repeats, settings.calls)
    rows, figures = sizes(settings)
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
        ]
        + rows,
        [
            ratio(f"{what}: {peer} / zoo", times[peer], times["zoo"])
            for what, times in (("loss", learned), ("path", decoded))
            for peer in ("allennlp-light", "pytorch-crf")
        ]
        + figures,
        [
            "The answers of all three were equal. In sentences of one or two words the losses of "
            "zoo and pytorch-crf take equally long, with padding among them zoo's 0.3 ms longer."
        ],
    )
