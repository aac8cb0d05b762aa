"""Dataset ``mini``: tweets and pictures made from a seed, an instrument for multimodal systems.

A share of the mentions uses names that bear two types equally often (Washington: PER or LOC) in
contexts that do not tell which; the picture, which holds one object an entity, does. What a
reader of the words alone can reach is therefore known: see :meth:`Synthetic.text_only_ceiling`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from zoo.data.shapes import COLOURS, Thing, draw
from zoo.data.synthetic_templates import AMBIGUOUS, EMOJI, HANDLES, HASHTAGS, NAMES, TEMPLATES
from zoo.registry import register
from zoo.types import Entity, Picture, Sample, Splits

Language = Literal["en", "fr", "de", "es"]
Split = Literal["train", "dev", "test"]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]

COLOUR_OF = {
    name: i % len(COLOURS) for group in (AMBIGUOUS, *NAMES.values()) for i, name in enumerate(group)
}
"""The cue: the colour (an index of ``COLOURS``) that a name's object has."""

_ENTITIES, _WEIGHTS = (1, 2, 3), (8, 8, 4)  # how many entities a tweet has, and how often


class Mention(NamedTuple):
    """A name in a tweet: words [start, end), and the type that it bears there."""

    name: str
    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class Tweet:
    """A tweet before its picture is drawn."""

    language: str
    words: tuple[str, ...]
    mentions: tuple[Mention, ...]


def other_type(name: str, kind: str) -> str:
    """The other type that the name bears; ``kind`` itself where there is only one."""
    first, second = AMBIGUOUS.get(name, (kind, kind))
    return second if kind == first else first


@register("reader", "synthetic")
class Synthetic:
    """Tweets in four languages with drawn pictures that tell what ambiguous names mean.

    Sentences are made in pairs that have the same names; in the second every ambiguous name bears
    its other type. So each bears both equally often, in every split. In training the two of a
    pair are worded differently. In development and test, where there are ambiguous names, they are
    twins: the same words, so that only the picture differs. Whatever words go with a type in one
    twin go with the other type in the other, and no reader of the words alone can do better on
    ambiguous mentions than one that tosses a coin. Pairs are torn apart by shuffling; the last
    sentence of an odd number stands alone and has no ambiguous name.

    The picture holds one object a mention, in random places, whose family of shapes tells the
    type, and up to two distractors of no family. With ``grounding`` the colour of an object
    follows the name (``COLOUR_OF``; names of one sentence differ in colour), which tells the
    objects of one picture apart; without, colours are random. The ambiguous names of one
    sentence share their two types and bear them in turns: of two, the shapes alone show one of
    each in both twins, and only the colour says which is which.

    Args:
        root: not used; the data is made, not read.
        languages: of the tweets, in equal parts.
        train, dev, test: sentences in each split.
        ambiguous: share of mentions with an ambiguous name.
        irrelevant: share of the pictures that show things unrelated to the sentence.
        missing: share of sentences without a picture.
        grounding: whether an object's colour follows the name.
        size: height and width of the pictures, in pixels.
        seed: all comes from it; another seed, another dataset.
    """

    def __init__(
        self,
        root: Path,
        *,
        languages: Annotated[Sequence[Language], Field(min_length=1)] = ("en", "fr", "de", "es"),
        train: Count = 1200,
        dev: Count = 300,
        test: Count = 600,
        ambiguous: Share = 0.5,
        irrelevant: Share = 0.0,
        missing: Share = 0.0,
        grounding: bool = True,
        size: Annotated[int, Field(ge=24, le=256)] = 36,
        seed: Annotated[int, Field(ge=0, lt=2**32)] = 0,
    ) -> None:
        self.languages = list(languages)
        self.sizes: dict[Split, int] = {"train": train, "dev": dev, "test": test}
        self.ambiguous, self.irrelevant, self.missing = ambiguous, irrelevant, missing
        self.grounding, self.size, self.seed = grounding, size, seed

    def read(self) -> Splits:
        """The three splits. The same settings give the same bytes."""
        return {split: self._samples(split) for split in self.sizes}

    def text_only_ceiling(self, split: Literal["dev", "test"] = "test") -> float:
        """The highest micro F1, in [0, 1], that a reader of the words alone can get.

        It is exact, not an expectation, for every reader that answers equal words with equal,
        flat entities (one type a span). Let U and A be the unambiguous and the ambiguous mentions
        of the split. Such a reader is right in at most one of an ambiguous mention and its
        twin, so its correct entities are at most U + A/2 where it predicts all U + A. Leaving out
        mentions costs recall faster than it gains precision: with a share k of the ambiguous
        ones predicted, F1 = 2 (U + kA/2) / (2U + A + kA), which grows with k. The ceiling is
        therefore (U + A/2) / (U + A).

        Raises:
            ValueError: the split is ``train``, which has no twins.
        """
        if split not in ("dev", "test"):
            raise ValueError(f"the text-only ceiling is known for dev and test, not for {split!r}")
        names = [mention.name for tweet in self.tweets(split) for mention in tweet.mentions]
        ambiguous = sum(name in AMBIGUOUS for name in names)
        return 1 - ambiguous / 2 / len(names)

    def tweets(self, split: Split) -> list[Tweet]:
        """What the sentences of a split say, in order."""
        rng = Random(f"{self.seed} {split} words")
        writer = _Writer(rng)
        pairs, odd = divmod(self.sizes[split], 2)
        tweets = []
        for i, flags in enumerate(self._ambiguity(pairs, rng)):
            language = self.languages[i % len(self.languages)]
            named = writer.names(flags)
            tweet = writer.tweet(language, named)
            if split != "train" and any(flags):
                mentions = tuple(
                    m._replace(type=other_type(m.name, m.type)) for m in tweet.mentions
                )
                tweets += [tweet, replace(tweet, mentions=mentions)]
            else:
                others = [(name, other_type(name, kind)) for name, kind in named]
                rng.shuffle(others)
                tweets += [tweet, writer.tweet(language, others)]
        if odd:
            tweets.append(writer.tweet(self.languages[-1], writer.names([False])))
        rng.shuffle(tweets)
        return tweets

    def _ambiguity(self, tweets: int, rng: Random) -> list[list[bool]]:
        """For each tweet, for each of its mentions: is the name ambiguous?

        The share of mentions is exact. Ambiguous names stand together, so that telling the objects
        of a picture apart matters in most of their sentences.
        """
        counts = rng.choices(_ENTITIES, _WEIGHTS, k=tweets)
        left = round(sum(counts) * self.ambiguous)
        flags = []
        for count in counts:
            share = min(count, left)
            left -= share
            flags.append([True] * share + [False] * (count - share))
        return flags

    def _samples(self, split: Split) -> list[Sample]:
        tweets = self.tweets(split)
        rng = Random(f"{self.seed} {split} pictures")
        missing = _deck(len(tweets), self.missing, rng)
        irrelevant = _deck(len(tweets), self.irrelevant, rng)
        samples = []
        for i, tweet in enumerate(tweets):
            name = f"{split}-{i:05d}"
            picture = None
            if not missing[i]:
                things = self.things(() if irrelevant[i] else tweet.mentions, rng)
                picture = Picture(f"{name}.png", data=draw(things, self.size, rng))
            entities = tuple(Entity(m.start, m.end, m.type) for m in tweet.mentions)
            samples.append(Sample(name, tweet.words, entities, tweet.language, picture))
        return samples

    def things(self, mentions: Sequence[Mention], rng: Random) -> list[Thing]:
        """One object a mention and up to two distractors; without mentions, random objects."""
        colours = rng.sample(range(len(COLOURS)), len(COLOURS))
        if mentions:
            named = [COLOUR_OF[mention.name] for mention in mentions]
            if self.grounding:
                colours = named + [colour for colour in colours if colour not in named]
            families = [mention.type for mention in mentions]
        else:
            families = rng.choices(list(NAMES), k=rng.choices(_ENTITIES, _WEIGHTS)[0])
        shown = [*families, *[None] * rng.randint(0, 2)]
        return [Thing(family, colour) for family, colour in zip(shown, colours, strict=False)]


class _Writer:
    """Writes tweets, every name as often as the others of its group."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.bags: dict[Hashable, list[str]] = defaultdict(list)
        self.templates: dict[tuple[str, int], list[str]] = defaultdict(list)
        for language, templates in TEMPLATES.items():
            for template in templates:
                self.templates[language, template.count("{}")].append(template)

    def names(self, ambiguous: Sequence[bool]) -> list[tuple[str, str]]:
        """Names with their types, no two of one colour; which are ambiguous is asked for.

        Ambiguous ones share their two types and bear them in turns, so that the shapes in the
        picture do not tell which is which.
        """
        chosen: list[tuple[str, str]] = []
        taken: set[int] = set()
        both = self.rng.choice(sorted(set(AMBIGUOUS.values())))
        for flag in ambiguous:
            if flag:
                kind, both = both[0], (both[1], both[0])
                bearers = [n for n, types in AMBIGUOUS.items() if set(types) == set(both)]
                name = self._draw(frozenset(both), bearers, taken)
            else:
                kind = self.rng.choice(list(NAMES))
                name = self._draw(kind, NAMES[kind], taken)
            chosen.append((name, kind))
            taken.add(COLOUR_OF[name])
        return chosen

    def tweet(self, language: str, names: Sequence[tuple[str, str]]) -> Tweet:
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
        return Tweet(language, tuple(words), tuple(mentions))

    def _draw(self, group: Hashable, names: Sequence[str], taken: set[int]) -> str:
        """The next from the group's shuffled bag, refilled when nothing in it will do."""
        bag = self.bags[group]
        while True:
            for i, name in enumerate(bag):
                if COLOUR_OF[name] not in taken:
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


def _deck(cards: int, share: float, rng: Random) -> list[bool]:
    """Shuffled flags, of which ``share`` are True."""
    true = round(cards * share)
    deck = [True] * true + [False] * (cards - true)
    rng.shuffle(deck)
    return deck
