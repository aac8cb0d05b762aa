"""Which runs may be pooled: a mean is taken over seeds alone.

Runs of one variant that were made in another precision, on another kind of device, with another
minor version of torch or by another version of the harness may differ for that reason; they stand
in rows of their own, and a row that differs from most says so.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from zoo.errors import ConfigError
from zoo.results.evidence import Run


class Environment(NamedTuple):
    """What seeds must share; a field is None where the record doesn't say."""

    precision: str | None
    device: str | None
    torch: str | None
    harness: str | None = None

    @property
    def told(self) -> str:
        """In words: ``cpu, precision fp32, torch 2.9``."""
        said = (
            ("", self.device),
            ("precision ", self.precision),
            ("torch ", self.torch),
            ("harness ", self.harness),
        )
        return ", ".join(f"{what}{value or 'unknown'}" for what, value in said)

    @classmethod
    def of(cls, run: Run) -> Environment:
        version = run.record.versions.get("torch")
        minor = ".".join(version.split("+")[0].split(".")[:2]) if version else None
        harness = None if run.record.harness is None else str(run.record.harness)
        return cls(run.record.precision, device_kind(run.record.device), minor, harness)


def device_kind(device: str | None) -> str | None:
    """``cpu``, ``cuda``, …, of a record's device.

    A device is stored as its kind and number of threads; one that is not is a GPU by its name.
    """
    if device is None:
        return None
    kind = device.partition(",")[0].partition(":")[0].strip()
    return kind if kind in ("cpu", "mps", "xpu", "cuda") else "cuda"


def pooled(runs: Iterable[Run]) -> dict[Environment, list[Run]]:
    """The runs that share a row, by what they share."""
    pools: dict[Environment, list[Run]] = defaultdict(list)
    for run in runs:
        pools[Environment.of(run)].append(run)
    return pools


def largest(runs: Sequence[Run]) -> tuple[list[Run], str | None]:
    """Those of a variant's runs that may share a mean, and a remark on those that are left out.

    Raises:
        ConfigError: as many were made in one environment as in another.
    """
    pools = sorted(pooled(runs).items(), key=lambda pool: (-len(pool[1]), str(pool[0])))
    if len(pools) == 1:
        return list(runs), None
    system = runs[0].record.system
    told = "; ".join(f"{_seeds(each)}: {where.told}" for where, each in pools)
    if len(pools[0][1]) == len(pools[1][1]):
        raise ConfigError(
            f"the runs of `{system}` were made in {len(pools)} environments, which are never "
            f"pooled ({told}); give the id of one run, or make more seeds in one of them"
        )
    rest = _seeds([run for _, each in pools[1:] for run in each])
    return pools[0][1], f"{rest} of {system} are left out, made elsewhere ({told})"


def _seeds(runs: Sequence[Run]) -> str:
    return f"seeds {', '.join(str(seed) for seed in sorted(run.record.seed for run in runs))}"


def usual(runs: Sequence[Run]) -> Environment:
    """What most of these runs share, external ones aside."""
    count = Counter(Environment.of(run) for run in runs if run.record.kind == "run")
    most = max(count.values(), default=0)
    common = [each for each, n in count.items() if n == most]
    return min(common, key=str) if common else Environment(None, None, None)


def remarks(runs: Sequence[Run], usual: Environment) -> str | None:
    """What sets the runs of a row apart from those of most rows; None: nothing."""
    if not runs:
        return None
    first = runs[0]
    said = []
    if first.record.kind == "external":
        said.append("predictions made elsewhere")
    else:
        own = Environment.of(first)
        for name, one, most in zip(own._fields, own, usual, strict=True):
            if one != most:
                what = "" if name == "device" else f"{name} "
                said.append(f"{what}{one or 'unknown'} (most: {most or 'unknown'})")
    if any(run.record.withheld for run in runs):
        said.append("predictions withheld")
    return "; ".join(said) or None


NOTE = (
    "Runs in another precision, on another kind of device, with another minor version of torch or "
    "of another version of the harness are never pooled; rows that differ from most say so."
)
