"""From a validated specification to a system: the only place that knows widths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from copy import copy, deepcopy
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from zoo.data.reading import read_data as read_data  # for those who need both
from zoo.encoders.frozen import Frozen, FrozenText
from zoo.encoders.references import noted
from zoo.errors import ConfigError, DataError, near
from zoo.identity import asked
from zoo.parts import Aligner, ImageEncoder, TextEncoder, ViewSpec
from zoo.schema import PartSpec, SystemSpec, sees, supplied
from zoo.system import COLUMNS, System
from zoo.types import Sample


@dataclass(frozen=True)
class Learnt:
    """All that parts learn from the training data before training starts.

    With it and its weights, a system can be built again without the data.

    Args:
        words: how often each word occurs.
        types: the entity types, sorted.
        texts: how often each word occurs in the samples' other texts, by field (``caption``, names
            in ``Sample.extra``): for encoders that read them.
    """

    words: Counter[str]
    types: list[str]
    texts: Mapping[str, Counter[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, train: Iterable[Sample]) -> Learnt:
        """What the training split teaches."""
        samples = list(train)
        words = Counter(chain.from_iterable(sample.words for sample in samples))
        types = {entity.type for sample in samples for entity in sample.entities}
        texts: dict[str, Counter[str]] = {}
        for sample in samples:
            for name in ("caption", *sample.extra):
                if text := sample.get(name):
                    texts.setdefault(name, Counter()).update(text.split())
        return cls(words, sorted(types), texts)

    def read_by(self, part: PartSpec) -> Counter[str]:
        """How often each word occurs in what an encoder reads, the sentences always included."""
        return sum(
            (self.texts[name] for name in sorted(sees(part) & self.texts.keys())), self.words
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data, the same for equal states: ``types``, ``words`` by their count, ``texts``.

        Most words are rare; listed by count, each takes little more than its letters.
        """
        texts = {name: _by_count(words) for name, words in sorted(self.texts.items())}
        return {"types": self.types, "words": _by_count(self.words), "texts": texts}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Learnt:
        """The inverse of :meth:`as_dict`. Raises DataError where the data is something else."""
        try:
            counts = _counted(data["words"])
            texts = {name: _counted(words) for name, words in data["texts"].items()}
            types = list(data["types"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"what a system has learnt from its training data must have `types`, and `words` "
                f"and `texts` by count; this has not ({type(error).__name__}: {error})"
            ) from error
        return cls(counts, types, texts)


def _by_count(words: Counter[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word, n in sorted(words.items(), key=lambda item: (-item[1], item[0])):
        found.setdefault(str(n), []).append(word)
    return found


def _counted(by_count: Mapping[str, list[str]]) -> Counter[str]:
    return Counter({word: int(n) for n, words in by_count.items() for word in words})


def build(spec: SystemSpec, train: Iterable[Sample] | Learnt, cache: Path) -> System:
    """Assemble a system.

    Args:
        train: the training split, or what was learnt from it: vocabularies and entity types come
            from it alone.
        cache: the folder for features of frozen encoders.

    Raises:
        ConfigError: a part refuses its settings, its weights can't be loaded, or two parts have a
            loss of the same name.
    """
    learnt = train if isinstance(train, Learnt) else Learnt.of(train)
    known: dict[str, Any] = {"words": learnt.words, "types": learnt.types}
    encoder = spec.text or spec.joint
    assert encoder is not None, "a validated system has a text or a joint encoder"
    check_losses(spec)
    text = make(encoder, {**known, "words": learnt.read_by(encoder)}, cache)
    views: dict[str, ImageEncoder] = {
        name: make(part, {**known, "words": learnt.read_by(part)}, cache)
        for name, part in spec.views.items()
    }
    known["width"] = known["text_width"] = text.width
    known["views"] = dict(getattr(text, "view_specs", {})) or {
        name: ViewSpec(view.width, view.regions) for name, view in views.items()
    }
    if spec.joint:
        check_views(spec, known["views"])
    aligners: list[Aligner] = []
    for part in spec.aligner:
        aligners.append(make(part, known, cache))
        if aligners[-1].views is not None:
            known["views"] = aligners[-1].views
    fuser = make(spec.fuser, known, cache) if spec.fuser else None
    known["fused"] = fuser.width if fuser else text.width
    if fuser and fuser.level == "token":
        known["width"] = fuser.width
    decoder = make(spec.decoder, known, cache)
    objective = make(spec.objective, known, cache) if spec.objective else None
    return System(text, views, aligners, fuser, decoder, spec.loss_weights, objective)


def check_losses(spec: SystemSpec) -> None:
    """Raises ConfigError where parts other than aligners share the name of a loss, or one has
    the name of another column of the history."""
    owner: dict[str, str] = {}
    for slot, names in spec.losses.items():
        for name in names:
            if name in COLUMNS:
                raise ConfigError(
                    f"{slot} has a loss `{name}`, the name of a column of history.csv; rename it "
                    "in the part"
                )
            if name in owner:
                raise ConfigError(
                    f"{owner[name]} and {slot} both have a loss `{name}`, and one would replace "
                    "the other; take one of the two parts away"
                )
            owner[name] = slot


def check_views(spec: SystemSpec, views: Collection[str]) -> None:
    """Raises ConfigError where a loss weight is of a view that a joint encoder does not have."""
    for name in spec.loss_weights:
        _, dot, view = name.partition(".")
        if dot and view not in views:
            raise ConfigError(
                f"loss_weights.{name}: the joint encoder has no view `{view}`{near(view, views)}"
            )


def make(part: PartSpec, known: Mapping[str, Any], cache: Path) -> Any:
    """Build one part: nested parts first, then the constructor with what it asks for."""
    with noted() as loaded:
        nested = {name: make(child, known, cache) for name, child in part.nested.items()}
        # copies: a part may keep and change what it is given, and others are given the same
        given = {name: copy(known[name]) for name in supplied(part.cls)}
        built = part.cls(**given, **deepcopy(dict(part.settings)), **nested)
    names = {text for each in loaded for text in each.name if text is not None}
    if part.frozen and isinstance(built, ImageEncoder):
        return Frozen(built, cache, bool(loaded), asked(part, names))
    if part.frozen and isinstance(built, TextEncoder):
        return FrozenText(built, cache, bool(loaded), asked(part, names))
    if part.frozen:
        freeze(built)
    return built


def freeze(module: Any) -> None:
    """No gradient, and eval mode for good."""
    module.requires_grad_(False)
    module.eval()
    module.train = lambda mode=True: module
