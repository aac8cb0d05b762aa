"""Commands of ``zoo``, each in a process that is forked off and may be killed on its way.

Run as a script: it imports all that a run needs once, reads one order a line from standard input
(JSON) and answers each with one line. Every child has a clock that advances by the same step at
each look, so that two commands which do the same write the same bytes.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink"}


class Life:
    """Counts what this process does to files, and ends it at the given one."""

    def __init__(self, folder: str, end: int | None) -> None:
        self.folder, self.end, self.count = folder, end, 0
        sys.addaudithook(self.hear)
        fsync = os.fsync

        def counted(handle: int) -> None:
            self.step()
            fsync(handle)

        os.fsync = counted

    def hear(self, event: str, details: tuple[Any, ...]) -> None:
        if event in CHANGES:
            self.step()
        elif event == "open" and details[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            path = details[0]
            name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
            if name.startswith(self.folder) or (name and not os.path.isabs(name)):
                self.step()

    def step(self) -> None:
        self.count += 1
        if self.count == self.end:
            os.kill(os.getpid(), signal.SIGKILL)


def live(order: dict[str, Any]) -> NoReturn:
    """The life of a child: one command.

    Its output goes to ``0.out``, the ids of the runs it trains to ``0.log``, whose last line says
    how many file operations there were.
    """
    folder = Path(order["folder"])
    os.chdir(folder)
    handle = os.open(folder / f"{order['number']}.out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.argv = ["zoo", *order["command"]]
    os.environ["ZOO_CACHE"] = str(folder / "cache")

    from types import SimpleNamespace

    import zoo.runs.run
    import zoo.training.loop
    from zoo.cli import main

    ticking = SimpleNamespace(perf_counter=itertools.count(0, 0.25).__next__)
    zoo.runs.run.time = zoo.training.loop.time = ticking
    if order.get("unlocked"):
        from filelock import FileLock

        FileLock.acquire = lambda self, timeout=None: None
        FileLock.release = lambda self, force=False: None

    log = (folder / f"{order['number']}.log").open("a")
    original = zoo.runs.run.run

    def logged(job: Any, *rest: Any) -> Any:
        print(job.id, file=log, flush=True)
        return original(job, *rest)

    zoo.runs.run.run = logged
    life = Life(str(folder), order.get("kill"))
    code: Any = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    print(f"operations {life.count}", file=log, flush=True)
    if order.get("modules"):
        (folder / "modules").write_text("\n".join(sorted(sys.modules)))
    sys.stdout.flush()
    os._exit(code if isinstance(code, int) else 1)


def fork(order: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        live(order)
    finally:
        os._exit(99)  # nothing of the parent's is to run here


def carry_out(order: dict[str, Any]) -> list[int]:
    """The exit codes of so many processes at once; minus the signal that ended one."""
    children = [
        fork({**order, **each, "number": number})
        for number, each in enumerate(order.get("several", [{}]))
    ]
    if "seconds" in order:
        timer = threading.Timer(order["seconds"], os.kill, (children[0], signal.SIGKILL))
        timer.start()
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if "seconds" in order:
        timer.cancel()
    return codes


def warm(folder: str, command: list[str]) -> None:
    """Import here what a command imports in a child, so that its successors need not."""
    carry_out({"folder": folder, "command": command, "modules": True})
    for name in (Path(folder) / "modules").read_text().split():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    import torch

    torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
    for line in sys.stdin:
        order, start = json.loads(line), time.monotonic()
        if "warm" in order:
            warm(order["warm"], order["command"])
        codes = [] if "warm" in order else carry_out(order)
        print(json.dumps({"codes": codes, "seconds": time.monotonic() - start}), flush=True)
