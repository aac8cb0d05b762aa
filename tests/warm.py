"""Command lines in forks of a process that has imported torch already.

Each is a process of its own, with its own environment, folder and output, as if it had been started
from a shell, but for the seconds that imports take. What is read while modules are imported
(``HF_…``, ``PYTHON…``) can't be changed in this way.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_MODULES = ("run_", "ablate_", "show_", "leaderboard_", "compare_", "contract_", "data_", "score_")


class Warm:
    """The process, seen from the tests."""

    def __init__(self) -> None:
        code = f"import sys; sys.path[0] = {str(ROOT)!r}; from tests.warm import serve; serve()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, args: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """``zoo ARGS``; as ``subprocess.run`` with captured output."""
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / name for name in ("out", "err")]
            asked = {"args": list(args), "cwd": str(cwd), "env": dict(env)}
            self._say({**asked, "files": [str(file) for file in files]})
            pid = self._hear(time.monotonic() + 60)
            end = time.monotonic() + timeout
            try:
                code = self._hear(end)
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                self._hear(time.monotonic() + 60)
                raise subprocess.TimeoutExpired(["zoo", *args], timeout) from None
            out, err = (file.read_text(encoding="utf-8") for file in files)
        return subprocess.CompletedProcess(["zoo", *args], code, out, err)

    def end(self) -> None:
        self.process.communicate()

    def _say(self, what: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def _hear(self, end: float) -> int:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
        if not ready:
            raise TimeoutError
        return int(self.process.stdout.readline())


def serve() -> None:
    """Fork for each line that is read; write the child's id, and later its exit code."""
    import importlib

    for name in _MODULES:
        importlib.import_module(f"zoo.cli.{name}")
    for name in ("accelerate", "transformers.models.bert", "zoo.cli.execute", "zoo.runs.run"):
        importlib.import_module(name)
    gc.freeze()
    while line := sys.stdin.readline():
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(**asked)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(args: list[str], cwd: str, env: dict[str, str], files: list[str]) -> None:
    """Turn this process into the command; it ends with it."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    sys.argv = ["-c", *args]

    from zoo.cli import main

    code: Any = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:  # without taking the modules apart, which is what the end of an interpreter costs
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
