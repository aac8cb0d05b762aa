"""doccano: a text with ``label`` or ``entities``, a record a document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.errors import DataError
from zoo.importers.documents import Document
from zoo.importers.json_records import records
from zoo.importers.record import document


def read(file: Path, names: list[str] | None) -> Iterator[Document]:
    """See :func:`zoo.importers.formats.read`."""
    for where, record in records(file):
        yield _document(record, where, names)


def _document(record: Any, where: str, names: list[str] | None) -> Document:
    if isinstance(record, dict) and isinstance(record.get("annotations"), list):
        labels = [each.get("label") for each in record["annotations"] if isinstance(each, dict)]
        if any(isinstance(label, int) for label in labels):
            problem = f"{where}: labels are numbers; export from doccano with the labels' names"
            return Document(where, faults=[problem])
        record = {**record, "entities": record["annotations"]}
        del record["annotations"]
    if isinstance(record, dict) and isinstance(record.get("data"), str) and "text" not in record:
        record = {**record, "text": record["data"]}
        del record["data"]
    if isinstance(record, dict) and isinstance(record.get("meta"), dict):  # of older exports
        record = {**record["meta"], **record}
    try:
        return document(record, where, names)
    except DataError as error:
        return Document(where, faults=list(error.problems))
