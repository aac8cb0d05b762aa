"""Reading a registry: load, include, override, validate; and the runs that a suite plans.

Everything wrong is found in one pass, before anything is built or written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zoo
from zoo.config import tree
from zoo.config.specs import Ablation, Plan, Recipe, Suite, SystemType, Written
from zoo.errors import ConfigError, near
from zoo.registry import load_plugin_file
from zoo.schema import PartSpec, SystemSpec, validated
from zoo.yaml import Node, Place, load, parse, place

if TYPE_CHECKING:
    from zoo.config.ablations import Study

REQUIRED = ("datasets", "backbones", "systems", "recipes", "suites")


@dataclass
class Config:
    """A valid registry.

    Args:
        path: the file.
        root: what it holds, with what it includes and the overrides.
        overrides: as given with ``-o``.
        own: the datasets of a file that has nothing else; its suite is chosen by their content.
        ablations: set out by :meth:`study`.
    """

    path: Path
    root: Node
    overrides: tuple[str, ...]
    own: tuple[str, ...] = ()
    datasets: dict[str, PartSpec] = field(default_factory=dict)
    recipes: dict[str, Recipe] = field(default_factory=dict)
    suites: dict[str, Suite] = field(default_factory=dict)
    written: dict[str, Ablation] = field(default_factory=dict)
    ablations: dict[str, Study] = field(default_factory=dict)
    specs: dict[tuple[str, str], SystemSpec] = field(default_factory=dict)

    @property
    def systems(self) -> Node:
        """The systems as written, by name."""
        systems: Node = self.root["systems"]
        return systems

    @property
    def backbones(self) -> Node:
        """The backbones as written, by name."""
        backbones: Node = self.root["backbones"]
        return backbones

    def spec(self, system: str, backbone: str) -> SystemSpec:
        """A system under a backbone. Raises ConfigError where the two don't fit."""
        if (system, backbone) not in self.specs:
            self.specs[system, backbone] = read_system(self.root, system, backbone)
        return self.specs[system, backbone]

    def study(self, names: Iterable[str] = (), suite: str | None = None) -> None:
        """Set ablations out (all by default), on a suite's data, seeds, backbone and recipe (the
        first one's by default). Raises ConfigError."""
        from zoo.config.ablations import study  # here, because it needs what this module defines

        problems = _unknown("--ablation", names, self.written)
        problems += _unknown("--suite", [suite] if suite else [], self.suites)
        if problems:
            raise ConfigError(*problems)
        cells = self.suites[suite or next(iter(self.suites))]
        with Problems() as problems:
            for name in dict.fromkeys(names or self.written):
                with problems.collected():
                    self.ablations[name] = study(self, name, cells)

    def plan(
        self,
        suite: str | None = None,
        systems: Sequence[str] = (),
        datasets: Sequence[str] = (),
        seeds: Sequence[int] = (),
    ) -> list[Plan]:
        """The runs of a suite (the first one by default), narrowed or changed by name.

        Raises:
            ConfigError: an unknown name, or a system that is not valid.
        """
        name = suite or next(iter(self.suites))
        problems = _unknown("--suite", [name], self.suites)
        problems += _unknown("--system", systems, self.systems)
        problems += _unknown("--dataset", datasets, self.datasets)
        if problems:
            raise ConfigError(*problems)
        chosen = self.suites[name]
        names = dict.fromkeys(systems or chosen.systems)
        with Problems() as wrong:
            for system in names:
                with wrong.collected():
                    self.spec(system, chosen.backbone)
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
            for system in names
            for seed in dict.fromkeys(seeds or chosen.seeds)
        ]


class Problems(list[str]):
    """Collects the problems of several steps, and raises them together when its block ends."""

    def __enter__(self) -> Problems:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self and error is None:
            # what stands in one line is told once, whichever systems inherit it
            seen = {re.sub(r"systems\.[^. ]+", "", p) if re.search(r":\d+\)", p) else p: p
                    for p in reversed(self)}  # fmt: skip
            raise ConfigError(*reversed(seen.values()))

    def collected(self) -> _Collected:
        """A block whose ConfigError is kept for later."""
        return _Collected(self)


class _Collected:
    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        if isinstance(error, ConfigError):
            self.problems += error.problems
            return True
        return False


def shipped() -> Path:
    """The registry that comes with the package: inside a wheel, or beside it in a checkout."""
    package = Path(zoo.__file__).parent
    inside = package / "registry.yaml"
    return inside if inside.exists() else package.parent / "registry.yaml"


def read(path: Path, overrides: Sequence[str] = (), required: Sequence[str] = REQUIRED) -> Config:
    """Load, override and validate a registry.

    Under overrides a system or an ablation is validated when it is asked for: an override need
    make sense for those alone.

    Args:
        required: the sections that must be there.

    Raises:
        ConfigError: one line for each problem.
    """
    root, own = _load(path)
    _check_sections(root, path.name, required)
    for text in overrides:
        root = _overridden(root, text)
    config = Config(path, root, tuple(overrides), own)
    whole = Node()
    for section in tree.SECTIONS:
        if section in root and section != "systems":
            whole.put(section, root[section], root.where[section])
    context = {section: root.get(section, ()) for section in tree.SECTIONS}
    with Problems() as problems:
        if "systems" in root and not overrides:
            whole.put("systems", _systems(root, problems), root.where["systems"])
        with problems.collected():
            found = validated(Written, whole, Place((), path.name), context)
            config.datasets, config.recipes = found.datasets, found.recipes
            config.suites, config.written = found.suites, found.ablations
            for backbone, specs in found.systems.items():
                for name, spec in specs.items():
                    config.specs[name, backbone] = _named(spec, name, backbone)
            if config.written and not overrides and not problems:
                config.study()
    return config


def _load(path: Path, above: tuple[Path, ...] = ()) -> tuple[Node, tuple[str, ...]]:
    """A file with what it includes, its plug-ins loaded; its datasets if it has nothing else."""
    root = load(path)
    beside, include = root.get("plugins", []), root.get("include")
    if not isinstance(beside, list) or not all(isinstance(each, str) for each in beside):
        raise ConfigError(f"{root.where['plugins']}: must be a list of Python files")
    for plugin in beside:
        load_plugin_file(path.parent / plugin, str(root.where["plugins"]))
    own = root.copy(["include", "plugins"])
    if include is None:
        return own, ()
    where = root.where["include"]
    if not isinstance(include, str):
        raise ConfigError(f"{where}: must be `zoo` (the shipped registry) or a YAML file")
    if include == "zoo":
        base = load(shipped(), "registry.yaml of zoo")
    else:
        file = (path.parent / include).resolve()
        if file in (*above, path.resolve()):
            raise ConfigError(f"{where}: the file includes itself")
        if not file.is_file():
            raise ConfigError(f"{where}: {file}: no such file; write `zoo` or a YAML file's name")
        base, _ = _load(file, (*above, path.resolve()))
    datasets = own.get("datasets")
    only = tuple(datasets) if list(own) == ["datasets"] and isinstance(datasets, Node) else ()
    return tree.laid_over(base, own), only


def _check_sections(root: Node, name: str, required: Sequence[str]) -> None:
    """Raise ConfigError where a section is unknown, missing or no mapping of entries."""
    problems = [
        f"{place(root, (key,))}: unknown section `{key}`{near(key, tree.SECTIONS)}"
        for key in root
        if key not in tree.SECTIONS
    ]
    problems += [
        f"{name}: section `{section}` is missing; write it, or `include: zoo` for the shipped one"
        for section in required
        if section not in root
    ]
    problems += [
        f"{place(root, (section,))}: the section must be a mapping with an entry at least"
        for section in root
        if section in tree.SECTIONS and not (isinstance(root[section], Node) and root[section])
    ]
    if problems:
        raise ConfigError(*problems)


def _overridden(root: Node, text: str) -> Node:
    """The tree under one ``-o path=value``. Raises ConfigError."""
    path, equals, value = text.partition("=")
    steps = tuple(path.split("."))
    if not equals or not all(steps) or len(steps) < 2:
        raise ConfigError(f"-o {text}: write it as SECTION.NAME.KEY=VALUE")
    asked = f"-o {text}"
    return tree.override(root, path, parse(value, asked, steps), asked, asked)


def _systems(root: Node, problems: Problems) -> dict[str, Node]:
    """Each system under each backbone that a suite puts it under; by backbone, by name."""
    suites = [suite for suite in root["suites"].values() if isinstance(suite, Node)]
    answer: dict[str, Node] = {}
    for name in root["systems"]:
        named = [str(s.get("backbone")) for s in suites if name in (s.get("systems") or ())]
        backbones = [b for b in dict.fromkeys(named) if b in root["backbones"]]
        for backbone in backbones or list(root["backbones"])[:1]:
            with problems.collected():
                node = tree.system(root, name, backbone)
                answer.setdefault(backbone, Node()).put(name, node, root["systems"].where[name])
    return answer


def read_system(root: Node, name: str, backbone: str) -> SystemSpec:
    """A system under a backbone, validated. Raises ConfigError."""
    node = tree.system(root, name, backbone)
    spec: SystemSpec = validated(SystemType, node, root["systems"].where[name])
    return _named(spec, name, backbone)


def _named(spec: SystemSpec, name: str, backbone: str) -> SystemSpec:
    return replace(spec, name=name, backbone=backbone)


def _unknown(what: str, asked: Iterable[str], known: Iterable[Any]) -> list[str]:
    known = list(known)
    return [f"{what} {name}: unknown{near(name, known)}" for name in asked if name not in known]
