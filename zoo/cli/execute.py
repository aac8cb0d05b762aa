"""How the verbs that make runs have them made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from zoo.cli.options import Execution
from zoo.cli.report import ConsoleReport
from zoo.config.config import Config
from zoo.config.own import add_suite
from zoo.engines import engine
from zoo.errors import ConfigError, ZooError
from zoo.results.store import Store
from zoo.runs.datasets import check_pictures, load_dataset
from zoo.runs.job import Job, pending
from zoo.runs.run import check


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
    jobs = list({(job.system, job.dataset, job.id): job for job in jobs}.values())
    rerun = execution.rerun
    todo = pending(jobs, store, rerun)
    done = sum(store.complete(job) for job in jobs)
    console.print(
        f"{len(jobs)} runs: {done} of {len(jobs)} already done, {len(todo)} to do",
        highlight=False,
    )
    if not todo:
        return add_models(jobs, store, console) if execution.whole else 0
    say_notes(todo, console)
    check_pictures({id(job.data): job.data for job in todo}.values())
    check(todo)
    epochs = sum(job.plan.recipe.epochs for job in todo)
    chosen = engine(todo, execution.workers, execution.engine)
    with ConsoleReport(console, len(todo), epochs) as report:
        failed = chosen.execute(todo, store, report, rerun)
    if failed:
        console.print(f"{failed} of {len(todo)} runs failed; see above", highlight=False)
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


def choose_suite(config: Config, suite: str | None, root: Path, console: Console) -> None:
    """Give a file that adds datasets without a suite one, and say what was chosen."""
    if not config.own or suite not in (None, config.path.stem):
        return
    samples = [
        sample
        for name in config.own
        for sample in load_dataset(name, config.datasets[name], root).splits["train"]
    ]
    sees = ("picture", "caption")
    chosen = add_suite(config, {e for e in sees if any(s.get(e) is not None for s in samples)})
    console.print(chosen, highlight=False, markup=False, soft_wrap=True)


def say_notes(jobs: Sequence[Job], console: Console) -> None:
    """Print what a reader of the numbers must know about the data."""
    for data in {id(job.data): job.data for job in jobs}.values():
        for note in data.notes:
            console.print(f"{data.name}: {note}", highlight=False, markup=False, soft_wrap=True)
