"""``python -m benchmarks [NAME …] [--quick]``: run, print, and store what was measured."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.common import ROOT, Settings, machine
from zoo.files import write_atomic

NAMES = (
    "train_step",
    "systems",
    "precision",
    "padding",
    "crf",
    "scoring",
    "statistics",
    "startup",
    "predict",
    "scale",
)
LONG = ("scale", "systems")
"""Those that run only when they are named."""

Record = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    choice = f"of {', '.join(NAMES)}; all but {', '.join(LONG)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=choice)
    parser.add_argument("--quick", action="store_true", help="only see that it works; stores none")
    parser.add_argument("--repeats", type=int, metavar="N", help="turns (9)")
    parser.add_argument("--batches", type=int, metavar="N", help="training batches a turn (12)")
    parser.add_argument("--data", type=Path, help="folder of the real data (ZOO_DATA)")
    parser.add_argument("--out", type=Path, help="where to store (results/published/benchmarks)")
    given = parser.parse_args(arguments)
    for name in given.names:
        if name not in NAMES:
            parser.error(f"no benchmark `{name}`; there are {', '.join(NAMES)}")
    data = given.data or os.environ.get("ZOO_DATA")
    settings = Settings(data=Path(data) if data else None)
    if given.quick:
        settings = settings.quick
    settings = replace(
        settings,
        repeats=given.repeats or settings.repeats,
        batches=given.batches or settings.batches,
    )
    out = given.out or (None if given.quick else ROOT / "results" / "published" / "benchmarks")
    console = Console(width=None if sys.stdout.isatty() else 110)
    for name in given.names or [each for each in NAMES if each not in LONG]:
        record = measure(name, settings)
        console.print(table(record))
        console.print(*record["notes"], load(record["machine"]), sep="\n", highlight=False)
        if out:
            write_atomic(out / f"{name}.json", json.dumps(record, indent=2, ensure_ascii=False))
            write_atomic(out / "README.md", page(out))


def measure(name: str, settings: Settings) -> Record:
    """Run one benchmark; its record, as it is stored."""
    here = machine()  # before: the load that it was measured under
    result = importlib.import_module(f"benchmarks.{name}").run(settings)
    here["load_after"] = [round(load, 2) for load in os.getloadavg()]
    return {
        "benchmark": name,
        "command": f"python -m benchmarks {name} --repeats {settings.repeats} "
        f"--batches {settings.batches}",
        "machine": here,
        **result.as_dict(),
    }


def load(here: Mapping[str, Any]) -> str:
    """How busy the machine was (the mean number of processes that ran or waited in a minute)."""
    return f"load {here['load'][0]:g} before and {here['load_after'][0]:g} after"


def table(record: Record) -> Table:
    made = Table(title=f"{record['title']}\n{record['data']}", title_justify="left")
    for column in HEADINGS:
        made.add_column(column, justify="left" if column == HEADINGS[0] else "right")
    for cells in lines(record):
        made.add_row(*cells)
    return made


HEADINGS = ("", "wall", "CPU", "per second", "target", "met")


def lines(record: Record) -> list[tuple[str, ...]]:
    """The cells of a record's table: its sides, then what is judged."""
    sides = [
        (
            side["name"],
            seconds(side["wall"]),
            seconds(side["cpu"]),
            f"{side['per_second']:,.0f} {record['unit']}" if side["per_second"] else "",
            "",
            "",
        )
        for side in record["rows"]
    ]
    judged = [
        (
            figure["name"],
            *(
                seconds(figure[clock]) if figure["unit"] == "s" else f"{figure[clock]:.2f} ×"
                for clock in ("wall", "cpu")
            ),
            "",
            figure["target"],
            {True: "yes", False: "no", None: ""}[figure["met"]],
        )
        for figure in record["figures"]
    ]
    return sides + judged


def seconds(value: float) -> str:
    return f"{value:.3f} s" if value >= 0.1 else f"{1000 * value:.2f} ms"


def page(folder: Path) -> str:
    """The page of all records stored in a folder."""
    text = [
        "# Benchmarks",
        "",
        "Made by `python -m benchmarks`; the JSON files beside this page hold the same figures. "
        "Medians over turns; ratios are taken within each turn. Targets hold for wall time; on a "
        "busy machine, look at the CPU time.",
        "",
        "| " + " | ".join(("", *HEADINGS[1:3], *HEADINGS[4:])) + " |",
        "|---|" + "---:|" * (len(HEADINGS) - 2),
    ]
    paths = [path for name in NAMES if (path := folder / f"{name}.json").exists()]
    records = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    for record in records:
        judged = lines({**record, "rows": []})
        text += ["| " + " | ".join((*each[:3], *each[4:])) + " |" for each in judged]
    for record in records:
        here = record["machine"]
        text += [
            "",
            f"## {record['title']}",
            "",
            f"`{record['command']}`",
            "",
            f"Data: {record['data']}. Machine: {here['cpu']} "
            f"({', '.join(here.get('features', [])) or 'features unknown'}), "
            f"{here['cores']} cores, {here['threads']} torch threads, {load(here)}; "
            f"{here['system']}, Python {here['python']}, torch {here['torch']}.",
            *record["notes"],
            "",
            "| " + " | ".join(HEADINGS) + " |",
            "|---|" + "---:|" * (len(HEADINGS) - 1),
            *("| " + " | ".join(cells) + " |" for cells in lines(record)),
        ]
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    main()
