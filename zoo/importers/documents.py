"""Annotated documents, and how their character spans become entities over words."""

from __future__ import annotations

import bisect
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from zoo.data.files import clean, encodable
from zoo.data.findings import WORDING, Kind, counted, some
from zoo.data.offsets import by_code_points, places_of, tells
from zoo.data.records import CharSpan
from zoo.data.text import split_words
from zoo.types import Entity

Offsets = Literal["auto", "characters", "utf-16"]
Inside = Literal["refuse", "expand", "drop"]
By = Literal["document", "line"]

_WORDING = {
    "several": (
        "task has several annotations, of which the first is taken",
        "tasks have several annotations, of which the first is taken",
    ),
    "pictures": (
        "post has several pictures; encoder `album` reads them all, every other one the first",
        "posts have several pictures; encoder `album` reads them all, every other one the first",
    ),
    "groups": (
        "document has span groups, which are passed over, and no entities",
        "documents have span groups, which are passed over, and no entities",
    ),
    "elsewhere": (
        "label of another text, or of a paragraph, is left out",
        "labels of other texts, or of paragraphs, are left out",
    ),
    "CR LF": (
        "text has line ends of two characters (CR LF), which its offsets are taken to count as two",
        "texts have line ends of two characters (CR LF), which their offsets are taken to count as "
        "two",
    ),
    "empty": ("document without words is left out", "documents without words are left out"),
    "rejected": (
        "document that its annotator rejected or passed over is left out",
        "documents that their annotators rejected or passed over are left out",
    ),
    "utf-16": (
        "document counts offsets in UTF-16 units",
        "documents count offsets in UTF-16 units",
    ),
    "ambiguous": (
        "document can be read with offsets in characters or in UTF-16 units; look at it, and give "
        "--offsets characters or utf-16",
        "documents can be read with offsets in characters or in UTF-16 units; look at them, and "
        "give --offsets characters or utf-16",
    ),
    "nested": ("entity inside another is left out", "entities inside others are left out"),
    "dropped": ("entity that cuts a word is left out", "entities that cut a word are left out"),
    "widened": (
        "entity that cuts a word is widened to whole words",
        "entities that cut a word are widened to whole words",
    ),
}


class Named(NamedTuple):
    """A picture by its name, path or URL; with its encoded bytes where the file holds them."""

    name: str | None
    data: bytes | None = None


@dataclass
class Document:
    """One document as its file has it: running text with spans, or words with entities.

    Args:
        where: its place in the file, for messages.
        pictures: in order; where there is none, one may bear the document's id.
        faults: what is wrong with it, one line each.
        noticed: what is odd about it and can yet be read, as keys of ``_WORDING``.
        told: what a reader noticed of its file, by kind, with examples.
        by: whether its lines are sentences of their own.
        utf16: whether its tool counts UTF-16 units, where nothing in it tells.
    """

    where: str
    id: str | None = None
    text: str | None = None
    spans: Sequence[CharSpan] = ()
    words: Sequence[str] = ()
    entities: Sequence[Entity] = ()
    pictures: Sequence[Named] = ()
    caption: str | None = None
    language: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    noticed: list[str] = field(default_factory=list)
    told: Mapping[Kind, Sequence[str]] = field(default_factory=dict)
    by: By = "document"
    utf16: bool = False


@dataclass
class Sentence:
    """A document, or a line of one, as words with entities."""

    document: Document
    words: tuple[str, ...]
    entities: tuple[Entity, ...]
    number: int | None = None


@dataclass
class Conversion:
    """Makes sentences of documents, and keeps what was noticed and what is wrong.

    Args:
        offsets: what offsets count: code points, or UTF-16 units as JavaScript does; ``auto``:
            whichever fits the spans of a document better (the text that they repeat, else words'
            edges), where both fit alike what the other documents of its file count (see
            :meth:`look`), else what its tool counts.
        inside: what becomes of an entity that begins or ends inside a word: a fault, the whole
            words, or nothing.
        by: whether each line is a sentence of its own; None: as the format has it.
    """

    offsets: Offsets = "auto"
    inside: Inside = "refuse"
    by: By | None = None
    faults: list[str] = field(default_factory=list)
    noticed: dict[str, list[str]] = field(default_factory=dict)
    _usual: bool | None = None

    def look(self, documents: Iterable[Document]) -> None:
        """Find what the offsets of a file's documents count: their sentences come next."""
        told = Counter(
            utf16
            for each in documents
            if each.text is not None and (utf16 := tells(each.text, each.spans)) is not None
        )
        self._usual = None if told[True] == told[False] else told[True] > told[False]

    def sentences(self, document: Document) -> list[Sentence]:
        """The sentences of a document; its faults are kept."""
        self.faults += document.faults
        for kind in document.noticed:
            self.notice(kind, document.where)
        for kind, examples in document.told.items():
            self.noticed.setdefault(kind, []).extend(examples)
        if problem := unreadable(" ".join(_beside(document))):
            self.faults.append(f"{document.where}: a field beside the text holds {problem}")
            return []
        if document.text is None:
            if not document.words:
                if "rejected" not in document.noticed:
                    self.notice("empty", document.where)
                return []
            return [Sentence(document, tuple(document.words), tuple(document.entities))]
        if problem := unreadable(document.text):
            self.faults.append(f"{document.where}: the text holds {problem}")
            return []
        text, spans = document.text, self._spans(document)
        lines = [(0, len(text))]
        if (self.by or document.by) == "line":
            lines = [found.span() for found in re.finditer(r"[^\r\n]+", text)]
            spans = self._within_lines(document, spans)
        made: list[Sentence] = []
        for first, last in lines:
            own = [s for s in spans if s.start < last and s.end > first]
            words = [(w, a + first, b + first) for w, a, b in split_words(text[first:last])]
            if not words:
                if len(lines) == 1:
                    self.notice("empty", document.where)
                continue
            entities = self._entities(document, own, words)
            number = len(made) + 1 if len(lines) > 1 else None
            made.append(Sentence(document, tuple(w for w, _, _ in words), entities, number))
        return made

    def findings(self) -> list[str]:
        """One line for each kind of thing that was noticed."""
        wording: dict[str, tuple[str, str]] = {k: told[:2] for k, told in WORDING.items()}
        wording |= _WORDING
        return [
            f"{counted(len(places), *wording[kind])}: {some(dict.fromkeys(places))}"
            for kind, places in self.noticed.items()
        ]

    def notice(self, kind: str, where: str) -> None:
        """Keep that something of a kind was noticed in a place."""
        self.noticed.setdefault(kind, []).append(where)

    def _spans(self, document: Document) -> list[CharSpan]:
        """The spans by code points, without white space at their ends, none inside another."""
        text = document.text or ""
        spans = list(document.spans)
        if self._is_utf16(document, text, spans):
            self.notice("utf-16", document.where)
            places = places_of(text)
            for span in spans:
                if span.start not in places or span.end not in places:
                    beyond = max(span.start, span.end) > max(places) or span.start < 0
                    what = (
                        f"is out of range: the text has {max(places)} UTF-16 units"
                        if beyond
                        else "begins or ends inside a character of two UTF-16 units"
                    )
                    self._fault(document, span, what)
            spans = [s for s in spans if s.start in places and s.end in places]
            spans = by_code_points(text, spans)
        kept: list[CharSpan] = []
        for span in spans:
            label = clean(span.type)
            if not label:
                self._fault(document, span, "has no type that can be seen")
                continue
            if span.end <= span.start:
                self._fault(document, span, "is empty: its end does not lie behind its start")
                continue
            if not 0 <= span.start < span.end <= len(text):
                self._fault(document, span, f"is out of range: the text has {len(text)} characters")
                continue
            there = text[span.start : span.end]
            if span.said is not None and span.said.split() != there.split():
                self._fault(
                    document, span, f"repeats `{span.said[:60]}`, and the text there is `{there}`"
                )
                continue
            start = span.start + len(there) - len(there.lstrip())
            end = start + len(there.strip())
            if start >= end:
                self._fault(document, span, "covers nothing but white space")
                continue
            kept.append(CharSpan(start, end, label))
        return self._outermost(document, kept)

    def _within_lines(self, document: Document, spans: Sequence[CharSpan]) -> list[CharSpan]:
        kept = []
        for span in spans:
            if re.search(r"[\r\n]", (document.text or "")[span.start : span.end]):
                what = "goes over the end of a line; join the lines, or give --by document"
                self._fault(document, span, what)
            else:
                kept.append(span)
        return kept

    def _is_utf16(self, document: Document, text: str, spans: Sequence[CharSpan]) -> bool:
        if self.offsets != "auto" or by_code_points(text, spans) == spans:
            return self.offsets == "utf-16"
        told = tells(text, spans)
        if told is None and self._usual is None:
            self.notice("ambiguous", document.where)
            return document.utf16
        return bool(self._usual) if told is None else told

    def _outermost(self, document: Document, spans: Iterable[CharSpan]) -> list[CharSpan]:
        """Without doubles and without those inside another; crossing ones are faults."""
        kept: list[CharSpan] = []
        for span in sorted(dict.fromkeys(spans), key=lambda s: (s.start, -s.end)):
            before = kept[-1] if kept else None
            if before is None or span.start >= before.end:
                kept.append(span)
            elif (span.start, span.end) == (before.start, before.end):
                self._fault(document, span, f"is of the type {before.type}, too; keep one of them")
            elif span.end <= before.end:
                self.notice("nested", document.where)
            else:
                self._fault(
                    document,
                    span,
                    f"overlaps {before.start}–{before.end} ({before.type}); keep one of them",
                )
        return kept

    def _entities(
        self,
        document: Document,
        spans: Sequence[CharSpan],
        words: Sequence[tuple[str, int, int]],
    ) -> tuple[Entity, ...]:
        starts, ends = [w[1] for w in words], [w[2] for w in words]
        found: list[Entity] = []
        for span in spans:
            first = bisect.bisect_right(ends, span.start)
            last = bisect.bisect_left(starts, span.end)
            if first >= last:
                self._fault(document, span, "covers no word")
                continue
            exact = starts[first] >= span.start and ends[last - 1] <= span.end
            cut = " ".join(word for word, _, _ in words[first:last])
            if not exact and self.inside == "drop":
                self.notice("dropped", document.where)
                continue
            if not exact and self.inside == "refuse":
                self._fault(
                    document,
                    span,
                    f"cuts a word of `{cut}`; correct it, or give --inside expand or drop",
                )
                continue
            if not exact:
                self.notice("widened", document.where)
            if found and first < found[-1].end:
                self._fault(document, span, f"shares a word of `{cut}` with the entity before it")
                continue
            found.append(Entity(first, last, span.type))
        return tuple(found)

    def _fault(self, document: Document, span: CharSpan, what: str) -> None:
        self.faults.append(
            f"{document.where}: the entity {span.start}–{span.end} ({span.type}) {what}"
        )


def _beside(document: Document) -> Iterator[str]:
    """What a document says besides its words."""
    named = (picture.name for picture in document.pictures)
    told = (document.id, document.caption, document.language, *named)
    yield from (text for text in told if text)
    for key, value in document.extra.items():
        yield from (key, value)
    yield from (span.type for span in document.spans)
    yield from (entity.type for entity in document.entities)


def unreadable(text: str) -> str | None:
    """What no file of words can hold."""
    if "\0" in text:
        return "NUL characters; remove them"
    if not encodable(text):
        return "half of a surrogate pair, which is no character; export it again"
    return None
