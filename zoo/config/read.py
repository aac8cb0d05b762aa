"""Reading a registry: load, include, override, validate; and the runs that a suite plans.

Everything wrong is found in one pass, before anything is built or written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo.config import tree
from zoo.config.ablations import set_out
from zoo.config.config import Config, Problems, named, shipped_file
from zoo.config.specs import Written
from zoo.config.tree import SECTIONS
from zoo.errors import ConfigError, near
from zoo.files import is_file
from zoo.registry import load_plugin_file
from zoo.schema import validated
from zoo.yaml import Node, Place, load, parse, place


def read(path: Path, overrides: Sequence[str] = (), sections: Sequence[str] = SECTIONS) -> Config:
    """Load, override and validate a registry.

    Under overrides a system or an ablation is validated when it is asked for: an override
    needs to make sense only for those.

    Args:
        sections: what is validated; all but ``ablations`` must be there.

    Raises:
        ConfigError: one line for each problem.
    """
    root, own = _load(path)
    _check_sections(root, path.name, sections)
    plain = root if overrides else None
    for text in overrides:
        root = _overridden(root, text)
    _check_names(root)
    config = Config(path, root, tuple(overrides), own, plain)
    whole = Node()
    for section in sections:
        if section in root and section != "systems":
            whole.put(section, root[section], root.where[section])
    context = {section: root.get(section, ()) for section in SECTIONS}
    with Problems() as problems:
        if "systems" in sections and not overrides:
            whole.put("systems", _systems(root, problems), root.where["systems"])
        with problems.collected():
            found = validated(Written, whole, Place((), path.name), context)
            config.datasets, config.recipes = found.datasets, found.recipes
            config.suites, config.written = found.suites, found.ablations
            for backbone, specs in found.systems.items():
                for name, spec in specs.items():
                    config.specs[name, backbone] = named(spec, name, backbone)
            if config.written and not overrides and not problems:
                set_out(config)
    return config


def _load(path: Path, above: tuple[Path, ...] = ()) -> tuple[Node, tuple[str, ...]]:
    """A file with what it includes, its plug-ins loaded; the datasets that it adds if no suite of
    the file runs them."""
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
        base = load(shipped_file(), "registry.yaml of zoo")
    else:
        file = path.parent / include
        if not is_file(file):
            raise ConfigError(f"{where}: {file}: no such file; write `zoo` or a YAML file's name")
        file = file.resolve()
        if file in (*above, path.resolve()):
            raise ConfigError(f"{where}: the file includes itself")
        base, _ = _load(file, (*above, path.resolve()))
    new = [name for name in own.get("datasets", ()) if name not in base.get("datasets", ())]
    return tree.laid_over(base, own), () if "suites" in own else tuple(new)


def _check_sections(root: Node, name: str, sections: Sequence[str]) -> None:
    """Raise ConfigError where a section is unknown, missing, or not a mapping of entries."""
    problems = [
        f"{place(root, (key,))}: unknown section `{key}`{near(key, SECTIONS)}"
        for key in root
        if key not in SECTIONS
    ]
    problems += [
        f"{name}: section `{section}` is missing; write it, or `include: zoo` for the shipped one"
        for section in sections
        if section not in root and section != "ablations"
    ]
    problems += [
        f"{place(root, (section,))}: the section must be a mapping with at least one entry"
        for section in root
        if section in SECTIONS and not (isinstance(root[section], Node) and root[section])
    ]
    if problems:
        raise ConfigError(*problems)


def _check_names(root: Node) -> None:
    """Raise ConfigError where an entry's name can't stand in a path of ``-o`` or name a file."""
    problems = [
        f"{root[section].where[name]}: `{name}` can't name a file or be part of a path of -o; "
        "choose 1 to 100 characters, none of them a dot, a slash or a control character"
        for section in SECTIONS
        for name in root.get(section, ())
        if not 0 < len(name.encode()) <= 200
        or len(name) > 100
        or set(name) & {".", "/", "\\"}
        or not name.isprintable()
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
        named = [str(s.get("backbone")) for s in suites if name in _listed(s.get("systems"))]
        backbones = [b for b in dict.fromkeys(named) if b in root["backbones"]]
        for backbone in backbones or list(root["backbones"])[:1]:
            with problems.collected():
                tree.check_views(root, name)
                node = tree.system(root, name, backbone)
                answer.setdefault(backbone, Node()).put(name, node, root["systems"].where[name])
    return answer


def _listed(value: object) -> Sequence[object]:
    """What is not a list is told when the suite is validated."""
    return value if isinstance(value, list) else ()
