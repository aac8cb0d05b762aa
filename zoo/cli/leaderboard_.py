"""``zoo leaderboard``."""

from __future__ import annotations

import io
import re
from pathlib import Path

import click

from zoo.cli.options import JSON, PLUGIN, many, stdout


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
@click.option(
    "--all",
    "all_variants",
    is_flag=True,
    help="With arms of ablations and other variants that have overrides, in the files too. "
    "(On data where there is nothing else, they are always shown.)",
)
@click.option(
    "--reported",
    is_flag=True,
    help="Show the numbers that papers report, in tables of their own, and write reported.*.",
)
@click.option("--details", is_flag=True, help="Show all columns.")
@click.option(
    "--svg",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write what is shown to an SVG picture, too.",
)
@JSON
@PLUGIN
def command(
    results: Path,
    datasets: tuple[str, ...],
    all_variants: bool,
    reported: bool,
    details: bool,
    svg: Path | None,
    as_json: bool,
    plugins: tuple[Path, ...],
) -> None:
    """Rebuild leaderboard.{md,csv,tex,json} from the stored runs, and show them.

    A row is a system. The files hold the same rows as what is shown, of all datasets. Scores are
    computed from the stored predictions, after the files of each run are compared with the digests
    in its run.json.
    """
    from zoo.cli.report import make_console
    from zoo.errors import DataError, near
    from zoo.files import write_atomic
    from zoo.registry import load_plugin_file, load_plugins
    from zoo.results.leaderboard import leaderboard
    from zoo.results.overlaps import with_overlaps
    from zoo.results.reported import datasets as papers_on
    from zoo.results.reported import reported as reported_tables
    from zoo.results.statistics import Statistics
    from zoo.results.store import Store
    from zoo.results.terminal import render
    from zoo.results.writers import to_json, write

    load_plugins()
    for plugin in plugins:
        load_plugin_file(plugin)
    store = Store(results)
    store.clean()
    runs = store.load_runs()
    if not runs and not reported:
        raise DataError(f"{results}: no stored runs; `zoo run registry.yaml` makes some")
    known = {run.record.dataset for run in runs}
    papers = papers_on() if reported else []
    known |= set(papers)
    for name in datasets:
        if name not in known:
            raise DataError(f"--dataset {name}: no stored run on it{near(name, known)}")
    statistics = Statistics(results)
    tables = with_overlaps(leaderboard(runs, all_variants, statistics), store.root)
    statistics.save()
    if tables:
        write(tables, results)
    if reported:
        tables += reported_tables(papers)
        write(reported_tables(papers), results, "reported")
    console = make_console(record=svg is not None)
    chosen = [t for t in tables if not datasets or t.facts["dataset"] in datasets]
    if as_json:
        console.file = io.StringIO()  # drawn all the same where a picture is wanted
        click.echo(to_json(chosen), file=stdout(), nl=False)
    for table in chosen:
        console.print(render(table, details))
    if svg is not None:
        # without web fonts: a picture in a README must not load anything
        drawn = console.export_svg(title="zoo leaderboard")
        write_atomic(svg, re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL))
