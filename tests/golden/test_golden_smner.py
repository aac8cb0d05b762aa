"""SMNER's released modules, reproduced by the parts of the system ``smner``; the KL divergence and
the pruning as they were meant."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from zoo.aligners.information_bottleneck import InformationBottleneck, kl_divergence
from zoo.decoders.span_classifier import SpanClassifier, case, span_loss, without_overlaps
from zoo.encoders.pretrained import Pieces, Pretrained
from zoo.fusers.cross_attention import CrossAttention
from zoo.parts import ViewSpec
from zoo.tags import read_tags
from zoo.types import Sample, ScoredEntity, Text, Units, View

FOLDER = Path(__file__).parent / "smner"
load_golden = pytest.fixture(lambda case: case, name="golden")
"""The fixture ``case`` by another name: here, a case is also a word's capitalisation."""


def described(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def test_span_representation(golden, close, monkeypatch) -> None:
    """From the raw words and the sub-words' states to the spans' vectors and labels."""
    stored = golden("smner/span_representation")
    facts = described("span_representation")
    types = facts["labels"][1:]
    samples, rows = [], []
    for i, sentence in enumerate(facts["sentences"]):
        entities = tuple(read_tags(sentence["bio"], "lenient"))
        samples.append(Sample(str(i), tuple(sentence["words"]), entities))
        places, start = [], 1
        for pieces in sentence["pieces"]:
            places.append((0, start, len(pieces)))
            start += len(pieces)
        rows.append(Pieces([[0] * (1 + start)], places))

    # the encoder, with the stored states in place of the network's
    encoder = Pretrained.__new__(Pretrained)
    nn.Module.__init__(encoder)
    encoder.splitter = SimpleNamespace(pad=0, summary=0)
    encoder.sentence, encoder.width, encoder._block, encoder.context_fields = "first", 32, 1, ()
    states = stored["input.token_states"]
    inputs = encoder.collate(rows)
    monkeypatch.setattr(
        encoder, "states", lambda inputs: (states[:, : inputs["input_ids"].shape[1]], None)
    )
    text = encoder(inputs)

    decoder = SpanClassifier(32, 32, types, width_dim=6, length_dim=5, case_dim=8).eval()
    assert decoder.sizes == [32, 32, 6, 5, 8]
    # rows 0 of the released tables are of words and spans that are not there
    for name, weight in {
        "width": stored["width_bucket.embedding.weight"],
        "length": stored["word_length.embedding.weight"][1:],
        "case": stored["capitalisation.embedding.weight"][1:],
    }.items():
        decoder.features[name].load_state_dict({"weight": weight})
    # the projection as the identity: what comes out is what it is given
    decoder.projection = nn.Linear(83, 83)
    decoder.projection.load_state_dict({"weight": torch.eye(83), "bias": torch.zeros(83)})
    units = decoder.units(Units.of_words(text), text, samples)

    mask = units.mask
    expected = stored["output.span_mask"]
    assert torch.equal(mask.sum(1), expected.sum(1))
    wanted = stored["output.span_word_index"] + torch.tensor([0, 1])
    assert torch.equal(units.spans[mask], wanted[expected])
    close(units.vectors[mask], stored["output.span_representation"][expected])
    labels = decoder.labels(units, text.mask.shape[1], [sample.entities for sample in samples])
    assert torch.equal(labels[mask], stored["output.span_label"][expected])
    for sample, row in zip(samples, stored["output.word_case_id"], strict=True):
        assert [case(word) for word in sample.words] == row[: len(sample.words)].tolist()
    assert sum(e.end - e.start > 4 for sample in samples for e in sample.entities) == 1


def bottleneck_from(stored: dict[str, Tensor], load) -> InformationBottleneck:
    aligner = InformationBottleneck(32, {"grid": ViewSpec(32, 1)})
    nets = aligner.bottlenecks["grid"]
    for name, net in {
        "text_encoder": aligner.text.layers,
        "image_encoder": nets.image.layers,
        "discriminator": nets.discriminator,
    }.items():
        for number, layer in enumerate((net[0], net[2], net[4]), 1):
            load(layer, stored, f"{name}.layer{number}")
    return aligner


def test_information_bottleneck(golden, close, load, monkeypatch) -> None:
    stored = golden("smner/information_bottleneck")
    aligner = bottleneck_from(stored, load)
    sentence, pooled = stored["input.text_pooled"], stored["input.image_global"]
    text = Text(sentence.unsqueeze(1), sentence, torch.ones(5, 1, dtype=torch.bool))
    view = View(pooled.unsqueeze(1), pooled, torch.ones(5, 1, dtype=torch.bool))

    said, seen = aligner.text(sentence), aligner.bottlenecks["grid"].image(pooled)
    for name, gaussian in {"text": said, "image": seen}.items():
        close(gaussian.mean, stored[f"output.{name}_mu"])
        close(gaussian.deviation, stored[f"output.{name}_sigma"])
        sample = gaussian.sample(stored[f"input.noise_{name}"])
        close(sample, stored[f"output.{name}_sample"])
    each = kl_divergence(seen, said)
    close(each, stored["output.analytic_kl_per_example"], relative=True)

    noise = iter([stored["input.noise_text"], stored["input.noise_image"]])
    monkeypatch.setattr(torch, "randn_like", lambda x: next(noise).view_as(x))
    aligned = aligner.train()(text, {"grid": view}, [[]] * 5)
    latent = aligned.views["grid"].pooled
    close(latent, stored["output.image_sample"])  # what flows on is the very sample
    score = aligner.bottlenecks["grid"].score
    close(score(latent, stored["output.text_sample"]), stored["output.score_positive"])
    close(score(latent.roll(1, 0), stored["output.text_sample"]), stored["output.score_negative"])
    information = -aligned.losses["mutual_information.grid"]
    close(information, stored["output.mutual_information"])
    close(aligned.losses["kl.grid"], stored["output.analytic_kl"], relative=True)
    loss = -0.1 * information + 0.001 * aligned.losses["kl.grid"]
    close(loss, stored["output.loss_ib_with_analytic_kl"])

    still = aligner.eval()(text, {"grid": view}, None)
    close(still.views["grid"].pooled, stored["output.image_mu"])


def test_cross_modal_attention(golden, close, load) -> None:
    stored = golden("smner/cross_modal_attention")
    spans, visual = stored["input.span_states"], stored["input.visual_states"]
    view = View(visual[:, 1:], visual[:, 0], torch.ones(5, 6, dtype=torch.bool))
    offsets = torch.zeros(5, 14, 2, dtype=torch.int64)
    units = Units(spans, torch.ones(5, 14, dtype=torch.bool), offsets)
    specs = {"grid": ViewSpec(48, 6)}
    fuser = CrossAttention(48, specs, level="span", heads=4, feed_forward=2, concat=True).eval()
    layer = fuser.attention
    for part in ("query", "key", "value", "output"):  # the key's bias is idle: we have none
        load(getattr(layer, part), stored, f"attention.{part}")
    load(layer.layer_norm, stored, "attention.layer_norm")
    load(layer.feed_forward_norm, stored, "feed_forward.layer_norm")
    assert isinstance(layer.feed_forward, nn.Sequential)
    load(layer.feed_forward[0], stored, "feed_forward.in")
    load(layer.feed_forward[2], stored, "feed_forward.out")
    fused = fuser(units, {"grid": view}).vectors
    close(fused[..., :48], spans)
    close(fused[..., 48:], stored["output.cross_modal"])
    layer.feed_forward = None
    close(fuser(units, {"grid": view}).vectors[..., 48:], stored["output.after_attention"])


def test_classifier_loss(golden, close, load) -> None:
    stored = golden("smner/classifier_loss")
    vectors = torch.cat([stored["input.span_states"], stored["input.cross_modal"]], -1)
    decoder = SpanClassifier(48, 96, ["A", "B", "C", "D"], hidden=True, o_weight=0.5).eval()
    assert isinstance(decoder.classifier, nn.Sequential)
    load(decoder.classifier[0], stored, "classifier.layer1")
    load(decoder.classifier[3], stored, "classifier.layer2")
    logits = decoder.classifier(vectors)
    close(logits, stored["output.logits"])
    close(logits.softmax(-1), stored["output.probabilities"])
    close(
        span_loss(logits, stored["input.labels"], stored["input.mask"], 0.5), stored["output.loss"]
    )


def test_pruning_of_whole_tensors(golden, monkeypatch) -> None:
    stored = golden("smner/pruning")
    mask, inclusive = stored["input.span_mask"], stored["input.span_word_index"]
    spans = (inclusive + torch.tensor([0, 1])) * mask.unsqueeze(-1)
    types = ["1", "2", "3", "4"]
    decoder = SpanClassifier(8, 5, types).eval()
    # the probabilities themselves: log and softmax would break ties by their rounding
    logits = stored["input.probabilities"]
    given = SimpleNamespace(softmax=lambda dim: logits)
    monkeypatch.setattr(decoder, "_logits", lambda units: given)
    empty = torch.zeros(len(mask), 1, 1)
    text = Text(empty, empty[:, 0], torch.ones(len(mask), 1, dtype=torch.bool))
    found = decoder.decode(Units(logits, mask, spans), text)
    labels = torch.zeros_like(stored["output.intended_labels"])
    for row, entities in enumerate(found):
        places = spans[row].tolist()
        for start, end, kind, _ in entities:
            labels[row, places.index([start, end])] = int(kind)
    assert torch.equal(labels * mask, stored["output.intended_labels"] * mask)


def test_pruning_of_each_sentence() -> None:
    sentences = described("pruning")["sentences"]
    assert len(sentences) == 13
    for sentence in sentences:
        entities = [
            ScoredEntity(first, last + 1, str(kind), score)
            for first, last, kind, score in sentence["candidates"]
        ]
        kept = [[e.start, e.end - 1, int(e.type)] for e in without_overlaps(entities)]
        assert kept == sorted(sentence["intended"]), sentence["note"]


def test_every_case_is_reproduced() -> None:
    """Each file is named in a test here or in that of the other system."""
    tests = "".join(p.read_text(encoding="utf-8") for p in FOLDER.parent.glob("test_*.py"))
    for file in FOLDER.parent.glob("*/*.safetensors"):
        assert f'"{file.parent.name}/{file.stem}"' in tests
