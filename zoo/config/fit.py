"""Whether the parts of a system fit together, as far as that is known without building it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from zoo import registry
from zoo.errors import near
from zoo.schema import SystemSpec, sees

Problem = tuple[tuple[str, ...], str]
"""Where in the system, and what is wrong."""


def misfits(spec: SystemSpec, removed: Collection[str] = ()) -> list[Problem]:
    """What does not fit together.

    Args:
        removed: names of views that were taken away by a null.
    """
    problems: list[Problem] = []
    if (spec.text is None) == (spec.joint is None):
        problems.append(((), "needs either `text` or `joint`, and not both"))
    for view in spec.views:
        if "." in view:
            problems.append((("views", view), "no dots in a view's name"))
    if spec.joint and spec.views:
        problems.append((("views",), "a joint encoder makes its own views; remove one of the two"))
    if not spec.views and not spec.joint:
        problems += [
            ((slot,), "there is no view to work on; add `views` or remove it")
            for slot in ("aligner", "fuser")
            if getattr(spec, slot)
        ]
    if spec.views and not (spec.aligner or spec.fuser or spec.objective):
        problems.append(
            (("views",), "no aligner and no fuser reads the views; add one, or write `views: null` "
             "for the system's text-only version")
        )  # fmt: skip
    of_spans = getattr(spec.decoder.cls, "classifies", "token") == "span"
    if spec.fuser and spec.fuser.settings.get("level") == "span" and not of_spans:
        problems.append(
            (("fuser", "level"), f"level span needs a decoder of spans, and `{spec.decoder.name}` "
             "classifies tokens; use `level: token` or `span_classifier`")
        )  # fmt: skip
    context = spec.text is not None and not sees(spec.text) <= {"words"}
    if spec.objective and getattr(spec.objective.cls, "needs_context", False) and not context:
        problems.append(
            (("objective",), "it compares the sentence with and without context, and there is no "
             "text encoder that reads any; add `text.context`, or remove the objective")
        )  # fmt: skip
    return problems + _idle_weights(spec, {*spec.views, *removed})


def with_own_weights(spec: SystemSpec) -> SystemSpec:
    """The system without the loss weights of parts that it does not have."""
    own = _own(spec)
    kept = {k: v for k, v in spec.loss_weights.items() if k.partition(".")[0] in own}
    return replace(spec, loss_weights=kept)


def _idle_weights(spec: SystemSpec, views: set[str]) -> list[Problem]:
    """Weights that would do nothing without a word.

    A weight may be of a loss whose part or view was taken away, or of another decoder's.
    """
    own = _own(spec)
    empty = [slot for slot in ("aligner", "fuser", "objective") if not getattr(spec, slot)]
    decoders = _registered("decoder")
    classes = {*spec.classes, *(cls for slot in empty for cls in _classes(slot))}
    whole = decoders | {name for cls in classes for name in getattr(cls, "whole_losses", ())}
    known = own | decoders | {name for slot in empty for name in _registered(slot)}
    problems: list[Problem] = []
    for name in spec.loss_weights:
        loss, dot, view = name.partition(".")
        # a joint encoder tells its views when it is built (see zoo.build)
        strange = view not in views and not spec.joint
        if loss not in known or (dot and (loss in whole or strange)):
            names = own | {f"{each}.{view}" for each in own - whole for view in spec.views}
            problems.append(
                (("loss_weights", name), f"no part lists a loss `{name}` in its "
                 f"`loss_names`{near(name, names)}")
            )  # fmt: skip
    return problems


def _own(spec: SystemSpec) -> set[str]:
    """The names of the system's losses, without views."""
    return {name for names in spec.losses.values() for name in names}


def _losses(classes: Iterable[type]) -> set[str]:
    """The names of the losses that parts have."""
    return {name for cls in classes for name in getattr(cls, "loss_names", ())}


def _registered(kind: str) -> set[str]:
    """Those of every registered part of a kind."""
    return _losses(_classes(kind))


def _classes(kind: str) -> list[type]:
    return [registry.resolve(kind, name) for name in registry.names(kind)]
