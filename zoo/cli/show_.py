"""``zoo show NAME``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo.cli.options import Source, source
from zoo.errors import ConfigError, DataError

if TYPE_CHECKING:
    from zoo.config.config import Config
    from zoo.schema import SystemSpec


@click.command("show")
@click.argument("name")
@source(as_option=True)
@click.option("--backbone", metavar="NAME", help="Its encoders (default: the first suite's).")
def command(name: str, backbone: str | None, source: Source) -> None:
    """Show system NAME: resolved YAML, parts with documentation and citations, parameters."""
    import inspect

    import yaml

    from zoo.errors import near

    config = source.load()
    if name not in config.systems:
        raise ConfigError(f"unknown system `{name}`{near(name, config.systems)}")
    backbone = backbone or _usual_backbone(config, name)
    if backbone not in config.backbones:
        raise ConfigError(f"--backbone {backbone}: unknown{near(backbone, config.backbones)}")
    spec = config.spec(name, backbone)
    click.echo(f"{name}, backbone {backbone}")
    if spec.description:
        click.echo(spec.description)
    if spec.cites:
        click.echo(f"cites: {', '.join(spec.cites)}")
    click.echo(f"\n{yaml.safe_dump(spec.resolved(), sort_keys=False)}")
    for slot, part in spec.parts:
        for each in part.walk():
            summary = inspect.cleandoc(each.cls.__doc__ or "").replace("\n", "\n    ")
            click.echo(f"{slot}: {each.name} ({each.cls.__module__}.{each.cls.__name__})")
            click.echo(f"    {summary}\n")
    _parameters(config, spec, source.root)


def _usual_backbone(config: Config, system: str) -> str:
    """That of the first suite the system stands in, else of the first suite."""
    suites = list(config.suites.values())
    return next((s.backbone for s in suites if system in s.systems), suites[0].backbone)


def _parameters(config: Config, spec: SystemSpec, root: Path) -> None:
    """Count the parameters of the system as the first dataset that can be read would have it."""
    from zoo.build import build
    from zoo.runs.datasets import load_dataset
    from zoo.runs.environment import cache_folder

    suites = [s for s in config.suites.values() if s.backbone == spec.backbone]
    names = dict.fromkeys(name for suite in suites for name in suite.datasets)
    for dataset in [*names, *config.datasets]:
        try:
            splits = load_dataset(dataset, config.datasets[dataset], root).splits
            break
        except DataError:
            continue  # not on this machine; any other will do for counting
    else:
        raise DataError("no dataset of the registry can be read; see `zoo data list`")
    try:
        system = build(spec, splits["train"], cache_folder())
    except ConfigError as error:
        click.echo(f"parameters: not counted, as it can't be built here: {error}")
        return
    click.echo(f"parameters (with the vocabulary of {dataset}), trained / total:")
    for slot, module in [*system.named_children(), ("all", system)]:
        counts = [(p.numel(), p.requires_grad) for p in module.parameters()]
        trained, total = sum(n for n, on in counts if on), sum(n for n, _ in counts)
        if total:
            click.echo(f"    {slot:<10} {trained:>13,} / {total:>13,}")
