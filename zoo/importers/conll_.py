"""CoNLL columns, IMGID blocks and CoNLL-U, as reader ``bio`` reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from zoo.data.blocks import read_blocks
from zoo.data.findings import Kind
from zoo.importers.documents import Document, Named
from zoo.tags import read_tags, scheme_of


def read(file: Path, names: list[str] | None) -> Iterator[Document]:
    """See :func:`zoo.importers.formats.read`."""
    told = defaultdict[Kind, list[str]](list)
    blocks = read_blocks(file, lambda kind, example: told[kind].append(example))
    scheme = scheme_of(set(chain.from_iterable(block.tags for block in blocks)))
    for block in blocks:
        entities = read_tags(block.tags, "lenient", scheme)
        where = f"{file}:{block.line}"
        pictures = [Named(block.id)] if block.id else []
        made = Document(where, block.id, words=block.words, entities=entities, pictures=pictures)
        made.told, told = told, defaultdict(list)  # with the first, once
        yield made
