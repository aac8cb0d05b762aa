"""How the verbs that make runs have them made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from zoo.cli.options import Execution
from zoo.cli.report import ConsoleReport
from zoo.config.config import Config
from zoo.config.own import add_suite
from zoo.data.findings import counted
from zoo.engines import engine
from zoo.errors import ConfigError, ZooError
from zoo.files import sweep
from zoo.results.overlaps import write_posts
from zoo.results.store import Store
from zoo.runs.costs import Costs, stored_seconds
from zoo.runs.datasets import Dataset, check_pictures, key_of, load_dataset
from zoo.runs.environment import cache_folder
from zoo.runs.job import Job, pending


def carry_out(jobs: Sequence[Job], store: Store, console: Console, execution: Execution) -> int:
    """Say what is done already and make the rest; a run that is given twice is one run.

    Args:
        execution: which runs are made again, by which engine, how many at once.

    Returns:
        How many runs failed.

    Raises:
        ConfigError: a system can't be built; nothing was run.
    """
    if execution.whole and execution.keep_weights == "none":
        raise ConfigError("--whole stores models, and --keep-weights none none; give one of them")
    store.clean()
    jobs = [replace(job, keep_weights=execution.keep_weights) for job in jobs]
    sweep(cache_folder())
    jobs = list({(job.system, job.dataset, job.id): job for job in jobs}.values())
    rerun = execution.rerun
    datasets = {job.data.fingerprint: job.data for job in jobs}
    todo = pending(jobs, store, rerun)
    done = sum(store.complete(job) for job in jobs)
    console.print(
        f"{counted(len(jobs), 'run', 'runs')}: {done} of {len(jobs)} already done, "
        f"{len(todo)} to do",
        highlight=False,
    )
    if not todo:
        for data in datasets.values():  # of runs that were made elsewhere
            write_posts(store.root, data.fingerprint, data.splits)
        return add_models(jobs, store, console) if execution.whole else 0
    from zoo.runs.run import check  # with all that training needs

    say_notes(todo, console)
    check_pictures({id(job.data): job.data for job in todo}.values())
    weights = check(todo, partial(console.print, highlight=False, markup=False, soft_wrap=True))
    chosen = engine(todo, execution.workers, execution.engine)
    for data in datasets.values():
        write_posts(store.root, data.fingerprint, data.splits)
    costs = Costs(todo, weights, stored_seconds(todo, store))
    with ConsoleReport(console, todo, costs, getattr(chosen, "workers", 1)) as report:
        failed = chosen.execute(todo, store, report, rerun)
    if failed:
        said = f"{failed} of {counted(len(todo), 'run', 'runs')} failed; see above"
        if console.quiet:
            click.echo(said, err=True)
        else:
            console.print(said, highlight=False)
    if execution.whole:
        failed += add_models(jobs, store, console)
    return failed


def add_models(jobs: Sequence[Job], store: Store, console: Console) -> int:
    """Put copies of the models that stored runs refer to into their folders; how many failed."""
    from zoo.model.share import make_whole

    failed = 0
    for job in filter(store.complete, jobs):
        try:
            make_whole(store.folder(job))
        except ZooError as error:
            failed += 1
            for problem in error.problems:
                console.print(problem, highlight=False, markup=False, soft_wrap=True)
    return failed


def choose_suite(
    config: Config, suite: str | None, root: Path, console: Console
) -> dict[str, Dataset]:
    """Give a file that adds datasets without a suite one, and say what was chosen.

    Returns:
        The datasets that had to be read for it, by their key.
    """
    if not config.own or suite not in (None, config.path.stem):
        return {}
    read = {
        key_of(name, config.datasets[name]): load_dataset(name, config.datasets[name], root)
        for name in config.own
    }
    samples = [sample for data in read.values() for sample in data.splits["train"]]
    sees = ("picture", "caption")
    there = {e for e in sees if any(s.get(e) is not None for s in samples)}
    chosen = add_suite(config, there, len(samples))
    console.print(chosen, highlight=False, markup=False, soft_wrap=True)
    return read


def say_notes(jobs: Sequence[Job], console: Console) -> None:
    """Print what a reader of the numbers must know about the data."""
    for data in {id(job.data): job.data for job in jobs}.values():
        for note in data.notes:
            console.print(f"{data.name}: {note}", highlight=False, markup=False, soft_wrap=True)
