"""Splits that a dataset does not come with, made so that no post is in two of them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

from zoo.data.files import SPLITS, WHOLE
from zoo.data.findings import Tally, counted
from zoo.errors import DataError
from zoo.types import Sample, Splits

SHARES = (0.8, 0.1, 0.1)
"""Of train, dev and test, where nothing else is asked for."""

NO_TEST = "no test split: the scores are those of dev, by which the epoch is chosen"


def shuffled(
    samples: Sequence[Sample],
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    posts: Sequence[str] = (),
) -> Splits:
    """Train, dev and, with three shares, test; each in the order of ``samples``.

    Samples that share a picture, an id with other numbers behind it (see
    :class:`zoo.data.files.Ids`) or all of their words are in one split. Dev and test get a post
    each however few there are.

    Args:
        posts: what each sample is from, where their ids do not tell.

    Raises:
        DataError: there are too few samples.
    """
    groups: Mapping[str, list[int]] = defaultdict(list)
    for number, name in enumerate(_groups(samples, posts)):
        groups[name].append(number)
    order = list(groups)
    random.Random(seed).shuffle(order)
    chosen: dict[str, list[int]] = {name: [] for name in SPLITS}
    wanted = [share * len(samples) for share in shares]
    for split, most in list(zip(SPLITS, wanted, strict=False))[1:]:
        while len(order) > 1 and most > 0 and len(chosen[split]) < max(1, round(most)):
            chosen[split] += groups[order.pop()]
    for group in order:
        chosen["train"] += groups[group]
    if not all(chosen[split] for split, most in zip(SPLITS, wanted, strict=False) if most > 0):
        raise DataError(
            f"{counted(len(samples), 'sentence', 'sentences')} of "
            f"{counted(len(groups), 'post', 'posts')} are too few to be split; add more, "
            "or give files named train, dev and test"
        )
    return {name: [samples[number] for number in sorted(chosen[name])] for name in SPLITS}


def completed(splits: Splits, tally: Tally) -> Splits:
    """Train, dev and test of what was read: see :func:`zoo.data.files.split_files`.

    The tally is told of every split that was made. Without a test split, test *is* dev, and its
    scores are those of the sentences that the epoch was chosen by.
    """
    if WHOLE in splits:
        tally.add("one file without splits: 80/10/10 by a fixed shuffle of its posts", note=True)
        return shuffled(splits[WHOLE])
    if "dev" not in splits:
        tally.add("no dev split: a tenth of train by a fixed shuffle of its posts", note=True)
        made = shuffled(splits["train"], (0.9, 0.1))
        splits = {**splits, "train": made["train"], "dev": made["dev"]}
    if "test" not in splits:
        tally.add(NO_TEST, note=True)
        splits = {**splits, "test": splits["dev"]}
    return {name: splits[name] for name in SPLITS}


def _groups(samples: Sequence[Sample], posts: Sequence[str]) -> list[str]:
    """For each sample the name of its group."""
    leader: dict[str, str] = {}
    ids = {sample.id for sample in samples}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for number, sample in enumerate(samples):
        before, _, count = sample.id.rpartition("-")
        same = [f"words {' '.join(sample.words).casefold()}"]
        if count.isdecimal() and before in ids:
            same.append(f"id {before}")
        same += [f"picture {picture.name}" for picture in sample.pictures]
        if posts:
            same.append(f"post {posts[number]}")
        for name in same:
            leader[find(name)] = find(f"id {sample.id}")
    return [find(f"id {sample.id}") for sample in samples]
