"""What is odd about a dataset though it can be read: findings to know of, not errors."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, combinations

from zoo.data.findings import Finding, counted, some
from zoo.data.pictures import readable
from zoo.errors import shown
from zoo.types import Sample, Splits

CONTROL = re.compile("[\x00-\x1f\x7f]")
MANY, COMMON = 10, 0.01
"""A caption of so many pictures, and of such a share of them, is remarkable."""


def check(splits: Splits) -> list[str]:
    """All findings, one clear line each; none where all is well. Decodes every picture."""
    return list(
        chain(
            (finding.text for finding in findings(splits)),
            untrainable(splits),
            _absent(splits, "picture", lambda sample: sample.picture is None),
            _absent(splits, "caption", lambda sample: sample.caption is None),
            _unreadable(splits),
            _control_characters(splits),
            _contradictions(splits),
            _repeats(splits),
            _shared(splits),
            _types_by_case(splits),
        )
    )


def findings(splits: Splits) -> list[Finding]:
    """What the reader noticed and which types are new in dev or test: quickly found, no decoding.

    Those with ``note`` may change what numbers mean, and belong under the tables of the dataset.
    """
    return [
        *getattr(splits, "findings", ()),
        *_unseen_types(splits),
        *_without_entities(splits),
        *_common_captions(splits),
    ]


def notes(splits: Splits) -> list[str]:
    """The findings that belong under the tables of the dataset."""
    return [finding.text for finding in findings(splits) if finding.note]


def untrainable(splits: Splits) -> list[str]:
    """Why nothing can be learnt from a dataset; nothing where it can."""
    if any(sample.entities for sample in splits.get("train", [])):
        return []
    return ["train: no sentence has an entity, so there is nothing to learn; check its tags"]


def _absent(splits: Splits, what: str, absent: Callable[[Sample], bool]) -> Iterator[str]:
    """Those of which the reader did not say it already."""
    named = getattr(splits, "absent" if what == "picture" else "uncaptioned", {})
    lacking = {split: [s.id for s in samples if absent(s)] for split, samples in splits.items()}
    if all(len(ids) == len(splits[split]) for split, ids in lacking.items()) and not named:
        yield f"no sentence has a {what}"
        return
    for split, ids in lacking.items():
        others = [id for id in ids if id not in named.get(split, ())]
        if others:
            yield f"{split}: {len(others)} of {len(splits[split])} without a {what}: {some(others)}"


def _control_characters(splits: Splits) -> Iterator[str]:
    for split, samples in splits.items():
        ids = [s.id for s in samples if CONTROL.search(" ".join(s.words))]
        if ids:
            found = counted(len(ids), "sentence has", "sentences have")
            yield f"{split}: {found} control characters inside a word: {some(ids)}"


def _unreadable(splits: Splits) -> Iterator[str]:
    for split, samples in splits.items():
        bad = [p.name for s in samples for p in s.pictures if not readable(p)]
        if bad:
            found = counted(len(bad), "picture", "pictures")
            yield f"{split}: {found} can't be decoded: {some(bad)}"


def _contradictions(splits: Splits) -> Iterator[str]:
    """The same words with other entities, inside a split or in two."""
    for split, samples in splits.items():
        odd = [
            group for group in _by_words(samples).values() if len({s.entities for s in group}) > 1
        ]
        if odd:
            examples = (" = ".join(s.id for s in group) for group in odd)
            found = f"{counted(len(odd), 'text', 'texts')} with different entities in two places"
            yield f"{split}: {found}: {some(examples)}"
    for (one, first), (two, second) in combinations(splits.items(), 2):
        left, right = _by_words(first), _by_words(second)
        pairs = [
            f"{left[words][0].id} = {right[words][0].id}"
            for words in left.keys() & right.keys()
            if {s.entities for s in left[words]} != {s.entities for s in right[words]}
        ]
        if pairs:
            yield (
                f"{one} and {two}: {counted(len(pairs), 'text', 'texts')} with different entities "
                f"in each: {some(sorted(pairs))}"
            )


def _repeats(splits: Splits) -> Iterator[str]:
    for split, samples in splits.items():
        groups = [group for group in _by_words(samples).values() if len(group) > 1]
        if groups:
            examples = (" = ".join(s.id for s in group) for group in groups)
            found = counted(len(groups), "text", "texts")
            yield f"{split}: {found} more than once: {some(examples)}"


def _shared(splits: Splits) -> Iterator[str]:
    for (one, first), (two, second) in combinations(splits.items(), 2):
        left = _by_words(first)
        ids = [sample.id for sample in second if sample.words in left]
        if ids:
            yield f"{two}: {len(ids)} of {len(second)} texts in {one} too: {some(ids)}"


def _unseen_types(splits: Splits) -> Iterator[Finding]:
    known = _types(splits.get("train", []))
    for split, samples in splits.items():
        if unseen := sorted(_types(samples) - known):
            yield Finding(
                f"{split}: types that train has no entity of: {', '.join(map(shown, unseen))}",
                note=True,
            )


def _without_entities(splits: Splits) -> Iterator[Finding]:
    """Splits of which every score is 0 (train is refused elsewhere)."""
    means = {
        "dev": "every epoch scores 0 on it, and the weights of the first are kept",
        "test": "every system scores 0 on it",
    }
    for split, consequence in means.items():
        samples = splits.get(split)
        if samples and not any(sample.entities for sample in samples):
            yield Finding(f"{split}: no sentence has an entity, so {consequence}", note=True)


def _common_captions(splits: Splits) -> Iterator[Finding]:
    """A caption that many pictures share was hardly made from each of them."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for split, samples in splits.items():
        pictures: defaultdict[str, set[str]] = defaultdict(set)
        for sample in samples:
            if sample.caption:
                pictures[sample.caption].add(sample.picture.name if sample.picture else sample.id)
        total = sum(map(len, pictures.values()))
        for caption, names in pictures.items():
            if len(names) >= max(MANY, total * COMMON):
                places[caption].append(f"{len(names)} of {total} pictures of {split}")
    for caption, counts in places.items():
        yield Finding(
            f"`{shown(caption)}` is the caption of {', '.join(counts)}; it may stand for pictures "
            "that could not be read, and systems that read captions take it for what is seen",
            note=True,
        )


def _types_by_case(splits: Splits) -> Iterator[str]:
    spellings: defaultdict[str, set[str]] = defaultdict(set)
    for label in set().union(*map(_types, splits.values())):
        spellings[label.lower()].add(label)
    for variants in sorted(sorted(group) for group in spellings.values() if len(group) > 1):
        yield f"types that differ by case alone: {', '.join(variants)}; map them by `labels`"


def _types(samples: Iterable[Sample]) -> set[str]:
    return {entity.type for sample in samples for entity in sample.entities}


def _by_words(samples: Sequence[Sample]) -> dict[tuple[str, ...], list[Sample]]:
    groups: defaultdict[tuple[str, ...], list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.words].append(sample)
    return dict(groups)
