"""Runs: what they are, and how they are made, in this process or in several."""

from __future__ import annotations

import csv
import io
import logging
import os
import platform
import shlex
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import yaml
from accelerate.utils import set_seed
from platformdirs import user_cache_path
from safetensors.torch import save_file

import zoo
from zoo.build import build, read_data, reader, sources
from zoo.config import Plan
from zoo.data.fingerprint import fingerprint
from zoo.engines import processes
from zoo.errors import ConfigError, DataError, ZooError
from zoo.evaluation.scores import score
from zoo.results.files import write_atomic
from zoo.results.store import (
    Git,
    Parameters,
    RunRecord,
    Speed,
    Store,
    digest,
    run_id,
    write_predictions,
    write_run,
)
from zoo.schema import Part
from zoo.system import System
from zoo.training.loop import Row, Trainer
from zoo.types import Splits

Rerun = Literal["missing", "always", "never"]

_ALL_THREADS = torch.get_num_threads()


@dataclass(frozen=True)
class Dataset:
    """A dataset as read, with what its reader states about it."""

    name: str
    splits: Splits
    fingerprint: str
    tags: Literal["lenient", "strict"] | None
    ceiling: float | None


@dataclass(frozen=True)
class Job:
    """A planned run with its content address."""

    plan: Plan
    data: Dataset
    config: Mapping[str, Any]
    sources: str
    id: str

    @property
    def system(self) -> str:
        return self.plan.system.name

    @property
    def dataset(self) -> str:
        return self.data.name

    @property
    def seed(self) -> int:
        return self.plan.seed


class Report(Protocol):
    """Who is told how it goes."""

    def begin(self, job: Job) -> None: ...
    def epoch(self, job: Job, row: Row) -> None: ...
    def end(self, job: Job, record: RunRecord) -> None: ...
    def fail(self, job: Job, message: str) -> None: ...
    def wait(self, job: Job) -> None: ...


def load_datasets(plans: Sequence[Plan], root: Path) -> dict[str, Dataset]:
    """Read each dataset that is planned for, once; see :func:`dataset_key`.

    Raises:
        DataError: what is wrong in any of them.
    """
    datasets: dict[str, Dataset] = {}
    problems: list[str] = []
    for key, plan in {dataset_key(plan): plan for plan in plans}.items():
        try:
            datasets[key] = load_dataset(plan.dataset, plan.reader, root)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(*problems)
    return datasets


def dataset_key(plan: Plan) -> str:
    """The dataset by name and settings: an ablation may change them."""
    return f"{plan.dataset} {digest(plan.reader.resolved())}"


def load_dataset(name: str, part: Part, root: Path) -> Dataset:
    """Read a dataset. Raises DataError with everything that is wrong in it."""
    try:
        splits = read_data(part, root)
        ceiling = getattr(reader(part, root), "text_only_ceiling", None)
        return Dataset(
            name,
            splits,
            fingerprint(splits),
            part.settings.get("tags"),
            100 * ceiling() if ceiling else None,
        )
    except (DataError, ConfigError) as error:
        raise DataError(*(f"dataset {name}: {problem}" for problem in error.problems)) from error


def make_jobs(plans: Sequence[Plan], datasets: Mapping[str, Dataset]) -> list[Job]:
    """Give each planned run its content address.

    Raises:
        ConfigError: a system looks at what none of a dataset's training samples has.
    """
    jobs, problems, code = [], [], dict[frozenset[type], str]()
    for plan in plans:
        data, spec = datasets[dataset_key(plan)], plan.system
        for name, part in spec.views.items():
            sees = getattr(part.cls, "sees", "picture")
            if all(getattr(sample, sees) is None for sample in data.splits["train"]):
                problems.append(
                    f"systems.{spec.name}.views.{name}: no training sample of {plan.dataset} has "
                    f"a {sees}; leave the system or the ablation out, or give the dataset its "
                    f"{sees}s"
                )
        settings = {
            "system": spec.resolved(),
            "recipe": plan.recipe.model_dump(mode="json"),
            "dataset": plan.reader.resolved(),
        }
        parts = frozenset(each.cls for _, part in spec.parts for each in part.walk())
        code[parts] = code.get(parts) or sources(spec)
        identity = run_id(settings, data.fingerprint, code[parts], plan.seed)
        jobs.append(Job(plan, data, settings, code[parts], identity))
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return jobs


def pending(jobs: Sequence[Job], store: Store, rerun: Rerun) -> list[Job]:
    """The jobs that are to be run."""
    if rerun == "never":
        return []
    return [job for job in jobs if rerun == "always" or not store.complete(job)]


def variants(jobs: Sequence[Job]) -> list[Job]:
    """One job of each variant: of those that differ in their seed alone."""
    found = {(job.system, job.dataset, digest(job.config)): job for job in jobs}
    return list(found.values())


def check(jobs: Sequence[Job]) -> None:
    """Build each variant once, so that what a part refuses is known before anything is trained.

    Raises:
        ConfigError: one line a system that can't be built.
    """
    problems = []
    for job in variants(jobs):
        try:
            build(job.plan.system, job.data.splits["train"], cache_folder())
        except ConfigError as error:
            problems += [f"systems.{job.system}: {problem}" for problem in error.problems]
        except Exception as error:
            # no mistake in the configuration: the run will fail with it, and the others go on
            logging.getLogger(__name__).debug("%s: %s", job.system, error)
    if problems:
        raise ConfigError(*dict.fromkeys(problems))


def execute(
    jobs: Sequence[Job],
    store: Store,
    report: Report,
    rerun: Rerun = "missing",
    workers: int = 1,
) -> int:
    """Run what is to be run. A run that fails is reported, and the others go on.

    Args:
        workers: how many runs go on at once: one in this process, more in one process each.

    Returns:
        How many runs failed.

    Raises:
        ConfigError: the runs can't be handed to other processes.
    """
    todo = pending(jobs, store, rerun)
    workers = min(workers, len(todo))
    if workers > 1:
        return processes.execute(todo, store, report, rerun, workers)
    return sum(not attempt(job, store, report, rerun) for job in todo)


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
            path = store.root / "failed" / f"{job.system}-{job.dataset}-{job.seed}-{job.id}.log"
            write_atomic(path, traceback.format_exc())
            message = " ".join(str(error).split())[:300]
            report.fail(job, f"{type(error).__name__}: {message} (traceback: {path})")
            return False
        report.end(job, record)
        return True


def prepare(job: Job) -> Trainer:
    """Seed everything, take the recipe's threads, build the system and its trainer."""
    torch.set_num_threads(job.plan.recipe.threads or _ALL_THREADS)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    set_seed(job.seed)
    system = build(job.plan.system, job.data.splits["train"], cache_folder())
    return Trainer(system, job.plan.recipe, job.seed)


def run(job: Job, folder: Path, on_epoch: Callable[[Row], None]) -> RunRecord:
    """Train, restore the epoch best on dev, read the test split once, write the run's files."""
    started, begin = datetime.now(timezone.utc), time.perf_counter()
    splits = job.data.splits
    trainer = prepare(job)
    fit = trainer.fit(splits["train"], splits["dev"], on_epoch)
    assert fit.dev is not None, "a recipe has at least one epoch"
    tested = time.perf_counter()
    predicted = trainer.predict(splits["test"])
    tested = time.perf_counter() - tested

    write_predictions(folder / "predictions.dev.jsonl", splits["dev"], fit.dev_predictions)
    write_predictions(folder / "predictions.test.jsonl", splits["test"], predicted)
    save_file(_weights(trainer.system), folder / "model.safetensors")
    write_atomic(folder / "history.csv", _csv(fit.history))
    settings = {**job.config, "seed": job.seed}
    write_atomic(folder / "config.yaml", yaml.safe_dump(settings, sort_keys=False))
    scored = {
        split: score(
            [sample.entities for sample in splits[split]],
            answers,
            [sample.language for sample in splits[split]],
        )
        for split, answers in (("dev", fit.dev_predictions), ("test", predicted))
    }
    parameters = list(trainer.system.parameters())
    plan = job.plan
    record = RunRecord(
        id=job.id,
        system=job.system,
        dataset=job.dataset,
        seed=job.seed,
        backbone=plan.system.backbone,
        recipe=plan.recipe_name,
        suite=plan.suite,
        overrides=list(plan.overrides),
        config_hash=digest(job.config),
        data_fingerprint=job.data.fingerprint,
        sources_hash=job.sources,
        tags=job.data.tags,
        versions=versions(),
        git=git(),
        device=device(trainer),
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
        text_only_ceiling=job.data.ceiling,
        text_only=plan.system.text_only,
        cites=", ".join(plan.system.cites) or None,
    )
    write_run(folder, record)
    return record


def _weights(system: System) -> dict[str, torch.Tensor]:
    """The weights to store; tensors that share memory are stored once each, by copy."""
    return {k: v.detach().cpu().clone().contiguous() for k, v in system.state_dict().items()}


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()} for row in rows
    )
    return text.getvalue()


def cache_folder() -> Path:
    """Where features of frozen encoders are kept: ``ZOO_CACHE``, else the user's cache folder."""
    return Path(os.environ.get("ZOO_CACHE") or user_cache_path("mner-zoo"))


def versions() -> dict[str, str]:
    packages = ("torch", "transformers", "accelerate", "allennlp-light", "torchvision", "numpy")
    found = {name: metadata.version(name) for name in packages}
    return {"python": platform.python_version(), "zoo": zoo.__version__, **found}


def git() -> Git | None:
    """The commit this package is run from; None where it is not in a checkout."""

    folder = Path(zoo.__file__).resolve().parent

    def ask(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        if Path(ask("rev-parse", "--show-toplevel")) != folder.parent:
            return None  # installed in an environment that lies in some other checkout
        return Git(commit=ask("rev-parse", "HEAD"), dirty=bool(ask("status", "--porcelain", ".")))
    except FileNotFoundError:
        return None


def device(trainer: Trainer) -> str:
    """The device in words, with the number of threads where it is the CPU."""
    kind = trainer.accelerator.device
    if kind.type == "cuda":
        return torch.cuda.get_device_name(kind)
    return f"{kind.type}, {torch.get_num_threads()} threads"


def command() -> str:
    """The command line, without the folder the program lies in."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
