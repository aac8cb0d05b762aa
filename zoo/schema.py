"""The constructor signature is the schema: a strict model from a part's keyword-only arguments."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from typing_extensions import is_typeddict

from zoo import registry
from zoo.errors import ConfigError, near
from zoo.yaml import Place, place

_UNKNOWN, _SAID = "unknown_key", "said"
_BASES = {  # in zoo.parts, which is not imported here: it imports torch
    "TextEncoder": "text_encoder",
    "ImageEncoder": "image_encoder",
    "JointEncoder": "joint_encoder",
    "Aligner": "aligner",
    "Fuser": "fuser",
    "Decoder": "decoder",
    "Objective": "objective",
}
_ENCODERS = ("text_encoder", "image_encoder", "joint_encoder")


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
        """Every setting with its default filled in, as plain data."""
        settings = {
            key: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
            for key, value in self.settings.items()
        }
        nested = {key: part.resolved() for key, part in self.nested.items()}
        head: dict[str, Any] = {_key(self.kind): self.name}
        if self.frozen:
            head["frozen"] = True
        return {**head, **settings, **nested}

    def walk(self) -> list[PartSpec]:
        """This part and all nested ones."""
        return [self, *(part for child in self.nested.values() for part in child.walk())]


@dataclass(frozen=True)
class SystemSpec:
    """A validated system under one backbone. ``aligner`` holds them in order."""

    name: str
    backbone: str
    text: PartSpec | None
    joint: PartSpec | None
    views: dict[str, PartSpec]
    aligner: tuple[PartSpec, ...]
    fuser: PartSpec | None
    decoder: PartSpec
    loss_weights: dict[str, float]
    objective: PartSpec | None = None
    cites: tuple[str, ...] = ()
    description: str = ""

    @property
    def sees(self) -> dict[str, frozenset[str]]:
        """What of a sample each encoder reads, by slot; see :func:`sees`."""
        return {slot: sees(part) for slot, part in self.parts if part.kind in _ENCODERS}

    @property
    def text_only(self) -> bool:
        """Whether no encoder reads anything but the words."""
        return frozenset().union(*self.sees.values()) <= {"words"}

    @property
    def losses(self) -> dict[str, list[str]]:
        """The names of each slot's losses, without views: as the system calls them."""
        from zoo.parts import aligner_losses  # here, because it imports torch

        own = {
            slot: list(
                dict.fromkeys(n for p in part.walk() for n in getattr(p.cls, "loss_names", ()))
            )
            for slot, part in self.parts
        }
        named = aligner_losses([part.cls for part in self.aligner])
        own["aligner"] = [name for names in named for name in names.values()]
        return own

    @property
    def parts(self) -> list[tuple[str, PartSpec]]:
        """(slot, part) of every part, views as ``views.NAME``."""
        named = [("text", self.text), ("joint", self.joint)]
        named += [(f"views.{name}", part) for name, part in self.views.items()]
        named += [("aligner", part) for part in self.aligner]
        named += [("fuser", self.fuser), ("decoder", self.decoder), ("objective", self.objective)]
        return [(slot, part) for slot, part in named if part is not None]

    @property
    def classes(self) -> frozenset[type]:
        """The classes of all parts, nested ones included."""
        return frozenset(each.cls for _, part in self.parts for each in part.walk())

    def resolved(self) -> dict[str, Any]:
        """All settings as plain data, without the names: equal systems resolve equally."""
        answer: dict[str, Any] = {
            slot: part.resolved() for slot, part in self.parts if "." not in slot
        }
        if len(self.aligner) > 1:
            answer["aligner"] = [part.resolved() for part in self.aligner]
        views = {name: part.resolved() for name, part in self.views.items()}
        return {**answer, "views": views, "loss_weights": self.loss_weights}


def sees(part: PartSpec) -> frozenset[str]:
    """What of a sample an encoder with its settings reads: ``words``, ``picture``, ``caption``,
    names in ``Sample.extra``.

    What nested encoders read counts, but for those inside an image encoder: it decides what it
    hands them.
    """
    own = frozenset(part.cls.sees_of(part.settings))  # type: ignore[attr-defined]
    if part.kind == "image_encoder":
        return own
    return own.union(*(sees(each) for each in part.nested.values() if each.kind in _ENCODERS))


class Strict(BaseModel):
    """No unknown keys, no guessed types (an int may stand for a float).

    A null for what can't be null means the default, as if the key were not there.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        arbitrary_types_allowed=True,
        allow_inf_nan=False,  # neither can be stored, nor is a setting that means anything
    )

    @model_validator(mode="wrap")
    @classmethod
    def _explained(cls, value: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        """Drop nulls that mean the default; tell unknown keys with what was probably meant."""
        if isinstance(value, dict):
            fields = cls.model_fields
            value = {
                key: item
                for key, item in value.items()
                if item is not None or key not in fields or _nullable(fields[key].annotation)
            }
        try:
            return handler(value)
        except ValidationError as error:
            raise _hinted(error, cls) from None


def _nullable(annotation: Any) -> bool:
    return annotation is Any or type(None) in get_args(annotation)


def _hinted(error: ValidationError, schema: type[BaseModel]) -> ValidationError:
    """The same error with a near match behind each unknown key."""
    details = []
    for each in error.errors(include_url=False):
        kind, message, loc = each["type"], each["msg"], each["loc"]
        if kind == "extra_forbidden":
            kind, message = _UNKNOWN, near(loc[-1], _fields(schema, loc[:-1]))
        elif kind == "missing" and len(loc) == 1:
            message = schema.model_fields[str(loc[0])].description or ""
        details.append(_detail(kind, message, loc, each["input"]))
    return ValidationError.from_exception_data(schema.__name__, details)


def _fields(schema: type[BaseModel], loc: Iterable[Any]) -> list[str]:
    """The keys allowed at a place inside a model, as far as annotations tell."""
    for step in loc:
        annotation = schema.model_fields[step].annotation if step in schema.model_fields else None
        options = [o for o in (annotation, *get_args(annotation)) if isinstance(o, type)]
        if typed := [o for o in options if is_typeddict(o)]:
            return list(typed[0].__annotations__)
        inner = [o for o in options if issubclass(o, BaseModel)]
        if not inner:
            return []
        schema = inner[0]
    return list(schema.model_fields)


def _detail(kind: str, message: str, loc: tuple[Any, ...], got: Any) -> InitErrorDetails:
    error = PydanticCustomError(kind, "{message}", {"message": message})
    return InitErrorDetails(type=error, loc=loc, input=got)


def refused(*problems: tuple[tuple[Any, ...], str]) -> ValidationError:
    """What a validator raises: (where, message) of each problem."""
    details = [_detail(_SAID, message, loc, None) for loc, message in problems]
    return ValidationError.from_exception_data("zoo", details)


def validated(kind: Any, node: Any, at: Place, context: Any = None) -> Any:
    """``node`` as a value of the type ``kind``.

    Args:
        at: where the node was written.
        context: handed to the validators.

    Raises:
        ConfigError: one line for each mistake, with its path, file and line.
    """
    try:
        return _adapter(kind).validate_python(node, context=context)
    except ValidationError as error:
        raise ConfigError(*_told(error, node, at)) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Made once a type: that takes longer than to validate with it."""
    return TypeAdapter(kind)


def _told(error: ValidationError, root: Any, start: Place) -> list[str]:
    """One line for each mistake."""
    answer: dict[str, None] = {}
    wrong: dict[str, tuple[list[str], Any]] = {}
    for each in error.errors(include_url=False):
        loc, message = each["loc"], each["msg"]
        at = place(root, loc, start)
        if each["type"] == _UNKNOWN:
            within = ".".join(at.path[:-1]) or "the top level"
            line = f" ({at.line})" if at.line else ""
            answer[f"unknown key `{loc[-1]}` in {within}{line}{message}"] = None
        elif each["type"] == "missing":
            within = str(place(root, loc[:-1], start))
            message = f"; {message}" if message else ""
            answer[f"{within or 'the top level'}: `{loc[-1]}` is missing{message}"] = None
        elif each["type"] == _SAID:
            answer[f"{at}: {message}"] = None
        else:
            messages, _ = wrong.setdefault(str(at), ([], each["input"]))
            messages.append(message[0].lower() + message[1:])
    for where, (messages, got) in wrong.items():
        answer[f"{where}: {' or '.join(dict.fromkeys(messages))}, not {_short(got)}"] = None
    return list(answer)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


# Parts -------------------------------------------------------------------------------------------


def nested_kind(annotation: Any) -> str | None:
    """The kind a keyword takes a nested part of, if its annotation is a part's base class."""
    options = [o for o in (annotation, *get_args(annotation)) if isinstance(o, type)]
    names = [option.__name__ for option in options if option.__module__ == "zoo.parts"]
    return next((_BASES[name] for name in names if name in _BASES), None)


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
def model(cls: type, kind: str = "decoder") -> type[Strict]:
    """The strict pydantic model of a part's settings, its nested parts and its own name."""
    fields: dict[str, Any] = {_key(kind): (str, ...)}
    for name, (hint, default) in keywords(cls).items():
        if child := nested_kind(hint):
            what = part_of(child) | None if default is None else part_of(child)
            fields[name] = (what, Field(default, description=f"it takes a {child}"))
        else:
            fields[name] = (hint, default)
    if kind in _ENCODERS:
        fields["frozen"] = (bool, False)
    return create_model(cls.__name__, __base__=Strict, **fields)


@cache
def part_of(kind: str | None) -> Any:
    """The type of a part of a kind, ``{part: NAME, …}``; None: of any kind of encoder."""
    return Annotated[PartSpec, PlainValidator(partial(_part, kind))]


def _key(kind: str | None) -> Literal["part", "reader"]:
    return "reader" if kind == "reader" else "part"


def _part(kind: str | None, value: Any) -> PartSpec:
    """Validate a part; only the one that is named gets imported."""
    key = _key(kind)
    if not isinstance(value, dict):
        raise refused(((), f"must be a mapping `{{{key}: NAME, …}}`, not {_short(value)}"))
    name = value.get(key)
    if kind is None:
        known = (each for each in _ENCODERS if name in registry.names(each))
        kind = next(known, "text_encoder")
    if not isinstance(name, str):
        there = ", ".join(registry.names(kind))
        wrong = f"must be a name, not {_short(name)}" if key in value else "is missing"
        raise refused(((), f"`{key}` {wrong}; name a {kind}: {there}"))
    try:
        cls = registry.resolve(kind, name)
    except ConfigError as error:
        raise refused(((key,), str(error))) from None
    found = model(cls, kind).model_validate(value)
    settings = {each: getattr(found, each) for each in type(found).model_fields if each != key}
    frozen = settings.pop("frozen", False) if kind in _ENCODERS else False
    hints = keywords(cls)
    # in the order of the constructor: they are built, and draw their weights, in this one
    children = [each for each in settings if nested_kind(hints[each][0])]
    nested = {each: settings[each] for each in children if settings[each] is not None}
    own = {each: item for each, item in settings.items() if each not in children}
    return PartSpec(kind, name, cls, own, nested, frozen)


def validate_part(kind: str, node: Any, at: Place) -> PartSpec:
    """``{part: NAME, …}`` as a part of a kind. Raises ConfigError, one line for each mistake."""
    found: PartSpec = validated(part_of(kind), node, at)
    return found
