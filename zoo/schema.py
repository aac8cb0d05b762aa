"""The constructor signature is the schema: a strict model from a part's keyword-only arguments."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from zoo import registry
from zoo.errors import ConfigError, near
from zoo.yaml import Node, plain, where


class Strict(BaseModel):
    """No unknown keys, no guessed types (an int may stand for a float)."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True
    )


@dataclass(frozen=True)
class PartSpec:
    """A validated part, ready to be built: its class, its settings, its nested parts."""

    kind: str
    name: str
    cls: type
    settings: Mapping[str, Any]
    nested: Mapping[str, PartSpec] = field(default_factory=dict)
    frozen: bool = False

    def resolved(self) -> dict[str, Any]:
        """Every setting with its default filled in, as plain data: what a run's id hashes."""
        settings = {
            key: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
            for key, value in self.settings.items()
        }
        nested = {key: part.resolved() for key, part in self.nested.items()}
        head: dict[str, Any] = {"reader" if self.kind == "reader" else "part": self.name}
        if self.frozen:
            head["frozen"] = True
        return {**head, **settings, **nested}

    def walk(self) -> list[PartSpec]:
        """This part and all nested ones."""
        return [self, *(part for child in self.nested.values() for part in child.walk())]


@dataclass(frozen=True)
class SystemSpec:
    """A validated system under one backbone. ``aligner`` is one part or several, in order."""

    name: str
    backbone: str
    text: PartSpec | None
    joint: PartSpec | None
    views: dict[str, PartSpec]
    aligner: PartSpec | tuple[PartSpec, ...] | None
    fuser: PartSpec | None
    decoder: PartSpec
    loss_weights: dict[str, float]
    cites: tuple[str, ...] = ()
    description: str = ""
    objective: PartSpec | None = None

    @property
    def aligners(self) -> tuple[PartSpec, ...]:
        """The aligners in the order in which they are applied."""
        if self.aligner is None:
            return ()
        return self.aligner if isinstance(self.aligner, tuple) else (self.aligner,)

    @property
    def sees(self) -> dict[str, frozenset[str]]:
        """What of a sample each encoder reads, by slot; see :func:`sees`."""
        return {
            slot: sees(part)
            for slot, part in self.parts
            if slot in ("text", "joint") or slot.startswith("views.")
        }

    @property
    def text_only(self) -> bool:
        """Whether no encoder reads anything but the words."""
        return frozenset().union(*self.sees.values()) <= {"words"}

    @property
    def losses(self) -> dict[str, list[str]]:
        """The names of each part's losses, without views, by slot; nested parts' included."""
        from zoo.parts import aligner_losses

        own = {
            slot: list(
                dict.fromkeys(n for p in part.walk() for n in getattr(p.cls, "loss_names", ()))
            )
            for slot, part in self.parts
        }
        named = aligner_losses([part.cls for part in self.aligners])
        own |= {
            slot: list(names.values())
            for slot, names in zip(self._aligner_slots, named, strict=True)
        }
        return own

    @property
    def _aligner_slots(self) -> list[str]:
        """``aligner``, or ``aligner.0``, ``aligner.1`` … where several are listed."""
        if isinstance(self.aligner, tuple):
            return [f"aligner.{i}" for i in range(len(self.aligner))]
        return ["aligner"] if self.aligner else []

    @property
    def parts(self) -> list[tuple[str, PartSpec]]:
        """(slot, part) of every part, views as ``views.NAME``, listed aligners as ``aligner.0``."""
        named = [(slot, getattr(self, slot)) for slot in ("text", "joint")]
        named += [(f"views.{name}", part) for name, part in self.views.items()]
        named += zip(self._aligner_slots, self.aligners, strict=True)
        named += [(slot, getattr(self, slot)) for slot in ("fuser", "decoder", "objective")]
        return [(slot, part) for slot, part in named if part is not None]

    @property
    def classes(self) -> frozenset[type]:
        """The classes of all parts, nested ones included."""
        return frozenset(each.cls for _, part in self.parts for each in part.walk())

    def resolved(self) -> dict[str, Any]:
        """All settings as plain data, without the names: equal systems resolve equally."""
        views = {name: part.resolved() for name, part in self.views.items()}
        single: dict[str, Any] = {
            slot: part.resolved() for slot, part in self.parts if "." not in slot
        }
        if isinstance(self.aligner, tuple):
            single["aligner"] = [part.resolved() for part in self.aligner]
        return {**single, "views": views, "loss_weights": self.loss_weights}


def sees(part: PartSpec) -> frozenset[str]:
    """What of a sample an encoder with its settings reads: ``words``, ``picture``, ``caption``,
    names in ``Sample.extra``.

    What nested encoders read counts, but for those inside an image encoder: it decides what it
    hands them.
    """
    own = frozenset(part.cls.sees_of(part.settings))  # type: ignore[attr-defined]
    if part.kind == "image_encoder":
        return own
    nested = [sees(each) for each in part.nested.values() if each.kind.endswith("_encoder")]
    return own.union(*nested)


def nested_kind(annotation: Any) -> str | None:
    """The kind a keyword takes a nested part of, if its annotation is a part's base class."""
    from zoo import parts

    bases: dict[Any, str] = {
        parts.TextEncoder: "text_encoder",
        parts.ImageEncoder: "image_encoder",
        parts.JointEncoder: "joint_encoder",
        parts.Aligner: "aligner",
        parts.Fuser: "fuser",
        parts.Decoder: "decoder",
        parts.Objective: "objective",
    }
    return bases.get(annotation) if isinstance(annotation, type) else None


@cache
def keywords(cls: type) -> dict[str, tuple[Any, Any]]:
    """Keyword-only arguments: name to (annotation, default); ``...`` where it is required."""
    constructor = inspect.getattr_static(cls, "__init__")
    hints = get_type_hints(constructor, include_extras=True)
    return {
        name: (hints.get(name, Any), ... if p.default is p.empty else p.default)
        for name, p in inspect.signature(constructor).parameters.items()
        if p.kind is p.KEYWORD_ONLY
    }


@cache
def supplied(cls: type) -> tuple[str, ...]:
    """The positional arguments, which the builder supplies by name."""
    constructor = inspect.getattr_static(cls, "__init__")
    return tuple(
        name
        for name, p in inspect.signature(constructor).parameters.items()
        if p.kind is p.POSITIONAL_OR_KEYWORD and name != "self"
    )


@cache
def model(cls: type) -> type[Strict]:
    """The strict pydantic model of a part's own (not nested) settings."""
    fields: dict[str, Any] = {
        name: hint for name, hint in keywords(cls).items() if nested_kind(hint[0]) is None
    }
    return create_model(cls.__name__, __base__=Strict, **fields)


def validate_part(
    kind: str, node: Any, path: tuple[str, ...], root: Node, problems: list[str]
) -> PartSpec | None:
    """Validate ``{part: name, …}``; what is wrong goes to ``problems``, one line each.

    Args:
        path: where the node stands, for messages.
        root: the tree to find line numbers in.
    """
    at, key = place(root, path), "reader" if kind == "reader" else "part"
    if not isinstance(node, Node):
        problems.append(f"{at}: must be a mapping `{{{key}: NAME, …}}`, not {node!r}")
        return None
    name = node.get(key)
    if not isinstance(name, str):
        known = ", ".join(registry.names(kind))
        problems.append(f"{at}: `{key}` is missing; name a {kind}: {known}")
        return None
    try:
        cls = registry.resolve(kind, name)
    except ConfigError as error:
        problems.append(f"{place(root, (*path, key))}: {error}")
        return None
    hints = keywords(cls)
    own, nested, frozen, before = {}, {}, False, len(problems)
    for name_, value in node.items():
        child = nested_kind(hints[name_][0]) if name_ in hints else None
        if name_ == key:
            continue
        if name_ == "frozen" and kind.endswith("encoder"):
            frozen = bool(value)
            if not isinstance(value, bool | None):
                problems.append(f"{place(root, (*path, name_))}: must be true or false")
        elif child:
            part = validate_part(child, value, (*path, name_), root, problems)
            if part:
                nested[name_] = part
        else:
            own[name_] = plain(value)
    for name_, (hint, default) in hints.items():
        child = nested_kind(hint)
        if child and default is ... and name_ not in node:
            problems.append(f"{at}: `{name_}` is missing; it takes a {child}")
    allowed = [*hints, key, *(["frozen"] if kind.endswith("encoder") else [])]
    validated = validate(model(cls), own, path, root, problems, allowed)
    if validated is None or len(problems) > before:
        return None
    settings = {name_: getattr(validated, name_) for name_ in type(validated).model_fields}
    return PartSpec(kind, name, cls, settings, nested, frozen)


def validate(
    schema: type[Strict],
    value: Any,
    path: tuple[str, ...],
    root: Node,
    problems: list[str],
    allowed: list[str] | None = None,
) -> Any:
    """Validate plain data against a model; what is wrong goes to ``problems``.

    A null for what can't be null means the default, as if the key were not there.
    """
    if isinstance(value, dict):
        hints = {name: info.annotation for name, info in schema.model_fields.items()}
        value = {k: v for k, v in value.items() if v is not None or _nullable(hints.get(k))}
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        wrong: dict[tuple[Any, ...], tuple[list[str], Any]] = {}
        for item in error.errors():
            loc = tuple(item["loc"])
            if item["type"] == "extra_forbidden":
                parent = ".".join(str(step) for step in (*path, *loc[:-1])) or "the top level"
                known = allowed if allowed and len(loc) == 1 else _fields(schema, loc[:-1])
                line = where(root, (*path, *loc))
                problems.append(
                    f"unknown key `{loc[-1]}` in {parent}{f' ({line})' if line else ''}"
                    f"{near(loc[-1], known)}"
                )
            elif item["type"] == "missing":
                problems.append(f"{place(root, (*path, *loc[:-1]))}: `{loc[-1]}` is missing")
            else:
                messages, _ = wrong.setdefault(_trimmed(loc, value), ([], item["input"]))
                messages.append(item["msg"][0].lower() + item["msg"][1:])
        for loc, (messages, got) in wrong.items():
            problems.append(f"{place(root, (*path, *loc))}: {' or '.join(messages)}, not {got!r}")
        return None


def _nullable(annotation: Any) -> bool:
    return annotation in (None, Any) or type(None) in get_args(annotation)


def _trimmed(loc: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    """The steps that stand in the data: pydantic adds the branches of a union."""
    kept: list[Any] = []
    for step in loc:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            break
        kept.append(step)
    return tuple(kept)


def _fields(schema: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """The keys allowed at a place inside a model, as far as annotations tell."""
    for step in loc:
        annotation = schema.model_fields[step].annotation if step in schema.model_fields else None
        options = [annotation, *getattr(annotation, "__args__", ())]
        inner = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        if not inner:
            return []
        schema = inner[0]
    return list(schema.model_fields)


def place(root: Node, path: tuple[Any, ...]) -> str:
    """``systems.smner.fuser (registry.yaml:41)``: a dotted path and its line, for messages."""
    dotted, line = ".".join(str(step) for step in path), where(root, path)
    return f"{dotted} ({line})" if line else dotted
