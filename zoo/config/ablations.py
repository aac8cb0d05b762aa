"""Ablations: a base system and its arms, each a list of dotted overrides, as ordinary runs.

    alignment_level:
      base: 2m-ner                        # or several: one comparison each
      arms:
        none: {aligner: null}
        smner: {system: smner}            # starts from another system
        short: {recipe.epochs: 2}         # `recipe.…` and `dataset.…`; other paths: the system's
      grid: {aligner.level: [sentence, token], aligner.objective: [nt_xent, info_nce]}
      leave_one_out: [aligner, views.patch]
      across: {dataset.irrelevant: [0, 0.5]}     # the whole comparison once for each value

``datasets``, ``seeds``, ``backbone`` and ``recipe`` are by default those of a suite. An
arm's path means what ``-o systems.BASE.path=value`` means; a mapping is laid over what is there,
as by ``extends``. All arms are validated whenever the registry is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import Field

from zoo.config.read import Config, Plan, Recipe, Suite, assign, repeated, unknown_names
from zoo.errors import ConfigError, near
from zoo.schema import PartSpec, Strict, place, validate, validate_part
from zoo.yaml import Node, merge, plain

BASE = "base"
"""What the base is called in tables."""

Names = Annotated[list[str], Field(min_length=1)]
Values = Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]


class Ablation(Strict):
    """An entry of the section ``ablations``, as written."""

    base: str | Names
    description: str = ""
    datasets: Names | None = None
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    backbone: str | None = None
    recipe: str | None = None
    arms: Annotated[dict[str, dict[str, Any]], Field(min_length=1)] | None = None
    grid: Values | None = None
    leave_one_out: Names | None = None
    across: Values | None = None


@dataclass(frozen=True)
class Arm:
    """One variant: its name, its plan under the first seed, the overrides that make it."""

    name: str
    plan: Plan
    overrides: tuple[str, ...]

    @cached_property
    def settings(self) -> tuple[object, ...]:
        """What its runs depend on but for the seed: of equal arms, equal."""
        plan = self.plan
        return plan.system.resolved(), plan.recipe, plan.reader.resolved()


@dataclass(frozen=True)
class Comparison:
    """What is compared with each other: a base and its arms on one dataset.

    Args:
        base: the base system's name.
        across: what holds throughout, as in `irrelevant=0.5`; "" where nothing is varied.
        arms: the base first. An arm that equals the base is not there again: the base's name
            tells of it.
    """

    ablation: str
    base: str
    dataset: str
    across: str
    arms: tuple[Arm, ...]

    @property
    def title(self) -> str:
        varied = f", {self.across}" if self.across else ""
        return f"{self.ablation}: {self.base} on {self.dataset}{varied}"


@dataclass(frozen=True)
class Study:
    """A valid ablation."""

    name: str
    description: str
    seeds: tuple[int, ...]
    comparisons: tuple[Comparison, ...]

    def plans(self) -> list[Plan]:
        """By comparison, arm and seed."""
        return [
            replace(arm.plan, seed=seed)
            for comparison in self.comparisons
            for arm in comparison.arms
            for seed in self.seeds
        ]


class Change(NamedTuple):
    """A path, the value it gets, and where that is written."""

    path: str
    value: Any
    where: str


class Draft(NamedTuple):
    """An arm as written: its name, where it stands, its changes."""

    name: str
    path: tuple[str, ...]
    changes: tuple[Change, ...]


def studies(
    config: Config, names: Sequence[str], suite: str | None, problems: list[str]
) -> dict[str, Study]:
    """A registry's ablations by name; what is wrong goes to ``problems``, one line each.

    Args:
        names: those that are wanted.
        suite: whose datasets, seeds, backbone and recipe are taken where an ablation does not say;
            None: the first one's.
    """
    answer: dict[str, Study] = {}
    for name in names:
        node = config.root["ablations"][name]
        before, path = len(problems), ("ablations", name)
        ablation = validate(Ablation, plain(node), path, config.root, problems)
        if ablation is None or not config.suites:
            continue
        problems += _wrong_names(config.root, path, ablation)
        drafts, points = _drafts(path, node), _points(path, node)
        problems += _wrong_drafts(config.root, drafts)
        cells = _cells(ablation, config.suites[suite or next(iter(config.suites))])
        if len(problems) > before or not _ready(config, cells):
            continue
        comparisons = [
            _comparison(_Ground(config, name, cells, base, dataset), point, drafts, problems)
            for dataset in cells.datasets
            for base in cells.systems
            for point in points
        ]
        found = tuple(comparison for comparison in comparisons if comparison is not None)
        problems += _equal_points(config.root, path, found)
        answer[name] = Study(name, ablation.description, tuple(cells.seeds), found)
    return answer


def _cells(ablation: Ablation, suite: Suite) -> Suite:
    """The bases, datasets and so on, as a suite; what is not said is that of the given one."""
    said = {
        "systems": [ablation.base] if isinstance(ablation.base, str) else ablation.base,
        "datasets": ablation.datasets,
        "seeds": ablation.seeds,
        "backbone": ablation.backbone,
        "recipe": ablation.recipe,
    }
    return suite.model_copy(update={key: value for key, value in said.items() if value})


def _wrong_names(root: Node, path: tuple[str, ...], ablation: Ablation) -> list[str]:
    """What an ablation names that does not exist or names twice, or its own bad name."""
    sections = {"base": "systems", "datasets": "datasets", "backbone": "backbones"}
    problems = unknown_names(root, path, ablation, [*sections.items(), ("recipe", "recipes")])
    problems += repeated(root, path, ablation, ("base", "datasets", "seeds"))
    name = path[-1]
    if not name or name.startswith(".") or "/" in name or "\\" in name:
        problems.append(
            f"{place(root, path)}: `{name}` can't name a file: it must not be empty, start with a "
            "dot or hold a slash; choose another"
        )
    if not (ablation.arms or ablation.grid or ablation.leave_one_out):
        problems.append(
            f"{place(root, path)}: nothing is compared; add `arms`, `grid` or `leave_one_out`"
        )
    return problems


def _ready(config: Config, cells: Suite) -> bool:
    """Whether all that an ablation rests on is valid; what is not has left its problem already."""
    return (
        config.systems.keys() >= set(cells.systems)
        and config.datasets.keys() >= set(cells.datasets)
        and cells.backbone in config.backbones
        and cells.recipe in config.recipes
    )


def _equal_points(
    root: Node, path: tuple[str, ...], comparisons: Sequence[Comparison]
) -> list[str]:
    """Values of ``across`` under which a base is the same."""
    problems = []
    for i, one in enumerate(comparisons):
        for other in comparisons[:i]:
            same = (one.base, one.dataset) == (other.base, other.dataset)
            if same and one.arms[0].settings == other.arms[0].settings:
                problems.append(
                    f"{place(root, (*path, 'across'))}: `{other.across}` and `{one.across}` are "
                    f"the same under {one.base}; remove one"
                )
    return problems


# What is written, in one form ---------------------------------------------------------------------


def _drafts(path: tuple[str, ...], node: Node) -> list[Draft]:
    """The arms of ``arms``, ``grid`` and ``leave_one_out``."""
    drafts = [
        Draft(
            name, (*path, "arms", name), tuple(Change(k, v, arm.where[k]) for k, v in arm.items())
        )
        for name, arm in (node.get("arms") or {}).items()
    ]
    if node.get("grid"):
        drafts += [
            Draft(assigned(changes), (*path, "grid"), changes) for changes in _product(node["grid"])
        ]
    for gone in node.get("leave_one_out") or ():
        change = Change(gone, None, node.where["leave_one_out"])
        drafts.append(Draft(f"without {gone}", (*path, "leave_one_out"), (change,)))
    return drafts


def _points(path: tuple[str, ...], node: Node) -> list[Draft]:
    """The base at every point of ``across``; at the one point there is without."""
    return [
        Draft(BASE, (*path, "across"), changes)
        for changes in _product(node.get("across") or Node())
    ]


def _product(lists: Node) -> list[tuple[Change, ...]]:
    """Every combination of one value a path, the first path slowest."""
    choices = [[Change(k, v, lists.where[k]) for v in values] for k, values in lists.items()]
    return list(product(*choices))


def assigned(changes: Sequence[Change]) -> str:
    """``level=token objective=nt_xent``: the paths' last steps, in full where two are the same."""
    last = [change.path.rpartition(".")[2] for change in changes]
    return " ".join(
        f"{step if last.count(step) == 1 else change.path}={flow(change.value)}"
        for step, change in zip(last, changes, strict=True)
    )


def flow(value: Any) -> str:
    """A value as YAML in one line, as ``-o`` takes it."""
    text: str = yaml.safe_dump(
        plain(value),
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=float("inf"),
    )
    return text.removesuffix("...\n").strip()


def _wrong_drafts(root: Node, drafts: Sequence[Draft]) -> list[str]:
    names = [draft.name for draft in drafts]
    problems = [
        f"{place(root, draft.path)}: there is an arm `{draft.name}` already; remove one"
        for i, draft in enumerate(drafts)
        if draft.name in names[:i]
    ]
    return problems + [
        f"{place(root, draft.path)}: an arm can't be called `{draft.name}`; choose another name"
        for draft in drafts
        if draft.name in (BASE, "")
    ]


# From what is written to plans --------------------------------------------------------------------


@dataclass(frozen=True)
class _Ground:
    """What the arms of one comparison have in common."""

    config: Config
    name: str
    cells: Suite
    base: str
    dataset: str


def _comparison(
    ground: _Ground, point: Draft, drafts: Sequence[Draft], problems: list[str]
) -> Comparison | None:
    """A base and its arms at one point of ``across``; None where the base itself is wrong."""
    try:
        if not point.changes:
            ground.config.spec(ground.base, ground.cells.backbone)
        base = _arm(ground, point)
    except ConfigError as error:
        problems += error.problems
        return None
    arms: list[Arm] = []
    equal = [BASE]
    for draft in drafts:
        try:
            arm = _arm(ground, draft._replace(changes=(*point.changes, *draft.changes)))
        except ConfigError as error:
            problems += error.problems
            continue
        twin = next((other for other in arms if other.settings == arm.settings), None)
        if arm.settings == base.settings:
            equal.append(arm.name)
        elif twin is not None:
            problems.append(
                f"{place(ground.config.root, draft.path)}: the arms `{twin.name}` and "
                f"`{arm.name}` are the same under {ground.base}; remove one"
            )
        else:
            arms.append(arm)
    base = replace(base, name=" = ".join(equal))
    across = assigned(point.changes)
    return Comparison(ground.name, ground.base, ground.dataset, across, (base, *arms))


def _arm(ground: _Ground, draft: Draft) -> Arm:
    """An arm's plan. Raises ConfigError naming the arm."""
    config, cells = ground.config, ground.cells
    at, system = ".".join(draft.path), ground.base
    for path, value, where in draft.changes:
        if path == "system":
            if not isinstance(value, str) or value not in config.systems:
                raise ConfigError(
                    f"{at} ({where}): unknown system `{value}`{near(value, config.systems)}"
                )
            system = value
    names = {"systems": system, "recipes": cells.recipe, "datasets": ground.dataset}
    nodes = {section: config.root[section][name] for section, name in names.items()}
    nodes["systems"] = config.systems[system]  # with all that it extends
    overrides = []
    for path, value, where in draft.changes:
        if path != "system":
            section, inner = _target(path, f"{at} ({where})")
            steps = (section, names[section], *inner)
            changed = Node()
            assign(changed, nodes[section], steps, value, where, f"{at} ({where})")
            nodes[section] = merge(nodes[section], changed)
            # as merged: where it is laid over a mapping, ``-o`` would put it in its place
            overrides.append(f"{'.'.join(steps)}={flow(_at(nodes[section], inner))}")
    try:
        spec = config.variant(system, cells.backbone, nodes["systems"])
        reader = _reader(config, ground.dataset, nodes["datasets"])
        recipe = _recipe(config, cells.recipe, nodes["recipes"])
        # what gives a setting the value that it has already is no change, and not to be told as one
        differs = {
            "systems": spec.resolved() != config.spec(system, cells.backbone).resolved(),
            "datasets": reader.resolved() != config.datasets[ground.dataset].resolved(),
            "recipes": recipe != config.recipes[cells.recipe],
        }
        overrides = [each for each in overrides if differs[each.partition(".")[0]]]
        plan = Plan(
            f"ablation:{ground.name}",
            spec,
            ground.dataset,
            reader,
            cells.seeds[0],
            cells.recipe,
            recipe,
            (*config.overrides, *overrides),
        )
    except ConfigError as error:
        line = draft.changes[-1].where if draft.changes else ""
        raise ConfigError(
            *(
                f"{at}: {problem}" if line in problem else f"{at} ({line}): {problem}"
                for problem in error.problems
            )
        ) from None
    return Arm(draft.name, plan, tuple(overrides))


def _target(path: str, at: str) -> tuple[str, list[str]]:
    """The section that a path of an arm leads into, and the steps inside."""
    steps = path.split(".")
    section = {"recipe": "recipes", "dataset": "datasets"}.get(steps[0], "systems")
    inner = steps if section == "systems" else steps[1:]
    if not inner or not all(inner):
        raise ConfigError(f"{at}: `{path}` is no path; write e.g. aligner.level or recipe.epochs")
    if inner == ["extends"]:
        raise ConfigError(
            f"{at}: an arm can't change `extends`; to start from another system, write "
            "`system: NAME`"
        )
    return section, inner


def _at(node: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        node = node[step]
    return node


def _recipe(config: Config, name: str, node: Node) -> Recipe:
    if node is config.root["recipes"][name]:
        return config.recipes[name]
    problems: list[str] = []
    recipe = validate(
        Recipe, plain(node), ("recipes", name), _rooted(config, "recipes", name, node), problems
    )
    if problems:
        raise ConfigError(*problems)
    assert isinstance(recipe, Recipe)
    return recipe


def _reader(config: Config, name: str, node: Node) -> PartSpec:
    if node is config.root["datasets"][name]:
        return config.datasets[name]
    problems: list[str] = []
    root = _rooted(config, "datasets", name, node)
    reader = validate_part("reader", node, ("datasets", name), root, problems)
    if reader is None:
        raise ConfigError(*problems)
    return reader


def _rooted(config: Config, section: str, name: str, node: Node) -> Node:
    """A tree in which only this stands, for messages to find its lines in."""
    root = Node()
    root.put(section, Node(), "")
    root[section].put(name, node, config.root[section].where[name])
    return root
