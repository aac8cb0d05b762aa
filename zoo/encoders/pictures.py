"""What image encoders share: a batch in which some pictures are missing.

Only the pictures that are there are stacked and encoded (P of B); their rows are then put back
into place. A missing picture costs nothing and leaves an empty row, never a substitute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from zoo.parts import ImageEncoder
from zoo.types import Inputs, Sample, View

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's red, green and blue, in [0, 1]."""


def read_picture(
    sample: Sample, size: int, short: int | None = None, resample: int = Image.Resampling.BILINEAR
) -> Tensor | None:
    """The sample's picture, (3, size, size) uint8; None where it is missing.

    Args:
        size: height and width, in pixels.
        short: the shorter side is resized to this, and the centre cut out; where None, the whole
            picture is squeezed into the square.
        resample: Pillow's number for the filter.

    Raises:
        DataError: the file can't be read as a picture.
    """
    if sample.picture is None:
        return None
    picture = sample.picture.open()
    width, height = picture.size
    if short is None:
        wide, high = size, size
    else:
        scale = max(short, size) / min(width, height)
        wide, high = max(size, round(width * scale)), max(size, round(height * scale))
    if (wide, high) != (width, height):
        picture = picture.resize((wide, high), Image.Resampling(resample))
    left, top = (wide - size) // 2, (high - size) // 2
    picture = picture.crop((left, top, left + size, top + size))
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 (P, 3, H, W) to float, each colour centred and scaled; ``mean``, ``std`` in [0, 1]."""
    centre = torch.tensor(mean, device=pixels.device).view(3, 1, 1)
    scale = torch.tensor(std, device=pixels.device).view(3, 1, 1)
    return (pixels.float() / 255 - centre) / scale


def collate_pictures(rows: Sequence[Tensor | None], shape: tuple[int, ...]) -> dict[str, Tensor]:
    """Stack the pictures that are there.

    Args:
        rows: one uint8 tensor of ``shape`` a sample, None where the picture is missing.
        shape: of one picture, so that a batch without any has a shape too.

    Returns:
        ``pixels`` (P, *shape) uint8 and ``present`` (B,) bool with P True entries.
    """
    pictures = [row for row in rows if row is not None]
    return {
        "pixels": torch.stack(pictures) if pictures else torch.empty(0, *shape, dtype=torch.uint8),
        "present": torch.tensor([row is not None for row in rows], dtype=torch.bool),
    }


def place(regions: Tensor, pooled: Tensor, present: Tensor, mask: Tensor | None = None) -> View:
    """Put what was seen in P pictures back into the B rows of the batch.

    Args:
        regions: (P, R, D), with R at least 1.
        pooled: (P, D).
        present: (B,) bool with P True entries.
        mask: (P, R) bool; every region is real where it is None.

    Returns:
        regions (B, R, D), pooled (B, D) and mask (B, R); zero and False where absent.
    """
    batch = present.shape[0]
    if mask is None:
        mask = torch.ones(regions.shape[:2], dtype=torch.bool, device=regions.device)
    if regions.shape[0] == batch:
        return View(regions, pooled, mask)
    rows = present.nonzero().squeeze(1)
    return View(
        regions.new_zeros(batch, *regions.shape[1:]).index_copy(0, rows, regions),
        pooled.new_zeros(batch, *pooled.shape[1:]).index_copy(0, rows, pooled),
        mask.new_zeros(batch, *mask.shape[1:]).index_copy(0, rows, mask),
    )


SEEN = "seen."


def collate_several(
    encoder: ImageEncoder, rows: Sequence[Sequence[Any] | None]
) -> dict[str, Tensor]:
    """The batch of an encoder within, which sees several pictures a sample.

    Args:
        rows: what the encoder prepared of each picture of a sample; None where there is none.

    Returns:
        The encoder's inputs for all pictures as ``seen.NAME`` (:func:`seen_by`); ``sizes`` (P,),
        how many belong to a sample that has any; ``present`` (B,) bool with P True entries.
    """
    there = [row for row in rows if row is not None]
    seen = encoder.collate([each for row in there for each in row]) if there else {}
    return {
        **{f"{SEEN}{name}": value for name, value in seen.items()},
        "sizes": torch.tensor([len(row) for row in there], dtype=torch.long),
        "present": torch.tensor([row is not None for row in rows], dtype=torch.bool),
    }


def seen_by(encoder: ImageEncoder, inputs: Inputs) -> View:
    """What an encoder sees in all pictures of a batch made by :func:`collate_several`."""
    view: View = encoder(
        {name[len(SEEN) :]: inputs[name] for name in inputs if name.startswith(SEEN)}
    )
    return view


def place_several(regions: Sequence[Tensor], pooled: Tensor, present: Tensor) -> View:
    """As :func:`place`, of pictures with regions of different number: P times (R_p, D)."""
    counts = torch.tensor([len(each) for each in regions], device=present.device)
    padded = pad_sequence(list(regions), batch_first=True)
    mask = torch.arange(padded.shape[1], device=present.device) < counts.unsqueeze(1)
    return place(padded, pooled, present, mask)


def see(
    inputs: Inputs, regions: int, width: int, encode: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> View:
    """The view of a batch made by :func:`collate_pictures`.

    ``encode`` makes of pixels (P, *shape) the regions (P, R, D) and pooled vectors (P, D). It is
    not called for a batch without any picture (there are no batch statistics of nothing).
    """
    pixels: Tensor = inputs["pixels"]
    if len(pixels):
        return place(*encode(pixels), inputs["present"])
    return unseen(inputs["present"], width, regions)


def unseen(present: Tensor, width: int, regions: int = 1) -> View:
    """The view of a batch without any picture."""
    nothing = torch.zeros(0, regions, width, device=present.device)
    return place(nothing, nothing[:, 0], present)
