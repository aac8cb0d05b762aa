"""YAML that remembers where every key was written, without YAML's traps.

Plain scalars follow the YAML 1.2 core schema: ``no`` is text, ``1e-5`` is a number, ``010`` is ten.
Duplicate keys are errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from zoo.errors import ConfigError

MOST = 200_000
"""Values that a file may hold once its aliases are written out."""

_SCALARS = (
    (re.compile(r"~|null|Null|NULL|"), lambda text: None),
    (re.compile(r"true|True|TRUE"), lambda text: True),
    (re.compile(r"false|False|FALSE"), lambda text: False),
    (re.compile(r"[-+]?[0-9]{1,300}"), lambda text: int(text, 10)),
    (re.compile(r"0o[0-7]{1,300}"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]{1,300}"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda text: float("nan")),
)


_ODD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
"""Characters that are no text."""

_RESOLVER = yaml.SafeLoader("")


class Place(NamedTuple):
    """Where a key was written: its path from the top, and ``registry.yaml:41``."""

    path: tuple[str, ...]
    line: str

    def __str__(self) -> str:
        dotted = ".".join(self.path)
        return (f"{dotted} ({self.line})" if self.line else dotted) if dotted else self.line


class Node(dict[str, Any]):
    """A mapping that knows where each of its keys was written."""

    def __init__(self) -> None:
        super().__init__()
        self.where: dict[str, Place] = {}

    def put(self, key: str, value: Any, where: Place) -> None:
        self[key] = value
        self.where[key] = where

    def copy(self, without: Iterable[str] = ()) -> Node:
        """The same keys and values in a mapping of its own, except those ``without``."""
        result, gone = Node(), set(without)
        for key, value in self.items():
            if key not in gone:
                result.put(key, value, self.where[key])
        return result


def load(path: Path, name: str | None = None) -> Node:
    """Read a YAML file whose top level is a mapping. Raises ConfigError with file and line.

    Args:
        name: what stands for the file in messages; None: the file's name.
    """
    name = name or path.name
    try:
        if path.exists() and not path.is_file():  # a pipe would wait for ever
            raise ConfigError(f"{path}: can't be read: not a file; name a YAML file")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; name your registry, or have `zoo init` write one"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a path with a NUL
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: can't be read: {reason}") from error
    value = parse(text, name)
    if not isinstance(value, Node):
        raise ConfigError(f"{name}:1: the top level must be a mapping of sections")
    return value


def parse(text: str, name: str, path: tuple[str, ...] = ()) -> Any:
    """Parse YAML text.

    Args:
        name: what stands for the file in messages.
        path: where the value stands, if not at the top.

    Raises:
        ConfigError: with file and line.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{name}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply; flatten it") from None
    reader = _Reader(name)
    value = reader.convert(root, path, ()) if root else None
    if reader.problems:
        raise ConfigError(*reader.problems)
    return value


class _Reader:
    """Turns composed YAML into nodes, lists and scalars."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[str] = []
        self.left = MOST

    def convert(self, node: yaml.Node, path: tuple[str, ...], above: tuple[int, ...]) -> Any:
        line = self.line(node)
        if id(node) in above:
            self.problems.append(f"{line}: an alias that contains itself; write the value out")
            return None
        self.left -= 1
        if self.left < 0:
            raise ConfigError(
                f"{line}: the aliases of this file stand for more than {MOST:,} values; write out "
                "what is needed"
            )
        above = (*above, id(node))
        if node.tag != self.implicit(node):
            self.problems.append(f"{line}: tags (`{node.tag}`) are not supported; remove it")
        if isinstance(node, yaml.SequenceNode):
            return [self.convert(item, (*path, str(i)), above) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path, above)
        assert isinstance(node, yaml.ScalarNode)
        self.check(node.value, line)
        return _scalar(node.value) if node.style is None else node.value

    def check(self, text: str, line: str) -> None:
        odd = _ODD.search(text)
        if odd and odd[0] >= "\ud800":
            self.problems.append(
                f"{line}: `{text}` holds half a character (a surrogate), which can't be stored; "
                "write the character itself"
            )
        elif odd:
            name = "a NUL" if odd[0] == "\0" else f"the character {odd[0]!r}"
            self.problems.append(f"{line}: `{text}` holds {name}, which no name can; remove it")

    def implicit(self, node: yaml.Node) -> str:
        """The tag that a node has where none is written."""
        plain = (node.style is None, True) if isinstance(node, yaml.ScalarNode) else (True, False)
        tag: str = _RESOLVER.resolve(type(node), node.value, plain)  # type: ignore[no-untyped-call]
        return tag

    def mapping(
        self, node: yaml.MappingNode, path: tuple[str, ...], above: tuple[int, ...]
    ) -> Node:
        result, merged = Node(), Node()
        for key, value in node.value:
            line = self.line(key)
            if key.tag == "tag:yaml.org,2002:merge":
                inherited = self.convert(value, path, above)
                if isinstance(inherited, Node):
                    merged = inherited
                else:
                    self.problems.append(f"{line}: `<<` merges one mapping, e.g. `<<: *name`")
            elif not isinstance(key, yaml.ScalarNode):
                self.problems.append(f"{line}: a key must be text")
            elif _ODD.search(key.value):
                self.check(key.value, line)
            elif key.value in result:
                self.problems.append(
                    f"{line}: duplicate key `{key.value}` (first at "
                    f"{result.where[key.value].line}); remove one"
                )
            else:
                inner = (*path, key.value)
                result.put(key.value, self.convert(value, inner, above), Place(inner, line))
        for key in [k for k in merged if k not in result]:
            result.put(key, merged[key], merged.where[key])
        return result

    def line(self, node: yaml.Node) -> str:
        return f"{self.name}:{node.start_mark.line + 1}"


def _scalar(text: str) -> Any:
    for pattern, make in _SCALARS:
        if pattern.fullmatch(text):
            return make(text)
    return text


class _Dumper(yaml.SafeDumper):
    """Writes what this module reads back: text that looks like something else is quoted."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = None if _scalar(text) is text else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _Dumper.represent_text)


def dump(value: Any, **options: Any) -> str:
    """Plain data as YAML, with keys in their order."""
    text: str = yaml.dump(plain(value), Dumper=_Dumper, sort_keys=False, **options)
    return text


def flow(value: Any) -> str:
    """A value as YAML in one line, as ``-o`` takes it."""
    text = dump(value, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return text.removesuffix("...\n").strip()


def plain(value: Any) -> Any:
    """Ordinary dicts and lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


TOP = Place((), "")


def place(root: Any, path: Iterable[Any], at: Place = TOP) -> Place:
    """Where the deepest key on a path was written, with what of the path lies below it.

    Steps that are not in the data (pydantic names the branches of a union) are passed over.

    Args:
        at: where ``root`` itself was written.
    """
    found, node = at, root
    for step in path:
        if isinstance(node, Node) and step in node.where:
            found, node = node.where[step], node[step]
        elif isinstance(node, dict) and step in node:
            node = node[step]
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            found, node = found._replace(path=(*found.path, str(step))), node[step]
    return found
