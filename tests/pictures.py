"""Pictures and samples that several tests of encoders read."""

from __future__ import annotations

import io
import random

from PIL import Image

from zoo.types import Picture, Sample


def picture(seed: int, size: tuple[int, int] = (90, 70)) -> Picture:
    """A PNG of random colours, the same for the same seed."""
    image = Image.new("RGB", size)
    rng = random.Random(seed)
    image.putdata([tuple(rng.randbytes(3)) for _ in range(size[0] * size[1])])
    out = io.BytesIO()
    image.save(out, "PNG")
    return Picture(f"{seed}.png", data=out.getvalue())


SAMPLES = [
    Sample("1", ("x",), picture=picture(1), caption="a man in paris"),
    Sample("2", ("x",)),
    Sample("3", ("x",), picture=picture(3, (40, 130)), caption="paris"),
]
