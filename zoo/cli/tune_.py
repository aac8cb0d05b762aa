"""``zoo tune``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zoo.cli.options import Execution, Source, execution, many, source, stdout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zoo.results.tables import Table
    from zoo.runs.tuning import Choice

Positive = click.FloatRange(0, min_open=True)
Share = click.FloatRange(0, 1, min_open=True)


@click.command("tune")
@source()
@click.option("--suite", metavar="SUITE", help="The suite to tune (default: the first one).")
@many("system", "Only this system (any of the registry's). Repeatable.")
@many("dataset", "Only this dataset. Repeatable.")
@click.option(
    "--factor",
    "factors",
    multiple=True,
    type=Positive,
    help="What the recipe's learning rates are multiplied by. Repeatable (default: 0.1, 0.3, 1, "
    "3).",
)
@click.option("--share", type=Share, help="Share of the training sentences (default: a third).")
@click.option("--epochs", type=Share, help="Share of the recipe's epochs (default: a half).")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Of every trial (default: 0).")
@execution()
def command(
    suite: str | None,
    systems: tuple[str, ...],
    datasets: tuple[str, ...],
    factors: tuple[float, ...],
    share: float | None,
    epochs: float | None,
    seed: int | None,
    source: Source,
    execution: Execution,
) -> int:
    """Find learning rates for each system and dataset of a suite, on the dev split.

    All get the same budget. The test split is not read. What is chosen is written to
    results/tuning/; `zoo run --tuned` trains with it.
    """
    from dataclasses import replace

    from zoo.cli.execute import carry_out, choose_suite
    from zoo.cli.report import make_console

    console = execution.console()
    config = source.load()
    choose_suite(config, suite, source.root, console)
    plans = config.plan(suite, systems, datasets)

    from zoo.errors import ConfigError
    from zoo.results.store import Store
    from zoo.results.terminal import render
    from zoo.results.writers import to_json, write
    from zoo.runs import tuning
    from zoo.runs.datasets import dataset_key, load_datasets
    from zoo.runs.job import make_jobs

    if len(set(factors)) < len(factors):
        raise ConfigError("--factor: the same factor is given twice; remove one")
    given = {"factors": factors, "share": share, "epochs": epochs, "seed": seed}
    set_ones = {key: value for key, value in given.items() if value not in (None, ())}
    budget = replace(tuning.Budget(), **set_ones)  # type: ignore[arg-type]
    loaded = load_datasets(plans, source.root)
    small = {key: tuning.reduced(data, budget) for key, data in loaded.items()}
    jobs = make_jobs(tuning.trials(plans, budget), small)
    results = execution.store(source.registry)
    store = Store(results.root / tuning.FOLDER)
    if execution.dry_run:
        from zoo.cli.run_ import try_out

        return try_out(jobs, store, execution)
    failed = carry_out(jobs, store, console, execution)
    choices, count = [], len(budget.factors)
    for i, plan in enumerate(tuning.unique(plans)):
        mine = jobs[i * count : (i + 1) * count]
        if not all(map(store.complete, mine)):
            console.print(f"{plan.system.name} on {plan.dataset}: trials are missing", style="red")
            continue
        records = [store.read(job) for job in mine]
        found = [(r.dev.f1, r.id) for r in records if r.dev is not None]
        data = loaded[dataset_key(plan)]
        choices.append(tuning.choose(plan, data, budget, found))
        tuning.write_choice(results.root, plan, data, choices[-1])
    if choices:
        tables = tables_of(choices)
        write(tables, store.root, "tuning", "Learning rates, chosen on dev")
        if not execution.as_json:
            out = make_console()
            for table in tables:
                out.print(render(table))
        where = f"{store.root}/tuning.{{md,csv,tex,json}}, {store.root}/chosen/"
        console.print(where, highlight=False, markup=False, soft_wrap=True)
    if execution.as_json:
        click.echo(to_json(tables_of(choices)), file=stdout(), nl=False)
    return 1 if failed or len(choices) < len(tuning.unique(plans)) else 0


def tables_of(choices: Sequence[Choice]) -> list[Table]:
    """A table for each dataset: a row a system, a column a factor, the chosen rates last."""
    from zoo.results.tables import Column, Row, tabulate
    from zoo.yaml import flow

    tables = []
    for name in dict.fromkeys(choice.dataset for choice in choices):
        group = [choice for choice in choices if choice.dataset == name]
        budget = group[0].budget
        columns = [
            Column("system", "system"),
            Column("recipe", "recipe"),
            *(Column(f"x{factor:g}", f"× {factor:g}") for factor in budget["factors"]),
            Column("chosen", "chosen", digits=4),
            Column("learning_rates", "learning rates"),
        ]
        rows = [
            Row(
                (),
                system=choice.system,
                recipe=choice.recipe,
                **{f"x{trial.factor:g}": trial.dev_f1 for trial in choice.trials},
                chosen=next(
                    f"× {trial.factor:g}"
                    for trial in choice.trials
                    if trial.learning_rates == choice.learning_rates
                ),
                learning_rates=flow(choice.learning_rates),
            )
            for choice in group
        ]
        notes = [
            f"Data {group[0].data_fingerprint[:12]}. Dev F1 of the best epoch, one seed "
            f"({budget['seed']}), {budget['share']:.0%} of the training sentences, "
            f"{budget['epochs']:.0%} of the epochs, for the recipe's learning rates times each "
            "factor. The test split was not read."
        ]
        facts = {"dataset": name, "fingerprint": group[0].data_fingerprint}
        tables.append(tabulate(name, columns, rows, facts, notes))
    return tables
