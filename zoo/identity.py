"""What a run is known by: one rule, a hash over all that decides its numbers.

A run's id covers

- the configuration of system and recipe, without what stands at its default and without names;
- the fingerprint of the data (a dataset's settings decide nothing beyond it);
- the source of the parts used, and of the modules they are made of;
- a digest of every model that a part loads, in place of the name or path it is written as;
- the precision, as resolved for the machine;
- the number of the harness;
- the seed.

Runs that differ in their seed alone are one variant. The key of a frozen encoder's features is
made of the same :func:`sources`.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from zoo.errors import ConfigError

HARNESS = 2
"""The version of everything outside of the parts that decides a number: trainer, optimiser,
schedule, batches, system, build, picture decoding, tag reading, the dev score that picks the epoch,
and the defaults of settings.

Raise it with every change that moves a number; every stored run is then another run.
``tests/test_trajectory.py`` fails when a number moves under the same version.
"""

ID_LENGTH = 12


class Part(Protocol):
    """What is asked of a part's specification (:class:`zoo.schema.PartSpec`)."""

    @property
    def name(self) -> str: ...
    @property
    def cls(self) -> type: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    @property
    def nested(self) -> Mapping[str, Part]: ...
    @property
    def frozen(self) -> bool: ...


class Assembly(Protocol):
    """What is asked of a system's specification (:class:`zoo.schema.SystemSpec`)."""

    @property
    def parts(self) -> Sequence[tuple[str, Part]]: ...
    @property
    def loss_weights(self) -> Mapping[str, float]: ...


# Ids ----------------------------------------------------------------------------------------------


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON: mappings in any order give the same."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def variant_id(
    config_hash: str, fingerprint: str, sources: str, precision: str, harness: int = HARNESS
) -> str:
    """What the seeds of one variant share.

    Args:
        config_hash: see :func:`configuration`.
        fingerprint: of the data.
        sources: see :func:`sources`.
        precision: ``fp32``, ``bf16`` or ``fp16``: what ``auto`` resolved to.
    """
    return digest([config_hash, fingerprint, sources, precision, harness])[:ID_LENGTH]


def run_id(
    config_hash: str,
    fingerprint: str,
    sources: str,
    precision: str,
    seed: int,
    harness: int = HARNESS,
) -> str:
    """The run's content address; the arguments are those of :func:`variant_id` and the seed."""
    return digest([config_hash, fingerprint, sources, precision, harness, seed])[:ID_LENGTH]


# Configuration ------------------------------------------------------------------------------------


def configuration(system: Assembly, recipe: BaseModel) -> tuple[str, dict[str, str]]:
    """What of the configuration decides a run's numbers.

    Settings at their defaults don't enter, names don't enter, and a model enters by its digest. The
    recipe's precision stands in the id by itself. The order of views, of the patterns of learning
    rates and of any mapping in a part's settings counts: parts are built, and patterns tried, in
    that order.

    Returns:
        A SHA-256 (the ``config_hash`` of :func:`variant_id`), and the digest of every model that a
        part loads, by the name it is written as.

    Raises:
        ConfigError: a model that a part loads can't be found.
    """
    models: dict[str, str] = {}
    training = recipe.model_dump(mode="json", exclude_defaults=True, exclude={"precision"})
    settings = {
        "system": [[slot, _decisive(part, models)] for slot, part in system.parts],
        "loss_weights": _weights(system.loss_weights),
        "recipe": {key: _plain(value) for key, value in training.items()},
    }
    return digest(settings), dict(sorted(models.items()))


def _decisive(part: Part, models: dict[str, str]) -> dict[str, Any]:
    """What of a part's specification decides its numbers, as plain data.

    A part that loads anything from elsewhere (weights, a tokenizer, configuration files) defines
    ``@classmethod loaded(cls, settings) -> dict[str, str]``, which gives, for its validated
    settings, each model's digest by the name it is written as: that of a local model's files, the
    commit of a model on the hub. A setting that is such a name enters as the digest, and one
    that is such a digest (a revision written out) not at all.

    Args:
        models: what the part and those nested in it load is added here.
    """
    loaded = getattr(part.cls, "loaded", None)
    own: dict[str, str] = dict(loaded(part.settings)) if loaded is not None else {}
    models |= own
    settings = {}
    for name, plain in _written(part).items():
        commit = isinstance(plain, str) and plain in own.values()
        if not commit:
            settings[name] = _named(plain, own)
    return {
        "part": part.name,
        "settings": settings,
        "loaded": sorted(own.values()),
        "frozen": part.frozen,
        "nested": {name: _decisive(child, models) for name, child in part.nested.items()},
    }


def asked(part: Part, models: Iterable[str]) -> str:
    """SHA-256 of what a part and those nested in it were asked for, defaults left out.

    Args:
        models: names and revisions of what they load, which are left out, too: its weights stand
            for it.
    """
    return digest(_asked(part, dict.fromkeys(models, "")))


def _asked(part: Part, blank: Mapping[str, str]) -> dict[str, Any]:
    return {
        "part": part.name,
        "settings": {name: _named(plain, blank) for name, plain in _written(part).items()},
        "frozen": part.frozen,
        "nested": {name: _asked(child, blank) for name, child in part.nested.items()},
    }


def _written(part: Part) -> dict[str, Any]:
    """A part's settings that are not at their defaults, as plain data."""
    defaults = _defaults(part.cls)
    plain = {name: _plain(value) for name, value in part.settings.items()}
    return {
        name: value
        for name, value in plain.items()
        if name not in defaults or not _same(value, _plain(defaults[name]))
    }


def _same(value: Any, default: Any) -> bool:
    """Whether two values are the same JSON: ``True`` is not 1, and 1 is not 1.0."""
    return json.dumps(value) == json.dumps(default)


@cache
def _defaults(cls: type) -> dict[str, Any]:
    """The defaults of a part's settings, which are its constructor's keyword-only arguments."""
    constructor = inspect.getattr_static(cls, "__init__")
    return {
        name: argument.default
        for name, argument in inspect.signature(constructor).parameters.items()
        if argument.kind is argument.KEYWORD_ONLY and argument.default is not argument.empty
    }


def _plain(value: Any) -> Any:
    """A value as JSON, with mappings as lists of pairs, whose order counts."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, Mapping):
        return {"pairs": [[key, _plain(inner)] for key, inner in value.items()]}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _named(plain: Any, models: Mapping[str, str]) -> Any:
    """Plain data with the digests of models in place of their names."""
    if isinstance(plain, str):
        return models.get(plain, plain)
    if isinstance(plain, list):
        return [_named(inner, models) for inner in plain]
    if isinstance(plain, dict):
        return {key: _named(inner, models) for key, inner in plain.items()}
    return plain


def _weights(weights: Mapping[str, float]) -> dict[str, float]:
    """The loss weights that differ from what would hold without them."""
    return {
        name: float(weight)
        for name, weight in weights.items()
        if weight != (weights.get(name.partition(".")[0], 1.0) if "." in name else 1.0)
    }


# Source -------------------------------------------------------------------------------------------

_PLACE = re.compile(r"__[0-9a-f]{8}$")
"""What the name of a plug-in file's module tells of its folder."""

_ZOO = Path(__file__).parent.parent
_KINDS = ("encoders", "aligners", "fusers", "decoders", "objectives")
_PART_PACKAGES = ("zoo.blocks", *(f"zoo.{kind}" for kind in _KINDS))


def sources(parts: Iterable[Any]) -> str:
    """SHA-256 of the source of the parts used and of the modules they import, at any depth.

    Of ``zoo`` these are the modules in the packages of parts: what lies elsewhere in it is the
    harness. Of a plug-in file they are the modules that lie in its folder, of an installed plug-in
    those of its package. Comments, formatting and docstrings don't count: they can't change a
    result. What counts is what was loaded, whatever a file holds by now (see :func:`stale`).

    Args:
        parts: classes or functions.

    Raises:
        ConfigError: a part without a source file.
    """
    found = hashlib.sha256()
    for name, file in sorted(_modules({part.__module__ for part in parts}).items()):
        found.update(f"{_PLACE.sub('', name)}\0{_code(_text(file))}\0".encode())
    return found.hexdigest()


def stale(parts: Iterable[Any]) -> list[str]:
    """What of the :func:`sources` of parts was edited after it was loaded, one line a file."""
    files = _modules({part.__module__ for part in parts}).values()
    return [
        f"{file} was changed since it was loaded, and the code from before would run; "
        "start Python anew"
        for file in sorted(files)
        if not file.is_file() or _differ(_read(file), _text(file))
    ]


def remember(name: str, file: Path, text: str) -> None:
    """Note the text that a module was executed from, and those of the modules that it imports."""
    _texts[file] = text
    _modules({name})


_texts: dict[Path, str] = {}
"""Every source file as it was when it was loaded, or first asked for: what runs does not change
when a file does."""


def _text(file: Path) -> str:
    if file not in _texts:
        _texts[file] = _read(file)
    return _texts[file]


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _differ(one: str, other: str) -> bool:
    """Whether two sources differ in more than comments, formatting and docstrings."""
    try:
        return _code(one) != _code(other)
    except SyntaxError:  # a file that is being edited
        return True


def _modules(homes: set[str]) -> dict[str, Path]:
    """The file of every module whose source counts, by the module's name."""
    packages = {*_PART_PACKAGES}
    packages |= {home.rpartition(".")[0] for home in homes if home.count(".") > 1}
    queue = [_home(name) for name in sorted(homes)]
    seen: dict[str, Path] = {}
    while queue:
        name, file = queue.pop()
        if name not in seen:
            seen[name] = file
            queue += _beside(name, file, packages)
    return seen


def _home(name: str) -> tuple[str, Path]:
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or not _there(Path(file)):
        raise ConfigError(f"the source of the part in `{name}` can't be read; put it into a file")
    return name, Path(file)


def _there(file: Path) -> bool:
    return file in _texts or file.is_file()


def _beside(name: str, file: Path, packages: set[str]) -> Iterator[tuple[str, Path]]:
    """The modules that a module imports and whose source counts: (name, file)."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    top = name.partition(".")[0]
    root = file.parents[name.count(".") + (file.name == "__init__.py")]
    installed = root.name in ("site-packages", "dist-packages")
    for imported in _imports(_text(file), package):
        first = imported.partition(".")[0]
        if first == "zoo":
            if imported.rpartition(".")[0] in packages and (found := _find(_ZOO, imported)):
                yield imported, found
        elif first == top or not installed:
            steps = imported.split(".")
            for depth in range(1, len(steps) + 1):  # importing a.b runs a, too
                inner = ".".join(steps[:depth])
                if found := _find(root, inner):
                    yield inner, found


def _find(root: Path, name: str) -> Path | None:
    """The file of a module by its dotted name, below a folder."""
    place = root.joinpath(*name.split("."))
    files = (place.with_name(f"{place.name}.py"), place / "__init__.py")
    return next((file for file in files if _there(file)), None)


@cache
def _imports(source: str, package: str) -> frozenset[str]:
    """The dotted names that a module imports, anywhere in it; relative ones resolved."""
    names = set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            try:
                home = resolve_name(relative, package) if node.level else relative
            except ImportError:  # beyond the top: it fails where it is imported
                continue
            names |= {home, *(f"{home}.{alias.name}" for alias in node.names)}
    return frozenset(names)


@cache
def _code(source: str) -> str:
    """The source without comments, formatting and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and isinstance(body, list)
            and ast.get_docstring(node) is not None
        ):
            node.body = body[1:] or [ast.Pass()]
    return ast.unparse(tree)
