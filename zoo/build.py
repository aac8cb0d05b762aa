"""From a validated specification to a system: the only place that knows widths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from zoo.encoders.frozen import Frozen
from zoo.parts import ImageEncoder, ViewSpec
from zoo.schema import PartSpec, SystemSpec, supplied
from zoo.system import System
from zoo.types import Sample, Splits


def build(spec: SystemSpec, train: Iterable[Sample], cache: Path) -> System:
    """Assemble a system.

    Args:
        train: the training split: vocabularies and entity types are learnt from it alone.
        cache: the folder for features of frozen image encoders.

    Raises:
        ConfigError: a part refuses its settings, or its weights can't be loaded.
    """
    train = list(train)
    words = Counter(word for sample in train for word in sample.words)
    types = sorted({entity.type for sample in train for entity in sample.entities})
    known: dict[str, Any] = {"words": words, "types": types}
    encoder = spec.text or spec.joint
    assert encoder is not None, "a validated system has a text or a joint encoder"
    text = make(encoder, known, cache)
    views: dict[str, ImageEncoder] = {
        name: make(part, known, cache) for name, part in spec.views.items()
    }
    known["width"] = known["text_width"] = text.width
    known["views"] = getattr(text, "view_specs", None) or {
        name: ViewSpec(view.width, view.regions) for name, view in views.items()
    }
    aligner = make(spec.aligner[0], known, cache) if spec.aligner else None
    if aligner and aligner.views is not None:
        known["views"] = aligner.views
    fuser = make(spec.fuser, known, cache) if spec.fuser else None
    known["fused"] = fuser.width if fuser else text.width
    if fuser and fuser.level == "token":
        known["width"] = fuser.width
    decoder = make(spec.decoder, known, cache)
    return System(text, views, aligner, fuser, decoder, spec.loss_weights)


def make(part: PartSpec, known: Mapping[str, Any], cache: Path) -> Any:
    """Build one part: nested parts first, then the constructor with what it asks for."""
    nested = {name: make(child, known, cache) for name, child in part.nested.items()}
    given = {name: known[name] for name in supplied(part.cls)}
    built = part.cls(**given, **part.settings, **nested)
    if part.frozen and isinstance(built, ImageEncoder):
        return Frozen(built, cache)
    if part.frozen:
        freeze(built)
    return built


def freeze(module: Any) -> None:
    """No gradient, and eval mode for good."""
    module.requires_grad_(False)
    module.eval()
    module.train = lambda mode=True: module


def read_data(part: PartSpec, root: Path) -> Splits:
    """Read a dataset. Raises DataError."""
    splits: Splits = reader(part, root).read()
    return splits


def reader(part: PartSpec, root: Path) -> Any:
    """Build a reader; ``root`` is the folder that data paths are relative to."""
    return make(part, {"root": root}, root)
