"""Which posts stand in two places: in two splits of a dataset, or in two datasets.

A system that was trained on a post has seen its answer, and a test on it measures memory.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

from zoo.types import Sample, Splits

SIMILAR = 0.8
"""The cosine from which on two texts count as near-duplicates."""

_ADDRESS = re.compile(r"https?\S*|www\.\S+|\S*t\.co/\S*|co/\w{6,}", re.IGNORECASE)
_NO_TEXT = re.compile(r"[\W_]+")
_ORDER = ("train", "dev", "test")
_ROWS = 500  # texts that are compared at once


class Part(NamedTuple):
    """A split of a dataset."""

    dataset: str
    split: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many posts of one split stand in another one, too.

    Args:
        posts: the split whose posts are counted.
        inside: the split that they are looked for in.
        of: how many posts there are.
        by_id: those whose id is in ``inside``; ids that a reader made up are not looked at.
        by_text: those whose normalised text is, see :func:`text_key`.
        similar: those that are near-duplicates of a post there and neither of the above; None
            where that was not tried.
        example: the id of one of them.
    """

    posts: Part
    inside: Part
    of: int
    by_id: int
    by_text: int
    similar: int | None
    example: str

    @property
    def any(self) -> bool:
        return bool(self.by_id or self.by_text or self.similar)


def id_key(sample: Sample) -> str:
    """The id without the language that a reader of several languages puts before it."""
    return sample.id.removeprefix(f"{sample.language}/") if sample.language else sample.id


def given_ids(splits: Splits, split: str) -> list[str | None]:
    """The key of each post's id; None where the reader made the id up: that of another dataset says
    nothing."""
    made = getattr(splits, "made_ids", {}).get(split, frozenset())
    return [None if sample.id in made else id_key(sample) for sample in splits[split]]


def text_key(words: Iterable[str]) -> str:
    """The text as it is compared: NFKC, case folded, letters and digits alone.

    How a text was cut into words, its punctuation and its blanks do not enter. A text without
    letters and digits is compared by what it has.
    """
    text = unicodedata.normalize("NFKC", "".join(words)).casefold()
    return _NO_TEXT.sub("", text) or text


def overlaps(datasets: Mapping[str, Splits], similar: float | None = SIMILAR) -> list[Overlap]:
    """All pairs of splits of all datasets, in which anything stands in both.

    Of a pair, the posts of the split that is nearer to the test are counted (train before dev
    before test); of two alike, both are.

    Args:
        similar: the cosine from which on two texts are near-duplicates; None: do not look.
    """
    parts = [
        Part(name, split)
        for name, splits in datasets.items()
        for split in sorted(splits, key=_rank)
    ]
    samples = [datasets[part.dataset][part.split] for part in parts]
    ids = [given_ids(datasets[part.dataset], part.split) for part in parts]
    texts = [[text_key(sample.words) for sample in each] for each in samples]
    id_sets = [frozenset(each) - {None} for each in ids]
    text_sets = list(map(frozenset, texts))
    close = _close(samples, similar) if similar is not None else None
    found = []
    for i, j in _pairs(parts):
        same_id = [id in id_sets[j] for id in ids[i]]
        same_text = [text in text_sets[j] for text in texts[i]]
        near = close[i, j] if close is not None else [False] * len(same_id)
        rows = list(zip(same_id, same_text, near, strict=True))
        first = next((s.id for s, row in zip(samples[i], rows, strict=True) if any(row)), "")
        each = Overlap(
            parts[i],
            parts[j],
            len(rows),
            sum(same_id),
            sum(same_text),
            sum(near and not id and not text for id, text, near in rows) if close else None,
            first,
        )
        if each.any:
            found.append(each)
    return found


def _rank(split: str) -> int:
    return _ORDER.index(split) if split in _ORDER else len(_ORDER)


def _pairs(parts: Sequence[Part]) -> Iterator[tuple[int, int]]:
    """Whose posts are counted, and where they are looked for."""
    for i, j in combinations(range(len(parts)), 2):
        one, two = _rank(parts[i].split), _rank(parts[j].split)
        if one >= two:
            yield i, j
        if two >= one:
            yield j, i


def _close(samples: Sequence[Sequence[Sample]], least: float) -> dict[tuple[int, int], list[bool]]:
    """For each ordered pair of splits, for each post of the first: has it a near-duplicate in the
    second? Similar are texts whose tf-idf vectors over pairs of adjacent words, without web
    addresses, have a cosine of at least ``least``. (Single words would cost minutes, since the
    frequent ones stand in every other text.)"""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [_ADDRESS.sub(" ", " ".join(s.words)) for split in samples for s in split]
    owner = np.repeat(np.arange(len(samples)), [len(split) for split in samples])
    answer = {
        (i, j): [False] * len(samples[i]) for i in range(len(samples)) for j in range(len(samples))
    }
    try:
        rows: Any = TfidfVectorizer(
            ngram_range=(2, 2), token_pattern=r"(?u)\w+", dtype=np.float32
        ).fit_transform(texts)
    except ValueError:  # no text has two words
        return answer
    columns = rows.T.tocsr()
    start = np.concatenate([[0], np.cumsum([len(split) for split in samples])])
    for first in range(0, len(texts), _ROWS):
        product = (rows[first : first + _ROWS] @ columns).tocoo()
        keep = product.data >= least
        for row, column in zip(product.row[keep] + first, product.col[keep], strict=True):
            i, j = owner[row], owner[column]
            if i != j:
                answer[i, j][row - start[i]] = True
    return answer
