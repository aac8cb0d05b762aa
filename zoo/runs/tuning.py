"""Tuning: the learning rates that suit a system on a dataset, found on its dev split alone.

Every system gets the same small budget: a few multiples of the recipe's learning rates, one seed, a
share of the training sentences, a share of the epochs. A trial is an ordinary run on other data,
made by the same engines and kept in a store of its own: it trains on part of the training split,
and the dev split stands in for the test split, which is not among its data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo.config.specs import Plan, Recipe
from zoo.data.fingerprint import fingerprint
from zoo.errors import ConfigError, DataError, first_problem
from zoo.files import read_text, write_atomic
from zoo.identity import HARNESS, configuration, digest, sources
from zoo.runs.datasets import Dataset, dataset_key

FOLDER = "tuning"
"""In the results folder: the trials' store, and what was chosen."""

NOTE = (
    "A trial of `zoo tune`: trained on part of the training split; what is called test here is the "
    "dev split again. The test split was not read."
)

Rates = dict[str, Annotated[float, Field(gt=0)]]


@dataclass(frozen=True)
class Budget:
    """What is spent on every system and dataset alike.

    Args:
        factors: what the recipe's learning rates are multiplied by, a trial each.
        seed: of every trial.
        share: of the training sentences.
        epochs: share of the recipe's epochs, rounded up.
    """

    factors: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    seed: int = 0
    share: float = 1 / 3
    epochs: float = 0.5


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Trial(_Strict):
    """One setting of the learning rates, and the best dev F1 of its epochs, in percent."""

    factor: float
    learning_rates: Rates
    dev_f1: float
    run: str


class Choice(_Strict):
    """What was found for a system (under a backbone and a recipe) on a dataset."""

    system: str
    backbone: str
    dataset: str
    recipe: str
    key: str
    data_fingerprint: str
    budget: dict[str, Any]
    learning_rates: Rates
    trials: list[Trial]


def reduced(data: Dataset, budget: Budget) -> Dataset:
    """The data of the trials: part of the training split, and the dev split twice.

    Which sentences are taken depends on their number alone; they keep their order. At least one of
    them has an entity.
    """
    train = data.splits["train"]
    count = max(1, round(len(train) * budget.share))
    order = Random(0).sample(range(len(train)), len(train))
    first = next(i for i in order if train[i].entities)
    chosen = {first, *[i for i in order if i != first][: count - 1]}
    dev = data.splits["dev"]
    splits = {"train": [train[i] for i in sorted(chosen)], "dev": dev, "test": dev}
    return Dataset(
        data.name, splits, fingerprint(splits), data.tags, None, notes=(*data.notes, NOTE)
    )


def trials(plans: Sequence[Plan], budget: Budget) -> list[Plan]:
    """Every plan once for each factor, with the budget's seed and share of epochs."""
    return [
        replace(plan, seed=budget.seed, recipe=_recipe(plan.recipe, factor, budget))
        for plan in unique(plans)
        for factor in budget.factors
    ]


def unique(plans: Sequence[Plan]) -> list[Plan]:
    """One plan of those that differ in their seed alone."""
    return list({(plan.system.name, dataset_key(plan)): plan for plan in plans}.values())


def _recipe(recipe: Recipe, factor: float, budget: Budget) -> Recipe:
    return recipe.model_copy(
        update={
            "learning_rates": scaled(recipe.learning_rates, factor),
            "epochs": max(1, math.ceil(recipe.epochs * budget.epochs)),
        }
    )


def scaled(rates: Mapping[str, float], factor: float) -> dict[str, float]:
    """Learning rates times a factor, to six digits."""
    return {pattern: float(f"{rate * factor:.6g}") for pattern, rate in rates.items()}


def choose(plan: Plan, data: Dataset, budget: Budget, found: Sequence[tuple[float, str]]) -> Choice:
    """The trial with the best dev F1; of equals, the one whose factor is nearest to 1.

    Args:
        found: for each factor of the budget, the dev F1 and the id of the run.
    """
    made = [
        Trial(
            factor=factor,
            learning_rates=scaled(plan.recipe.learning_rates, factor),
            dev_f1=f1,
            run=run,
        )
        for factor, (f1, run) in zip(budget.factors, found, strict=True)
    ]
    best = max(made, key=lambda trial: (trial.dev_f1, -abs(math.log(trial.factor))))
    return Choice(
        system=plan.system.name,
        backbone=plan.system.backbone,
        dataset=plan.dataset,
        recipe=plan.recipe_name,
        key=_key(plan, data),
        data_fingerprint=data.fingerprint,
        budget={
            "factors": list(budget.factors),
            "seed": budget.seed,
            "share": round(budget.share, 4),
            "epochs": budget.epochs,
        },
        learning_rates=best.learning_rates,
        trials=made,
    )


def _key(plan: Plan, data: Dataset) -> str:
    """Of what the choice depends on: settings, models, the source of the parts, the data. No names.

    Raises:
        ConfigError: a model that a part loads can't be found.
    """
    settings, _ = configuration(plan.system, plan.recipe)
    return digest([settings, sources(plan.system.classes), HARNESS, data.fingerprint])


def _path(root: Path, plan: Plan, data: Dataset) -> Path:
    name = f"{plan.system.name}-{_key(plan, data)[:12]}.json"
    return root / FOLDER / "chosen" / plan.dataset / name


def write_choice(root: Path, plan: Plan, data: Dataset, choice: Choice) -> Path:
    """Store what was chosen in a results folder; where."""
    path = _path(root, plan, data)
    text = json.dumps(choice.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    write_atomic(path, text)
    return path


def read_choice(root: Path, plan: Plan, data: Dataset) -> Choice | None:
    """What was chosen for the plan's system, recipe and data; None: it was not tuned.

    Raises:
        DataError: the file is broken, or about something else.
    """
    path = _path(root, plan, data)
    if not path.exists():
        return None
    try:
        choice = Choice.model_validate_json(read_text(path))
    except ValidationError as error:
        raise DataError(f"{path}: {first_problem(error)}; run `zoo tune` again") from None
    if choice.key != _key(plan, data):
        raise DataError(f"{path}: is about another system, recipe or dataset; delete it")
    return choice


def tuned(plans: Sequence[Plan], datasets: Mapping[str, Dataset], root: Path) -> list[Plan]:
    """The plans with the learning rates that were chosen for them.

    Raises:
        ConfigError: one line for each system and dataset that was not tuned; or they were not all
            tuned with the same budget.
    """
    answer, missing = list[Plan](), dict[str, None]()
    budgets: dict[str, str] = {}
    for plan in plans:
        choice = read_choice(root, plan, datasets[dataset_key(plan)])
        if choice is None:
            missing[
                f"--tuned: {plan.system.name} on {plan.dataset} has not been tuned with this "
                "recipe and data; first run `zoo tune` with the same file and -o, and --suite "
                f"{plan.suite} --system {plan.system.name} --dataset {plan.dataset}"
            ] = None
            continue
        spent = ", ".join(f"{key} {value}" for key, value in choice.budget.items())
        budgets.setdefault(spent, f"{plan.system.name} on {plan.dataset}")
        recipe = plan.recipe.model_copy(update={"learning_rates": dict(choice.learning_rates)})
        answer.append(replace(plan, recipe=recipe, recipe_name=f"{plan.recipe_name}, tuned"))
    if missing:
        raise ConfigError(*missing)
    if len(budgets) > 1:
        told = "; ".join(f"{which}: {spent}" for spent, which in budgets.items())
        raise ConfigError(
            f"--tuned: the systems were tuned with different budgets ({told}); run `zoo tune` "
            "again with one for all"
        )
    return answer
