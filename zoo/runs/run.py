"""One run: train, predict, write."""

from __future__ import annotations

import csv
import errno
import io
import logging
import os
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from accelerate.utils import set_seed

from zoo.build import build
from zoo.errors import ConfigError, RunError, ZooError
from zoo.evaluation.predictions import entity_names, write_predictions
from zoo.evaluation.scores import score
from zoo.files import write_atomic
from zoo.identity import HARNESS, configuration
from zoo.model.store import Facts, write_model
from zoo.results.record import PREDICTIONS, Parameters, RunRecord, Speed, write_run
from zoo.results.store import Store
from zoo.runs.environment import cache_folder, command, device, git, versions
from zoo.runs.job import Job, Report, Rerun, variants
from zoo.system import System
from zoo.training.loop import Row, Trainer
from zoo.training.weights import feature_digests
from zoo.yaml import dump

MANY_UNKNOWN = 0.2
"""The share of unknown training words from which on tables say so."""

_ALL_THREADS = torch.get_num_threads()


def check(jobs: Sequence[Job], say: Callable[[str], None] = lambda note: None) -> dict[str, float]:
    """Build each variant once, so that what a part refuses is known before anything is trained.

    Args:
        say: is told of learning rates that no parameter of any of the systems gets.

    Returns:
        By variant, a number in proportion to what an epoch computes, as far as parameters tell.

    Raises:
        ConfigError: one line a system that can't be built.
    """
    problems, weights = [], dict[str, float]()
    idle: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for job in variants(jobs):
        try:
            system = build(job.plan.system, job.data.learnt, cache_folder())
            weights[job.variant] = len(job.data.splits["train"]) * _weight(system)
            recipe = job.plan.recipe  # of one name, overrides make several
            patterns = tuple(recipe.learning_rates)
            left = idle.setdefault((job.plan.recipe_name, patterns), set(patterns))
            trained = (name for name, each in system.named_parameters() if each.requires_grad)
            left -= {recipe.pattern(name) for name in trained}
        except ConfigError as error:
            problems += [f"systems.{job.system}: {problem}" for problem in error.problems]
        except Exception as error:
            # no mistake in the configuration: the run will fail with it, and the others go on
            logging.getLogger(__name__).debug("%s: %s", job.system, error)
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    for (name, _), left in idle.items():
        for pattern in sorted(left):
            say(f"recipe {name}: no parameter of these systems gets the learning rate `{pattern}`")
    return weights


def _weight(system: System) -> float:
    """Multiplications of a word, about: each parameter once forward and, if trained, twice back.

    Of a table of embeddings one row is read, which costs nothing.
    """
    tables = {
        id(module.weight) for module in system.modules() if isinstance(module, torch.nn.Embedding)
    }
    return sum(
        (3.0 if each.requires_grad else 1.0) * each.numel()
        for each in system.parameters()
        if id(each) not in tables
    )


def attempt(job: Job, store: Store, report: Report, rerun: Rerun) -> bool:
    """Make one run under its lock and report it; whether all went well."""
    with store.lock(job, on_wait=partial(report.wait, job)):
        if rerun == "missing" and store.complete(job):
            report.end(job, store.read(job))  # another process made it meanwhile
            return True
        report.begin(job)
        try:
            with store.writer(job) as folder:
                record = run(job, folder, partial(report.epoch, job))
        except ZooError as error:
            report.fail(job, "; ".join(error.problems))
            return False
        except Exception as error:  # whatever a part's own code raises: the others go on
            if lacks_memory(error):
                report.fail(job, OUT_OF_MEMORY)
                return False
            message = " ".join(str(error).split())[:300]
            report.fail(job, f"{type(error).__name__}: {message} (traceback: {_log(store, job)})")
            return False
        report.end(job, record)
        return True


OUT_OF_MEMORY = (
    "out of memory; lower max_tokens or batch_size in the recipe, or run fewer at once (--jobs)"
)
_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that memory is exhausted: Python's, or torch's for any device."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    told = isinstance(error, RuntimeError) and any(words in str(error) for words in _MEMORY)
    return told or isinstance(error, MemoryError)


def _log(store: Store, job: Job) -> str:
    """Write the traceback of the error that is being handled to a file; where it is."""
    path = store.root / "failed" / f"{job.system}-{job.dataset}-{job.seed}-{job.id}.log"
    try:
        write_atomic(path, traceback.format_exc())
    except OSError as error:  # the disk that the run filled: the others still go on
        return f"{path} can't be written: {error.strerror}"
    return str(path)


def prepare(job: Job) -> Trainer:
    """Seed everything, take the recipe's threads, build the system and its trainer."""
    torch.set_num_threads(job.plan.recipe.threads or _ALL_THREADS)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    set_seed(job.seed)
    system = build(job.plan.system, job.data.learnt, cache_folder())
    if job.harness != HARNESS:
        raise RunError("zoo itself was changed in the meantime; give the command again")
    if configuration(job.plan.system, job.plan.recipe)[1] != job.models:
        raise RunError("a model that it loads was changed in the meantime; give the command again")
    return Trainer(system, job.plan.recipe, job.seed, job.precision)


def run(job: Job, folder: Path, on_epoch: Callable[[Row], None]) -> RunRecord:
    """Train, restore the epoch best on dev, read the test split once, write the run's files."""
    started, begin = datetime.now(UTC), time.perf_counter()
    splits = job.data.splits
    trainer = prepare(job)
    fit = trainer.fit(splits["train"], splits["dev"], on_epoch)
    assert fit.dev is not None, "a recipe has at least one epoch"
    tested = time.perf_counter()
    predicted = trainer.predict(splits["test"])
    tested = time.perf_counter() - tested

    seen = entity_names(splits["train"])
    write_predictions(folder / PREDICTIONS[0], splits["dev"], fit.dev_predictions, seen)
    write_predictions(folder / PREDICTIONS[1], splits["test"], predicted, seen)
    if job.keep_weights == "best":
        _store(job, trainer.system, folder)
    write_atomic(folder / "history.csv", _csv(fit.history))
    settings = {**job.config, "seed": job.seed}
    write_atomic(folder / "config.yaml", dump(settings))
    scored = {
        split: score(
            [sample.entities for sample in splits[split]],
            answers,
            [sample.language for sample in splits[split]],
        )
        for split, answers in (("dev", fit.dev_predictions), ("test", predicted))
    }
    parameters = list(trainer.system.parameters())
    record = RunRecord(
        **job.labels,
        id=job.id,
        seed=job.seed,
        config_hash=job.config_hash,
        data_fingerprint=job.data.fingerprint,
        sources_hash=job.sources,
        precision=job.precision,
        harness=job.harness,
        models=dict(job.models),
        features=feature_digests(trainer.system),
        versions=versions(),
        git=git(),
        device=device(trainer.accelerator.device),
        command=command(),
        started=started,
        seconds={
            "train": round(fit.seconds, 2),
            "test": round(tested, 2),
            "total": round(time.perf_counter() - begin, 2),
        },
        sentences={split: len(samples) for split, samples in splits.items()},
        epochs=len(fit.history),
        best_epoch=fit.best_epoch,
        dev=scored["dev"],
        test=scored["test"],
        speed=Speed(
            train=round(fit.sentences_per_second, 1),
            predict=round(len(splits["test"]) / tested, 1),
        ),
        parameters=Parameters(
            trained=sum(p.numel() for p in parameters if p.requires_grad),
            total=sum(p.numel() for p in parameters),
        ),
        text_only=job.plan.system.text_only,
        notes=[*job.data.notes, *_unknown_words(job.plan.system.name, trainer.system)],
    )
    write_run(folder, record)
    return record


def _unknown_words(name: str, system: System) -> list[str]:
    """A note on each text encoder that does not know many of the training words; a table may show
    it beside other systems."""
    shares = {
        slot: share
        for slot, encoder in system.encoders().items()
        for module in encoder.modules()
        if (share := getattr(module, "unknown_share", 0.0)) and share > MANY_UNKNOWN
    }
    return [
        f"{name}: {share:.0%} of the training words hold a piece unknown to the tokenizer of "
        f"`{slot}`."
        for slot, share in shares.items()
    ]


def _store(job: Job, system: System, folder: Path) -> None:
    """Store all that prediction needs, so that the training data is not needed again."""
    learnt = job.data.learnt
    languages = {s.language for s in job.data.splits["train"] if s.language is not None}
    facts = Facts(
        run=job.id,
        seed=job.seed,
        harness=job.harness,
        sources=job.sources,
        precision=job.precision,
        threads=job.plan.recipe.threads,
        languages=sorted(languages),
        versions=versions(),
    )
    again = partial(build, job.plan.system, learnt, cache_folder())
    write_model(folder, job.plan.system, system, learnt, again, facts)


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    columns = dict.fromkeys(name for row in rows for name in row)  # a loss may begin late
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()} for row in rows
    )
    return text.getvalue()
