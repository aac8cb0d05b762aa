"""What is odd about a dataset though it can be read: findings to know of, not errors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, combinations

from zoo.data.pictures import readable
from zoo.types import Sample, Splits


def check(splits: Splits) -> list[str]:
    """Findings, one clear line each; none where all is well. Decodes every picture."""
    return list(
        chain(
            _absent(splits, "picture", lambda sample: sample.picture is None),
            _absent(splits, "caption", lambda sample: sample.caption is None),
            _unreadable(splits),
            _contradictions(splits),
            _repeats(splits),
            _shared(splits),
            _unseen_types(splits),
            _types_by_case(splits),
        )
    )


def _absent(splits: Splits, what: str, absent: Callable[[Sample], bool]) -> Iterator[str]:
    lacking = {split: [s.id for s in samples if absent(s)] for split, samples in splits.items()}
    if all(len(ids) == len(splits[split]) for split, ids in lacking.items()):
        yield f"no sentence has a {what}"
        return
    for split, ids in lacking.items():
        if ids:
            yield f"{split}: {len(ids)} of {len(splits[split])} without a {what}: {_some(ids)}"


def _unreadable(splits: Splits) -> Iterator[str]:
    for split, samples in splits.items():
        bad = [s.picture.name for s in samples if s.picture and not readable(s.picture)]
        if bad:
            yield f"{split}: {_n(len(bad), 'picture')} can't be decoded: {_some(bad)}"


def _contradictions(splits: Splits) -> Iterator[str]:
    """The same words with other entities, inside a split or in two."""
    for split, samples in splits.items():
        odd = [
            group for group in _by_words(samples).values() if len({s.entities for s in group}) > 1
        ]
        if odd:
            examples = (" = ".join(s.id for s in group) for group in odd)
            found = f"{_n(len(odd), 'text')} with different entities in two places"
            yield f"{split}: {found}: {_some(examples)}"
    for (one, first), (two, second) in combinations(splits.items(), 2):
        left, right = _by_words(first), _by_words(second)
        pairs = [
            f"{left[words][0].id} = {right[words][0].id}"
            for words in left.keys() & right.keys()
            if {s.entities for s in left[words]} != {s.entities for s in right[words]}
        ]
        if pairs:
            yield (
                f"{one} and {two}: {_n(len(pairs), 'text')} with different entities in each: "
                f"{_some(sorted(pairs))}"
            )


def _repeats(splits: Splits) -> Iterator[str]:
    for split, samples in splits.items():
        groups = [group for group in _by_words(samples).values() if len(group) > 1]
        if groups:
            examples = (" = ".join(s.id for s in group) for group in groups)
            yield f"{split}: {_n(len(groups), 'text')} more than once: {_some(examples)}"


def _shared(splits: Splits) -> Iterator[str]:
    for (one, first), (two, second) in combinations(splits.items(), 2):
        left = _by_words(first)
        ids = [sample.id for sample in second if sample.words in left]
        if ids:
            yield f"{two}: {len(ids)} of {len(second)} texts in {one} too: {_some(ids)}"


def _unseen_types(splits: Splits) -> Iterator[str]:
    known = _types(splits.get("train", []))
    for split, samples in splits.items():
        if unseen := sorted(_types(samples) - known):
            yield f"{split}: types that train has no entity of: {', '.join(unseen)}"


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


def _some(names: Iterable[str], n: int = 3) -> str:
    names = list(names)
    return ", ".join(names[:n]) + (", …" if len(names) > n else "")


def _n(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
