"""Several runs at once, each in a process of its own.

The processes are started anew ("spawn": the same on every system, and safe with a GPU) and make
one run after the other. This module imports no torch: a process watches its parent from its first
moment on.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.errors import ConfigError
from zoo.registry import load_plugin_file, plugin_files

if TYPE_CHECKING:
    from zoo.results.record import RunRecord
    from zoo.results.store import Store
    from zoo.runs.job import Job, Report, Rerun
    from zoo.training.loop import Row

_SAFE = "PYTHONSAFEPATH"
_LACK = "; is there enough memory? try a smaller --jobs, or a lower max_tokens in the recipe"
_SPAWN = multiprocessing.get_context("spawn")


def at_once(jobs: Sequence[Job]) -> int:
    """How many of the runs can go on at once: on the processor as many as have their threads.

    One at a time where a recipe takes all threads, and on a GPU.
    """
    import torch

    if torch.cuda.is_available():
        return 1
    there = cores()
    return max(1, min((there // (job.plan.recipe.threads or there) for job in jobs), default=1))


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Processes:
    """The engine that executes ``workers`` jobs at once, each in a process of its own."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def execute(self, jobs: Sequence[Job], store: Store, report: Report, rerun: Rerun) -> int:
        """See :class:`zoo.engines.Engine`. The report is told in this process.

        When a process dies, the run that it was executing has failed, and another process takes
        its place.
        """
        order = _Order(Path.cwd(), plugin_files(), _pickled(jobs, store, rerun))
        failed, queue = 0, deque(range(len(jobs)))
        crew, busy = list[_Worker](), dict[_Worker, int]()

        def employ(worker: _Worker) -> None:
            busy.pop(worker, None)
            if queue:
                busy[worker] = queue.popleft()
            worker.send(busy.get(worker))

        try:
            for _ in range(self.workers):
                crew.append(_Worker())
            for worker in crew:  # all of them begin before the first is talked to
                worker.send(order)
                employ(worker)
            while busy:
                ready = wait([worker.pipe for worker in busy])
                for worker, number in [each for each in busy.items() if each[0].pipe in ready]:
                    try:
                        told = worker.pipe.recv()
                    except (EOFError, OSError):
                        failed += 1
                        report.fail(jobs[number], worker.death())
                        crew.remove(worker)
                        del busy[worker]
                        if queue:
                            crew.append(_Worker())
                            crew[-1].send(order)
                            employ(crew[-1])
                        continue
                    if isinstance(told, bool):
                        failed += not told
                        employ(worker)
                    else:
                        what, *details = told
                        getattr(report, what)(jobs[number], *details)
        finally:
            for worker in busy:  # the others have been told that there is no more
                worker.process.terminate()
            for worker in crew:
                worker.end()
        return failed


class _Order(NamedTuple):
    """What a process has to know. The jobs are pickled together: what they share goes once."""

    folder: Path
    plugins: Sequence[Path]
    runs: bytes


def _pickled(jobs: Sequence[Job], store: Store, rerun: Rerun) -> bytes:
    try:
        return pickle.dumps((list(jobs), store, rerun))
    except Exception as error:  # pickle raises whatever it meets
        message = " ".join(str(error).split())
        raise ConfigError(
            f"these runs can't be handed to another process ({message}); use --jobs 1"
        ) from error


class _Worker:
    """A process that makes runs, seen from its parent."""

    def __init__(self) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_work, args=(theirs,))
        # Ctrl-C reaches every process of a terminal; one that begins now is to know nothing of it.
        # Nor is it to import what lies in the working folder (a `socket.py`, say).
        before, safe = signal.signal(signal.SIGINT, signal.SIG_IGN), os.environ.get(_SAFE)
        os.environ[_SAFE] = "1"
        try:
            self.process.start()
        finally:
            signal.signal(signal.SIGINT, before)
            del os.environ[_SAFE]
            if safe is not None:
                os.environ[_SAFE] = safe
        theirs.close()

    def send(self, what: _Order | int | None) -> None:
        """Its order, the number of a job, or None: there is no more."""
        with suppress(OSError):  # dead already: shows when its answer is awaited
            self.pipe.send(what)

    def end(self) -> None:
        """Wait for the end of a process that was told to end, not forever."""
        self.process.join(5)
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def death(self) -> str:
        """What a process died of that was not told to end."""
        self.end()
        code = self.process.exitcode or 0
        if code >= 0:
            return f"its process ended by itself (exit code {code})"
        lack = _LACK if code == -9 else ""
        return f"its process was ended by signal {-code} ({signal.strsignal(-code)}){lack}"


class _Relay:
    """A report whose words go to the parent."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def send(self, told: tuple[Any, ...] | bool) -> None:
        try:
            self.pipe.send(told)
        except OSError:
            os._exit(1)  # the parent is gone

    def begin(self, job: Job) -> None:
        self.send(("begin",))

    def epoch(self, job: Job, row: Row) -> None:
        self.send(("epoch", row))

    def end(self, job: Job, record: RunRecord) -> None:
        self.send(("end", record))

    def fail(self, job: Job, message: str) -> None:
        self.send(("fail", message))

    def wait(self, job: Job) -> None:
        self.send(("wait",))


def _work(pipe: Connection) -> None:
    """The life of a worker: its order first, then one job after the other."""
    sys.stdout = sys.stderr  # what a plug-in prints is no result of the command
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C, and says SIGTERM
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # half-written runs are cleared away
    with suppress(EOFError):  # the parent is gone
        _make(pipe, pipe.recv())


def _make(pipe: Connection, order: _Order) -> None:
    """Make the runs that are asked for, one after the other."""
    report = _Relay(pipe)
    try:
        os.chdir(order.folder)
        for file in order.plugins:  # before the jobs, which hold classes of theirs
            load_plugin_file(file)
        jobs, store, rerun = pickle.loads(order.runs)
    except Exception as error:  # of a plug-in that was broken meanwhile: whatever its code raises
        while pipe.recv() is not None:
            report.send(("fail", f"its process could not start: {' '.join(str(error).split())}"))
            report.send(False)
        return

    from zoo.identity import sources
    from zoo.runs.run import attempt

    each = {job.sources: job.plan.system.classes for job in jobs}
    changed = {known for known, parts in each.items() if sources(parts) != known}
    while (number := pipe.recv()) is not None:
        job = jobs[number]
        if job.sources in changed:  # what was loaded here is not what the run's id says
            report.fail(
                job, "the source of its parts was changed in the meantime; give the command again"
            )
            report.send(False)
        else:
            report.send(attempt(job, store, report, rerun))


def _end_with_parent() -> None:
    """However the parent ends, this process ends, too."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is started by a process"
    wait([parent.sentinel])
    os._exit(1)
