"""Writes the sentences of dataset ``mini``: names with their types, put into templates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple

from zoo.data.synthetic_templates import (
    AMBIGUOUS,
    EMOJI,
    HANDLES,
    HASHTAGS,
    NAMES,
    TEMPLATES,
    UNSEEN,
)

Group = Literal["ambiguous", "known", "unseen"]
"""What kind of name a mention has."""

RANK = {
    name: i
    for group in (AMBIGUOUS, *NAMES.values(), *UNSEEN.values())
    for i, name in enumerate(group)
}
"""The place of a name in its group; the cue of its object follows from it."""


class Mention(NamedTuple):
    """A name in a tweet: words [start, end), and the type that it bears there."""

    name: str
    start: int
    end: int
    type: str

    @property
    def ambiguous(self) -> bool:
        return self.name in AMBIGUOUS


@dataclass(frozen=True, slots=True)
class Tweet:
    """A tweet before its picture is drawn.

    ``decoys``: whether the picture also shows, for each ambiguous name, an object of its other
    type.
    """

    language: str
    words: tuple[str, ...]
    mentions: tuple[Mention, ...]
    decoys: bool = False

    @property
    def ambiguous(self) -> list[Mention]:
        return [mention for mention in self.mentions if mention.ambiguous]


def other_type(name: str, kind: str) -> str:
    """The other type that the name bears; ``kind`` itself where there is only one."""
    first, second = AMBIGUOUS.get(name, (kind, kind))
    return second if kind == first else first


class Writer:
    """Writes tweets, every name as often as the others of its group.

    Args:
        rng: where all is drawn from.
        cues: how many values the cue has; no two names of a tweet have the same.
    """

    def __init__(self, rng: Random, cues: int) -> None:
        self.rng, self.cues = rng, cues
        self.bags: dict[Hashable, list[str]] = defaultdict(list)
        self.templates: dict[tuple[str, int], list[str]] = defaultdict(list)
        for language, templates in TEMPLATES.items():
            for template in templates:
                self.templates[language, template.count("{}")].append(template)

    def names(self, groups: Sequence[Group]) -> list[tuple[str, str]]:
        """Names with their types, no two of one cue, in the groups that are asked for.

        Ambiguous ones share their two types; which of the two each bears is drawn for each alone.
        """
        chosen: list[tuple[str, str]] = []
        taken: set[int] = set()
        both = self.rng.choice(sorted(set(AMBIGUOUS.values())))
        for group in groups:
            if group == "ambiguous":
                kind = self.rng.choice(both)
                bearers = [name for name, types in AMBIGUOUS.items() if types == both]
                name = self._draw(both, bearers, taken)
            else:
                kind = self.rng.choice(list(NAMES))
                names = (NAMES if group == "known" else UNSEEN)[kind]
                name = self._draw((group, kind), names, taken)
            chosen.append((name, kind))
            taken.add(RANK[name] % self.cues)
        return chosen

    def tweet(self, language: str, names: Sequence[tuple[str, str]], decoys: bool = False) -> Tweet:
        """A tweet that mentions the names, in their order."""
        rng = self.rng
        lower = rng.random() < 0.04
        words: list[str] = []
        if rng.random() < 0.1:
            words += ["RT", rng.choice(HANDLES), ":"]
        elif rng.random() < 0.12:
            words.append(rng.choice(HANDLES))
        mentions = []
        waiting = iter(names)
        for token in rng.choice(self.templates[language, len(names)]).split():
            if token != "{}":
                words.append(token.lower() if lower else token)
                continue
            name, kind = next(waiting)
            written = self._written(name, lower)
            mentions.append(Mention(name, len(words), len(words) + len(written), kind))
            words += written
        if rng.random() < 0.25:
            words.append(rng.choice(EMOJI))
        if rng.random() < 0.3:
            words += rng.sample(HASHTAGS[language], rng.randint(1, 2))
        if rng.random() < 0.3:
            letters = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
            words.append("https://t.co/" + "".join(rng.choices(letters, k=10)))
        return Tweet(language, tuple(words), tuple(mentions), decoys)

    def _draw(self, group: Hashable, names: Sequence[str], taken: set[int]) -> str:
        """The next from the group's shuffled bag, refilled when nothing in it will do."""
        bag = self.bags[group]
        while True:
            for i, name in enumerate(bag):
                if RANK[name] % self.cues not in taken:
                    return bag.pop(i)
            bag += self.rng.sample(names, len(names))

    def _written(self, name: str, lower: bool) -> list[str]:
        """A name's words as typed: now and then a hashtag or in capitals."""
        noise = self.rng.random()
        if lower:
            name = name.lower()
        elif noise < 0.02:
            name = name.upper()
        elif noise < 0.05:
            name = "#" + name.replace(" ", "")
        return name.split()
