"""``zoo cite NAME…``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from zoo.cli.options import JSON, Source, print_json, source
from zoo.errors import ConfigError
from zoo.model.citations import entries, of_class

if TYPE_CHECKING:
    from zoo.schema import SystemSpec


@click.command("cite")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--parts", is_flag=True, help="Also what the parts of the systems cite.")
@JSON
@source(as_option=True)
def command(names: tuple[str, ...], parts: bool, as_json: bool, source: Source) -> None:
    """Print the BibTeX of systems, of parts, or of citation keys, each entry once."""
    from zoo import registry
    from zoo.errors import near

    config = source.load()
    keys: list[str] = []
    for name in names:
        if name in config.systems:
            spec = config.spec(name, config.usual_backbone(name))
            found = [*spec.cites, *(of_parts(spec) if parts else [])]
        elif kinds := [kind for kind in registry.KINDS if name in registry.names(kind)]:
            found = [key for kind in kinds for key in of_class(registry.resolve(kind, name))]
        elif name in entries():
            found = [name]
        else:
            known = [*config.systems, *entries()]
            known += [each for kind in registry.KINDS for each in registry.names(kind)]
            raise ConfigError(f"unknown system, part or citation key `{name}`{near(name, known)}")
        if not found:
            raise ConfigError(f"`{name}` cites nothing")
        keys += found
    unknown = [key for key in dict.fromkeys(keys) if key not in entries()]
    if unknown:
        raise ConfigError(
            *(f"no BibTeX entry is known for the citation key `{k}`" for k in unknown)
        )
    told = {key: entries()[key] for key in keys}
    if as_json:
        print_json({"entries": told})
    else:
        click.echo("\n\n".join(told.values()))


def of_parts(spec: SystemSpec) -> list[str]:
    """The keys that the parts of a system cite, in the order of the parts."""
    found = [key for _, part in spec.parts for each in part.walk() for key in of_class(each.cls)]
    return list(dict.fromkeys(found))


def reference(key: str) -> str:
    """``Lu et al. (2018): Visual Attention Model …``; the key alone where no entry has it."""
    if key not in entries():
        return f"(no BibTeX entry is known) [{key}]"
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},?$", entries()[key], re.MULTILINE))
    told = {name: re.sub(r"[{}]", "", value) for name, value in fields.items()}
    where = told.get("booktitle") or told.get("journal") or told.get("howpublished")
    title = f"{_short(told['author'].split(' and '))} ({told['year']}): {told['title']}"
    return f"{title}{'' if title.endswith('?') else '.'} {where + '. ' if where else ''}[{key}]"


def _short(authors: Iterable[str]) -> str:
    families = [name.partition(",")[0] for name in authors]
    if len(families) > 2:
        return f"{families[0]} et al."
    return " and ".join(families)
