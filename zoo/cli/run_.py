"""``zoo run registry.yaml``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zoo.cli.options import Execution, Source, execution, many, print_json, seeds, source, stdout

if TYPE_CHECKING:
    from rich.console import Console

    from zoo.results.store import Store
    from zoo.runs.datasets import Dataset
    from zoo.runs.job import Job


@click.command("run")
@source()
@click.option("--suite", metavar="SUITE", help="The suite to run (default: the first one).")
@many("system", "Only this system (any of the registry's). Repeatable.")
@many("dataset", "Only this dataset. Repeatable.")
@seeds("Only this seed. Repeatable.")
@click.option("--tuned", is_flag=True, help="Train with the learning rates of `zoo tune`.")
@execution()
def command(
    suite: str | None,
    systems: tuple[str, ...],
    datasets: tuple[str, ...],
    seeds: tuple[int, ...],
    tuned: bool,
    source: Source,
    execution: Execution,
) -> int:
    """Train and score the systems of REGISTRY (registry.yaml); print the leaderboard."""
    from zoo.cli.execute import choose_suite
    from zoo.cli.report import make_console

    console = execution.console()
    config = source.load()
    known = choose_suite(config, suite, source.root, console)
    plans = config.plan(suite, systems, datasets, seeds)

    from zoo.cli.execute import carry_out
    from zoo.runs.datasets import load_datasets
    from zoo.runs.job import make_jobs

    loaded = load_datasets(plans, source.root, known)
    store = execution.store(source.registry)
    if tuned:
        from zoo.runs.tuning import tuned as with_tuned_rates

        plans = with_tuned_rates(plans, loaded, store.root)
    jobs = make_jobs(plans, loaded)
    if execution.dry_run:
        return try_out(jobs, store, execution)
    failed = carry_out(jobs, store, console, execution)

    from zoo.results.leaderboard import leaderboard
    from zoo.results.overlaps import with_overlaps
    from zoo.results.statistics import Statistics
    from zoo.results.terminal import render
    from zoo.results.writers import to_json, write

    statistics = Statistics(store.root)
    made = store.load_runs(filter(store.complete, jobs))
    shown = with_overlaps(leaderboard(made, all=True, statistics=statistics), store.root)
    if execution.as_json:
        click.echo(to_json(shown), file=stdout(), nl=False)
    else:
        out = make_console()
        for table in shown:
            out.print(render(table))
    stored = store.load_runs()
    if stored:
        tables = leaderboard(stored, statistics=statistics)
        write(with_overlaps(tables, store.root), store.root)
        statistics.save()
        where = f"{store.root}/leaderboard.{{md,csv,tex,json}}"
        console.print(f"all stored runs: {where}", highlight=False, markup=False, soft_wrap=True)
    return 1 if failed else 0


def try_out(jobs: list[Job], store: Store, execution: Execution) -> int:
    """``--dry-run``: the first sample of each dataset, one step of each system, the cost."""
    from dataclasses import asdict

    from zoo.cli.execute import say_notes
    from zoo.cli.report import duration, make_console
    from zoo.data.findings import counted
    from zoo.runs.datasets import check_pictures
    from zoo.runs.job import pending, variants
    from zoo.runs.rehearsal import rehearse

    console = make_console(stderr=execution.as_json)

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    for data in {(job.dataset, job.data.fingerprint): job.data for job in jobs}.values():
        show_sample(data, console)
    say_notes(jobs, console)
    check_pictures({id(job.data): job.data for job in jobs}.values())
    todo = pending(jobs, store, execution.rerun)
    seconds, size = 0.0, 0
    tried = []
    for job in variants(jobs):
        found = rehearse(job)
        tried.append({"system": job.system, "dataset": job.dataset, **asdict(found)})
        terms = ", ".join(f"{name} {value:.4f}" for name, value in found.losses.items())
        say(
            f"{job.system} on {job.dataset}: one batch of {found.samples} passes; {terms}; "
            f"{found.decoded} entities decoded"
        )
        if found.without_gradient:
            say(f"  parameters without a gradient: {', '.join(found.without_gradient)}")
        runs = sum((each.variant, each.dataset) == (job.variant, job.dataset) for each in todo)
        seconds, size = seconds + runs * found.seconds, size + runs * found.size
    say(f"would run {len(todo)} of {counted(len(jobs), 'run', 'runs')}:")
    for job in todo:
        say(f"  {job.system} on {job.dataset}, seed {job.seed}, at most {job.epochs} epochs")
    if todo:
        say(
            f"about {duration(seconds)} of computing (one step of each system, multiplied; "
            f"several runs at once take less) and {size / 1e6:,.0f} MB of weights"
        )
    if execution.as_json:
        would_run = [
            {"system": job.system, "dataset": job.dataset, "seed": job.seed, "epochs": job.epochs}
            for job in todo
        ]
        print_json({"systems": tried, "would_run": would_run, "seconds": seconds, "bytes": size})
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
