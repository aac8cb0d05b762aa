"""Tags of notations that the zoo does not read, told from types without a prefix."""

from __future__ import annotations

import re
from collections.abc import Iterable

BARE = re.compile(r"(?![BIESLUMWO][-_])(?!.{1,2}-)(?!.*-[BIESLUMWO]$)[^\W\d_][\w./&-]+")
"""A type without a prefix, and nothing that may be one with another kind of prefix."""
TWO_TAGS = re.compile(r"[|,;+][BIESLUMWO](-|$)")
_BEFORE, _BEHIND = re.compile(r"(?i)([BIES])([-_/.])(.+)"), re.compile(r"(?i)(.+)([-_/.])([BIES])")


def marked(types: Iterable[str]) -> tuple[str, str] | None:
    """Two types that differ by a mark alone (B, I, E or S, before or behind), as the tags of
    another notation do; without a separator only where all begin so, for words may, too."""
    types = list(types)
    known: dict[tuple[str, str, str], str] = {}
    for each in types:
        keys = list[tuple[str, str, str]]()
        if found := _BEFORE.fullmatch(each):
            keys.append(("before", found[2], found[3]))
        if found := _BEHIND.fullmatch(each):
            keys.append(("behind", found[2], found[1]))
        if all(len(one) > 1 and one[0] in "BI" for one in types):
            keys.append(("before", "", each[1:]))
        for key in keys:
            if known.setdefault(key, each) != each:
                return known[key], each
    return None
