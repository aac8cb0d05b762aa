"""``zoo ablate``."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.options import (
    DATA,
    JOBS,
    OVERRIDE,
    PLUGIN,
    REGISTRY,
    RESULTS,
    data_root,
    load_config,
    many,
    results_root,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from zoo.config.ablations import Arm, Comparison, Study
    from zoo.config.read import Config
    from zoo.results.store import Store
    from zoo.results.tables import Table
    from zoo.runs.job import Job, Rerun

    ByArm = list[tuple[Comparison, list[tuple[Arm, list[Job]]]]]


@click.command("ablate")
@REGISTRY
@many("ablation", "Only this ablation. Repeatable.")
@click.option(
    "--suite",
    metavar="SUITE",
    help="Take datasets, seeds, backbone and recipe from this suite (default: the first one).",
)
@many("seed", "Make runs of this seed only. Repeatable.", click.IntRange(min=0))
@OVERRIDE
@click.option("--dry-run", is_flag=True, help="Check everything, list the arms; train nothing.")
@click.option(
    "--rerun",
    type=click.Choice(["missing", "always", "never"]),
    default="missing",
    show_default=True,
    help="Which runs to make although they are stored.",
)
@JOBS
@DATA
@RESULTS
@PLUGIN
def command(
    registry: Path,
    ablations: tuple[str, ...],
    suite: str | None,
    seeds: tuple[int, ...],
    overrides: tuple[str, ...],
    dry_run: bool,
    rerun: Rerun,
    workers: int | None,
    data: Path | None,
    results: Path | None,
    plugins: tuple[Path, ...],
) -> int:
    """Compare the arms of REGISTRY's ablations with their bases; print and write the tables."""
    from zoo.cli.report import make_console

    console = make_console()
    config = load_config(registry, overrides, plugins)
    if overrides or suite is not None:
        config.study(ablations, suite)
    studies = choose(config, ablations, seeds)

    from zoo.cli.execute import carry_out
    from zoo.results.plots import write_bars
    from zoo.results.store import Store
    from zoo.results.writers import render, write
    from zoo.runs.datasets import load_datasets
    from zoo.runs.job import make_jobs, pending

    plans = [plan for study in studies for plan in study.plans()]
    loaded = load_datasets(plans, data_root(data, registry))
    store = Store(results_root(results, registry))
    jobs = unique(make_jobs(plans, loaded), store)
    made = iter(jobs)
    sorted_out = [(study, by_arm(study, made)) for study in studies]
    wanted = [job for job in jobs if not seeds or job.seed in seeds]
    if dry_run:
        return rehearse(sorted_out, wanted, pending(wanted, store, rerun), console)
    failed = carry_out(wanted, store, console, rerun, workers)
    folder = store.root / "ablations"
    for study, arms in sorted_out:
        tables = tables_of(arms, config, store)
        heading = f"{study.name}: {study.description}" if study.description else study.name
        name = f"{study.name}-{suite}" if suite else study.name
        write(tables, folder, name, heading)
        write_bars(tables, folder, name)
        for table in tables:
            console.print(render(table))
        where = f"{folder}/{name}.{{md,csv,tex,json,png,svg}}"
        console.print(where, highlight=False, markup=False, soft_wrap=True)
    return 1 if failed else 0


def choose(config: Config, names: Sequence[str], seeds: Sequence[int]) -> list[Study]:
    """The ablations asked for, all where none is; tables show further seeds beside their own.

    Raises:
        ConfigError: there is none, or none of such a name.
    """
    from zoo.errors import ConfigError, near

    if not config.ablations:
        raise ConfigError(f"{config.path}: no section `ablations`; docs/design.md shows one")
    problems = [
        f"--ablation {name}: unknown{near(name, config.ablations)}"
        for name in names
        if name not in config.ablations
    ]
    if problems:
        raise ConfigError(*problems)
    chosen = [config.ablations[name] for name in dict.fromkeys(names or config.ablations)]
    return [replace(study, seeds=tuple(dict.fromkeys((*study.seeds, *seeds)))) for study in chosen]


def unique(jobs: Sequence[Job], store: Store) -> list[Job]:
    """The jobs with one in place of all that are the same run under several systems' names."""
    chosen: dict[str, Job] = {}
    for job in jobs:
        if job.id not in chosen or (store.complete(job) and not store.complete(chosen[job.id])):
            chosen[job.id] = job
    return [chosen[job.id] for job in jobs]


def by_arm(study: Study, jobs: Iterator[Job]) -> ByArm:
    """An ablation's jobs, taken off in the order of its plans."""
    return [
        (comparison, [(arm, list(islice(jobs, len(study.seeds)))) for arm in comparison.arms])
        for comparison in study.comparisons
    ]


def tables_of(arms: ByArm, config: Config, store: Store) -> list[Table]:
    """An ablation's tables, from the runs that are there."""
    from zoo.results.ablations import Outcome, ablation_tables

    tables = []
    for comparison, members in arms:
        facts = {
            "ablation": comparison.ablation,
            "base": comparison.base,
            "dataset": comparison.dataset,
            "across": comparison.across,
            "overrides": " ".join(config.overrides),
        }
        outcomes = [
            Outcome(
                arm.name,
                jobs[0].data.fingerprint,
                store.load_runs(filter(store.complete, jobs)),
            )
            for arm, jobs in members
        ]
        tables += ablation_tables(
            comparison.title,
            {key: fact for key, fact in facts.items() if fact},
            outcomes,
        )
    return tables


def rehearse(
    studies: list[tuple[Study, ByArm]], jobs: Sequence[Job], todo: Sequence[Job], console: Console
) -> int:
    """``--dry-run``: build what would be run, list the arms with their overrides, and the runs."""
    from zoo.runs.run import check

    check(todo)
    missing = {job.id for job in todo}
    lines = []
    for study, comparisons in studies:
        seeds = f"{'seed' if len(study.seeds) == 1 else 'seeds'} {', '.join(map(str, study.seeds))}"
        for comparison, members in comparisons:
            lines.append(f"{comparison.title}, {seeds}:")
            for arm, runs in members:
                count = sum(job.id in missing for job in runs)
                changes = " ".join(arm.overrides) or "as it is"
                if arm.plan.system.name != comparison.base:
                    changes = f"{arm.plan.system.name}: {changes}"
                lines.append(f"  {arm.name}: {changes}; {count} of {len(runs)} to run")
    total = len({job.id for job in jobs})
    lines.append(f"would run {len(missing)} of {total} runs")
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    return 0
