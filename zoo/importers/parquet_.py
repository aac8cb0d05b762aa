"""Tables as Parquet: a row a document, as Hugging Face datasets store them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import DataError
from zoo.importers.documents import Document
from zoo.importers.hf_ import card_of, made, names_in


def read(file: Path, names: list[str] | None) -> Iterator[Document]:
    """See :func:`zoo.importers.formats.read`. Raises DataError without pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            f"{file}: reading Parquet needs pyarrow; pip install pyarrow, or export as JSONL"
        ) from None
    try:
        table = parquet.ParquetFile(file)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{file}: can't be read as Parquet ({error}); export it again") from error
    stored = (table.schema_arrow.metadata or {}).get(b"huggingface")
    names = names or _stored(stored, file)
    if names is None and (card := card_of(file)):
        names = card[1]
    number = 0
    for batch in table.iter_batches():
        for row in batch.to_pylist():
            number += 1
            yield made(row, f"{file}: row {number}", names)


def _stored(metadata: bytes | None, file: Path) -> list[str] | None:
    """What the file itself says of its tags."""
    try:
        return names_in(json.loads(metadata or b"null"), str(file))
    except ValueError:  # another program's
        return None
