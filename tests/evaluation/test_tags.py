"""Tags to entities and back, against seqeval and against one another."""

from __future__ import annotations

import random
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2, IOBES
from seqeval.scheme import Entities as SeqevalEntities

from zoo.tags import read_tags, scheme_of, split_tag, write_tags
from zoo.types import Entity

TYPES = ["PER", "LOC", "B-SIDE"]


@st.composite
def sentences(draw: st.DrawFn) -> tuple[list[Entity], int]:
    """Entities without overlaps, some of them adjacent, and the number of words."""
    entities, end = [], 0
    for gap, width, label in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from(TYPES)))
    ):
        entities.append(Entity(end + gap, end + gap + width, label))
        end += gap + width
    return entities, end + draw(st.integers(0, 2))


def random_tags(prefixes: str, seed: int, n: int = 1000) -> list[list[str]]:
    rng = random.Random(seed)
    choices = ["O"] + [f"{p}-{t}" for p in prefixes for t in ("PER", "LOC")]
    return [[rng.choice(choices) for _ in range(rng.randint(1, 12))] for _ in range(n)]


@given(sentences(), st.sampled_from(["BIO", "BIOES"]), st.sampled_from(["lenient", "strict"]))
def test_written_tags_read_back(sentence, scheme, reading):
    entities, length = sentence
    tags = write_tags(entities, length, scheme)
    assert len(tags) == length
    assert read_tags(tags, reading, scheme) == entities


@given(sentences())
def test_every_scheme_reads_to_the_same_spans(sentence):
    entities, length = sentence
    bio = write_tags(entities, length)
    bioes = write_tags(entities, length, "BIOES")
    bilou = [{"E": "L", "S": "U"}.get(tag[0], tag[0]) + tag[1:] for tag in bioes]
    ends = {(entity.end, entity.type) for entity in entities}
    iob1 = [
        "I" + tag[1:] if tag[0] == "B" and (i, tag[2:]) not in ends else tag
        for i, tag in enumerate(bio)
    ]
    for tags in (bio, bioes, bilou, iob1):
        assert read_tags(tags) == entities


def test_i_only_tags():
    tags = ["I-PER", "I-PER", "O", "I-LOC", "I-ORG", "O"]
    assert read_tags(tags) == [Entity(0, 2, "PER"), Entity(3, 4, "LOC"), Entity(4, 5, "ORG")]
    assert read_tags(tags, "strict") == []


@given(sentences())
def test_lenient_and_strict_agree_on_well_formed_tags(sentence):
    tags = write_tags(*sentence)
    assert read_tags(tags, "lenient") == read_tags(tags, "strict")


@pytest.mark.parametrize(
    ("prefixes", "scheme", "theirs"), [("BI", "BIO", IOB2), ("BIES", "BIOES", IOBES)]
)
def test_strict_equals_seqeval_strict(prefixes, scheme, theirs):
    sequences = random_tags(prefixes, seed=1)
    spans = [
        [Entity(e.start, e.end, e.tag) for e in sentence]
        for sentence in SeqevalEntities(sequences, theirs).entities
    ]
    assert sum(map(len, spans)) > 500
    assert [read_tags(tags, "strict", scheme) for tags in sequences] == spans


@pytest.mark.parametrize("prefixes", ["BI", "BIES", "I"])
def test_lenient_equals_seqeval_default(prefixes):
    for tags in random_tags(prefixes, seed=2):
        theirs = [Entity(start, end + 1, label) for label, start, end in get_entities(tags)]
        assert read_tags(tags) == theirs


def test_strict_scheme_is_that_of_the_whole_file():
    unclosed, closed = ["B-PER", "I-PER"], ["B-PER", "E-PER"]
    assert read_tags(unclosed, "strict") == [Entity(0, 2, "PER")]
    assert scheme_of(chain(unclosed, closed)) == "BIOES"
    assert read_tags(unclosed, "strict", "BIOES") == []


@pytest.mark.parametrize("tag", ["X-PER", "PER", "B-", "B", "", "o", "B_PER", "-PER", "BI-PER"])
def test_what_is_not_a_tag_is_refused(tag):
    with pytest.raises(ValueError, match="unknown tag"):
        split_tag(tag)
    with pytest.raises(ValueError, match="as in B-PER"):
        read_tags(["O", tag])


@pytest.mark.parametrize(
    "entities",
    [
        [Entity(0, 2, "PER"), Entity(1, 3, "LOC")],
        [Entity(0, 4, "PER")],
        [Entity(-1, 1, "PER")],
        [Entity(1, 1, "PER")],
    ],
)
def test_impossible_entities_are_not_written(entities):
    with pytest.raises(ValueError, match="overlaps"):
        write_tags(entities, 3)
