"""The training loop: early stopping on dev, the best epoch restored, nothing read from test."""

from __future__ import annotations

import dataclasses
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import send_to_device
from torch import Tensor

from zoo.config.specs import Recipe
from zoo.errors import RunError
from zoo.evaluation.scores import Scores, score
from zoo.microbatches import obstacle
from zoo.system import Collator, System
from zoo.training.batches import by_cost, shuffled
from zoo.training.dropout import lean_dropout
from zoo.training.memory import default_max_tokens
from zoo.training.optimizer import fold_clipping, make_optimizer, make_schedule
from zoo.training.precision import Precision, resolve_precision
from zoo.training.rows import occurring_rows
from zoo.training.weights import changing_weights
from zoo.types import Batch, Sample, ScoredEntity

Predictions = list[list[ScoredEntity]]
Row = dict[str, float | int]


@dataclass
class Fit:
    """What training leaves: the best weights are in the system already."""

    best_epoch: int = 0
    dev: Scores | None = None
    dev_predictions: Predictions = field(default_factory=list)
    history: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    sentences_per_second: float = 0.0


class Trainer:
    """Trains a system by a recipe and predicts with it, on whatever device there is.

    Args:
        precision: what the recipe's resolved to, where that was decided before.

    Raises:
        ConfigError: a trained parameter has no learning rate.
    """

    def __init__(
        self, system: System, recipe: Recipe, seed: int, precision: Precision | None = None
    ) -> None:
        AcceleratorState._reset_state(reset_partial_state=True)
        precision = precision or resolve_precision(recipe)
        mixed = "no" if precision == "fp32" else precision
        self.accelerator = Accelerator(mixed_precision=mixed, dynamo_backend="no")
        # set afterwards, because a variable of the environment goes before the argument
        self.accelerator.gradient_accumulation_steps = 1
        self.system = system.to(self.accelerator.device)
        self.recipe = recipe
        self.rng = random.Random(seed)
        limit = recipe.max_tokens or default_max_tokens(self.accelerator.device)
        self.collate = Collator(system, max_tokens=limit)
        self.optimizer = make_optimizer(system.named_parameters(), recipe)

    def batch(self, samples: Sequence[Sample]) -> Batch:
        """The inputs of a batch on the device, in micro-batches where one would be too large.

        Raises:
            RunError: it is too large, and the system can't be trained on a few sentences at a time.
        """
        batch = self.collate(samples)
        for slot in batch.micro if self.system.training else ():
            reason = obstacle(self.system.encoders()[slot])
            if self.system.objective is not None:
                reason = "the system's objective runs it again"
            if reason is not None:
                raise RunError(
                    f"a batch of {len(samples)} sentences has more than {self.collate.max_tokens} "
                    f"tokens for the encoder in `{slot}`, and it can't be encoded a few sentences "
                    f"at a time: {reason}; lower the recipe's batch_size or raise its max_tokens"
                )
        inputs, micro = send_to_device((batch.inputs, batch.micro), self.accelerator.device)
        return dataclasses.replace(batch, inputs=inputs, micro=micro)

    def fit(
        self,
        train: Sequence[Sample],
        dev: Sequence[Sample],
        on_epoch: Callable[[Row], None] = lambda row: None,
    ) -> Fit:
        """Train; stop when dev F1 has not risen for ``patience`` epochs; restore the best.

        Raises:
            RunError: the loss is no number; names the batch's samples. Or in fp16 no gradient was.
        """
        recipe = self.recipe
        self.collate.foresee([*train, *dev])
        batches = math.ceil(len(train) / recipe.batch_size)
        updates = math.ceil(batches / recipe.accumulate) * recipe.epochs
        fit, best, start = Fit(), dict[str, Tensor](), time.perf_counter()
        trained = 0.0
        with self.training(train, updates):
            for epoch in range(1, recipe.epochs + 1):
                begin = time.perf_counter()
                losses = self.epoch(train, epoch)
                trained += time.perf_counter() - begin
                predicted = self.predict(dev)
                gold = [sample.entities for sample in dev]
                scores = score(gold, [[e.entity for e in p] for p in predicted])
                row: Row = {"epoch": epoch, **losses}
                row |= {
                    "dev_precision": scores.precision,
                    "dev_recall": scores.recall,
                    "dev_f1": scores.f1,
                    "seconds": round(time.perf_counter() - begin, 3),
                }
                fit.history.append(row)
                if fit.dev is None or scores.f1 > fit.dev.f1:
                    fit.best_epoch, fit.dev, fit.dev_predictions = epoch, scores, predicted
                    best = changing_weights(self.system)
                on_epoch(row)
                if recipe.patience and epoch - fit.best_epoch >= recipe.patience:
                    break
            if not self.updated:
                raise RunError(
                    "in fp16 no gradient of the whole training was a number, so that no weight was "
                    "ever changed; lower the learning rate, or train in fp32 or bf16 (`precision` "
                    "of the recipe)"
                )
            self.system.load_state_dict(best, strict=False)
        fit.seconds = time.perf_counter() - start
        fit.sentences_per_second = len(train) * len(fit.history) / trained
        return fit

    @contextmanager
    def training(self, train: Sequence[Sample], updates: int) -> Iterator[None]:
        """What :meth:`epoch` needs: an optimizer and its schedule over so many updates.

        Of large tables of embeddings, only the rows that occur in the training split are trained.
        """
        rows = occurring_rows(self.system, self.collate.lookups(train))
        with rows, lean_dropout(self.system):
            self.optimizer = make_optimizer(self.system.named_parameters(), self.recipe)
            self.schedule = make_schedule(self.optimizer, self.recipe, updates)
            self.model, self.prepared = self.accelerator.prepare(self.system, self.optimizer)
            self.updated = False
            yield

    def epoch(self, train: Sequence[Sample], number: int) -> dict[str, float]:
        """One pass over the training split; the mean of every loss term over its sentences.

        Raises:
            RunError: the loss or its gradient is no number; names the batch's samples.
        """
        self.model.train()
        sums: dict[str, float] = defaultdict(float)
        batches = shuffled(train, self.recipe.batch_size, self.rng, self.collate.cost)
        for count, samples in enumerate(batches, 1):
            batch = self.batch(samples)
            with self.accelerator.autocast():
                losses = self.model(batch).losses
                loss = self.system.total(losses)
            values = {"loss": loss.item(), **{name: term.item() for name, term in losses.items()}}
            place = f"epoch {number}, batch {count}"
            if not math.isfinite(values["loss"]):
                raise _diverged("loss", place, values, samples)
            # Each sentence counts the same in an update, whatever batch it came in, and in the
            # epoch's last update, too, which may be of fewer batches.
            first = (count - 1) // self.recipe.accumulate * self.recipe.accumulate
            together = sum(map(len, batches[first : first + self.recipe.accumulate]))
            self.accelerator.backward(loss * (len(samples) / together))
            complete = count % self.recipe.accumulate == 0 or count == len(batches)
            if complete and not self._update():
                raise _diverged("gradient", place, values, samples)
            for name, value in values.items():
                sums[name] += value * len(samples)
        return {name: value / len(train) for name, value in sums.items()}

    def _update(self) -> bool:
        """Change the weights; whether the gradient is a number.

        In fp16 the scaler leaves out an update whose gradient is none, and takes half of its scale
        for the next ones; a gradient that is none at a scale below 1 was not too large for fp16.
        """
        scaler = self.accelerator.scaler
        if scaler is not None:
            if self.recipe.clip:
                self.accelerator.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        elif not math.isfinite(fold_clipping(self.optimizer, self.recipe.clip)):
            return False
        scale = scaler.get_scale() if scaler is not None else 1.0
        self.prepared.step()
        self.prepared.zero_grad()
        self.schedule.step()
        left = scaler.get_scale() if scaler is not None else scale
        self.updated |= left >= scale  # a fused optimizer does not tell what it left out
        return left >= 1

    @torch.no_grad()
    def predict(self, samples: Sequence[Sample]) -> Predictions:
        """Predict each sample's entities, in the order given; deterministic."""
        self.system.eval()
        self.collate.foresee(samples)
        order: dict[int, list[ScoredEntity]] = {}  # ids may recur
        for group in by_cost(samples, 2 * self.recipe.batch_size, self.collate.cost):
            batch = self.batch(group)
            with self.accelerator.autocast():
                predicted = self.system.predict(batch)
            order |= {
                id(sample): entities for sample, entities in zip(group, predicted, strict=True)
            }
        return [order[id(sample)] for sample in samples]


def _diverged(
    what: str, place: str, values: Mapping[str, float], samples: Sequence[Sample]
) -> RunError:
    terms = ", ".join(f"{name}={value:g}" for name, value in values.items() if name != "loss")
    return RunError(
        f"the {what} is not a number in {place} ({terms}); "
        f"samples: {', '.join(sample.id for sample in samples)}; "
        "lower the learning rate or look at these samples"
    )
