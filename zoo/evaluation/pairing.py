"""Entities of two files, sentence by sentence: files of tags, of samples, of predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from zoo.data.blocks import read_blocks
from zoo.data.files import Ids, read_lines
from zoo.data.jsonl import read_record, read_sample
from zoo.data.pictures import PictureFolder
from zoo.data.records import own_form, refused
from zoo.errors import DataError, invisible
from zoo.evaluation.predictions import read_predictions
from zoo.tags import Reading, read_tags, scheme_of
from zoo.types import Entity

Role = Literal["gold", "predicted"]
Entities = Sequence[Entity]


@dataclass(frozen=True, slots=True)
class Sentence:
    """What a file says of a sentence: ``where`` it stands (file:line), its ``id`` where it has one,
    its ``words`` where they are there, and its ``gold`` entities where the file holds gold and
    predicted ones. ``written``: the id as the file has it, where it repeats."""

    where: str
    id: str | None
    words: Sequence[str] | None
    entities: Entities
    language: str | None = None
    gold: Entities | None = None
    written: str | None = None


def paired(
    gold: Path, pred: Path, tags: Reading = "lenient"
) -> tuple[list[Entities], list[Entities], list[str | None] | None]:
    """Gold and predicted entities of each sentence, in gold's order, and the languages, if any.

    Each file may be one of tags (as reader ``bio`` takes it), of samples (as reader ``jsonl``
    does, or ``zoo predict --json`` writes), or of stored predictions, of which GOLD gives its gold
    and PRED what it predicted; so such a file may be scored against itself. Sentences are paired
    by id where all have one, else by order.

    Args:
        tags: how tag files are read into entities.

    Raises:
        DataError: a file is missing or malformed, the two don't hold the same sentences, both hold
            gold entities that differ, or GOLD holds predictions while PRED holds none; names file
            and line.
    """
    wanted, found = read_entities(gold, "gold", tags), read_entities(pred, "predicted", tags)
    if wanted[0].gold is not None and found[0].gold is None:
        raise DataError(
            f"{gold}: it holds predictions, and {pred} does not: are the two swapped? "
            "The gold file comes first"
        )
    named = all(sentence.id is not None for sentence in chain(wanted, found))
    if named:
        found = _by_id(wanted, found, gold, pred)
    elif len(wanted) != len(found):
        raise DataError(
            f"{pred}: {len(found)} sentences, but {len(wanted)} in {gold}; without ids they are "
            f"paired by order, so give both files the same sentences"
        )
    else:
        for one, two in zip(wanted, found, strict=True):
            _check_words(one, two, "without ids sentences are paired by order")
    for one, two in zip(wanted, found, strict=True):
        _check_lengths(one, two)
        if named:
            _check_words(one, two, "the two have the same id")
        if one.gold is not None and two.gold is not None and set(one.gold) != set(two.gold):
            raise DataError(
                f"{two.where}: its gold entities are not those of {one.where}; the two were made "
                "from different data"
            )
    languages = [one.language or two.language for one, two in zip(wanted, found, strict=True)]
    return (
        [sentence.entities for sentence in wanted],
        [sentence.entities for sentence in found],
        languages if any(languages) else None,
    )


def read_entities(file: Path, role: Role, tags: Reading = "lenient") -> list[Sentence]:
    """The sentences of a file of any of the three formats, found by looking.

    Args:
        role: which entities of stored predictions are meant; of no meaning for other files.

    Raises:
        DataError: the file is missing or malformed; names file and line.
    """
    lines = read_lines(file)
    first = next(line for line in lines if not invisible(line))
    keys = _keys(first)
    if keys is None and file.suffix != ".jsonl":
        return list(_of_tags(file, tags))
    if keys and keys & {"gold", "predicted"}:
        return list(_of_predictions(file, role))
    return list(_of_samples(file, lines))


def _keys(line: str) -> set[str] | None:
    """The keys of a line that is a JSON object; None for any other line."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return set(record) if isinstance(record, dict) else None


def _of_tags(file: Path, reading: Reading) -> Iterator[Sentence]:
    blocks, ids = read_blocks(file), Ids()
    scheme = scheme_of(set(chain.from_iterable(block.tags for block in blocks)))
    for block in blocks:
        id = None if block.id is None else ids.unique(block.id, "")
        entities = read_tags(block.tags, reading, scheme)
        yield Sentence(f"{file}:{block.line}", id, block.words, entities, written=block.id)


def _of_samples(file: Path, lines: Sequence[str]) -> Iterator[Sentence]:
    ids, none = Ids(), PictureFolder(file / "none")
    for number, line in enumerate(lines, 1):
        where = f"{file}:{number}"
        if invisible(line):
            continue
        read = read_record(line, where)
        if refused(read):
            continue
        record = own_form(read, where)
        record.pop("image", None)  # no number depends on it
        spans = record.get("entities")
        if "words" in record and isinstance(spans, list) and all(map(_of_words, spans)):
            record.pop("text", None)
        sample = read_sample(record, where, none, where)
        written = sample.id if "id" in record else None
        id = None if written is None else ids.unique(written, "")
        yield Sentence(where, id, sample.words, sample.entities, sample.language, written=written)


def _of_words(span: Mapping[str, Any]) -> bool:
    """Whether a span beside a text and words is one of words: from tags, or with its words, as
    `zoo predict` writes it."""
    return span.get("text", "") is not None


def _of_predictions(file: Path, role: Role) -> Iterator[Sentence]:
    for number, stored in enumerate(read_predictions(file), 1):
        entities = stored.gold if role == "gold" else [each.entity for each in stored.predicted]
        yield Sentence(f"{file}:{number}", stored.id, None, entities, stored.language, stored.gold)


def _by_id(
    wanted: Sequence[Sentence], found: Sequence[Sentence], gold: Path, pred: Path
) -> list[Sentence]:
    """The predicted sentences in the order of the gold ones."""
    left, right = _named(wanted), _named(found)
    if left.keys() != right.keys() and _in_order(wanted, found):
        return list(found)
    if not left.keys() & right.keys():
        # A dataset of several languages puts `<language>/` before the ids of its files.
        left, right = _named(wanted, bare=True), _named(found, bare=True)
    for here, there, file in ((left, right, pred), (right, left, gold)):
        lacking = [id for id in here if id not in there]
        if lacking:
            more = f" (nor are {len(lacking) - 1} more)" if len(lacking) > 1 else ""
            raise DataError(
                f"{here[lacking[0]].where}: the id `{lacking[0]}` is not in {file}{more}; "
                f"give both files the same sentences"
            )
    return [right[id] for id in left]


def _in_order(wanted: Sequence[Sentence], found: Sequence[Sentence]) -> bool:
    """Whether two files hold the same ids in the same order, but for the numbers that a dataset
    gives those which occur in an earlier split, too."""
    return len(wanted) == len(found) and all(
        _numbered(one, two) or _numbered(two, one) for one, two in zip(wanted, found, strict=True)
    )


def _numbered(one: Sentence, two: Sentence) -> bool:
    """Whether the second has the id that is written in the first, or that and a number."""
    id = str(two.id).removeprefix(f"{two.language}/")
    before, _, number = id.rpartition("-")
    return one.written == id or (one.written == before and number.isdecimal() and int(number) > 1)


def _named(sentences: Sequence[Sentence], bare: bool = False) -> dict[str, Sentence]:
    """Sentences by id; ``bare`` leaves out the language before it, unless that makes two equal."""
    whole = {str(sentence.id): sentence for sentence in sentences}
    if not bare:
        return whole
    short = {id.removeprefix(f"{each.language}/"): each for id, each in whole.items()}
    return short if len(short) == len(whole) else whole


def _check_words(gold: Sentence, pred: Sentence, why: str) -> None:
    """Raises DataError where sentences that are paired are not the same; ``why`` they are."""
    for here, there in zip(gold.words or (), pred.words or (), strict=False):
        if here != there and _bare(here) != _bare(there):
            raise DataError(
                f"{pred.where}: the word `{there}`, but `{here}` in {gold.where}; {why}, so give "
                "both files the same ones"
            )


def _bare(word: str) -> str:
    """A word without what formats of files change: white space and case."""
    return "".join(word.split()).casefold()


def _check_lengths(gold: Sentence, pred: Sentence) -> None:
    if gold.words is not None and pred.words is not None and len(gold.words) != len(pred.words):
        raise DataError(
            f"{pred.where}: {len(pred.words)} words, but {len(gold.words)} in {gold.where}; "
            f"give both files the same sentences with the same words"
        )
    for one, other in ((gold, pred), (pred, gold)):
        end = max((entity.end for entity in one.entities), default=0)
        if other.words is not None and end > len(other.words):
            raise DataError(
                f"{one.where}: an entity ends after word {end}, but {other.where} has "
                f"{len(other.words)} words; give both files the same sentences"
            )
