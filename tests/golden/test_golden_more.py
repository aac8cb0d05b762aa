"""MoRe's released cross-view loss, reproduced by the objective of ``more-cross-view``."""

from __future__ import annotations

import pytest
import torch

from zoo.config.config import shipped_file
from zoo.config.read import read
from zoo.decoders.tagging import Tagging
from zoo.parts import TextEncoder
from zoo.system import System
from zoo.types import Batch, Sample, Text

TYPES = ["T"]
WITHOUT_CONSTRAINTS = {"constrained": False}


class FourTags(Tagging):
    """The stored case has four tags, as no set of types has them."""

    def __init__(self, types, scheme) -> None:
        super().__init__(types, scheme)
        self.tags = ["O", "B-T", "I-T", "E-T"]


class Stored(TextEncoder):
    """Emissions in place of states: of the sentence with what stands behind it, and alone."""

    context_fields = ("caption",)
    width = 4

    def prepare(self, sample):
        raise AssertionError("the inputs are those of the stored case")

    collate = prepare

    def alone(self, inputs):
        return {"emissions": inputs["alone"], "mask": inputs["mask"]}

    def forward(self, inputs) -> Text:
        words = inputs["emissions"][:, : inputs["mask"].shape[1]]
        return Text(words, words[:, 0], inputs["mask"])


@pytest.fixture
def made(case, registered, monkeypatch):
    """The stored case, and the system and the batch that it stands for."""
    stored = case("more/cross_view_crf_kl")
    monkeypatch.setattr("zoo.decoders.crf.Tagging", FourTags)
    known = {"fused": 4, "types": TYPES}

    def build(name: str, dropout=None, temperature=None) -> tuple[System, Batch]:
        decoder = registered(name, "decoder", known, dropout, WITHOUT_CONSTRAINTS)
        decoder.emission.load_state_dict({"weight": torch.eye(4), "bias": torch.zeros(4)})
        scores = {
            "transitions": stored["w.crf.transition_from_to"],
            "start_transitions": stored["w.crf.start"],
            "end_transitions": stored["w.crf.end"],
        }
        decoder.crf.load_state_dict(scores, strict=False)
        monkeypatch.setattr(decoder.tagging, "encode", lambda *_: stored["in.tags"])
        objective = registered(name, "objective", {}, temperature)
        weights = read(shipped_file()).spec(name, "tiny").loss_weights
        system = System(Stored(), {}, None, None, decoder, weights, objective)
        inputs = {
            "emissions": stored["in.extended_view_emission"],
            "alone": stored["in.original_view_emission"],
            "mask": stored["in.original_mask"].bool(),
        }
        return system, Batch([Sample("1", ("a",)), Sample("2", ("a",))], {"text": inputs})

    return stored, build


def test_cross_view(made, agrees) -> None:
    stored, build = made
    system, batch = build("more-cross-view")
    output = system.train()(batch)
    mask = batch.inputs["text"]["mask"]
    extended = system.decoder.log_marginals(output.units, output.text)
    agrees(extended, stored["mid.log_posterior_extended"])
    alone = system.decoder.marginals_of(stored["in.original_view_emission"], mask)
    agrees(alone, stored["mid.log_posterior_original"])
    agrees(output.losses["crf"], stored["out.nll_extended_batch_mean"])
    agrees(output.losses["alone"], 0.5 * stored["out.nll_original_batch_mean"])
    agrees(output.losses["cross_view"], stored["out.cross_view_kl"])
    agrees(system.total(output.losses), stored["out.total_loss"])


def test_ita_weighs_the_same_losses_otherwise(made, agrees) -> None:
    """A sentence alone counts 1; one with context half, and half its divergence."""
    stored, build = made
    system, batch = build("ita", {"dropout": 0.0}, {"temperature": 1.0})  # as stored
    wanted = stored["out.nll_original_batch_mean"] + 0.5 * (
        stored["out.nll_extended_batch_mean"] + stored["out.cross_view_kl"]
    )
    agrees(system.total(system.train()(batch).losses), wanted)
