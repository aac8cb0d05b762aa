"""``zoo data import``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zoo.cli.options import JSON, QUIET, print_json
from zoo.errors import ConfigError
from zoo.importers.formats import FORMATS

PATH = click.Path(path_type=Path)


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
@click.argument("out", type=PATH)
@click.option("--from", "kind", type=click.Choice(list(FORMATS)), help="Default: found by looking.")
@click.option(
    "--split",
    help="Shares of train, dev and test (default: what the files' names say, else 80/10/10); "
    "80/20: without test.",
)
@click.option("--seed", default=0, show_default=True, help="Of the shuffle that splits.")
@click.option("--images", type=PATH, help="The folder of the pictures.")
@click.option("--tag-names", help="What numbers in `ner_tags` stand for: O,B-PER,I-PER,…")
@click.option(
    "--offsets",
    type=click.Choice(["auto", "characters", "utf-16"]),
    default="auto",
    show_default=True,
    help="What offsets count.",
)
@click.option(
    "--inside",
    type=click.Choice(["refuse", "expand", "drop"]),
    default="refuse",
    show_default=True,
    help="What becomes of entities that cut a word.",
)
@click.option(
    "--by",
    type=click.Choice(["document", "line"]),
    help="Whether a document or each of its lines is a sentence (default: line for brat, else "
    "document).",
)
@QUIET
@JSON
def command(
    files: tuple[Path, ...],
    out: Path,
    kind: str | None,
    split: str | None,
    seed: int,
    images: Path | None,
    tag_names: str | None,
    quiet: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Turn annotated FILEs of other tools into a folder OUT that the zoo reads.

    Character offsets become entities over words; pictures are copied. Everything that is wrong is
    told at once, and then nothing is written.
    """
    from zoo.importers.convert import convert, write
    from zoo.importers.documents import Conversion

    shares = _shares(split) if split is not None else None
    if images is not None and not images.is_dir():
        raise ConfigError(f"--images {images}: no such folder")
    names = [name.strip() for name in tag_names.split(",")] if tag_names else None
    done = convert(files, kind, Conversion(**how), shares, seed, images, names)
    write(done, out)
    sizes = {
        name: {
            "sentences": len(samples),
            "entities": sum(len(sample.entities) for sample in samples),
            "pictures": sum(sample.picture is not None for sample in samples),
        }
        for name, samples in done.splits.items()
    }
    if as_json:
        facts = {"folder": str(out), "chosen": done.chosen, "findings": done.findings}
        print_json({**facts, "splits": sizes})
        return
    for finding in done.findings:
        click.echo(finding)
    for name, size in () if quiet else sizes.items():
        click.echo(
            "{}: {sentences} sentences, {entities} entities, {pictures} with a picture".format(
                name, **size
            )
        )
    if not quiet:
        click.echo(f"wrote {out} ({done.chosen}); next: zoo init --data {out}")


def _shares(text: str) -> list[float]:
    """``80/10/10`` as shares of one. Raises ConfigError."""
    try:
        parts = [float(part) for part in text.split("/")]
    except ValueError:
        parts = []
    if len(parts) not in (2, 3) or min(parts) < 0 or parts[0] <= 0 or not 0 < sum(parts) < 1e9:
        raise ConfigError(f"--split {text}: write it as 80/10/10, or as 80/20 without a test split")
    return [part / sum(parts) for part in parts]
