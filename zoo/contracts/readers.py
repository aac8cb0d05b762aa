"""The contract of readers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from zoo.build import make
from zoo.contracts.common import described
from zoo.contracts.examples import example_files
from zoo.contracts.inputs import Subject
from zoo.errors import DataError
from zoo.types import Sample

SPLITS = ["train", "dev", "test"]


def returned(subject: Subject) -> Iterator[str]:
    """its splits"""
    splits = subject.build().read()
    if not isinstance(splits, dict) or list(splits) != SPLITS:
        got = ", ".join(map(str, splits)) if isinstance(splits, dict) else described(splits)
        yield f"`read` returns {got}, not a dict of train, dev and test in this order"
        return
    for split, samples in splits.items():
        if not isinstance(samples, list) or not samples:
            yield f"`read`: {split} is no list of samples, or an empty one"
        elif not all(type(sample) is Sample for sample in samples):
            yield f"`read`: {split} holds something that is no zoo.types.Sample"


def samples(subject: Subject) -> Iterator[str]:
    """its samples"""
    splits = subject.build().read()
    everything = [sample for each in splits.values() for sample in each]
    if len({sample.id for sample in everything}) < len(everything):
        yield "an id occurs twice"
    if not any(sample.entities for sample in everything):
        yield "no sample has an entity"
    for sample in everything:
        faults = list(_sample(sample))
        yield from faults
        if faults:
            return


def _sample(sample: Sample) -> Iterator[str]:
    at, words, entities = f"sample {sample.id!r}", sample.words, sample.entities
    if not words or not all(isinstance(word, str) and word for word in words):
        yield f"{at}: no words, or an empty one"
    if not isinstance(words, tuple) or not isinstance(entities, tuple):
        yield f"{at}: words and entities are to be tuples"
        return
    if not all(0 <= e.start < e.end <= len(words) and e.type for e in entities):
        yield f"{at}: an entity lies outside the sentence, or has no type"
    elif list(entities) != sorted(entities):
        yield f"{at}: entities are not sorted by their start"
    elif any(one.end > other.start for one, other in pairwise(entities)):
        yield f"{at}: entities overlap"
    if sample.caption is not None and not sample.caption.strip():
        yield f"{at}: the caption is blank; where there is none it is None"
    if sample.picture and sample.picture.open().mode != "RGB":
        yield f"{at}: the picture does not open as RGB"


def twice(subject: Subject) -> Iterator[str]:
    """reading twice"""
    built = subject.build()
    if not _same([built.read(), built.read(), subject.build().read()]):
        yield "reading again gives other samples"


def _same(made: Sequence[Any]) -> bool:
    return all(each == made[0] for each in made)


def absent(subject: Subject) -> Iterator[str]:
    """files that are not there"""
    if not example_files(subject.cls):
        return
    with TemporaryDirectory() as folder:
        root = Path(folder)
        try:
            made = make(subject.spec, {"root": root}, root).read()
        except DataError:
            return
        except Exception as error:  # whatever the part's own code raises
            yield (
                f"files that are not there: `read` raises {type(error).__name__}, not a "
                "zoo.errors.DataError that names the file"
            )
        else:
            if made == subject.build().read():
                return  # it reads from another place than the root
            yield "files that are not there are no error: `read` has to raise a DataError"


CHECKS = (samples, twice, absent)
