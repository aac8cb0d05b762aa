"""MAF's released modules, reproduced by the parts of the system ``maf``."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.config.config import shipped_file
from zoo.config.read import read
from zoo.parts import ViewSpec
from zoo.types import Text, Units, View

ROWS, LENGTH, WIDTH, CHANNELS = 5, 6, 12, 14
VIEWS = {"grid": ViewSpec(CHANNELS, 9)}
FUSER_SIZES = {"heads": 3, "feed_forward": 20 / 12, "mismatched": 2 / 5}
RELEASED_MATCH = {"exchange": "attended", "positions": LENGTH}
WITHOUT_CONSTRAINTS = {"constrained": False}
EVERYWHERE = torch.ones(ROWS, LENGTH, dtype=torch.bool)
"""The released match reads padding, too; its other steps read each position by itself."""


def view_of(stored: dict[str, Tensor]) -> View:
    regions = stored["in.image_grid"].flatten(2).transpose(1, 2)  # by row, then by column
    return View(regions, stored["in.image_global"], torch.ones(ROWS, 9, dtype=torch.bool))


def test_matching_gate_and_alignment(
    case, agrees, load_linear, load_attention, registered, monkeypatch
) -> None:
    stored = case("maf/matching_gate_and_alignment")
    states, mask = stored["in.text_states"], stored["in.text_mask"].bool()
    view = view_of(stored)
    known = {"width": WIDTH, "views": VIEWS}

    aligner = registered("maf", "aligner", known).eval()
    for head, name in {aligner.text_head: "text", aligner.view_heads["grid"]: "image"}.items():
        for place, number in {0: 1, 2: 2}.items():
            state = {
                "weight": stored[f"w.align_{name}.W{number}"],
                "bias": stored[f"w.align_{name}.b{number}"],
            }
            head[place].load_state_dict(state)
    text = Text(states, stored["in.text_pooled"], mask)
    gold = [[]] * ROWS
    agrees(aligner.said(text, gold).vectors.squeeze(1), stored["mid.align_text"])
    agrees(aligner.seen("grid", view).vectors.squeeze(1), stored["mid.align_image"])
    losses = dict(aligner(text, {"grid": view}, gold).losses)
    agrees(losses["contrastive.grid"], stored["out.alignment_loss"])

    fuser = registered("maf", "fuser", known, FUSER_SIZES, RELEASED_MATCH)
    load_linear(fuser.projections["grid"], stored, "w.visual_projection")
    where = "w.text_over_image_block"
    load_attention(fuser.attention, stored, where, (f"{where}.ln1_", f"{where}.ln2_"))
    load_linear(fuser.match, stored, "w.match")
    # each of the two released layers of the gate has a bias; they are only ever added
    bias = stored["w.gate_text.b"] + stored["w.gate_image.b"]
    fuser.gate_text.load_state_dict({"weight": stored["w.gate_text.W"], "bias": bias})
    fuser.gate_picture.load_state_dict({"weight": stored["w.gate_image.W"]})
    fuser.attention.dropout.p = 0.0
    monkeypatch.setattr(torch, "randperm", torch.arange)  # the last rows of the batch, in order
    made: dict[str, Tensor] = {}
    fuser.attention.register_forward_hook(lambda _, __, x: made.update(seen=x))
    fuser.match.register_forward_hook(lambda _, __, x: made.update(logits=x))
    units = Units.of_words(Text(states, text.sentence, EVERYWHERE))

    decoder = registered(
        "maf",
        "decoder",
        {"fused": 2 * WIDTH, "types": list("abcdef")},  # 13 tags
        released=WITHOUT_CONSTRAINTS,
    ).eval()
    load_linear(decoder.emission, stored, "w.emission")
    scores = {
        "transitions": stored["w.crf.transition_from_to"],
        "start_transitions": stored["w.crf.start"],
        "end_transitions": stored["w.crf.end"],
    }
    decoder.crf.load_state_dict(scores, strict=False)

    for mode, training in {"training": True, "inference": False}.items():
        fused = fuser.train(training)(units, {"grid": view})
        agrees(made["seen"], stored["mid.word_aware_visual"])
        agrees(made["logits"], stored[f"mid.match_logits_{mode}"])
        agrees(fused.vectors, stored[f"mid.fused_{mode}"])
        agrees(decoder.emissions(fused), stored[f"out.emission_{mode}"])
        if not training:
            assert not fused.losses
            continue
        partner = fuser.partners(view.present)
        matches = partner == torch.arange(ROWS)
        assert torch.equal(matches.long(), stored["mid.match_labels"])
        losses |= fused.losses
        agrees(losses["match"], stored["out.match_loss"])
        losses["crf"] = decoder.negative_log_likelihood(
            decoder.emissions(fused), stored["in.tags"], mask
        )
        agrees(losses["crf"], stored["out.main_nll_batch_mean"])
    weights = read(shipped_file()).spec("maf", "tiny").loss_weights
    total = sum(weights[name.partition(".")[0]] * loss for name, loss in losses.items())
    agrees(total, stored["out.total_loss"])
