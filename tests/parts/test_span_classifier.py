"""Candidate spans, their loss, and greedy decoding."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from zoo.decoders.span_classifier import (
    SpanClassifier,
    candidates,
    case,
    span_loss,
    without_overlaps,
)
from zoo.errors import DataError
from zoo.types import Entity, Sample, ScoredEntity, Text, Units

TYPES = ["LOC", "PER"]


def words(lengths: list[int], width: int = 8, seed: int = 0) -> tuple[Units, Text]:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(len(lengths), max(lengths), width, generator=generator)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    text = Text(vectors, vectors[:, 0], mask)
    return Units.of_words(text), text


def spans(decoder: SpanClassifier, lengths: list[int], given_words: Units | None = None) -> Units:
    """The decoder's units of sentences that consist of the word ``Paris``."""
    made, text = words(lengths)
    samples = [Sample(str(i), ("Paris",) * length) for i, length in enumerate(lengths)]
    return decoder.units(made if given_words is None else given_words, text, samples)


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), max_width=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_all_spans_in_order_and_no_others(lengths: list[int], max_width: int) -> None:
    decoder = SpanClassifier(8, 8, TYPES, max_width=max_width).eval()
    units = spans(decoder, lengths)
    for row, length in enumerate(lengths):
        expected = [
            [start, end]
            for start in range(length)
            for end in range(start + 1, min(start + max_width, length) + 1)
        ]
        assert units.spans[row][units.mask[row]].tolist() == expected
    assert (units.spans[~units.mask] == 0).all()
    assert units.mask.shape[1] == len(candidates(max(lengths), max_width))


def test_a_span_is_its_ends_and_its_features() -> None:
    """The projection of the concatenation, though it is never concatenated."""
    decoder = SpanClassifier(8, 8, TYPES, max_width=3, width_dim=5, length_dim=4, case_dim=6).eval()
    made, text = words([5, 2])
    last = torch.randn(2, 5, 8)
    pieces = torch.tensor([[1, 3, 1, 2, 1], [1, 1, 0, 0, 0]])
    text = Text(text.tokens, text.sentence, text.mask, last=last, pieces=pieces)
    samples = [Sample("1", ("a", "NASA", "Paris", "iPhone", "b")), Sample("2", ("12", "d"))]
    units = decoder.units(Units.of_words(text), text, samples)
    row, unit = 0, units.spans[0].tolist().index([1, 4])
    width, length, kind = (decoder.features[name].weight for name in ("width", "length", "case"))
    vector = torch.cat(
        [
            text.tokens[row, 1],
            last[row, 3],
            width[3],  # 6 sub-words: the last bucket
            length[2].relu(),  # 3 words
            kind[0] + kind[2] + kind[4],  # upper, title, other
        ]
    )
    torch.testing.assert_close(units.vectors[row, unit], decoder.projection(vector))
    # words that a fuser has changed are one vector each
    again = decoder.units(made, text, samples)
    vector = torch.cat([text.tokens[row, 1], text.tokens[row, 3], vector[16:]])
    torch.testing.assert_close(again.vectors[row, unit], decoder.projection(vector))


@pytest.mark.parametrize("feature", ["width", "length", "case"])
def test_each_feature_can_be_left_out(feature: str) -> None:
    decoder = SpanClassifier(8, 8, TYPES, **{f"{feature}_dim": None})
    assert set(decoder.features) == {"width", "length", "case"} - {feature}
    assert spans(decoder, [3, 1]).vectors.isfinite().all()


@pytest.mark.parametrize(
    ("word", "kind"),
    [("NASA", 1), ("U.S.", 1), ("1st", 2), ("Paris", 3), ("@Nasa", 3), ("2017", 4), ("!", 5)],
)
def test_capitalisation(word: str, kind: int) -> None:
    assert case(word) == kind


def test_padding_changes_nothing() -> None:
    decoder = SpanClassifier(8, 8, TYPES).eval()
    together, text = words([5, 2])
    given_alone = Units(*(x[1:, :2] for x in (together.vectors, together.mask, together.spans)))
    text_alone = Text(text.tokens[1:, :2], text.sentence[1:], text.mask[1:, :2])
    units = spans(decoder, [5, 2])
    single = decoder.units(given_alone, text_alone, [Sample("1", ("Paris",) * 2)])
    torch.testing.assert_close(units.vectors[1][units.mask[1]], single.vectors[0][single.mask[0]])
    a, b = decoder.decode(units, text)[1], decoder.decode(single, text_alone)[0]
    assert [entity.entity for entity in a] == [entity.entity for entity in b]


def test_labels_leave_out_what_is_too_wide() -> None:
    decoder = SpanClassifier(8, 8, TYPES, max_width=2)
    _, text = words([6, 3])
    units = spans(decoder, [6, 3])
    gold = [[Entity(0, 2, "PER"), Entity(2, 5, "LOC"), Entity(5, 6, "LOC")], [Entity(1, 2, "LOC")]]
    labels = decoder.labels(units, text.mask.shape[1], gold)
    found = {
        (row, *units.spans[row, unit].tolist(), TYPES[labels[row, unit] - 1])
        for row, unit in labels.nonzero().tolist()
    }
    assert found == {(0, 0, 2, "PER"), (0, 5, 6, "LOC"), (1, 1, 2, "LOC")}


def test_unknown_type_is_named() -> None:
    decoder = SpanClassifier(8, 8, TYPES)
    _, text = words([3])
    with pytest.raises(DataError, match=r"`PERS` is unknown.*did you mean `PER`"):
        decoder.loss(spans(decoder, [3]), text, [[Entity(0, 1, "PERS")]])


def test_loss_divides_by_the_number_of_spans_not_of_weights() -> None:
    logits = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [9.0, 9.0]]])
    labels, mask = torch.tensor([[0, 1, 0]]), torch.tensor([[True, True, False]])
    o = -logits[0, 0].log_softmax(0)[0]
    entity = -logits[0, 1].log_softmax(0)[1]
    expected = (0.5 * o + entity) / 2
    assert torch.isclose(span_loss(logits, labels, mask, o_weight=0.5), expected)


def naive(entities: list[ScoredEntity]) -> list[ScoredEntity]:
    """Take the best span left, drop what shares a word with it, until nothing is left."""
    left, kept = list(entities), []
    while left:
        best = left[0]
        for other in left[1:]:
            longer = other.end - other.start > best.end - best.start
            as_long = other.end - other.start == best.end - best.start
            if other.score > best.score or (
                other.score == best.score and (longer or (as_long and other.start < best.start))
            ):
                best = other
        kept.append(best)
        words_of_best = set(range(best.start, best.end))
        left = [e for e in left if not words_of_best & set(range(e.start, e.end))]
    return sorted(kept)


@given(
    st.lists(
        st.builds(
            lambda start, width, kind, score: ScoredEntity(start, start + width, kind, score),
            st.integers(0, 8),
            st.integers(1, 4),
            st.sampled_from(TYPES),
            st.sampled_from([0.4, 0.6, 0.8]),
        ),
        unique_by=lambda entity: (entity.start, entity.end),
        max_size=15,
    )
)
def test_greedy_decoding_is_the_naive_one(entities: list[ScoredEntity]) -> None:
    assert without_overlaps(entities) == naive(entities)


def test_decode_takes_each_spans_best_type() -> None:
    decoder = SpanClassifier(8, 3, TYPES, max_width=2).eval()
    decoder.classifier = nn.Identity()
    units = spans(decoder, [3, 1])
    logits = torch.full((2, 5, 3), -5.0)
    logits[..., 0] = 5.0
    for row, span, kind, logit in [(0, [0, 2], 2, 9.0), (0, [1, 2], 1, 8.0), (0, [2, 3], 1, 7.0)]:
        logits[row, units.spans[row].tolist().index(span), kind] = logit
    logits[1, 1:] = torch.tensor([0.0, 0.0, 99.0])  # padding is never an entity
    text = Text(torch.zeros(2, 3, 8), torch.zeros(2, 8), torch.ones(2, 3, dtype=torch.bool))
    found = decoder.decode(Units(logits, units.mask, units.spans), text)
    assert [entity.entity for entity in found[0]] == [Entity(0, 2, "PER"), Entity(2, 3, "LOC")]
    assert found[0][0].score == pytest.approx(torch.tensor([5.0, -5.0, 9.0]).softmax(0)[2].item())
    assert found[1] == []


def test_probabilities_in_half_precision_still_tell_candidates_apart() -> None:
    """Logits of 8 and of 9 against 0: in half precision both softmaxes are 1."""
    decoder = SpanClassifier(8, 3, TYPES, max_width=2).eval()
    units = spans(decoder, [2])
    logits = torch.tensor([[[0.0, 9.0, 0.0], [0.0, 0.0, 8.0], [0.0, -9.0, -9.0]]])
    decoder.classifier = nn.Identity()
    _, text = words([2])
    half = Units(logits.bfloat16(), units.mask, units.spans)
    (found,) = decoder.decode(half, text)
    assert [entity.entity for entity in found] == [Entity(0, 1, "LOC")]
    assert 0.999 < found[0].score < 1


@pytest.mark.parametrize("hidden", [False, True])
def test_it_learns(hidden: bool) -> None:
    torch.manual_seed(0)
    decoder = SpanClassifier(8, 8, TYPES, hidden=hidden, dropout=0.0, hidden_dropout=0.0)
    _, text = words([6, 4, 1])
    gold = [[Entity(0, 4, "PER"), Entity(5, 6, "LOC")], [Entity(1, 3, "LOC")], []]
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        decoder.loss(spans(decoder, [6, 4, 1]), text, gold)["spans"].backward()
        optimizer.step()
    decoder.eval()
    found = decoder.decode(spans(decoder, [6, 4, 1]), text)
    assert [[entity.entity for entity in sentence] for sentence in found] == gold
