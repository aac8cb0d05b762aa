"""``zoo run registry.yaml``."""

from __future__ import annotations

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
    from rich.console import Console

    from zoo.results.store import Store
    from zoo.runs.datasets import Dataset
    from zoo.runs.job import Job, Rerun


@click.command("run")
@REGISTRY
@click.option("--suite", metavar="SUITE", help="The suite to run (default: the first one).")
@many("system", "Only this system (any of the registry's). Repeatable.")
@many("dataset", "Only this dataset. Repeatable.")
@many("seed", "Only this seed. Repeatable.", click.IntRange(min=0))
@OVERRIDE
@click.option(
    "--dry-run", is_flag=True, help="Check everything and push one batch through; train nothing."
)
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
    suite: str | None,
    systems: tuple[str, ...],
    datasets: tuple[str, ...],
    seeds: tuple[int, ...],
    overrides: tuple[str, ...],
    dry_run: bool,
    rerun: Rerun,
    workers: int | None,
    data: Path | None,
    results: Path | None,
    plugins: tuple[Path, ...],
) -> int:
    """Train and score the systems of REGISTRY (registry.yaml); print the leaderboard."""
    from zoo.cli.report import make_console

    console = make_console()
    config = load_config(registry, overrides, plugins)
    plans = config.plan(suite, systems, datasets, seeds)

    from zoo.cli.execute import carry_out
    from zoo.results.store import Store
    from zoo.runs.datasets import load_datasets
    from zoo.runs.job import make_jobs

    loaded = load_datasets(plans, data_root(data, registry))
    jobs = make_jobs(plans, loaded)
    store = Store(results_root(results, registry))
    if dry_run:
        return rehearse(jobs, store, console, rerun)
    failed = carry_out(jobs, store, console, rerun, workers)

    from zoo.results.leaderboard import leaderboard
    from zoo.results.writers import render, write

    for table in leaderboard(store.load_runs(filter(store.complete, jobs)), all=True):
        console.print(render(table))
    stored = store.load_runs()
    if stored:
        write(leaderboard(stored), store.root)
        where = f"{store.root}/leaderboard.{{md,csv,tex,json}}"
        console.print(f"all stored runs: {where}", highlight=False, markup=False, soft_wrap=True)
    return 1 if failed else 0


def rehearse(jobs: list[Job], store: Store, console: Console, rerun: Rerun) -> int:
    """``--dry-run``: the first sample of each dataset, one batch through each system, the plan."""
    import torch

    from zoo.runs.job import pending, variants
    from zoo.runs.run import prepare

    for data in {(job.dataset, job.data.fingerprint): job.data for job in jobs}.values():
        show_sample(data, console)
    for job in variants(jobs):
        trainer = prepare(job)
        samples = job.data.splits["train"][: job.plan.recipe.batch_size]
        with torch.no_grad():
            losses = trainer.system(trainer.batch(samples)).losses
        found = trainer.predict(samples)
        terms = ", ".join(f"{name} {value.item():.4f}" for name, value in losses.items())
        console.print(
            f"{job.system} on {job.dataset}: one batch of {len(samples)} passes; {terms}; "
            f"{sum(map(len, found))} entities decoded",
            highlight=False,
            soft_wrap=True,
        )
    todo = pending(jobs, store, rerun)
    console.print(f"would run {len(todo)} of {len(jobs)} runs:", highlight=False)
    for job in todo:
        epochs = job.plan.recipe.epochs
        console.print(
            f"  {job.system} on {job.dataset}, seed {job.seed}, at most {epochs} epochs",
            highlight=False,
        )
    return 0


def show_sample(data: Dataset, console: Console) -> None:
    """The first training sample: its words, spans, picture size and caption."""
    sample = data.splits["train"][0]
    picture = sample.picture.open() if sample.picture else None
    size = f"{picture.width} × {picture.height} pixels" if picture else "none"
    lines = [
        f"dataset {data.name} (fingerprint {data.fingerprint[:12]}), first sample {sample.id}:",
        f"  tokens:   {' '.join(sample.words)}",
        *(
            f"  {e.type}: [{e.start}, {e.end}) {' '.join(sample.words[e.start : e.end])}"
            for e in sample.entities
        ),
        f"  picture:  {size}",
        f"  caption:  {sample.caption or 'none'}",
    ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
