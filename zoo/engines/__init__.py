"""Where runs are executed. An engine is one file: a class with ``execute``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from zoo.results.store import Store
    from zoo.runs.job import Job, Report, Rerun


class Engine(Protocol):
    """Executes jobs. One job that fails is reported, and the others are still executed."""

    def execute(self, jobs: Sequence[Job], store: Store, report: Report, rerun: Rerun) -> int:
        """Run each job, or find that it is complete by now, and return how many failed.

        Raises:
            ConfigError: the jobs can't be handed to the place where they would be executed.
        """
        ...


def engine(jobs: Sequence[Job], workers: int | None) -> Engine:
    """The engine for these jobs: several processes where several runs can go on at once.

    Args:
        workers: how many at once; None: see :func:`zoo.engines.processes.at_once`.
    """
    from zoo.engines.processes import Processes, at_once
    from zoo.engines.serial import Serial

    workers = min(workers or at_once(jobs), len(jobs))
    return Processes(workers) if workers > 1 else Serial()
