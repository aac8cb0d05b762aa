"""The fingerprint of a dataset: what its samples hold, whatever file they came from."""

from __future__ import annotations

import hashlib
import json

from zoo.errors import DataError
from zoo.types import Picture, Splits


def fingerprint(splits: Splits) -> str:
    """SHA-256 (hex) over everything that can change a result.

    That is ids, words, entities, languages, captions, extra texts, the bytes of the pictures, and
    the order of the sentences in each split. Paths and names of files don't enter.

    Raises:
        DataError: a picture can't be read.
    """
    digest = hashlib.sha256()
    for split in sorted(splits):
        digest.update(json.dumps([split, len(splits[split])]).encode())
        for sample in splits[split]:
            row = (
                sample.id,
                sample.words,
                sample.entities,
                sample.language,
                sample.caption,
                sorted(sample.extra.items()),
                _digest(sample.picture),
            )
            digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def _digest(picture: Picture | None) -> str | None:
    try:
        return picture.digest() if picture else None
    except OSError as error:
        raise DataError(
            f"{error.filename}: the picture can't be read ({error.strerror}); "
            f"make it readable or remove it"
        ) from None
