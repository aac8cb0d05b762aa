"""``zoo models offline``."""

from __future__ import annotations

import click

from zoo.cli.options import JSON, QUIET, print_json
from zoo.encoders.offline import OFFLINE


@click.group("models")
def command() -> None:
    """Pretrained models that are made on this machine."""


@command.command()
@click.argument("names", nargs=-1, type=click.Choice(OFFLINE), metavar="[NAME]…")
@click.option("--again", is_flag=True, help="Convert models that are there, too.")
@QUIET
@JSON
def offline(names: tuple[str, ...], again: bool, quiet: bool, as_json: bool) -> None:
    """Convert the models that the packages of the extra `offline` hold into the cache.

    They are e5-small (text in a hundred languages) and efficientnet-lite0 (pictures).
    """
    from zoo.encoders.converters import convert
    from zoo.encoders.offline import locate_offline

    made = []
    for name in names or OFFLINE:
        convert(name, again)
        folder = locate_offline(name)
        size = sum(file.stat().st_size for file in folder.iterdir())
        made.append({"name": name, "folder": str(folder), "bytes": size})
        if not (quiet or as_json):
            click.echo(f"{name}: {folder} ({size / 1e6:.0f} MB)")
    if as_json:
        print_json({"models": made})
