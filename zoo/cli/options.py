"""The options that several verbs share, and what they stand for."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from zoo.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from zoo.config.config import Config
    from zoo.results.store import Store
    from zoo.runs.job import KeepWeights, Rerun

F = TypeVar("F", bound=Callable[..., Any])

PLUGIN = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A Python file that registers further parts. Repeatable.",
)
_OVERRIDE = click.option(
    "-o",
    "--override",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Change a setting, e.g. -o systems.bert-crf.decoder.scheme=BIOES, or add an entry, e.g. "
    "-o 'datasets.mine={reader: bio, path: mine}'. Repeatable.",
)
_DATA = click.option(
    "--data",
    metavar="DIR",
    envvar="ZOO_DATA",
    type=click.Path(path_type=Path),
    help="The folder that data paths are relative to (default: ZOO_DATA, else the YAML's folder).",
)
RESULTS = click.option(
    "--results",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where runs and tables go (default: results/ beside the YAML file).",
)


def _check_margin(context: click.Context, option: click.Parameter, value: float) -> float:
    if not 0 < value <= 100:  # not a number, for one
        raise click.BadParameter("a number of F1 points, above 0 and at most 100", context, option)
    return value


MARGIN = click.option(
    "--margin",
    default=0.5,
    show_default=True,
    type=float,
    callback=_check_margin,
    help="A difference within ± this many F1 points counts as none.",
)
_JOBS = click.option(
    "--jobs",
    "workers",
    metavar="N",
    type=click.IntRange(min=1, max=1024),
    help="How many runs go on at once (default: as many as there are cores for, by the recipe's "
    "`threads`; 1 where it has none, and on a GPU).",
)
_ENGINE = click.option(
    "--engine",
    metavar="NAME",
    help="Where runs are executed: serial, processes, or a plug-in's (default: by --jobs).",
)
_DRY_RUN = click.option(
    "--dry-run", is_flag=True, help="Check everything, try each system once; train nothing."
)
_RERUN = click.option(
    "--rerun",
    type=click.Choice(["missing", "always", "never"]),
    default="missing",
    show_default=True,
    help="Which runs to make: those that are missing, all of them, or none.",
)
_KEEP_WEIGHTS = click.option(
    "--keep-weights",
    type=click.Choice(["best", "none"]),
    default="best",
    show_default=True,
    help="Which trained weights a run stores; without them it can't predict.",
)
_WHOLE = click.option(
    "--whole",
    is_flag=True,
    help="Store copies of the pretrained models that runs refer to with them, so that they predict "
    "without a hub.",
)
QUIET = click.option(
    "--quiet", "-q", is_flag=True, help="Say nothing while it goes: only results and failures."
)
_STDOUT = "zoo.stdout"


def keep_for_results(context: click.Context) -> None:
    """Let whatever prints go to standard error while the command runs: a plug-in may print, or a
    library. Results are written to :func:`stdout`."""
    if _STDOUT not in context.meta:
        context.meta[_STDOUT] = sys.stdout
        context.with_resource(redirect_stdout(sys.stderr))


def stdout() -> TextIO:
    """Standard output, for results; see :func:`keep_for_results`."""
    context = click.get_current_context(silent=True)
    kept: TextIO | None = context.meta.get(_STDOUT) if context else None
    return kept or sys.stdout


def _keep(context: click.Context, option: click.Parameter, value: bool) -> bool:
    if value:
        keep_for_results(context)
    return value


JSON = click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=_keep,
    help="Print JSON on standard output; all else goes to standard error.",
)
_REGISTRY = click.argument("registry", default="registry.yaml", type=click.Path(path_type=Path))
_REGISTRY_OPTION = click.option(
    "--registry",
    default="registry.yaml",
    show_default=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The registry to read.",
)


@dataclass(frozen=True)
class Source:
    """A registry on the command line, with the overrides, plug-ins and data that go with it."""

    registry: Path
    overrides: tuple[str, ...]
    plugins: tuple[Path, ...]
    data: Path | None

    def load(self, *sections: str) -> Config:
        """Plug-ins, then the registry, or only some of its sections. Raises ConfigError."""
        from zoo.config.read import read
        from zoo.config.tree import SECTIONS
        from zoo.registry import forget_plugin_files, load_plugin_file

        forget_plugin_files()
        for plugin in self.plugins:
            load_plugin_file(plugin)
        return read(self.registry, self.overrides, sections or SECTIONS)

    @property
    def root(self) -> Path:
        """The folder that data paths are relative to. Raises ConfigError: it does not exist."""
        if self.data is not None and not self.data.is_dir():
            source = "ZOO_DATA" if os.environ.get("ZOO_DATA") == str(self.data) else "--data"
            raise ConfigError(f"{source} {self.data}: no such folder")
        return self.data if self.data is not None else self.registry.resolve().parent


@dataclass(frozen=True)
class Execution:
    """How runs are to be made, and where they go."""

    dry_run: bool
    rerun: Rerun
    workers: int | None
    engine: str | None
    results: Path | None
    keep_weights: KeepWeights = "best"
    whole: bool = False
    quiet: bool = False
    as_json: bool = False

    def console(self) -> Console:
        """Where is said what goes on; results are printed elsewhere, on standard output."""
        from zoo.cli.report import make_console

        return make_console(stderr=self.as_json, quiet=self.quiet)

    def store(self, registry: Path) -> Store:
        """Where runs and tables go. Raises ConfigError where nothing can be written."""
        from zoo.results.store import Store

        root = self.results if self.results is not None else registry.resolve().parent / "results"
        there = next(path for path in (root, *root.absolute().parents) if path.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise ConfigError(f"--results {root}: {there} is not a folder that can be written to")
        return Store(root)


def print_json(value: Any) -> None:
    """Print a value as JSON (``null`` for what is no number), for ``--json``."""
    import json

    text = json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    # lone surrogates, which UTF-8 can't hold, as escapes, which JSON reads back
    click.echo(text.encode("utf-8", "backslashreplace").decode(), file=stdout())


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def source(as_option: bool = False) -> Callable[[F], F]:
    """Give a command its registry (an argument, or ``--registry``), ``-o``, ``--plugin`` and
    ``--data``, handed over as one ``source``."""
    registry = _REGISTRY_OPTION if as_option else _REGISTRY
    return _bundle("source", Source, registry, _OVERRIDE, _DATA, PLUGIN)


def execution() -> Callable[[F], F]:
    """Give a command the options of making runs, handed over as one ``execution``."""
    options = (_DRY_RUN, _RERUN, _JOBS, _ENGINE, RESULTS, _KEEP_WEIGHTS, _WHOLE, QUIET, JSON)
    return _bundle("execution", Execution, *options)


def _bundle(name: str, kind: type[Any], *options: Callable[[F], F]) -> Callable[[F], F]:
    def bundle(function: F) -> F:
        @wraps(function)
        def command(**given: Any) -> Any:
            fields = {each: given.pop(each) for each in kind.__dataclass_fields__}
            return function(**given, **{name: kind(**fields)})

        for option in reversed(options):
            command = option(command)
        return command  # type: ignore[return-value]

    return bundle


def many(name: str, help: str, type: Any = str) -> Callable[[F], F]:
    """A repeatable option ``--NAME``, handed over as ``NAMEs``."""
    return click.option(
        f"--{name}", f"{name}s", multiple=True, metavar=name.upper(), type=type, help=help
    )


def seeds(help: str) -> Callable[[F], F]:
    """The repeatable option ``--seed``, handed over as ``seeds``."""
    return many("seed", help, click.IntRange(min=0, max=2**32 - 1))
