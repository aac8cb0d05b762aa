"""One step of a run, to see that it works and what the whole would cost; nothing is stored."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from zoo.errors import RunError, ZooError
from zoo.runs.job import Job
from zoo.runs.run import OUT_OF_MEMORY, lacks_memory, prepare
from zoo.training.weights import stored_bytes

SLOW = 3.0
"""Seconds from which on a step is taken once: the time it takes to warm up is then a small part."""


@dataclass(frozen=True)
class Rehearsal:
    """What one training step and one prediction of a job show.

    Args:
        samples: sentences in the batch.
        losses: every loss term by its name.
        decoded: entities that the untrained system decodes.
        without_gradient: names of trained parameters that the loss does not reach.
        seconds: estimate for one whole run at most, without the features of frozen encoders.
        size: bytes of the weights that a run stores.
    """

    samples: int
    losses: dict[str, float]
    decoded: int
    without_gradient: list[str]
    seconds: float
    size: int


def rehearse(job: Job) -> Rehearsal:
    """Push one batch forward and back through a job's system. Raises ConfigError, RunError."""
    try:
        return _rehearsed(job)
    except ZooError:
        raise
    except Exception as error:  # whatever a part's own code raises
        if lacks_memory(error):
            raise RunError(f"systems.{job.system}: {OUT_OF_MEMORY}") from error
        message = " ".join(str(error).split())[:300]
        raise RunError(f"systems.{job.system}: {type(error).__name__}: {message}") from error


def _rehearsed(job: Job) -> Rehearsal:
    trainer = prepare(job)
    system, recipe, splits = trainer.system, job.plan.recipe, job.data.splits
    samples = splits["train"][: recipe.batch_size]
    trained, step = len(samples), math.inf
    for _ in range(2):  # the first one prepares the inputs, and warms up what is not slow anyway
        system.train()
        begin = time.perf_counter()
        with trainer.accelerator.autocast():
            losses = system(trainer.batch(samples)).losses
            loss = system.total(losses)
        trainer.accelerator.backward(loss)
        step = min(step, time.perf_counter() - begin)
        if step > SLOW:
            samples = samples[: max(1, len(samples) // 4)]  # to predict: enough to see that it does
            break
    begin = time.perf_counter()
    found = trainer.predict(samples)
    predict = (time.perf_counter() - begin) / len(samples)
    steps = math.ceil(len(splits["train"]) / recipe.batch_size)
    read = len(splits["dev"]) * recipe.epochs + len(splits["test"])
    return Rehearsal(
        trained,
        {name: value.item() for name, value in losses.items()},
        sum(map(len, found)),
        [n for n, p in system.named_parameters() if p.requires_grad and p.grad is None],
        step * steps * recipe.epochs + predict * read,
        stored_bytes(system),
    )
