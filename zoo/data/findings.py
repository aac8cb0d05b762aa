"""What readers notice: things to know of a dataset that are no errors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from zoo.errors import shown
from zoo.types import Sample, Splits

Kind = Literal[
    "picture absent",
    "caption absent",
    "boxes absent",
    "several pictures",
    "repeated id",
    "post of an earlier split",
    "tag behind id",
    "empty word",
    "invisible row",
    "byte order mark",
    "invisible in tag",
    "blank in span",
    "IO",
    "field passed over",
    "rejected",
    "UTF-16",
]

WORDING: Mapping[Kind, tuple[str, str, bool]] = {
    "picture absent": ("picture is named and absent", "pictures are named and absent", True),
    "caption absent": (
        "sentence is not in the captions file",
        "sentences are not in the captions file",
        True,
    ),
    "boxes absent": (
        "sentence is not in the boxes file",
        "sentences are not in the boxes file",
        True,
    ),
    "several pictures": (
        "sentence has several pictures, of which the first is used (encoder `album` reads all)",
        "sentences have several pictures, of which the first is used (encoder `album` reads all)",
        True,
    ),
    "repeated id": (
        "id occurred before and was given a number",
        "ids occurred before and were given a number",
        False,
    ),
    "post of an earlier split": (
        "id occurs in an earlier split too",
        "ids occur in an earlier split too",
        True,
    ),
    "tag behind id": (
        "id line has more columns behind the id, which are passed over",
        "id lines have more columns behind the id, which are passed over",
        False,
    ),
    "empty word": (
        "empty word is read as a no-break space",
        "empty words are read as no-break spaces",
        False,
    ),
    "invisible row": (
        "line that looks blank holds invisible characters and is read as blank",
        "lines that look blank hold invisible characters and are read as blank",
        False,
    ),
    "byte order mark": (
        "U+FEFF is removed from inside the text",
        "U+FEFF are removed from inside the text",
        False,
    ),
    "invisible in tag": (
        "tag or type is read without its invisible characters",
        "tags or types are read without their invisible characters",
        False,
    ),
    "blank in span": (
        "entity is read without the white space at its ends",
        "entities are read without the white space at their ends",
        False,
    ),
    "IO": (
        "file has tags without prefixes, in which adjacent entities of one type read as one",
        "files have tags without prefixes, in which adjacent entities of one type read as one",
        True,
    ),
    "field passed over": (
        "field says nothing of entities and is passed over",
        "fields say nothing of entities and are passed over",
        False,
    ),
    "rejected": (
        "record that its annotator rejected or passed over is left out",
        "records that their annotators rejected or passed over are left out",
        True,
    ),
    "UTF-16": (
        "text whose entities may count UTF-16 units is read by characters; if they do, use "
        "`zoo data import --offsets utf-16`",
        "texts whose entities may count UTF-16 units are read by characters; if they do, use "
        "`zoo data import --offsets utf-16`",
        True,
    ),
}
"""For one and for several, and whether tables say it, because it may change what numbers mean."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line about a dataset.

    Args:
        text: begins with the split where it is about one.
        note: it may change what a number means: tables say it.
    """

    text: str
    note: bool = False


class Read(dict[str, list[Sample]]):
    """The splits that a reader returns, with what it noticed."""

    def __init__(
        self,
        splits: Splits,
        findings: Sequence[Finding] = (),
        absent: Mapping[str, frozenset[str]] | None = None,
        uncaptioned: Mapping[str, frozenset[str]] | None = None,
        made_ids: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        super().__init__(splits)
        self.findings = tuple(findings)
        self.absent = dict(absent or {})
        """By split, the ids of the samples whose picture is named and absent."""
        self.uncaptioned = dict(uncaptioned or {})
        """By split, the ids of the samples that are not in the captions file."""
        self.made_ids = dict(made_ids or {})
        """By split, the ids that the reader made up for want of others: they say nothing of
        posts."""

    def __reduce__(self) -> tuple[object, ...]:
        told = (self.findings, self.absent, self.uncaptioned, self.made_ids)
        return type(self), (dict(self), *told)


Notice = Callable[[Kind, str], None]
"""Told of each thing of a kind, with an example: an id, or a place in a file."""


@dataclass
class Tally:
    """Counts what readers notice, by split and kind."""

    split: str = ""
    counted: dict[tuple[str, Kind], list[str]] = field(default_factory=lambda: defaultdict(list))
    others: list[Finding] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)
    made_ids: set[str] = field(default_factory=set)

    def __call__(self, kind: Kind, example: str) -> None:
        self.counted[self.split, kind].append(example)

    def add(self, text: str, note: bool = False) -> None:
        self.others.append(Finding(text, note))

    def read(self, splits: Splits) -> Read:
        """The splits with all findings."""
        found = [
            Finding(f"{split}: {counted(len(examples), *words)}: {some(examples)}", note)
            for (split, kind), examples in self.counted.items()
            for *words, note in [WORDING[kind]]
        ]
        uncaptioned = {
            id for (_, kind), ids in self.counted.items() if kind == "caption absent" for id in ids
        }
        told = (self.absent, uncaptioned, self.made_ids)
        return Read(splits, [*self.others, *found], *(_by_split(splits, ids) for ids in told))


def _by_split(splits: Splits, ids: set[str]) -> dict[str, frozenset[str]]:
    """Ids by the splits that their samples are in, which need not be those of the files."""
    if not ids:
        return {}
    own = {split: [s.id for s in samples] for split, samples in splits.items()}
    return {split: found for split, each in own.items() if (found := frozenset(each) & ids)}


def ignore(kind: Kind, example: str) -> None:
    """A :data:`Notice` for readers of which nobody asks for findings."""


def counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def some(names: Iterable[str], n: int = 3) -> str:
    """The first few names, with invisible characters as escapes."""
    names = list(names)
    return ", ".join(map(shown, names[:n])) + (", …" if len(names) > n else "")
