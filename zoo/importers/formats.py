"""The formats that are imported: each module here reads one into documents."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.importers.documents import Document

FORMATS: Mapping[str, str] = {
    "conll": "a word and its tag a line",
    "doccano": "doccano's JSONL or JSON: text with labels or entities",
    "label-studio": "Label Studio's JSON or JSON-MIN",
    "spacy": "spaCy's .spacy, Prodigy's JSONL, or (text, {entities}) as JSON",
    "hf": "Hugging Face datasets as JSONL or Parquet: tokens and ner_tags",
    "brat": "brat's .txt with an .ann beside it",
    "csv": "a table with a row a word, or a row a text",
    "parquet": "a table as Parquet: like hf, doccano or csv",
}


def read(kind: str, file: Path, names: list[str] | None) -> Iterator[Document]:
    """The documents of a file in a format.

    Args:
        kind: one of ``FORMATS``.
        names: the tags that numbers stand for, in order; None: what stands beside the file.

    Raises:
        DataError: the file is not of this format. What is wrong with one document stands in its
            ``faults``.
    """
    if file.suffix == ".parquet":
        kind = "parquet"
    module = importlib.import_module(f"zoo.importers.{kind.replace('-', '_')}_")
    documents: Iterator[Document] = module.read(file, names)
    return documents


def guess(file: Path) -> str | None:
    """The format of a file, by its suffix and its first records; None where they do not tell."""
    from zoo.importers.json_records import first_records

    suffix = file.suffix.lower()
    by_suffix = {
        ".spacy": "spacy", ".ann": "brat", ".csv": "csv", ".parquet": "parquet", ".bio": "conll",
        ".conll": "conll", ".conllu": "conll", ".iob": "conll", ".iob2": "conll", ".tsv": "conll",
    }  # fmt: skip
    if file.is_dir() or (suffix == ".txt" and file.with_suffix(".ann").exists()):
        return "brat"
    if suffix in by_suffix:
        return by_suffix[suffix]
    if suffix == ".txt":
        return "conll"
    if suffix not in (".json", ".jsonl", ".ndjson", ".jsonlines"):
        return None
    found = [_guess(record) for record in first_records(file)]
    return next((kind for kind in KINDS if kind in found), None)


KINDS = ("spacy", "label-studio", "hf", "doccano")
"""Formats of JSON, the one first that is told from the others by the most."""


def _guess(record: Any) -> str | None:
    match record:
        case [str(), {"entities": _}] | {"spans": _} | {"ents": _} | {"paragraphs": _}:
            return "spacy"
        case {"data": {}} | {"annotation_id": _} | {"lead_time": _}:
            return "label-studio"
        case {"tokens": [] | [str(), *_]} | {"words": _}:
            return "hf"
        case {"text": _} if label_studio_values(record):
            return "label-studio"
        case {"text": _} | {"data": str()}:
            return "doccano"
    return None


def label_studio_values(record: Mapping[str, Any]) -> list[Any]:
    """What stands in a record of JSON-MIN under whatever name the labels have in the project."""
    return [
        each
        for value in record.values()
        if isinstance(value, list) and all(isinstance(each, dict) for each in value)
        for each in value
        if isinstance(each.get("labels"), list) or isinstance(each.get("hypertextlabels"), list)
    ]
