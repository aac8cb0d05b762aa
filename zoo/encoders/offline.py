"""Models that come in Python packages and are converted into the user's cache: no hub is needed.

``zoo models offline`` converts them (:mod:`zoo.encoders.converters`). A converted model is a folder
``models/NAME`` of the cache, with the SHA-256 of each of its files beside them.
"""

from __future__ import annotations

import json
from pathlib import Path

from zoo.encoders.checkpoint import digest_file, one_line
from zoo.errors import ConfigError
from zoo.files import cache_folder

OFFLINE = ("e5-small", "efficientnet-lite0")
"""multilingual-e5-small (text), EfficientNet-Lite0 (pictures): the names that `model` takes."""

MANIFEST = "zoo-model.json"
VERSION = 1
"""Of the conversion: a folder that another version made is made again."""

REMEDY = 'pip install "mner-zoo[offline]" && zoo models offline'


def offline_folder(model: str) -> Path:
    """Where a converted model is, or will be."""
    return cache_folder() / "models" / model


def locate_offline(model: str) -> Path:
    """The folder of a converted model, all of whose files are what the conversion wrote.

    Raises:
        ConfigError: it is not there, or a file has changed.
    """
    folder = offline_folder(model)
    if not (folder / MANIFEST).is_file():
        raise ConfigError(f"model `{model}` is not in the cache ({folder}): {REMEDY}")
    found = folder / MANIFEST
    try:
        said = json.loads(found.read_text(encoding="utf-8"))
        version, files = said["version"], dict(said["files"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            f"{found}: can't be read ({one_line(error)}); zoo models offline --again"
        ) from error
    changed = [
        name
        for name, digest in files.items()
        if not (folder / name).is_file() or digest_file(folder / name) != digest
    ]
    if version != VERSION or changed:
        what = f"{changed[0]} is not what was written" if changed else "of another version"
        raise ConfigError(f"model `{model}` ({folder}): {what}; zoo models offline --again")
    return folder
