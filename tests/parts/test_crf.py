"""The CRF against brute force over all paths, and against allennlp-light."""

from __future__ import annotations

from itertools import chain, pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import functional_call

from zoo.decoders.crf import Crf
from zoo.decoders.tagging import Scheme
from zoo.decoders.viterbi import viterbi
from zoo.types import Entity, Text, Units

BIO, BIOES = "BIO", "BIOES"


def crf(scheme: Scheme = BIO, types: int = 1, *, constrained: bool = True, seed: int = 0) -> Crf:
    """Emissions are the units' vectors; double precision, eval mode."""
    torch.manual_seed(seed)
    names = ["PER", "LOC"][:types]
    width = 1 + types * (2 if scheme == BIO else 4)
    decoder = Crf(width, names, scheme=scheme, constrained=constrained).double().eval()
    torch.nn.init.eye_(decoder.emission.weight)
    torch.nn.init.zeros_(decoder.emission.bias)
    torch.nn.init.normal_(decoder.crf.transitions)
    return decoder


def words(lengths: list[int], width: int, seed: int = 0, scale: float = 2.0) -> Units:
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths), width)
    vectors = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    mask = torch.arange(shape[1]) < torch.tensor(lengths).unsqueeze(1)
    return Units.of_words(Text(vectors, vectors[:, 0], mask))


def text_of(units: Units) -> Text:
    return Text(units.vectors, units.vectors[:, 0], units.mask)


def is_legal(tags: list[str], scheme: Scheme) -> bool:
    """Written out by hand, from the definition of the schemes."""
    for before, after in zip([None, *tags], [*tags, None], strict=True):
        inside = before is not None and before[0] in "BI"
        same = before is not None and after is not None and before[1:] == after[1:]
        if scheme == BIO:
            if after is not None and after[0] == "I" and not (inside and same):
                return False
        elif inside != (after is not None and after[0] in "IE") or (inside and not same):
            return False
    return True


def brute_force(decoder: Crf, emissions: Tensor) -> tuple[list[tuple[int, ...]], Tensor]:
    """Every path of one sentence (N, K) that counts, and its score."""
    transitions = decoder.crf.transitions.detach()
    start, end = decoder.crf.start_transitions.detach(), decoder.crf.end_transitions.detach()
    constrained = not bool(decoder.legal.all())
    paths, scores = [], []
    for path in product(range(emissions.shape[1]), repeat=len(emissions)):
        tags = [decoder.tagging.tags[tag] for tag in path]
        if constrained and not is_legal(tags, decoder.tagging.scheme):
            continue
        score = start[path[0]] + end[path[-1]]
        score = score + sum(emissions[i, tag] for i, tag in enumerate(path))
        score = score + sum(transitions[a, b] for a, b in pairwise(path))
        paths.append(path)
        scores.append(score)
    return paths, torch.stack(scores)


cases = given(
    scheme=st.sampled_from([BIO, BIOES]),
    constrained=st.booleans(),
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    seed=st.integers(0, 10_000),
)


@cases
@settings(max_examples=25, deadline=None)
def test_likelihood_is_that_of_brute_force(
    scheme: Scheme, constrained: bool, lengths: list[int], seed: int
) -> None:
    decoder = crf(scheme, constrained=constrained, seed=seed)
    units = words(lengths, len(decoder.tagging), seed)
    expected, tags = [], torch.zeros(units.mask.shape, dtype=torch.int64)
    for row, length in enumerate(lengths):
        paths, scores = brute_force(decoder, units.vectors[row, :length])
        gold = (seed * 7919 + row) % len(paths)
        tags[row, :length] = torch.tensor(paths[gold])
        expected.append(scores.logsumexp(0) - scores[gold])
    nll = decoder.negative_log_likelihood(decoder.emissions(units), tags, units.mask)
    assert torch.isclose(nll, torch.stack(expected).mean(), atol=1e-9, rtol=0)


@pytest.mark.parametrize("scheme", [BIO, BIOES])
@pytest.mark.parametrize("constrained", [True, False])
def test_likelihood_is_allennlps(scheme: Scheme, constrained: bool) -> None:
    decoder = crf(scheme, types=2, constrained=constrained)
    lengths = torch.randint(1, 30, (16,)).tolist()
    units = words(lengths, len(decoder.tagging))
    tags = decoder.tagging.encode([[Entity(0, 1, "PER")]] * 16, units.mask)
    names = ("transitions", "start_transitions", "end_transitions")
    scores = dict(zip(names, decoder.scores(), strict=True))
    expected = -functional_call(decoder.crf, scores, (units.vectors, tags, units.mask)) / 16
    found = decoder.negative_log_likelihood(units.vectors, tags, units.mask)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    parameters = [p for p in decoder.crf.parameters() if p.requires_grad]
    gradients = (torch.autograd.grad(value, parameters) for value in (found, expected))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@cases
@settings(max_examples=25, deadline=None)
def test_best_path_is_that_of_brute_force(
    scheme: Scheme, constrained: bool, lengths: list[int], seed: int
) -> None:
    decoder = crf(scheme, constrained=constrained, seed=seed)
    units = words(lengths, len(decoder.tagging), seed)
    found = viterbi(units.vectors, units.mask, *decoder.scores())
    for row, length in enumerate(lengths):
        paths, scores = brute_force(decoder, units.vectors[row, :length])
        best = list(paths[int(scores.argmax())])
        assert found[row].tolist() == best + [-1] * (max(lengths) - length)


@cases
@settings(max_examples=25, deadline=None)
def test_scores_are_posteriors_of_the_tags(
    scheme: Scheme, constrained: bool, lengths: list[int], seed: int
) -> None:
    decoder = crf(scheme, constrained=constrained, seed=seed)
    units = words(lengths, len(decoder.tagging), seed)
    best = viterbi(units.vectors, units.mask, *decoder.scores()).tolist()
    for row, entities in enumerate(decoder.decode(units, text_of(units))):
        paths, scores = brute_force(decoder, units.vectors[row, : lengths[row]])
        probability = scores.softmax(0)
        for start, end, _, score in entities:
            same = [list(path[start:end]) == best[row][start:end] for path in paths]
            assert score == pytest.approx(float(probability[torch.tensor(same)].sum()), abs=1e-9)
            assert 0 <= score <= 1


@cases
@settings(max_examples=25, deadline=None)
def test_marginals_are_those_of_brute_force(
    scheme: Scheme, constrained: bool, lengths: list[int], seed: int
) -> None:
    decoder = crf(scheme, constrained=constrained, seed=seed)
    units = words(lengths, len(decoder.tagging), seed)
    found = decoder.log_marginals(units, text_of(units)).exp()
    for row, length in enumerate(lengths):
        paths, scores = brute_force(decoder, units.vectors[row, :length])
        expected = torch.zeros(length, len(decoder.tagging), dtype=torch.float64)
        for path, probability in zip(paths, scores.softmax(0), strict=True):
            expected[torch.arange(length), torch.tensor(path)] += probability
        assert torch.allclose(found[row, :length], expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("scheme", [BIO, BIOES])
@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_batched_viterbi_is_allennlps(scheme: Scheme, constrained: bool, seed: int) -> None:
    decoder = crf(scheme, types=2, constrained=constrained, seed=seed)
    if constrained:
        from allennlp_light.modules.conditional_random_field.conditional_random_field import (
            ConditionalRandomField,
        )

        reference = ConditionalRandomField(
            len(decoder.tagging), [tuple(pair) for pair in decoder.legal.nonzero().tolist()]
        ).double()
        parameters = dict(decoder.crf.named_parameters())
        parameters.pop("_constraint_mask")
        reference.load_state_dict(parameters, strict=False)
    else:
        reference = decoder.crf
    lengths = torch.randint(1, 30, (16,)).tolist()
    units = words(lengths, len(decoder.tagging), seed, scale=1.0)
    found = viterbi(units.vectors, units.mask, *decoder.scores())
    for row, (path, _) in enumerate(reference.viterbi_tags(units.vectors, units.mask)):
        assert found[row, : lengths[row]].tolist() == path
        assert (found[row, lengths[row] :] == -1).all()


def test_lengths_1_and_200_in_one_batch() -> None:
    decoder = crf(types=2)
    both = words([1, 200], len(decoder.tagging))
    found = decoder.decode(both, text_of(both))
    for row, length in enumerate([1, 200]):
        one = Units(
            both.vectors[row : row + 1, :length],
            both.mask[row : row + 1, :length],
            both.spans[row : row + 1, :length],
        )
        alone = decoder.decode(one, text_of(one))[0]
        assert [entity.entity for entity in found[row]] == [entity.entity for entity in alone]
        for a, b in zip(found[row], alone, strict=True):
            assert a.score == pytest.approx(b.score, abs=1e-9)
    assert len(found[1]) > 10


def test_padding_changes_nothing() -> None:
    decoder = crf(types=2)
    units = words([3, 7, 5], len(decoder.tagging))
    wild = Units(units.vectors.masked_fill(~units.mask.unsqueeze(-1), 1e3), units.mask, units.spans)
    gold = [[Entity(0, 2, "PER")], [Entity(5, 7, "LOC")], []]
    loss = decoder.loss(units, text_of(units), gold)["crf"]
    assert torch.isclose(loss, decoder.loss(wild, text_of(wild), gold)["crf"], atol=1e-9)
    assert decoder.decode(units, text_of(units)) == decoder.decode(wild, text_of(wild))


@pytest.mark.parametrize("scheme", [BIO, BIOES])
def test_only_legal_paths_even_when_emissions_ask_otherwise(scheme: Scheme) -> None:
    decoder = crf(scheme, types=2)
    for seed in range(5):
        units = words([1, 9, 20], len(decoder.tagging), seed, scale=50.0)
        for path in viterbi(units.vectors, units.mask, *decoder.scores()).tolist():
            assert is_legal([decoder.tagging.tags[tag] for tag in path if tag >= 0], scheme)


@pytest.mark.parametrize("scheme", [BIO, BIOES])
def test_single_precision_is_as_good(scheme: Scheme) -> None:
    decoder = crf(scheme, types=2)
    units = words([1, 40, 90], len(decoder.tagging))
    gold = [[], [Entity(2, 5, "PER")], [Entity(88, 90, "LOC")]]
    double = decoder.loss(units, text_of(units), gold)["crf"]
    entities = decoder.decode(units, text_of(units))
    decoder.float()
    single = Units(units.vectors.float(), units.mask, units.spans)
    loss = decoder.loss(single, text_of(single), gold)["crf"]
    assert loss.item() == pytest.approx(double.item(), rel=1e-5)
    found = decoder.decode(single, text_of(single))
    for a, b in zip(chain(*entities), chain(*found), strict=True):
        assert a.entity == b.entity
        assert a.score == pytest.approx(b.score, abs=1e-3)


@pytest.mark.parametrize("constrained", [True, False])
def test_every_parameter_gets_a_gradient(constrained: bool) -> None:
    decoder = crf(types=2, constrained=constrained).train()
    units = words([4, 2], len(decoder.tagging))
    decoder.loss(units, text_of(units), [[Entity(0, 2, "PER")], []])["crf"].backward()
    for name, parameter in decoder.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
            assert parameter.grad.isfinite().all(), name


def test_learns_a_toy_sequence() -> None:
    torch.manual_seed(0)
    decoder = Crf(8, ["LOC", "PER"], dropout=0.0)
    vectors = torch.randn(2, 6, 8)
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    units = Units.of_words(Text(vectors, vectors[:, 0], mask))
    gold = [[Entity(0, 2, "PER"), Entity(2, 3, "PER"), Entity(4, 6, "LOC")], [Entity(3, 4, "LOC")]]
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        decoder.loss(units, text_of(units), gold)["crf"].backward()
        optimizer.step()
    decoder.eval()
    found = decoder.decode(units, text_of(units))
    assert [[entity.entity for entity in sentence] for sentence in found] == gold
    assert all(entity.score > 0.9 for sentence in found for entity in sentence)
