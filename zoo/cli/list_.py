"""``zoo list [KIND]``."""

from __future__ import annotations

from pathlib import Path

import click

from zoo import registry
from zoo.cli.options import JSON, PLUGIN, print_json
from zoo.errors import ConfigError, near, plain


@click.command("list")
@click.argument("kind", required=False)
@JSON
@PLUGIN
def command(kind: str | None, as_json: bool, plugins: tuple[Path, ...]) -> None:
    """List the registered parts, or those of one KIND."""
    for plugin in plugins:
        registry.load_plugin_file(plugin)
    if kind is not None and kind not in registry.KINDS:
        raise ConfigError(f"unknown kind `{kind}`{near(kind, registry.KINDS)}")
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
