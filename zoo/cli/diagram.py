"""A system as a diagram of plain characters: what flows from part to part, and how wide it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.schema import PartSpec, SystemSpec, keywords
from zoo.yaml import flow

if TYPE_CHECKING:
    from zoo.parts import ViewSpec
    from zoo.system import System

WIDE = 78
MOST = 3
"""Encoders that stand side by side; more of them stand in one box."""


class Sizes(NamedTuple):
    """What is known of a system that was built; what is None shows as ``?``."""

    text: int | None = None
    views: Mapping[str, ViewSpec] | None = None
    fuser: int | None = None


def measure(system: System) -> Sizes:
    """The widths that the parts of a system publish."""
    from zoo.parts import ViewSpec

    views = {
        name: ViewSpec(view.width, view.regions)  # type: ignore[arg-type]
        for name, view in system.views.items()
    }
    fuser = system.fuser.width if system.fuser else None
    return Sizes(system.text.width, {**views, **getattr(system.text, "view_specs", {})}, fuser)


def draw(spec: SystemSpec, sizes: Sizes) -> list[str]:
    """The lines of a system's diagram, each at most 78 characters long."""
    lines, alive = _encoders(spec, sizes)
    for part, losses in zip(spec.aligner, _aligner_losses(spec), strict=True):
        lines += _box([*_part("aligner", part), *_losses(spec, losses)], alive, alive)
    of_spans = getattr(spec.decoder.cls, "classifies", "token") == "span"
    above = bool(spec.fuser and spec.fuser.settings.get("level") == "span")
    units = "U" if of_spans else "N"
    if above:  # the fuser works on candidate spans, which the decoder builds first
        title = f"decoder: {spec.decoder.name}, which builds the candidate spans"
        lines += _box([title, f"-> {_shape('U', sizes.text)}"], alive, alive)
    if spec.fuser is not None:
        made = f"-> {_shape('U' if above else 'N', sizes.fuser)}"
        body = [*_part("fuser", spec.fuser), *_losses(spec, spec.losses["fuser"]), made]
        lines += _box(body, alive, alive[:1])
    alive = alive[:1]
    body = [*_part("decoder", spec.decoder), *_losses(spec, spec.losses["decoder"])]
    lines += _box([*body, f"-> the classes of each of the {units} units, and entities"], alive, [])
    if spec.objective is not None:
        body = _part("objective", spec.objective, "in training runs the system again")
        lines += ["", *_box([*body, *_losses(spec, spec.losses["objective"])], [], [])]
    drawn = "".join(lines)
    known = {"B": "sentences", "N": "words", "U": "candidate spans", "R": "regions"}
    legend = [f"{mark} {name}" for mark, name in known.items() if f"{mark} x " in drawn]
    return [line.rstrip() for line in [*lines, ", ".join(legend)]]


def _encoders(spec: SystemSpec, sizes: Sizes) -> tuple[list[str], list[int]]:
    """The boxes of the encoders side by side, and the columns of the lines that leave them."""
    views = sizes.views or {}
    boxes = []
    for slot, part in spec.parts:
        if slot in ("text", "joint"):
            made = [f"-> {_shape('N', sizes.text)}"]
            if slot == "joint":
                made += [f"-> {name}: {_view(view)}" for name, view in views.items()]
        elif slot.startswith("views."):
            made = [f"-> {_view(views.get(slot.removeprefix('views.')))}"]
        else:
            continue
        order = ("words", "picture", "caption")
        fields = sorted(spec.sees[slot], key=lambda f: (order.index(f) if f in order else 9, f))
        boxes.append((", ".join(fields), [*_part(slot, part), *made]))
    if len(boxes) > MOST:
        seen = ", ".join(dict.fromkeys(f for fields, _ in boxes for f in fields.split(", ")))
        boxes = [(seen, [line for _, body in boxes for line in body])]
    width = (WIDE - 2 * (len(boxes) - 1)) // len(boxes)
    middle = width // 2
    drawn = [_box(body, [middle], [middle], width) for _, body in boxes]
    tallest = max(map(len, drawn))
    for box in drawn:  # the shorter ones are filled up above their last line
        box[-2:-2] = [f"|{'':{width - 2}}|"] * (tallest - len(box))
    heads = [fields[:width].center(width) for fields, _ in boxes]
    lines = ["  ".join(heads), *("  ".join(row) for row in zip(*drawn, strict=True))]
    return lines, [i * (width + 2) + middle for i in range(len(boxes))]


def _box(
    body: Sequence[str], into: Sequence[int], out: Sequence[int], width: int = WIDE
) -> list[str]:
    """A box around its text; lines come in at the columns ``into`` and leave at ``out``."""
    text = [line for each in body for line in wrap(each, width - 4, subsequent_indent="  ")]
    rows = [f"| {line:<{width - 4}} |" for line in text]
    edges = [
        "".join(mark if i in at else "-" for i in range(width))
        for mark, at in (("v", into), ("|", out))
    ]
    top, bottom = (f"+{edge[1:-1]}+" for edge in edges)
    after = "".join("|" if i in out else " " for i in range(width))
    return [top, *rows, bottom, *([after] if out else [])]


def _part(slot: str, part: PartSpec, note: str = "") -> list[str]:
    """``slot: part``, and below it the settings that are not at their defaults, and the level."""
    title = f"{slot}: {part.name}" + (", frozen" if part.frozen else "")
    settings = _changed(part)
    return [title + (f", {note}" if note else ""), *([flow(settings)[1:-1]] if settings else [])]


def _changed(part: PartSpec) -> dict[str, Any]:
    """The settings of a part, and of those in it, that are not at their defaults."""
    resolved, defaults = part.resolved(), keywords(part.cls)
    own = {
        key: resolved[key]
        for key, value in part.settings.items()
        if resolved[key] is not None and (key == "level" or value != defaults[key][1])
    }
    return {**own, **{key: {"part": p.name, **_changed(p)} for key, p in part.nested.items()}}


def _losses(spec: SystemSpec, names: Sequence[str]) -> list[str]:
    """One line that names the losses of a part with their weights."""
    weights = {name: spec.loss_weights.get(name, 1.0) for name in names}
    each = [name if weight == 1 else f"{weight:g} * {name}" for name, weight in weights.items()]
    return [f"loss: {' + '.join(each)}"] if each else []


def _aligner_losses(spec: SystemSpec) -> list[list[str]]:
    from zoo.parts import aligner_losses

    return [list(each.values()) for each in aligner_losses([part.cls for part in spec.aligner])]


def _shape(units: str, width: int | None) -> str:
    return f"B x {units} x {'?' if width is None else width}"


def _view(view: ViewSpec | None) -> str:
    if view is None:
        return "B x R x ?"
    return f"B x {'R' if view.regions is None else view.regions} x {view.width}"
