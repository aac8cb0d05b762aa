"""Sums over all tag sequences of a linear-chain CRF, by forward-backward (Rabiner, 1989).

Everything here is in float64, whatever the precision of the inputs: the products are small, and
half of the float32 digits of a long sentence's score would go to its size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_REAL = torch.finfo(torch.float64)


class Messages(NamedTuple):
    """The log-sums of forward-backward.

    Attributes:
        steps: (B, N, K) emissions, 0 on padding.
        forward: (B, N, K), over all ways to reach tag k at word i, its emission included.
        backward: (B, N, K), over all ways to go on from there, its emission excluded. Both are
            undefined on padding.
        partition: (B,), over all sequences.
        sound: (B,), whether the scaled products were exact; if not, the log-sums were computed one
            by one.
    """

    steps: Tensor
    forward: Tensor
    backward: Tensor
    partition: Tensor
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
    turned = _turn(~mask, mask.sum(1, keepdim=True) - 1).unsqueeze(2)

    both = torch.stack([steps, steps.gather(1, turned.expand_as(steps))]).permute(2, 0, 1, 3)
    top, peak = both.amax(3, keepdim=True), transitions.max().clamp(min=_REAL.min)
    moves = torch.stack([transitions, transitions.T]).sub(peak).exp()  # forward's and backward's
    first = (ends - ends.amax(2, keepdim=True)).exp()
    _, sums, norms = _chains((both - top).exp(), moves, first)

    seen = sums[1:] * norms[:-1].clamp(max=1)
    passed = (seen >= _bound(len(start))).all(3).all(1)  # nan does not pass
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
    return Messages(steps, forward, backward, partition, sound)


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
    """(B,) float64: log-sums over all sequences, less the score of one if ``tags`` say which.

    The gradient is the expected count of each emission and transition, less the counts in that one.
    In short sentences the number of operations is what costs time: so transitions, starts and ends
    lie in one tensor, and there are no masks where there is no padding.

    Args:
        emissions: (B, N, K), in any precision; so are ``transitions``, ``start`` and ``end``.
        mask: (B, N) bool, the real words; they come before the padding, at least one a sentence.
        transitions: (K, K), from row to column; -inf is allowed here and in the next two.
        start: (K,).
        end: (K,).
        tags: (B, N) int64, anything on padding.
        legal: (K² + 2 K,) bool, which of the transitions, starts and ends there are. Without it,
            all.
        forbidden: the score in place of that of the others.
    """

    @staticmethod
    def forward(
        ctx: Any,
        emissions: Tensor,
        mask: Tensor,
        transitions: Tensor,
        start: Tensor,
        end: Tensor,
        tags: Tensor | None = None,
        legal: Tensor | None = None,
        forbidden: float = 0.0,
    ) -> Tensor:
        steps, edges = emissions.double(), torch.cat([transitions.reshape(-1), start, end]).double()
        if legal is not None:
            edges = edges.where(legal, forbidden)
        padding = ends = None
        if not mask.all():
            padding, ends = ~mask, mask.sum(1, keepdim=True) - 1
            steps = steps.masked_fill(padding.unsqueeze(2), 0)
        found = expected(steps, edges, padding, ends)
        total, passed = found.partition, None
        if tags is not None:
            if padding is not None:
                tags = tags.masked_fill(padding, 0)
                edges = torch.cat([edges, edges.new_zeros(1)])  # between words of padding
            passed = _passed(tags, len(start), padding, ends)
            emitted = steps.gather(2, tags.unsqueeze(2))  # 0 on padding
            total = total - emitted.sum((1, 2)) - edges.take(passed).sum(1)
        ctx.save_for_backward(padding, ends, tags, passed, legal, *found[1:])
        ctx.kinds = emissions.dtype, transitions.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        padding, ends, tags, passed, legal, *saved = ctx.saved_tensors
        words, before, after, moves, harsh, pairs = saved
        (length, _, count), weight = words.shape, weight.unsqueeze(1)
        words = words * weight
        last = words[-1] if ends is None else _last(words, ends)
        if length == 1:
            inner = words.new_zeros(count, count)
        else:
            before = (before * weight).flatten(0, 1)
            inner = (before.T @ after.flatten(0, 1)).mul_(moves)
        if pairs is not None:
            inner += (pairs * weight[harsh].unsqueeze(2)).sum(0)
        parts, words = [inner.view(-1), words[0].sum(0), last.sum(0)], words.transpose(0, 1)
        counts = torch.cat(parts if padding is None else [*parts, weight.new_zeros(1)])
        if tags is not None:
            once = -weight
            emitted = once.expand_as(tags)
            if padding is not None:
                emitted = emitted.masked_fill(padding, 0)
            words.scatter_add_(2, tags.unsqueeze(2), emitted.unsqueeze(2))
            counts.scatter_add_(0, passed.flatten(), once.expand_as(passed).flatten())
        kind, other = ctx.kinds
        if padding is not None:
            counts = counts[:-1]
        if legal is not None:
            counts = counts.where(legal, 0)
        inner, start, end = counts.to(other).split_with_sizes([count * count, count, count])
        return words.to(kind), None, inner.view(count, count), start, end, None, None, None


def _passed(tags: Tensor, count: int, padding: Tensor | None, ends: Tensor | None) -> Tensor:
    """(B, N + 1): the places of start, transitions and end of given tags (B, N) among the K² + 2 K;
    between words of padding it is the next one."""
    others = tags.shape[1] - 1
    last = tags.narrow(1, others, 1) if ends is None else tags.gather(1, ends)
    passed = [tags.narrow(1, 0, 1) + count * count, last + count * (count + 1)]
    if others:
        inner = torch.add(tags.narrow(1, 1, others), tags.narrow(1, 0, others), alpha=count)
        if padding is not None:
            inner.masked_fill_(padding.narrow(1, 1, others), count * (count + 2))
        passed.append(inner)
    return torch.cat(passed, 1)


class Expected(NamedTuple):
    """The sums over all sequences, and what their gradient is made of.

    Attributes:
        partition: (B,) log-sums.
        words: (N, B, K), the probability of each tag at each word, 0 on padding.
        before: (N-1, B, K).
        after: (N-1, B, K).
        moves: (K, K). The probability of tag j at word i and of k at the next one is
            before[i, :, j] * after[i, :, k] * moves[j, k].
        harsh: (H,) the sentences in which it is not, if any; ``before`` is 0 there.
        pairs: (H, K, K), these probabilities summed over their words.
    """

    partition: Tensor
    words: Tensor
    before: Tensor
    after: Tensor
    moves: Tensor
    harsh: Tensor | None = None
    pairs: Tensor | None = None


def expected(steps: Tensor, edges: Tensor, padding: Tensor | None, ends: Tensor | None) -> Expected:
    """Forward-backward in products alone, without the logs of :func:`messages`.

    A tag's probability is the product of what leads to it and of what leads on from it, divided by
    the sum of these products over the tags, which is checked like all other sums.

    Args:
        steps: (B, N, K) float64 emissions, 0 on padding.
        edges: (K² + 2 K,) float64: transitions from row to column, starts, ends.
        padding: (B, N) bool; None: there is none.
        ends: (B, 1), the last real word; None: the last one.
    """
    words, count = steps.transpose(0, 1), steps.shape[2]
    inner, outer = edges.split_with_sizes([count * count, 2 * count])
    inner, outer = inner.view(count, count), outer.view(2, 1, count)
    if len(words) == 1:
        scores = words + outer.sum(0)
        total = scores.logsumexp(2, keepdim=True)
        return Expected(total.flatten(), (scores - total).exp_(), words, words, inner)

    turn = None
    if padding is not None and ends is not None:
        turn = _turn(padding, ends).T.unsqueeze(2).expand_as(words)
    factors = torch.stack([words, words.flip(0) if turn is None else words.gather(0, turn)], 1)
    top, best = factors.amax(3, keepdim=True), outer.amax(2, keepdim=True)
    peak = inner.max().clamp(min=_REAL.min)
    factors, moves = factors.sub_(top).exp_(), inner.sub(peak).exp_()
    both = torch.stack([moves, moves.T])
    scaled, sums, norms = _chains(factors, both, outer.sub(best).exp_())

    ahead, onward = norms[:, 0], sums[:, 1]
    onward = onward.flip(0) if turn is None else onward.gather(0, turn)
    found = scaled[:, 0] * onward
    total = found.sum(2, keepdim=True)
    seen, joined = sums[1:] * norms[:-1], total * ahead
    bound = count * _bound(count)  # no norm is above K
    sound = float(seen.amin()) >= bound and float(joined.amin()) >= bound  # nan is not
    logs = ahead.log().add_(top[:, 0])
    last = total[-1] if ends is None else _last(total, ends)
    moved: int | Tensor = len(words) - 1
    before, after = scaled[:-1, 0], (factors[:, 0] * onward).div_(joined)[1:]
    found /= total
    if padding is not None and ends is not None:
        hidden, moved = padding.T.unsqueeze(2), ends.squeeze(1)
        logs, found = logs.masked_fill_(hidden, 0), found.masked_fill_(hidden, 0)
        before, after = before.masked_fill(hidden[1:], 0), after.masked_fill(hidden[1:], 0)
    partition = (logs.sum(0) + last.log()).squeeze(1) + (best.sum() + peak * moved)
    made = Expected(partition, found, before, after, moves)
    if sound:
        return made
    passed, ended = (seen >= bound).all(3).all(1), (joined >= bound).squeeze(2)
    if padding is not None:
        passed, ended = passed | padding.T[1:], ended | padding.T
    harsh = (~(passed.all(0) & ended.all(0))).nonzero().squeeze(1)
    return _by_logs(made, harsh, steps, edges, padding) if len(harsh) else made


def _by_logs(
    made: Expected, harsh: Tensor, steps: Tensor, edges: Tensor, padding: Tensor | None
) -> Expected:
    """The same, with the harsh sentences computed by :func:`by_logsumexp`."""
    count, steps = steps.shape[2], steps[harsh]
    mask = steps.new_ones(steps.shape[:2], dtype=torch.bool)
    if padding is not None:
        mask = ~padding[harsh]
    inner, start, end = edges.split_with_sizes([count * count, count, count])
    inner = inner.view(count, count)
    forward, backward = by_logsumexp(steps, mask, inner, start, end)
    total = (forward[:, 0] + backward[:, 0]).logsumexp(1)
    words = (forward + backward - total[:, None, None]).exp().masked_fill(~mask.unsqueeze(2), 0)
    pairs = steps.new_zeros(len(harsh), count, count)
    for i in range(1, mask.shape[1]):
        onward = (steps[:, i] + backward[:, i]).unsqueeze(1) - total[:, None, None]
        found = (forward[:, i - 1].unsqueeze(2) + inner + onward).exp()
        pairs += found.masked_fill(~mask[:, i, None, None], 0)
    return Expected(
        made.partition.index_copy(0, harsh, total),
        made.words.index_copy(1, harsh, words.transpose(0, 1)),
        made.before.index_fill(1, harsh, 0),
        made.after.index_fill(1, harsh, 0),
        made.moves,
        harsh,
        pairs,
    )


def _chains(factors: Tensor, moves: Tensor, first: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Products along chains of words, forward and over the reverse.

    Args:
        factors: (N, 2, B, K), what each word contributes.
        moves: (2, K, K), from row to column.
        first: (2, 1, K), what comes before the first word.

    Returns:
        The products up to a word with its own factor (N, 2, B, K), divided by their maximum;
        without its factor (N, 2, B, K), not divided; and the maxima (N, 2, B, 1).
    """
    left, scaled, sums, norms = first, list[Tensor](), list[Tensor](), list[Tensor]()
    for factor in factors:
        if scaled:
            left = torch.bmm(scaled[-1], moves)
        sums.append(left)
        product = left * factor
        norms.append(product.amax(2, keepdim=True))
        scaled.append(product.div_(norms[-1]))
    sums[0] = first.expand_as(scaled[0])
    return torch.stack(scaled), torch.stack(sums), torch.stack(norms)


def _bound(tags: int) -> float:
    """What a sum over the tags must reach, times the norm of its terms if that is below 1."""
    return float(tags**2 * _REAL.tiny / _REAL.eps)


def _turn(padding: Tensor, ends: Tensor) -> Tensor:
    """(B, N): where each word stands when the real ones are read in reverse."""
    place = torch.arange(padding.shape[1], device=padding.device)
    return torch.where(padding, place, ends - place)


def _last(values: Tensor, ends: Tensor) -> Tensor:
    """Of values (N, B, K) those of each sentence's last word (B, K)."""
    return values.gather(0, ends.expand(-1, values.shape[2]).unsqueeze(0))[0]
