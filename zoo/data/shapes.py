"""Drawing the pictures of dataset ``mini``: each entity type is a family of shapes.

Coordinates of a shape lie in [-1, 1]; a shape is a list of polygons, each filled or cut out.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from PIL import Image, ImageDraw

Point = tuple[float, float]
Shape = tuple[tuple[tuple[Point, ...], bool], ...]
Colour = tuple[int, int, int]

COLOURS: tuple[Colour, ...] = (
    (220, 40, 40),
    (40, 160, 60),
    (50, 80, 220),
    (245, 200, 30),
    (150, 50, 190),
    (30, 190, 205),
)
"""What an object can be coloured; jitter never takes one for another."""

RADII: tuple[float, ...] = (0.2, 0.29, 0.39, 0.5)
"""What size an object can have, in cells; jitter never takes one for another."""

SIDE = 3
"""Cells a row and a column; an object lies in a cell of its own."""

_FINE = 3  # drawn this many times larger and reduced, for smooth edges


class Thing(NamedTuple):
    """An object to draw.

    Args:
        family: an entity type, or None for a distractor.
        shape: an index of the family's shapes, or of ``DISTRACTORS``.
        colour: an index of ``COLOURS``.
        cell: 0 to 8, row by row.
        size: an index of ``RADII``; None where sizes are not told apart: all are about as large.
    """

    family: str | None
    shape: int
    colour: int
    cell: int
    size: int | None = None


def _wheel(points: int, *radii: float) -> tuple[Point, ...]:
    """A closed line around the centre, the radii taken in turn."""
    return tuple(
        (
            radii[i % len(radii)] * math.sin(2 * math.pi * i / points),
            -radii[i % len(radii)] * math.cos(2 * math.pi * i / points),
        )
        for i in range(points)
    )


def _box(width: float, height: float) -> tuple[Point, ...]:
    return ((-width, -height), (width, -height), (width, height), (-width, height))


def _oval(width: float, height: float) -> tuple[Point, ...]:
    return tuple((x * width, y * height) for x, y in _wheel(24, 1.0))


FAMILIES: dict[str, tuple[Shape, ...]] = {
    "PER": (  # round
        ((_oval(1, 1), True),),
        ((_oval(0.75, 1.05), True),),
        ((_oval(1, 1), True), (_oval(0.4, 0.4), False)),
    ),
    "LOC": (  # peaks
        ((((0, -1), (1, 0.9), (-1, 0.9)), True),),
        ((((-1.1, 0.9), (-0.5, -0.9), (0, 0.3), (0.5, -0.9), (1.1, 0.9)), True),),
        ((((-0.4, -1), (1.1, 0.9), (-1, 0.9)), True),),
    ),
    "ORG": (  # buildings: blocks with straight windows
        ((_box(0.9, 0.9), True), (((-0.5, -0.2), (0.5, -0.2), (0.5, 0.2), (-0.5, 0.2)), False)),
        ((_box(0.65, 1.05), True), (_box(0.2, 0.65), False)),
        ((_box(1.05, 0.65), True), (_box(0.65, 0.2), False)),
    ),
    "MISC": (  # stars and crosses
        ((_wheel(10, 1.15, 0.45), True),),
        ((_wheel(8, 1.2, 0.35), True),),
        ((_box(0.3, 1.05), True), (_box(1.05, 0.3), True)),
    ),
}

DISTRACTORS: tuple[Shape, ...] = (
    ((_box(0.15, 1.0), True),),
    ((_box(0.12, 0.9), True), (tuple((x + 0.6, y) for x, y in _box(0.12, 0.9)), True)),
    ((_oval(0.3, 0.3), True),),
    ((((-1, 0.3), (-0.3, -0.4), (0.3, 0.3), (1, -0.4), (0.3, 0.6), (-0.3, -0.1)), True),),
)


NOUNS: dict[str | None, tuple[str, ...]] = {
    "PER": ("disc", "egg", "ring"),
    "LOC": ("hill", "ridge", "slope"),
    "ORG": ("block", "tower", "hall"),
    "MISC": ("star", "spark", "cross"),
    None: ("post", "fence", "dot", "bird"),
}
"""What a caption calls the shapes."""


def shapes_of(family: str | None) -> tuple[Shape, ...]:
    return DISTRACTORS if family is None else FAMILIES[family]


def draw(things: Sequence[Thing], size: int, rng: Random) -> bytes:
    """A BMP of ``size`` x ``size`` pixels. Things must lie in different cells.

    Pose, the exact place in the cell, the exact size and colour, and the background come from
    ``rng`` alone.
    """
    side = size * _FINE
    shade = rng.randint(205, 250)
    background = tuple(min(255, shade + rng.randint(-8, 8)) for _ in range(3))
    canvas = Image.new("RGB", (side, side), background)
    pen = ImageDraw.Draw(canvas)
    cell = side / SIDE
    for thing in things:
        if thing.size is None:
            radius = cell * rng.uniform(0.38, 0.48)
        else:
            radius = cell * RADII[thing.size] * rng.uniform(0.93, 1.07)
        x = cell * (thing.cell % SIDE + 0.5 + rng.uniform(-0.06, 0.06))
        y = cell * (thing.cell // SIDE + 0.5 + rng.uniform(-0.06, 0.06))
        turn = math.radians(rng.uniform(-15, 15))
        sine, cosine = radius * math.sin(turn), radius * math.cos(turn)
        colour = tuple(max(0, min(255, c + rng.randint(-14, 14))) for c in COLOURS[thing.colour])
        for polygon, filled in shapes_of(thing.family)[thing.shape]:
            points = [(x + cosine * a - sine * b, y + sine * a + cosine * b) for a, b in polygon]
            pen.polygon(points, fill=colour if filled else background)
    buffer = io.BytesIO()
    canvas.reduce(_FINE).save(buffer, "BMP")  # written fast, and the same by every version
    return buffer.getvalue()
