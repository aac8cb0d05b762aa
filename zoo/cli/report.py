"""How runs are shown while they go: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from zoo.results.record import RunRecord
    from zoo.runs.job import Job
    from zoo.training.loop import Row

Key = tuple[str, str, str]


def make_console(record: bool = False) -> Console:
    """A console that cuts nothing off where there is no terminal to be as narrow as."""
    console = Console(record=record)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 160
    return console


class ConsoleReport:
    """Progress over all epochs of all runs, with the time left; one line for each finished run.

    Several runs may go on at once. A run is numbered when it is first heard of.
    """

    def __init__(self, console: Console, jobs: int, epochs: int) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.console, self.jobs = console, jobs
        self.numbers: dict[Key, int] = {}
        self.going: dict[Key, str] = {}
        self.seen: Counter[Key] = Counter()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self.task = self.progress.add_task("", total=epochs)

    def __enter__(self) -> ConsoleReport:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def _line(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _name(self, job: Job) -> str:
        number = self.numbers.setdefault(_key(job), len(self.numbers) + 1)
        return f"[{number}/{self.jobs}] {job.system}{_arm(job)} on {job.dataset}, seed {job.seed}"

    def _describe(self) -> None:
        names = list(self.going.values())
        several = f"{len(names)} runs at once"
        self.progress.update(self.task, description=several if len(names) > 1 else "".join(names))

    def _finish(self, job: Job) -> None:
        """Count the epochs that the run did not need."""
        self.progress.advance(self.task, job.plan.recipe.epochs - self.seen[_key(job)])
        self.going.pop(_key(job), None)
        self._describe()

    def begin(self, job: Job) -> None:
        self.going[_key(job)] = self._name(job)
        self._describe()

    def epoch(self, job: Job, row: Row) -> None:
        self.seen[_key(job)] += 1
        self.progress.advance(self.task)
        if not self.console.is_terminal:
            self._line(
                f"{self._name(job)}: epoch {row['epoch']}/{job.plan.recipe.epochs}, "
                f"loss {row['loss']:.4f}, dev F1 {row['dev_f1']:.2f}, {row['seconds']:.1f} s"
            )

    def end(self, job: Job, record: RunRecord) -> None:
        self._finish(job)
        self._line(
            f"{self._name(job)}: test F1 {record.test.f1:.2f}, "
            f"best epoch {record.best_epoch}, {record.seconds['total']:.0f} s"
        )

    def fail(self, job: Job, message: str) -> None:
        self._finish(job)
        self._line(f"{self._name(job)}: failed: {message}")

    def wait(self, job: Job) -> None:
        self._line(f"{job.system} on {job.dataset}, seed {job.seed}: another process is on it")


def _arm(job: Job) -> str:
    """What makes a run an arm of an ablation: its last override, as `` (aligner=null)``."""
    return f" ({job.plan.arm.name})" if job.plan.arm else ""


def _key(job: Job) -> Key:
    return job.system, job.dataset, job.id
