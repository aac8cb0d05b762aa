"""From the specification of a reader to the samples; needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.schema import PartSpec, supplied
from zoo.types import Splits


def read_data(part: PartSpec, root: Path) -> Splits:
    """Read a dataset. Raises DataError."""
    splits: Splits = reader(part, root).read()
    return splits


def reader(part: PartSpec, root: Path) -> Any:
    """Build a reader; ``root`` is the folder that data paths are relative to."""
    known = {"root": root}
    return part.cls(**{name: known[name] for name in supplied(part.cls)}, **part.settings)
