"""spaCy and Prodigy: ``.spacy``, JSONL with ``spans``, or ``[text, {"entities": …}]`` as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.data.records import span_of
from zoo.errors import DataError
from zoo.importers.documents import Document
from zoo.importers.json_records import records
from zoo.importers.record import document
from zoo.tags import read_tags
from zoo.types import Entity


def read(file: Path, names: list[str] | None) -> Iterator[Document]:
    """See :func:`zoo.importers.formats.read`. Files .spacy need spaCy."""
    if file.suffix == ".spacy":
        yield from _binary(file)
        return
    for where, record in records(file):
        try:
            yield from _documents(record, where)
        except DataError as error:
            yield Document(where, faults=list(error.problems))


def _documents(record: Any, where: str) -> Iterator[Document]:
    match record:
        case None:  # a text that its annotator passed over
            yield Document(where, noticed=["rejected"])
        case [str(text), {"entities": list(spans)}]:
            yield Document(where, text=text, spans=[span_of(each, where) for each in spans])
        case {"paragraphs": list(paragraphs)}:  # version 2's training format
            for paragraph in paragraphs:
                yield from _paragraph(paragraph, where)
        case {"text": str(), "ents": list(spans)}:  # as Doc.to_json has it
            groups = record.get("spans")
            fields = {k: v for k, v in record.items() if k not in ("ents", "tokens", "spans")}
            made = document({**fields, "entities": spans}, where)
            if not spans and groups and isinstance(groups, dict):
                made.noticed.append("groups")
            yield made
        case {"text": str()} if "spans" not in record and "entities" not in record:
            yield document({**record, "spans": []}, where)
        case _:
            yield document(record, where)


def _paragraph(paragraph: Any, where: str) -> Iterator[Document]:
    match paragraph:
        case {"raw": str(text), "entities": list(spans)}:
            yield Document(where, text=text, spans=[span_of(each, where) for each in spans])
        case {"sentences": list(sentences)}:
            tokens_of = [s.get("tokens") if isinstance(s, dict) else None for s in sentences]
            for given in tokens_of:
                if not isinstance(given, list) or not all(map(_is_token, given)):
                    raise DataError(f"{where}: a sentence without tokens, each with its `orth`")
                tokens = [each for each in given if each["orth"].strip()]
                told = [each.get("ner") or "-" for each in tokens]
                tags = ["O" if tag == "-" else str(tag) for tag in told]
                try:
                    entities = read_tags(tags)
                except ValueError as error:
                    raise DataError(f"{where}: {error}") from None
                yield Document(where, words=[each["orth"] for each in tokens], entities=entities)
        case _:
            raise DataError(f"{where}: a paragraph without `raw` and `entities`, or `sentences`")


def _is_token(token: Any) -> bool:
    return isinstance(token, dict) and isinstance(token.get("orth"), str)


def _binary(file: Path) -> Iterator[Document]:
    try:
        import spacy
        from spacy.tokens import DocBin
    except ImportError:
        raise DataError(
            f"{file}: reading .spacy needs spaCy; pip install spacy, or export as JSONL"
        ) from None
    try:
        docs = list(DocBin().from_disk(file).get_docs(spacy.blank("xx").vocab))
    except Exception as error:  # whatever a file that is none makes the library raise
        raise DataError(f"{file}: spaCy can't read it ({type(error).__name__}: {error})") from error
    for number, doc in enumerate(docs, 1):
        where = f"{file}: record {number}"
        kept = [token for token in doc if not token.is_space]
        place = {token.i: index for index, token in enumerate(kept)}
        entities = []
        for span in doc.ents:
            inner = [place[token.i] for token in span if token.i in place]
            if inner:
                entities.append(Entity(inner[0], inner[-1] + 1, span.label_))
        made = Document(where, words=[token.text for token in kept], entities=entities)
        if not doc.ents and any(map(len, doc.spans.values())):
            made.noticed.append("groups")
        yield made
