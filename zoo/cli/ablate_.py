"""``zoo ablate``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.options import MARGIN, Execution, Source, execution, many, print_json, seeds, source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zoo.config.config import Config
    from zoo.config.specs import Comparison, Study
    from zoo.results.ablations import Comparison as Compared
    from zoo.results.evidence import Run
    from zoo.results.store import Store
    from zoo.runs.job import Job

    Comparisons = dict[Comparison, dict[str, list[Job]]]  # by arm


OF_SUITE = ("datasets", "seeds", "backbone", "recipe")
"""What an ablation takes from a suite, unless it names its own."""


@click.command("ablate")
@source()
@many("ablation", "Only this ablation. Repeatable.")
@click.option(
    "--suite",
    metavar="SUITE",
    help="Take datasets, seeds, backbone and recipe from this suite (default: the first one); "
    "what an ablation names itself stays.",
)
@seeds("Make runs of this seed only. Repeatable.")
@MARGIN
@execution()
def command(
    ablations: tuple[str, ...],
    suite: str | None,
    seeds: tuple[int, ...],
    margin: float,
    source: Source,
    execution: Execution,
) -> int:
    """Compare the arms of REGISTRY's ablations with their bases; print and write the tables."""
    from zoo.cli.execute import choose_suite
    from zoo.cli.report import make_console

    console = execution.console()
    config = source.load()
    known = choose_suite(config, suite, source.root, console)
    studies = choose(config, ablations, suite or (config.path.stem if config.own else None))
    for study in studies if suite else ():
        written = config.written[study.name]
        if own := [each for each in OF_SUITE if getattr(written, each)]:
            kept = f"{study.name} keeps its own {', '.join(own)}; the rest is that of {suite}"
            console.print(kept, highlight=False, markup=False, soft_wrap=True)

    from zoo.cli.execute import carry_out
    from zoo.results.ablations import ablation_tables
    from zoo.results.overlaps import with_overlaps
    from zoo.results.plots import write_plot
    from zoo.results.statistics import Statistics
    from zoo.results.terminal import render
    from zoo.results.writers import as_plain, write
    from zoo.runs.datasets import load_datasets
    from zoo.runs.job import make_jobs, pending

    wider = [
        (study, [plan.under(seed) for plan in study.arms for seed in {**dict.fromkeys(study.seeds),
                                                                     **dict.fromkeys(seeds)}])
        for study in studies
    ]  # fmt: skip
    store = execution.store(source.registry)
    loaded = load_datasets([plan for _, plans in wider for plan in plans], source.root, known)
    sorted_out = [(study, by_arm(make_jobs(plans, loaded))) for study, plans in wider]
    jobs = [job for _, found in sorted_out for arms in found.values() for runs in arms.values()
            for job in runs]  # fmt: skip
    chosen = unique(jobs, store)
    wanted = [job for job in chosen.values() if not seeds or job.seed in seeds]
    if execution.dry_run:
        todo = pending(wanted, store, execution.rerun)
        return list_arms(sorted_out, wanted, todo, execution.as_json)
    failed = carry_out(wanted, store, console, execution)
    out, made = make_console(), dict[str, list[dict[str, Any]]]()
    folder, statistics = store.root / "ablations", Statistics(store.root)
    for study, comparisons in sorted_out:
        compared = outcomes_of(comparisons, config, store)
        tables = with_overlaps(ablation_tables(compared, margin, statistics), store.root)
        heading = f"{study.name}: {study.description}" if study.description else study.name
        name = f"{study.name}-{suite}" if suite else study.name
        write(tables, folder, name, heading)
        write_plot(tables, folder, name)
        made[study.name] = as_plain(tables)
        if not execution.as_json:
            for table in tables:
                out.print(render(table))
        where = f"{folder}/{name}.{{md,csv,tex,json,png,svg}}"
        console.print(where, highlight=False, markup=False, soft_wrap=True)
    statistics.save()
    if execution.as_json:
        print_json({"ablations": made})
    return 1 if failed else 0


def choose(config: Config, names: Sequence[str], suite: str | None) -> list[Study]:
    """The ablations asked for, all where none is. Raises ConfigError: there is none."""
    from zoo.config.ablations import set_out
    from zoo.errors import ConfigError

    if not config.written:
        raise ConfigError(f"{config.path}: no section `ablations`; docs/design.md shows one")
    if suite is not None or not all(name in config.ablations for name in names or config.written):
        set_out(config, names, suite)
    return [config.ablations[name] for name in dict.fromkeys(names or config.written)]


def unique(jobs: Sequence[Job], store: Store) -> dict[str, Job]:
    """By id, one job for all that are the same run under several systems' names."""
    chosen: dict[str, Job] = {}
    for job in jobs:
        if job.id not in chosen or (store.complete(job) and not store.complete(chosen[job.id])):
            chosen[job.id] = job
    return chosen


def by_arm(jobs: Sequence[Job]) -> Comparisons:
    """An ablation's jobs by comparison and arm, in the order of its plans."""
    found: Comparisons = {}
    for job in jobs:
        assert job.plan.arm is not None, "an ablation's plans have an arm"
        found.setdefault(job.plan.arm.comparison, {}).setdefault(job.plan.arm.name, []).append(job)
    return {comparison: _merged(comparison, arms) for comparison, arms in found.items()}


def _merged(comparison: Comparison, arms: dict[str, list[Job]]) -> dict[str, list[Job]]:
    """The arms whose runs differ: one that is the base by its id stands in the base's name.

    Raises:
        ConfigError: two other arms are the same runs.
    """
    from zoo.errors import ConfigError

    base, *others = arms
    names, kept = [base], dict[str, str]()
    for name in others:
        variant = arms[name][0].variant
        if variant == arms[base][0].variant:
            names.append(name)
        elif kept.setdefault(variant, name) != name:
            raise ConfigError(
                f"ablations.{comparison.ablation}: the arms `{kept[variant]}` and `{name}` are "
                f"the same under {comparison.base}; remove one"
            )
    return {" = ".join(names): arms[base], **{name: arms[name] for name in kept.values()}}


def outcomes_of(comparisons: Comparisons, config: Config, store: Store) -> list[Compared]:
    """An ablation's comparisons, with the runs that are there."""
    from zoo.results.ablations import Comparison as Compared
    from zoo.results.ablations import Outcome

    found = []
    for comparison, arms in comparisons.items():
        facts = {**comparison._asdict(), "overrides": " ".join(config.overrides)}
        outcomes = [
            Outcome(name, jobs[0].data.fingerprint, _by_seed(jobs, store))
            for name, jobs in arms.items()
        ]
        facts = {key: fact for key, fact in facts.items() if fact}
        found.append(Compared(comparison.title, facts, outcomes))
    return found


def _by_seed(jobs: Sequence[Job], store: Store) -> Sequence[Run]:
    done = filter(store.complete, jobs)
    return store.load_runs(sorted(done, key=lambda job: job.seed))


def list_arms(
    studies: list[tuple[Study, Comparisons]],
    jobs: Sequence[Job],
    todo: Sequence[Job],
    as_json: bool,
) -> int:
    """``--dry-run``: build what would be run, list the arms with their overrides, and the runs."""
    from zoo.cli.report import make_console
    from zoo.data.findings import counted
    from zoo.runs.run import check

    check(todo, partial(click.echo, err=True))
    missing = {job.id for job in todo}
    lines, found = list[str](), list[dict[str, Any]]()
    for _, comparisons in studies:
        for comparison, arms in comparisons.items():
            seeds = [str(job.seed) for job in next(iter(arms.values()))]
            lines.append(
                f"{comparison.title}, {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}:"
            )
            found.append({"title": comparison.title, "seeds": [*map(int, seeds)], "arms": []})
            for name, runs in arms.items():
                arm, system = runs[0].plan.arm, runs[0].system
                count = sum(job.id in missing for job in runs)
                changes = " ".join(arm.overrides if arm else ()) or "as it is"
                told = {
                    "name": name,
                    "system": system,
                    "overrides": [*(arm.overrides if arm else ())],
                }
                found[-1]["arms"].append({**told, "runs": len(runs), "to_run": count})
                if system != comparison.base:
                    changes = f"{system}: {changes}"
                lines.append(f"  {name}: {changes}; {count} of {len(runs)} to run")
    lines.append(f"would run {len(missing)} of {counted(len(jobs), 'run', 'runs')}")
    if as_json:
        print_json({"comparisons": found, "would_run": len(missing), "runs": len(jobs)})
    else:
        make_console().print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    return 0
