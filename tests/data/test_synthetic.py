"""Dataset mini is an instrument: what it claims about itself is counted here."""

from __future__ import annotations

import io
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zoo.build import read_data
from zoo.config.read import read
from zoo.data.shapes import COLOURS, FAMILIES, NOUNS, RADII, Thing, draw, shapes_of
from zoo.data.synthetic import CAPTIONS, Cue, Split, Synthetic
from zoo.data.synthetic_templates import AMBIGUOUS, NAMES, TEMPLATES, UNSEEN
from zoo.data.synthetic_writer import RANK, Mention, Tweet, other_type
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
        twin = Tweet(tweet.language, tweet.words, flipped, tweet.decoys)
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
    assert share == pytest.approx(0.8, abs=0.002)


def test_training_sentences_differ(mini: Synthetic) -> None:
    tweets = mini.tweets("train")
    assert len({tweet.words for tweet in tweets}) > 0.9 * len(tweets)


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_types_of_ambiguous_names_are_independent(split: str) -> None:
    """Of two in a sentence, the second bears its type whatever the first bears."""
    data = Synthetic(HERE, train=4000, dev=4000, test=4000)
    same = differ = 0
    for tweet in data.tweets(split):
        cues = [data.cue_of(mention.name) for mention in tweet.mentions]
        assert len(set(cues)) == len(cues)
        if len(tweet.ambiguous) == 2:
            one, two = tweet.ambiguous
            assert AMBIGUOUS[one.name] == AMBIGUOUS[two.name]
            same += one.type == two.type
            differ += one.type != two.type
        assert len(tweet.ambiguous) <= 2
    assert abs(same - differ) < 2 * 3 * math.sqrt(same + differ)  # each pair counts twice
    assert same + differ > 1000


@pytest.mark.parametrize("cue", ["colour", "place", "size"])
@pytest.mark.parametrize("grounding", [True, False])
def test_the_picture_tells_the_types(grounding: bool, cue: Cue) -> None:
    data = Synthetic(HERE, train=400, dev=1, test=1, grounding=grounding, cue=cue)
    field = {"colour": "colour", "place": "cell", "size": "size"}[cue]
    right = wrong = 0
    for i, tweet in enumerate(data.tweets("train")):
        things = data.things(tweet, Random(i))
        assert len({thing.cell for thing in things}) == len(things) <= 9
        shown = Counter(thing.family for thing in things if thing.family)
        decoys = Counter(other_type(m.name, m.type) for m in tweet.ambiguous if tweet.decoys)
        assert shown == Counter(mention.type for mention in tweet.mentions) + decoys
        for mention in tweet.ambiguous:
            tied = [t.family for t in things if getattr(t, field) == data.cue_of(mention.name)]
            assert len(tied) == 1 or not grounding
            right += tied == [mention.type]
            wrong += tied != [mention.type]
    assert wrong == 0 if grounding else right < wrong


def families(data: Synthetic, tweet: Tweet, rng: Random) -> Counter:
    return Counter(thing.family for thing in data.things(tweet, rng) if thing.family)


@pytest.mark.parametrize("split", ["dev", "test"])
@pytest.mark.parametrize("decoys", [0.0, 0.8, 1.0])
def test_a_counter_of_shapes_scores_the_grounding_bar(split: str, decoys: float) -> None:
    """It subtracts the objects of the names that it knows; what is left in a majority, or alone,
    is its answer. No answer to a tie is better than another: twins show the same."""
    data = Synthetic(HERE, decoys=decoys)
    tweets, rng = data.tweets(split), Random(1)
    gold, answers = [], []
    for tweet in tweets:
        left = families(data, tweet, rng)
        left.subtract(m.type for m in tweet.mentions if not m.ambiguous)
        answer = set()
        for m in tweet.mentions:
            types = AMBIGUOUS.get(m.name, (m.type, m.type))
            answer.add((m.start, m.end, max(types, key=lambda kind: left[kind])))
        gold.append({(m.start, m.end, m.type) for m in tweet.mentions})
        answers.append(answer)
    score = 100 * f1(gold, answers)
    assert score == pytest.approx(100 * data.grounding_bar(split), abs=1e-9)
    if decoys == 1:
        assert data.grounding_bar(split) == data.text_only_ceiling(split)


@pytest.mark.parametrize("decoys", [0.0, 0.5])
def test_no_counter_of_shapes_beats_the_grounding_bar(decoys: float) -> None:
    """Not even the best in hindsight: for each text and each count of families, the answer that is
    right most often in the split itself."""
    data = Synthetic(HERE, decoys=decoys)
    tweets, rng = data.tweets("test"), Random(2)
    keys = [(t.words, frozenset(families(data, t, rng).items())) for t in tweets]
    votes: dict[tuple, Counter] = defaultdict(Counter)
    for key, tweet in zip(keys, tweets, strict=True):
        for m in tweet.mentions:
            votes[*key, m.start][m.start, m.end, m.type] += 1
    answers = [
        {votes[*key, m.start].most_common(1)[0][0] for m in tweet.mentions}
        for key, tweet in zip(keys, tweets, strict=True)
    ]
    gold = [{(m.start, m.end, m.type) for m in tweet.mentions} for tweet in tweets]
    assert f1(gold, answers) == pytest.approx(data.grounding_bar("test"), abs=1e-12)


def test_a_learnt_reader_of_words_scores_the_ceiling(mini: Synthetic) -> None:
    """Naive Bayes over a mention's name and its words, learnt from the training split."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.naive_bayes import MultinomialNB

    def rows(split: Split) -> tuple[list[dict[str, int]], list[str]]:
        mentions = [m for tweet in mini.tweets(split) for m in tweet.mentions]
        words = [dict.fromkeys([m.name, *m.name.split()], 1) for m in mentions]
        return words, [m.type for m in mentions]

    vectors, (features, types) = DictVectorizer(), rows("train")
    model = MultinomialNB(alpha=0.01).fit(vectors.fit_transform(features), types)
    features, types = rows("test")
    right = 100 * np.mean(model.predict(vectors.transform(features)) == types)
    assert right == pytest.approx(100 * mini.text_only_ceiling(), abs=0.3)


def probe(cue: Cue, features: Callable[[Mention, list[Thing], Synthetic], list]) -> float:
    """How often a forest tells the type of ambiguous names with decoys, on tweets it never saw."""
    from sklearn.ensemble import RandomForestClassifier

    data = Synthetic(HERE, train=4000, test=2000, dev=1, decoys=1.0, cue=cue)
    tables = []
    for split in ("train", "test"):
        rng, rows, types = Random(split), [], []
        for tweet in data.tweets(split):  # type: ignore[arg-type]
            things = data.things(tweet, rng)
            for m in tweet.ambiguous:
                rows.append([RANK[m.name], m.start, *features(m, things, data)])
                types.append(AMBIGUOUS[m.name].index(m.type))
        tables.append((rows, types))
    forest = RandomForestClassifier(60, min_samples_leaf=3, random_state=0, n_jobs=1)
    forest.fit(*tables[0])
    return float(forest.score(*tables[1]))


def objects(*fields: str) -> Callable[[Mention, list[Thing], Synthetic], list]:
    """What a reader sees of the nine objects, in their order: families, and some of the rest."""

    def features(m: Mention, things: list[Thing], data: Synthetic) -> list:
        seen = [
            [TYPES.index(thing.family) if thing.family else 4]
            + [-1 if (value := getattr(thing, field)) is None else value for field in fields]
            for thing in things
        ]
        empty = [-1] * (1 + len(fields))
        return [len(things), *itertools.chain(*(seen + [empty] * 9)[:9])]

    return features


def by_cell(m: Mention, things: list[Thing], data: Synthetic) -> list:
    """The family in each cell."""
    shown = {t.cell: TYPES.index(t.family) if t.family else 4 for t in things}
    return [shown.get(cell, -1) for cell in range(9)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cue", "features"),
    [
        ("colour", objects("cell", "size", "shape")),
        ("colour", by_cell),
        ("place", objects("colour", "size", "shape")),
        ("size", objects("colour", "cell", "shape")),
        ("size", by_cell),
    ],
)
def test_nothing_beyond_the_cue_tells_the_types(cue: Cue, features: Callable) -> None:
    """Order, place, size, colour and count of objects: half is chance, with about 1,900 mentions
    and their twins."""
    assert probe(cue, features) == pytest.approx(0.5, abs=0.035)


@pytest.mark.slow
def test_the_probe_finds_the_cue() -> None:
    """The same forest, told the family of each colour: so the probes above do not fail to look."""

    def by_colour(m: Mention, things: list[Thing], data: Synthetic) -> list:
        shown = {t.colour: TYPES.index(t.family) if t.family else 4 for t in things}
        return [shown.get(colour, -1) for colour in range(6)]

    assert probe("colour", by_colour) > 0.8


@pytest.mark.parametrize("cue", ["colour", "place", "size"])
def test_captions_name_the_objects_with_the_cue(cue: Cue) -> None:
    told = Synthetic(HERE, train=60, dev=1, test=1, cue=cue, captions=True, missing=0.1)
    bare = Synthetic(HERE, train=60, dev=1, test=1, cue=cue, missing=0.1)
    families_of = {noun: kind for kind, nouns in NOUNS.items() for noun in nouns}
    orders = set()
    for with_, without, tweet in zip(
        told.read()["train"], bare.read()["train"], told.tweets("train"), strict=True
    ):
        assert with_.picture == without.picture
        assert without.caption is None
        if with_.picture is None:
            assert with_.caption is None
            continue
        assert with_.caption is not None
        phrases = with_.caption.replace(" and ", " , ").split(" , ")
        named = {p: families_of[next(w for w in p.split() if w in families_of)] for p in phrases}
        for i, m in enumerate(tweet.mentions):
            pattern = CAPTIONS[cue][told.cue_of(m.name)]
            fitting = {p for p in named if p.removeprefix("a ") == pattern.format(
                next(w for w in p.split() if w in families_of))}  # fmt: skip
            if m.ambiguous:
                assert {named[p] for p in fitting} == {m.type}
            orders |= {(i, phrases.index(p)) for p in fitting}
    assert len(orders) > 10


def test_unseen_names() -> None:
    data = Synthetic(HERE, unseen=0.25)
    names = {split: [m for t in data.tweets(split) for m in t.mentions] for split in data.sizes}
    known = {m.name for m in names["train"]}
    words = {(m.type, word) for m in names["train"] for word in m.name.split()}
    assert not known & {name for unseen in UNSEEN.values() for name in unseen}
    for split in ("dev", "test"):
        others = [m for m in names[split] if not m.ambiguous]
        unseen = [m for m in others if m.name not in known]
        assert len(unseen) / len(others) == pytest.approx(0.25, abs=0.02)
        assert all((m.type, word) in words for m in unseen for word in m.name.split())


def test_missing_and_irrelevant_pictures() -> None:
    data = Synthetic(HERE, train=100, dev=1, test=40, missing=0.25, irrelevant=1.0)
    splits = data.read()
    assert sum(sample.picture is None for sample in splits["train"]) == 25
    assert sum(sample.picture is None for sample in splits["test"]) == 10
    assert data.grounding_bar() == data.text_only_ceiling()
    half = Synthetic(HERE, irrelevant=0.5)
    assert half.text_only_ceiling() < half.grounding_bar() < Synthetic(HERE).grounding_bar()


def test_ceiling_moves_with_the_share() -> None:
    assert Synthetic(HERE, ambiguous=0.0).text_only_ceiling() == 1.0
    assert Synthetic(HERE, ambiguous=1.0).text_only_ceiling("dev") == 0.5
    with pytest.raises(ValueError, match="not for 'train'"):
        Synthetic(HERE).text_only_ceiling("train")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not for 'train'"):
        Synthetic(HERE).grounding_bar("train")  # type: ignore[arg-type]


def test_three_ambiguous_names_always_have_decoys() -> None:
    data = Synthetic(HERE, ambiguous=1.0, decoys=0.0, cue="size")
    three = [tweet for tweet in data.tweets("test") if len(tweet.ambiguous) == 3]
    assert three
    for tweet in three:
        shown = families(data, tweet, Random(0))
        assert list(shown.values()) == [3, 3]


def test_one_language_and_an_odd_size() -> None:
    splits = Synthetic(HERE, languages=["de"], train=7, dev=1, test=3).read()
    assert [len(splits[name]) for name in ("train", "dev", "test")] == [7, 1, 3]
    assert {sample.language for sample in splits["train"]} == {"de"}


@pytest.mark.parametrize("family", [*TYPES, None])
def test_a_thing_is_drawn_in_its_colour(family: str | None) -> None:
    for seed, colour in enumerate(COLOURS):
        for shape, _ in enumerate(shapes_of(family)):
            thing = Thing(family, shape, seed, seed)
            data = draw([thing], 48, Random(seed))
            assert data == draw([thing], 48, Random(seed))
            pixels = np.asarray(Image.open(io.BytesIO(data))).astype(int)
            near = (abs(pixels - np.array(colour)) <= 14).all(axis=2)
            assert near.sum() >= 4
            rows, columns = near.nonzero()
            assert rows.mean() // 16 * 3 + columns.mean() // 16 == seed, "in its cell"


def test_sizes_do_not_overlap() -> None:
    widths = []
    for size, _ in enumerate(RADII):
        drawn = [draw([Thing("PER", 0, 0, 4, size)], 96, Random(i)) for i in range(20)]
        pixels = [np.asarray(Image.open(io.BytesIO(each))).astype(int) for each in drawn]
        near = [(abs(each - np.array(COLOURS[0])) <= 14).all(axis=2) for each in pixels]
        widths.append([int(each.any(axis=0).sum()) for each in near])
    assert all(max(a) < min(b) for a, b in pairwise(widths))


def test_tiny_is_tiny() -> None:
    parts = read(Path(__file__).parents[2] / "registry.yaml", sections=["datasets"]).datasets
    splits = read_data(parts["mini-tiny"], HERE)
    assert {name: len(samples) for name, samples in splits.items()} == {
        "train": 120,
        "dev": 40,
        "test": 80,
    }
