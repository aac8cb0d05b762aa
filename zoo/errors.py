"""The errors a user can cause: always one clear line each, never a traceback."""

from __future__ import annotations

from collections.abc import Sequence


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
