"""The contract of fusers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from zoo.contracts.common import announced, announced_width, described, losses, tensor
from zoo.contracts.inputs import (
    LENGTHS,
    PRESENT,
    Subject,
    disguised,
    make_units,
    make_views,
    near,
    padded,
    tensors,
    unit_rows,
    view_rows,
)
from zoo.types import Units

ABSENT = [i for i, there in enumerate(PRESENT) if not there]
"""The sentences without a picture."""


def returned(subject: Subject) -> Iterator[str]:
    """a batch of units"""
    for mode in (True, False):
        built = subject.build().train(mode)
        units = make_units(getattr(built, "level", "token"))
        faults = list(_returned(built, built(units, make_views()), units))
        yield from faults
        if faults:
            return


def _returned(built: Any, made: Any, units: Units) -> Iterator[str]:
    if type(made) is not Units:
        yield f"forward returns {described(made)}, not a zoo.types.Units"
        return
    yield from tensor(made.vectors, "vectors", (*units.mask.shape, None), "(B, U, D)")
    yield from announced(made.vectors, "vectors", announced_width(built))
    for name in ("mask", "spans"):
        came, back = getattr(units, name), getattr(made, name)
        if not isinstance(back, Tensor) or not torch.equal(came, back):
            yield f"`{name}` is not the one that came in"
    yield from losses(built, made.losses)


def picture(subject: Subject) -> Iterator[str]:
    """two different pictures"""
    built = subject.build().eval()
    units = make_units(built.level)
    with torch.no_grad():
        one, other = (built(units, make_views(seed=seed)).vectors for seed in (1, 2))
    if near(one[0, 0], other[0, 0]):
        yield "another picture gives the same units: the picture has no effect"


def missing(subject: Subject) -> Iterator[str]:
    """content where masks are empty"""
    built, views = subject.build().eval(), make_views()
    units = make_units(built.level)
    with torch.no_grad():
        plain = built(units, views).vectors
        changed = built(units, disguised(views)).vectors
        longer = built(units, padded(views)).vectors
        other = built(units, make_views(seed=9)).vectors
        others = built(replace(units, vectors=_filled(units)), views).vectors
    real = units.mask
    if not plain[ABSENT].isfinite().all():
        yield "a row without a picture becomes NaN"
        return
    if not near(plain[ABSENT], changed[ABSENT]):
        yield (
            "a view is read where its mask is empty: a row without a picture depends on the "
            "content of the masked vectors"
        )
    elif not near(plain[real], changed[real]):
        yield "a view is read where its mask is empty: masked regions change the units"
    if not near(plain[real], longer[real]):
        yield "padding of regions changes the units"
    if not near(plain[ABSENT], other[ABSENT]):
        yield "a row without a picture depends on the pictures of other rows"
    if not near(plain[real], others[real]):
        yield "units that are padding change the real ones"


def _filled(units: Units) -> Tensor:
    """The vectors, with other content on padding."""
    return torch.where(units.mask.unsqueeze(-1), units.vectors, 7.0)


def unfused(subject: Subject) -> Iterator[str]:
    """a row without a picture"""
    built, views = subject.build().eval(), make_views()
    first, second = (make_units(built.level, seed=seed) for seed in (2, 3))
    between = replace(first, vectors=(first.vectors + second.vectors) / 2)
    swapped = replace(first, vectors=first.vectors.clone())
    swapped.vectors[:, 0] = second.vectors[:, 0]
    with torch.no_grad():
        one, other, mean, mixed = (
            built(units, views).vectors[ABSENT] for units in (first, second, between, swapped)
        )
    real = first.mask[ABSENT]
    expected = (one + other) / 2
    if not near(mean[real], expected[real]):
        yield (
            "a row without a picture is not the unfused text (up to a linear projection): return "
            "the units as they came in"
        )
    rest = real.clone()
    rest[:, 0] = False
    if not near(one[rest], mixed[rest]):
        yield "in a row without a picture, a unit depends on other units"


def no_picture(subject: Subject) -> Iterator[str]:
    """a batch without any picture"""
    for mode in (True, False):
        built = subject.build().train(mode)
        made = built(make_units(built.level), make_views((False,) * len(LENGTHS)))
        if not all(value.isfinite().all() for value in tensors(made)):
            yield "without any picture in the batch, it returns NaN or infinity"
            return
        total = made.vectors.sum()
        if total.requires_grad:
            total.backward()
        if not all(p.grad.isfinite().all() for p in built.parameters() if p.grad is not None):
            yield "without any picture in the batch, gradients are not finite"


def neighbours(subject: Subject) -> Iterator[str]:
    """each sentence alone, and the batch reversed"""
    built, views = subject.build().eval(), make_views()
    units = make_units(built.level)
    back = [*range(len(LENGTHS))][::-1]
    with torch.no_grad():
        together = built(units, views).vectors
        reverse = built(unit_rows(units, back), view_rows(views, back)).vectors
        for i, real in enumerate(units.mask):
            alone = built(unit_rows(units, [i], real), view_rows(views, [i])).vectors[0]
            same = reverse[back.index(i)][real]
            if not near(alone, together[i][real]) or not near(same, together[i][real]):
                yield (
                    "a sentence's units change with the other sentences of the batch (by more than "
                    "1e-5): padding is read, or rows are mixed"
                )
                return


CHECKS = (picture, missing, unfused, no_picture, neighbours)
