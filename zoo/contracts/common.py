"""What holds for every part, of whatever kind."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

import torch
import yaml
from torch import Tensor, nn

from zoo import registry
from zoo.contracts.inputs import (
    SUPPLIED,
    VIEWS,
    Subject,
    equal,
    make_spans,
    make_text,
    output,
    tensors,
)
from zoo.errors import ConfigError, near
from zoo.identity import digest
from zoo.parts import (
    Aligner,
    Decoder,
    Fuser,
    ImageEncoder,
    JointEncoder,
    Objective,
    TextEncoder,
    ViewSpec,
)
from zoo.schema import PartSpec, keywords, supplied, validate_part
from zoo.types import Level
from zoo.yaml import Place, parse

BASES: Mapping[str, type] = {
    "text_encoder": TextEncoder,
    "image_encoder": ImageEncoder,
    "joint_encoder": JointEncoder,
    "aligner": Aligner,
    "fuser": Fuser,
    "decoder": Decoder,
    "objective": Objective,
}
"""The base class of each kind but readers, which need none."""

LEVELS: Mapping[str, tuple[str, ...]] = {"aligner": get_args(Level), "fuser": ("token", "span")}
"""The levels that the parts of a kind may have."""


def specify(kind: str, name: str, settings: Mapping[str, Any]) -> PartSpec | list[str]:
    """Validate settings as if they stood in YAML; what is wrong, one line each."""
    key = "reader" if kind == "reader" else "part"
    try:
        text = yaml.safe_dump({"example": {key: name, **settings}})
    except (yaml.YAMLError, TypeError) as error:
        return [f"its example can't be written as YAML: {' '.join(str(error).split())}"]
    try:
        return validate_part(kind, parse(text, "example")["example"], Place(("example",), ""))
    except ConfigError as error:
        return [re.sub(r" \(example:\d+\)", "", each) for each in error.problems]  # no file


# The class ---------------------------------------------------------------------------------------


def a_class(kind: str, cls: type) -> Iterator[str]:
    """its class"""
    base = BASES.get(kind)
    if base is not None and not issubclass(cls, base):
        yield f"does not derive from zoo.parts.{base.__name__}"
    if not (cls.__doc__ or "").strip():
        yield "no docstring; `zoo list` and `zoo show` print it"


def a_constructor(kind: str, cls: type) -> Iterator[str]:
    """its constructor"""
    constructor = inspect.getattr_static(cls, "__init__")
    if constructor in (nn.Module.__init__, object.__init__):
        return
    parameters = list(inspect.signature(constructor).parameters.values())[1:]
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            yield (
                f"constructor argument `{parameter}`: name every setting as a keyword-only "
                "argument, so that YAML can be checked"
            )
    known = SUPPLIED[kind]
    for name in supplied(cls):
        if name not in known:
            yield (
                f"positional argument `{name}`: nothing supplies it (the builder supplies "
                f"{', '.join(known)}); make it keyword-only (after `*`) to set it in YAML"
            )
    for name, (_, default) in keywords(cls).items():
        if isinstance(default, dict | list | set):
            yield f"setting `{name}` has a mutable default, which all instances share; use None"


# What it announces -------------------------------------------------------------------------------


def attributes(subject: Subject) -> Iterator[str]:
    """its attributes"""
    built, kind = subject.build(), subject.spec.kind
    if kind in ("text_encoder", "image_encoder", "joint_encoder", "fuser"):
        yield from _width(built)
    if kind in LEVELS:
        yield from _level(built, kind)
    if kind == "decoder" and getattr(built, "classifies", None) not in ("token", "span"):
        yield f"`classifies` is {built.classifies!r}; a decoder classifies `token` or `span`"
    if kind == "aligner" and built.views is not None:
        yield from _specs(built.views, "views")
    if kind == "joint_encoder":
        yield from _specs(built.view_specs, "view_specs")
    names = loss_names(type(built))
    if not isinstance(names, tuple | list) or not all(isinstance(n, str) for n in names):
        yield f"`loss_names` is {names!r}; it is a tuple of names"


def _width(built: Any) -> Iterator[str]:
    width = getattr(built, "width", None)
    if width is None:
        yield "no attribute `width`; set `self.width` to the width of the vectors it returns"
    elif type(width) is not int or width < 1:
        yield f"`width` is {width!r}; it is a positive int"


def _level(built: Any, kind: str) -> Iterator[str]:
    level, levels = getattr(built, "level", None), LEVELS[kind]
    if level is None:
        yield f"no attribute `level`; set `self.level` to one of {', '.join(levels)}"
    elif level not in levels:
        yield f"`level` is {level!r}, which is no level of a{_n(kind)} {kind}{near(level, levels)}"


def _n(word: str) -> str:
    return "n" if word[0] in "aeiou" else ""


def _specs(specs: Any, name: str) -> Iterator[str]:
    if not isinstance(specs, Mapping) or not all(isinstance(s, ViewSpec) for s in specs.values()):
        yield f"`{name}` is {specs!r}; it is a dict of zoo.parts.ViewSpec by view"


def announced_width(built: Any) -> int | None:
    """The width that a part announces; None where it announces none."""
    width = getattr(built, "width", None)
    return width if isinstance(width, int) else None


def loss_names(cls: type) -> Any:
    return getattr(cls, "loss_names", ())


# What it returns ---------------------------------------------------------------------------------


def losses(built: Any, made: Any, views: Iterable[str] = VIEWS) -> Iterator[str]:
    """What is wrong with the losses that a part returned."""
    if not isinstance(made, Mapping):
        yield f"its losses are {described(made)}, not a dict of tensors by name"
        return
    listed = loss_names(type(built))
    for name, loss in made.items():
        base, _, view = str(name).partition(".")
        if base not in listed:
            known = ", ".join(listed) or "nothing"
            yield (
                f"loss `{name}` is not listed in `loss_names` ({known}); list `{base}`, so that "
                "`loss_weights` may name it"
            )
        if view and view not in views:
            yield f"loss `{name}`: `{view}` is no view; a loss of a view is named NAME.VIEW"
        if not isinstance(loss, Tensor) or loss.shape != ():
            yield f"loss `{name}` is {described(loss)}, not a tensor of shape ()"
        elif not loss.isfinite():
            yield f"loss `{name}` is {loss.item()}"


def tensor(value: Any, name: str, shape: Sequence[int | None], form: str) -> Iterator[str]:
    """What is wrong with a tensor that a part returned.

    Args:
        shape: what it has to be; None stands for any size.
        form: the shape in letters, for the message.
    """
    if not isinstance(value, Tensor):
        yield f"{name} is {described(value)}, not a tensor"
        return
    wanted = tuple(value.shape[i] if n is None else n for i, n in enumerate(shape[: value.ndim]))
    if value.ndim != len(shape) or tuple(value.shape) != wanted:
        numbers = ", ".join("any" if n is None else str(n) for n in shape)
        yield f"{name} has shape {tuple(value.shape)}, not {form} = ({numbers})"
    elif value.is_floating_point() and not value.isfinite().all():
        yield f"{name} holds NaN or infinity"


def announced(value: Any, name: str, width: int | None, source: str = "width") -> Iterator[str]:
    """Whether the last dimension of a tensor is the width that was announced."""
    if isinstance(value, Tensor) and width is not None and value.shape[-1:] != (width,):
        yield (
            f"`{source}` announces {width}, and {name} is {value.shape[-1] if value.ndim else 0} "
            "wide; they have to be equal"
        )


def described(value: Any) -> str:
    """A value in a message."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}" if value is not None else "None"


# How it behaves ----------------------------------------------------------------------------------


def settings(subject: Subject) -> Iterator[str]:
    """its settings, written out and read again"""
    spec = subject.spec
    resolved = spec.resolved()
    own = {key: value for key, value in resolved.items() if key not in ("part", "reader")}
    again = specify(spec.kind, spec.name, own)
    if isinstance(again, list):
        yield from (f"its resolved settings are not valid again: {line}" for line in again)
    elif digest(again.resolved()) != digest(resolved):
        yield "its resolved settings give other ones when read again: a run's id would change"


def gradients(subject: Subject) -> Iterator[str]:
    """one backward step"""
    built = subject.build(dropout=False).train()
    torch.manual_seed(1)
    parameters = [(n, p) for n, p in built.named_parameters() if p.requires_grad]
    values = [value for value in tensors(output(built)) if value.requires_grad]
    if values:
        total = torch.stack(
            [(value * torch.randn_like(value)).sum().float() for value in values]
        ).sum()
        total.backward()  # type: ignore[no-untyped-call]
    unused = [name for name, p in parameters if p.grad is None]
    wrong = [name for name, p in parameters if p.grad is not None and not p.grad.isfinite().all()]
    still = [name for name, p in parameters if p.grad is not None and not p.grad.any()]
    if unused:
        yield f"{_named(unused)}: no gradient; nothing it returns depends on it"
    if wrong:
        yield f"{_named(wrong)}: the gradient is not finite"
    if still:
        yield (
            f"{_named(still)}: the gradient is zero; nothing it returns depends on it, or what "
            "multiplies it begins at zero (begin with small values)"
        )


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:4])
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"parameter{'s' if len(names) > 1 else ''} {shown}{more}"


def evaluation(subject: Subject) -> Iterator[str]:
    """evaluation mode"""
    built = subject.build().eval()
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        made.append(predicted(built))
    if not equal(*made):
        yield "randomness in evaluation mode: two calls on the same inputs return other values"


def predicted(built: nn.Module) -> list[Tensor]:
    """What a part returns in evaluation, a decoder's entities included."""
    with torch.no_grad():
        values = tensors(output(built))
        if isinstance(built, Decoder):
            found = built.decode(make_spans(built), make_text())
            values += [
                torch.tensor([(e.start, e.end, e.score) for e in row] or [(0.0, 0.0, 0.0)])
                for row in found
            ]
    return values


def state(subject: Subject) -> Iterator[str]:
    """save and load"""
    one, other = subject.build(seed=1).train(), subject.build(seed=2)
    with torch.no_grad():
        for seed in (3, 4):  # what a part gathers in training has to be saved, too
            output(one, seed)
    weights = one.state_dict()
    for name, value in weights.items():
        if not isinstance(value, Tensor):
            yield f"`{name}` in its state_dict is {described(value)}; only tensors can be saved"
            return
    try:
        other.load_state_dict({name: value.clone() for name, value in weights.items()})
    except RuntimeError as error:
        yield f"its state_dict can't be loaded into a new one: {' '.join(str(error).split())[:200]}"
        return
    if not equal(predicted(one.eval()), predicted(other.eval())):
        yield (
            "state is lost by save and load: with the same state_dict another instance returns "
            "other values; keep what is learnt in parameters or buffers (`register_buffer`)"
        )


def seed(subject: Subject) -> Iterator[str]:
    """its initial weights"""
    one, other = subject.build(seed=3).state_dict(), subject.build(seed=3).state_dict()
    if one.keys() != other.keys() or not equal(list(one.values()), list(other.values())):
        yield "initial weights differ under the same torch seed: a run could not be repeated"


def half(subject: Subject) -> Iterator[str]:
    """bfloat16 (autocast)"""
    built = subject.build().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = tensors(output(built))
    if not all(value.isfinite().all() for value in values):
        yield "in bfloat16 (autocast) it returns NaN or infinity"
        return
    trained = [value.float().sum() for value in values if value.requires_grad]
    if trained:
        torch.stack(trained).sum().backward()  # type: ignore[no-untyped-call]
    if not all(p.grad.isfinite().all() for p in built.parameters() if p.grad is not None):
        yield "in bfloat16 (autocast) gradients are not finite"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        if not all(value.isfinite().all() for value in predicted(built.eval())):
            yield "in bfloat16 (autocast) it returns NaN or infinity in evaluation mode"


MODULE = (settings, gradients, evaluation, state, seed, half)
"""What holds for every trained part."""


def name_of(kind: str, cls: type) -> str | None:
    """The name that a class is registered under."""
    found = [n for (k, n), each in registry.registered().items() if (k, each) == (kind, cls)]
    return found[0] if found else None
