"""The errors a user can cause: always one clear line each, never a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class ZooError(Exception):
    """Base of every error whose message alone tells the user what to do.

    Args:
        problems: one line each: what is wrong, where (``file:line``, dotted path), what to do.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems: Sequence[str] = problems


class ConfigError(ZooError):
    """The configuration or the arguments are wrong; nothing was run (exit code 2)."""


class DataError(ZooError):
    """A data file is wrong or missing; nothing was run (exit code 2)."""


class RunError(ZooError):
    """One run failed; the others go on (exit code 1)."""


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
