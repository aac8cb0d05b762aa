"""Dataset mini is an instrument: what it claims about itself is counted here."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zoo.data.shapes import COLOURS, FAMILIES, Thing, draw
from zoo.data.synthetic import COLOUR_OF, Synthetic, Tweet, other_type
from zoo.data.synthetic_templates import AMBIGUOUS, NAMES, TEMPLATES
from zoo.types import Sample

HERE = Path()
TYPES = sorted(FAMILIES)


def f1(gold: list[set], predicted: list[set]) -> float:
    correct = sum(len(g & p) for g, p in zip(gold, predicted, strict=True))
    return 2 * correct / (sum(map(len, gold)) + sum(map(len, predicted)))


def best_by_words(samples: list[Sample]) -> list[set]:
    """The best flat answer to each sentence for one who has seen the gold of equal sentences."""
    votes: dict[tuple, dict[tuple, Counter]] = defaultdict(lambda: defaultdict(Counter))
    for sample in samples:
        for start, end, kind in sample.entities:
            votes[sample.words][start, end][kind] += 1
    return [
        {(*span, count.most_common(1)[0][0]) for span, count in votes[sample.words].items()}
        for sample in samples
    ]


@pytest.fixture(scope="module")
def mini() -> Synthetic:
    return Synthetic(HERE)


@pytest.fixture(scope="module")
def splits(mini: Synthetic) -> dict[str, list[Sample]]:
    return mini.read()


def test_shape_of_the_data(splits: dict[str, list[Sample]]) -> None:
    assert {name: len(samples) for name, samples in splits.items()} == {
        "train": 1200,
        "dev": 300,
        "test": 600,
    }
    samples = [sample for split in splits.values() for sample in split]
    assert len({sample.id for sample in samples}) == len(samples)
    assert {sample.language for sample in samples} == {"en", "fr", "de", "es"}
    for sample in samples:
        assert 1 <= len(sample.entities) <= 3
        assert list(sample.entities) == sorted(sample.entities)
        ends = [0, *(entity.end for entity in sample.entities)]
        assert all(e.start >= end for e, end in zip(sample.entities, ends, strict=False))
        assert all(e.start < e.end <= len(sample.words) for e in sample.entities)
        assert all(word and not any(c.isspace() for c in word) for word in sample.words)
    assert samples[0].picture is not None
    assert samples[0].picture.open().size == (36, 36)


def test_templates() -> None:
    for templates in TEMPLATES.values():
        assert len(set(templates)) == len(templates) >= 25
        assert {template.split().count("{}") for template in templates} == {1, 2, 3}
    assert len(AMBIGUOUS) >= 16
    assert len(set(AMBIGUOUS.values())) == 6
    assert not set(AMBIGUOUS) & {name for names in NAMES.values() for name in names}


def test_same_seed_same_bytes(splits: dict[str, list[Sample]]) -> None:
    assert Synthetic(HERE).read() == splits
    other = Synthetic(HERE, seed=1).read()
    assert all(a.words != b.words for a, b in zip(other["dev"][:9], splits["dev"], strict=False))


def test_a_split_does_not_depend_on_the_size_of_another(splits: dict[str, list[Sample]]) -> None:
    assert Synthetic(HERE, train=10, dev=20).read()["test"] == splits["test"]


@pytest.mark.parametrize("split", ["dev", "test"])
def test_best_reader_of_words_scores_the_ceiling(
    mini: Synthetic, splits: dict[str, list[Sample]], split: str
) -> None:
    gold = [set(map(tuple, sample.entities)) for sample in splits[split]]
    score = f1(gold, best_by_words(splits[split]))
    assert score == pytest.approx(mini.text_only_ceiling(split), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False), st.floats(0, 1), st.floats(0, 1), st.integers(2, 41))
def test_no_reader_of_words_beats_the_ceiling(
    rng: Random, ambiguous: float, keep: float, size: int
) -> None:
    """Whatever it answers, and whichever mentions it leaves out."""
    data = Synthetic(
        HERE, train=1, dev=1, test=size, ambiguous=ambiguous, seed=rng.randrange(10**6)
    )
    tweets = data.tweets("test")
    answers: dict[tuple, set] = {}
    for tweet in tweets:
        answers.setdefault(
            tweet.words,
            {
                (m.start, m.end, rng.choice(AMBIGUOUS.get(m.name, (m.type,))))
                for m in tweet.mentions
                if m.name not in AMBIGUOUS or rng.random() <= keep
            },
        )
    gold = [{(m.start, m.end, m.type) for m in tweet.mentions} for tweet in tweets]
    score = f1(gold, [answers[tweet.words] for tweet in tweets])
    assert score <= data.text_only_ceiling() + 1e-12
    if keep == 1:
        assert score == pytest.approx(data.text_only_ceiling(), abs=1e-12)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_ambiguous_sentences_come_as_twins(mini: Synthetic, split: str) -> None:
    tweets = [t for t in mini.tweets(split) if any(m.name in AMBIGUOUS for m in t.mentions)]
    left = Counter(tweets)
    assert tweets
    for tweet in tweets:
        flipped = tuple(m._replace(type=other_type(m.name, m.type)) for m in tweet.mentions)
        twin = Tweet(tweet.language, tweet.words, flipped)
        assert left[tweet] == left[twin] > 0
    together = [a.words == b.words for a, b in pairwise(tweets)]
    assert sum(together) < len(together) / 20


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_each_name_bears_its_types_equally_often(mini: Synthetic, split: str) -> None:
    mentions = [mention for tweet in mini.tweets(split) for mention in tweet.mentions]
    count = Counter((m.name, m.type) for m in mentions)
    for name, (first, second) in AMBIGUOUS.items():
        assert count[name, first] == count[name, second] > 0
    share = sum(m.name in AMBIGUOUS for m in mentions) / len(mentions)
    assert share == pytest.approx(0.5, abs=0.002)


def test_training_sentences_differ(mini: Synthetic) -> None:
    tweets = mini.tweets("train")
    assert len({tweet.words for tweet in tweets}) > 0.9 * len(tweets)


def test_ambiguous_names_of_a_sentence_need_the_cue(mini: Synthetic) -> None:
    """They share their types and bear them in turns, in different colours."""
    several = 0
    for tweet in mini.tweets("test"):
        colours = [COLOUR_OF[mention.name] for mention in tweet.mentions]
        assert len(set(colours)) == len(colours)
        types = [m.type for m in tweet.mentions if m.name in AMBIGUOUS]
        assert all(a != b for a, b in pairwise(types))
        several += len(types) > 1
    assert several > 100


@pytest.mark.parametrize("grounding", [True, False])
def test_the_picture_tells_the_types(grounding: bool) -> None:
    data = Synthetic(HERE, train=200, dev=1, test=1, grounding=grounding)
    right = wrong = 0
    for i, tweet in enumerate(data.tweets("train")):
        things = data.things(tweet.mentions, Random(i))
        shown = Counter(thing.family for thing in things if thing.family)
        assert shown == Counter(mention.type for mention in tweet.mentions)
        by_colour = {thing.colour: thing.family for thing in things}
        assert len(by_colour) == len(things)
        for mention in tweet.mentions:
            told = by_colour.get(COLOUR_OF[mention.name])
            right += told == mention.type
            wrong += told != mention.type
    assert wrong == 0 if grounding else right < wrong


def test_missing_and_irrelevant_pictures() -> None:
    data = Synthetic(HERE, train=100, dev=1, test=40, missing=0.25, irrelevant=1.0)
    splits = data.read()
    assert sum(sample.picture is None for sample in splits["train"]) == 25
    assert sum(sample.picture is None for sample in splits["test"]) == 10
    families = [t.family for i in range(300) for t in data.things((), Random(i)) if t.family]
    assert set(families) == set(TYPES)


def test_ceiling_moves_with_the_share() -> None:
    assert Synthetic(HERE, ambiguous=0.0).text_only_ceiling() == 1.0
    assert Synthetic(HERE, ambiguous=1.0).text_only_ceiling("dev") == 0.5
    with pytest.raises(ValueError, match="not for 'train'"):
        Synthetic(HERE).text_only_ceiling("train")  # type: ignore[arg-type]


def test_one_language_and_an_odd_size() -> None:
    splits = Synthetic(HERE, languages=["de"], train=7, dev=1, test=3).read()
    assert [len(splits[name]) for name in ("train", "dev", "test")] == [7, 1, 3]
    assert {sample.language for sample in splits["train"]} == {"de"}


@pytest.mark.parametrize("family", [*TYPES, None])
def test_a_thing_is_drawn_in_its_colour(family: str | None) -> None:
    for seed, colour in enumerate(COLOURS):
        data = draw([Thing(family, seed)], 48, Random(seed))
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        assert data == draw([Thing(family, seed)], 48, Random(seed))
        pixels = np.asarray(Image.open(io.BytesIO(data))).astype(int)
        near = (abs(pixels - np.array(colour)) <= 14).all(axis=2)
        assert near.sum() >= 4
