"""The options that several verbs share, and what they stand for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from zoo.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])

PLUGIN = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A Python file that registers further parts. Repeatable.",
)
OVERRIDE = click.option(
    "-o",
    "--override",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Change a setting, e.g. -o systems.bert-crf.decoder.scheme=BIOES. Repeatable.",
)
DATA = click.option(
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
JOBS = click.option(
    "--jobs",
    "workers",
    metavar="N",
    type=click.IntRange(min=1),
    help="How many runs go on at once (default: as many as there are cores for, by the recipe's "
    "`threads`; 1 where it has none, and on a GPU).",
)
REGISTRY = click.argument("registry", default="registry.yaml", type=click.Path(path_type=Path))
REGISTRY_OPTION = click.option(
    "--registry",
    default="registry.yaml",
    show_default=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The registry to read.",
)


def many(name: str, help: str, type: Any = str) -> Callable[[F], F]:
    """A repeatable option ``--NAME``, handed over as ``NAMEs``."""
    return click.option(
        f"--{name}", f"{name}s", multiple=True, metavar=name.upper(), type=type, help=help
    )


def load_config(registry: Path, overrides: tuple[str, ...], plugins: tuple[Path, ...]) -> Any:
    """Plug-ins, then the registry. Raises ConfigError."""
    from zoo.config.read import read
    from zoo.registry import load_plugin_file

    for plugin in plugins:
        load_plugin_file(plugin)
    return read(registry, overrides)


def data_root(data: Path | None, registry: Path) -> Path:
    """The folder data paths are relative to. Raises ConfigError where it does not exist."""
    if data is not None and not data.is_dir():
        source = "ZOO_DATA" if os.environ.get("ZOO_DATA") == str(data) else "--data"
        raise ConfigError(f"{source} {data}: no such folder")
    return data if data is not None else registry.resolve().parent


def results_root(results: Path | None, registry: Path) -> Path:
    """Where runs and tables go. Raises ConfigError where nothing can be written."""
    root = results if results is not None else registry.resolve().parent / "results"
    there = next(path for path in (root, *root.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ConfigError(f"--results {root}: {there} is no folder that can be written to")
    return root
