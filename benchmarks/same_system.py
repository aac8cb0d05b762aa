"""``python -m benchmarks.same_system SYSTEM [--dataset D] [--results DIR]``: seeds of one system.

The seeds of one stored system are split into two disjoint groups of one seed each, then of two. Of
how many pairs of groups does the test for these runs say that they differ at 5 %? All that it finds
is seeds: a test over sentences speaks about runs, not about systems (docs/statistics.md).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from zoo.errors import DataError
from zoo.evaluation.counts import Counts, counts
from zoo.evaluation.significance import randomisation
from zoo.results.evidence import Run
from zoo.results.store import Store

ALPHA = 0.05
SIZES = (1, 2)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.same_system", description=__doc__)
    parser.add_argument("system", help="its name in the stored runs")
    parser.add_argument("--dataset", help="of the runs (all)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder (results)")
    parser.add_argument("--rounds", type=int, default=10_000, metavar="N", help="of a test (10000)")
    given = parser.parse_args(arguments)
    try:
        for line in report(given.results, given.system, given.dataset, given.rounds):
            print(line)
    except DataError as error:
        parser.error("; ".join(error.problems))


def report(results: Path, system: str, dataset: str | None, rounds: int) -> Iterator[str]:
    """A line a size of groups, for each variant of the system of which there are enough seeds.

    Raises:
        DataError: no variant has two seeds, or a stored run was changed.
    """
    variants: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in Store(results).load_runs():
        if run.record.system == system and dataset in (None, run.record.dataset) and run.read:
            variants[run.record.dataset, run.variant].append(run)
    found = False
    for (name, variant), runs in sorted(variants.items()):
        (made,) = counts({run.record.seed: run.predictions or () for run in runs})
        for size in SIZES:
            if alarms := separate(made, size, rounds):
                found = True
                yield (
                    f"{system} on {name} ({variant[:6]}), {len(made)} seeds: {sum(alarms)} of "
                    f"{len(alarms)} pairs of {size} seed{'s' * (size > 1)} differ at 5 %"
                )
    if not found:
        raise DataError(f"{results}: no variant of {system} has predictions of two seeds or more")


def separate(made: Counts, size: int, rounds: int) -> list[bool]:
    """Of every two disjoint groups of so many seeds: whether the test tells them apart."""
    groups = list(combinations(range(len(made)), size))
    return [
        randomisation(made[list(one)], made[list(two)], rounds)[1] < ALPHA
        for one, two in combinations(groups, 2)
        if not set(one) & set(two)
    ]


if __name__ == "__main__":
    main()
