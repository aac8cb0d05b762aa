"""``zoo data list|stats|check|overlap``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.import_ import command as import_
from zoo.cli.options import JSON, Source, print_json, source
from zoo.errors import ConfigError, DataError

if TYPE_CHECKING:
    from zoo.config.config import Config
    from zoo.schema import PartSpec
    from zoo.types import Sample, Splits

NAMES = click.argument("names", nargs=-1, metavar="[NAME]...")


@click.group("data")
def command() -> None:
    """List, count, check and compare the datasets of a registry; import data of other formats."""


command.add_command(import_)


@command.command("list")
@JSON
@source(as_option=True)
def list_(as_json: bool, source: Source) -> None:
    """List the datasets: reader, path, and what is there.

    A dataset that is absent or broken is listed with the reason; the exit code is 0.
    """
    from zoo.data.contents import Contents
    from zoo.files import cache_folder

    config, root = source.load("datasets"), source.root
    contents = Contents(cache_folder())
    rows: list[tuple[str, str, str, str]] = []
    for name, part in config.datasets.items():
        state = _absent(part, root)
        if state is None:
            try:
                state = contents(part, root)
            except (ConfigError, DataError) as error:
                state = f"broken: {'; '.join(error.problems)}"
        rows.append((name, part.name, str(part.settings.get("path") or "-"), state))
    contents.keep()
    if as_json:
        print_json({
            "datasets": [
                dict(zip(("name", "reader", "path", "state"), row, strict=True)) for row in rows
            ]
        })  # fmt: skip
        return
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for *cells, state in rows:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        click.echo("  ".join([*padded, state]))


@command.command("stats")
@NAMES
@JSON
@source(as_option=True)
def stats_(
    names: tuple[str, ...],
    as_json: bool,
    source: Source,
) -> None:
    """Count what datasets hold.

    By default all that are there; those that are not are named. Every picture is really decoded.
    Where a dataset has tags, its entities are counted under the other reading of tags too.
    """
    config, root = source.load("datasets"), source.root
    counted: dict[str, dict[str, Any]] = {}

    def show(name: str, part: PartSpec, splits: Splits) -> None:
        counted[name] = _facts(part, splits, root)
        if not as_json:
            click.echo("\n".join([*_lines(name, counted[name]), ""]))

    absent = _visit(config, names, root, show)
    if as_json:
        print_json({"datasets": counted, "absent": absent})
    else:
        _echo_absent(absent)


@command.command("check")
@NAMES
@JSON
@source(as_option=True)
def check_(
    names: tuple[str, ...],
    as_json: bool,
    source: Source,
) -> None:
    """Report what is unusual about datasets, one line per finding.

    By default about all that are there; those that are not are named. Findings are for you to
    judge: the exit code is 0 whatever is found. Data that can't be read is an error: one line a
    problem, exit code 2.
    """
    from zoo.data.check import check

    config, root = source.load("datasets"), source.root
    found = dict[str, list[str]]()

    def show(name: str, part: PartSpec, splits: Splits) -> None:
        found[name] = [*check(splits), *_readings(part, root)]
        for finding in () if as_json else found[name] or ["nothing odd"]:
            click.echo(f"{name}: {finding}")

    absent = _visit(config, names, root, show)
    if as_json:
        print_json({"datasets": found, "absent": absent})
    else:
        _echo_absent(absent)


@command.command("overlap")
@NAMES
@JSON
@click.option(
    "--similar",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="COSINE",
    help="From which similarity on two texts are near-duplicates (default: 0.8).",
)
@click.option("--exact", is_flag=True, help="Do not look for near-duplicates, which takes longest.")
@source(as_option=True)
def overlap_(
    names: tuple[str, ...],
    as_json: bool,
    similar: float | None,
    exact: bool,
    source: Source,
) -> None:
    """Count posts that stand in two splits, of one dataset or of two.

    By default of all datasets that are there. Posts are found by id, by normalised text (letters
    and digits alone, in one case), and as near-duplicates that are neither. Of two splits, the
    posts of the one that is nearer to the test are counted.
    """
    from zoo.data.overlap import SIMILAR, overlaps

    config, root = source.load("datasets"), source.root
    found: dict[str, Splits] = {}

    def keep(name: str, part: PartSpec, splits: Splits) -> None:
        found[name] = splits

    absent = _visit(config, names, root, keep)
    counts = overlaps(found, None if exact else similar or SIMILAR)
    if as_json:
        print_json({"overlaps": [asdict(each) for each in counts], "absent": absent})
        return
    rows = [("posts", "of", "also in", "by id", "by text", "similar", "example")]
    for each in counts:
        near = "-" if each.similar is None else str(each.similar)
        rows.append(
            (
                " ".join(each.posts),
                str(each.of),
                " ".join(each.inside),
                str(each.by_id),
                str(each.by_text),
                near,
                each.example,
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    for row in rows if counts else ():
        cells = [
            cell.ljust(width) if i in (0, 2) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        click.echo("  ".join([*cells, row[-1]]))
    if not counts:
        click.echo("no post stands in two splits")
    _echo_absent(absent)


def _visit(
    config: Config, names: Sequence[str], root: Path, show: Callable[[str, PartSpec, Splits], None]
) -> dict[str, str]:
    """Read and show the datasets, by default all.

    Returns:
        The datasets that are not there, with the reason; they were passed over.

    Raises:
        ConfigError: a name is unknown.
        DataError: a named dataset is absent (nothing was shown), or some are broken (the others
            were shown).
    """
    from zoo.data.reading import read_data
    from zoo.errors import near

    unknown = [name for name in names if name not in config.datasets]
    if unknown:
        known = config.datasets
        raise ConfigError(*(f"unknown dataset `{name}`{near(name, known)}" for name in unknown))
    parts = {name: config.datasets[name] for name in names or config.datasets}
    absent = {name: why for name, part in parts.items() if (why := _absent(part, root))}
    if names and absent:
        raise DataError(*(f"dataset {name}: {why}" for name, why in absent.items()))
    broken: list[str] = []
    for name, part in parts.items():
        if name in absent:
            continue
        try:
            show(name, part, read_data(part, root))
        except (ConfigError, DataError) as error:
            broken += [f"dataset {name}: {problem}" for problem in error.problems]
    if broken:
        raise DataError(*broken)
    return absent


def _absent(part: PartSpec, root: Path) -> str | None:
    """Why a dataset is not there at all; None where it is, or is made instead of read."""
    path = part.settings.get("path")
    if path is None or (root / path).exists():
        return None
    return (
        f"absent: no folder {root / path}; put it there, or name its parent by --data or ZOO_DATA"
    )


def _echo_absent(absent: Mapping[str, str]) -> None:
    for name, why in absent.items():
        click.echo(f"{name}: {why}")


def _facts(part: PartSpec, splits: Splits, root: Path) -> dict[str, Any]:
    """All that ``stats`` prints of a dataset, as plain data."""
    from zoo.data.fingerprint import fingerprint
    from zoo.data.reading import reader
    from zoo.data.stats import differing, stats
    from zoo.runs.datasets import BARS

    facts: dict[str, Any] = {
        "reader": part.name,
        "fingerprint": fingerprint(splits),
        "splits": {split: asdict(each) for split, each in stats(splits, decode=True).items()},
    }
    made = reader(part, root)
    for name in BARS:
        if bar := getattr(made, name, None):
            facts[name] = {split: 100 * bar(split) for split in ("dev", "test")}
    if tags := part.settings.get("tags"):
        other, mine, again = _other_reading(part, root)
        counts = {split: each.entities for split, each in stats(again).items()}
        differs = differing(mine, again)
        facts |= {
            "tags": tags,
            "other_reading": {"tags": other, "entities": counts, "differing": differs},
        }
    return facts


def _other_reading(part: PartSpec, root: Path) -> tuple[str, Splits, Splits]:
    """The other reading of the tags, and the dataset under this one and that one.

    Types are not renamed: counts do not depend on how they are called, and under the other reading
    a type may have no entity left to rename.
    """
    from zoo.build import read_data

    other = "strict" if part.settings["tags"] == "lenient" else "lenient"
    settings = {key: value for key, value in part.settings.items() if key != "labels"}
    mine = read_data(replace(part, settings=settings), root)
    return other, mine, read_data(replace(part, settings={**settings, "tags": other}), root)


def _entities(samples: Iterable[Sample]) -> int:
    return sum(len(sample.entities) for sample in samples)


def _readings(part: PartSpec, root: Path) -> list[str]:
    """What changes if the tags are read in the other way, a line a split in which anything does."""
    from zoo.data.stats import differing

    if "tags" not in part.settings:
        return []
    other, mine, again = _other_reading(part, root)
    return [
        f"{split}: {_entities(mine[split])} entities read as {part.settings['tags']}, "
        f"{_entities(again[split])} as {other}; {count} stand in one reading alone"
        for split, count in differing(mine, again).items()
        if count
    ]


def _lines(name: str, facts: Mapping[str, Any]) -> list[str]:
    """A headline, what there is to say of the whole, and a column a split."""
    splits: Mapping[str, Mapping[str, Any]] = facts["splits"]
    other = facts.get("other_reading")

    def counts(key: str) -> str:
        return _slashed(split[key] for split in splits.values())

    headline = f"{name} {counts('sentences')} sentences and {counts('entities')} entities"
    if other:
        each = ", ".join(f"{count} in {split}" for split, count in other["entities"].items())
        headline += f" ({other['tags']}: {each})"
    lines = [f"{headline}, {_pictures(splits.values())}"]
    lines.append(f"  reader: {facts['reader']}")
    if other:
        lines.append(f"  tags: {facts['tags']}")
    lines.append(f"  fingerprint: {facts['fingerprint']}")

    rows: list[tuple[str, Sequence[object]]] = [("", list(splits))]

    def row(label: str, key: str) -> None:
        rows.append((label, [split[key] for split in splits.values()]))

    def rows_of(label: str, key: str) -> None:
        found = sorted({each for split in splits.values() for each in split[key]})
        for each in found:
            values = [split[key].get(each, 0) for split in splits.values()]
            rows.append((label.format(each), values))

    row("sentences", "sentences")
    rows_of("  in {}", "languages")
    row("words", "words")
    row("entities", "entities")
    rows_of("  {}", "types")
    if other:
        rows.append((f"  if read as {other['tags']}", list(other["entities"].values())))
        rows.append(("  in one reading alone", list(other["differing"].values())))
    row("pictures", "pictures")
    row("  readable", "readable")
    row("captions", "captions")
    row("longest sentence, words", "longest")
    row("widest entity, words", "widest")
    for name, label in (
        ("text_only_ceiling", "text-only ceiling"),
        ("grounding_bar", "grounding bar"),
    ):
        if bars := facts.get(name):
            figures = [f"{bars[split]:.2f}" if split in bars else "-" for split in splits]
            rows.append((f"{label}, F1", figures))
    first = max(len(label) for label, _ in rows)
    width = max(len(str(value)) for _, values in rows for value in values) + 2
    for label, values in rows:
        cells = "".join(str(value).rjust(width) for value in values)
        lines.append(f"  {label.ljust(first)}{cells}")
    return lines


def _pictures(splits: Iterable[Mapping[str, Any]]) -> str:
    total, readable = 0, 0
    for split in splits:
        total, readable = total + split["pictures"], readable + split["readable"]
    if not total:
        return "no pictures"
    if readable < total:
        return f"{readable} of {total} pictures readable"
    return f"{readable} readable pictures"


def _slashed(counts: Iterable[int]) -> str:
    return "/".join(map(str, counts))
