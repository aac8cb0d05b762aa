"""Hugging Face datasets: ``tokens`` and ``ner_tags``, as JSONL or Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from zoo.errors import DataError
from zoo.importers.documents import Document
from zoo.importers.json_records import records
from zoo.importers.record import document

_CARDS = ("dataset_info.json", "dataset_infos.json", "README.md")


def read(file: Path, names: list[str] | None) -> Iterator[Document]:
    """See :func:`zoo.importers.formats.read`. The card beside the file names numbers."""
    names = names or names_beside(file)
    for where, record in records(file):
        yield made(record, where, names)


def made(record: Any, where: str, names: list[str] | None) -> Document:
    try:
        return document(record, where, names)
    except DataError as error:
        return Document(where, faults=list(error.problems))


def names_beside(file: Path) -> list[str] | None:
    """The tags' names in a dataset's card in the file's folder or the one above; None without."""
    for folder in (file.parent, file.parent.parent):
        for card in _CARDS:
            try:
                text = (folder / card).read_text(encoding="utf-8")
            except (OSError, ValueError):
                continue
            if names := names_in(_data(card, text)):
                return names
    return None


def _data(card: str, text: str) -> Any:
    try:
        if card.endswith(".json"):
            return json.loads(text)
        return yaml.safe_load(text.split("---")[1]) if text.startswith("---") else None
    except (ValueError, yaml.YAMLError, IndexError, RecursionError):
        return None


def names_in(card: Any, seen: set[int] | None = None) -> list[str] | None:
    """The first list of class names in a card that are tags."""
    seen = set() if seen is None else seen
    if id(card) in seen:  # an alias of YAML's
        return None
    if isinstance(card, Mapping | list):
        seen.add(id(card))
    if isinstance(card, Mapping):
        names = card.get("names")
        if isinstance(names, Mapping):  # as in a card's YAML: {'0': O, '1': B-PER}
            names = [names[key] for key in sorted(names, key=int)] if _numbers(names) else None
        if isinstance(names, list) and "O" in names and all(isinstance(n, str) for n in names):
            return names
    inner = card.values() if isinstance(card, Mapping) else card
    if isinstance(card, Mapping | list):
        return next((found for each in inner if (found := names_in(each, seen))), None)
    return None


def _numbers(names: Mapping[Any, Any]) -> bool:
    return all(str(key).isdecimal() for key in names)
