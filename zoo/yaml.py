"""YAML that remembers where every key was written, without YAML's traps.

Plain scalars follow the YAML 1.2 core schema: ``no`` is text, ``1e-5`` is a number, ``010`` is ten.
Duplicate keys are errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from zoo.errors import ConfigError

_SCALARS = (
    (re.compile(r"~|null|Null|NULL|"), lambda text: None),
    (re.compile(r"true|True|TRUE"), lambda text: True),
    (re.compile(r"false|False|FALSE"), lambda text: False),
    (re.compile(r"[-+]?[0-9]+"), lambda text: int(text, 10)),
    (re.compile(r"0o[0-7]+"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda text: float("nan")),
)


class Node(dict[str, Any]):
    """A mapping that knows where each of its keys was written (``registry.yaml:41``)."""

    def __init__(self) -> None:
        super().__init__()
        self.where: dict[str, str] = {}

    def put(self, key: str, value: Any, where: str) -> None:
        self[key] = value
        self.where[key] = where


def load(path: Path) -> Node:
    """Read a YAML file whose top level is a mapping. Raises ConfigError with file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `zoo init` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read: {error}") from error
    value = parse(text, path.name)
    if not isinstance(value, Node):
        raise ConfigError(f"{path.name}:1: the top level must be a mapping of sections")
    return value


def parse(text: str, name: str) -> Any:
    """Parse YAML text; ``name`` stands for the file in messages."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{name}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from error
    problems: list[str] = []
    value = _convert(root, name, (), problems) if root else None
    if problems:
        raise ConfigError(*problems)
    return value


def _convert(node: yaml.Node, name: str, above: tuple[int, ...], problems: list[str]) -> Any:
    where = f"{name}:{node.start_mark.line + 1}"
    if id(node) in above:
        problems.append(f"{where}: an alias that contains itself; write the value out")
        return None
    above = (*above, id(node))
    if isinstance(node, yaml.SequenceNode):
        return [_convert(item, name, above, problems) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        result, merged = Node(), Node()
        for key, value in node.value:
            line = f"{name}:{key.start_mark.line + 1}"
            if key.tag == "tag:yaml.org,2002:merge":
                merged = _convert(value, name, above, problems)
                if not isinstance(merged, Node):
                    problems.append(f"{line}: `<<` merges one mapping, e.g. `<<: *name`")
                    merged = Node()
            elif not isinstance(key, yaml.ScalarNode):
                problems.append(f"{line}: a key must be text")
            elif key.value in result:
                problems.append(
                    f"{line}: duplicate key `{key.value}` (first at {result.where[key.value]}); "
                    "remove one"
                )
            else:
                result.put(key.value, _convert(value, name, above, problems), line)
        for inherited in [k for k in merged if k not in result]:
            result.put(inherited, merged[inherited], merged.where[inherited])
        return result
    assert isinstance(node, yaml.ScalarNode)
    return _scalar(node.value) if node.style is None else node.value


def _scalar(text: str) -> Any:
    for pattern, make in _SCALARS:
        if pattern.fullmatch(text):
            return make(text)
    return text


def merge(base: Node, changes: Node) -> Node:
    """``base`` with ``changes`` laid over it, in depth.

    A mapping that names another ``part`` starts afresh: the old part's settings go with it.
    """
    result = Node()
    for key, value in base.items():
        result.put(key, value, base.where[key])
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(value, Node) and isinstance(old, Node) and not _renames(old, value):
            value = merge(old, value)
        result.put(key, value, changes.where[key])
    return result


def _renames(old: Node, new: Node) -> bool:
    return any(key in new and new[key] != old.get(key) for key in ("part", "reader"))


def without_nulls(node: Node) -> Node:
    """The mapping without its keys that are null: how a slot is emptied."""
    result = Node()
    for key, value in node.items():
        if value is not None:
            result.put(key, value, node.where[key])
    return result


def plain(value: Any) -> Any:
    """Ordinary dicts and lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def where(root: Node, path: Iterable[Any]) -> str:
    """Where the deepest written key on a path stands; "" where none is known."""
    found, node = "", root
    for step in path:
        if isinstance(node, Node) and step in node.where:
            found, node = node.where[step], node[step]
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            node = node[step]
        else:
            break
    return found
