"""Running text as words: every visible character has its word, and every word its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.data.text import split_words
from zoo.errors import invisible

CASES = {
    "Ada, Bob.": ["Ada", ",", "Bob", "."],
    "Don't go to London's heart": ["Do", "n't", "go", "to", "London", "'s", "heart"],
    "they’re I’m he'd": ["they", "’re", "I", "’m", "he", "'d"],
    "O'Neill at rock'n'roll": ["O'Neill", "at", "rock'n'roll"],
    "@user loves #NYC": ["@", "user", "loves", "#", "NYC"],
    "see (https://t.co/abc).": ["see", "(", "https://t.co/abc", ")", "."],
    "https://en.wikipedia.org/wiki/A_(b), x": ["https://en.wikipedia.org/wiki/A_(b)", ",", "x"],
    "mail a.b@c-d.org!": ["mail", "a.b@c-d.org", "!"],
    "3.5% of 1,000 at 10:30, 3rd": ["3.5", "%", "of", "1,000", "at", "10:30", ",", "3rd"],
    "the U.S. team...": ["the", "U.S.", "team", "..."],
    "New-York-based": ["New-York-based"],
    "good :) <3 !!!": ["good", ":)", "<3", "!!!"],
    "東京 in 2024年": ["東", "京", "in", "2024", "年"],
    "カナダ": ["カ", "ナ", "ダ"],
    "서울에서 नमस्ते مرحبا": ["서울에서", "नमस्ते", "مرحبا"],
    "👩‍👩‍👧🇩🇪👍🏽 1️⃣ ok❤️": ["👩‍👩‍👧", "🇩🇪", "👍🏽", "1️⃣", "ok", "❤️"],
    "e\u0301te\u0301\u200b\ufeff": ["e\u0301te\u0301"],
    "“Obama’s”": ["“", "Obama", "’s", "”"],
    "™️ 1️ ℹ️ ☎︎ \ufe0f": ["™️", "1️", "ℹ️", "☎︎"],
    "": [],
    " \t\u00a0\u200b": [],
}


@pytest.mark.parametrize("text", CASES)
def test_words(text: str) -> None:
    assert [word for word, _, _ in split_words(text)] == CASES[text]


ALPHABET = st.one_of(
    st.characters(exclude_categories=("Cs",)),
    st.sampled_from("aB1.,:'’-_#@()!?/ \u200d\ufe0f😀👍🏽日本\u0301\u200b"),
)


@given(st.text(ALPHABET, max_size=60))
def test_every_visible_character_belongs_to_one_word(text: str) -> None:
    end = 0
    for word, start, stop in split_words(text):
        assert invisible(text[end:start])
        assert start < stop
        assert text[start:stop] == word
        assert not any(char.isspace() for char in word)
        end = stop
    assert invisible(text[end:])


@given(st.lists(st.sampled_from(["Ada", "3.5", "U.S.", "日", ",", "n't", ":)"]), max_size=9))
def test_white_space_parts_words(words: list[str]) -> None:
    assert [word for word, _, _ in split_words(" ".join(words))] == words


@pytest.mark.parametrize("unit", ["a", ".", "a.", "a'", "@", "http://", "(", "1,", "👍", "\u0301"])
def test_long_texts_are_read_in_linear_time(unit: str) -> None:
    """A text of 100,000 repetitions ends at all: what takes squared time would take hours."""
    assert split_words(unit * 100_000)
