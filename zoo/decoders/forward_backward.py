"""Sums over all tag sequences of a linear-chain CRF, by forward-backward (Rabiner, 1989).

Everything here is in float64, whatever the precision of the inputs: the products are small, and
half of the float32 digits of a long sentence's score would go to its size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Messages(NamedTuple):
    """The log-sums of forward-backward.

    Attributes:
        steps: (B, N, K) emissions, 0 on padding.
        forward: (B, N, K), over all ways to reach tag k at word i, its emission included.
        backward: (B, N, K), over all ways to go on from there, its emission excluded. Both are
            undefined on padding.
        partition: (B,), over all sequences.
        scaled: (B, N, K), ``forward`` as probabilities times a factor that differs between words.
        moves: (K, K), exp(transitions) times a factor.
        scales: (B, N), the logs of the factors, so that for i > 0 scaled[i - 1] @ moves is
            exp(forward[i] - steps[i] - scales[i]).
        sound: (B,), whether the scaled products were exact; if not, ``scaled`` and ``scales`` are
            undefined, and the log-sums were computed one by one.
    """

    steps: Tensor
    forward: Tensor
    backward: Tensor
    partition: Tensor
    scaled: Tensor
    moves: Tensor
    scales: Tensor
    sound: Tensor


@torch.no_grad()
def messages(
    emissions: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor
) -> Messages:
    """Forward and backward in one loop of matrix products: backward is forward over the reverse.

    With every factor scaled to at most 1, a product of matrices sums positive terms, and the only
    loss is by underflow: K² terms, each below the smallest normal number, which the norm they are
    divided by may have raised. So a sum of at least K² · tiny / (eps · norm) is exact to rounding,
    whatever its terms were. Every sum is checked for that; the sentences where one fails
    (log-scores more than about 300 apart) are computed by logsumexp.

    Args:
        emissions: (B, N, K).
        mask: (B, N) bool, the real words; they come before the padding, at least one a sentence.
        transitions: (K, K), from row to column; -inf is allowed here and in the next two.
        start: (K,).
        end: (K,).
    """
    steps = emissions.double().masked_fill(~mask.unsqueeze(2), 0)
    transitions, ends = transitions.double(), torch.stack([start, end]).double().unsqueeze(1)
    (batch, length, tags), real = steps.shape, torch.finfo(torch.float64)
    place = torch.arange(length, device=mask.device)
    turned = torch.where(mask, mask.sum(1, keepdim=True) - 1 - place, place).unsqueeze(2)

    both = torch.stack([steps, steps.gather(1, turned.expand_as(steps))]).permute(2, 0, 1, 3)
    top, peak = both.amax(3, keepdim=True), transitions.max().clamp(min=real.min)
    factors = (both - top).exp()
    moves = torch.stack([transitions, transitions.T]).sub(peak).exp()  # forward's and backward's
    sums, scaled = factors.new_empty(2, length, 2, batch, tags)
    norms = factors.new_empty(length, 2, batch, 1)
    sums[0] = (ends - ends.amax(2, keepdim=True)).exp()
    for i, norm in enumerate(norms):
        left = torch.mul(sums[i], factors[i], out=scaled[i])
        left /= torch.amax(left, 2, keepdim=True, out=norm)
        if i + 1 < length:
            torch.bmm(left, moves, out=sums[i + 1])

    seen = sums[1:] * norms[:-1].clamp(max=1)
    passed = (seen >= tags**2 * real.tiny / real.eps).all(3).all(1)  # nan does not pass
    sound = (passed | ~mask.T[1:]).all(0)
    scales = ends.amax(2, keepdim=True) + torch.zeros_like(norms)
    scales[1:] += (top + norms.log() + peak)[:-1].cumsum(0)
    logs = sums.log() + scales
    logs[0] = ends  # even what is too little to be seen beside the best
    forward, backward = logs.permute(1, 2, 0, 3)
    forward, backward = forward + steps, backward.gather(1, turned.expand_as(steps))
    if not sound.all():
        again = ~sound
        forward[again], backward[again] = by_logsumexp(
            steps[again], mask[again], transitions, *ends.squeeze(1)
        )
    partition = (forward[:, 0] + backward[:, 0]).logsumexp(1)
    scaled, scales = scaled[:, 0].transpose(0, 1), scales[:, 0, :, 0].T  # forward's
    return Messages(steps, forward, backward, partition, scaled, moves[0], scales, sound)


def by_logsumexp(
    steps: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor
) -> tuple[Tensor, Tensor]:
    """``forward`` and ``backward`` of :class:`Messages`, at any spread of the scores."""
    words = steps.unbind(1)
    forward = [start + words[0]]
    for word in words[1:]:
        forward.append((forward[-1].unsqueeze(2) + transitions).logsumexp(1) + word)
    backward = [end.expand_as(words[0])]
    for i in range(len(words) - 1, 0, -1):
        onward = (transitions + (words[i] + backward[-1]).unsqueeze(1)).logsumexp(2)
        backward.append(torch.where(mask[:, i, None], onward, end))
    return torch.stack(forward, 1), torch.stack(backward[::-1], 1)


class LogPartition(torch.autograd.Function):
    """(B,) float64 log-sums over all sequences, of float64 arguments as in :func:`messages`.

    The gradient is the expected count of each emission and transition.
    """

    @staticmethod
    def forward(
        ctx: Any, emissions: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor
    ) -> Tensor:
        found = messages(emissions, mask, transitions, start, end)
        ctx.save_for_backward(mask, transitions, *found)
        return found.partition

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        mask, transitions, *found = ctx.saved_tensors
        steps, forward, backward, partition, scaled, moves, scales, sound = found
        weight, total = weight[:, None, None], partition[:, None, None]
        tags = (forward + backward - total).exp() * weight
        tags = tags.masked_fill(~mask.unsqueeze(2), 0)
        # p(j, k) is p(k) times what j contributes to the sum of k: see Messages.scales
        after = (steps + backward + scales.unsqueeze(2) - total)[:, 1:].exp() * weight
        use = (mask[:, 1:] & sound.unsqueeze(1)).unsqueeze(2)
        before = scaled[:, :-1].masked_fill(~use, 0).flatten(0, 1)
        after = after.masked_fill(~use, 0).flatten(0, 1)
        moves = (before.T @ after) * moves
        for i in range(1, 1 if sound.all() else mask.shape[1]):
            rows = mask[:, i] & ~sound
            onward = (steps[rows, i] + backward[rows, i]).unsqueeze(1) - total[rows]
            pairs = (forward[rows, i - 1].unsqueeze(2) + transitions + onward).exp()
            moves += (pairs * weight[rows]).sum(0)
        last = tags.gather(1, (mask.sum(1) - 1)[:, None, None].expand_as(tags[:, :1]))
        return tags, None, moves, tags[:, 0].sum(0), last.squeeze(1).sum(0)
