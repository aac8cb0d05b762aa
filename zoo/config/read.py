"""registry.yaml: its sections, their validation, and the plan of runs it asks for.

Everything wrong is found in one pass, before anything is built or written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from zoo import registry
from zoo.errors import ConfigError, near
from zoo.schema import PartSpec, Strict, SystemSpec, place, validate, validate_part
from zoo.yaml import Node, load, merge, parse, plain, without_nulls

if TYPE_CHECKING:
    from zoo.config.ablations import Study

SECTIONS = ("datasets", "backbones", "systems", "recipes", "suites")
OPTIONAL = ("ablations",)
PART_SLOTS = {
    "text": "text_encoder",
    "joint": "joint_encoder",
    "aligner": "aligner",
    "fuser": "fuser",
    "decoder": "decoder",
}
SYSTEM_KEYS = ("extends", "cites", "description", *PART_SLOTS, "views", "loss_weights")

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Recipe(Strict):
    """How to train. Learning rates go by patterns of parameter names, first match wins.

    ``threads`` is of the processor; None: all. A small model is no faster on many, and the same
    number everywhere gives the same bytes, however many runs go on at once.
    """

    epochs: Count
    batch_size: Count = 16
    learning_rates: Annotated[dict[str, Positive], Field(min_length=1)]
    optimizer: Literal["adamw", "adam"] = "adamw"
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    schedule: Literal["linear", "constant"] = "linear"
    warmup: Share = 0.1
    clip: Positive | None = 1.0
    accumulate: Count = 1
    patience: Count | None = None
    threads: Count | None = None
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"

    def learning_rate(self, parameter: str) -> float | None:
        """The learning rate of a parameter by its name; None where no pattern matches."""
        for pattern, rate in self.learning_rates.items():
            if fnmatchcase(parameter, pattern):
                return rate
        return None


class Suite(Strict):
    """Systems × datasets × seeds under one backbone and recipe."""

    systems: Annotated[list[str], Field(min_length=1)]
    datasets: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    backbone: str
    recipe: str
    description: str = ""


@dataclass(frozen=True)
class Plan:
    """One run to be: one cell of a suite or of an ablation, and the overrides that led to it."""

    suite: str
    system: SystemSpec
    dataset: str
    reader: PartSpec
    seed: int
    recipe_name: str
    recipe: Recipe
    overrides: tuple[str, ...] = ()


@dataclass
class Config:
    """A valid registry. ``systems`` holds each system as written, ``extends`` resolved."""

    path: Path
    root: Node
    overrides: tuple[str, ...] = ()
    datasets: dict[str, PartSpec] = field(default_factory=dict)
    backbones: dict[str, Node] = field(default_factory=dict)
    systems: dict[str, Node] = field(default_factory=dict)
    recipes: dict[str, Recipe] = field(default_factory=dict)
    suites: dict[str, Suite] = field(default_factory=dict)
    ablations: dict[str, Study] = field(default_factory=dict)
    specs: dict[tuple[str, str], SystemSpec] = field(default_factory=dict)

    def spec(self, system: str, backbone: str) -> SystemSpec:
        """A system under a backbone. Raises ConfigError where the two don't fit."""
        if (system, backbone) not in self.specs:
            problems: list[str] = []
            spec = _system(self, system, backbone, problems)
            if spec is None:
                raise ConfigError(*problems)
            self.specs[system, backbone] = spec
        return self.specs[system, backbone]

    def variant(self, system: str, backbone: str, changed: Node) -> SystemSpec:
        """A system as an arm of an ablation has it. Raises ConfigError."""
        problems: list[str] = []
        spec = _system(self, system, backbone, problems, changed)
        if spec is None:
            raise ConfigError(*problems)
        return spec

    def study(self, names: Iterable[str] = (), suite: str | None = None) -> None:
        """Set ablations out (all by default), on a suite's data, seeds, backbone and recipe (the
        first one's by default). Raises ConfigError."""
        from zoo.config.ablations import studies  # here, because it needs what this module defines

        written = self.root.get("ablations", Node())
        problems = _unknown("--ablation", names, written)
        problems += _unknown("--suite", [suite] if suite else [], self.suites)
        if not problems:
            self.ablations = studies(self, tuple(names) or tuple(written), suite, problems)
        if problems:
            raise ConfigError(*_once(problems))

    def plan(
        self,
        suite: str | None = None,
        systems: Sequence[str] = (),
        datasets: Sequence[str] = (),
        seeds: Sequence[int] = (),
    ) -> list[Plan]:
        """The runs of a suite (the first one by default), narrowed or changed by name."""
        name = suite or next(iter(self.suites))
        problems = _unknown("--suite", [name], self.suites)
        problems += _unknown("--system", systems, self.systems)
        problems += _unknown("--dataset", datasets, self.datasets)
        if problems:
            raise ConfigError(*problems)
        chosen = self.suites[name]
        return [
            Plan(
                name,
                self.spec(system, chosen.backbone),
                dataset,
                self.datasets[dataset],
                seed,
                chosen.recipe,
                self.recipes[chosen.recipe],
                self.overrides,
            )
            for dataset in dict.fromkeys(datasets or chosen.datasets)
            for system in dict.fromkeys(systems or chosen.systems)
            for seed in dict.fromkeys(seeds or chosen.seeds)
        ]


def read(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Load, override and validate a registry. Raises ConfigError with every problem found.

    The file's own ablations must be right, too. Under overrides none is set out: they need not make
    sense there (an arm may take away what an override has taken away); see :meth:`Config.study`.
    """
    root = load(path)
    known = (*SECTIONS, *OPTIONAL)
    problems = [
        f"{place(root, (key,))}: unknown section `{key}`{near(key, known)}"
        for key in root
        if key not in known
    ]
    for section in (*SECTIONS, *(key for key in OPTIONAL if key in root)):
        if not isinstance(root.get(section), Node) or not root[section]:
            problems.append(
                f"{place(root, (section,)) or path.name}: the section is missing or empty"
                if section in root
                else f"{path.name}: section `{section}` is missing"
            )
    if problems:
        raise ConfigError(*problems)
    for override in overrides:
        _override(root, override)
    config = Config(path, root, tuple(overrides))
    for name in root["datasets"]:
        part = validate_part("reader", root["datasets"][name], ("datasets", name), root, problems)
        if part:
            config.datasets[name] = part
    for name, node in root["backbones"].items():
        if isinstance(node, Node):
            config.backbones[name] = node
            for slot, part in node.items():
                validate_part(
                    _slot_kind(slot, part), part, ("backbones", name, slot), root, problems
                )
        else:
            problems.append(f"{place(root, ('backbones', name))}: must be a mapping of parts")
    for name, node in root["recipes"].items():
        recipe = validate(Recipe, plain(node), ("recipes", name), root, problems)
        if recipe:
            config.recipes[name] = recipe
    for name, node in root["suites"].items():
        suite = validate(Suite, plain(node), ("suites", name), root, problems)
        if suite:
            config.suites[name] = suite
            problems += unknown_names(root, ("suites", name), suite)
            problems += repeated(root, ("suites", name), suite, ("systems", "datasets", "seeds"))
    for name in root["systems"]:
        node = _extended(root, name, (), problems)
        if node is not None:
            config.systems[name] = node
    pairs = {
        (system, suite.backbone)
        for suite in config.suites.values()
        for system in suite.systems
        if system in config.systems and suite.backbone in config.backbones
    }
    for name in config.systems:
        backbones = sorted(b for s, b in pairs if s == name) or sorted(config.backbones)[:1]
        for backbone in backbones:
            spec = _system(config, name, backbone, problems)
            if spec:
                config.specs[name, backbone] = spec
    if not overrides:
        try:
            config.study()
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*_once(problems))
    return config


def _once(problems: Iterable[str]) -> list[str]:
    """The problems without those that a system inherits from another's same line."""
    seen: dict[str, str] = {}
    for problem in problems:
        key = re.sub(r"systems\.[^. ]+", "", problem) if re.search(r":\d+\)", problem) else problem
        seen.setdefault(key, problem)
    return list(seen.values())


def _slot_kind(slot: str, node: Any) -> str:
    """What a backbone's entry is: the kind of encoder that has its part's name."""
    name = node.get("part") if isinstance(node, Node) else None
    for kind in ("text_encoder", "image_encoder", "joint_encoder"):
        if name in registry.names(kind):
            return kind
    return PART_SLOTS.get(slot, "image_encoder")


def _unknown(what: str, asked: Iterable[str], known: Iterable[str]) -> list[str]:
    known = list(known)
    return [f"{what} {name}: unknown{near(name, known)}" for name in asked if name not in known]


def unknown_names(
    root: Node,
    path: tuple[str, ...],
    item: Strict,
    keys: Sequence[tuple[str, str]] = (
        ("systems", "systems"),
        ("datasets", "datasets"),
        ("backbone", "backbones"),
        ("recipe", "recipes"),
    ),
) -> list[str]:
    """What a suite or an ablation names that does not exist, by key and the section it is in."""
    problems = []
    for key, section in keys:
        asked = getattr(item, key)
        for name in [asked] if isinstance(asked, str) else asked or ():
            if name not in root[section]:
                at = place(root, (*path, key))
                problems.append(
                    f"{at}: unknown {section.rstrip('s')} `{name}`{near(name, root[section])}"
                )
    return problems


def repeated(root: Node, path: tuple[str, ...], item: Strict, keys: Sequence[str]) -> list[str]:
    """What stands twice in a list of a suite or an ablation."""
    problems = []
    for key in keys:
        items = getattr(item, key)
        items = items if isinstance(items, list) else []
        problems += [
            f"{place(root, (*path, key))}: `{each}` stands there twice; remove one"
            for each in dict.fromkeys(items)
            if items.count(each) > 1
        ]
    return problems


def _override(root: Node, text: str) -> None:
    """Apply one ``-o path=value`` as if it stood in the file. Raises ConfigError."""
    path, equals, value = text.partition("=")
    steps = tuple(path.split("."))
    if not equals or not all(steps) or len(steps) < 3:
        raise ConfigError(f"-o {text}: write it as SECTION.NAME.KEY=VALUE")
    parsed = parse(value, f"-o {text}")
    section, name = steps[:2]
    if section not in root:
        raise ConfigError(f"-o {text}: unknown section `{section}`{near(section, root)}")
    if name not in root[section]:
        raise ConfigError(
            f"-o {text}: unknown name `{name}` in {section}{near(name, root[section])}"
        )
    seen: Any = root[section][name]
    if section == "systems":
        problems: list[str] = []
        seen = _extended(root, name, (), problems)
        if problems:
            raise ConfigError(*problems)
    assign(root[section][name], seen, steps, parsed, f"-o {text}", f"-o {text}")


def assign(node: Node, seen: Any, steps: Sequence[str], value: Any, where: str, asked: str) -> None:
    """Put a value into the mapping ``node`` at a dotted path that must lead somewhere.

    Args:
        seen: what the node amounts to with all that it extends.
        steps: the path: the section, the node's name in it, then the steps inside.
        where: where the value was written.
        asked: what is at fault where the path is wrong, for the message.

    Raises:
        ConfigError: a step is unknown, or nothing is there to take away.
    """
    section, _, *inner = steps
    if inner[-1] == "part" and len(inner) > 1:  # another part: the settings of the old one go
        afresh = Node()
        afresh.put("part", value, where)
        *steps, _ = steps
        value, inner = afresh, inner[:-1]
    for depth, step in enumerate(inner[:-1]):
        if not isinstance(seen, Node) or step not in seen:
            known = list(seen) if isinstance(seen, Node) else []
            at = ".".join(steps[: depth + 2])
            raise ConfigError(f"{asked}: unknown key `{step}` in {at}{near(step, known)}")
        seen = seen[step]
        if not isinstance(node.get(step), Node):
            node.put(step, Node(), where)
        node = node[step]
    if not isinstance(seen, Node):
        raise ConfigError(f"{asked}: {'.'.join(steps[:-1])} is no mapping")
    slot = section == "systems" and "part" not in seen
    if value is None and slot and inner[-1] not in seen:
        raise ConfigError(
            f"{asked}: {'.'.join(steps[:-1])} has no `{inner[-1]}` to take away"
            f"{near(inner[-1], seen)}"
        )
    node.put(inner[-1], value, where)


def _extended(root: Node, name: str, above: tuple[str, ...], problems: list[str]) -> Node | None:
    """A system with everything it ``extends`` filled in."""
    node = root["systems"][name]
    at = place(root, ("systems", name))
    if not isinstance(node, Node):
        problems.append(f"{at}: must be a mapping of parts")
        return None
    base = node.get("extends")
    if base is None:
        return node
    at = place(root, ("systems", name, "extends"))
    if base in (*above, name):
        problems.append(f"{at}: `{name}` extends itself: {' → '.join((*above, name, base))}")
        return None
    if base not in root["systems"]:
        problems.append(f"{at}: unknown system `{base}`{near(base, root['systems'])}")
        return None
    whole = _extended(root, base, (*above, name), problems)
    if whole is None:
        return None
    changes = Node()
    for key, value in node.items():
        if key != "extends":
            changes.put(key, value, node.where[key])
    return merge(whole, changes)


def _filled(
    config: Config, node: Any, backbone: str, path: tuple[str, ...], problems: list[str], root: Node
) -> Any:
    """A part with ``part: $slot`` replaced by the backbone's part of that name."""
    if not isinstance(node, Node):
        return node
    result = Node()
    for key, value in node.items():
        inner = _filled(config, value, backbone, (*path, key), problems, root)
        result.put(key, inner, node.where[key])
    name = node.get("part")
    if not isinstance(name, str) or not name.startswith("$"):
        return result
    parts = config.backbones[backbone]
    if name[1:] not in parts:
        problems.append(
            f"{place(root, (*path, 'part'))}: backbone `{backbone}` has no `{name[1:]}`"
            f"{near(name[1:], parts)}"
        )
        return None
    del result["part"]
    return merge(parts[name[1:]], result)


def _without_views(system: Node) -> Node:
    """What goes with views that are taken away: what aligner and fuser say of them and, where
    all are (``views: null``, the text-only version), the two themselves."""
    views = system.get("views", ...)
    if views is None or (isinstance(views, Node) and views and not without_nulls(views)):
        return without_nulls(merge(system, _nulls("views", "aligner", "fuser")))
    gone = [name for name, node in views.items() if node is None] if isinstance(views, Node) else []
    for slot in ("aligner", "fuser"):
        part = system.get(slot)
        for setting in part.values() if isinstance(part, Node) else ():
            if isinstance(setting, Node):
                for view in gone:
                    setting.pop(view, None)
    return without_nulls(system)


def _nulls(*keys: str) -> Node:
    node = Node()
    for key in keys:
        node.put(key, None, "")
    return node


def _system(
    config: Config, name: str, backbone: str, problems: list[str], changed: Node | None = None
) -> SystemSpec | None:
    """Validate one system under one backbone and check its parts against each other.

    ``changed`` is the system as an arm of an ablation has it.
    """
    written = config.systems[name] if changed is None else changed
    before = len(problems)
    root = Node()
    root.put("systems", Node(), "")
    root["systems"].put(name, written, config.root["systems"].where[name])
    path = ("systems", name)
    filled = _filled(config, written, backbone, path, problems, root)
    if len(problems) > before:
        return None
    problems += [
        f"unknown key `{key}` in systems.{name} ({filled.where[key]}){near(key, SYSTEM_KEYS)}"
        for key in filled
        if key not in SYSTEM_KEYS
    ]
    filled = _without_views(filled)
    root["systems"].put(name, filled, config.root["systems"].where[name])
    parts: dict[str, PartSpec | None] = {
        slot: validate_part(kind, filled[slot], (*path, slot), root, problems)
        for slot, kind in PART_SLOTS.items()
        if slot in filled
    }
    views: dict[str, PartSpec] = {}
    view_nodes = filled.get("views", Node())
    if not isinstance(view_nodes, Node):
        problems.append(f"{place(root, (*path, 'views'))}: must be a mapping of image encoders")
        view_nodes = Node()
    for view, node in without_nulls(view_nodes).items():
        if "." in view:
            problems.append(f"{place(root, (*path, 'views', view))}: no dots in a view's name")
        part = validate_part("image_encoder", node, (*path, "views", view), root, problems)
        if part:
            views[view] = part
    details = validate(
        _Details,
        {
            key: plain(filled[key])
            for key in ("cites", "description", "loss_weights")
            if key in filled
        },
        path,
        root,
        problems,
    )
    if "decoder" not in filled:
        problems.append(f"{place(root, path)}: `decoder` is missing")
    if ("text" in filled) == ("joint" in filled):
        problems.append(f"{place(root, path)}: needs either `text` or `joint`, and not both")
    if len(problems) > before or details is None:
        return None
    decoder = parts["decoder"]
    assert decoder is not None, "a part that failed to validate left a problem"
    cites = [details.cites] if isinstance(details.cites, str) else details.cites
    spec = SystemSpec(
        name,
        backbone,
        parts.get("text"),
        parts.get("joint"),
        views,
        parts.get("aligner"),
        parts.get("fuser"),
        decoder,
        details.loss_weights,
        tuple(cites),
        details.description,
    )
    problems += _misfits(spec, root, set(view_nodes))
    own = _losses(part.cls for _, part in spec.parts)
    weights = {k: v for k, v in spec.loss_weights.items() if k.partition(".")[0] in own}
    return replace(spec, loss_weights=weights) if len(problems) == before else None


class _Details(Strict):
    cites: str | list[str] = Field(default_factory=list)
    description: str = ""
    loss_weights: dict[str, Weight] = Field(default_factory=dict)


def _misfits(spec: SystemSpec, root: Node, written: set[str]) -> list[str]:
    """What in a system does not fit together, known without building it.

    ``written`` are the names of its views, with those that were taken away.
    """

    def at(*steps: str) -> str:
        return place(root, ("systems", spec.name, *steps))

    problems = []
    sees = bool(spec.views) or spec.joint is not None
    if spec.joint and spec.views:
        problems.append(
            f"{at('views')}: a joint encoder makes its own views; remove one of the two"
        )
    for slot in ("aligner", "fuser"):
        if getattr(spec, slot) and not sees:
            problems.append(f"{at(slot)}: there is no view to work on; add `views` or remove it")
    if spec.views and not spec.aligner and not spec.fuser:
        problems.append(f"{at('views')}: no aligner and no fuser reads the views; add one")
    if spec.fuser and spec.fuser.settings.get("level") == "span":
        unit = getattr(spec.decoder.cls, "classifies", "token")
        if unit != "span":
            problems.append(
                f"{at('fuser')}: level span needs a decoder of spans, and `{spec.decoder.name}` "
                "classifies tokens; use `level: token` or `span_classifier`"
            )
    # A weight may be of a loss whose part or view was taken away, or of another decoder's; else it
    # would do nothing without a word.
    own = _losses(part.cls for _, part in spec.parts)
    empty = [slot for slot in ("aligner", "fuser") if getattr(spec, slot) is None]
    decoders = _registered_losses("decoder")
    known = own | decoders | {name for slot in empty for name in _registered_losses(slot)}
    for name in spec.loss_weights:
        loss, dot, view = name.partition(".")
        if loss not in known or (dot and (loss in decoders or view not in written)):
            names = own | {f"{each}.{view}" for each in own - decoders for view in spec.views}
            problems.append(
                f"{at('loss_weights', name)}: no part has a loss `{name}`{near(name, names)}"
            )
    return problems


def _losses(classes: Iterable[type]) -> set[str]:
    """The names of the losses that parts have."""
    return {name for cls in classes for name in getattr(cls, "loss_names", ())}


def _registered_losses(kind: str) -> set[str]:
    """Those of every registered part of a kind."""
    return _losses(registry.resolve(kind, name) for name in registry.names(kind))
