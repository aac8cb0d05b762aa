"""``zoo score GOLD PRED``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(gold: Path, pred: Path, tags: Literal["lenient", "strict"], as_json: bool) -> None:
    """Score the entities of PRED against those of GOLD: exact-span micro P, R, F1.

    Each may be a file of tags (word and tag columns, as the bio reader takes them), a jsonl file
    of samples, or a stored predictions file.
    """
    from zoo.evaluation.files import paired
    from zoo.evaluation.scores import score

    scores = score(*paired(gold, pred, tags))
    if as_json:
        import json

        click.echo(json.dumps(scores.as_dict(), indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("type", "P", "R", "F1", "gold", "predicted", "correct")
    for name, part in [*sorted(scores.per_type.items()), ("all", scores)]:
        figures = [f"{x:.2f}" for x in (part.precision, part.recall, part.f1)]
        counts = [str(x) for x in (part.gold, part.predicted, part.correct)]
        table.add_row(name, *figures, *counts)
    Console().print(table)
