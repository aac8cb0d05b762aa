"""2M-NER's released modules, reproduced by the parts of the system ``2m-ner``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.aligners.contrastive import Contrastive, nt_xent
from zoo.aligners.late_interaction import Bags
from zoo.decoders.crf import Crf
from zoo.decoders.viterbi import viterbi
from zoo.fusers.collaboration import Collaboration, GlobalBranch, RegionBranch
from zoo.parts import ViewSpec
from zoo.types import Text, Units, View


def bags(vectors: Tensor) -> Bags:
    return Bags(vectors.unsqueeze(1), torch.ones(len(vectors), 1, dtype=torch.bool))


def test_crf(case, close) -> None:
    crf = case("2m-ner/crf")
    decoder = Crf(9, ["A", "B", "C", "D"], constrained=False).eval()
    decoder.crf.load_state_dict(
        {
            "transitions": crf["crf.transition"],
            "start_transitions": crf["crf.start"],
            "end_transitions": crf["crf.end"],
        },
        strict=False,
    )
    emissions, mask = crf["input.emissions"], crf["input.mask"]
    nll = decoder.negative_log_likelihood(emissions, crf["input.tags"] * mask, mask)
    close(nll, crf["output.nll"])
    for row, length in enumerate(mask.sum(1).tolist()):
        tags = crf["input.tags"][row : row + 1, :length]
        one = decoder.negative_log_likelihood(
            emissions[row : row + 1, :length], tags, mask[row : row + 1, :length]
        )
        close(-one, crf["output.log_likelihood"][row])
    alpha = crf["input.alpha"]
    contrastive = crf["input.contrastive_vit"] + crf["input.contrastive_resnet"]
    close(2 * (alpha * nll + (1 - alpha) * contrastive), crf["output.total_loss"])
    assert torch.equal(viterbi(emissions, mask, *decoder.scores()), crf["output.best_path"])


def test_nt_xent(case, close) -> None:
    pairs = case("2m-ner/nt_xent")
    first, second = bags(pairs["input.first"]), bags(pairs["input.second"])
    close(nt_xent(first, second, 0.5), pairs["output.loss"])
    one = torch.arange(len(first.mask)) == 0
    close(nt_xent(first.at(one), second.at(one), 0.5), pairs["output.loss_single_pair"])


def test_sentence_contrastive(case, close, load) -> None:
    heads = case("2m-ner/sentence_contrastive")
    states, vector = heads["input.vit_states"], heads["input.resnet_vector"]
    specs = {
        "vit": ViewSpec(states.shape[2], states.shape[1]),
        "resnet": ViewSpec(vector.shape[1], 1),
    }
    aligner = Contrastive(32, specs, view={"vit": "flattened"})
    for name, head in {"text": aligner.text_head, **aligner.view_heads}.items():
        load(head[0], heads, f"{name}_head.layer1")
        load(head[2], heads, f"{name}_head.layer2")
    sentence = heads["input.pooled_text"]
    text = Text(sentence.unsqueeze(1), sentence, torch.ones(5, 1, dtype=torch.bool))
    views = {
        "vit": View(states, states[:, 0], torch.ones(states.shape[:2], dtype=torch.bool)),
        "resnet": View(vector.unsqueeze(1), vector, torch.ones(5, 1, dtype=torch.bool)),
    }
    close(aligner.said(text, [[]] * 5).vectors.squeeze(1), heads["output.text_embedding"])
    for name, view in views.items():
        seen = aligner.seen(name, view).vectors.squeeze(1)
        close(seen, heads[f"output.{name}_embedding"])
    losses = aligner(text, views, [[]] * 5).losses
    close(losses["contrastive.vit"], heads["output.loss_vit"])
    close(losses["contrastive.resnet"], heads["output.loss_resnet"])
    close(torch.stack(list(losses.values())).sum(), heads["output.loss_sum"])


def test_collaboration(case, close, load) -> None:
    """One branch over [class token ; patches], one that adds the pooled vector."""
    stored = case("2m-ner/collaboration")
    words, states = stored["input.word_states"], stored["input.vit_states"]
    vector = stored["input.resnet_vector"]
    specs = {"vit": ViewSpec(48, 9), "resnet": ViewSpec(40, 1)}
    keys = {"vit": "regions", "resnet": "pooled"}
    fuser = Collaboration(48, specs, heads=4, keys=keys).eval()
    patches, whole = fuser.branches["vit"], fuser.branches["resnet"]
    assert isinstance(patches, RegionBranch)
    assert isinstance(whole, GlobalBranch)
    for part in ("query", "key", "value", "output"):  # the key's bias is idle: we have none
        load(getattr(patches.attention, part), stored, f"vit.attention.{part}")
    load(patches.attention.layer_norm, stored, "vit.layer_norm")
    assert isinstance(patches.projection, nn.Identity)
    load(whole.projection, stored, "resnet.global_projection")
    for part in ("value", "output"):
        load(getattr(whole, part), stored, f"resnet.attention.{part}")
    load(whole.layer_norm, stored, "resnet.layer_norm")
    load(fuser.fusion, stored, "fusion")
    views = {
        "vit": View(states, states[:, 0], torch.ones(5, 9, dtype=torch.bool)),
        "resnet": View(vector.unsqueeze(1), vector, torch.ones(5, 1, dtype=torch.bool)),
    }
    for name, branch in fuser.branches.items():
        close(branch(words, views[name]), stored[f"output.{name}_branch"])
    start = torch.arange(7).expand(5, 7)
    units = Units(words, stored["input.word_mask"], torch.stack([start, start + 1], -1))
    close(fuser(units, views).vectors, stored["output.fused"])
