"""Ablations: a base system and its arms, each a list of dotted overrides, as ordinary runs.

    alignment_level:
      base: 2m-ner                        # or several: one comparison each
      arms:
        none: {aligner: null}
        smner: {system: smner}            # starts from another system
        short: {recipe.epochs: 2}         # `recipe.…` and `dataset.…`; other paths: the system's
      grid: {aligner.level: [sentence, token], aligner.objective: [nt_xent, info_nce]}
      leave_one_out: [aligner, views.patch]
      controls: true                    # text only, plain attention, random vectors
      across: {dataset.irrelevant: [0, 0.5]}     # the whole comparison once for each value

``datasets``, ``seeds``, ``backbone`` and ``recipe`` are by default those of a suite. An
arm's path means what ``-o systems.BASE.path=value`` means: both go through
:func:`zoo.config.tree.override`. All arms are validated whenever the registry is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

from zoo.config import tree
from zoo.config.config import Config, Problems, read_system, unknown
from zoo.config.controls import NAMES, controls
from zoo.config.specs import Arm, Comparison, Plan, Recipe, Study, Suite
from zoo.errors import ConfigError, near
from zoo.schema import part_of, validated
from zoo.yaml import Node, Place, flow, place

_ABSENT = object()

BASE = "base"
"""What the base is called in tables."""

MOST = 10_000
"""Arms that an ablation may have."""


class Change(NamedTuple):
    """A path, the value it gets, and the line where that is written."""

    path: str
    value: Any
    line: str


class Draft(NamedTuple):
    """An arm as written: its name, where it stands, its changes."""

    name: str
    at: Place
    changes: tuple[Change, ...]
    left_out: str | None = None
    """The path that ``leave_one_out`` names."""


def set_out(config: Config, names: Iterable[str] = (), suite: str | None = None) -> None:
    """Plan ablations (all by default); what one does not say is that of a suite (the first one).

    Raises:
        ConfigError: one line for each problem.
    """
    problems = unknown("--ablation", names, config.written)
    problems += unknown("--suite", [] if suite is None else [suite], config.suites)
    if problems:
        raise ConfigError(*problems)
    cells = config.suites[next(iter(config.suites)) if suite is None else suite]
    with Problems() as wrong:
        for name in dict.fromkeys(names or config.written):
            with wrong.collected():
                config.ablations[name] = _study(config, name, cells)


def _study(config: Config, name: str, suite: Suite) -> Study:
    written, node = config.written[name], config.root["ablations"][name]
    said = {
        "systems": written.base,
        "datasets": written.datasets,
        "seeds": written.seeds,
        "backbone": written.backbone,
        "recipe": written.recipe,
    }
    cells = suite.model_copy(update={key: value for key, value in said.items() if value})
    drafts, points = _drafts(config, name, node), _points(config, name, node)
    arms: list[Plan] = []
    bases: dict[tuple[Any, ...], str] = {}
    with Problems() as problems:
        for dataset in cells.datasets:
            for base in cells.systems:
                for point in points:
                    with problems.collected():
                        found = _comparison(
                            _Ground(config, name, cells, base, dataset), point, drafts
                        )
                        key = (base, dataset, *_settings(found[0]))
                        twin = bases.setdefault(key, assigned(point.changes))
                        if twin != assigned(point.changes):
                            raise ConfigError(
                                f"{point.at}: `{twin}` and `{assigned(point.changes)}` are the "
                                f"same under {base}; remove one"
                            )
                        arms += found
    return Study(name, written.description, tuple(cells.seeds), tuple(arms))


# What is written, in one form ---------------------------------------------------------------------


def _drafts(config: Config, name: str, node: Node) -> list[Draft]:
    """The arms of ``arms``, ``grid`` and ``leave_one_out``. Raises ConfigError."""

    def at(*steps: str) -> Place:
        return place(config.root, ("ablations", name, *steps))

    drafts = [
        Draft(arm, at("arms", arm), _changes(changes))
        for arm, changes in (node.get("arms") or {}).items()
    ]
    if node.get("grid"):
        drafts += [
            Draft(assigned(each), at("grid"), each) for each in _product(node["grid"], at("grid"))
        ]
    for gone in node.get("leave_one_out") or ():
        where = at("leave_one_out")
        drafts.append(Draft(f"without {gone}", where, (Change(gone, None, where.line),), gone))
    if not drafts and not node.get("controls"):
        raise ConfigError(f"{at()}: nothing is compared; add `arms`, `grid` or `leave_one_out`")
    names = [draft.name for draft in drafts]
    problems = [
        f"{draft.at}: there is an arm `{draft.name}` already; remove one"
        for i, draft in enumerate(drafts)
        if draft.name in names[:i]
    ]
    problems += [
        f"{draft.at}: an arm can't be called `{draft.name}`; choose another name"
        for draft in drafts
        if draft.name in (BASE, "", *(NAMES if node.get("controls") else ()))
        or draft.name.startswith(f"{BASE} =")
        or not draft.name.isprintable()
    ]
    if problems:
        raise ConfigError(*problems)
    return drafts


def _changes(node: Node) -> tuple[Change, ...]:
    return tuple(Change(key, value, node.where[key].line) for key, value in node.items())


def _points(config: Config, name: str, node: Node) -> list[Draft]:
    """The base at every point of ``across``; at the one point there is without."""
    at = place(config.root, ("ablations", name, "across"))
    points = [Draft(BASE, at, each) for each in _product(node.get("across") or Node(), at)]
    names = [assigned(point.changes) for point in points]
    if twice := sorted({each for each in names if names.count(each) > 1}):
        raise ConfigError(f"{at}: `{twice[0]}` is given twice; remove one")
    return points


def _product(lists: Node, at: Place) -> list[tuple[Change, ...]]:
    """Every combination of one value a path, the first path slowest."""
    count = math.prod(map(len, lists.values()))
    if count > MOST:
        raise ConfigError(f"{at}: {count:,} combinations; at most {MOST:,} are possible")
    choices = [[Change(k, v, lists.where[k].line) for v in values] for k, values in lists.items()]
    return list(product(*choices))


def assigned(changes: Sequence[Change]) -> str:
    """``level=token objective=nt_xent``: the paths' last steps, in full where two are the same."""
    last = [change.path.rpartition(".")[2] for change in changes]
    return " ".join(
        f"{step if last.count(step) == 1 else change.path}={flow(change.value)}"
        for step, change in zip(last, changes, strict=True)
    )


# From what is written to plans --------------------------------------------------------------------


class _Ground(NamedTuple):
    """What the arms of one comparison have in common."""

    config: Config
    name: str
    cells: Suite
    base: str
    dataset: str


def _settings(plan: Plan) -> tuple[str, ...]:
    """What its runs depend on but for the seed: of equal arms, equal."""
    return repr(plan.system.resolved()), repr(plan.recipe), repr(plan.reader.resolved())


def _comparison(ground: _Ground, point: Draft, drafts: Sequence[Draft]) -> list[Plan]:
    """A base and its arms at one point of ``across``. Raises ConfigError."""
    if not point.changes:
        ground.config.spec(ground.base, ground.cells.backbone)
    across = assigned(point.changes)
    base = _plan(ground, point, across)
    names, arms = [BASE], dict[tuple[str, ...], Plan]()
    with Problems() as problems:
        for draft in [*_controls(ground, point, base), *drafts]:
            with problems.collected():
                whole = draft._replace(changes=(*point.changes, *draft.changes))
                plan = _plan(ground, whole, across)
                if _settings(plan) == _settings(base):
                    names.append(draft.name)
                elif (twin := arms.setdefault(_settings(plan), plan)) is not plan:
                    assert twin.arm is not None
                    raise ConfigError(
                        f"{draft.at}: the arms `{twin.arm.name}` and `{draft.name}` are the same "
                        f"under {ground.base}; remove one"
                    )
    assert base.arm is not None
    return [replace(base, arm=replace(base.arm, name=" = ".join(names))), *arms.values()]


def _controls(ground: _Ground, point: Draft, base: Plan) -> list[Draft]:
    """The arms that `controls: true` stands for, of the base as it is at a point of ``across``.

    Raises:
        ConfigError: the system has none.
    """
    config = ground.config
    if not config.written[ground.name].controls:
        return []
    at = place(config.root, ("ablations", ground.name, "controls"))
    root, _, _ = _changed(ground, point)
    return [
        Draft(name, at, tuple(Change(path, value, at.line) for path, value in changes))
        for name, changes in controls(root, base.system, at).items()
    ]


def _changed(ground: _Ground, draft: Draft) -> tuple[Node, str, list[str]]:
    """The registry under an arm's changes, the system that they are made to, and all as overrides.

    Raises:
        ConfigError: a change leads nowhere.
    """
    config, root = ground.config, ground.config.root
    at, system = ".".join(draft.at.path), ground.base
    for path, value, line in draft.changes:
        if path == "system":
            if not isinstance(value, str) or value not in config.systems:
                raise ConfigError(
                    f"{at} ({line}): unknown system `{value}`{near(value, config.systems)}"
                )
            system = value
    names = {"systems": system, "recipes": ground.cells.recipe, "datasets": ground.dataset}
    overrides: list[str] = []
    for path, value, line in draft.changes:
        if path != "system":
            section, inner = _target(path, f"{at} ({line})")
            empties = value is None and section == "systems" and inner in tree.SLOTS
            if empties and not tree.extended(root, system).get(inner):
                continue  # nothing is there already: such an arm is its base
            full = f"{section}.{names[section]}.{inner}"
            root = tree.override(root, full, value, line, f"{at} ({line})")
            overrides.append(f"{full}={flow(value)}")
    return root, system, overrides


def _plan(ground: _Ground, draft: Draft, across: str) -> Plan:
    """An arm's plan, under the first seed. Raises ConfigError naming the arm."""
    config, cells = ground.config, ground.cells
    root, system, overrides = _changed(ground, draft)
    at = ".".join(draft.at.path)
    try:
        spec, reader = config.specs.get((system, cells.backbone)), config.datasets[ground.dataset]
        recipe = config.recipes[cells.recipe]
        changed = {each.partition(".")[0] for each in overrides}
        if "systems" in changed or spec is None:
            spec = read_system(root, system, cells.backbone)
        if "datasets" in changed:
            reader = validated(part_of("reader"), *_entry(root, "datasets", ground.dataset))
        if "recipes" in changed:
            recipe = validated(Recipe, *_entry(root, "recipes", cells.recipe))
    except ConfigError as error:
        line = draft.changes[-1].line if draft.changes else ""
        raise ConfigError(
            *(
                f"{at}: {problem}" if line in problem else f"{at} ({line}): {problem}"
                for problem in error.problems
            )
        ) from None
    # what gives a setting the value that it has already is no change, and not to be told as one
    same = {
        "systems": "systems" in changed
        and spec.resolved() == config.spec(system, cells.backbone).resolved(),
        "datasets": reader.resolved() == config.datasets[ground.dataset].resolved(),
        "recipes": recipe == config.recipes[cells.recipe],
    }
    told = tuple(each for each in overrides if not same[each.partition(".")[0]])
    if draft.left_out is not None:
        _check_gone(draft, {"systems": spec.resolved(), "recipes": recipe.model_dump(mode="json"),
                            "datasets": reader.resolved()})  # fmt: skip
    arm = Arm(Comparison(ground.name, ground.base, ground.dataset, across), draft.name, told)
    return Plan(
        None,
        spec,
        ground.dataset,
        reader,
        cells.seeds[0],
        cells.recipe,
        recipe,
        (*config.told(system, cells.backbone, cells.recipe, ground.dataset), *told),
        arm,
    )


def _check_gone(draft: Draft, resolved: dict[str, Any]) -> None:
    """Raise ConfigError where a null is the default of what was to be left out, and so is there."""
    assert draft.left_out is not None
    at = f"{'.'.join(draft.at.path)} ({draft.at.line})"
    section, inner = _target(draft.left_out, at)
    value: Any = resolved[section]
    for step in inner.split("."):
        value = value.get(step, _ABSENT) if isinstance(value, dict) else _ABSENT
    if value is not _ABSENT and value is not None and value != {}:
        raise ConfigError(
            f"{at}: `{draft.left_out}` can't be left out: without it, its default {flow(value)} "
            "holds; write an arm that gives it a value"
        )


def _entry(root: Node, section: str, name: str) -> tuple[Any, Place]:
    return root[section][name], root[section].where[name]


def _target(path: str, at: str) -> tuple[str, str]:
    """The section that a path of an arm leads into, and the path inside."""
    first, _, rest = path.partition(".")
    section = {"recipe": "recipes", "dataset": "datasets"}.get(first, "systems")
    inner = path if section == "systems" else rest
    if not inner or not all(inner.split(".")):
        raise ConfigError(f"{at}: `{path}` is not a path, as aligner.level or recipe.epochs")
    if inner == "extends":
        raise ConfigError(
            f"{at}: an arm can't change `extends`; to start from another system, write "
            "`system: NAME`"
        )
    return section, inner
