"""zoo: an open research zoo for multimodal named entity recognition.

Everything in ``__all__`` is public and documented in docs/api.md. Nothing heavy is imported before
it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.3.0"

__all__ = [
    "Comparison",
    "ConfigError",
    "DataError",
    "Entity",
    "Found",
    "Model",
    "Picture",
    "Prediction",
    "RunError",
    "Sample",
    "ScoredEntity",
    "Scores",
    "TrainedRun",
    "ZooError",
    "compare",
    "load",
    "read",
    "run",
    "score",
    "split_words",
]

if TYPE_CHECKING:
    from zoo.api import Comparison, TrainedRun, compare, load, read, run, score
    from zoo.data.text import split_words
    from zoo.errors import ConfigError, DataError, RunError, ZooError
    from zoo.evaluation.scores import Scores
    from zoo.model.model import Model
    from zoo.model.results import Found, Prediction
    from zoo.types import Entity, Picture, Sample, ScoredEntity

_HOMES = {
    "zoo.api": ("Comparison", "TrainedRun", "compare", "load", "read", "run", "score"),
    "zoo.data.text": ("split_words",),
    "zoo.errors": ("ConfigError", "DataError", "RunError", "ZooError"),
    "zoo.evaluation.scores": ("Scores",),
    "zoo.model.model": ("Model",),
    "zoo.model.results": ("Found", "Prediction"),
    "zoo.types": ("Entity", "Picture", "Sample", "ScoredEntity"),
}


def __getattr__(name: str) -> Any:
    """A public name, imported from its home when it is first used."""
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
