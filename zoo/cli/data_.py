"""``zoo data list|stats|check``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.import_ import command as import_
from zoo.cli.options import Source, source
from zoo.errors import ConfigError, DataError

if TYPE_CHECKING:
    from zoo.config.config import Config
    from zoo.schema import PartSpec
    from zoo.types import Splits

NAMES = click.argument("names", nargs=-1, metavar="[NAME]...")


@click.group("data")
def command() -> None:
    """List, count and check the datasets of a registry; import data of other formats."""


command.add_command(import_)


@command.command("list")
@source(as_option=True)
def list_(source: Source) -> None:
    """List the datasets: reader, path, and what is there.

    A dataset that is absent or broken is listed with the reason; the exit code is 0.
    """
    from zoo.build import read_data

    config, root = source.load("datasets"), source.root
    rows = []
    for name, part in config.datasets.items():
        state = _absent(part, root)
        if state is None:
            try:
                state = _contents(read_data(part, root))
            except (ConfigError, DataError) as error:
                state = f"broken: {'; '.join(error.problems)}"
        rows.append((name, part.name, str(part.settings.get("path") or "-"), state))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for *cells, state in rows:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        click.echo("  ".join([*padded, state]))


@command.command("stats")
@NAMES
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
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
    import json

    config, root = source.load("datasets"), source.root
    counted: dict[str, dict[str, Any]] = {}

    def show(name: str, part: PartSpec, splits: Splits) -> None:
        counted[name] = _facts(part, splits, root)
        if not as_json:
            click.echo("\n".join([*_lines(name, counted[name]), ""]))

    absent = _visit(config, names, root, show)
    if as_json:
        report = {"datasets": counted, "absent": absent}
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        _echo_absent(absent)


@command.command("check")
@NAMES
@source(as_option=True)
def check_(
    names: tuple[str, ...],
    source: Source,
) -> None:
    """Report what is unusual about datasets, one line per finding.

    By default about all that are there; those that are not are named. Findings are for you to
    judge: the exit code is 0 whatever is found. Data that can't be read is an error: one line a
    problem, exit code 2.
    """
    from zoo.data.check import check

    config, root = source.load("datasets"), source.root

    def show(name: str, part: PartSpec, splits: Splits) -> None:
        for finding in check(splits) or ["nothing odd"]:
            click.echo(f"{name}: {finding}")

    _echo_absent(_visit(config, names, root, show))


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
    from zoo.build import read_data
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


def _contents(splits: Splits) -> str:
    samples = [sample for split in splits.values() for sample in split]
    pictures = sum(sample.picture is not None for sample in samples)
    captions = sum(sample.caption is not None for sample in samples)
    sentences = _slashed(len(split) for split in splits.values())
    return f"{sentences} sentences, {pictures or 'no'} pictures, {captions or 'no'} captions"


def _facts(part: PartSpec, splits: Splits, root: Path) -> dict[str, Any]:
    """All that ``stats`` prints of a dataset, as plain data."""
    from zoo.build import read_data, reader
    from zoo.data.fingerprint import fingerprint
    from zoo.data.stats import stats

    facts: dict[str, Any] = {
        "reader": part.name,
        "fingerprint": fingerprint(splits),
        "splits": {split: asdict(each) for split, each in stats(splits, decode=True).items()},
    }
    ceiling = getattr(reader(part, root), "text_only_ceiling", None)
    if ceiling:
        facts["text_only_ceiling"] = {split: 100 * ceiling(split) for split in ("dev", "test")}
    if tags := part.settings.get("tags"):
        # Counts don't depend on how types are called, and a type may lose all its entities.
        settings = {key: value for key, value in part.settings.items() if key != "labels"}
        settings["tags"] = other = "strict" if tags == "lenient" else "lenient"
        again = read_data(replace(part, settings=settings), root)
        counts = {split: each.entities for split, each in stats(again).items()}
        facts |= {"tags": tags, "other_reading": {"tags": other, "entities": counts}}
    return facts


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
    row("pictures", "pictures")
    row("  readable", "readable")
    row("captions", "captions")
    row("longest sentence, words", "longest")
    row("widest entity, words", "widest")
    if ceilings := facts.get("text_only_ceiling"):
        figures = [f"{ceilings[split]:.2f}" if split in ceilings else "-" for split in splits]
        rows.append(("text-only ceiling, F1", figures))
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
