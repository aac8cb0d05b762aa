"""The registry: a dictionary from (kind, name) to a class, with a good error.

Names resolve lazily: built-in parts are listed by module, so listing them imports no torch.
Other packages add theirs by the entry point group ``zoo.plugins`` (each entry is a module to
import); a file adds its own by ``--plugin FILE``.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TypeVar

from zoo.errors import ConfigError, near
from zoo.files import is_file

KINDS = (
    "reader",
    "text_encoder",
    "image_encoder",
    "joint_encoder",
    "aligner",
    "fuser",
    "decoder",
    "objective",
)

ENGINE = "engine"
"""What a plug-in registers an engine as (see :mod:`zoo.engines`); it is no part."""

ENTRY_POINTS = "zoo.plugins"
"""The entry point group by which a package names the modules that register its parts."""

BUILT_IN: dict[tuple[str, str], str] = {
    ("reader", "bio"): "zoo.data.bio",
    ("reader", "jsonl"): "zoo.data.jsonl",
    ("reader", "synthetic"): "zoo.data.synthetic",
    ("text_encoder", "transformer"): "zoo.encoders.transformer",
    ("text_encoder", "bilstm"): "zoo.encoders.bilstm",
    ("text_encoder", "contextual"): "zoo.encoders.contextual",
    ("image_encoder", "caption"): "zoo.encoders.caption",
    ("image_encoder", "cnn"): "zoo.encoders.cnn",
    ("image_encoder", "vit"): "zoo.encoders.vit",
    ("image_encoder", "open_clip"): "zoo.encoders.open_clip",
    ("image_encoder", "timm"): "zoo.encoders.timm",
    ("image_encoder", "pyramid"): "zoo.encoders.pyramid",
    ("image_encoder", "crops"): "zoo.encoders.crops",
    ("image_encoder", "album"): "zoo.encoders.album",
    ("image_encoder", "detector"): "zoo.encoders.detector",
    ("image_encoder", "small_cnn"): "zoo.encoders.small",
    ("image_encoder", "small_vit"): "zoo.encoders.small",
    ("image_encoder", "random_vectors"): "zoo.encoders.random_vectors",
    ("aligner", "contrastive"): "zoo.aligners.contrastive",
    ("aligner", "information_bottleneck"): "zoo.aligners.information_bottleneck",
    ("aligner", "dual_bottleneck"): "zoo.aligners.dual_bottleneck",
    ("fuser", "cross_attention"): "zoo.fusers.cross_attention",
    ("fuser", "collaboration"): "zoo.fusers.collaboration",
    ("fuser", "multimodal_transformer"): "zoo.fusers.multimodal_transformer",
    ("fuser", "matching_gate"): "zoo.fusers.matching_gate",
    ("fuser", "gated_graph"): "zoo.fusers.gated_graph",
    ("fuser", "two_step"): "zoo.fusers.two_step",
    ("fuser", "hierarchy"): "zoo.fusers.hierarchy",
    ("fuser", "co_attention"): "zoo.fusers.co_attention",
    ("fuser", "modulated_attention"): "zoo.fusers.modulated_attention",
    ("fuser", "late_fusion"): "zoo.fusers.late_fusion",
    ("decoder", "softmax"): "zoo.decoders.softmax",
    ("decoder", "crf"): "zoo.decoders.crf",
    ("decoder", "auxiliary_crf"): "zoo.decoders.auxiliary_crf",
    ("decoder", "pointer"): "zoo.decoders.pointer",
    ("decoder", "span_classifier"): "zoo.decoders.span_classifier",
    ("objective", "cross_view"): "zoo.objectives.cross_view",
}

_registered: dict[tuple[str, str], type] = {}
_plugins_loaded = False
_plugin_files: dict[str, Path] = {}
_executed: dict[str, bytes] = {}
"""What each of these files held when it was loaded."""

C = TypeVar("C", bound=type)


def register(kind: str, name: str) -> Callable[[C], C]:
    """Class decorator: make a class available in YAML as ``part: name`` of its kind.

    Raises:
        ConfigError: the kind does not exist, or the name is taken by another class.
    """
    known = (*KINDS, ENGINE)
    if kind not in known:
        raise ConfigError(f"register({kind!r}, {name!r}): unknown kind{near(kind, known)}")

    def add(cls: C) -> C:
        home = BUILT_IN.get((kind, name), cls.__module__)
        other = _registered.get((kind, name))
        if home != cls.__module__ or (other is not None and other.__module__ != cls.__module__):
            raise ConfigError(
                f"register({kind!r}, {name!r}) in {cls.__module__}: the name is taken by "
                f"{other.__module__ if other else home}; choose another"
            )
        _registered[kind, name] = cls
        return cls

    return add


def names(kind: str) -> list[str]:
    """The names registered under a kind, sorted. Imports no part."""
    load_plugins()
    return sorted({n for k, n in (*BUILT_IN, *_registered) if k == kind})


def registered() -> dict[tuple[str, str], type]:
    """The classes registered so far, by kind and name. Imports nothing."""
    return dict(_registered)


def resolve(kind: str, name: str) -> type:
    """The class registered as ``name``. Raises ConfigError with a near match."""
    load_plugins()
    if (kind, name) not in _registered and (kind, name) in BUILT_IN:
        importlib.import_module(BUILT_IN[kind, name])
    try:
        return _registered[kind, name]
    except KeyError:
        own = "a part of your own: `--plugin FILE` or `plugins: [FILE]`"
        raise ConfigError(f"unknown {kind} `{name}`{near(name, names(kind))} ({own})") from None


def summary(kind: str, name: str) -> str:
    """The first line of a part's docstring; a built-in's is read without importing it."""
    if (kind, name) in _registered:
        return (_registered[kind, name].__doc__ or "").strip().partition("\n")[0]
    spec = importlib.util.find_spec(BUILT_IN[kind, name])
    if spec is None or spec.origin is None:
        return ""
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            marks = [ast.unparse(mark) for mark in node.decorator_list]
            if f"register({kind!r}, {name!r})" in marks:
                return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def load_plugins() -> None:
    """Import every module named by an installed ``zoo.plugins`` entry point, once."""
    global _plugins_loaded
    if not _plugins_loaded:
        _plugins_loaded = True
        if not _may_have_plugins():
            return
        from importlib.metadata import entry_points

        for entry in entry_points(group=ENTRY_POINTS):
            try:
                entry.load()
            except Exception as error:  # whatever the plug-in's own code raises
                raise ConfigError(
                    f"plug-in `{entry.name}` ({entry.value}) can't be imported: "
                    f"{type(error).__name__}: {error}; fix or uninstall it"
                ) from error


def _may_have_plugins() -> bool:
    """Whether an installed package may name plug-ins.

    The library that knows for certain takes a tenth of a second, in every command; this looks for
    the group's name in the files that it would read. Where packages are not folders, it is asked.
    """
    for place in filter(None, sys.path):
        try:
            found = os.listdir(place)
        except FileNotFoundError:
            continue
        except OSError:
            return True  # a zip file
        for name in found:
            if name.endswith((".dist-info", ".egg-info", ".egg")):
                for within in ("", "EGG-INFO"):
                    try:
                        with open(os.path.join(place, name, within, "entry_points.txt"), "rb") as f:
                            if ENTRY_POINTS.encode() in f.read():
                                return True
                    except OSError:
                        continue
    return False


def load_plugin_file(path: Path, asked: str | None = None) -> None:
    """Import one Python file as a plug-in: once, and again when it was edited.

    Args:
        asked: what names the file, for messages; None: ``--plugin FILE``.

    Raises:
        ConfigError: no such file, or what its code raises.
    """
    asked = f"{asked}: {path}" if asked else f"--plugin {path}"
    if not is_file(path):
        raise ConfigError(f"{asked}: no such file")
    path = path.resolve()
    # the path tells apart files of one name; an id leaves it out (see zoo.identity)
    name = f"zoo_plugin_{path.stem}__{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    from zoo.identity import remember  # which lists of parts need not wait for

    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or not isinstance(spec.loader, SourceFileLoader):
        raise ConfigError(f"{asked}: not a Python file")
    data = path.read_bytes()
    if name in _plugin_files and _executed[name] == data:
        return
    _forget(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # not by the loader, whose compiled file tells edits within a second by their size alone
        exec(spec.loader.source_to_code(data, str(path)), module.__dict__)
        remember(name, path, importlib.util.decode_source(data))
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # whatever the plug-in's own code raises
        raise ConfigError(f"{asked}: {type(error).__name__}: {error}") from error
    _plugin_files[name], _executed[name] = path, data


def plugin_files() -> list[Path]:
    """The files loaded as plug-ins: another process has to load them, too."""
    return list(_plugin_files.values())


def forget_plugin_files() -> None:
    """Undo what files loaded as plug-ins registered: each command has only its own."""
    for name in [*_plugin_files]:
        _forget(name)


def _forget(name: str) -> None:
    """Undo what the file that is loaded as this module registered."""
    for key in [k for k, cls in _registered.items() if cls.__module__ == name]:
        del _registered[key]
    sys.modules.pop(name, None)
    _plugin_files.pop(name, None)
    _executed.pop(name, None)
