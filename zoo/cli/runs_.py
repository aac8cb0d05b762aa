"""``zoo runs [rm|verify|withhold|export]``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zoo.cli.options import JSON, PLUGIN, QUIET, many, print_json
from zoo.errors import ConfigError, DataError

if TYPE_CHECKING:
    from zoo.results.listing import Entry

F = TypeVar("F", bound=Callable[..., Any])

STATES = click.Choice(["complete", "external", "incomplete", "checkpoint", "broken"])
IDS = click.argument("ids", nargs=-1, metavar="[ID]...")


def filters(function: F) -> F:
    """The options that choose runs."""
    for option in (
        many("state", "Only runs in this state. Repeatable.", STATES),
        many("seed", "Only runs of this seed. Repeatable.", click.IntRange(min=0)),
        many("dataset", "Only runs on this dataset. Repeatable."),
        many("system", "Only runs of this system. Repeatable."),
        click.option(
            "--results",
            metavar="DIR",
            type=click.Path(path_type=Path),
            help="The results folder (default: results).",
        ),
    ):
        function = option(function)
    return function


@click.group("runs", invoke_without_command=True)
@filters
@JSON
@click.pass_context
def command(context: click.Context, /, as_json: bool, results: Path | None, **wanted: Any) -> None:
    """List the stored runs: system, dataset, seed, id, variant, overrides, state and size.

    States: complete; external (the predictions were made elsewhere); incomplete (being written);
    checkpoint (what an engine of a plug-in keeps); broken (its run.json can't be read).
    """
    context.obj = results
    if context.invoked_subcommand is not None:
        if as_json or any(wanted.values()):
            raise click.UsageError("options go behind the sub-command", context)
        return
    found = _choose(_root(results), (), **wanted)
    if as_json:
        print_json({"runs": [_facts(e) for e in found]})
        return
    _print(found)


@command.command("rm")
@IDS
@filters
@click.option("--yes", is_flag=True, help="Don't ask.")
@QUIET
@JSON
@click.pass_obj
def rm(
    before: Path | None,
    /,
    ids: tuple[str, ...],
    results: Path | None,
    yes: bool,
    quiet: bool,
    as_json: bool,
    **wanted: Any,
) -> None:
    """Delete stored runs, after asking: those that match all filters.

    With no filter or ID, every run is deleted.

    ID is the beginning of a run's id or of a variant's. A checkpoint is deleted only where its
    run's id or --state checkpoint names it; what another process may be writing only with --state
    incomplete.
    """
    from zoo.results.listing import removable
    from zoo.results.store import discard

    found = removable(_choose(_root(results or before), ids, **wanted), ids, wanted["states"])
    told = not (yes and (quiet or as_json))
    if not found and told:
        click.echo("nothing to delete")
    elif told:
        _print(found)
    if found and not yes:
        try:
            sure = click.confirm(f"Delete {_count(found)}?")
        except click.Abort:
            raise ConfigError("not confirmed, nothing was deleted; --yes deletes unasked") from None
        if not sure:
            click.echo("nothing was deleted")
            found = []
    for entry in found:
        try:
            discard(entry.folder)
        except OSError as error:
            raise DataError(f"{entry.folder}: can't be deleted ({error.strerror})") from None
    if as_json:
        print_json({"deleted": [_facts(entry) for entry in found]})
    elif found and not quiet:
        click.echo(f"deleted {_count(found)}")


@command.command("verify")
@IDS
@filters
@QUIET
@JSON
@click.pass_obj
def verify_(
    before: Path | None,
    /,
    ids: tuple[str, ...],
    results: Path | None,
    quiet: bool,
    as_json: bool,
    **wanted: Any,
) -> int:
    """Compare every file of the stored runs with its digest, and scores with predictions.

    Prints one line a file that is missing, unknown or changed, and then exits with 1.
    """
    from zoo.results.evidence import verify

    files, bare, wrong = 0, 0, list[str]()
    found = [
        entry
        for entry in _choose(_root(results or before), ids, **wanted)
        if not entry.folder.name.startswith(".")
    ]
    for entry in found:
        count, problems = verify(entry.folder)
        files += count
        bare += entry.record is not None and entry.record.files is None
        wrong += problems
        for problem in () if as_json else problems:
            click.echo(_visible(problem))
    if as_json:
        print_json({"runs": len(found), "files": files, "wrong": wrong, "without_digests": bare})
        return 1 if wrong else 0
    if not quiet:
        click.echo(f"{files} files of {_count(found)}: {len(wrong) or 'none'} wrong")
    if bare:
        click.echo(
            f"{bare} of {_count(found)} store no digests (version 0.2 or older): of these only the "
            "scores were checked"
        )
    return 1 if wrong else 0


@command.command("withhold")
@IDS
@filters
@QUIET
@JSON
@click.pass_obj
def withhold_(
    before: Path | None,
    /,
    ids: tuple[str, ...],
    results: Path | None,
    quiet: bool,
    as_json: bool,
    **wanted: Any,
) -> None:
    """Delete the predictions of runs that are to be published without them, and say so in run.json.

    Their digests stay in run.json, and tables take the scores from there and mark the row.
    """
    from zoo.results.evidence import withhold

    if not ids and not any(wanted.values()):
        raise ConfigError("say which runs: an id, --system, --dataset or --seed")

    def choose() -> list[Entry]:
        found = _choose(_root(results or before), ids, **wanted)
        return [entry for entry in found if entry.record is not None]

    found = choose()
    for entry in found:
        withhold(entry.folder)
    if as_json:
        print_json({"withheld": [_facts(entry) for entry in choose()]})
    elif not quiet:
        click.echo(f"withheld the predictions of {_count(found)}")


@command.command("export")
@click.argument("run")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--whole", is_flag=True, help="With copies of the pretrained models it refers to.")
@click.option(
    "--allow-changed",
    is_flag=True,
    help="Export the model although the code of its parts is not that which it was trained by.",
)
@click.option(
    "--results",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The results folder (default: results).",
)
@QUIET
@JSON
@PLUGIN
@click.pass_obj
def export_(
    before: Path | None,
    /,
    run: str,
    out: Path,
    whole: bool,
    allow_changed: bool,
    results: Path | None,
    quiet: bool,
    as_json: bool,
    plugins: tuple[Path, ...],
) -> None:
    """Write the model of a run into the folder OUT, as it is shared: with a model card.

    RUN is a run's folder, the beginning of its id, or SYSTEM@DATASET. The folder holds no
    sentences, no predictions and no code.
    """
    from zoo.model.find import find_run
    from zoo.model.model import Model
    from zoo.registry import load_plugin_file, load_plugins

    load_plugins()
    for plugin in plugins:
        load_plugin_file(plugin)
    root = results or before or Path("results")
    chosen = find_run(run, root)
    if chosen is None:
        raise ConfigError(f"{run}: no folder, and no stored run of {root}; `zoo runs` lists all")
    if chosen.why and not quiet:
        click.echo(f"zoo: {chosen.why}", err=True)
    model = Model.from_folder(chosen.folder, allow_changed=allow_changed)
    made = model.save_pretrained(out, whole=whole)
    if as_json:
        print_json({"run": str(chosen.folder), "folder": str(made)})
    else:
        click.echo(str(made))


def _root(results: Path | None) -> Path:
    root = results if results is not None else Path("results")
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give --results DIR")
    return root


def _choose(root: Path, ids: Sequence[str], **wanted: Any) -> list[Entry]:
    from zoo.results.listing import chosen, entries
    from zoo.results.store import Store

    store = Store(root)
    store.clean()
    return chosen(list(entries(store)), ids, **wanted)


def _facts(entry: Entry) -> dict[str, Any]:
    return {
        "system": entry.system,
        "dataset": entry.dataset,
        "seed": entry.seed,
        "id": entry.id,
        "variant": entry.variant,
        "overrides": list(entry.overrides),
        "suite": entry.record.suite if entry.record else None,
        "state": entry.state,
        "withheld": entry.record.withheld if entry.record else False,
        "bytes": entry.size,
        "folder": str(entry.folder),
    }


def _print(found: Sequence[Entry]) -> None:
    rows = [("system", "dataset", "seed", "id", "variant", "state", "size", "overrides")]
    for entry in found:
        rows.append(
            (
                entry.system,
                entry.dataset,
                "-" if entry.seed is None else str(entry.seed),
                entry.id,
                entry.variant or "-",
                entry.state,
                _size(entry.size),
                " ".join(entry.overrides),
            )
        )
    shown = [[_visible(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _visible(text: str) -> str:
    from zoo.results.tables import visible

    return visible(text)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _count(found: Sequence[Entry]) -> str:
    return f"{len(found)} {'run' if len(found) == 1 else 'runs'}"
