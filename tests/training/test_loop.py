"""The training loop."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.build import build, read_data
from zoo.config.read import read
from zoo.errors import RunError
from zoo.runs.run import _csv
from zoo.training.loop import Row, Trainer
from zoo.types import Sample, ScoredEntity, Splits

Make = Callable[..., tuple[Trainer, Splits]]


@pytest.fixture
def make(registry: Path, tmp_path: Path) -> Make:
    """A trainer of one of the small registry's systems, and its data."""

    def make(system: str, *overrides: str, seed: int = 1, **recipe: Any) -> tuple[Trainer, Splits]:
        quick = [f"recipes.quick.{key}={value}" for key, value in recipe.items()]
        config = read(registry, [*overrides, *quick])
        splits = read_data(config.datasets["mini"], tmp_path)
        torch.manual_seed(seed)
        spec = config.spec(system, "tiny")
        built = build(spec, splits["train"], tmp_path / "cache")
        return Trainer(built, config.recipes["quick"], seed), splits

    return make


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trainer.system.state_dict().items()}


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def scripted(trainer: Trainer, dev: list[Sample], shares: list[float]) -> list[dict[str, Tensor]]:
    """Let the dev predictions of each epoch be a share of gold; note the weights at each epoch."""
    seen: list[dict[str, Tensor]] = []

    def predict(samples: list[Sample]) -> list[list[ScoredEntity]]:
        share = shares[len(seen)]
        seen.append(weights(trainer))
        right = round(share * len(dev))
        return [
            [ScoredEntity(*entity, share) for entity in sample.entities] if i < right else []
            for i, sample in enumerate(samples)
        ]

    trainer.predict = predict  # type: ignore[method-assign]
    return seen


def test_the_best_epoch_is_restored_and_patience_ends_training(make: Make) -> None:
    trainer, splits = make("plain", epochs=9, patience=2)
    seen = scripted(trainer, splits["dev"], [0.2, 0.5, 1.0, 0.5, 1.0])
    fit = trainer.fit(splits["train"], splits["dev"])
    assert fit.best_epoch == 3, "of equals the first"
    assert len(fit.history) == len(seen) == 5
    assert equal(weights(trainer), seen[2])
    assert not equal(seen[2], seen[4])
    assert fit.dev is not None
    assert fit.dev.f1 == 100
    assert fit.dev_predictions[0][0].score == 1.0
    assert [row["epoch"] for row in fit.history] == [1, 2, 3, 4, 5]


def test_without_patience_all_epochs_are_trained(make: Make) -> None:
    trainer, splits = make("plain", epochs=4)
    seen = scripted(trainer, splits["dev"], [0.0, 0.0, 0.0, 0.0])
    rows: list[Row] = []
    fit = trainer.fit(splits["train"], splits["dev"], rows.append)
    assert rows == fit.history
    assert len(seen) == 4
    assert fit.best_epoch == 1
    assert equal(weights(trainer), seen[0])


def test_history_holds_every_loss_term(make: Make) -> None:
    overrides = ["systems.seeing.loss_weights={contrastive: 0.5}"]
    trainer, splits = make("seeing", *overrides, epochs=2)
    fit = trainer.fit(splits["train"], splits["dev"])
    for row in fit.history:
        assert set(row) == {
            "epoch", "loss", "crf", "contrastive.grid",
            "dev_precision", "dev_recall", "dev_f1", "seconds",
        }  # fmt: skip
        assert row["loss"] == pytest.approx(row["crf"] + 0.5 * row["contrastive.grid"], rel=1e-4)
    assert fit.sentences_per_second > 0


def test_it_learns_and_starts_from_the_seed(make: Make) -> None:
    rates = {"learning_rates": '{"*": 1e-2}'}
    fits = []
    for seed in (1, 1, 2):
        trainer, splits = make("plain", seed=seed, epochs=6, **rates)
        fits.append((trainer.fit(splits["train"], splits["dev"]), weights(trainer)))
    first, again, other = fits
    assert first[0].history[-1]["loss"] < first[0].history[0]["loss"] / 2
    assert equal(first[1], again[1]), "the same seed gives the same weights"
    assert first[0].dev_predictions == again[0].dev_predictions
    assert not equal(first[1], other[1])


def gradients(trainer: Trainer) -> Tensor:
    """All gradients of the only update there was, as Adam's first moment remembers them."""
    state = trainer.optimizer.state
    return torch.cat([state[p]["exp_avg"].flatten() for p in trainer.system.parameters()
                      if p in state])  # fmt: skip


def test_accumulation_equals_a_large_batch(make: Make) -> None:
    still = [
        "backbones.tiny.text.scratch.dropout=0",
        "systems.plain.decoder.dropout=0",
        "datasets.mini.train=16",
    ]
    both = []
    for recipe in ({"batch_size": 16}, {"batch_size": 4, "accumulate": 4}):
        trainer, splits = make("plain", *still, clip=1e9, warmup=0, **recipe)
        trainer.fit(splits["train"], splits["dev"])
        both.append(gradients(trainer))
    assert both[0].abs().max() > 1e-3
    assert torch.allclose(both[0], both[1], atol=1e-6, rtol=1e-3)


def test_the_last_update_counts_every_sentence_the_same(make: Make) -> None:
    """An epoch's last update may be of fewer batches, and its last batch of fewer sentences."""
    still = ["backbones.tiny.text.scratch.dropout=0", "systems.plain.decoder.dropout=0"]
    both = []
    for recipe in ({"batch_size": 16}, {"batch_size": 4, "accumulate": 8}):
        trainer, splits = make(
            "plain", *still, "datasets.mini.train=11", clip=1e9, warmup=0, **recipe
        )
        trainer.fit(splits["train"], splits["dev"])
        both.append(gradients(trainer))
    assert both[0].abs().max() > 1e-3
    assert torch.allclose(both[0], both[1], atol=1e-6, rtol=1e-3)


def test_equal_ids_are_different_sentences(make: Make) -> None:
    trainer, splits = make("plain", epochs=6, learning_rates='{"*": 1e-2}')
    trainer.fit(splits["train"], splits["dev"])
    samples = [dataclasses.replace(sample, id="same") for sample in splits["train"]]
    expected = trainer.predict(splits["train"])
    assert any(found != expected[0] for found in expected)
    assert trainer.predict(samples) == expected


def test_clipping(make: Make) -> None:
    norms = []
    for clip in (1e9, 0.01):
        trainer, splits = make("plain", "datasets.mini.train=8", clip=clip)
        trainer.fit(splits["train"], splits["dev"])
        norms.append(gradients(trainer).norm().item() * 10)  # 1 - β1 = 0.1
    assert norms[0] > 0.1
    assert norms[1] == pytest.approx(0.01, rel=1e-2)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_run(make: Make, value: float) -> None:
    trainer, splits = make("plain", epochs=2)
    decoder, bad = trainer.system.decoder, splits["train"][5]
    honest = decoder.loss

    def loss(units, text, gold):
        losses = honest(units, text, gold)
        return {**losses, "mine": losses["crf"] * (value if bad.entities in gold else 0)}

    decoder.loss = loss
    before = weights(trainer)
    with pytest.raises(RunError) as caught:
        trainer.fit(splits["train"], splits["dev"])
    (line,) = caught.value.problems
    assert bad.id in line
    assert f"mine={value}" in line
    assert "epoch 1" in line
    assert line.count("train-") == 8, "the batch's samples, and no others"
    assert all(t.isfinite().all() for t in trainer.system.state_dict().values()), before.keys()


@pytest.mark.parametrize(("epochs", "told"), [(2, "in fp16 no gradient"), (9, "the gradient")])
def test_in_fp16_a_gradient_that_is_never_a_number_stops_the_run(
    make: Make, epochs: int, told: str
) -> None:
    """The scaler leaves out each update: an untrained system would be scored."""
    trainer, splits = make("plain", epochs=epochs)
    decoder, honest = trainer.system.decoder, trainer.system.decoder.loss
    weight = next(decoder.parameters())

    def loss(units, text, gold):
        nothing = 0 * (weight - weight.detach()).square().sum().sqrt()  # 0 · ∞ in its gradient
        return {"crf": honest(units, text, gold)["crf"] + nothing}

    trainer.accelerator.scaler = torch.amp.GradScaler("cpu")
    decoder.loss = loss
    with pytest.raises(RunError, match=told):
        trainer.fit(splits["train"], splits["dev"])


def test_in_fp16_updates_that_are_left_out_are_made_up_for(make: Make) -> None:
    trainer, splits = make("plain", epochs=2, batch_size=1)
    trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    before = weights(trainer)
    trainer.fit(splits["train"], splits["dev"])
    assert trainer.accelerator.scaler.get_scale() < 2.0**127
    assert not equal(weights(trainer), before)


def test_the_environment_changes_no_update(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "EAGER")
    trainer, _ = make("plain")
    parameter = torch.ones((), requires_grad=True)
    trainer.accelerator.backward(parameter * 8)
    assert parameter.grad == 8
    assert trainer.accelerator.state.dynamo_plugin.backend == "NO"


def test_a_loss_that_begins_late_has_a_column() -> None:
    rows: list[Row] = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.5, "late": 0.5}]
    assert _csv(rows).splitlines() == ["epoch,loss,late", "1,2.0,", "2,1.5,0.5"]


def test_predictions_come_in_the_order_asked_for(make: Make) -> None:
    trainer, splits = make("seeing", epochs=8, learning_rates='{"*": 1e-2}')
    trainer.fit(splits["train"], splits["dev"])
    samples = splits["train"]
    expected = dict(zip([s.id for s in samples], trainer.predict(samples), strict=True))
    assert any(expected.values())
    turned = random.Random(0).sample(samples, len(samples))
    for sample, found in zip(turned, trainer.predict(turned), strict=True):
        assert [e.entity for e in found] == [e.entity for e in expected[sample.id]]
    assert not trainer.system.training


@pytest.mark.parametrize(
    ("system", "override", "frozen"),
    [
        ("plain", "systems.plain.text.frozen=true", "text."),
        ("seeing", "systems.seeing.views.grid.frozen=true", "views.grid."),
    ],
)
def test_frozen_encoders_stay(make: Make, system: str, override: str, frozen: str) -> None:
    trainer, splits = make(system, override, epochs=2)
    before = weights(trainer)
    modes = []

    def note(*_: object) -> None:
        modes.append({n: m.training for n, m in trainer.system.named_modules()})

    trainer.system.decoder.register_forward_pre_hook(note)
    honest = trainer.system.decoder.loss
    trainer.system.decoder.loss = lambda *args: (note(), honest(*args))[1]
    trainer.fit(splits["train"], splits["dev"])
    after = weights(trainer)
    inside = {name for name in before if name.startswith(frozen)}
    assert inside
    assert all(torch.equal(before[name], after[name]) for name in inside)
    assert any(not torch.equal(before[name], after[name]) for name in before.keys() - inside)
    assert modes
    root = frozen.rstrip(".")
    for mode in modes:
        assert mode["decoder"], "noted while training"
        assert not any(on for name, on in mode.items() if name.startswith(root))
