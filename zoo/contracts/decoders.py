"""The contract of decoders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any

import torch

from zoo.contracts.common import described, losses, tensor
from zoo.contracts.inputs import (
    GOLD,
    LENGTHS,
    Subject,
    make_sentences,
    make_spans,
    make_text,
    make_units,
    near,
    text_rows,
    unit_rows,
)
from zoo.errors import DataError
from zoo.types import Entity, ScoredEntity, Units

BATCHES = (LENGTHS, (1, 200), (1,))
"""Lengths of the sentences that are decoded together."""


def returned(subject: Subject) -> Iterator[str]:
    """units, losses and entities"""
    for mode in (True, False):
        built = subject.build().train(mode)
        words = make_units("token")
        units = make_spans(built, words=words)
        faults = list(_units(built, units, words))
        if not faults:
            for gold in (GOLD, [()] * len(GOLD)):
                made = built.loss(units, make_text(), gold)
                faults += [fault for fault in losses(built, made) if fault not in faults]
                if not made:
                    faults.append("`loss` returns no loss")
        if not faults:
            faults += _entities(built.decode(units, make_text()), LENGTHS, subject.known["types"])
        yield from faults
        if faults:
            return


def _units(built: Any, units: Any, words: Units) -> Iterator[str]:
    if type(units) is not Units:
        yield f"`units` returns {described(units)}, not a zoo.types.Units"
        return
    batch, _, width = words.vectors.shape
    faults = [
        *tensor(units.vectors, "units: vectors", (batch, None, width), "(B, U, D of the words)"),
        *tensor(units.mask, "units: mask", (batch, None), "(B, U)"),
        *tensor(units.spans, "units: spans", (*units.mask.shape, 2), "(B, U, 2)"),
    ]
    yield from faults
    if faults:
        return
    if units.spans.dtype != torch.int64 or units.mask.dtype != torch.bool:
        yield f"units: mask is {units.mask.dtype} and spans {units.spans.dtype}, not bool and int64"
        return
    if units.spans[~units.mask].any():
        yield "units: spans are not (0, 0) on padding"
    for row, length in enumerate(words.mask.sum(1).tolist()):
        spans = [tuple(span) for span in units.spans[row][units.mask[row]].tolist()]
        if not all(0 <= start < end <= length for start, end in spans):
            yield f"units: a span lies outside its sentence of {length} words"
        elif len(set(spans)) < len(spans):
            yield "units: a span occurs twice in a sentence"
        elif {word for span in spans for word in range(*span)} != set(range(length)):
            yield "units: a word is in no span"
        elif built.classifies == "token" and spans != [(i, i + 1) for i in range(length)]:
            yield "units: `classifies` is `token`, and the units are not the words in their order"
        else:
            continue
        return


def _entities(found: Any, lengths: Sequence[int], types: Sequence[str]) -> Iterator[str]:
    """What is wrong with decoded entities; the first fault alone."""
    if not isinstance(found, list) or len(found) != len(lengths):
        yield f"`decode` returns {described(found)}, not a list of entities for each sentence"
        return
    for length, row in zip(lengths, found, strict=True):
        if not all(isinstance(entity, ScoredEntity) for entity in row):
            yield "`decode`: an entity is no zoo.types.ScoredEntity"
        elif list(row) != sorted(row):
            yield "`decode`: entities are not sorted by their start"
        elif not all(0 <= e.start < e.end <= length for e in row):
            yield f"`decode`: an entity lies outside its sentence of {length} words"
        elif not all(one.end <= other.start for one, other in pairwise(row)):
            yield "`decode`: entities overlap"
        elif not all(0 <= e.score <= 1 for e in row):
            yield "`decode`: a score is not a probability (0 to 1)"
        elif not all(e.type in types for e in row):
            yield "`decode`: an entity's type is none of the types"
        else:
            continue
        return


def decoding(subject: Subject) -> Iterator[str]:
    """decoding of short and long sentences"""
    found = 0
    for lengths in BATCHES:
        for seed in range(4):
            built = subject.build(seed).eval()
            words = make_units("token", lengths, seed=seed)
            words = replace(words, vectors=words.vectors * 5)
            rows = built.decode(make_spans(built, lengths, words=words), make_text(lengths))
            faults = list(_entities(rows, lengths, subject.known["types"]))
            yield from faults
            if faults:
                return
            found += sum(map(len, rows))
    if not found:
        yield "`decode` finds no entity in any of 12 batches under random weights"


def unknown_type(subject: Subject) -> Iterator[str]:
    """a gold entity of an unknown type"""
    built = subject.build()
    gold = [(Entity(0, 1, "PERSON"),), *[()] * (len(GOLD) - 1)]
    try:
        built.loss(make_spans(built), make_text(), gold)
    except DataError as error:
        if "PERSON" not in str(error):
            yield "a gold entity of an unknown type: the DataError does not name the type"
    except Exception as error:  # whatever the part's own code raises
        yield (
            f"a gold entity of an unknown type: `loss` raises {type(error).__name__}, not a "
            "zoo.errors.DataError that names the type"
        )
    else:
        yield "a gold entity of an unknown type is no error: `loss` has to raise a DataError"


def padding(subject: Subject) -> Iterator[str]:
    """content of units that are padding"""
    built = subject.build().eval()
    units, text = make_spans(built), make_text()
    other = replace(units, vectors=torch.where(units.mask.unsqueeze(-1), units.vectors, 7.0))
    with torch.no_grad():
        one, two = (built.loss(each, text, GOLD) for each in (units, other))
        first, second = (built.decode(each, text) for each in (units, other))
    for name, loss in one.items():
        if not near(loss, two[name]):
            yield f"loss `{name}` reads units that are padding"
    if not _same(first, second):
        yield "`decode` reads units that are padding"


def neighbours(subject: Subject) -> Iterator[str]:
    """each sentence alone, and the batch reversed"""
    built, words, text = subject.build().eval(), make_units("token"), make_text()
    sentences, back = make_sentences(), [*range(len(LENGTHS))][::-1]
    with torch.no_grad():
        units = built.units(words, text, sentences)
        together = built.decode(units, text)
        turned = unit_rows(words, back), text_rows(text, back), [sentences[i] for i in back]
        again = built.units(*turned)
        reverse, losses_ = built.decode(again, turned[1]), built.loss(units, text, GOLD)
        others = built.loss(again, turned[1], [GOLD[i] for i in back])
        for i, length in enumerate(LENGTHS):
            said = text_rows(text, [i], length)
            one = built.units(unit_rows(words, [i], words.mask[i]), said, [sentences[i]])
            (alone,) = built.decode(one, said)
            kept = units.mask[i]
            if (
                not near(one.vectors[0][one.mask[0]], units.vectors[i][kept])
                or not _same([alone], [together[i]])
                or not _same([reverse[back.index(i)]], [together[i]])
            ):
                yield (
                    "a sentence's entities change with the other sentences of the batch (scores by "
                    "more than 1e-5): padding is read, or rows are mixed"
                )
                return
    if not all(near(loss, others[name]) for name, loss in losses_.items()):
        yield "its losses change with the order of the batch"


def _same(first: list[list[ScoredEntity]], second: list[list[ScoredEntity]]) -> bool:
    """Whether the entities are equal, and their scores but for the order of sums."""
    return [len(row) for row in first] == [len(row) for row in second] and all(
        a.entity == b.entity and abs(a.score - b.score) <= 1e-5
        for a, b in zip(chain(*first), chain(*second), strict=True)
    )


def fused_width(subject: Subject) -> Iterator[str]:
    """units that a fuser has made wider"""
    wide = 24
    token = subject.cls.classifies == "token"  # type: ignore[attr-defined]
    built = subject.build(0, True, fused=wide, **({"width": wide} if token else {}))
    units = make_spans(built, width=wide if token else 16)
    units = replace(units, vectors=torch.randn(*units.mask.shape, wide), last=None)
    made = built.loss(units, make_text(), GOLD)
    if not all(loss.isfinite() for loss in made.values()):
        yield "units that a fuser has made wider give a loss that is not finite"
    yield from _entities(built.decode(units, make_text()), LENGTHS, subject.known["types"])


CHECKS = (decoding, unknown_type, padding, neighbours, fused_width)
