"""What a model predicts of a post."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zoo.model.inputs import Post
from zoo.types import ScoredEntity

DIGITS = 6
"""Digits that scores are rounded to, as in stored predictions."""


@dataclass(frozen=True, slots=True)
class Found:
    """An entity that was found.

    Args:
        start, end: over words, ``end`` exclusive.
        type: one of the model's types.
        score: the probability that the decoder gives it.
        text: its words as they stand in the text, else with spaces between.
        characters: its place in the text in code points, ``end`` exclusive; None where the post
            was given as words.
    """

    start: int
    end: int
    type: str
    score: float
    text: str
    characters: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """The entities of one post, sorted by start, without overlaps.

    Args:
        words: as given, or as the text was cut into.
        text: as given; None where the post was given as words.
    """

    id: str
    words: tuple[str, ...]
    entities: tuple[Found, ...]
    text: str | None = None


def predicted(post: Post, entities: Sequence[ScoredEntity]) -> Prediction:
    """The prediction of a post, from what the decoder found in its words."""
    words = post.sample.words
    found = []
    for start, end, type, score in entities:
        characters = None
        text = " ".join(words[start:end])
        if post.text is not None and post.places is not None:
            characters = post.places[start][0], post.places[end - 1][1]
            text = post.text[slice(*characters)]
        found.append(Found(start, end, type, round(float(score), DIGITS), text, characters))
    return Prediction(post.sample.id, words, tuple(found), post.text)
