"""Hugging Face datasets: ``tokens`` and ``ner_tags``, as JSONL or Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from zoo.data.records import TAGS
from zoo.errors import DataError
from zoo.importers.documents import Document
from zoo.importers.json_records import records
from zoo.importers.record import document

_CARDS = ("dataset_info.json", "dataset_infos.json", "README.md")


def read(file: Path, names: list[str] | None) -> Iterator[Document]:
    """See :func:`zoo.importers.formats.read`. The card beside the file names numbers."""
    if names is None and (card := card_of(file)):
        names = card[1]
    for where, record in records(file):
        yield made(record, where, names)


def made(record: Any, where: str, names: list[str] | None) -> Document:
    try:
        return document(record, where, names)
    except DataError as error:
        return Document(where, faults=list(error.problems))


def card_of(file: Path) -> tuple[Path, list[str]] | None:
    """The dataset's card that names the tags, and their names; None without.

    It stands beside the file, or above a folder ``data``, as on the hub.
    """
    above = [file.parent.parent] if file.parent.name == "data" else []
    for folder in (file.parent, *above):
        for card in _CARDS:
            try:
                text = (folder / card).read_text(encoding="utf-8")
            except (OSError, ValueError):
                continue
            if names := names_in(_data(card, text), str(folder / card)):
                return folder / card, names
    return None


def _data(card: str, text: str) -> Any:
    try:
        if card.endswith(".json"):
            return json.loads(text)
        return yaml.safe_load(text.split("---")[1]) if text.startswith("---") else None
    except (ValueError, yaml.YAMLError, IndexError, RecursionError):
        return None


def names_in(card: Any, where: str) -> list[str] | None:
    """What the numbers of the column of tags stand for, as a card says; None where it does not.

    Raises:
        DataError: the card says it in two ways, as one of several configurations may.
    """
    for column in TAGS:
        found = [list(each) for each in dict.fromkeys(map(tuple, _of_column(card, column, set())))]
        if len(found) > 1:
            told = "; ".join(",".join(each)[:80] for each in found[:3])
            raise DataError(
                f"{where}: it names the tags of `{column}` in {len(found)} ways ({told}); say "
                "which is right: --tag-names O,B-PER,…"
            )
        if found:
            return found[0]
    return None


def _of_column(card: Any, column: str, seen: set[int]) -> Iterator[list[str]]:
    """The lists of names that a card has for a column: ``{"name": column, …}`` in a list of
    features, or ``{column: …}`` in a mapping of them.

    Args:
        seen: ids of what was looked at; an alias of YAML's may lead there again.
    """
    if id(card) in seen or not isinstance(card, Mapping | list):
        return
    seen.add(id(card))
    if isinstance(card, list):
        for each in card:
            yield from _of_column(each, column, seen)
        return
    for key, value in card.items():
        own = key == column or (key != "name" and card.get("name") == column)
        yield from _lists(value, set()) if own else _of_column(value, column, seen)


def _lists(feature: Any, seen: set[int]) -> Iterator[list[str]]:
    """The lists of tags in the description of a feature."""
    if id(feature) in seen or not isinstance(feature, Mapping | list):
        return
    seen.add(id(feature))
    if isinstance(feature, list):
        for each in feature:
            yield from _lists(each, seen)
    else:
        names = feature.get("names")
        if isinstance(names, Mapping):  # as in a card's YAML: {'0': O, '1': B-PER}
            names = [names[key] for key in sorted(names, key=int)] if _numbers(names) else None
        if isinstance(names, list) and "O" in names and all(isinstance(n, str) for n in names):
            yield names
        else:
            for value in feature.values():
                yield from _lists(value, seen)


def _numbers(names: Mapping[Any, Any]) -> bool:
    return all(str(key).isdecimal() for key in names)
