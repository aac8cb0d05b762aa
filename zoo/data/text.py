"""Running text as words: where each begins and ends, by rules that know no labels.

The words are cut as the datasets of the field cut them: punctuation is split off, and so are the
signs of hashtags and mentions (``#``, ``NBA``), whose names may be entities; English contractions
are cut as in the Penn Treebank (``do``, ``n't``; ``Obama``, ``'s``). URLs, e-mail addresses,
numbers, abbreviations of single letters, emoticons and emoji stay whole. Chinese and Japanese
characters are a word each, since nothing marks where a word ends.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

_UNSEEN = "\u200b\u2060\ufeff\u00ad\ufe0e\ufe0f"
"""Characters without a width, which part no words and belong to none where they stand at an end."""

_CJK = (
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d"
    "\U00020000-\U000323af"
)
_PICTURE = "[\u2190-\u21ff\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
_STYLE = "[\ufe0e\ufe0f]*"
"""What makes a sign look like text or like an emoji; it belongs to the word before it."""
_TONE = "[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]"
_EMOJI = (
    "[\U0001f1e6-\U0001f1ff]{2}"
    "|[0-9#*]\ufe0f?\u20e3"
    f"|{_PICTURE}{_TONE}*(?:\u200d{_PICTURE}{_TONE}*)*"
)
_URL = r"(?:https?://|www\.)[^\s<>\"“”]+"
_EMAIL = r"[\w.+-]{1,64}@\w[\w-]*(?:\.\w[\w-]*)+"
_EMOTICON = r"(?<![^\W_])(?:[:;=][-o'^]?[()\[\]DPpOo3/\\|*]|<3|\^_?\^)(?![^\W_])"
_LETTERS = r"(?<![^\W_])(?:[^\W\d_]\.){2,}"
_APOSTROPHES = "'’ʼ＇"

_NEGATION = re.compile(rf"(?i)(?<=\w)n[{_APOSTROPHES}]t$")
_ENDING = re.compile(rf"(?i)(?<=\w)[{_APOSTROPHES}](?:s|re|ve|ll|d|m)$")


def split_words(text: str) -> list[tuple[str, int, int]]:
    """The words of a text, each with its place: ``text[start:end] == word``.

    The places ascend and do not overlap, and every character that can be seen belongs to a word.
    Offsets count code points, as Python does.
    """
    return list(_words(text))


def _words(text: str) -> Iterator[tuple[str, int, int]]:
    for found in _pattern(text.isascii()).finditer(text):
        start, end = found.span()
        if found.lastgroup == "url":
            end = _end_of_url(text, start, end)
            yield text[start:end], start, end
            shift = end
            for word, first, last in split_words(text[end : found.end()]):
                yield word, first + shift, last + shift
            continue
        cuts = [start, end]
        if found.lastgroup == "word":
            for rule in (_NEGATION, _ENDING):
                if cut := rule.search(text[start:end]):
                    cuts = [start, start + cut.start(), end]
                    break
        for first, last in pairwise(cuts):
            yield text[first:last], first, last


def _end_of_url(text: str, start: int, end: int) -> int:
    """A URL without the punctuation of the sentence that it stands in."""
    while end > start + 1:
        last = text[end - 1]
        opened = {")": "(", "]": "[", "}": "{"}.get(last)
        if opened and text.count(opened, start, end) >= text.count(last, start, end):
            break
        if last not in ".,;:!?'’…)]}»*_~" and last not in _UNSEEN:
            break
        end -= 1
    return end


@cache
def _pattern(plain: bool) -> re.Pattern[str]:
    """What a word is, in order of preference; ``plain``: of ASCII alone, which is faster."""
    if plain:
        run, mark, style = "[A-Za-z0-9]+", "", ""
    else:
        mark, style = f"[{_marks()}]*", _STYLE
        letter = rf"(?![{_CJK}])[^\W_]|[{_marks()}]"
        run = rf"(?:{letter})(?:{letter}|[\u200c\u200d\u00ad])*"
    word = rf"{run}(?:(?:[-‐‑_{_APOSTROPHES}·]|(?<=\d)[.,:](?=\d)){run})*{style}"
    return re.compile(
        rf"(?P<url>{_URL})"
        rf"|(?P<email>{_EMAIL})"
        rf"|(?P<emoji>{_EMOJI})"
        rf"|(?P<emoticon>{_EMOTICON})"
        rf"|(?P<letters>{_LETTERS})"
        rf"|(?P<word>{word})"
        rf"|(?P<cjk>[{_CJK}])"
        rf"|(?P<row>(?P<again>[.!?*~_=-])(?P=again)+)"
        rf"|(?P<sign>[^\s{_UNSEEN}]{mark}{style})"
    )


@cache
def _marks() -> str:
    """Every character that Unicode calls a mark, as the inside of a class: ``\\w`` has none."""
    codes = [
        code
        for code in range(0x300, 0x1E95A)
        if unicodedata.category(chr(code))[0] == "M" and code not in range(0xFE00, 0xFE10)
    ]
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(a)}-{chr(b)}" for a, b in ranges)
