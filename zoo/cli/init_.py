"""``zoo init [DIR]``."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.errors import ConfigError


@click.command("init")
@click.argument("folder", default=".", type=click.Path(path_type=Path), metavar="[DIR]")
@click.option("--force", is_flag=True, help="Overwrite a registry.yaml that is there.")
def command(folder: Path, force: bool) -> None:
    """Write the shipped registry.yaml into DIR (by default here)."""
    target = folder / "registry.yaml"
    if target.exists() and not force:
        raise ConfigError(f"{target} exists already; --force overwrites it")
    from zoo.config.config import shipped_file

    try:
        folder.mkdir(parents=True, exist_ok=True)
        target.write_text(shipped_file().read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{target}: can't be written: {error.strerror}") from error
    click.echo(f"wrote {target}; next: zoo run {target}")
