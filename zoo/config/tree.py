"""What is written, before it is validated: node in, node out.

``merge`` lays one mapping over another; ``override`` changes one path of a whole file, for ``-o``
and for the arms of ablations alike; ``system`` resolves ``extends``, ``$slot`` and nulls.
"""

from __future__ import annotations

from typing import Any

from zoo import registry
from zoo.errors import ConfigError, near
from zoo.yaml import Node, Place, place

SECTIONS = ("datasets", "backbones", "systems", "recipes", "suites", "ablations")

SLOTS = ("views", "aligner", "fuser", "objective")
"""The slots of a system that may be empty."""

LOSING = ("aligner", "fuser", "objective")
"""Those whose parts have losses that no other part has."""

_WHOLE = {("recipes", "learning_rates"), ("datasets", "labels"), ("ablations", "grid")}
"""(section, key) of mappings that are replaced, since their order or completeness matters."""


def merge(base: Node, changes: Node) -> Node:
    """``base`` with ``changes`` laid over it, in depth.

    A mapping that names another ``part`` starts afresh: the old part's settings go with it.
    """
    result = base.copy()
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(value, Node) and isinstance(old, Node):
            where = changes.where[key].path
            whole = len(where) == 3 and (where[0], key) in _WHOLE
            if not whole and not _renames(old, value):
                value = merge(old, value)
        result.put(key, value, changes.where[key])
    return result


def _renames(old: Node, new: Node) -> bool:
    return any(key in new and new[key] != old.get(key) for key in ("part", "reader"))


def override(root: Node, path: str, value: Any, line: str, asked: str) -> Node:
    """The tree with a value at a dotted path, as if it stood there in the file.

    A mapping is merged into what is there; a null takes a slot away. A path of two steps may add
    an entry to a section. Only the mappings along the path are copied. With a part of a system that
    is replaced by another go the weights of those of its losses that the other does not have.

    Args:
        line: where the value was written, for messages about it.
        asked: what is at fault where the path is wrong.

    Raises:
        ConfigError: a step is unknown, or nothing is there to take away.
    """
    section, name, *inner = steps = path.split(".")
    if section not in SECTIONS:
        known = [each for each in SECTIONS if each in root]
        raise ConfigError(f"{asked}: unknown section `{section}`{near(section, known)}")
    entries = root.get(section, Node())
    if name not in entries and (inner or not isinstance(value, Node)):
        raise ConfigError(f"{asked}: unknown name `{name}` in {section}{near(name, entries)}")
    reader = (section, inner) == ("datasets", ["reader"])
    if reader or (
        len(inner) > 1 and inner[-1] == "part"
    ):  # the settings of the old part go with it
        afresh = Node()
        afresh.put(steps[-1], value, Place(tuple(steps), line))
        steps, inner, value = steps[:-1], inner[:-1], afresh
    if inner and not (inner == ["extends"] and "extends" in entries[name]):
        _check(root, section, name, inner, value, asked)
    changed = _put(root, steps, value, Place(tuple(steps), line))
    if section == "systems" and len(inner) == 1 and inner[0] in LOSING:
        return _without_weights(root, changed, name, inner[0], line)
    return changed


def _without_weights(before: Node, after: Node, name: str, slot: str, line: str) -> Node:
    """``after`` without the loss weights of what a system had in a slot ``before``."""
    old, new = extended(before, name), extended(after, name)
    weights = old.get("loss_weights")
    if not isinstance(weights, Node) or not new.get(slot):
        return after
    gone = _losses(slot, old.get(slot)) - _losses(slot, new[slot])
    for weight in weights:
        if weight.partition(".")[0] in gone:
            steps = ["systems", name, "loss_weights", weight]
            after = _put(after, steps, None, Place(tuple(steps), line))
    return after


def _losses(slot: str, written: Any) -> set[str]:
    """The names of the losses of the parts in a slot, as far as they can be found."""
    parts = written if isinstance(written, list) else [written]
    names = [each.get("part") for each in parts if isinstance(each, Node)]
    known = [registry.resolve(slot, n) for n in names if n in registry.names(slot)]
    if slot != "aligner":
        return {name for cls in known for name in getattr(cls, "loss_names", ())}
    from zoo.parts import aligner_losses  # here, because it imports torch

    return {name for each in aligner_losses(known) for name in each.values()}


def _check(root: Node, section: str, name: str, inner: list[str], value: Any, asked: str) -> None:
    """Raise ConfigError where a path inside an entry leads nowhere."""
    seen: Any = extended(root, name) if section == "systems" else root[section][name]
    at = f"{section}.{name}"
    for step in inner[:-1]:
        if isinstance(seen, Node) and str(seen.get("part", "")).startswith("$"):
            return  # what the backbone's part holds shows when it is filled in
        if isinstance(seen, list):
            raise ConfigError(f"{asked}: {at} is a list; give the whole list as its value")
        if not isinstance(seen, Node) or step not in seen:
            known = seen if isinstance(seen, Node) else ()
            raise ConfigError(f"{asked}: unknown key `{step}` in {at}{near(step, known)}")
        seen, at = seen[step], f"{at}.{step}"
    if isinstance(seen, list):
        raise ConfigError(f"{asked}: {at} is a list; give the whole list as its value")
    if not isinstance(seen, Node):
        raise ConfigError(f"{asked}: {at} is not a mapping")
    slot = section == "systems" and "part" not in seen
    if value is None and slot and inner[-1] not in seen:
        raise ConfigError(f"{asked}: {at} has no `{inner[-1]}` to take away{near(inner[-1], seen)}")


def _put(node: Node, steps: list[str], value: Any, where: Place) -> Node:
    """A copy with a value laid over what is at a path; mappings on the way are made."""
    step, *rest = steps
    old = node.get(step)
    if rest:
        value = _put(old if isinstance(old, Node) else Node(), rest, value, where)
        where = node.where[step] if isinstance(old, Node) else where
        result = node.copy()
        result.put(step, value, where)
        return result
    change = Node()
    change.put(step, value, where)
    return merge(node, change)


def laid_over(base: Node, own: Node) -> Node:
    """A file's sections over those of the file that it includes; its own entries come first."""
    result = Node()
    for key in dict.fromkeys((*own, *base)):
        one, other = own.get(key), base.get(key)
        source = own if key in own else base
        value = source[key]
        if isinstance(one, Node) and isinstance(other, Node):
            both = merge(other, one)
            value = Node()
            for name in dict.fromkeys((*one, *other)):
                value.put(name, both[name], both.where[name])
        result.put(key, value, source.where[key])
    return result


def extended(root: Node, name: str, above: tuple[str, ...] = ()) -> Node:
    """A system with everything that it ``extends`` filled in. Raises ConfigError."""
    node = root["systems"][name]
    if not isinstance(node, Node):
        raise ConfigError(f"{place(root, ('systems', name))}: must be a mapping of parts")
    base = node.get("extends")
    if base is None:
        return node.copy(["extends"])
    at = place(root, ("systems", name, "extends"))
    if not isinstance(base, str):
        raise ConfigError(f"{at}: must be the name of one system, not {base!r}")
    if base in (*above, name):
        raise ConfigError(f"{at}: `{name}` extends itself: {' → '.join((*above, name, base))}")
    if base not in root["systems"]:
        raise ConfigError(f"{at}: unknown system `{base}`{near(base, root['systems'])}")
    return merge(extended(root, base, (*above, name)), node.copy(["extends"]))


def lineage(root: Node, name: str) -> list[str]:
    """A system and all that it extends, itself first, as far as they are there."""
    found: list[str] = []
    while name in root["systems"] and name not in found:
        found.append(name)
        node = root["systems"][name]
        name = str(node.get("extends")) if isinstance(node, Node) else ""
    return found


def check_views(root: Node, name: str) -> None:
    """Raise ConfigError where a system, as the file has it, takes away views that it never had."""
    node = root["systems"][name]
    views = node.get("views") if isinstance(node, Node) else None
    if not isinstance(views, Node):
        return
    base = node.get("extends")
    there = isinstance(base, str) and base in root["systems"]
    known = extended(root, str(base)).get("views") if there else None
    known = known if isinstance(known, Node) else Node()
    for view, value in views.items():
        if value is None and view not in known:
            raise ConfigError(
                f"{views.where[view]}: there is no view `{view}` to take away{near(view, known)}"
            )


class Filled(Node):
    """A system with its ``$slots`` filled. ``removed``: the views that were taken away."""

    removed: tuple[str, ...] = ()


def system(root: Node, name: str, backbone: str) -> Filled:
    """A system under a backbone, ready to be validated. Raises ConfigError."""
    filled = _filled(extended(root, name), root["backbones"][backbone], backbone)
    views = filled.get("views")
    gone = [view for view, node in views.items() if node is None] if isinstance(views, Node) else []
    no_views = "views" in filled and (views is None or (bool(gone) and len(gone) == len(views)))
    text = filled.get("text")
    no_context = isinstance(text, Node) and "context" in text and text["context"] is None
    answer = Filled()
    for key, value in filled.items():
        if no_views and key in ("views", "aligner", "fuser"):
            continue
        if no_context and key == "objective" and _needs_context(value):
            continue
        if key == "views" and isinstance(value, Node):
            value = value.copy(gone)
        elif gone and key in ("aligner", "fuser"):
            value = _silent_about(value, gone)
        elif key == "loss_weights" and isinstance(value, Node):
            value = value.copy([weight for weight, each in value.items() if each is None])
        answer.put(key, value, filled.where[key])
    answer.removed = tuple(gone)
    return answer


def _needs_context(objective: Any) -> bool:
    """Whether an objective, as written, is about context, so that it goes where context goes."""
    name = objective.get("part") if isinstance(objective, Node) else None
    if name not in registry.names("objective"):
        return False
    return bool(getattr(registry.resolve("objective", name), "needs_context", False))


def _silent_about(part: Any, views: list[str]) -> Any:
    """An aligner or fuser without what its settings say of views that were taken away."""
    if isinstance(part, list):
        return [_silent_about(each, views) for each in part]
    if not isinstance(part, Node):
        return part
    result = Node()
    for key, value in part.items():
        kept = value.copy(views) if isinstance(value, Node) else value
        result.put(key, kept, part.where[key])
    return result


def _filled(node: Any, slots: Any, backbone: str) -> Any:
    """``part: $slot`` replaced by the backbone's part of that name, keys beside it laid over."""
    if isinstance(node, list):
        return [_filled(each, slots, backbone) for each in node]
    if not isinstance(node, Node):
        return node
    result = Node()
    for key, value in node.items():
        result.put(key, _filled(value, slots, backbone), node.where[key])
    name = node.get("part")
    if not isinstance(name, str) or not name.startswith("$"):
        return result
    where = node.where["part"]
    if isinstance(slots, Node) and name[1:] in slots and not isinstance(slots[name[1:]], Node):
        at, got = slots.where[name[1:]], slots[name[1:]]
        raise ConfigError(f"{at}: must be a mapping `{{part: NAME, …}}`, not {got!r}")
    if not isinstance(slots, Node) or name[1:] not in slots:
        known = slots if isinstance(slots, Node) else ()
        raise ConfigError(
            f"{where}: backbone `{backbone}` has no part `{name[1:]}`{near(name[1:], known)}"
        )
    return merge(slots[name[1:]], result.copy(["part"]))
