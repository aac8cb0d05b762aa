"""A valid registry, and the runs that its suites plan."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import zoo
from zoo.config import tree
from zoo.config.specs import Ablation, Plan, Recipe, Study, Suite, SystemType
from zoo.errors import ConfigError, near
from zoo.schema import PartSpec, SystemSpec, validated
from zoo.yaml import Node


def shipped_file() -> Path:
    """The registry that comes with the package: inside a wheel, or beside it in a checkout."""
    package = Path(zoo.__file__).parent
    inside = package / "registry.yaml"
    return inside if inside.exists() else package.parent / "registry.yaml"


def shipped_page(system: str) -> Path | None:
    """The page about a system that comes with the package (docs/systems), if there is one."""
    package = Path(zoo.__file__).parent
    inside = package / "pages"
    folder = inside if inside.exists() else package.parent / "docs" / "systems"
    page = folder / f"{system}.md"
    return page if page.is_file() else None


@dataclass
class Config:
    """A valid registry.

    Args:
        path: the file.
        root: what it holds, with what it includes and the overrides.
        overrides: as given with ``-o``.
        own: the datasets that a file adds without a suite; one is chosen by their content.
        plain: what it holds without the overrides; None: there are none.
        written: the ablations as written; ``ablations``: those that were set out.
    """

    path: Path
    root: Node
    overrides: tuple[str, ...]
    own: tuple[str, ...] = ()
    plain: Node | None = None
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

    def usual_backbone(self, system: str) -> str:
        """That of the first suite the system stands in, else of the first suite."""
        suites = list(self.suites.values())
        return next((s.backbone for s in suites if system in s.systems), suites[0].backbone)

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
        name = next(iter(self.suites)) if suite is None else suite
        problems = unknown("--suite", [name], self.suites)
        problems += unknown("--system", systems, self.systems)
        problems += unknown("--dataset", datasets, self.datasets)
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
                self.told(system, chosen.backbone, chosen.recipe, dataset),
            )
            for dataset in dict.fromkeys(datasets or chosen.datasets)
            for system in names
            for seed in dict.fromkeys(seeds or chosen.seeds)
        ]

    def told(self, system: str, backbone: str, recipe: str, dataset: str) -> tuple[str, ...]:
        """The overrides that change anything of a run: others are not told as its own."""
        if self.plain is None:
            return ()
        before, after = self.plain, self.root
        changed = {
            section
            for section, name in (("recipes", recipe), ("datasets", dataset))
            if name not in before.get(section, ()) or before[section][name] != after[section][name]
        }
        if any(
            name not in before.get(section, ())
            for section, name in (("systems", system), ("backbones", backbone))
        ) or tree.system(before, system, backbone) != tree.system(after, system, backbone):
            changed |= {"systems", "backbones"}
        mine = {
            "systems": {*tree.lineage(before, system), *tree.lineage(after, system)},
            "backbones": {backbone},
            "recipes": {recipe},
            "datasets": {dataset},
        }
        paths = {text: text.partition("=")[0].split(".") for text in self.overrides}
        return tuple(
            text
            for text, (section, name, *_) in paths.items()
            if section in changed and name in mine[section]
        )


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


def read_system(root: Node, name: str, backbone: str) -> SystemSpec:
    """A system under a backbone, validated. Raises ConfigError."""
    node = tree.system(root, name, backbone)
    spec: SystemSpec = validated(SystemType, node, root["systems"].where[name])
    return named(spec, name, backbone)


def named(spec: SystemSpec, name: str, backbone: str) -> SystemSpec:
    return replace(spec, name=name, backbone=backbone)


def unknown(what: str, asked: Iterable[str], known: Iterable[Any]) -> list[str]:
    known = list(known)
    return [f"{what} {name}: unknown{near(name, known)}" for name in asked if name not in known]
