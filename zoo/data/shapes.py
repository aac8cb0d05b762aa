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

_FINE = 3  # drawn this many times larger and reduced, for smooth edges


class Thing(NamedTuple):
    """An object to draw: an entity type, or None for a distractor, and an index of COLOURS."""

    family: str | None
    colour: int


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


def draw(things: Sequence[Thing], size: int, rng: Random) -> bytes:
    """A PNG of ``size`` x ``size`` pixels with at most nine things, each in a cell of its own.

    Place, pose, size, exact colour and background come from ``rng`` alone.
    """
    side = size * _FINE
    shade = rng.randint(205, 250)
    background = tuple(min(255, shade + rng.randint(-8, 8)) for _ in range(3))
    canvas = Image.new("RGB", (side, side), background)
    pen = ImageDraw.Draw(canvas)
    cell = side / 3
    for thing, place in zip(things, rng.sample(range(9), len(things)), strict=True):
        shapes = DISTRACTORS if thing.family is None else FAMILIES[thing.family]
        radius = cell * rng.uniform(0.38, 0.48)
        x = cell * (place % 3 + 0.5 + rng.uniform(-0.06, 0.06))
        y = cell * (place // 3 + 0.5 + rng.uniform(-0.06, 0.06))
        turn = math.radians(rng.uniform(-15, 15))
        sine, cosine = radius * math.sin(turn), radius * math.cos(turn)
        colour = tuple(max(0, min(255, c + rng.randint(-14, 14))) for c in COLOURS[thing.colour])
        for polygon, filled in rng.choice(shapes):
            points = [(x + cosine * a - sine * b, y + sine * a + cosine * b) for a, b in polygon]
            pen.polygon(points, fill=colour if filled else background)
    buffer = io.BytesIO()
    canvas.reduce(_FINE).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
