"""How long ``zoo --help``, ``zoo list`` and ``zoo data list`` take, as processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from statistics import median

from benchmarks.common import ROOT, Figure, Result, Settings, alternate, ratio, row

ZOO = "from zoo.cli import main; main()"
"""What the installed command does."""


def run(settings: Settings) -> Result:
    def process(*arguments: str) -> Callable[[], object]:
        return lambda: subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )

    times = alternate(
        {
            "python -c pass": process("-c", "pass"),
            "zoo --help": process("-c", ZOO, "--help"),
            "zoo list": process("-c", ZOO, "list"),
            "zoo data list": process("-c", ZOO, "data", "list"),
            "python -c 'import torch'": process("-c", "import torch"),
        },
        settings.repeats,
    )
    floor, help, names, data, torch = times.values()
    return Result(
        "Start-up",
        "none",
        "starts",
        [row(side, timing) for side, timing in times.items()],
        [
            Figure("zoo --help", median(help.wall), median(help.cpu), "s", at_most=0.333),
            Figure("zoo list", median(names.wall), median(names.cpu), "s"),
            Figure("zoo data list", median(data.wall), median(data.cpu), "s", at_most=0.8),
            ratio("zoo --help / python -c pass", help, floor),
            ratio("zoo list / python -c pass", names, floor),
            ratio("python -c 'import torch' / zoo --help", torch, help),
        ],
    )
