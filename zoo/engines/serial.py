"""Runs one after the other, in this process."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.results.store import Store
from zoo.runs.job import Job, Report, Rerun
from zoo.runs.run import attempt


class Serial:
    """The engine that executes jobs one after the other in this process."""

    def __init__(self, workers: int = 1) -> None: ...

    def execute(self, jobs: Sequence[Job], store: Store, report: Report, rerun: Rerun) -> int:
        """See :class:`zoo.engines.Engine`."""
        return sum(not attempt(job, store, report, rerun) for job in jobs)
