"""How the verbs that make runs have them made."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from zoo.cli.report import ConsoleReport
from zoo.engines import engine
from zoo.results.store import Store
from zoo.runs.job import Job, Rerun, pending
from zoo.runs.run import check


def carry_out(
    jobs: Sequence[Job], store: Store, console: Console, rerun: Rerun, workers: int | None
) -> int:
    """Say what is done already and make the rest; a run that is given twice is one run.

    Args:
        workers: how many runs go on at once; None: see :func:`zoo.engines.processes.at_once`.

    Returns:
        How many runs failed.

    Raises:
        ConfigError: a system can't be built; nothing was run.
    """
    store.clean()
    jobs = list({(job.system, job.dataset, job.id): job for job in jobs}.values())
    todo = pending(jobs, store, rerun)
    done = sum(store.complete(job) for job in jobs)
    console.print(
        f"{len(jobs)} runs: {done} of {len(jobs)} already done, {len(todo)} to do", highlight=False
    )
    if not todo:
        return 0
    check(todo)
    epochs = sum(job.plan.recipe.epochs for job in todo)
    with ConsoleReport(console, len(todo), epochs) as report:
        failed = engine(todo, workers).execute(todo, store, report, rerun)
    if failed:
        console.print(f"{failed} of {len(todo)} runs failed; see above", highlight=False)
    return failed
