"""``zoo list [KIND]``."""

from __future__ import annotations

import click

from zoo import registry
from zoo.cli.options import JSON, Source, print_json, source
from zoo.errors import ConfigError, near, plain, shown

SYSTEMS = "systems"


@click.command("list")
@click.argument("kind", required=False)
@JSON
@source(as_option=True)
def command(kind: str | None, as_json: bool, source: Source) -> None:
    """List the registered parts, or those of one KIND; `systems`: the systems of the registry."""
    if kind == SYSTEMS:
        systems(source, as_json)
        return
    for plugin in source.plugins:
        registry.load_plugin_file(plugin)
    if kind is not None and kind not in registry.KINDS:
        raise ConfigError(f"unknown kind `{kind}`{near(kind, [*registry.KINDS, SYSTEMS])}")
    if as_json:
        found = {
            each: [
                {"name": name, "summary": plain(registry.summary(each, name))}
                for name in registry.names(each)
            ]
            for each in ([kind] if kind else registry.KINDS)
        }
        print_json({"parts": found})
        return
    for each in [kind] if kind else registry.KINDS:
        names = registry.names(each)
        click.echo(each if names else f"{each} (none yet)")
        for name in names:
            click.echo(f"  {name:<16} {plain(registry.summary(each, name))}")


def systems(source: Source, as_json: bool) -> None:
    """One line for each system: its name and what it is."""
    config = source.load()
    found = {}
    for name, system in config.systems.items():
        base = system.get("extends")
        found[name] = system.get("description") or (f"as {base}, with changes" if base else "")
    if as_json:
        print_json({"systems": [{"name": n, "description": text} for n, text in found.items()]})
        return
    click.echo(SYSTEMS)
    wide = max(map(len, found))
    for name, description in found.items():
        click.echo(shown(f"  {name:<{wide}}  {description}".rstrip()))
