"""Tag sequences and the entities they stand for.

BIO (IOB2), IOB1, BIOES, BILOU and I-only tags all read to the same spans. The lenient reading is
that of the CoNLL-2003 scorer (Tjong Kim Sang & De Meulder, 2003,
https://aclanthology.org/W03-0419); the strict one accepts well-formed entities only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

from zoo.types import Entity

Reading = Literal["lenient", "strict"]
Scheme = Literal["BIO", "BIOES"]

_PREFIXES = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S"}


@lru_cache(maxsize=4096)
def split_tag(tag: str) -> tuple[str, str]:
    """``B-PER`` to ``("B", "PER")``; L is given as E and U as S; ``O`` has the type "".

    Raises:
        ValueError: not a tag; the message says what is.
    """
    if tag == "O":
        return "O", ""
    prefix, dash, label = tag.partition("-")
    if not dash or not label or prefix not in _PREFIXES:
        raise ValueError(
            f"unknown tag `{tag}`; a tag is O, or one of B- I- E- S- L- U- and a type, as in B-PER"
        )
    return _PREFIXES[prefix], label


def scheme_of(tags: Iterable[str]) -> Scheme:
    """BIOES where any tag marks an end or a single word (E, S, L, U), else BIO."""
    return "BIOES" if any(split_tag(tag)[0] in "ES" for tag in tags) else "BIO"


def read_tags(
    tags: Sequence[str], reading: Reading = "lenient", scheme: Scheme | None = None
) -> list[Entity]:
    """The entities of one sentence, sorted by start.

    Lenient: B and S open an entity; I and E continue one of their own type and else open one
    (after O, or when the type changes); E and S close it. Strict: a BIO entity is a B and the I of
    the same type that follow; a BIOES entity is an S, or a B, any I and an E of one type; all else
    is ignored.

    Args:
        scheme: what ``strict`` measures by; by default what these very tags show. A file's
            sentences should be read by the scheme of the whole file.

    Raises:
        ValueError: something is not a tag.
    """
    strict = reading == "strict"
    must_end = strict and (scheme or scheme_of(tags)) == "BIOES"
    openers = "BS" if strict else "BSIE"
    entities: list[Entity] = []
    start, label = -1, ""  # the open entity; -1: there is none
    for i, tag in enumerate((*tags, "O")):
        if tag == "O" and start < 0:
            continue
        prefix, kind = split_tag(tag)
        if start >= 0 and not (prefix in "IE" and kind == label):
            if not must_end:
                entities.append(Entity(start, i, label))
            start = -1
        if start < 0 and prefix in openers:
            start, label = i, kind
        if start >= 0 and prefix in "ES":
            entities.append(Entity(start, i + 1, label))
            start = -1
    return entities


def write_tags(entities: Iterable[Entity], length: int, scheme: Scheme = "BIO") -> list[str]:
    """The tags of a sentence of ``length`` words; ``read_tags`` gives the entities back.

    Raises:
        ValueError: entities overlap, or reach out of the sentence.
    """
    tags = ["O"] * length
    end = 0
    for entity in sorted(entities):
        if not end <= entity.start < entity.end <= length:
            raise ValueError(f"{entity} overlaps another entity or leaves its {length} words")
        end = entity.end
        tags[entity.start : end] = [f"I-{entity.type}"] * (end - entity.start)
        tags[entity.start] = f"B-{entity.type}"
        if scheme == "BIOES":
            last = "S" if end - entity.start == 1 else "E"
            tags[end - 1] = f"{last}-{entity.type}"
    return tags
