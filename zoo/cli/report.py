"""How runs are shown while they go: bars and curves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from types import TracebackType
from typing import TYPE_CHECKING

import click
from rich.console import Console

if TYPE_CHECKING:
    from rich.console import RenderableType

    from zoo.results.record import RunRecord
    from zoo.runs.costs import Costs
    from zoo.runs.job import Job
    from zoo.training.loop import Row

Key = tuple[str, str, str]

LEVELS = "▁▂▃▄▅▆▇█"
WIDEST = 24  # characters of a curve
PLAIN = ("epoch", "loss", "seconds")


def make_console(record: bool = False, stderr: bool = False, quiet: bool = False) -> Console:
    """A console that cuts nothing off where there is no terminal to be as narrow as."""
    console = Console(record=record, stderr=stderr, quiet=quiet)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 160
    return console


class ConsoleReport:
    """Progress over all epochs of all runs, with the time left; one line for each finished run.

    Several runs may go on at once. A run is numbered when it is first heard of. A console that is
    quiet shows nothing, and failures go to standard error.

    Args:
        costs: what is learnt of the time that runs take.
        at_once: how many runs go on at once.
    """

    def __init__(
        self, console: Console, jobs: Sequence[Job], costs: Costs, at_once: int = 1
    ) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        going: dict[Key, str] = {}
        rows: dict[Key, list[Row]] = {}

        class Shown(Progress):
            def get_renderables(self) -> Iterable[RenderableType]:
                from rich.text import Text

                yield self.make_tasks_table(self.tasks)
                for key, name in going.items():
                    line = f"  {name}: {curves(rows.get(key, []))}"
                    yield Text(line, no_wrap=True, overflow="ellipsis")

        self.console, self.jobs, self.costs, self.at_once = console, len(jobs), costs, at_once
        self.going, self.rows = going, rows
        self.numbers: dict[Key, int] = {}
        self.progress = Shown(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        epochs = sum(job.epochs for job in jobs)
        self.task = self.progress.add_task("", total=epochs, left=self._left())

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

    def _left(self) -> str:
        """``about 3 minutes left``; empty where nothing is known, and when all is done."""
        seconds = self.costs.left(self.at_once)
        return f"about {duration(seconds)} left" if seconds else ""

    def _describe(self) -> None:
        several = f"{len(self.going)} runs at once"
        description = several if len(self.going) > 1 else "".join(self.going.values())
        self.progress.update(self.task, description=description, left=self._left())

    def _finish(self, job: Job, total: float | None = None) -> None:
        """Count the epochs that the run did not need."""
        self.progress.advance(self.task, job.epochs - len(self.rows.get(_key(job), ())))
        self.costs.end(job, total)
        self.going.pop(_key(job), None)
        self._describe()

    def begin(self, job: Job) -> None:
        self.going[_key(job)] = self._name(job)
        self._describe()

    def epoch(self, job: Job, row: Row) -> None:
        self.rows.setdefault(_key(job), []).append(row)
        self.costs.epoch(job, row["seconds"])
        self.progress.advance(self.task)
        self._describe()
        if not self.console.is_terminal:
            terms = ", ".join(f"{name} {row[name]:.4f}" for name in _terms(row))
            self._line(
                f"{self._name(job)}: epoch {row['epoch']}/{job.epochs}, "
                f"loss {row['loss']:.4f}{f' ({terms})' if terms else ''}, "
                f"dev F1 {row['dev_f1']:.2f}, {row['seconds']:.1f} s"
            )

    def end(self, job: Job, record: RunRecord) -> None:
        self._finish(job, record.seconds["total"])
        left = self._left()
        self._line(
            f"{self._name(job)}: test F1 {record.test.f1:.2f}, "
            f"best epoch {record.best_epoch}, {record.seconds['total']:.0f} s"
            f"{f'; {left}' if left else ''}"
        )
        rows = self.rows.pop(_key(job), [])
        if self.console.is_terminal and len(rows) > 1:
            self._line(f"    {curves(rows)}")

    def fail(self, job: Job, message: str) -> None:
        self._finish(job)
        line = f"{self._name(job)}: failed: {message}"
        if self.console.quiet:
            click.echo(line, err=True)
        else:
            self._line(line)

    def wait(self, job: Job) -> None:
        self._line(f"{job.system} on {job.dataset}, seed {job.seed}: another process is on it")


def curves(rows: Sequence[Row]) -> str:
    """Dev F1, the loss and its terms by epoch: ``dev F1 ▁▃▇█ 61.20, loss █▃▂▁ 0.4120``."""
    if not rows:
        return ""
    parts = [f"dev F1 {curve([row['dev_f1'] for row in rows])} {rows[-1]['dev_f1']:.2f}"]
    for name in ("loss", *_terms(rows[-1])):
        values = [row[name] for row in rows if name in row]
        parts.append(f"{name} {curve(values)} {values[-1]:.4f}")
    return ", ".join(parts)


def curve(values: Sequence[float]) -> str:
    """A number an epoch as a row of blocks between the lowest and the highest.

    Where there are more than ``WIDEST``, each block is the mean of several.
    """
    if len(values) > WIDEST:
        cuts = [round(i * len(values) / WIDEST) for i in range(WIDEST + 1)]
        values = [sum(values[a:b]) / (b - a) for a, b in pairwise(cuts)]
    low, high = min(values), max(values)
    step = (high - low) / (len(LEVELS) - 1)
    return "".join(LEVELS[round((value - low) / step) if step else 0] for value in values)


def duration(seconds: float) -> str:
    """In the unit that a reader would choose: ``40 seconds``, ``3 minutes``, ``2.5 hours``."""
    if seconds < 100:
        amount, unit = f"{max(1, round(seconds))}", "second"
    elif seconds < 100 * 60:
        amount, unit = f"{round(seconds / 60)}", "minute"
    else:
        amount, unit = f"{seconds / 3600:.1f}", "hour"
    return f"{amount} {unit}{'' if amount == '1' else 's'}"


def _terms(row: Row) -> list[str]:
    """The names of the losses that make up the loss, where there are several."""
    names = [name for name in row if name not in PLAIN and not name.startswith("dev_")]
    return names if len(names) > 1 else []


def _arm(job: Job) -> str:
    """What makes a run an arm of an ablation: its last override, as `` (aligner=null)``."""
    return f" ({job.plan.arm.name})" if job.plan.arm else ""


def _key(job: Job) -> Key:
    return job.system, job.dataset, job.id
