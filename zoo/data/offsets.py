"""What offsets of characters count: code points, or UTF-16 units as JavaScript does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from zoo.data.records import CharSpan
from zoo.data.text import split_words


class Units:
    """What the offsets of a file seem to count, where the reader takes them for characters."""

    def __init__(self) -> None:
        self._told = Counter[bool | None]()
        self._open: dict[str, bool | None] = {}

    def look(self, text: str, spans: Sequence[CharSpan], where: str) -> None:
        """Note what the offsets of a text seem to count, if it makes a difference."""
        if text.isascii() or by_code_points(text, spans) == spans:
            return
        told = tells(text, spans)
        self._told[told] += 1
        if told is not False and fits(text, by_code_points(text, spans))[0] == len(spans):
            self._open[where] = told

    def doubtful(self) -> list[str]:
        """The texts that can be read in UTF-16 units as well, where most of the file's others do
        not tell that it counts characters."""
        characters = self._told[False] > self._told[True]
        return [where for where, told in self._open.items() if told or not characters]


def by_code_points(text: str, spans: Sequence[CharSpan]) -> list[CharSpan]:
    """Spans whose offsets count UTF-16 units, by code points; one out of range stays so."""
    units = places_of(text)
    beyond = len(text) + 1
    return [
        s._replace(start=units.get(s.start, beyond), end=units.get(s.end, beyond)) for s in spans
    ]


def places_of(text: str) -> dict[int, int]:
    """The number of code points before each place where a character begins, by UTF-16 units."""
    units, place = {0: 0}, 0
    for number, char in enumerate(text, 1):
        place += 2 if ord(char) > 0xFFFF else 1
        units[place] = number
    return units


def tells(text: str, spans: Sequence[CharSpan]) -> bool | None:
    """Whether spans count UTF-16 units; None: both readings fit alike, or are the same."""
    if not any(ord(char) > 0xFFFF for char in text):
        return None
    units, points = fits(text, by_code_points(text, spans)), fits(text, spans)
    return None if units == points else units > points


def fits(text: str, spans: Sequence[CharSpan]) -> tuple[int, int, int]:
    """How many spans fit the text: what they repeat stands there, or they end with words; then how
    many do without white space at their ends; then how many hold letters or digits."""
    words = split_words(text)
    begins, ends = {start for _, start, _ in words}, {end for _, _, end in words}
    fitting, exact, written = 0, 0, 0
    for span in spans:
        if not 0 <= span.start < span.end <= len(text):
            continue
        there = text[span.start : span.end]
        if span.said is not None:
            found = span.said == there
        else:
            start = span.start + len(there) - len(there.lstrip())
            found = start in begins and start + len(there.strip()) in ends
        fitting += found
        exact += found and there == there.strip()
        written += found and there[0].isalnum() and any(map(str.isalnum, there))
    return fitting, exact, written
