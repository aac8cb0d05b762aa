"""SMNER's released modules, reproduced: float64, 1e-9; pruning as it was intended."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from zoo.decoders.span_classifier import SpanClassifier, span_loss, without_overlaps
from zoo.fusers.cross_attention import CrossAttention
from zoo.parts import ViewSpec
from zoo.types import ScoredEntity, Text, Units, View

FOLDER = Path(__file__).parent / "smner"


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-9, rtol=0)


def load(module: nn.Module, case: dict[str, Tensor], name: str) -> None:
    module.load_state_dict({"weight": case[f"{name}.weight"], "bias": case[f"{name}.bias"]})


def test_cross_modal_attention() -> None:
    case = load_file(FOLDER / "cross_modal_attention.safetensors")
    spans, visual = case["input.span_states"], case["input.visual_states"]
    view = View(visual[:, 1:], visual[:, 0], torch.ones(5, 6, dtype=torch.bool))
    offsets = torch.zeros(5, 14, 2, dtype=torch.int64)
    units = Units(spans, torch.ones(5, 14, dtype=torch.bool), offsets)
    fuser = CrossAttention(48, {"grid": ViewSpec(48, 6)}, level="span", heads=4, feed_forward=96)
    fuser = fuser.double().eval()
    layer = fuser.attention
    for part in ("query", "value", "output"):
        load(getattr(layer, part), case, f"attention.{part}")
    layer.key.load_state_dict({"weight": case["attention.key.weight"]})  # its bias is idle
    load(layer.layer_norm, case, "attention.layer_norm")
    load(layer.feed_forward_norm, case, "feed_forward.layer_norm")
    assert isinstance(layer.feed_forward, nn.Sequential)
    load(layer.feed_forward[0], case, "feed_forward.in")
    load(layer.feed_forward[2], case, "feed_forward.out")
    close(fuser(units, {"grid": view}).vectors, case["output.cross_modal"])
    layer.feed_forward = None
    close(fuser(units, {"grid": view}).vectors, case["output.after_attention"])


def test_classifier_loss() -> None:
    case = load_file(FOLDER / "classifier_loss.safetensors")
    vectors = torch.cat([case["input.span_states"], case["input.cross_modal"]], -1)
    decoder = SpanClassifier(48, 96, ["A", "B", "C", "D"], hidden=96, o_weight=0.5)
    decoder = decoder.double().eval()
    assert isinstance(decoder.classifier, nn.Sequential)
    load(decoder.classifier[0], case, "classifier.layer1")
    load(decoder.classifier[3], case, "classifier.layer2")
    logits = decoder.classifier(vectors)
    close(logits, case["output.logits"])
    close(logits.softmax(-1), case["output.probabilities"])
    close(span_loss(logits, case["input.labels"], case["input.mask"], 0.5), case["output.loss"])


def test_pruning_of_whole_tensors() -> None:
    case = load_file(FOLDER / "pruning.safetensors")
    mask, inclusive = case["input.span_mask"], case["input.span_word_index"]
    spans = (inclusive + torch.tensor([0, 1])) * mask.unsqueeze(-1)
    types = ["1", "2", "3", "4"]
    decoder = SpanClassifier(8, 5, types).double().eval()
    decoder.classifier = nn.Identity()
    logits = case["input.probabilities"].log()
    empty = torch.zeros(len(mask), 1, 1)
    text = Text(empty, empty[:, 0], torch.ones(len(mask), 1, dtype=torch.bool))
    found = decoder.decode(Units(logits, mask, spans), text)
    labels = torch.zeros_like(case["output.intended_labels"])
    for row, entities in enumerate(found):
        places = spans[row].tolist()
        for start, end, kind, _ in entities:
            labels[row, places.index([start, end])] = int(kind)
    assert torch.equal(labels * mask, case["output.intended_labels"] * mask)


def test_pruning_of_each_sentence() -> None:
    sentences = json.loads((FOLDER / "pruning.json").read_text(encoding="utf-8"))["sentences"]
    assert len(sentences) == 13
    for sentence in sentences:
        entities = [
            ScoredEntity(first, last + 1, str(kind), score)
            for first, last, kind, score in sentence["candidates"]
        ]
        kept = [[e.start, e.end - 1, int(e.type)] for e in without_overlaps(entities)]
        assert kept == sorted(sentence["intended"]), sentence["note"]
