"""``zoo leaderboard``."""

from __future__ import annotations

import re
from pathlib import Path

import click

from zoo.cli.options import many


@click.command("leaderboard")
@click.option(
    "--results",
    default="results",
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The results folder to read and write.",
)
@many("dataset", "Show only this dataset (the files hold all). Repeatable.")
@click.option("--details", is_flag=True, help="Show all columns.")
@click.option(
    "--svg",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write what is shown to an SVG picture, too.",
)
def command(results: Path, datasets: tuple[str, ...], details: bool, svg: Path | None) -> None:
    """Make leaderboard.{md,csv,tex,json} anew from the stored runs, and show them."""
    from zoo.cli.report import make_console
    from zoo.errors import DataError, near
    from zoo.files import write_atomic
    from zoo.results.leaderboard import leaderboard
    from zoo.results.store import Store
    from zoo.results.writers import render, write

    runs = Store(results).load_runs()
    if not runs:
        raise DataError(f"{results}: no stored runs; `zoo run registry.yaml` makes some")
    known = {run.dataset for run in runs}
    for name in datasets:
        if name not in known:
            raise DataError(f"--dataset {name}: no stored run on it{near(name, known)}")
    tables = leaderboard(runs)
    write(tables, results)
    console = make_console(record=svg is not None)
    for table in tables:
        if not datasets or table.facts["dataset"] in datasets:
            console.print(render(table, details))
    if svg is not None:
        # without web fonts: a picture in a README must not load anything
        drawn = console.export_svg(title="zoo leaderboard")
        write_atomic(svg, re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL))
