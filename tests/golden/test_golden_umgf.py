"""UMGF's released modules, reproduced by the parts of the system ``umgf``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo.decoders.viterbi import viterbi
from zoo.fusers.gated_graph import GraphLayer
from zoo.parts import ViewSpec
from zoo.types import Text, Units, View

SIZES = {"hidden": 16, "heads": 4, "feed_forward": 12 / 16}
WITHOUT_CONSTRAINTS = {"constrained": False}
OBJECTS = torch.ones(2, 4, dtype=torch.bool)

Case = dict[str, Tensor]


def norm(case: Case, name: str) -> dict[str, Tensor]:
    return {"weight": case[f"w.ln_{name}.gain"], "bias": case[f"w.ln_{name}.bias"]}


def put(layer: GraphLayer, case: Case, load_attention: Any) -> None:
    """Put the weights of a released layer into ours; the last one has no messages to objects."""
    load_attention(layer.words_among, case, "w.text_self", ("w.ln_text_self.",))
    where = "w.object_self"
    layer.query.load_state_dict({"weight": case[f"{where}.W_Q"], "bias": case[f"{where}.b_Q"]})
    layer.key.load_state_dict({"weight": case[f"{where}.W_K"]})  # its bias is idle
    layer.objects_norm.load_state_dict(norm(case, "object_self"))
    for gate, update, name, other in (
        (layer.to_words, layer.words_update, "text", "object"),
        (layer.to_objects, layer.objects_update, "object", "text"),
    ):
        if gate is None or update is None:
            continue
        where = f"w.gate_{name}_from_{other}"
        text, picture = case[f"{where}.W"].chunk(2, dim=1)  # of both gates: the text first
        own, others = (text, picture) if name == "text" else (picture, text)
        gate.receiver.load_state_dict({"weight": own, "bias": case[f"{where}.b"]})
        gate.sender.load_state_dict({"weight": others})
        update.norm.load_state_dict(norm(case, f"{name}_cross"))
        update.feed_forward_norm.load_state_dict(norm(case, f"{name}_ffn"))
        for place, number in {0: 1, 2: 2}.items():
            state = {
                "weight": case[f"w.ffn_{name}.W{number}"],
                "bias": case[f"w.ffn_{name}.b{number}"],
            }
            update.feed_forward[place].load_state_dict(state)


def watch(module: torch.nn.Module, made: dict[str, Any], name: str) -> None:
    module.register_forward_hook(lambda _, __, result: made.update({name: result}))


def test_graph_fusion_layer(case, agrees, load_attention, registered) -> None:
    stored = case("umgf/graph_fusion_layer")
    known = {"width": 20, "views": {"grid": ViewSpec(18, 4)}}
    layer = registered("umgf", "fuser", known, SIZES).eval().layers[0]
    put(layer, stored, load_attention)
    norms = [m for m in layer.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert [m.eps for m in norms] == [1e-5] * 6
    made: dict[str, Any] = {}
    for module, name in {
        layer.words_among: "text_after_self",
        layer.objects_norm: "object_after_self",
        layer.to_words: "message_to_text",
        layer.to_objects: "message_to_object",
        layer.words_update.norm: "text_after_cross",
        layer.objects_update.norm: "object_after_cross",
    }.items():
        watch(module, made, name)
    mask = stored["in.text_mask"].bool()
    words, objects = layer(stored["in.text_nodes"], stored["in.object_nodes"], mask, OBJECTS)
    # on padding the release stores a message of 0; ours is never read
    assert not stored["mid.message_to_text"][~mask].any()
    for name, value in made.items():
        real = mask if "text" in name and "to_object" not in name else OBJECTS
        agrees(value[real], stored[f"mid.{name}"][real])
    agrees(words[mask], stored["out.text_nodes"][mask])
    agrees(objects, stored["out.object_nodes"])


def test_stack_and_crf(case, agrees, load_linear, load_attention, registered) -> None:
    stored = case("umgf/stack_and_crf")
    states, mask = stored["in.bert_states"], stored["in.text_mask"].bool()
    features = stored["in.object_features"]
    known = {"width": 20, "views": {"grid": ViewSpec(18, 4)}}
    fuser = registered("umgf", "fuser", known, SIZES).eval()
    load_linear(fuser.words, stored, "w.text_projection")
    for linear, number in {fuser.objects["grid"]: 1, fuser.object: 2}.items():
        where = "w.object_projection"
        state = {"weight": stored[f"{where}.W{number}"], "bias": stored[f"{where}.b{number}"]}
        linear.load_state_dict(state)
    made: list[Any] = []
    for number, layer in enumerate(fuser.layers):
        own = {k: v[number] for k, v in stored.items() if k.startswith(FIRST_AXIS)}
        put(layer, own, load_attention)
        layer.register_forward_hook(lambda _, __, result: made.append(result))

    view = View(features, features.mean(1), OBJECTS)
    agrees(fuser.words(states), stored["mid.text_nodes_0"])
    agrees(fuser.nodes({"grid": view}), stored["mid.object_nodes_0"])
    units = fuser(Units.of_words(Text(states, states[:, 0], mask)), {"grid": view})
    for number, (words, _) in enumerate(made):
        agrees(words[mask], stored["mid.text_nodes_per_layer"][number][mask])
    agrees(made[0][1], stored["mid.object_nodes_per_layer"][0])

    decoder = registered(
        "umgf",
        "decoder",
        {"fused": 36, "types": list("abcdef")},  # 13 tags
        released=WITHOUT_CONSTRAINTS,
    ).eval()
    load_linear(decoder.emission, stored, "w.emission")
    scores = {
        "transitions": stored["w.crf.transition_from_to"],
        "start_transitions": stored["w.crf.start"],
        "end_transitions": stored["w.crf.end"],
    }
    decoder.crf.load_state_dict(scores, strict=False)
    emissions = decoder.emissions(units)
    agrees(emissions[mask], stored["out.emission"][mask])
    nll = decoder.negative_log_likelihood(emissions, stored["in.tags"], mask)
    agrees(2 * nll, stored["out.nll_batch_sum"])  # released: the sum over the batch
    best = viterbi(emissions, mask, *decoder.scores())
    assert torch.equal(best, stored["out.viterbi_tags"])


FIRST_AXIS = ("w.text_self", "w.object_self", "w.gate_", "w.ln_", "w.ffn_")
"""Whose weights are stored for all layers together, on a first axis."""
