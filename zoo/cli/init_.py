"""``zoo init [DIR]`` and ``zoo init --data FOLDER``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from zoo.cli.options import JSON, QUIET, print_json
from zoo.errors import ConfigError
from zoo.files import write_atomic

PATH = click.Path(path_type=Path)


@click.command("init")
@click.argument("folder", default=".", type=PATH, metavar="[DIR]")
@click.option("--data", type=PATH, help="A folder of data: write a YAML of a few lines for it.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@QUIET
@JSON
def command(folder: Path, data: Path | None, force: bool, quiet: bool, as_json: bool) -> None:
    """Write the shipped registry.yaml into DIR (by default here).

    With --data, write a YAML that has this dataset and includes the shipped registry. The data is
    read once to see that it can be.
    """
    left_out: list[str] = []
    if data is None:
        from zoo.config.config import shipped_file

        target, text = folder / "registry.yaml", shipped_file().read_text(encoding="utf-8")
    else:
        target, text = _for_data(folder, data, left_out)
    if target.exists() and not force:
        raise ConfigError(f"{target} exists already; --force overwrites it")
    try:
        write_atomic(target, text)
    except OSError as error:
        raise ConfigError(f"{target}: can't be written: {error.strerror}") from error
    if as_json:
        print_json({"file": str(target), "left_out": left_out} if data else {"file": str(target)})
        return
    for line in left_out:
        click.echo(line)
    if not quiet:
        click.echo(f"wrote {target}; next: zoo run {target}")


def _for_data(folder: Path, data: Path, left_out: list[str]) -> tuple[Path, str]:
    """The YAML for a dataset, and where it is to be; adds what it leaves out. Raises DataError."""
    from zoo.data.detect import detect
    from zoo.yaml import flow

    settings = detect(data.absolute(), left_out.append)
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in data.absolute().stem)
    root = os.environ.get("ZOO_DATA")  # then paths are relative to it
    path = Path(os.path.relpath(data.absolute(), root or folder.absolute())).as_posix()
    entry = flow({"reader": settings.pop("reader"), "path": path, **settings})
    text = f"include: zoo\ndatasets:\n  {flow(name)}: {entry}\n"
    return folder / f"{name}.yaml", text
