"""The best path of a linear-chain CRF, for a whole batch at once (Viterbi, 1967)."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def viterbi(
    emissions: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor
) -> Tensor:
    """The tag sequence of the highest score for each sentence.

    A path scores ``start[y1] + Σ emissions[i, yi] + Σ transitions[yi, yi+1] + end[yn]``.

    Args:
        emissions: (B, N, K).
        mask: (B, N) bool, the real words; they come before the padding.
        transitions: (K, K), from row to column.
        start: (K,).
        end: (K,).

    Returns:
        (B, N) int64 tags, -1 on padding.
    """
    steps = emissions.unbind(1)
    into = transitions.T.contiguous()  # (to, from): the maximum runs over neighbours in memory
    ragged = [False] * len(steps)
    if not (full := bool(mask.all())):
        ragged, real = (~mask.all(0)).tolist(), mask.T.unsqueeze(-1)
        stay = torch.arange(emissions.shape[2], device=emissions.device)

    score = start + steps[0]
    back = []
    for i in range(1, len(steps)):
        best, origin = (score.unsqueeze(1) + into).max(dim=2)
        best = best + steps[i]
        if ragged[i]:  # sentences that have ended wait, pointing to themselves
            best = torch.where(real[i], best, score)
            origin = torch.where(real[i], origin, stay)
        score = best
        back.append(origin)

    tag = (score + end).argmax(dim=1, keepdim=True)
    path = [tag]
    for origin in reversed(back):
        tag = origin.gather(1, tag)
        path.append(tag)
    found = torch.cat(path[::-1], dim=1)
    return found if full else found.masked_fill(~mask, -1)
