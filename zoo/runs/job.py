"""Jobs: planned runs with their content addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from zoo.config.specs import Plan
from zoo.errors import ConfigError, near
from zoo.identity import digest, run_id, sources
from zoo.results.record import RunRecord
from zoo.results.store import Store
from zoo.runs.datasets import Dataset, dataset_key
from zoo.schema import SystemSpec
from zoo.types import Sample

if TYPE_CHECKING:
    from zoo.training.loop import Row


Rerun = Literal["missing", "always", "never"]


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


def make_jobs(plans: Sequence[Plan], datasets: Mapping[str, Dataset]) -> list[Job]:
    """Give each planned run its content address.

    Raises:
        ConfigError: a system reads what none of a dataset's training samples has.
    """
    jobs, problems, code = [], [], dict[frozenset[type], str]()
    for plan in plans:
        data, spec = datasets[dataset_key(plan)], plan.system
        problems += missing(spec, plan.dataset, data.splits["train"])
        settings = {
            "system": spec.resolved(),
            "recipe": plan.recipe.model_dump(mode="json"),
            "dataset": plan.reader.resolved(),
        }
        parts = spec.classes
        code[parts] = code.get(parts) or sources(parts)
        identity = run_id(settings, data.fingerprint, code[parts], plan.seed)
        jobs.append(Job(plan, data, settings, code[parts], identity))
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return jobs


def missing(spec: SystemSpec, dataset: str, train: Sequence[Sample]) -> list[str]:
    """What a system's encoders read that no training sample of the dataset has, one line each."""
    problems = []
    for slot, fields in spec.sees.items():
        for field in sorted(fields - {"words"}):
            if any(sample.get(field) is not None for sample in train):
                continue
            problem = f"systems.{spec.name}.{slot}: no training sample of {dataset} has a {field}"
            if field in ("picture", "caption"):
                remedy = f"leave the system or the ablation out, or give the dataset its {field}s"
                problems.append(f"{problem}; {remedy}")
            else:
                extra = {name for sample in train for name in sample.extra}
                has_caption = any(sample.caption is not None for sample in train)
                known = extra | ({"caption"} if has_caption else set())
                nothing = "; its samples hold no text but the words"
                problems.append(problem + (near(field, known) if known else nothing))
    return problems


def pending(jobs: Sequence[Job], store: Store, rerun: Rerun) -> list[Job]:
    """The jobs that are to be run."""
    if rerun == "never":
        return []
    return [job for job in jobs if rerun == "always" or not store.complete(job)]


def variants(jobs: Sequence[Job]) -> list[Job]:
    """One job of each variant: of those that differ in their seed alone."""
    found = {(job.system, job.dataset, digest(job.config)): job for job in jobs}
    return list(found.values())
