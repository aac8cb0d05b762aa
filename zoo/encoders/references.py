"""What parts load from elsewhere: noted while a system is built, and pinned when it is built again.

A trained system is stored without the models that it loads. It refers to them: by the name that
they are written as, and by what they were then (a commit, a digest). When it is built again, every
reference can be pinned to that commit, or to a stored copy of the model's files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from zoo.encoders.checkpoint import Need


class Name(NamedTuple):
    """How a part asks for a model: as it is written, and its revision, if one is given."""

    model: str
    revision: str | None = None


class Reference(NamedTuple):
    """A model that a part loaded, and the folder or file that it was read from.

    ``need`` says which files of a folder are read; None: it is one file.
    """

    name: Name
    place: Path
    need: Need | None = None


_noted: ContextVar[list[Reference] | None] = ContextVar("noted", default=None)
_pins: ContextVar[Mapping[Name, Path | str]] = ContextVar("pins")


@contextmanager
def noted() -> Iterator[list[Reference]]:
    """The list that every model loaded in this block is added to, and to those of outer blocks."""
    found: list[Reference] = []
    outer = _noted.get()
    token = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(token)
        if outer is not None:
            outer += [each for each in found if each not in outer]


def note(name: Name, place: Path, need: Need | None = None) -> None:
    """Tell whoever asked (:func:`noted`) that a model was loaded."""
    found = _noted.get()
    reference = Reference(name, place, need)
    if found is not None and reference not in found:
        found.append(reference)


@contextmanager
def pinned(pins: Mapping[Name, Path | str]) -> Iterator[None]:
    """In this block models are taken from a stored folder or file, or at a commit."""
    token = _pins.set(pins)
    try:
        yield
    finally:
        _pins.reset(token)


def stored(name: Name) -> Path | None:
    """The stored copy of a model that is to be taken, if it is pinned to one."""
    pin = _pins.get({}).get(name)
    return pin if isinstance(pin, Path) else None


def commit(name: Name) -> str | None:
    """The commit of a model on the hub that is to be taken: the pinned one, or its revision."""
    pin = _pins.get({}).get(name)
    return pin if isinstance(pin, str) else name.revision
