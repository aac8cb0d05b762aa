"""``zoo score GOLD PRED``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from zoo.cli.options import JSON, PLUGIN, print_json
from zoo.errors import ConfigError, near

if TYPE_CHECKING:
    from zoo.evaluation.pairing import Entities
    from zoo.evaluation.scores import Scores

FILE = click.Path(path_type=Path)


@click.command("score")
@click.argument("gold", type=FILE)
@click.argument("pred", type=FILE)
@click.option(
    "--tags",
    type=click.Choice(["lenient", "strict"]),
    default="lenient",
    show_default=True,
    help="How tag files are read into entities.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="FROM=TO",
    help="Rename an entity type in both files, as a dataset's `labels` do. Repeatable.",
)
@JSON
@PLUGIN
def command(
    gold: Path,
    pred: Path,
    tags: Literal["lenient", "strict"],
    labels: tuple[str, ...],
    as_json: bool,
    plugins: tuple[Path, ...],
) -> None:
    """Score the entities of PRED against those of GOLD: exact-span micro P, R, F1.

    Each may be a file of tags (word and tag columns, as the bio reader takes them), a jsonl file
    of samples, what `zoo predict --json` writes, or a stored predictions file, of which GOLD gives
    its gold and PRED its predictions; it may be scored against itself. Sentences are paired by id
    where all have one, else by order. A file of a stored run must be as it was stored.
    """
    from zoo.evaluation.pairing import paired
    from zoo.evaluation.scores import score
    from zoo.registry import load_plugin_file, load_plugins
    from zoo.results.evidence import check_stored

    load_plugins()
    for plugin in plugins:
        load_plugin_file(plugin)
    for file in (gold, pred):
        check_stored(file)
    names = _renames(labels)
    wanted, found, languages = paired(gold, pred, tags)
    _check_names(names, {each.type for sentence in (*wanted, *found) for each in sentence})
    scores = score(_renamed(wanted, names), _renamed(found, names), languages)
    if as_json:
        print_json(scores.as_dict())
    else:
        _print(scores)


def _renames(labels: tuple[str, ...]) -> dict[str, str]:
    pairs = [label.partition("=") for label in labels]
    for label, (old, _, new) in zip(labels, pairs, strict=True):
        if not old or not new:
            raise ConfigError(f"--label {label}: write it as FROM=TO, e.g. --label OTHER=MISC")
        if {b for a, _, b in pairs if a == old} != {new}:
            raise ConfigError(f"--label {label}: another --label renames {old}, too; keep one")
    return {old: new for old, _, new in pairs}


def _check_names(names: dict[str, str], types: set[str]) -> None:
    for old, new in names.items():
        if old not in types:
            raise ConfigError(
                f"--label {old}={new}: no entity of either file has the type {old}"
                f"{near(old, types)}"
            )


def _renamed(sentences: list[Entities], names: dict[str, str]) -> list[Entities]:
    return [[e._replace(type=names.get(e.type, e.type)) for e in each] for each in sentences]


def _print(scores: Scores) -> None:
    from rich.console import Console
    from rich.table import Table

    from zoo.results.tables import visible

    table = Table("", "P", "R", "F1", "gold", "predicted", "correct")
    for column in table.columns[1:]:
        column.justify = "right"
    for parts in (scores.per_type, scores.per_language, {"all": scores}):
        for name, part in sorted(parts.items()):
            figures = [f"{x:.2f}" for x in (part.precision, part.recall, part.f1)]
            counts = [str(x) for x in (part.gold, part.predicted, part.correct)]
            table.add_row(visible(name), *figures, *counts)
        table.add_section()
    console = Console(markup=False)
    if not console.is_terminal:
        console.width = 500  # the width there is but a guess; nothing may be folded by it
    console.print(table)
    for name, value in scores.metrics.items():
        console.print(f"{name}: {value:.2f}", highlight=False)
