"""``zoo list [KIND]``."""

from __future__ import annotations

import click

from zoo import registry
from zoo.cli.options import Source, source
from zoo.errors import ConfigError, near, plain, shown

SYSTEMS = "systems"


@click.command("list")
@click.argument("kind", required=False)
@source(as_option=True)
def command(kind: str | None, source: Source) -> None:
    """List the registered parts, or those of one KIND; `systems`: the systems of the registry."""
    if kind == SYSTEMS:
        systems(source)
        return
    for plugin in source.plugins:
        registry.load_plugin_file(plugin)
    if kind is not None and kind not in registry.KINDS:
        raise ConfigError(f"unknown kind `{kind}`{near(kind, [*registry.KINDS, SYSTEMS])}")
    for each in [kind] if kind else registry.KINDS:
        names = registry.names(each)
        click.echo(each if names else f"{each} (none yet)")
        for name in names:
            click.echo(f"  {name:<16} {plain(registry.summary(each, name))}")


def systems(source: Source) -> None:
    """One line for each system: its name and what it is."""
    config = source.load()
    click.echo(SYSTEMS)
    wide = max(map(len, config.systems))
    for name in config.systems:
        description = config.systems[name].get("description") or ""
        if not description and config.systems[name].get("extends"):
            description = f"as {config.systems[name]['extends']}, with changes"
        click.echo(shown(f"  {name:<{wide}}  {description}".rstrip()))
