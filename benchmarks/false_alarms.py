"""``python -m benchmarks.false_alarms [--replications N] [--write]``: how often systems that do not
differ are called different.

Two systems of the same expected F1 are drawn again and again: as many entities in each sentence as
Twitter-2017's test split has; each entity has a difficulty, partly that of its sentence, that all
runs share, a part of its own for each system, and one for each run; a run's quality is shifted by
its seed. A miss may leave a wrong entity in its place; every sentence has one more candidate for a
false one. Runs of the stored systems agree as those of ``MEASURED`` do: correctness of an entity
correlates 0.80 to 0.85 between seeds of a system, 0.71 to 0.83 between systems.

Takes about ten minutes. ``--write`` puts the tables into docs/statistics.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from zoo.evaluation.counts import Counts
from zoo.evaluation.significance import randomisation
from zoo.evaluation.systems import Interval, interval, ranks
from zoo.files import read_text, write_atomic

DOCUMENT = Path(__file__).parents[1] / "docs" / "statistics.md"
ENTITIES = np.array([86, 203, 237, 130, 51, 16])
"""How many of Twitter-2017's 723 test sentences have 0, 1, … gold entities."""
RECALL = 0.835
WRONG = 0.8  # of the misses, so many leave a wrong entity
SPURIOUS = 0.04  # of the candidates, so many are found
SENTENCE = 0.3  # of the shared difficulty, so much is the sentence's

SENTENCES = (200, 723, 3257)
NOISE = (0.0, 0.5, 1.0, 2.5)
SEEDS = (2, 3, 5, 10)


@dataclass(frozen=True)
class World:
    """What the difficulty of an entity for a run is made of; the three shares add up to 1."""

    shared: float
    system: float
    run: float


MEASURED = World(0.90, 0.05, 0.05)
SAME = World(0.95, 0.0, 0.05)
UNLIKE = World(0.6, 0.2, 0.2)


def draw(
    rng: np.random.Generator,
    sentences: int,
    noise: Sequence[float],
    seeds: int = max(SEEDS),
    world: World = MEASURED,
    correlation: float = 0.0,
    better: float = 0.0,
) -> list[Counts]:
    """Counts of systems on one test set.

    Args:
        noise: for each system, the sd of the expected F1 from seed to seed, in points.
        correlation: of the seeds' effects between systems.
        better: how much the last system's expected F1 is above that of the others, in points.
    """
    gold = rng.choice(len(ENTITIES), sentences, p=ENTITIES / ENTITIES.sum())
    items = gold + 1  # the first of a sentence is the candidate for a false entity
    starts = np.concatenate([[0], np.cumsum(items)[:-1]])
    real = np.ones(items.sum(), dtype=bool)
    real[starts] = False

    def normal(share: float, *size: int) -> np.ndarray:
        return np.float32(share**0.5) * rng.standard_normal(size, dtype=np.float32)

    total = len(real)
    shared = np.repeat(normal(world.shared * SENTENCE, sentences), items)
    shared += normal(world.shared * (1 - SENTENCE), total)
    wrong = real & (rng.random(total, dtype=np.float32) < WRONG)
    common, answer = rng.standard_normal(seeds), []
    for place, sd in enumerate(noise):
        own = correlation**0.5 * common + (1 - correlation) ** 0.5 * rng.standard_normal(seeds)
        shift = (sd * own + better * (place == len(noise) - 1)) / 100
        limit = ndtri(np.clip(RECALL + shift, 0.01, 0.99)).astype(np.float32)[:, None]
        hard = shared + normal(world.system, total) + normal(world.run, seeds, total)
        hit = hard < np.where(real, limit, np.float32(ndtri(SPURIOUS)))
        both = (hit | wrong, hit & real)
        predicted, correct = (
            np.add.reduceat(each.view(np.int8), starts, axis=1, dtype=np.int32) for each in both
        )
        wanted = np.broadcast_to(gold, (seeds, sentences))
        answer.append(np.stack([wanted, predicted, correct], axis=2).astype(float))
    return answer


def alarms(
    rng: np.random.Generator,
    replications: int,
    sentences: int,
    noise: tuple[float, float],
    seeds: Sequence[tuple[int, int]],
    **world: object,
) -> tuple[dict[tuple[int, int], float], dict[tuple[int, int], float]]:
    """By numbers of seeds of A and B: the percentage of false alarms, and the median of what can
    be detected."""
    called, reach = ({each: [] for each in seeds} for _ in range(2))
    for _ in range(replications):
        a, b = draw(rng, sentences, noise, max(map(max, seeds)), **world)  # type: ignore[arg-type]
        for ours, theirs in seeds:
            found = interval(a[:ours], b[:theirs], same_seeds=ours == theirs)
            assert isinstance(found, Interval), found
            called[ours, theirs].append(found.separate)
            reach[ours, theirs].append(found.detectable)
    return (
        {each: 100 * float(np.mean(known)) for each, known in called.items()},
        {each: float(np.median(known)) for each, known in reach.items()},
    )


def run_alarms(
    rng: np.random.Generator, replications: int, sentences: int, sd: float, seeds: int = 3
) -> float:
    """Percentage of false alarms where the test for these runs is taken to speak of systems."""
    pairs = (draw(rng, sentences, (sd, sd), seeds) for _ in range(replications))
    return 100 * float(np.mean([randomisation(a, b, rounds=199)[1] <= 0.05 for a, b in pairs]))


def tied(rng: np.random.Generator, replications: int, systems: int = 12) -> float:
    """In what percentage of tables of equal systems not all share a place."""
    apart = 0
    for _ in range(replications):
        places = ranks(draw(rng, 723, [1.0] * systems, 3), draws=1)
        apart += any(each is not None and each.place > 1 for each in places)
    return 100 * apart / replications


def grid(rng: np.random.Generator, replications: int) -> list[str]:
    """The main table: false alarms and, in brackets, what can be detected."""
    equal = [(k, k) for k in SEEDS]
    lines = [
        "| sentences | seed noise | "
        + " | ".join(f"{k} seeds" for k in SEEDS)
        + " | these runs, 3 seeds |",
        "|---" * (len(SEEDS) + 3) + "|",
    ]
    for sentences in SENTENCES:
        for sd in NOISE:
            rate, reach = alarms(rng, replications, sentences, (sd, sd), equal)
            cells = [f"{rate[each]:.1f} ({reach[each]:.1f})" for each in equal]
            runs = run_alarms(rng, replications, sentences, sd)
            lines.append(f"| {sentences:,} | {sd} | {' | '.join(cells)} | {runs:.1f} |")
    return lines


def others(rng: np.random.Generator, replications: int) -> list[str]:
    """Other worlds than the measured one, on 723 sentences."""
    equal = [(k, k) for k in SEEDS]
    lines = [
        "| world | seed noise of A, B | " + " | ".join(f"{k} seeds" for k in SEEDS) + " |",
        "|---" * (len(SEEDS) + 2) + "|",
    ]
    for name, noise, world in (
        *(("the same system twice", (sd, sd), {"world": SAME}) for sd in NOISE),
        *(("systems less alike", (sd, sd), {"world": UNLIKE}) for sd in NOISE),
        *((f"seeds correlate, {r}", (1.0, 1.0), {"correlation": r}) for r in (0.5, 0.9)),
        ("one system noisier", (0.5, 1.0), {}),
        ("one system noisier", (0.0, 2.5), {}),
    ):
        rate, _ = alarms(rng, replications, 723, noise, equal, **world)
        cells = " | ".join(f"{rate[each]:.1f}" for each in equal)
        lines.append(f"| {name} | {noise[0]}, {noise[1]} | {cells} |")
    unequal = [(2, 5), (3, 10), (5, 3)]
    rate, _ = alarms(rng, replications, 723, (1.0, 1.0), unequal)
    words = ", ".join(f"{a} against {b}: {rate[a, b]:.1f} %" for a, b in unequal)
    apart = tied(rng, replications // 2)
    return [
        *lines,
        "",
        f"Unequal numbers of seeds, noise of 1.0 each: {words}. Tables of twelve equal systems "
        f"with three seeds, noise of 1.0, in which not all share a rank: {apart:.1f} %.",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.false_alarms", description=__doc__)
    parser.add_argument("--replications", type=int, default=2000, metavar="N")
    parser.add_argument("--write", action="store_true", help="put the tables into the document")
    given = parser.parse_args(arguments)
    tables = {}
    for name, make in (("grid", grid), ("others", others)):
        tables[name] = "\n".join(make(np.random.default_rng(1), given.replications))
        print(tables[name], end="\n\n", flush=True)
    if given.write:
        text = read_text(DOCUMENT)
        for name, table in tables.items():
            head, mark, rest = text.partition(f"<!-- {name} -->\n")
            text = head + mark + table + "\n" + rest[rest.index("<!-- end -->") :]
        write_atomic(DOCUMENT, text)


if __name__ == "__main__":
    main()
