"""Tag sequences and the entities they stand for.

BIO (IOB2), IOB1, BIOES, BILOU, BMES (its M is the I of BIOES), BMEW (its W is the S of BIOES) and
I-only tags all read to the same spans. The lenient reading is that of the CoNLL-2003 scorer (Tjong
Kim Sang & De Meulder, 2003, https://aclanthology.org/W03-0419); the strict one accepts well-formed
entities only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Literal

from zoo.files import uncollected
from zoo.types import Entity

Reading = Literal["lenient", "strict"]
Scheme = Literal["BIO", "BIOES"]

_PREFIXES = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S", "M": "I", "W": "S"}


@cache
def split_tag(tag: str) -> tuple[str, str]:
    """``B-PER`` to ``("B", "PER")``; L is given as E, U and W as S, M as I; ``O`` has the type "".

    Raises:
        ValueError: not a tag; the message says what is.
    """
    if tag == "O":
        return "O", ""
    prefix, dash, label = tag.partition("-")
    if not dash or not label or prefix not in _PREFIXES:
        raise ValueError(
            f"unknown tag `{tag}`; a tag is O, or one of B- I- E- S- L- U- M- W- and a type, "
            f"as in B-PER"
        )
    return _PREFIXES[prefix], label


def is_tag(text: str) -> bool:
    """Whether a text is a tag; see :func:`split_tag`."""
    try:
        split_tag(text)
    except ValueError:
        return False
    return True


class _Traits(dict[str, tuple[str, bool, bool]]):
    """What reading needs to know of a tag: its type, whether it is an I or E, an E or S.

    A dictionary that fills itself: a look-up takes half as long as a call of a cached function.
    """

    def __missing__(self, tag: str) -> tuple[str, bool, bool]:
        prefix, label = split_tag(tag)
        self[tag] = label, prefix in "IE", prefix in "ES"
        return self[tag]


_TRAITS = _Traits()


# What Entity(…) comes down to, without its Python layer: reading tags does little else.
_new: Callable[[type[Entity], tuple[int, int, str]], Entity] = tuple.__new__


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
    if tags.count("O") == len(tags):
        return []
    strict = reading == "strict"
    entities: list[Entity] = []
    start, end, label = 0, -1, ""  # the open entity; end is -1 where there is none
    marked = False  # these tags mark ends
    places = [i for i, tag in enumerate(tags) if tag != "O"]
    for i in places:
        kind, inner, last = _TRAITS[tags[i]]
        if inner and i == end and kind == label:
            end += 1
        else:
            if end > 0:
                entities.append(_new(Entity, (start, end, label)))
            if inner and strict:
                end = -1
            else:
                start, end, label = i, i + 1, kind
        if last:
            marked = True
            if end > 0:
                entities.append(_new(Entity, (start, end, label)))
                end = -1
    if end > 0:
        entities.append(_new(Entity, (start, end, label)))
    if strict and (scheme == "BIOES" or (marked and scheme is None)):
        return [entity for entity in entities if _TRAITS[tags[entity.end - 1]][2]]
    return entities


def read_all(
    sentences: Iterable[Sequence[str]], reading: Reading = "lenient", scheme: Scheme | None = None
) -> list[list[Entity]]:
    """:func:`read_tags` of many sentences, in half of the time."""
    with uncollected():
        return [read_tags(tags, reading, scheme) for tags in sentences]


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
