"""UMT's released modules, reproduced by the parts of the system ``umt``."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from zoo.config.config import shipped_file
from zoo.config.read import read
from zoo.decoders.tagging import Tagging
from zoo.decoders.viterbi import viterbi
from zoo.parts import ViewSpec
from zoo.types import Text, Units, View

FACTS = json.loads(
    (Path(__file__).parent / "umt" / "auxiliary_and_emission.json").read_text(encoding="utf-8")
)
TYPES = ["MISC", "PER", "ORG", "LOC"]
SIZES = {"heads": 4, "feed_forward": 2.0}
WITHOUT_CONSTRAINTS = {"constrained": False}


def text_of(states: Tensor, mask: Tensor) -> Text:
    return Text(states, states[:, 0], mask)


def test_fusion(case, agrees, load_linear, load_attention, registered) -> None:
    stored = case("umt/fusion")
    states, mask = stored["in.text_states"], stored["in.text_mask"].bool()
    regions = stored["in.image_grid"].flatten(2).transpose(1, 2)  # by row, then by column
    known = {"width": 16, "views": {"grid": ViewSpec(20, 49)}}
    fuser = registered("umt", "fuser", known, SIZES).eval()
    load_linear(fuser.for_units["grid"], stored, "w.visual_projection_1")
    load_linear(fuser.for_regions["grid"], stored, "w.visual_projection_2")
    load_linear(fuser.gate, stored, "w.visual_gate")
    for block, name in {
        fuser.units_to_units: "text_self",
        fuser.units_to_regions: "text_over_image",
        fuser.regions_to_units: "image_over_text",
        fuser.units_to_aware_regions: "text_over_P",
    }.items():
        where = f"w.{name}_block"
        load_attention(block, stored, where, (f"{where}.ln1_", f"{where}.ln2_"))

    outputs = {}
    for block, name in {
        fuser.units_to_units: "text_self_attended",
        fuser.units_to_regions: "word_aware_visual_Q",
        fuser.regions_to_units: "image_over_text_P",
        fuser.units_to_aware_regions: "image_aware_word_A",
    }.items():
        block.register_forward_hook(lambda _, __, made, name=name: outputs.update({name: made}))
    view = View(regions, regions.mean(1), torch.ones(2, 49, dtype=torch.bool))
    fused = fuser(Units.of_words(text_of(states, mask)), {"grid": view}).vectors
    for name, made in outputs.items():
        agrees(made, stored[f"mid.{name}"])
    agrees(fused[..., 16:], stored["mid.gated_visual"])
    agrees(fused, stored["out.fused"])


class WordPieceTags(Tagging):
    """The tags of the released code, which reads sub-words and tags padding and separators."""

    def __init__(self, types, scheme) -> None:
        super().__init__(types, scheme)
        self.tags = FACTS["tag_order_main" if len(types) > 1 else "tag_order_aux"]
        self.tags = [f"{tag}-entity" if tag in ("B", "I") else tag for tag in self.tags]


def test_auxiliary_and_emission(
    case, agrees, load_linear, load_attention, registered, monkeypatch
) -> None:
    stored = case("umt/auxiliary_and_emission")
    states, mask = stored["in.text_states"], stored["in.text_mask"].bool()
    monkeypatch.setattr("zoo.decoders.crf.Tagging", WordPieceTags)
    known = {"fused": 32, "text_width": 16, "types": TYPES}
    decoder = registered("umt", "decoder", known, SIZES, WITHOUT_CONSTRAINTS).eval()
    where = "w.aux_self_block"
    load_attention(decoder.block, stored, where, (f"{where}.ln1_", f"{where}.ln2_"))
    for crf, name in {decoder.typed: "main", decoder.untyped: "aux"}.items():
        load_linear(crf.emission, stored, f"w.{name}_emission")
        scores = {
            "transitions": stored[f"w.{name}_crf.transition_from_to"],
            "start_transitions": stored[f"w.{name}_crf.start"],
            "end_transitions": stored[f"w.{name}_crf.end"],
        }
        crf.crf.load_state_dict(scores, strict=False)
    agrees(decoder.conversion, stored["in.conversion_matrix"])

    text = text_of(states, mask)
    units = Units.of_words(text).with_vectors(stored["in.fused"])
    agrees(decoder.block(states, states, mask), stored["mid.aux_self_attended"])
    agrees(decoder.typed.emissions(units), stored["out.main_emission"])
    typed, untyped = decoder.emissions(units, text)
    agrees(untyped, stored["out.aux_emission"])
    agrees(untyped @ decoder.conversion, stored["out.converted_aux_emission"])
    agrees(typed, stored["out.combined_emission"])
    best = viterbi(typed, mask, *decoder.typed.scores())
    assert torch.equal(best, stored["out.viterbi_tags"])

    for crf, name in {decoder.typed: "tags", decoder.untyped: "aux_tags"}.items():
        monkeypatch.setattr(crf.tagging, "encode", lambda *_, tags=stored[f"in.{name}"]: tags)
    losses = decoder.loss(units, text, [[], []])
    agrees(losses["crf"], stored["out.main_nll_batch_mean"])
    agrees(losses["entity_spans"], stored["out.aux_nll_batch_mean"])
    weights = read(shipped_file()).spec("umt", "tiny").loss_weights
    total = sum(weights.get(name, 1.0) * loss for name, loss in losses.items())
    agrees(total, stored["out.total_loss"])
