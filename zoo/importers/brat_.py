"""brat: a text file, and an ``.ann`` file of the same name beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from zoo.data.files import text_of
from zoo.data.records import CharSpan
from zoo.errors import DataError
from zoo.importers.documents import Document

_ENTITY = re.compile(r"T\S*\t(\S+) (\d+ \d+(?:;\d+ \d+)*)\t?(.*)")


def read(file: Path, names: list[str] | None) -> Iterator[Document]:
    """See :func:`zoo.importers.formats.read`. A folder gives its texts; each line is a sentence."""
    texts = sorted(file.rglob("*.txt")) if file.is_dir() else [file.with_suffix(".txt")]
    if not texts:
        raise DataError(f"{file}: no .txt file is there")
    for each in texts:
        yield _document(each)


def _document(file: Path) -> Document:
    annotations = file.with_suffix(".ann")
    if not annotations.exists():
        return Document(str(file), faults=[f"{annotations}: no such file; {file.name} needs it"])
    try:  # not text_of: offsets count a line's end as it stands in the file
        text = file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Document(str(file), faults=[f"{file}: can't be read as UTF-8 ({error})"])
    made = Document(str(file), id=file.stem, text=text, by="line")
    lines = text_of(annotations).split("\n") if annotations.read_bytes().strip() else []
    spans: list[CharSpan] = []
    for number, line in enumerate(lines, 1):
        if not line.startswith("T"):
            continue
        where = f"{annotations}:{number}"
        found = _ENTITY.fullmatch(line.rstrip())
        if found is None:
            made.faults.append(f"{where}: not an entity of brat: `T1<tab>TYPE 0 4<tab>text`")
            continue
        label, offsets, said = found.groups()
        pieces = [tuple(map(int, piece.split(" "))) for piece in offsets.split(";")]
        start, end = pieces[0][0], pieces[-1][1]
        gaps = [text[a[1] : b[0]] for a, b in pairwise(pieces)]
        if any(gap.strip() for gap in gaps):
            made.faults.append(
                f"{where}: the entity {offsets} ({label}) has a gap; entities here are contiguous"
            )
        elif "\n" in text[start:end].strip():
            made.faults.append(
                f"{where}: the entity {offsets} ({label}) goes over the end of a line; join the "
                "lines, or give --by document"
            )
        else:
            spans.append(CharSpan(start, end, label, said or None))
    made.spans = spans
    return made
