"""``zoo show NAME``."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import click

from zoo import registry
from zoo.cli.options import JSON, Source, print_json, source
from zoo.errors import ConfigError, DataError, plain

if TYPE_CHECKING:
    from zoo.config.config import Config
    from zoo.schema import SystemSpec
    from zoo.system import System


@click.command("show")
@click.argument("name")
@source(as_option=True)
@click.option("--backbone", metavar="NAME", help="Encoders to use (default: the first suite's).")
@JSON
def command(name: str, backbone: str | None, as_json: bool, source: Source) -> None:
    """Show a system (diagram, citations, deviations, resolved YAML, parts, parameters), or a part
    and its settings."""
    import inspect

    from zoo.cli.cite_ import reference
    from zoo.cli.diagram import Sizes, draw, measure
    from zoo.errors import near
    from zoo.yaml import dump

    config = source.load()
    if name not in config.systems:
        kinds = [kind for kind in registry.KINDS if name in registry.names(kind)]
        if not kinds:
            known = [*config.systems, *(n for kind in registry.KINDS for n in registry.names(kind))]
            raise ConfigError(f"unknown system or part `{name}`{near(name, known)}")
        if as_json:
            print_json({"parts": [part_facts(kind, name) for kind in kinds]})
            return
        for kind in kinds:
            show_part(kind, name)
        return
    backbone = backbone or config.usual_backbone(name)
    if backbone not in config.backbones:
        raise ConfigError(f"--backbone {backbone}: unknown{near(backbone, config.backbones)}")
    spec = config.spec(name, backbone)
    system, dataset = _built(config, spec, source.root)
    if as_json:
        facts = {"name": name, "backbone": backbone, "description": spec.description}
        counts = None
        if not isinstance(system, ConfigError):
            counts = {"vocabulary": dataset, "slots": _counts(system)}
        print_json({
            **facts, "cites": list(spec.cites), "system": spec.resolved(), "parameters": counts
        })  # fmt: skip
        return
    click.echo(f"{name}, backbone {backbone}")
    if spec.description:
        click.echo(spec.description)
    sizes = Sizes() if isinstance(system, ConfigError) else measure(system)
    click.echo("\n" + "\n".join(draw(spec, sizes)))
    if spec.cites:
        click.echo(f"\ncites: {', '.join(spec.cites)}")
        for key in spec.cites:
            click.echo(_filled(reference(key), "    ", "    "))
    _reported(name)
    _deviations(config, name)
    click.echo(f"\n{dump(spec.resolved())}")
    for slot, part in spec.parts:
        for each in part.walk():
            summary = plain(inspect.cleandoc(each.cls.__doc__ or "")).replace("\n", "\n    ")
            click.echo(f"{slot}: {each.name} ({each.cls.__module__}.{each.cls.__name__})")
            click.echo(f"    {summary}\n")
    _parameters(system, dataset)


def part_facts(kind: str, name: str) -> dict[str, Any]:
    """A part as plain data: what it is for, and its settings."""
    import inspect

    from zoo.schema import keywords

    cls = registry.resolve(kind, name)
    text, _, _ = plain(inspect.cleandoc(cls.__doc__ or "")).partition("\nArgs:\n")
    settings = {
        key: {"type": _type(hint), "required": True}
        if default is ...
        else {"type": _type(hint), "required": False, "default": _plain_value(default)}
        for key, (hint, default) in keywords(cls).items()
    }
    where = f"{cls.__module__}.{cls.__name__}"
    return {
        "kind": kind, "name": name, "class": where, "text": text.strip(), "settings": settings
    }  # fmt: skip


def _plain_value(value: Any) -> Any:
    return value if isinstance(value, str | int | float | list | dict | None) else repr(value)


def show_part(kind: str, name: str) -> None:
    """What a part is for, and each of its settings: type, default, meaning, an example."""
    import inspect
    import re

    from zoo.contracts.examples import examples
    from zoo.schema import keywords
    from zoo.yaml import flow

    cls = registry.resolve(kind, name)
    text, _, rest = plain(inspect.cleandoc(cls.__doc__ or "")).partition("\nArgs:\n")
    arguments = rest.partition("\nRaises:\n")[0]
    meaning = dict(re.findall(r"^    (\w+): ((?:.|\n(?!    \w+: ))*)", arguments, re.MULTILINE))
    click.echo(f"{kind} {name} ({cls.__module__}.{cls.__name__})\n{text.strip()}\n\nsettings:")
    for key, (hint, default) in keywords(cls).items():
        given = "required" if default is ... else f"default {default!r}"
        click.echo(f"  {key}: {_type(hint)}, {given}")
        if key in meaning:
            click.echo(f"      {' '.join(meaning[key].split())}")
    if not keywords(cls):
        click.echo("  none")
    for example in examples(cls)[:1]:
        written = {"reader" if kind == "reader" else "part": name, **example}
        click.echo(f"\nexample: {flow(written)}")


def _type(hint: Any) -> str:
    """An annotation as a reader of YAML knows it: ``'BIO' or 'BIOES'``, ``float (>= 0, < 1)``."""
    import types
    from typing import Annotated, Literal, Union, get_args, get_origin

    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = [
            f"{sign} {value}"
            for field in arguments[1:]
            for each in getattr(field, "metadata", [field])
            for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
            if (value := getattr(each, name, None)) is not None
        ]
        return _type(arguments[0]) + (f" ({', '.join(bounds)})" if bounds else "")
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join("null" if each is type(None) else _type(each) for each in arguments)
    if arguments:
        inner = ", ".join("…" if each is ... else _type(each) for each in arguments)
        return f"{getattr(origin, '__name__', origin)} of {inner}"
    return getattr(hint, "__name__", str(hint))


def _built(config: Config, spec: SystemSpec, root: Path) -> tuple[System | ConfigError, str]:
    """The system as the first dataset that can be read would have it, or why it can't be built;
    and the dataset's name."""
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
        return build(spec, splits["train"], cache_folder()), dataset
    except ConfigError as error:
        return error, dataset


def _reported(name: str) -> None:
    """The numbers that papers report of the system, with what is known to be wrong with them."""
    from zoo.results.reported import of_system

    found = of_system(name)
    if found:
        click.echo("\nreported by papers, with other encoders and budgets than the zoo's:")
    for dataset, rows in found.items():
        for row in rows:
            said = row.facts
            more = [said["text_encoder"], said["mark"], said["source"]]
            told = "; ".join(str(each) for each in more if each)
            click.echo(_filled(f"{dataset}: F1 {said['f1']:.2f} ({told})", "    ", "      "))


def _deviations(config: Config, name: str) -> None:
    """Where the system departs from what was published, as its page says."""
    from zoo.config.config import shipped_page

    asked: Any = name
    while isinstance(asked, str) and (page := shipped_page(asked)) is None:
        asked = config.systems.get(asked, {}).get("extends")
    if not isinstance(asked, str) or page is None:
        return
    text = page.read_text(encoding="utf-8")
    section = text.partition("\n## Where it departs\n")[2].partition("\n## ")[0].strip()
    if not section:
        return
    of = "" if asked == name else f" of {asked}, which it extends"
    click.echo(f"\ndeviations{of} (docs/systems/{asked}.md):")
    for block in section.split("\n\n"):
        if not block.startswith("|"):
            click.echo(_filled(" ".join(block.split()), "  ", "  "))
            continue
        head, _, *rows = block.splitlines()
        click.echo(f"  {_cells(head)}:")
        for row in rows:
            click.echo(_filled(f"- {_cells(row)}", "  ", "    "))


def _filled(text: str, first: str, then: str) -> str:
    """A paragraph of at most 78 characters a line."""
    return fill(text, 78, initial_indent=first, subsequent_indent=then, break_on_hyphens=False)


def _cells(row: str) -> str:
    return " | ".join(cell.strip() for cell in row.strip().strip("|").split(" |"))


def _parameters(system: System | ConfigError, dataset: str) -> None:
    """Tell the parameters of the system that was built."""
    if isinstance(system, ConfigError):
        click.echo(f"parameters: not counted, as it can't be built here: {system}")
        return
    click.echo(f"parameters (with the vocabulary of {dataset}), trained / total:")
    for slot, count in _counts(system).items():
        click.echo(f"    {slot:<10} {count['trained']:>13,} / {count['total']:>13,}")


def _counts(system: System) -> dict[str, dict[str, int]]:
    """The parameters of a system by slot, and of ``all``: ``trained`` and ``total``."""
    slots = {}
    for slot, module in [*system.named_children(), ("all", system)]:
        counts = [(p.numel(), p.requires_grad) for p in module.parameters()]
        trained, total = sum(n for n, on in counts if on), sum(n for n, _ in counts)
        if total:
            slots[slot] = {"trained": trained, "total": total}
    return slots
