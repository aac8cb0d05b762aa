"""The statistics of a table: twelve systems, five seeds each, on a test set as Twitter-2015's.

Counts are drawn as in ``false_alarms``. What a leaderboard computes are the standings and, of each
system, itself against itself; what an ablation computes are differences, tests included.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from benchmarks.common import Figure, Result, Settings, alternate, row
from benchmarks.false_alarms import draw
from zoo.evaluation.significance import randomisation
from zoo.evaluation.systems import interval, mean, same_system, standings

SYSTEMS, SEEDS, SENTENCES = 12, 5, 3257


def run(settings: Settings) -> Result:
    systems = draw(np.random.default_rng(1), SENTENCES, [1.0] * SYSTEMS, SEEDS)
    pairs = list(combinations(systems, 2))
    sides = {
        "intervals of all pairs": lambda: [interval(a, b, same_seeds=True) for a, b in pairs],
        "standings: ranks, all pairs": lambda: (standings(systems), [mean(a) for a in systems]),
        "a system against itself": lambda: same_system(systems[0], rounds=400),
        "the test for these runs, one pair": lambda: randomisation(*pairs[0]),
    }
    times = alternate(sides, settings.repeats)
    rows = [row(side, timing) for side, timing in times.items()]
    both = rows[0].wall + rows[1].wall, rows[0].cpu + rows[1].cpu
    return Result(
        "Statistics of a table",
        "none",
        "",
        rows,
        [Figure("intervals and standings, all pairs", *both, "s", at_most=5)],
        [f"{SYSTEMS} systems, {SEEDS} seeds, {SENTENCES:,} sentences: {len(pairs)} pairs.",
         "Remembered by the digests of the predictions: a table of runs that did not change "
         "computes none of it."],
    )  # fmt: skip
