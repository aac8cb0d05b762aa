"""The training loop: early stopping on dev, the best epoch restored, nothing read from test."""

from __future__ import annotations

import dataclasses
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
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
from zoo.training.memory import default_max_tokens
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.precision import Precision, resolve_precision
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
    """

    def __init__(
        self, system: System, recipe: Recipe, seed: int, precision: Precision | None = None
    ) -> None:
        AcceleratorState._reset_state(reset_partial_state=True)
        precision = precision or resolve_precision(recipe)
        self.accelerator = Accelerator(mixed_precision="no" if precision == "fp32" else precision)
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
            RunError: the loss is no number; names the batch's samples.
        """
        recipe = self.recipe
        batches = math.ceil(len(train) / recipe.batch_size)
        updates = math.ceil(batches / recipe.accumulate) * recipe.epochs
        schedule = make_schedule(self.optimizer, recipe, updates)
        model, optimizer = self.accelerator.prepare(self.system, self.optimizer)
        fit, best, start = Fit(), dict[str, Tensor](), time.perf_counter()
        trained = 0.0
        for epoch in range(1, recipe.epochs + 1):
            begin = time.perf_counter()
            losses = self._epoch(model, optimizer, schedule, train, epoch)
            trained += time.perf_counter() - begin
            predicted = self.predict(dev)
            scores = score([s.entities for s in dev], [[e.entity for e in p] for p in predicted])
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
                best = {k: v.detach().cpu().clone() for k, v in self.system.state_dict().items()}
            on_epoch(row)
            if recipe.patience and epoch - fit.best_epoch >= recipe.patience:
                break
        self.system.load_state_dict(best)
        fit.seconds = time.perf_counter() - start
        fit.sentences_per_second = len(train) * len(fit.history) / trained
        return fit

    def _epoch(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LambdaLR,
        train: Sequence[Sample],
        epoch: int,
    ) -> dict[str, float]:
        """One pass over the training split; the mean of every loss term over its sentences."""
        model.train()
        sums: dict[str, float] = defaultdict(float)
        batches = shuffled(train, self.recipe.batch_size, self.rng, self.collate.cost)
        for number, samples in enumerate(batches, 1):
            batch = self.batch(samples)
            with self.accelerator.autocast():
                losses = model(batch).losses
                loss = self.system.total(losses)
            if not torch.isfinite(loss):
                terms = ", ".join(f"{name}={value.item():g}" for name, value in losses.items())
                raise RunError(
                    f"the loss is not a number in epoch {epoch}, batch {number} ({terms}); "
                    f"samples: {', '.join(sample.id for sample in samples)}; "
                    "lower the learning rate or look at these samples"
                )
            # Each sentence counts the same in an update, whatever batch it came in, and in the
            # epoch's last update, too, which may be of fewer batches.
            first = (number - 1) // self.recipe.accumulate * self.recipe.accumulate
            together = sum(map(len, batches[first : first + self.recipe.accumulate]))
            self.accelerator.backward(loss * (len(samples) / together))
            if number % self.recipe.accumulate == 0 or number == len(batches):
                if self.recipe.clip:
                    self.accelerator.clip_grad_norm_(model.parameters(), self.recipe.clip)
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
            for name, value in {"loss": loss, **losses}.items():
                sums[name] += value.item() * len(samples)
        return {name: value / len(train) for name, value in sums.items()}

    @torch.no_grad()
    def predict(self, samples: Sequence[Sample]) -> Predictions:
        """Predict each sample's entities, in the order given; deterministic."""
        self.system.eval()
        order: dict[int, list[ScoredEntity]] = {}  # ids may recur
        for group in by_cost(samples, 2 * self.recipe.batch_size, self.collate.cost):
            batch = self.batch(group)
            with self.accelerator.autocast():
                predicted = self.system.predict(batch)
            order |= {
                id(sample): entities for sample, entities in zip(group, predicted, strict=True)
            }
        return [order[id(sample)] for sample in samples]
