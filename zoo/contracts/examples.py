"""The examples of its settings that a part's class names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.schema import keywords


def required(cls: type) -> list[str]:
    """The settings without a default."""
    return [name for name, (_, default) in keywords(cls).items() if default is ...]


def examples(cls: type) -> list[Mapping[str, Any]]:
    """Settings to try a part with, as they would stand in YAML.

    They are those of its class attribute ``examples`` (a sequence) or ``example``, else no
    settings at all; the result is empty where a setting is required and no example gives it.
    """
    if several := getattr(cls, "examples", None):
        return list(several)
    if (one := getattr(cls, "example", None)) is not None:
        return [one]
    return [] if required(cls) else [{}]


def example_files(cls: type) -> Mapping[str, str | bytes]:
    """The files that a reader's examples read (``example_files``): relative path to content."""
    files: Mapping[str, str | bytes] = getattr(cls, "example_files", {})
    return files
