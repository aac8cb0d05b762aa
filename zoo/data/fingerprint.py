"""The fingerprint of a dataset: what its samples hold, whatever file they came from."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from pathlib import Path

from zoo.errors import DataError
from zoo.files import write_atomic
from zoo.types import PICTURE_DIGESTS, Picture, Splits

_LINE = re.compile(r"([0-9a-f]{64}) (\d+ \d+ \d+ [^\n]+)")


def fingerprint(splits: Splits, cache: Path | None = None) -> str:
    """SHA-256 (hex) over everything that can change a result.

    That is ids, words, entities, languages, captions, extra texts, the bytes of the pictures, and
    the order of the sentences in each split. Paths and names of files don't enter.

    Args:
        cache: a folder in which the digests of pictures are remembered, by the path of each file,
            its size and its times, so that unchanged pictures need not be read again.

    Raises:
        DataError: a picture can't be read.
    """
    if cache is not None:
        _recall(cache)
    before = len(PICTURE_DIGESTS)
    found = _fingerprint(splits)
    if cache is not None and len(PICTURE_DIGESTS) > before:
        _remember(cache)
    return found


def _fingerprint(splits: Splits) -> str:
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
                *map(_digest, sample.more_pictures),
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


def _recall(cache: Path) -> None:
    """Take up the digests that are remembered; what is no such line is passed over."""
    try:
        text = _file(cache).read_bytes().decode(errors="surrogateescape")
    except OSError:
        return
    for line in text.split("\n"):
        if match := _LINE.fullmatch(line):
            PICTURE_DIGESTS.setdefault(match[2], match[1])


def _remember(cache: Path) -> None:
    """Write all digests. What can't be kept is found out again."""
    _recall(cache)  # another process may have added to them meanwhile
    lines = [f"{digest} {state}" for state, digest in PICTURE_DIGESTS.items() if "\n" not in state]
    with suppress(OSError):
        data = "".join(f"{line}\n" for line in sorted(lines))
        write_atomic(_file(cache), data.encode(errors="surrogateescape"))


def _file(cache: Path) -> Path:
    return cache / "picture-digests"
