"""Value and gradient of the CRF against brute force, pytorch-crf and allennlp-light."""

from __future__ import annotations

from itertools import product
from math import inf, nan

import pytest
import torch
from allennlp_light.modules.conditional_random_field.conditional_random_field import (
    ConditionalRandomField,
)
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchcrf import CRF

from zoo.decoders.crf import FORBIDDEN, Crf
from zoo.decoders.forward_backward import LogPartition, messages

Chain = tuple[Tensor, Tensor, Tensor, Tensor]
"""Emissions (B, N, K), transitions (K, K), start (K,), end (K,)."""


def prefix(lengths: list[int]) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)


def leaves(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().clone().requires_grad_() for tensor in tensors)


def all_paths(chain: Chain, row: int, length: int) -> tuple[Tensor, Tensor]:
    """The paths of one sentence (P, length) and their scores (P,)."""
    emissions, transitions, start, end = chain
    paths = torch.tensor(list(product(range(len(start)), repeat=length)))
    scores = start[paths[:, 0]] + end[paths[:, -1]]
    for i in range(length):
        scores = scores + emissions[row, i, paths[:, i]]
    for i in range(1, length):
        scores = scores + transitions[paths[:, i - 1], paths[:, i]]
    return paths, scores


def brute_force(chain: Chain, lengths: list[int]) -> Tensor:
    """(B,) log-sums of all paths."""
    every = [all_paths(chain, row, length)[1] for row, length in enumerate(lengths)]
    return torch.stack([scores.logsumexp(0) for scores in every])


def path_scores(
    emissions: Tensor, tags: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor
) -> Tensor:
    """(B,) scores of given paths: emissions (B, N, K), tags and mask (B, N), transitions (K, K)."""
    emitted = emissions.gather(2, tags.unsqueeze(2)).squeeze(2).masked_fill(~mask, 0)
    moved = transitions[tags[:, :-1], tags[:, 1:]].masked_fill(~mask[:, 1:], 0)
    last = tags.gather(1, mask.sum(dim=1, keepdim=True) - 1).squeeze(1)
    return start[tags[:, 0]] + emitted.sum(dim=1) + moved.sum(dim=1) + end[last]


def check_equal(found: Tensor, found_of: Chain, expected: Tensor, expected_of: Chain) -> None:
    """The values, and the gradients of their sum with weights that differ."""
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    weights = torch.linspace(-1, 2, len(expected), dtype=torch.float64)
    gradients = torch.autograd.grad(found, found_of, weights)
    expected_gradients = torch.autograd.grad(expected, expected_of, weights, materialize_grads=True)
    for a, b in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


def drawn(tags: int, lengths: list[int], seed: int, spread: float, harsh: list[float]) -> Chain:
    """Normal scores, multiplied; a third of the transitions and ends is one of ``harsh``, if any.

    The scores are rounded to float32, so that both precisions mean the same chain.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64) * spread

    def mixed(*shape: int) -> Tensor:
        values = normal(*shape)
        if harsh:
            picked = torch.randint(len(harsh), shape, generator=generator)
            some = torch.rand(*shape, generator=generator) < 1 / 3
            values = torch.where(some, torch.tensor(harsh, dtype=torch.float64)[picked], values)
        return values

    emissions = normal(len(lengths), max(lengths), tags)
    chain = (emissions, mixed(tags, tags), mixed(tags), mixed(tags))
    return tuple(tensor.float().double() for tensor in chain)  # type: ignore[return-value]


chains = given(
    tags=st.integers(1, 4),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    seed=st.integers(0, 100_000),
    spread=st.sampled_from([0.1, 1.0, 30.0, 300.0, 1000.0]),
    harsh=st.lists(st.sampled_from([-50.0, 50.0, -700.0, 700.0, FORBIDDEN, -inf]), max_size=3),
)
"""Up to scores that leave nothing of exp(score - maximum), though later words make up for them."""


@chains
@example(tags=4, lengths=[6, 1, 3], seed=1, spread=1000.0, harsh=[-50.0, 50.0])  # not scaled
@example(tags=3, lengths=[3, 1], seed=257003, spread=300.0, harsh=[])  # a norm of nearly nothing
@example(tags=3, lengths=[6, 6, 2], seed=2, spread=1.0, harsh=[FORBIDDEN, -inf])
@settings(max_examples=60, deadline=None)
def test_double_precision_is_brute_force(
    tags: int, lengths: list[int], seed: int, spread: float, harsh: list[float]
) -> None:
    chain, mask = drawn(tags, lengths, seed, spread, harsh), prefix(lengths)
    expected_of = leaves(*chain)
    expected = brute_force(expected_of, lengths)
    assume(bool(expected.isfinite().all()))
    emissions, *rest = found_of = leaves(*chain)
    found = LogPartition.apply(emissions, mask, *rest)
    check_equal(found, found_of, expected, expected_of)


@chains
@example(tags=1, lengths=[1], seed=2738, spread=0.1, harsh=[-inf])  # no transition at all
@settings(max_examples=40, deadline=None)
def test_single_precision_is_brute_force(
    tags: int, lengths: list[int], seed: int, spread: float, harsh: list[float]
) -> None:
    """The whole loss, in which sums of the size of the scores are subtracted."""
    chain, mask = drawn(tags, lengths, seed, spread, harsh), prefix(lengths)
    expected_of = leaves(*chain)
    partition = brute_force(expected_of, lengths)
    assume(bool(partition.isfinite().all()))
    gold = torch.zeros(mask.shape, dtype=torch.int64)
    for row, length in enumerate(lengths):
        paths, scores = all_paths(chain, row, length)
        gold[row, :length] = paths[scores.argmax()]
    expected = (partition - path_scores(expected_of[0], gold, mask, *expected_of[1:])).mean()
    decoder = Crf(8, [], constrained=False)
    emissions, *rest = (tensor.float() for tensor in leaves(*chain))
    parameters = ("transitions", "start_transitions", "end_transitions")
    for name, value in zip(parameters, rest, strict=True):
        setattr(decoder.crf, name, nn.Parameter(value.detach()))
    decoder.legal = torch.ones(tags + 2, tags + 2, dtype=torch.bool)
    decoder.tagging.tags = ["O"] * tags
    emissions = emissions.detach().requires_grad_()
    found_of = (emissions, *(getattr(decoder.crf, name) for name in parameters))
    found = decoder.negative_log_likelihood(emissions, gold, mask)
    assert found.dtype == torch.float32
    # a loss of nearly 0 is the rounding, in float64, of scores of this size
    size = float(partition.detach().abs().max())
    assert found.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-14 * size + 1e-14)
    gradients = torch.autograd.grad(expected, expected_of)
    for a, b in zip(torch.autograd.grad(found, found_of), gradients, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-14 * size + 1e-14)


@chains
@settings(max_examples=40, deadline=None)
def test_messages_are_posteriors(
    tags: int, lengths: list[int], seed: int, spread: float, harsh: list[float]
) -> None:
    chain, mask = drawn(tags, lengths, seed, spread, harsh), prefix(lengths)
    found = messages(chain[0], mask, *chain[1:])
    for row, length in enumerate(lengths):
        paths, scores = all_paths(chain, row, length)
        assume(bool(scores.logsumexp(0).isfinite()))
        probability = scores.softmax(0).unsqueeze(1).expand(-1, tags)
        logs = found.forward[row] + found.backward[row] - found.partition[row]
        for i in range(length):
            here = torch.nn.functional.one_hot(paths[:, i], tags)
            expected = (probability * here).sum(0)
            torch.testing.assert_close(logs[i].exp(), expected, rtol=0, atol=1e-9)


def peers(tags: int) -> tuple[nn.Module, nn.Module]:
    """pytorch-crf and allennlp-light, float64, transitions from -50 to 50."""
    torchcrf, allennlp = CRF(tags, batch_first=True).double(), ConditionalRandomField(tags).double()
    for parameter in torchcrf.parameters():
        nn.init.uniform_(parameter, -50, 50)
    allennlp.load_state_dict(torchcrf.state_dict(), strict=False)
    return torchcrf, allennlp


SIZES = [
    (3, 1, 3),
    (5, 2, 4),
    (2, 40, 4),
    (9, 60, 4),
    (33, 30, 3),
    pytest.param(33, 500, 2, marks=pytest.mark.slow),
    pytest.param(129, 500, 2, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("tags", "length", "batch"), SIZES)
@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_it_is_the_peers(tags: int, length: int, batch: int, scale: float) -> None:
    torch.manual_seed(tags)
    torchcrf, allennlp = peers(tags)
    mask = prefix([length, *torch.randint(1, max(2, length), (batch - 1,)).tolist()])
    emissions = scale * torch.randn(*mask.shape, tags, dtype=torch.float64)
    gold = torch.randint(tags, mask.shape)
    emissions.requires_grad_()
    arguments = leaves(emissions, torchcrf.transitions, torchcrf.start_transitions,
                       torchcrf.end_transitions)  # fmt: skip
    found = LogPartition.apply(arguments[0], mask, *arguments[1:], gold).sum()
    gradients = torch.autograd.grad(found, arguments)
    for peer in (torchcrf, allennlp):
        expected = -peer(emissions, gold, mask)
        of = (emissions, peer.transitions, peer.start_transitions, peer.end_transitions)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
        expected_gradients = torch.autograd.grad(expected, of, materialize_grads=True)
        for a, b in zip(gradients, expected_gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
def test_real_chains_are_computed_by_products_and_harsh_ones_are_not(scheme: str) -> None:
    decoder = Crf(8, ["LOC", "PER"], scheme=scheme)  # type: ignore[arg-type]
    nn.init.uniform_(decoder.crf.transitions, -50, 50)
    mask = prefix([40, 1, 2, 7])
    emissions = 10 * torch.randn(*mask.shape, len(decoder.tagging))
    assert messages(emissions, mask, *decoder.scores()).sound.all()
    emissions[3, 3, 0] += 2000
    sound = messages(emissions, mask, *decoder.scores()).sound
    assert sound.tolist() == [True, True, True, False]


@pytest.mark.parametrize("lengths", [[1], [1, 1], [2, 2], [2, 1], [4, 1, 3, 2]])
@pytest.mark.parametrize("spread", [1.0, 1000.0])
def test_what_is_illegal_is_out_and_has_no_gradient(lengths: list[int], spread: float) -> None:
    count = 4
    chain, mask = drawn(count, lengths, 11, spread, []), prefix(lengths)
    legal = torch.rand(count**2 + 2 * count, generator=torch.Generator().manual_seed(3)) < 0.7
    inner, start, end = legal.split([count**2, count, count])
    legals = (torch.ones_like(mask).unsqueeze(2), inner.view(count, count), start, end)
    gold = torch.randint(count, mask.shape, generator=torch.Generator().manual_seed(4))
    expected_of, found_of = leaves(*chain), leaves(*chain)
    harsh = tuple(torch.where(a, b, FORBIDDEN) for a, b in zip(legals, expected_of, strict=True))
    expected = brute_force(harsh, lengths) - path_scores(harsh[0], gold, mask, *harsh[1:])  # type: ignore[arg-type]
    emissions, *rest = found_of
    found = LogPartition.apply(emissions, mask, *rest, gold, legal, FORBIDDEN)
    check_equal(found, found_of, expected, expected_of)


def test_gradient_by_finite_differences() -> None:
    emissions, *rest = leaves(*drawn(3, [4, 2], 0, 1.0, []))
    mask = prefix([4, 2])
    assert torch.autograd.gradcheck(
        lambda emissions, *rest: LogPartition.apply(emissions, mask, *rest), (emissions, *rest)
    )


@pytest.mark.parametrize("padding", [nan, inf, -inf, 1e30])
@pytest.mark.parametrize("spread", [1.0, 1000.0])
def test_padding_of_any_value_changes_nothing(padding: float, spread: float) -> None:
    lengths = [6, 3]
    chain, mask = drawn(3, lengths, 5, spread, [FORBIDDEN]), prefix(lengths)
    results = []
    for value in (0.0, padding):
        emissions, *rest = leaves(chain[0].masked_fill(~mask.unsqueeze(2), value), *chain[1:])
        total = LogPartition.apply(emissions, mask, *rest)
        results.append((total, *torch.autograd.grad(total.sum(), (emissions, *rest))))
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_what_is_not_a_number_stays_visible() -> None:
    chain, mask = drawn(3, [6, 3], 5, 1.0, []), prefix([6, 3])
    chain[0][1, 1, 2] = nan
    total = LogPartition.apply(chain[0], mask, *chain[1:])
    assert total.isnan().tolist() == [False, True]


def test_under_autocast_nothing_is_rounded() -> None:
    decoder = Crf(8, ["LOC", "PER"])
    mask = prefix([20, 7])
    emissions = torch.randn(*mask.shape, len(decoder.tagging))
    tags = torch.zeros(mask.shape, dtype=torch.int64)
    expected = decoder.negative_log_likelihood(emissions, tags, mask)
    with torch.autocast("cpu", torch.bfloat16):
        found = decoder.negative_log_likelihood(emissions, tags, mask)
    assert found.dtype == torch.float32
    assert found.item() == expected.item()
