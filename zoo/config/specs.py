"""What the sections of a registry may hold, and what comes of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationInfo

from zoo.config.fit import misfits, with_own_weights
from zoo.errors import near
from zoo.schema import PartSpec, Strict, SystemSpec, part_of, refused

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


def _known(section: str, name: str, info: ValidationInfo) -> str:
    known: Iterable[str] = (info.context or {}).get(section, ())
    if name not in known:
        raise refused(((), f"unknown {section.rstrip('s')} `{name}`{near(name, known)}"))
    return name


def _once(items: list[Any]) -> list[Any]:
    twice = [((), f"`{each}` is listed twice; remove one") for each in dict.fromkeys(items)
             if items.count(each) > 1]  # fmt: skip
    if twice:
        raise refused(*twice)
    return items


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _of_sgd(momentum: float, info: ValidationInfo) -> float:
    optimizer = info.data.get("optimizer", "sgd")
    if momentum and optimizer != "sgd":
        raise refused(((), f"only `optimizer: sgd` has momentum, and this is `{optimizer}`"))
    return momentum


def _reached(rates: dict[str, float]) -> dict[str, float]:
    """Refuse patterns that can never match, since one before them matches all that they do."""
    before: list[str] = []
    dead = []
    for pattern in rates:
        first = next((each for each in before if _covers(each, pattern)), None)
        if first is not None:
            dead.append(((pattern,), f"`{first}` stands before it and matches first; put it there"))
        before.append(pattern)
    if dead:
        raise refused(*dead)
    return rates


def _covers(one: str, other: str) -> bool:
    """Whether whatever matches ``other`` matches ``one``, as far as stars tell."""
    plain = not set("?[") & set(one) and "[" not in other
    return plain and fnmatchcase(other, one)


System = Annotated[str, AfterValidator(partial(_known, "systems"))]
Dataset = Annotated[str, AfterValidator(partial(_known, "datasets"))]
Backbone = Annotated[str, AfterValidator(partial(_known, "backbones"))]
RecipeName = Annotated[str, AfterValidator(partial(_known, "recipes"))]
Systems = Annotated[list[System], Field(min_length=1), AfterValidator(_once)]
Datasets = Annotated[list[Dataset], Field(min_length=1), AfterValidator(_once)]
Seeds = Annotated[list[Seed], Field(min_length=1), AfterValidator(_once)]
Names = Annotated[list[str], Field(min_length=1)]
Values = Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]


class Recipe(Strict):
    """How to train. Learning rates go by patterns of parameter names; the first match wins.

    ``threads`` is the number of processor threads of a run; None: all. A small model is no faster
    on many, and the same number everywhere gives the same bytes, however many runs go on at once.

    ``momentum`` is of ``optimizer: sgd``: the share of the last step that goes into the next; 0:
    plain gradient descent.

    ``max_tokens`` bounds what an encoder reads at once: the tokens (sub-words, words, regions) of
    its longest input times the inputs; None: what the machine's memory allows. A batch beyond it
    is encoded a few sentences at a time, with the loss and the gradient of the whole batch, up to
    the order of floating-point sums and to what dropout draws. Below it nothing changes.
    """

    epochs: Count
    batch_size: Count = 16
    learning_rates: Annotated[dict[str, Positive], Field(min_length=1), AfterValidator(_reached)]
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    momentum: Annotated[float, Field(ge=0, lt=1), AfterValidator(_of_sgd)] = 0.0
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    schedule: Literal["linear", "constant"] = "linear"
    warmup: Share = 0.1
    clip: Positive | None = 1.0
    accumulate: Count = 1
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    patience: Count | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"

    def learning_rate(self, parameter: str) -> float | None:
        """The learning rate of a parameter by its name; None where no pattern matches."""
        pattern = self.pattern(parameter)
        return None if pattern is None else self.learning_rates[pattern]

    def pattern(self, parameter: str) -> str | None:
        """The first pattern of ``learning_rates`` that a parameter's name matches."""
        return next((each for each in self.learning_rates if fnmatchcase(parameter, each)), None)


class Suite(Strict):
    """Systems × datasets × seeds under one backbone and recipe."""

    systems: Systems
    datasets: Datasets
    seeds: Seeds
    backbone: Backbone
    recipe: RecipeName
    description: str = ""


class Ablation(Strict):
    """An entry of the section ``ablations``, as written; see :mod:`zoo.config.ablations`."""

    base: Annotated[Systems, BeforeValidator(_listed)]
    description: str = ""
    datasets: Datasets | None = None
    seeds: Seeds | None = None
    backbone: Backbone | None = None
    recipe: RecipeName | None = None
    arms: Annotated[dict[str, dict[str, Any]], Field(min_length=1)] | None = None
    grid: Values | None = None
    leave_one_out: Names | None = None
    controls: bool = False
    across: Values | None = None


class WrittenSystem(Strict):
    """An entry of the section ``systems`` once ``extends`` and ``$slot`` are resolved."""

    decoder: part_of("decoder")  # type: ignore[valid-type]
    text: part_of("text_encoder") | None = None  # type: ignore[valid-type]
    joint: part_of("joint_encoder") | None = None  # type: ignore[valid-type]
    views: dict[str, part_of("image_encoder")] = Field(default_factory=dict)  # type: ignore[valid-type]
    aligner: Annotated[list[part_of("aligner")], BeforeValidator(_listed)] = Field(  # type: ignore[valid-type]
        default_factory=list
    )
    fuser: part_of("fuser") | None = None  # type: ignore[valid-type]
    objective: part_of("objective") | None = None  # type: ignore[valid-type]
    loss_weights: dict[str, Weight] = Field(default_factory=dict)
    cites: Annotated[list[str], BeforeValidator(_listed)] = Field(default_factory=list)
    description: str = ""


def _system(value: Any) -> SystemSpec:
    """Validate a system's parts one by one, then whether they fit together."""
    found = WrittenSystem.model_validate(value)
    spec = SystemSpec(
        "",
        "",
        found.text,
        found.joint,
        found.views,
        tuple(found.aligner),
        found.fuser,
        found.decoder,
        found.loss_weights,
        found.objective,
        tuple(found.cites),
        found.description,
    )
    wrong = misfits(spec, getattr(value, "removed", ()))
    if wrong:
        raise refused(*wrong)
    return with_own_weights(spec)


SystemType = Annotated[SystemSpec, PlainValidator(_system)]


class Written(Strict):
    """A whole registry. ``systems`` go by backbone, then by name, with all that they extend."""

    datasets: dict[str, part_of("reader")]  # type: ignore[valid-type]
    backbones: dict[str, dict[str, part_of(None)]] = Field(default_factory=dict)  # type: ignore[valid-type]
    recipes: dict[str, Recipe] = Field(default_factory=dict)
    suites: dict[str, Suite] = Field(default_factory=dict)
    ablations: dict[str, Ablation] = Field(default_factory=dict)
    systems: dict[str, dict[str, SystemType]] = Field(default_factory=dict)


class Comparison(NamedTuple):
    """What is compared with each other: a base and its arms on one dataset.

    ``across`` is what holds throughout, as in ``irrelevant=0.5``; "" where nothing is varied.
    """

    ablation: str
    base: str
    dataset: str
    across: str

    @property
    def title(self) -> str:
        varied = f", {self.across}" if self.across else ""
        return f"{self.ablation}: {self.base} on {self.dataset}{varied}"


@dataclass(frozen=True)
class Arm:
    """Which arm of a comparison a run belongs to.

    Args:
        name: of the arm; the base's begins with ``base``.
        overrides: ``path=value``, as ``-o`` takes it: what makes the arm out of the base.
    """

    comparison: Comparison
    name: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """One run to be: one cell of a suite, or of an arm, and the overrides that led to it."""

    suite: str | None
    system: SystemSpec
    dataset: str
    reader: PartSpec
    seed: int
    recipe_name: str
    recipe: Recipe
    overrides: tuple[str, ...] = ()
    arm: Arm | None = None

    def under(self, seed: int) -> Plan:
        """The same under another seed."""
        return replace(self, seed=seed)


@dataclass(frozen=True)
class Study:
    """A valid ablation. ``arms`` are plans under the first seed, those of a comparison together and
    its base first; an arm that equals the base is not there again: the base's name tells of it."""

    name: str
    description: str
    seeds: tuple[int, ...]
    arms: tuple[Plan, ...]

    def plans(self) -> list[Plan]:
        """By comparison, arm and seed."""
        return [plan.under(seed) for plan in self.arms for seed in self.seeds]
