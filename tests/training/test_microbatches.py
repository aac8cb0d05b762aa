"""Batches too large for memory: the loss and the gradient of the whole batch, in less memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from zoo.build import build, read_data
from zoo.config.read import read
from zoo.encoders.pretrained import Pieces, Pretrained
from zoo.errors import RunError
from zoo.microbatches import cut
from zoo.parts import Encoder, Objective
from zoo.system import System
from zoo.training.loop import Trainer
from zoo.training.memory import MOST, default_max_tokens, machine_memory
from zoo.types import Sample

Make = Callable[..., tuple[Trainer, list[Sample]]]

SCRATCH = "{layers: 1, width: 16, heads: 2, dropout: 0}"
STILL = (
    f"backbones.tiny.text.scratch={SCRATCH}",
    "systems.plain.decoder.dropout=0",
    "systems.spans.decoder.dropout=0",
    "systems.seeing.fuser.dropout=0",
    "systems.seeing.views.grid={part: caption, "
    f"encoder: {{part: transformer, scratch: {SCRATCH}}}}}",
)
CAPTIONS = ("a red square", "trees", None, "the house of an old friend in the city of Rome")
BOUND = 24
"""Tokens: about three of the sentences."""


@pytest.fixture
def make(registry: Path, tmp_path: Path) -> Iterator[Make]:
    """A trainer in float64 of a system without dropout, and captioned sentences of many lengths."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def make(system: str, *overrides: str, **recipe: Any) -> tuple[Trainer, list[Sample]]:
        quick = [f"recipes.quick.{key}={value}" for key, value in recipe.items()]
        config = read(registry, [*overrides, *quick])
        samples = [
            dataclasses.replace(sample, caption=CAPTIONS[i % 4])
            for i, sample in enumerate(read_data(config.datasets["mini"], tmp_path)["train"])
        ]
        torch.manual_seed(1)
        built = build(config.spec(system, "tiny"), samples, tmp_path / "cache")
        return Trainer(built.double(), config.recipes["quick"], 1), samples

    yield make
    torch.set_num_threads(threads)


def step(trainer: Trainer, samples: list[Sample]) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Every loss, and the gradient of their sum by parameter."""
    trainer.system.train()
    torch.manual_seed(5)  # for latent variables that are drawn
    losses = trainer.system(trainer.batch(samples)).losses
    trainer.system.total(losses).backward()
    return (
        {name: loss.item() for name, loss in losses.items()},
        {n: p.grad for n, p in trainer.system.named_parameters() if p.grad is not None},
    )


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert max(value.abs().max() for value in one.values()) > 1e-3
    for name, value in one.items():
        assert torch.allclose(value, other[name], rtol=1e-9, atol=1e-11), name


BOTTLENECK = "systems.seeing.aligner={part: information_bottleneck, level: token}"
SYSTEMS = [
    ("plain", []),
    ("spans", []),
    ("plain", ["systems.plain.decoder={part: softmax, dropout: 0}"]),
    ("plain", ["systems.plain.text={part: bilstm, dropout: 0}"]),
    ("seeing", []),
    ("seeing", ["systems.seeing.aligner={level: token, objective: info_nce}"]),
    ("seeing", [BOTTLENECK]),
]


@pytest.mark.parametrize(("system", "overrides"), SYSTEMS)
def test_loss_and_gradient_are_those_of_the_whole_batch(
    make: Make, system: str, overrides: list[str]
) -> None:
    """Means over sentences (crf), over words and spans, and losses that compare sentences."""
    found = []
    for bound in (100_000, BOUND):
        trainer, samples = make(system, *STILL, *overrides, max_tokens=bound)
        slots = trainer.system.encoders().keys()
        batch = trainer.batch(samples)
        assert (batch.micro if bound == BOUND else batch.inputs).keys() == slots
        assert all(len(inputs) > 2 for inputs in batch.micro.values())
        found.append(step(trainer, samples))
    (losses, gradients), (split_losses, split_gradients) = found
    assert split_losses == pytest.approx(losses, rel=1e-9)
    assert_same(gradients, split_gradients)


def test_training_with_accumulation_is_the_same(make: Make) -> None:
    """Several updates of several batches, the last of fewer sentences; and what is predicted."""
    fits, weights = [], []
    for bound in (100_000, BOUND):
        trainer, samples = make(
            "seeing", *STILL, "datasets.mini.train=22",
            max_tokens=bound, accumulate=2, epochs=8, learning_rates='{"*": 1e-2}',
        )  # fmt: skip
        fits.append(trainer.fit(samples, samples))
        weights.append(trainer.system.state_dict())
    for one, other in zip(fits[0].history, fits[1].history, strict=True):
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in (one, other)]
        assert rows[1] == pytest.approx(rows[0], rel=1e-6)
    assert any(fits[0].dev_predictions)
    found = [[[e.entity for e in p] for p in fit.dev_predictions] for fit in fits]
    assert found[0] == found[1]
    for name, value in weights[0].items():
        assert torch.allclose(value, weights[1][name], rtol=1e-6, atol=1e-8), name


def test_no_encoder_reads_more_than_the_bound_and_keeps_nothing(make: Make) -> None:
    trainer, samples = make("plain", *STILL, max_tokens=BOUND)
    read: list[tuple[int, int]] = []
    encoder = trainer.system.text.body

    def note(_: nn.Module, inputs: Any) -> None:
        read.append(tuple(inputs[0]["mask"].shape))

    encoder.register_forward_pre_hook(note)
    step(trainer, samples)
    count = len(trainer.batch(samples).micro["text"])
    assert len(read) == 2 * count, "each is computed a second time for its gradient"
    assert all(rows == 1 or rows * words <= BOUND for rows, words in read)
    assert sum(rows for rows, _ in read[:count]) == len(samples)


def test_dropout_is_the_same_when_computed_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradient is that of the forward pass that made the loss."""
    found = []
    for again in (True, False):
        if not again:
            monkeypatch.setattr("zoo.microbatches.checkpoint", lambda run, inputs, **_: run(inputs))
        caption = STILL[-1].replace("dropout: 0", "dropout: 0.3")
        text = "backbones.tiny.text.scratch.dropout=0.3"
        trainer, samples = make("seeing", caption, text, max_tokens=BOUND)
        assert trainer.batch(samples).micro.keys() == {"text", "views.grid"}
        found.append(step(trainer, samples))
    assert found[0][0] == found[1][0]
    assert_same(found[0][1], found[1][1])


def test_half_precision(make: Make) -> None:
    losses = []
    for bound in (100_000, BOUND):
        trainer, samples = make("seeing", *STILL, max_tokens=bound, precision="bf16")
        trainer.system.float()
        losses.append(trainer.fit(samples, samples[:4]).history[0]["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)


def test_below_the_bound_nothing_changes(make: Make) -> None:
    """The same bytes with any bound that no batch reaches, dropout included."""
    weights = []
    for bound in ("null", 5_000, 100_000):
        trainer, samples = make("seeing", "systems.seeing.aligner.level=token", *STILL[-1:],
                                max_tokens=bound)  # fmt: skip
        assert not trainer.batch(samples).micro
        trainer.fit(samples, samples[:8])
        weights.append(trainer.system.state_dict())
    for other in weights[1:]:
        assert all(torch.equal(value, other[name]) for name, value in weights[0].items())


# What can't be encoded a few sentences at a time -----------------------------------------------


class Again(Objective):
    loss_names = ("again",)

    def forward(self, system, batch, output) -> dict[str, Tensor]:
        return {"again": output.units.vectors.sum()}


def refused(trainer: Trainer, samples: list[Sample]) -> str:
    trainer.system.train()
    with pytest.raises(RunError) as caught:
        trainer.system(trainer.batch(samples))
    (line,) = caught.value.problems
    assert line.endswith("; lower the recipe's batch_size or raise its max_tokens")
    return line


def test_batch_normalisation_is_refused_only_where_such_a_batch_occurs(make: Make) -> None:
    trainer, samples = make("seeing", "systems.seeing.views.grid={part: small_cnn}", max_tokens=99)
    trainer.system.float()
    line = refused(trainer, samples)
    assert "more than 99 tokens for the encoder in `views.grid`" in line
    assert "it normalises over the batch" in line
    assert trainer.batch(samples[:3]).micro == {}, "three pictures of 25 regions"
    assert len(trainer.predict(samples)) == len(samples), "prediction does not"


def test_an_objective_is_refused(make: Make) -> None:
    trainer, samples = make("plain", *STILL, max_tokens=BOUND)
    trainer.system.objective = Again()
    assert "the system's objective runs it again" in refused(trainer, samples)
    assert len(trainer.predict(samples)) == len(samples)


def test_losses_of_an_encoder_are_refused(make: Make) -> None:
    trainer, samples = make("plain", *STILL, max_tokens=BOUND)
    body, honest = trainer.system.text.body, trainer.system.text.body.forward
    body.forward = lambda inputs: dataclasses.replace(
        honest(inputs), losses={"mine": torch.tensor(1.0)}
    )
    assert "has losses that it does not name" in refused(trainer, samples)
    body.loss_names = ("mine",)
    assert "it has losses of its own" in refused(trainer, samples)
    assert len(trainer.predict(samples)) == len(samples)


def test_an_encoder_that_keeps_a_state_is_refused(make: Make) -> None:
    trainer, samples = make("plain", *STILL, max_tokens=BOUND)
    body = trainer.system.text.body
    body.register_buffer("seen", torch.zeros(()))
    body.register_forward_pre_hook(lambda module, _: module.seen.add_(1) and None)
    assert "`text` changes its buffers with each batch" in refused(trainer, samples)


# Costs -------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(1, 100))
def test_cut(costs: list[int], limit: int) -> None:
    slices = cut(costs, limit)
    parts = [costs[each] for each in slices]
    assert [cost for part in parts for cost in part] == costs
    assert all(part for part in parts)
    for part in parts:
        assert len(part) == 1 or max(part) * len(part) <= limit
    for part, after in pairwise(parts):
        grown = [*part, after[0]]
        assert max(grown) * len(grown) > limit, "as many at a time as go"


def test_what_a_sentence_costs(make: Make) -> None:
    trainer, samples = make("seeing", *STILL)

    def cost(encoder: Encoder, sample: Sample) -> int:
        return encoder.cost(sample, encoder.prepare(sample))

    text, grid = (trainer.system.encoders()[slot] for slot in ("text", "views.grid"))
    assert [cost(text, sample) for sample in samples] == [len(s.words) for s in samples]
    assert [cost(grid, sample) for sample in samples[:4]] == [3, 1, 0, 11]
    trainer, samples = make("seeing", "backbones.tiny.text.context=caption")
    assert cost(trainer.system.text, samples[0]) == len(samples[0].words) + 4, "a separator, too"
    grid = trainer.system.encoders()["views.grid"]
    assert cost(grid, samples[0]) == 25
    assert cost(grid, dataclasses.replace(samples[0], picture=None)) == 0
    windows = Pieces([[1, 2, 3], [1, 2]], [(0, 0, 1)])
    assert Pretrained.cost(None, samples[0], windows) == 5  # type: ignore[arg-type]


# A pretrained model, with windows ----------------------------------------------------------------


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT of 12 positions without dropout."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("bert")
    letters = [chr(code) for code in range(33, 127)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(pieces), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=12, hidden_dropout_prob=0,
        attention_probs_dropout_prob=0,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    BertTokenizer(vocab=vocabulary, do_lower_case=False).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("system", ["spans", "seeing"])
@pytest.mark.parametrize("sentence", ["first", "mean", "pooler"])
def test_windows_of_a_pretrained_encoder(make: Make, bert: str, system: str, sentence: str) -> None:
    found = []
    for bound in (100_000, 150):
        text = f"backbones.tiny.text={{model: {bert}, sentence: {sentence}, scratch: null}}"
        trainer, samples = make(system, *STILL[1:], text, max_tokens=bound)
        batch = trainer.batch(samples[:8])
        assert bool(batch.micro) == (bound == 150)
        for inputs in batch.micro.get("text", ()):
            assert len(inputs["owner"]) > len(inputs["first"]), "several windows a sentence"
        found.append(step(trainer, samples[:8]))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-9)
    assert_same(found[0][1], found[1][1])


# Memory ------------------------------------------------------------------------------------------


def test_the_default_is_the_machine_s(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, _ = make("plain")
    cpu = torch.device("cpu")
    monkeypatch.setattr("zoo.training.memory.machine_memory", lambda: 8 << 30)
    assert default_max_tokens(cpu) == 2048
    trainer, _ = make("plain")
    if trainer.accelerator.device == cpu:
        assert trainer.collate.max_tokens == 2048
    monkeypatch.setattr("zoo.training.memory.machine_memory", lambda: 1 << 40)
    assert default_max_tokens(cpu) == MOST


@pytest.mark.parametrize("file", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_container_s_memory(tmp_path: Path, file: str) -> None:
    whole = machine_memory(tmp_path)
    assert whole > 1 << 28
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("max\n")
    assert machine_memory(tmp_path) == whole
    (tmp_path / file).write_text("1048576\n")
    assert machine_memory(tmp_path) == 1 << 20


def test_a_batch_without_a_bound_is_whole(make: Make) -> None:
    from zoo.system import Collator

    trainer, samples = make("plain")
    system: System = trainer.system
    assert set(Collator(system)(samples).inputs) == {"text"}
