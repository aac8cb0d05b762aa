"""Each word is drawn to the regions most like it, away from all other regions of its picture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from zoo.aligners.late_interaction import Bags


def top_k(first: Bags, second: Bags, temperature: Tensor | float, k: int) -> Tensor:
    """Both sides of a pair pick the k vectors of the other that are most like them (MT-MNER).

    For a vector a of bag i, with cosines c_1 ≥ c_2 ≥ … to the R real vectors of the other bag i:
    positive = mean of c_1 … c_k, negative = mean of c_{k+1} … c_R, and the loss is the
    cross-entropy of picking the positive, softplus((negative - positive) / temperature). The mean
    over the real vectors of all first bags and that over those of all second bags, half each. A
    vector whose other bag holds no more than k is left out: it has no negative.

    Nothing here compares different pairs: it sharpens what each word looks at, and does not tell
    which picture belongs to which text.

    Cites: han-etal-2025-mtmner

    Args:
        first: B bags of not normalised vectors.
        second: B bags, row i is the partner of row i.
        temperature: divides the similarity.
        k: how many count as positive.
    """
    one, other = (functional.normalize(bags.vectors, dim=2) for bags in (first, second))
    exact = torch.promote_types(one.dtype, torch.float32)  # sums in half of it are too coarse
    with torch.autocast(one.device.type, enabled=False):
        cosine = one.to(exact) @ other.to(exact).transpose(1, 2)  # (B, K, R)
    sides = (
        _picked(cosine, first.mask, second.mask, temperature, k),
        _picked(cosine.transpose(1, 2), second.mask, first.mask, temperature, k),
    )
    return (sides[0] + sides[1]) / 2


def _picked(
    cosine: Tensor, real: Tensor, other: Tensor, temperature: Tensor | float, k: int
) -> Tensor:
    """The loss of one side: ``cosine`` (B, K, R), ``real`` (B, K), ``other`` (B, R)."""
    count = other.sum(dim=1)
    counted = real & (count > k).unsqueeze(1)
    if cosine.shape[2] <= k or not counted.any():
        return cosine.new_zeros(())
    hidden = cosine.masked_fill(~other.unsqueeze(1), torch.finfo(cosine.dtype).min)
    best = hidden.topk(k, dim=2).values.sum(dim=2)
    rest = (cosine * other.unsqueeze(1)).sum(dim=2) - best
    difference = rest / (count - k).clamp(min=1).unsqueeze(1) - best / k
    return functional.softplus(difference[counted] / temperature).mean()
