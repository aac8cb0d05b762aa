"""Jobs: planned runs with their content addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

from zoo.config.specs import Plan
from zoo.errors import ConfigError, near
from zoo.identity import HARNESS, configuration, run_id, sources, stale, variant_id
from zoo.results.record import RunRecord
from zoo.results.store import Store
from zoo.runs.datasets import Dataset, dataset_key
from zoo.schema import SystemSpec
from zoo.training.precision import Precision, resolve_precision
from zoo.types import Sample

if TYPE_CHECKING:
    from zoo.training.loop import Row


Rerun = Literal["missing", "always", "never"]
KeepWeights = Literal["best", "none"]


@dataclass(frozen=True)
class Job:
    """A planned run with its content address.

    Args:
        config: all settings of system, recipe and dataset, with their defaults.
        config_hash: of those that decide the run's numbers.
        sources: hash of the source of its parts.
        models: the digest of every model that it loads.
        precision: what the recipe's resolved to.
        harness: the version of the harness that planned it.
        keep_weights: whether the weights that were best on dev are stored; it decides no number.
    """

    plan: Plan
    data: Dataset
    config: Mapping[str, Any]
    config_hash: str
    sources: str
    models: Mapping[str, str]
    precision: Precision
    harness: int = HARNESS
    keep_weights: KeepWeights = "best"

    @cached_property
    def id(self) -> str:
        return run_id(*self._hashes, self.seed, self.harness)

    @cached_property
    def variant(self) -> str:
        return variant_id(*self._hashes, self.harness)

    @property
    def _hashes(self) -> tuple[str, str, str, str]:
        return self.config_hash, self.data.fingerprint, self.sources, self.precision

    @property
    def system(self) -> str:
        return self.plan.system.name

    @property
    def dataset(self) -> str:
        return self.data.name

    @property
    def seed(self) -> int:
        return self.plan.seed

    @property
    def epochs(self) -> int:
        """That its recipe allows."""
        return self.plan.recipe.epochs

    @property
    def labels(self) -> dict[str, Any]:
        """The fields of a record that say what it is called, and decide no number."""
        plan = self.plan
        return {
            "system": self.system,
            "dataset": self.dataset,
            "backbone": plan.system.backbone,
            "recipe": plan.recipe_name,
            "suite": plan.suite,
            "arm": f"{plan.arm.comparison.ablation}: {plan.arm.name}" if plan.arm else None,
            "overrides": list(plan.overrides),
            "tags": self.data.tags,
            "text_only_ceiling": self.data.ceiling,
            "grounding_bar": self.data.bar,
            "cites": ", ".join(plan.system.cites) or None,
        }


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
        ConfigError: a system reads what none of a dataset's training samples has, a model can't
            be found, or the machine does not have the recipe's precision.
    """
    jobs, problems = list[Job](), list[str]()
    code, known = dict[frozenset[type], str](), dict[tuple[int, int], tuple[str, dict[str, str]]]()
    for plan in plans:
        data, spec = datasets[dataset_key(plan)], plan.system
        problems += missing(spec, plan.dataset, data.splits["train"])
        settings = {
            "system": spec.resolved(),
            "recipe": plan.recipe.model_dump(mode="json"),
            "dataset": plan.reader.resolved(),
        }
        parts = spec.classes
        if parts not in code:
            problems += stale(parts)
            code[parts] = sources(parts)
        key = id(spec), id(plan.recipe)  # seeds share both, and models are digested once
        try:
            known[key] = known.get(key) or configuration(spec, plan.recipe)
            precision = resolve_precision(plan.recipe)
        except ConfigError as error:
            problems += [f"systems.{spec.name}: {problem}" for problem in error.problems]
        else:
            jobs.append(
                Job(plan, data, settings, known[key][0], code[parts], known[key][1], precision)
            )
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
    found = {(job.system, job.dataset, job.variant): job for job in jobs}
    return list(found.values())
