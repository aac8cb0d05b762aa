"""How alike a text and a picture are that are given as several vectors each."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, distributed
from torch.nn import functional


class Bags(NamedTuple):
    """B bags of up to K vectors: ``vectors`` (B, K, D), ``mask`` (B, K), True = real."""

    vectors: Tensor
    mask: Tensor

    @property
    def present(self) -> Tensor:
        """(B,) bool: the bags that hold something."""
        return self.mask.any(dim=1)

    def at(self, rows: Tensor) -> Bags:
        """Those of a selection (B,) bool."""
        return Bags(self.vectors[rows], self.mask[rows])


def late_interaction(first: Bags, second: Bags) -> Tensor:
    """Similarity of every bag of one side to every one of the other (FILIP, Yao et al., ICLR 2022).

    s_ij = ½ (mean_a max_b cos(a, b) + mean_b max_a cos(a, b)) over the real vectors a of bag i and
    b of bag j. Of bags of one vector each it is their cosine.

    Args:
        first: B bags, none of them empty.
        second: B' bags, none of them empty.

    Returns:
        (B, B').
    """
    one, other = (functional.normalize(bags.vectors, dim=2) for bags in (first, second))
    exact = torch.promote_types(one.dtype, torch.float32)  # sums in half of it are too coarse
    with torch.autocast(one.device.type, enabled=False):
        cosine = torch.einsum("iad,jbd->ijab", one.to(exact), other.to(exact))  # (B, B', K, K')
    nothing = torch.finfo(cosine.dtype).min
    real_one, real_other = first.mask[:, None], second.mask[None]
    best_b = cosine.masked_fill(~real_other.unsqueeze(2), nothing).amax(dim=3)
    best_a = cosine.masked_fill(~real_one.unsqueeze(3), nothing).amax(dim=2)
    return (_mean(best_b, real_one) + _mean(best_a, real_other)) / 2


def _mean(values: Tensor, real: Tensor) -> Tensor:
    """Over the last dimension, of the real entries: (B, B', K) to (B, B')."""
    return values.masked_fill(~real, 0).sum(dim=2) / real.sum(dim=2)


def gathered(bags: Bags) -> Bags:
    """The bags of all processes, where there are several; gradients flow back to each of them."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return bags
    from torch.distributed.nn.functional import all_gather

    most = bags.mask.new_tensor(bags.mask.shape, dtype=torch.int64)
    distributed.all_reduce(most, distributed.ReduceOp.MAX)
    rows, size = (int(a - b) for a, b in zip(most.tolist(), bags.mask.shape, strict=True))
    vectors = functional.pad(bags.vectors, (0, 0, 0, size, 0, rows))
    mask = functional.pad(bags.mask, (0, size, 0, rows)).to(torch.uint8)
    masks = [torch.empty_like(mask) for _ in range(distributed.get_world_size())]
    distributed.all_gather(masks, mask)
    everyone = all_gather(vectors)  # type: ignore[no-untyped-call]
    return Bags(torch.cat(everyone), torch.cat(masks).bool())
