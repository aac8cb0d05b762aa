"""The errors a user can cause: always one clear line each, never a traceback."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class ZooError(Exception):
    """Base of every error whose message alone tells the user what to do.

    Args:
        problems: one line each: what is wrong, where (``file:line``, dotted path), what to do.
            Characters that can't be seen are shown as escapes (see :func:`shown`), and a line of
            more than ``LONGEST`` characters loses its middle: what a user wrote may be a megabyte.
    """

    def __init__(self, *problems: str) -> None:
        self.problems: Sequence[str] = tuple(shortened(shown(each)) for each in problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[ZooError], tuple[str, ...]]:
        return type(self), tuple(self.problems)  # by default the joined lines would be one problem


class ConfigError(ZooError):
    """The configuration or the arguments are wrong; nothing was run (exit code 2)."""


class DataError(ZooError):
    """A data file is wrong or missing; nothing was run (exit code 2)."""


class RunError(ZooError):
    """One run failed; the others go on (exit code 1)."""


LONGEST = 600
"""Characters that a problem may have."""


def shortened(text: str) -> str:
    """Text of at most ``LONGEST`` characters; its beginning says where, and its end what to do."""
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST - 201]}…{text[-200:]}"


_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | frozenset(
    map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
"""Characters that Unicode counts among the printable ones although they leave no mark: fillers,
variation selectors, the empty Braille cell."""


def shown(text: object) -> str:
    """Text for a message: every character that can't be seen, except the space, as an escape.

    Control characters, line ends, no-break and zero-width spaces, byte order marks, and marks of
    the direction of writing would otherwise make two different texts look the same, or one line
    look like two.
    """
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char.isprintable() and char not in _UNSEEN else _escaped(char) for char in text
    )


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def plain(docstring: str) -> str:
    """A docstring for a terminal: code between single backticks, no roles before names."""
    return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", docstring.replace("``", "`"))


def invisible(text: str) -> bool:
    """Whether nothing of the text can be seen: it is empty, or white space and zero-width."""
    return all(
        char.isspace() or char in _UNSEEN or unicodedata.category(char) in ("Cc", "Cf")
        for char in text
    )


def near(word: object, known: Iterable[str]) -> str:
    """The end of an error message: a near match, or what there is."""
    known = sorted(known)
    matches = difflib.get_close_matches(str(word), known, n=1)
    if matches:
        return f"; did you mean `{matches[0]}`?"
    return f"; there is: {', '.join(known)}" if known else "; there is none"


def first_problem(error: ValidationError) -> str:
    """The first thing wrong, in one line."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])
