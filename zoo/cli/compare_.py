"""``zoo compare A B``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.compared import lines_of
from zoo.cli.options import JSON, MARGIN, print_json
from zoo.errors import ConfigError, DataError, near

if TYPE_CHECKING:
    from zoo.evaluation.counts import Keep, Runs
    from zoo.evaluation.systems import Interval
    from zoo.results.evidence import Run
    from zoo.results.record import RunRecord
    from zoo.types import Prediction

BY = ("type", "language", "seen", "width")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared: its predictions by seed, and what it is."""

    name: str
    runs: Runs
    facts: dict[str, Any] = field(default_factory=dict)


@click.command("compare")
@click.argument("a")
@click.argument("b")
@click.option("--dataset", metavar="DATASET", help="The dataset whose runs are compared.")
@click.option("--suite", metavar="SUITE", help="Only runs of this suite.")
@click.option(
    "--results",
    default="results",
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The results folder with the stored runs.",
)
@MARGIN
@click.option(
    "--by",
    multiple=True,
    type=click.Choice([*BY, "all"]),
    help="Compare each type, language or width of entities, or names seen in training and not, "
    "too. Repeatable.",
)
@JSON
def command(
    a: str,
    b: str,
    dataset: str | None,
    suite: str | None,
    results: Path,
    margin: float,
    by: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compare two systems on a test set: the difference in F1 (B less A) and how certain it is.

    A and B are each the name of a system (its runs without overrides), the id of a variant or a
    run (six characters suffice), the folder of a run, or a file of stored predictions. With two or
    more seeds of both, the interval speaks of the systems: other seeds, other sentences. The p of
    these runs speaks of the trained models alone.
    """
    sides = find_sides((a, b), dataset, suite, results)
    found = compare_sides(*sides, margin, by)
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(lines_of(found)))


def find_sides(
    names: tuple[str, str], dataset: str | None, suite: str | None, results: Path
) -> tuple[Side, Side]:
    """Raises ConfigError or DataError, one line, where a name does not say which runs are meant."""
    from zoo.evaluation.predictions import read_predictions
    from zoo.results.evidence import Known, check_stored, load
    from zoo.results.store import Store

    stored: list[Run] | None = None
    sides: list[Side] = []
    for name in names:
        path = Path(name)
        if path.is_file():
            check_stored(path)
            predictions = read_predictions(path)
            if not predictions:
                raise DataError(f"{name}: the file is empty; give stored predictions")
            sides.append(Side(name, {0: predictions}))
        elif (path / "run.json").is_file():
            sides.append(_side([load(path, Known(path))]))
        elif path.suffix == ".jsonl":
            raise DataError(f"{name}: no such file; give stored predictions, a run or a system")
        else:
            stored = Store(results).load_runs() if stored is None else stored
            if not stored:
                raise DataError(f"{name}: no such file, and {results} holds no stored runs")
            sides.append(_stored(name, stored, dataset, suite))
    for option, given in (("--dataset", dataset), ("--suite", suite)):
        if given is not None and stored is None:
            raise ConfigError(
                f"{option} {given}: chooses among stored runs, and A and B are files or folders; "
                "leave it out"
            )
    data = {side.facts["fingerprint"]: side.facts["dataset"] for side in sides if side.facts}
    if len(data) > 1:
        choose = dataset is None and stored is not None and len(set(data.values())) > 1
        remedy = "choose with --dataset" if choose else "compare runs on the same data"
        told = ", ".join(f"{name} {digest[:12]}" for digest, name in data.items())
        raise DataError(
            f"can't compare {sides[0].name} and {sides[1].name}: their runs were made from "
            f"different data ({told}); {remedy}"
        )
    return sides[0], sides[1]


def _stored(name: str, runs: Sequence[Run], dataset: str | None, suite: str | None) -> Side:
    """The runs of one variant of a system, or one run, in the store."""
    from zoo.results.listing import LEAST_ID

    if dataset is not None:
        known = {run.record.dataset for run in runs}
        if dataset not in known:
            raise ConfigError(f"--dataset {dataset}: no stored run on it{near(dataset, known)}")
        runs = [run for run in runs if run.record.dataset == dataset]
    if suite is not None:
        suites = {run.record.suite for run in runs if run.record.suite is not None}
        if suite not in suites:
            raise ConfigError(f"--suite {suite}: no stored run of it{near(suite, suites)}")
        # a run may first have been made by another suite: what counts is its variant
        of_suite = {(run.record.system, run.variant) for run in runs if run.record.suite == suite}
        runs = [run for run in runs if (run.record.system, run.variant) in of_suite]
    chosen = [run for run in runs if run.record.system == name]
    if not chosen and len(name) >= LEAST_ID:
        chosen = [run for run in runs if run.record.id.startswith(name)]
        chosen = chosen or [run for run in runs if run.variant.startswith(name)]
    if not chosen:
        systems = {run.record.system for run in runs}
        raise ConfigError(f"no stored run of `{name}`{near(name, systems)}")
    chosen.sort(key=lambda run: -len(run.record.overrides))  # of a variant the fewest are told
    variants = {run.variant: run.record for run in chosen}
    if len(variants) > 1:  # a system's name means the system as it stands in the registry
        plain = {key: record for key, record in variants.items() if not record.overrides}
        variants = plain if len(plain) == 1 else variants
    if len(variants) > 1:
        raise ConfigError(_several(name, variants))
    (variant,) = variants
    return _side([run for run in chosen if run.variant == variant])


def _several(name: str, variants: Mapping[str, RunRecord]) -> str:
    """Which variants a name may mean, by what tells them apart, and how to choose one."""
    from zoo.results.listing import LEAST_ID

    facts = {
        key: {
            "": record.dataset,
            "suite ": record.suite,
            "backbone ": record.backbone,
            "recipe ": record.recipe,
            "-o ": " -o ".join(record.overrides),
            "precision ": record.precision,
            "harness ": record.harness,
            "made ": record.started.date().isoformat(),
        }
        for key, record in variants.items()
    }
    telling: list[str] = []  # the first facts that tell all of them apart
    for word in next(iter(facts.values())):
        apart = {tuple(each[w] for w in telling) for each in facts.values()}
        if len(apart) < len(variants) and len({each[word] for each in facts.values()}) > 1:
            telling.append(word)
    ways = []
    for word, option in (("", "dataset"), ("suite ", "suite")):
        if word in telling:
            values = sorted({str(each[word]) for each in facts.values() if each[word]})
            ways.append(f"--{option} {'|'.join(values)}")
    size = next(
        n for n in range(LEAST_ID, 65) if len({key[:n] for key in variants}) == len(variants)
    )
    told = "; ".join(
        f"{key[:size]} ({', '.join(f'{w}{each[w]}' for w in telling if each[w]) or 'as it is'})"
        for key, each in sorted(facts.items())
    )
    choose = f"choose with {' or '.join(ways)}, or give" if ways else "give"
    return f"`{name}` has {len(variants)} variants; {choose} the id of one: {told}"


def _side(runs: Sequence[Run]) -> Side:
    from zoo.results.leaderboard import overrides
    from zoo.results.pools import Environment, largest

    runs, left_out = largest(runs)
    first = runs[0].record
    read: dict[int, Sequence[Prediction]] = {}
    for run in runs:
        if run.predictions is None:
            raise DataError(
                f"{first.system} on {first.dataset}: the predictions of seed {run.record.seed} "
                "are withheld; they can't be compared"
            )
        read[run.record.seed] = run.predictions
    facts = {
        "dataset": first.dataset,
        "fingerprint": first.data_fingerprint,
        "variant": runs[0].variant,
        "overrides": list(overrides(runs)),
        "seeds": sorted(read),
        "environment": Environment.of(runs[0]).told,
        "left_out": left_out,
    }
    return Side(first.system, read, facts)


def compare_sides(a: Side, b: Side, margin: float, by: Sequence[str] = ()) -> dict[str, Any]:
    """All that the verb says, ready for JSON. Raises DataError where the sentences differ."""
    from zoo.evaluation.counts import counts, flips
    from zoo.evaluation.significance import holm, randomisation
    from zoo.evaluation.systems import Interval, influence, interval

    same = a.runs.keys() == b.runs.keys() and bool(a.facts and b.facts)
    remarks = _remarks(a, b)
    keeps = _parts([a.runs, b.runs], by, remarks)
    rows: list[dict[str, Any]] = []
    sentences = len(next(iter(a.runs.values())))
    for of, name, keep in ((None, "all", None), *keeps):
        left, right = counts(a.runs, b.runs, keep=keep)
        found = interval(left, right, same_seeds=same)
        f1 = [float(influence(each).mean()) if each.shape[1] else 0.0 for each in (left, right)]
        rows.append(
            {
                "by": of,
                "name": name,
                "sentences": sentences,
                "samples": left.shape[1],
                "gold": int(left[0, :, 0].sum()),
                "f1": f1,
                "delta": f1[1] - f1[0],
                **(_figures(found, margin) if isinstance(found, Interval) else {"why_not": found}),
            }
        )
    corrected = holm([row.get("p") for row in rows])
    for row, p in zip(rows, corrected, strict=True):
        row["p_holm"] = p
    # single runs are paired whatever their seeds; several by seed
    alone = len(a.runs) == len(b.runs) == 1
    common = sorted(a.runs.keys() & b.runs.keys())
    runs: dict[str, Any] | None = None
    if alone or common:
        one, two = (r.runs if alone else {k: r.runs[k] for k in common} for r in (a, b))
        left, right = counts(one, two)
        delta, p = randomisation(left, right)
        runs = {"delta": delta, "p": p, "seeds": [] if alone else common}
    changed = flips(a.runs, b.runs)
    return {
        "a": {"name": a.name, **a.facts},
        "b": {"name": b.name, **b.facts},
        **rows[0],
        "remarks": remarks,
        "margin": margin,
        "these_runs": runs,
        "only_a": _flips(changed.entities[0], changed.sentences[0]),
        "only_b": _flips(changed.entities[1], changed.sentences[1]),
        "by": rows[1:],
    }


def _remarks(a: Side, b: Side) -> list[str]:
    """What of the two sides beside the systems differs, or was left out."""
    said = [side.facts["left_out"] for side in (a, b) if side.facts.get("left_out")]
    one, two = (side.facts.get("environment") for side in (a, b))
    if one and two and one != two:
        said.append(f"A and B were made in different environments ({one}; {two})")
    return said


def _figures(found: Interval, margin: float) -> dict[str, Any]:
    return {
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "se": found.se,
        "df": found.df if found.se else None,
        "paired_seeds": found.paired,
        "detectable": found.detectable,
        "no_difference": found.within(margin),
    }


def _flips(entities: Iterable[tuple[str, Any]], sentences: list[str]) -> dict[str, Any]:
    return {"entities": [[id, *entity] for id, entity in entities], "sentences": sentences}


def _parts(
    systems: Sequence[Runs], by: Sequence[str], remarks: list[str]
) -> list[tuple[str, str, Keep]]:
    """What ``--by`` compares: of each kind the parts that the gold entities have.

    Of ``all``, a kind of which the files do not say the same is a remark.
    """
    from zoo.evaluation.counts import part, parts

    answer: list[tuple[str, str, Keep]] = []
    for each in BY if "all" in by else dict.fromkeys(by):
        try:
            names = parts(systems, each)
        except DataError as error:
            if "all" not in by:
                raise
            remarks.append(f"left out: {error}")
            continue
        if not names and "all" not in by:
            lacking = "no language" if each == "language" else "not which entities training showed"
            raise DataError(f"--by {each}: the predictions name {lacking}")
        answer += [(each, name, part(each, name)) for name in names]
    return answer
