"""What the benchmarks share: settings, the stopwatch, the form of a result, the data.

Sides are timed in turn (A B A B …) in one process and compared within each turn, so that whatever
else the machine does falls on both. Wall time is what a user waits for; processor time beside it
tells how far a busy machine may have distorted it.
"""

from __future__ import annotations

import gc
import os
import platform
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from zoo.build import read_data
from zoo.config.config import Config
from zoo.config.read import read
from zoo.training.precision import cpu_features
from zoo.types import Splits

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Settings:
    """How thorough to be: turns; batches a side and turn; calls a turn of what takes milliseconds;
    and where the real data lie."""

    repeats: int = 9
    batches: int = 12
    calls: int = 5
    data: Path | None = None

    @property
    def quick(self) -> Settings:
        """Enough to see that it works; the figures mean little."""
        return Settings(repeats=1, batches=1, calls=1, data=self.data)


@dataclass(frozen=True)
class Timing:
    """Seconds of each turn."""

    wall: list[float]
    cpu: list[float]


@dataclass(frozen=True)
class Row:
    """One side: median seconds, and how many items a second that is."""

    name: str
    wall: float
    cpu: float
    per_second: float | None = None


@dataclass(frozen=True)
class Figure:
    """What is judged: a ratio of two sides (``×``) or seconds (``s``), by wall and CPU time.

    The bound, where there is one, holds for the wall time.
    """

    name: str
    wall: float
    cpu: float
    unit: str = "×"
    at_most: float | None = None
    at_least: float | None = None

    @property
    def target(self) -> str:
        if self.at_most is not None:
            return f"≤ {self.at_most:g} {self.unit}"
        return f"≥ {self.at_least:g} {self.unit}" if self.at_least is not None else ""

    @property
    def met(self) -> bool | None:
        """None where there is no target."""
        if self.at_most is not None:
            return self.wall <= self.at_most
        return self.wall >= self.at_least if self.at_least is not None else None


@dataclass(frozen=True)
class Result:
    """One benchmark's answer."""

    title: str
    data: str
    unit: str
    rows: list[Row]
    figures: list[Figure]
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        answer = asdict(self)
        for entry, figure in zip(answer["figures"], self.figures, strict=True):
            entry |= {"target": figure.target, "met": figure.met}
        return answer


def alternate(
    sides: Mapping[str, Callable[[], object]], repeats: int, calls: int = 1
) -> dict[str, Timing]:
    """Time each side ``repeats`` times, in turn, after an untimed turn to warm up.

    A single turn is for trying out, and is not warmed up for.

    Args:
        calls: of a side in each of its turns, for sides that take milliseconds; the time given is
            that of one.
    """
    times = {name: Timing([], []) for name in sides}
    for turn in range(0 if repeats > 1 else 1, repeats + 1):
        for name, side in sides.items():
            gc.collect()
            gc.disable()
            wall, cpu = time.perf_counter(), _cpu()
            for _ in range(calls):
                side()
            wall, cpu = time.perf_counter() - wall, _cpu() - cpu
            gc.enable()
            if turn:
                times[name].wall.append(wall / calls)
                times[name].cpu.append(cpu / calls)
    return times


def _cpu() -> float:
    """Processor seconds of this process, all its threads, and the children it has waited for."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def row(name: str, timing: Timing, items: int | None = None) -> Row:
    wall = median(timing.wall)
    return Row(name, wall, median(timing.cpu), items / wall if items else None)


def ratio(
    name: str,
    over: Timing,
    under: Timing,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Figure:
    """The median over the turns of one side's time over the other's."""
    wall, cpu = (
        median(a / b for a, b in zip(getattr(over, clock), getattr(under, clock), strict=True))
        for clock in ("wall", "cpu")
    )
    return Figure(name, wall, cpu, "×", at_most, at_least)


def registry() -> Config:
    """The shipped registry."""
    return read(ROOT / "registry.yaml")


def dataset(config: Config, name: str, settings: Settings) -> tuple[Splits, str]:
    """A real dataset where it is there, else the synthetic one; and which one it was."""
    if settings.data is None or not (settings.data / name).is_dir():
        return read_data(config.datasets["mini"], ROOT), f"mini (synthetic; {name} is not here)"
    return read_data(config.datasets[name], settings.data), name


FEATURES = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "sve",
    "bf16",
    "sha_ni",
)
"""What of a processor's features decides how fast it multiplies and hashes."""


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "features": [name for name in FEATURES if name in cpu_features()],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
