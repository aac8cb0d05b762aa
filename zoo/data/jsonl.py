"""Reader ``jsonl``: a JSON object a sentence; and the writer of the same format."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from zoo.data.blocks import NOTHING
from zoo.data.files import (
    SPLITS,
    Ids,
    Lines,
    Split,
    clean,
    dataset_folder,
    map_types,
    parse_json,
    split_files,
    text_of,
)
from zoo.data.findings import Notice, Tally, ignore
from zoo.data.offsets import Units
from zoo.data.pictures import PictureFolder
from zoo.data.records import own_form, refused, span_of
from zoo.data.splitting import completed
from zoo.data.text import split_words
from zoo.errors import DataError, invisible, near
from zoo.files import uncollected
from zoo.registry import register
from zoo.types import Entity, Picture, Sample, Splits

KEYS = ("id", "words", "text", "entities", "image", "caption", "language")


@register("reader", "jsonl")
class Jsonl:
    """A folder of JSONL files: ``{"words" | "text", "entities": [{"start", "end", "type"}], …}``.

    Entities are offsets, ``end`` exclusive: of ``words``, or of the characters of ``text``, which
    is split into words without a look at the entities (see :func:`zoo.data.text.split_words`);
    white space at an entity's ends belongs to no word. ``id`` (else ``<split>-<line>``), ``image``
    (a file name or id; of a list all that are there), ``caption`` and ``language`` may be
    there; every other field is text for ``Sample.extra``. What doccano, Prodigy and Hugging Face
    datasets write is read as well (see :mod:`zoo.data.records`); records that Prodigy's annotator
    rejected or passed over are left out, and counted.

    Args:
        root: the folder that data paths are relative to.
        path: the folder with train.jsonl, dev.jsonl (valid, val, validation) and test.jsonl; or
            one file, of which the splits are made (see :func:`zoo.data.splitting.completed`).
        images: the folder of the pictures, in that folder; it need not be there.
        labels: entity types to rename, applied after reading.
        splits: file names where they are others.
        tag_names: the tags that numbers in ``ner_tags`` stand for, in order.
    """

    example: ClassVar[dict[str, Any]] = {"path": "posts"}
    example_files: ClassVar[dict[str, str]] = {
        f"posts/{split}.jsonl": '{"words": ["Ada", "writes"], "caption": "a woman at a desk", '
        '"entities": [{"start": 0, "end": 1, "type": "PER"}]}\n'
        for split in SPLITS
    }

    def __init__(
        self,
        root: Path,
        *,
        path: str,
        images: str = "images",
        labels: dict[str, str] | None = None,
        splits: dict[Split, str] | None = None,
        tag_names: list[str] | None = None,
    ) -> None:
        self._root = root
        self._path = path
        self._images = images
        self._labels = labels or {}
        self._names = splits
        self._tag_names = tag_names

    @uncollected()
    def read(self) -> Splits:
        """Train, dev and test, in file order.

        Raises:
            DataError: a file is missing, empty or malformed; names the file and the line. Or no
                picture of the folder is of a sentence.
        """
        folder = dataset_folder(self._root, self._path)
        pictures = PictureFolder(folder / self._images)
        splits: Splits = {}
        ids, tally = Ids(), Tally()
        place = self._root / self._path
        for split, file in split_files(place, (".jsonl",), self._names, whole=False).items():
            tally.split = split
            samples = splits[split] = []
            left_out, units = 0, Units()
            for number, line in enumerate(Lines(text_of(file)), 1):
                if invisible(line):
                    continue
                where = f"{file}:{number}"
                record = read_record(line, where)
                if refused(record):
                    left_out += 1
                    tally("rejected", where.rpartition("/")[2])
                    continue
                record = own_form(record, where, self._tag_names, tally)
                sample = read_sample(record, f"{split}-{number}", pictures, where, tally)
                if (id := ids.unique(sample.id, split, tally)) != sample.id:
                    sample = replace(sample, id=id)
                if "id" not in record:
                    tally.made_ids.add(id)
                for _ in range(len(_images(record, where)) - len(sample.pictures)):
                    tally("picture absent", id)
                    if sample.picture is None:
                        tally.absent.add(id)
                if isinstance(text := record.get("text"), str):
                    spans = [span_of(each, where) for each in record["entities"]]
                    units.look(text, spans, where.rpartition("/")[2])
                samples.append(sample)
            if not samples:
                raise DataError(
                    f"{file}: no sentence in there: all {left_out} records were rejected or "
                    "ignored; export the accepted ones, too"
                )
            for where in units.doubtful():
                tally("UTF-16", where)
        pictures.check()
        return tally.read(map_types(completed(splits, tally), self._labels, folder))


def write_jsonl(
    path: Path,
    samples: Iterable[Sample],
    images: Path | None = None,
    without: Set[str] = frozenset(),
) -> None:
    """Writes samples so that reader ``jsonl`` gives the same back.

    A picture is written as its name, several as a list; where ``images`` is given, their bytes go
    into that folder. Ids of ``without`` are not written: the reader makes others up.

    Raises:
        ValueError: a key of ``Sample.extra`` is one of the format's own.
        OSError: a file can't be written or a picture can't be read.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for sample in samples:
            if taken := sorted(sample.extra.keys() & set(KEYS)):
                raise ValueError(f"sample {sample.id}: extra `{taken[0]}` is a field of the format")
            names = [picture.name for picture in sample.pictures]
            record = {
                "id": None if sample.id in without else sample.id,
                "words": sample.words,
                "entities": [entity._asdict() for entity in sample.entities],
                "image": names if len(names) > 1 else next(iter(names), None),
                "caption": sample.caption,
                "language": sample.language,
                **sample.extra,
            }
            line = {key: value for key, value in record.items() if value is not None}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            if images is not None:
                for picture in sample.pictures:
                    _write_picture(images, picture)


def _write_picture(images: Path, picture: Picture) -> None:
    file = images / picture.name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(picture.read())


def read_record(line: str, where: str) -> dict[str, Any]:
    record = parse_json(line, where, "write one object a line")
    if not isinstance(record, dict):
        raise DataError(f'{where}: not an object; write {{"words": […], "entities": […]}}')
    return record


def read_sample(
    record: Mapping[str, Any],
    default_id: str,
    pictures: PictureFolder,
    where: str,
    notice: Notice = ignore,
) -> Sample:
    extra = {key: value for key, value in record.items() if key not in KEYS and value is not None}
    for key, value in extra.items():
        if not isinstance(value, str):
            raise DataError(f"{where}: `{key}` is no field, nor text for one more{near(key, KEYS)}")
    id = record.get("id", default_id)
    if isinstance(id, bool) or not isinstance(id, str | int) or id == "":
        raise DataError(f"{where}: `id` must be text or a whole number; or leave it out")
    words, starts, ends = _words(record, where, notice)
    found = [picture for name in _images(record, where) if (picture := pictures.find(name, where))]
    if len(found) > 1:
        notice("several pictures", str(id))
    return Sample(
        id=str(id),
        words=words,
        entities=_entities(record, words, starts, ends, where, notice),
        language=_text(record, "language", where),
        picture=found[0] if found else None,
        more_pictures=tuple(found[1:]),
        caption=_text(record, "caption", where),
        extra=extra,
    )


def _images(record: Mapping[str, Any], where: str) -> list[str]:
    """The names of a sentence's pictures."""
    image = record.get("image")
    images = image if isinstance(image, list) else [image]
    for each in images:
        if isinstance(each, bool) or not isinstance(each, str | int | None):
            raise DataError(f"{where}: `image` must be a file name, or a list of them")
    return [str(each) for each in images if each is not None and str(each).strip()]


Offsets = Mapping[int, int]


def _words(
    record: Mapping[str, Any], where: str, notice: Notice
) -> tuple[tuple[str, ...], Offsets, Offsets]:
    """The words, and what offset in the file stands for the start and for the end of which."""
    if ("words" in record) == ("text" in record):
        raise DataError(f"{where}: give the sentence as either `words` or `text`")
    if "words" in record:
        words = record["words"]
        if not isinstance(words, list) or not all(isinstance(w, str) and w for w in words):
            raise DataError(f"{where}: `words` must be a list of words, none of them empty")
        offsets = {i: i for i in range(len(words) + 1)}
        starts, ends = offsets, offsets
    else:
        if not isinstance(record["text"], str):
            raise DataError(f"{where}: `text` must be text; give a list of words as `words`")
        found = split_words(record["text"])
        words = [word for word, _, _ in found]
        starts = {start: i for i, (_, start, _) in enumerate(found)}
        ends = {end: i for i, (_, _, end) in enumerate(found, 1)}
        if "\ufeff" in record["text"]:  # no character of a word, but it counts as one of the text
            notice("byte order mark", where.rpartition("/")[2])
    if not words:
        raise DataError(f"{where}: a sentence without words; remove the line")
    if any("\ufeff" in word for word in words):
        notice("byte order mark", where.rpartition("/")[2])
        words = [word.replace("\ufeff", "") or NOTHING for word in words]
    return tuple(map(sys.intern, words)), starts, ends


def _entities(
    record: Mapping[str, Any],
    words: Sequence[str],
    starts: Offsets,
    ends: Offsets,
    where: str,
    notice: Notice,
) -> tuple[Entity, ...]:
    given = record.get("entities")
    if not isinstance(given, list):
        raise DataError(f"{where}: `entities` must be a list; write [] where there is none")
    text = record.get("text")
    entities = []
    for item in given:
        start, end, label, said = span_of(item, where)
        kept = clean(label)
        if kept != label:
            notice("invisible in tag", f"`{label}`")
        if not kept:
            raise DataError(f"{where}: the entity {start}–{end} has no type that can be seen")
        inner = _without_blanks(text, start, end) if isinstance(text, str) else (start, end)
        if inner != (start, end):
            notice("blank in span", where.rpartition("/")[2])
        first, last = inner
        if first not in starts or last not in ends or starts[first] >= ends[last]:
            raise DataError(
                f"{where}: the entity {start}–{end} ({label}) is out of range or not on words' "
                f"edges{_inside(text, start, end)}; `end` is exclusive, offsets count words of "
                f"`words` and characters of `text`; give `words` to part them elsewhere"
            )
        there = (
            text[start:end]
            if isinstance(text, str)
            else " ".join(words[starts[first] : ends[last]])
        )
        if said is not None and _bare(said) != _bare(there):
            raise DataError(
                f"{where}: the entity {start}–{end} ({label}) repeats `{said[:60]}`, and the text "
                f"there is `{there}`; correct one of them"
            )
        entities.append(Entity(starts[first], ends[last], sys.intern(kept)))
    entities.sort()
    for left, right in pairwise(entities):
        if right.start < left.end:
            raise DataError(
                f"{where}: entities overlap at word {right.start} ({left.type}, {right.type}); "
                f"keep one of them"
            )
    return tuple(entities)


def _bare(text: str) -> str:
    """A text without white space and byte order marks, for a comparison."""
    return "".join(text.replace("\ufeff", "").split())


def _inside(text: Any, start: int, end: int) -> str:
    """The words that a span of a text cuts, for a message."""
    if not isinstance(text, str):
        return ""
    cut = [word for word, first, last in split_words(text) if first < end and last > start]
    return f" (`{text[start:end]}` in `{' '.join(cut)}`)" if cut and 0 <= start < end else ""


def _without_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    """The offsets without white space and byte order marks at the ends, if they are in range."""
    if 0 <= start < end <= len(text):
        while start < end and (text[end - 1].isspace() or text[end - 1] == "\ufeff"):
            end -= 1
        while start < end and (text[start].isspace() or text[start] == "\ufeff"):
            start += 1
    return start, end


def _text(record: Mapping[str, Any], key: str, where: str) -> str | None:
    """A text field; None where it is absent or blank."""
    value = record.get(key)
    if not isinstance(value, str | None):
        raise DataError(f"{where}: `{key}` must be text; or leave it out")
    return value if value and value.strip() else None
