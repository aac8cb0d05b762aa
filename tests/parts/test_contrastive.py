"""Contrastive alignment of the whole text with the whole picture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.aligners.contrastive import COLDEST, Contrastive, entities, info_nce, nt_xent
from zoo.aligners.late_interaction import Bags, late_interaction
from zoo.errors import ConfigError
from zoo.parts import ViewSpec
from zoo.types import Entity, Text, View

SPECS = {"grid": ViewSpec(6, 4), "caption": ViewSpec(5, None)}


def text(rows: int) -> Text:
    torch.manual_seed(0)
    return Text(torch.randn(rows, 3, 8), torch.randn(rows, 8), torch.ones(rows, 3) > 0)


def view(rows: int, present: list[int], regions: int = 4, width: int = 6) -> View:
    torch.manual_seed(1)
    mask = torch.zeros(rows, regions, dtype=torch.bool)
    mask[present] = True
    seen = mask.any(1, keepdim=True)
    return View(
        torch.randn(rows, regions, width) * mask.unsqueeze(-1),
        torch.randn(rows, width) * seen,
        mask,
    )


@pytest.mark.parametrize("objective", ["nt_xent", "info_nce"])
@pytest.mark.parametrize(("rows", "present"), [(3, []), (3, [1]), (1, [0]), (1, [])])
def test_nothing_to_contrast_with(objective: str, rows: int, present: list[int]) -> None:
    aligner = Contrastive(8, {"grid": SPECS["grid"]}, objective=objective)
    losses = aligner(text(rows), {"grid": view(rows, present)}, [[]] * rows).losses
    assert losses["contrastive.grid"].item() == 0


@pytest.mark.parametrize("objective", ["nt_xent", "info_nce"])
def test_rows_without_a_picture_are_left_out(objective: str) -> None:
    aligner = Contrastive(8, {"grid": SPECS["grid"]}, objective=objective)
    words, grid, kept = text(4), view(4, [0, 3]), [0, 3]
    fewer = Text(words.tokens[kept], words.sentence[kept], words.mask[kept])
    seen = View(grid.regions[kept], grid.pooled[kept], grid.mask[kept])
    loss = aligner(words, {"grid": grid}, [[]] * 4).losses["contrastive.grid"]
    assert loss > 0
    assert torch.isclose(loss, aligner(fewer, {"grid": seen}, [[]] * 2).losses["contrastive.grid"])


def test_one_loss_a_view_and_all_else_flows_on() -> None:
    aligner = Contrastive(8, SPECS)
    words, views = text(3), {"grid": view(3, [0, 1, 2]), "caption": view(3, [0, 2], 7, 5)}
    aligned = aligner(words, views, [[]] * 3)
    assert set(aligned.losses) == {"contrastive.grid", "contrastive.caption"}
    assert aligner.loss_names == ("contrastive",)
    assert aligned.text is words
    assert aligned.views is views
    sum(aligned.losses.values()).backward()
    for name, parameter in aligner.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_no_losses_when_predicting() -> None:
    aligner = Contrastive(8, {"grid": SPECS["grid"]})
    assert aligner(text(3), {"grid": view(3, [0, 1])}, None).losses == {}


def test_flattened_reads_every_region() -> None:
    aligner = Contrastive(8, SPECS, view={"grid": "flattened"})
    assert aligner.view_heads["grid"][0].in_features == 4 * 6
    assert aligner.view_heads["caption"][0].in_features == 5
    grid = view(3, [0, 1, 2])
    other = View(grid.regions.flip(1), grid.pooled, grid.mask)
    views = {"grid": grid, "caption": view(3, [], 7, 5)}
    one = aligner(text(3), views, [[]] * 3).losses["contrastive.grid"]
    assert one != aligner(text(3), {**views, "grid": other}, [[]] * 3).losses["contrastive.grid"]


def test_whole_is_flattened_where_that_can_be() -> None:
    aligner = Contrastive(8, SPECS, view="whole")
    assert aligner.view_heads["grid"][0].in_features == 4 * 6
    assert aligner.view_heads["caption"][0].in_features == 5
    assert Contrastive(8, SPECS, level="token", view="whole").view_heads["grid"][0].in_features == 6


def test_flattened_needs_a_fixed_number_of_regions() -> None:
    with pytest.raises(ConfigError, match="view `caption` has no fixed number of regions"):
        Contrastive(8, SPECS, view="flattened")


def test_an_unknown_view_is_named() -> None:
    with pytest.raises(ConfigError, match="names `gird`; did you mean `grid`"):
        Contrastive(8, SPECS, view={"gird": "flattened"})


@pytest.mark.parametrize("objective", [nt_xent, info_nce])
def test_pairs_that_agree_cost_less(objective: object) -> None:
    assert callable(objective)
    first, other, second = (bags([3, 1, 2], seed) for seed in (0, 0, 1))
    turned = Bags(other.vectors.roll(1, 0), other.mask.roll(1, 0))
    assert objective(first, other, 0.1) < objective(first, turned, 0.1)
    longer = Bags(3 * first.vectors, first.mask)
    torch.testing.assert_close(objective(first, second, 0.5), objective(longer, second, 0.5))
    torch.testing.assert_close(objective(first, second, 0.5), objective(second, first, 0.5))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_each_direction_has_its_share(share: float) -> None:
    """A text that picks its picture, and a picture that picks its text."""
    first, second = bags([1, 1, 1], 0), bags([1, 1, 1], 1)
    similarity = late_interaction(first, second) / 0.2
    one, other = (-each.log_softmax(1).diagonal().mean() for each in (similarity, similarity.T))
    expected = share * one + (1 - share) * other
    torch.testing.assert_close(info_nce(first, second, 0.2, share), expected)


def bags(sizes: list[int], seed: int, width: int = 5) -> Bags:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(sizes)) < torch.tensor(sizes).unsqueeze(1)
    return Bags(torch.randn(*mask.shape, width, generator=generator), mask)


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_late_interaction_is_the_formula(one: list[int], other: list[int], seed: int) -> None:
    """½ (mean_a max_b cos + mean_b max_a cos), pair by pair, without any padding."""
    first, second = bags(one, seed), bags(other, seed + 1)
    found = late_interaction(first, second)
    for i, n in enumerate(one):
        for j, m in enumerate(other):
            a, b = first.vectors[i, :n], second.vectors[j, :m]
            cosine = torch.cosine_similarity(a.unsqueeze(1), b.unsqueeze(0), dim=2)
            expected = (cosine.max(1).values.mean() + cosine.max(0).values.mean()) / 2
            torch.testing.assert_close(found[i, j], expected)
    assert (found.abs() <= 1 + 1e-5).all()


def test_entities_are_the_mean_of_their_words() -> None:
    words = text(3)
    gold = [[Entity(0, 2, "PER"), Entity(2, 3, "LOC")], [], [Entity(1, 2, "LOC")]]
    spans = entities(words, gold)
    assert spans.mask.tolist() == [[True, True], [False, False], [True, False]]
    torch.testing.assert_close(spans.vectors[0, 0], words.tokens[0, :2].mean(0))
    torch.testing.assert_close(spans.vectors[2, 0], words.tokens[2, 1])


@pytest.mark.parametrize("level", ["sentence", "token", "span"])
def test_each_level_looks_at_its_own(level: str) -> None:
    """A change of the sentence vector, of a word outside entities, of an entity's word."""
    aligner = Contrastive(8, {"grid": SPECS["grid"]}, level=level)
    words, views = text(3), {"grid": view(3, [0, 1, 2])}
    gold = [[Entity(0, 1, "PER")]] * 3
    before = aligner(words, views, gold).losses["contrastive.grid"]
    felt = []
    for place in ("sentence", 2, 0):
        tokens, sentence = words.tokens.clone(), words.sentence.clone()
        if place == "sentence":
            sentence[0] += 1
        else:
            tokens[0, place] += 1
        changed = Text(tokens, sentence, words.mask)
        felt.append(aligner(changed, views, gold).losses["contrastive.grid"] != before)
    assert felt == {"sentence": [1, 0, 0], "token": [0, 1, 1], "span": [0, 0, 1]}[level]


def test_sentences_without_entities_are_left_out_at_level_span() -> None:
    aligner = Contrastive(8, {"grid": SPECS["grid"]}, level="span")
    words, views = text(3), {"grid": view(3, [0, 1, 2])}
    gold = [[Entity(0, 1, "PER")], [], []]
    assert aligner(words, views, gold).losses["contrastive.grid"] == 0
    assert aligner(words, views, [*gold[:2], [Entity(2, 3, "LOC")]]).losses["contrastive.grid"] > 0


def test_a_learnt_temperature_is_trained_and_never_freezes() -> None:
    aligner = Contrastive(8, {"grid": SPECS["grid"]}, temperature=0.2, learn_temperature=True)
    assert aligner.temperature.item() == pytest.approx(0.2)
    aligner(text(3), {"grid": view(3, [0, 1, 2])}, [[]] * 3).losses["contrastive.grid"].backward()
    assert aligner.log_temperature is not None
    assert aligner.log_temperature.grad is not None
    aligner.log_temperature.data.fill_(-99)
    assert aligner.temperature.item() == pytest.approx(COLDEST)
    aligner.log_temperature.data.fill_(-6)
    aligner.log_temperature.grad = None
    aligner.temperature.backward()
    assert aligner.log_temperature.grad, "it can rise again"


# Several processes --------------------------------------------------------------------------------


def one_of_two(rank: int, folder: str) -> None:
    """Process ``rank`` has two of four rows, the second process with fewer regions."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    aligner, words, grid, gold = whole_batch()
    rows = slice(2 * rank, 2 * rank + 2)
    part = Text(words.tokens[rows], words.sentence[rows], words.mask[rows])
    cut = 4 - rank
    seen = View(grid.regions[rows, :cut], grid.pooled[rows], grid.mask[rows, :cut])
    loss = aligner(part, {"grid": seen}, gold[rows]).losses["contrastive.grid"]
    loss.backward()
    for parameter in aligner.parameters():  # as DistributedDataParallel does
        torch.distributed.all_reduce(parameter.grad)
        parameter.grad /= 2
    gradients = [parameter.grad for parameter in aligner.parameters()]
    torch.save((loss.detach(), gradients), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def whole_batch() -> tuple[Contrastive, Text, View, list[list[Entity]]]:
    torch.manual_seed(3)
    aligner = Contrastive(8, {"grid": ViewSpec(6, None)}, level="token")
    grid = view(4, [0, 2, 3])
    mask = grid.mask.clone()
    mask[2:, 3] = False
    grid = View(grid.regions * mask.unsqueeze(-1), grid.pooled, mask)
    return aligner, text(4), grid, [[]] * 4


def test_pairs_of_all_processes_are_contrasted(tmp_path: Path) -> None:
    """Two processes with half a batch each: the loss and the gradients of the whole batch."""
    aligner, words, grid, gold = whole_batch()
    loss = aligner(words, {"grid": grid}, gold).losses["contrastive.grid"]
    loss.backward()
    torch.multiprocessing.start_processes(
        one_of_two, args=(str(tmp_path),), nprocs=2, start_method="fork"
    )
    for rank in (0, 1):
        found, gradients = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(found, loss.detach())
        for gradient, parameter in zip(gradients, aligner.parameters(), strict=True):
            torch.testing.assert_close(gradient, parameter.grad)
