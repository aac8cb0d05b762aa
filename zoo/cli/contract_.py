"""``zoo contract [TARGET]…``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.options import JSON, print_json
from zoo.errors import ConfigError, near

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@click.command("contract")
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--all", "everything", is_flag=True, help="Check every built-in part.")
@JSON
def command(targets: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """Check that parts keep the contract of their kind.

    TARGET is a plug-in file (gate.py), the name of an installed plug-in's entry point, or the
    name of a registered part (cross_attention). Each part that a plug-in registers is built and
    run on made-up inputs; each fault is one line.

    A part with required settings gives them in a class attribute `example` (a dict, as in YAML)
    or `examples` (several); a reader gives the files it reads in `example_files` (path to
    content). Models are taken from the cache only: a part whose model is not there is skipped.

    Exit codes: 0 no fault; 1 a part does not keep its contract; 2 wrong arguments.
    """
    if not targets and not everything:
        raise click.UsageError("name a plug-in file, an installed plug-in or a part, or use --all")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything imports the hub's client
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    parts: list[dict[str, Any]] = []
    for label, found in _wanted(targets, everything):
        if isinstance(found, str):
            counts["failed"] += 1
            lines, facts = [f"{label}{found}"], {"state": "failed", "faults": [found]}
        else:
            lines, facts = _examine(label, *found, counts)
        parts.append({"plugin": label.removesuffix(": ") or None, **facts})
        for line in () if as_json else lines:
            click.echo(line)
    if as_json:
        print_json({"parts": parts, **counts})
    else:
        click.echo(", ".join(f"{n} {word}" for word, n in counts.items() if n))
    return 1 if counts["failed"] else 0


def _examine(
    label: str, kind: str, cls: type, counts: dict[str, int]
) -> tuple[list[str], dict[str, Any]]:
    """Run one part's contract; what came of it, as lines and as facts."""
    from zoo.contracts.check import examine

    report = examine(kind, cls)
    head = f"{label}{kind} {report.name}"
    lines = [f"{head}: {fault}" for fault in report.faults]
    if report.faults:
        state = "failed"
    elif report.passed:
        state = "passed"
        more = f"; {len(report.skipped)} of its examples skipped" if report.skipped else ""
        lines = [f"{head}: passed, {report.checks} checks{more}"]
    else:
        state = "skipped"
        lines = [f"{head}: skipped: {report.skipped[0]}"]
    counts[state] += 1
    facts = {"kind": kind, "name": report.name, "state": state, "checks": report.checks}
    return lines, {**facts, "faults": list(report.faults), "skipped": list(report.skipped)}


def _wanted(
    targets: tuple[str, ...], everything: bool
) -> Iterator[tuple[str, tuple[str, type] | str]]:
    """What is to be checked: the label of its lines, and a part or what is wrong before that."""
    from zoo import registry

    done: set[tuple[str, str]] = set()
    for target in targets:
        for label, found in _target(target):
            if isinstance(found, str):
                yield label, found
            elif found not in done:
                done.add(found)
                yield label, (found[0], registry.resolve(*found))
    if everything:
        for kind, name in registry.BUILT_IN:
            if (kind, name) not in done:
                yield "", (kind, registry.resolve(kind, name))


def _target(target: str) -> Iterator[tuple[str, tuple[str, str] | str]]:
    """The parts that a target stands for. Raises ConfigError where it stands for nothing."""
    from importlib.metadata import entry_points

    from zoo import registry

    path = Path(target)
    if path.suffix == ".py" or path.is_file():
        if not path.is_file():
            raise ConfigError(f"{target}: no such file")
        yield from _loaded(path.name, path)
        return
    entries = entry_points(group="zoo.plugins")
    installed = [entry for entry in entries if entry.name == target]
    for entry in installed:
        yield from _loaded(target, entry)
    parts = [(kind, target) for kind in registry.KINDS if target in registry.names(kind)]
    yield from (("", part) for part in parts)
    if not installed and not parts:
        known = {name for kind in registry.KINDS for name in registry.names(kind)}
        raise ConfigError(
            f"`{target}` is no file, no installed plug-in and no part"
            f"{near(target, known | {entry.name for entry in entries})}"
        )


def _loaded(label: str, plugin: Path | EntryPoint) -> Iterator[tuple[str, tuple[str, str] | str]]:
    """Load a plug-in: the parts that it registers, or what its code raises."""
    from zoo import registry

    before = registry.registered()
    try:
        if isinstance(plugin, Path):
            registry.load_plugin_file(plugin)
        else:
            plugin.load()
    except (Exception, SystemExit) as error:  # whatever the plug-in's own code raises
        yield f"{label}: ", _import_error(error.__cause__ or error)
        return
    new = [part for part in registry.registered() if part not in before]
    new = [part for part in new if part not in registry.BUILT_IN]
    if not new:
        yield f"{label}: ", "registers no part; decorate a class with @register(KIND, NAME)"
    yield from ((f"{label}: ", part) for part in new)


def _import_error(error: BaseException) -> str:
    import traceback

    text = " ".join(str(error).split())[:300]
    frames: Any = traceback.extract_tb(error.__traceback__)
    own = [
        f
        for f in frames
        if "importlib" not in f.filename and f"{os.sep}zoo{os.sep}" not in f.filename
    ]
    at = f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
    return f"can't be imported: {type(error).__name__}: {text}{at}"
