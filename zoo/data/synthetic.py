"""Dataset ``mini``: tweets and pictures made from a seed, an instrument for multimodal systems.

A share of the mentions uses names that bear two types equally often (Washington: PER or LOC) in
contexts that do not tell which. The picture tells: it shows an object of the type, which a cue
(its colour, its place or its size) ties to the name. What can be reached without the picture, and
with the picture but without the cue, is known: see :meth:`Synthetic.text_only_ceiling` and
:meth:`Synthetic.grounding_bar`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, cycle, islice
from pathlib import Path
from random import Random
from typing import Annotated, Literal

from pydantic import Field

from zoo.data.shapes import COLOURS, NOUNS, RADII, SIDE, Thing, draw, shapes_of
from zoo.data.synthetic_writer import RANK, Group, Tweet, Writer, other_type
from zoo.registry import register
from zoo.types import Entity, Picture, Sample, Splits

Language = Literal["en", "fr", "de", "es"]
Split = Literal["train", "dev", "test"]
Cue = Literal["colour", "place", "size"]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]

CUES: dict[Cue, int] = {"colour": len(COLOURS), "place": SIDE**2, "size": len(RADII)}
"""How many values each cue has."""

CAPTIONS: dict[Cue, tuple[str, ...]] = {
    "colour": ("red {}", "green {}", "blue {}", "yellow {}", "purple {}", "cyan {}"),
    "place": (
        "{} at the top left",
        "{} at the top",
        "{} at the top right",
        "{} at the left",
        "{} in the middle",
        "{} at the right",
        "{} at the bottom left",
        "{} at the bottom",
        "{} at the bottom right",
    ),
    "size": ("tiny {}", "small {}", "large {}", "huge {}"),
}
"""How captions name an object with its cue."""

_ENTITIES, _WEIGHTS = (1, 2, 3), (8, 8, 4)  # how many entities a tweet has, and how often


@register("reader", "synthetic")
class Synthetic:
    """Tweets in four languages with drawn pictures that tell what ambiguous names mean.

    Sentences are made in pairs that have the same names; in the second every ambiguous name bears
    its other type. So each bears both equally often, in every split. In training the two of a
    pair are worded differently. In development and test, where there are ambiguous names, they are
    twins: the same words, so that only the picture differs. Pairs are torn apart by shuffling; the
    last sentence of an odd number stands alone and has no ambiguous name.

    A sentence has at most two ambiguous names (three only where ``ambiguous`` is so large that two
    do not do). They share their two types, and which of the two each bears is drawn independently.
    The picture shows one object a mention, whose family of shapes is the type; with ``decoys`` also
    an object of the *other* type for each ambiguous name; and up to two distractors of no family.
    Where there are decoys, or as many ambiguous names of one type as of the other, the families
    in the picture are the same for both twins: counting shapes does not help there. With
    three ambiguous names there are always decoys.

    The cue is what ties objects to names: the value of a name's object follows the name, no two
    names of a sentence have the same value, and neither decoys nor distractors have that of an
    ambiguous name. Everything else about an object (its shape within the family; colour, place
    and size where they are not the cue) and the order of the objects are drawn independently.

    Args:
        root: not used; the data is made, not read.
        languages: of the tweets, in equal parts.
        train, dev, test: sentences in each split.
        ambiguous: share of mentions with an ambiguous name.
        unseen: share of the other mentions of dev and test whose name never occurs in training.
        decoys: share of the sentences with ambiguous names whose pictures have decoys.
        irrelevant: share of the pictures that belong to another sentence, one of no split.
        missing: share of sentences without a picture (and caption).
        cue: what ties an object to its name.
        grounding: whether it does; if not, the values of the cue are drawn at random.
        captions: whether each picture has a caption, which names its objects with the cue, in
            random order, in English. The pictures are the same with and without.
        size: height and width of the pictures, in pixels. With the cue ``size``, 60 or more.
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
        ambiguous: Share = 0.8,
        unseen: Share = 0.25,
        decoys: Share = 0.8,
        irrelevant: Share = 0.0,
        missing: Share = 0.0,
        cue: Cue = "colour",
        grounding: bool = True,
        captions: bool = False,
        size: Annotated[int, Field(ge=24, le=256)] = 36,
        seed: Annotated[int, Field(ge=0, lt=2**32)] = 0,
    ) -> None:
        self.languages = list(languages)
        self.sizes: dict[Split, int] = {"train": train, "dev": dev, "test": test}
        self.ambiguous, self.unseen, self.decoys = ambiguous, unseen, decoys
        self.irrelevant, self.missing = irrelevant, missing
        self.cue, self.grounding, self.captions = cue, grounding, captions
        self.size, self.seed = size, seed

    def read(self) -> Splits:
        """The three splits. The same settings give the same bytes."""
        return {split: self._samples(split) for split in self.sizes}

    # The bars --------------------------------------------------------------------------------

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
        _known(split)
        return _half(self.tweets(split), [True] * self.sizes[split])

    def grounding_bar(self, split: Literal["dev", "test"] = "test") -> float:
        """The highest micro F1, in [0, 1], of a reader of the words and of how many objects of
        each family the picture shows, who does not know which object belongs to which name.

        As the text-only ceiling, with one difference: of ambiguous mentions only those count as
        undecidable whose twin shows the same families (see the class). The others such a reader
        can tell: where the ambiguous names of a sentence all bear the same type and there are no
        decoys, only this type is shown.

        For such readers it is exact while no picture is missing or irrelevant. What else may be
        seen of the objects (their order, and whatever of shape, colour, place and size is not the
        cue) is drawn independently of the types; it can move a score by chance alone. A missing or
        irrelevant picture counts as telling nothing; there the bar is what a reader can expect
        who knows which pictures are irrelevant.

        Raises:
            ValueError: the split is ``train``, which has no twins.
        """
        _known(split)
        tweets = self.tweets(split)
        missing, irrelevant = self._flags(split)
        return _half(
            tweets,
            [a or b or _balanced(t) for t, a, b in zip(tweets, missing, irrelevant, strict=True)],
        )

    # Sentences -------------------------------------------------------------------------------

    def tweets(self, split: Split) -> list[Tweet]:
        """What the sentences of a split say, in order."""
        rng = Random(f"{self.seed} {split} words")
        writer = Writer(rng, CUES[self.cue])
        pairs, odd = divmod(self.sizes[split], 2)
        tweets = []
        for i, groups in enumerate(self._groups(split, pairs, rng)):
            language = self.languages[i % len(self.languages)]
            named = writer.names(groups)
            decoys = "ambiguous" in groups and rng.random() < self.decoys
            tweet = writer.tweet(language, named, decoys)
            if split != "train" and tweet.ambiguous:
                mentions = tuple(
                    m._replace(type=other_type(m.name, m.type)) for m in tweet.mentions
                )
                tweets += [tweet, replace(tweet, mentions=mentions)]
            else:
                others = [(name, other_type(name, kind)) for name, kind in named]
                rng.shuffle(others)
                tweets += [tweet, writer.tweet(language, others, decoys)]
        if odd:
            tweets.append(writer.tweet(self.languages[-1], writer.names(["known"])))
        rng.shuffle(tweets)
        return tweets

    def _groups(self, split: Split, tweets: int, rng: Random) -> list[list[Group]]:
        """For each tweet, for each of its mentions: what kind of name it has.

        The shares of mentions are exact. Ambiguous names stand together, two in a tweet where they
        can, so that telling the objects of a picture apart matters in most of their sentences.
        """
        counts = rng.choices(_ENTITIES, _WEIGHTS, k=tweets)
        left = round(sum(counts) * self.ambiguous)
        ambiguous = [0] * tweets
        for most in (2, max(_ENTITIES)):
            for i, count in enumerate(counts):
                more = min(max(0, min(count, most) - ambiguous[i]), left)
                ambiguous[i] += more
                left -= more
        others = sum(counts) - sum(ambiguous)
        unseen = iter(_deck(others, 0 if split == "train" else self.unseen, rng))
        groups = []
        for count, share in zip(counts, ambiguous, strict=True):
            group: list[Group] = ["ambiguous"] * share
            group += ["unseen" if flag else "known" for flag in islice(unseen, count - share)]
            rng.shuffle(group)
            groups.append(group)
        return groups

    # Pictures --------------------------------------------------------------------------------

    def _samples(self, split: Split) -> list[Sample]:
        tweets = self.tweets(split)
        rng = Random(f"{self.seed} {split} pictures")
        order = Random(f"{self.seed} {split} captions")
        missing, irrelevant = self._flags(split)
        elsewhere = self._elsewhere(split)
        samples = []
        for i, tweet in enumerate(tweets):
            name = f"{split}-{i:05d}"
            picture = caption = None
            if not missing[i]:
                things = self.things(next(elsewhere) if irrelevant[i] else tweet, rng)
                picture = Picture(f"{name}.bmp", data=draw(things, self.size, rng))
                caption = self.caption(things, order) if self.captions else None
            entities = tuple(Entity(m.start, m.end, m.type) for m in tweet.mentions)
            samples.append(Sample(name, tweet.words, entities, tweet.language, picture, caption))
        return samples

    def _flags(self, split: Split) -> tuple[list[bool], list[bool]]:
        """Which sentences have no picture, and which an irrelevant one."""
        rng = Random(f"{self.seed} {split} flags")
        count = self.sizes[split]
        return _deck(count, self.missing, rng), _deck(count, self.irrelevant, rng)

    def _elsewhere(self, split: Split) -> Iterator[Tweet]:
        """Sentences that belong to no split, for irrelevant pictures."""
        rng = Random(f"{self.seed} {split} elsewhere")
        writer = Writer(rng, CUES[self.cue])
        while True:
            for groups in self._groups("train", 50, rng):
                decoys = "ambiguous" in groups and rng.random() < self.decoys
                yield writer.tweet(self.languages[0], writer.names(groups), decoys)

    def cue_of(self, name: str) -> int:
        """The value of the cue that the object of a name has."""
        return RANK[name] % CUES[self.cue]

    def things(self, tweet: Tweet, rng: Random) -> list[Thing]:
        """The objects in the picture of a tweet, in random order."""
        mentions, ambiguous = tweet.mentions, tweet.ambiguous
        values = rng.sample(range(CUES[self.cue]), CUES[self.cue])
        named = [self.cue_of(m.name) for m in mentions] if self.grounding else values
        named = named[: len(mentions)]
        families: list[str | None] = [mention.type for mention in mentions]
        if tweet.decoys or len(ambiguous) > 2:
            families += [other_type(mention.name, mention.type) for mention in ambiguous]
        families += [None] * rng.randint(0, 2)
        # values that no name has; where these run out, those that no ambiguous name has
        free = [value for value in values if value not in named]
        tied = {v for v, m in zip(named, mentions, strict=True) if m.ambiguous}
        others = chain(free, cycle([value for value in values if value not in tied]))
        cells = rng.sample(range(SIDE**2), len(families))
        things = [
            Thing(
                family,
                rng.randrange(len(shapes_of(family))),
                value if self.cue == "colour" else rng.randrange(len(COLOURS)),
                value if self.cue == "place" else cell,
                value if self.cue == "size" else None,
            )
            for family, value, cell in zip(families, chain(named, others), cells, strict=False)
        ]
        rng.shuffle(things)
        return things

    def caption(self, things: Sequence[Thing], rng: Random) -> str:
        """``a red ring , a blue star and a cyan dot``: the objects in an order of its own."""
        attribute = {"colour": "colour", "place": "cell", "size": "size"}[self.cue]
        named = [
            "a " + CAPTIONS[self.cue][getattr(t, attribute)].format(NOUNS[t.family][t.shape])
            for t in rng.sample(things, len(things))
        ]
        *first, last = named
        return f"{' , '.join(first)} and {last}" if first else last


def _known(split: str) -> None:
    if split not in ("dev", "test"):
        raise ValueError(f"the bars are known for dev and test, not for {split!r}")


def _half(tweets: Sequence[Tweet], undecidable: Sequence[bool]) -> float:
    """The share of mentions that is right if half of the ambiguous ones in undecidable tweets is
    wrong, and nothing else."""
    total = sum(len(tweet.mentions) for tweet in tweets)
    lost = sum(len(t.ambiguous) for t, flag in zip(tweets, undecidable, strict=True) if flag)
    return 1 - lost / 2 / total


def _balanced(tweet: Tweet) -> bool:
    """Whether the picture shows the same families as that of the twin."""
    types = [mention.type for mention in tweet.ambiguous]
    return tweet.decoys or len(types) > 2 or len(set(types)) == 2


def _deck(cards: int, share: float, rng: Random) -> list[bool]:
    """Shuffled flags, of which ``share`` are True."""
    true = round(cards * share)
    deck = [True] * true + [False] * (cards - true)
    rng.shuffle(deck)
    return deck
