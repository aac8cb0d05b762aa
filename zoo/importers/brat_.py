"""brat: a text file, and an ``.ann`` file of the same name beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from zoo.data.files import text_of
from zoo.data.records import CharSpan
from zoo.errors import DataError
from zoo.importers.documents import Document

_ENTITY = re.compile(r"T\S*\t(\S+) (\d+ \d+(?:;\d+ \d+)*)\t?(.*)")


def read(file: Path, names: list[str] | None) -> Iterator[Document]:
    """See :func:`zoo.importers.formats.read`. A folder gives its texts; each line is a sentence."""
    if file.is_dir():
        texts = sorted(file.rglob("*.txt"))
    else:
        texts = [file.with_suffix(".txt") if file.suffix == ".ann" else file]
    if not texts:
        raise DataError(f"{file}: a folder is read as one of brat, and no .txt file is there")
    top = file if file.is_dir() else file.parent
    for each in texts:
        yield _document(each, each.relative_to(top).with_suffix("").as_posix())


def _document(file: Path, id: str) -> Document:
    annotations = file.with_suffix(".ann")
    if not annotations.exists():
        return Document(str(file), faults=[f"{annotations}: no such file; {file.name} needs it"])
    try:  # not text_of: offsets may count a line's end as it stands in the file
        written = file.read_bytes().decode("utf-8")
    except OSError as error:
        return Document(str(file), faults=[f"{file}: can't be read ({error.strerror})"])
    except UnicodeDecodeError as error:
        return Document(str(file), faults=[f"{file}: can't be read as UTF-8 ({error})"])
    made = Document(str(file), id=id, text=written, by="line")
    lines = text_of(annotations).split("\n") if annotations.read_bytes().strip() else []
    spans: list[CharSpan] = []
    found_ones: list[tuple[str, str, list[tuple[int, int]], str]] = []
    for number, line in enumerate(lines, 1):
        if not line.startswith("T"):
            continue
        where = f"{annotations}:{number}"
        found = _ENTITY.fullmatch(line.rstrip())
        if found is None:
            made.faults.append(f"{where}: not an entity of brat: `T1<tab>TYPE 0 4<tab>text`")
            continue
        label, offsets, said = found.groups()
        pieces = [(int(a), int(b)) for a, b in re.findall(r"(\d+) (\d+)", offsets)]
        found_ones.append((where, label, pieces, said))
    text = made.text = _counted(written, [(pieces, said) for _, _, pieces, said in found_ones])
    for where, label, pieces, said in found_ones:
        if any(text[a[1] : b[0]].strip() for a, b in pairwise(pieces)):
            offsets = ";".join(f"{a} {b}" for a, b in pieces)
            made.faults.append(
                f"{where}: the entity {offsets} ({label}) has a gap; entities here are contiguous"
            )
        else:
            spans.append(CharSpan(pieces[0][0], pieces[-1][1], label, said or None))
    made.spans = spans
    return made


def _counted(written: str, entities: Sequence[tuple[Sequence[tuple[int, int]], str]]) -> str:
    """The text that offsets count: as it is written, or without what editors add and tools drop
    (a byte order mark, CR before LF); the first that has the most entities where they are said."""
    bare = written.removeprefix("\ufeff")
    texts = [bare, written, bare.replace("\r\n", "\n"), written.replace("\r\n", "\n")]

    def fits(text: str) -> int:
        return sum(
            text[pieces[0][0] : pieces[-1][1]].split() == said.split() for pieces, said in entities
        )

    return max(texts, key=fits)
