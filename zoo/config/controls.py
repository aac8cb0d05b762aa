"""The controls of a multimodal system: what its score is to be compared with.

- ``text only``: the same system without views, and without context behind the sentence.
- ``plain attention``: the same encoders and decoder with one cross-attention between them, and no
  aligner or objective.
- ``random vectors``: the same system with fixed random vectors, drawn once a picture, in place of
  the features of every view.
"""

from __future__ import annotations

from typing import Any

from zoo.config import tree
from zoo.errors import ConfigError
from zoo.schema import PartSpec, SystemSpec
from zoo.yaml import Node, Place

TEXT_ONLY, ATTENTION, RANDOM = NAMES = ("text only", "plain attention", "random vectors")

Changes = list[tuple[str, Any]]
"""Paths inside the system, and what they get."""


def controls(root: Node, spec: SystemSpec, at: Place) -> dict[str, Changes]:
    """By name, what makes each control out of a system; those that it can have.

    Raises:
        ConfigError: the system has neither views nor context, so that there is none.
    """
    found: dict[str, Changes] = {}
    context = _contexts(spec.text, "text") if spec.text is not None else []
    if spec.views or context:
        found[TEXT_ONLY] = [*([("views", None)] if spec.views else []), *context]
    if spec.views:
        level = getattr(spec.decoder.cls, "classifies", "token")
        gone = [slot for slot in ("aligner", "fuser", "objective") if getattr(spec, slot)]
        plain = _node({"part": "cross_attention", "level": level}, at)
        of_fuser = getattr(spec.fuser.cls, "loss_names", ()) if spec.fuser else ()
        weights = [name for name in spec.loss_weights if name in of_fuser]
        found[ATTENTION] = [
            *((slot, None) for slot in gone),
            *((f"loss_weights.{name}", None) for name in weights),
            ("fuser", plain),
        ]
        written = tree.system(root, spec.name, spec.backbone)["views"]
        found[RANDOM] = [
            (
                f"views.{view}",
                _node(
                    {
                        "part": "random_vectors",
                        "encoder": written[view].copy(["frozen"]),
                        "of": sees,
                    },
                    at,
                ),
            )
            for view, part in spec.views.items()
            for (sees, *_) in [part.cls.sees_of(part.settings)]  # type: ignore[attr-defined]
        ]
    if not found:
        raise ConfigError(
            f"{at}: {spec.name} has neither views nor context, so it has no controls; name "
            "multimodal systems as `base`"
        )
    return found


def _contexts(part: PartSpec, path: str) -> Changes:
    """What takes away the context that an encoder, or one inside of it, reads."""
    own: Changes = [(f"{path}.context", None)] if part.settings.get("context") else []
    for name, each in part.nested.items():
        own += _contexts(each, f"{path}.{name}")
    return own


def _node(items: dict[str, Any], at: Place) -> Node:
    node = Node()
    for key, value in items.items():
        node.put(key, value, Place((*at.path, key), at.line))
    return node
