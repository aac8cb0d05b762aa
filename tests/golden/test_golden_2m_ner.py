"""2M-NER's released modules, reproduced: float64, 1e-9."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from zoo.aligners.contrastive import Contrastive, nt_xent
from zoo.decoders.crf import Crf
from zoo.decoders.viterbi import viterbi
from zoo.fusers.cross_attention import CrossAttention
from zoo.parts import ViewSpec
from zoo.types import Text, Units, View

FOLDER = Path(__file__).parent / "2m-ner"


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-9, rtol=0)


def load(module: nn.Linear | nn.LayerNorm, case: dict[str, Tensor], name: str) -> None:
    module.load_state_dict({"weight": case[f"{name}.weight"], "bias": case[f"{name}.bias"]})


def test_crf() -> None:
    case = load_file(FOLDER / "crf.safetensors")
    decoder = Crf(9, ["A", "B", "C", "D"], constrained=False).double().eval()
    decoder.crf.load_state_dict(
        {
            "transitions": case["crf.transition"],
            "start_transitions": case["crf.start"],
            "end_transitions": case["crf.end"],
        },
        strict=False,
    )
    emissions, mask = case["input.emissions"], case["input.mask"]
    nll = decoder.negative_log_likelihood(emissions, case["input.tags"] * mask, mask)
    close(nll, case["output.nll"])
    for row, length in enumerate(mask.sum(1).tolist()):
        tags = case["input.tags"][row : row + 1, :length]
        one = decoder.negative_log_likelihood(
            emissions[row : row + 1, :length], tags, mask[row : row + 1, :length]
        )
        close(-one, case["output.log_likelihood"][row])
    alpha = case["input.alpha"]
    contrastive = case["input.contrastive_vit"] + case["input.contrastive_resnet"]
    close(2 * (alpha * nll + (1 - alpha) * contrastive), case["output.total_loss"])
    assert torch.equal(viterbi(emissions, mask, *decoder.scores()), case["output.best_path"])


def test_nt_xent() -> None:
    case = load_file(FOLDER / "nt_xent.safetensors")
    first, second = case["input.first"], case["input.second"]
    close(nt_xent(first, second, 0.5), case["output.loss"])
    close(nt_xent(first[:1], second[:1], 0.5), case["output.loss_single_pair"])


def test_sentence_contrastive() -> None:
    case = load_file(FOLDER / "sentence_contrastive.safetensors")
    states, vector = case["input.vit_states"], case["input.resnet_vector"]
    specs = {
        "vit": ViewSpec(states.shape[2], states.shape[1]),
        "resnet": ViewSpec(vector.shape[1], 1),
    }
    aligner = Contrastive(32, specs, view={"vit": "flattened"}).double()
    heads = {"text": aligner.text_head, **aligner.view_heads}
    for name, head in heads.items():
        load(head[0], case, f"{name}_head.layer1")
        load(head[2], case, f"{name}_head.layer2")
    sentence = case["input.pooled_text"]
    text = Text(sentence.unsqueeze(1), sentence, torch.ones(5, 1, dtype=torch.bool))
    views = {
        "vit": View(states, states[:, 0], torch.ones(states.shape[:2], dtype=torch.bool)),
        "resnet": View(vector.unsqueeze(1), vector, torch.ones(5, 1, dtype=torch.bool)),
    }
    close(aligner.text_head(sentence), case["output.text_embedding"])
    close(aligner.view_heads["vit"](states.flatten(1)), case["output.vit_embedding"])
    close(aligner.view_heads["resnet"](vector), case["output.resnet_embedding"])
    losses = aligner(text, views, [[]] * 5).losses
    close(losses["contrastive.vit"], case["output.loss_vit"])
    close(losses["contrastive.resnet"], case["output.loss_resnet"])
    close(torch.stack(list(losses.values())).sum(), case["output.loss_sum"])


def test_branches_of_the_collaboration() -> None:
    """Each branch is our cross-attention over one view: [class token ; patches], or the vector."""
    case = load_file(FOLDER / "collaboration.safetensors")
    words, states = case["input.word_states"], case["input.vit_states"]
    vector = case["input.resnet_vector"]
    start = torch.arange(7).expand(5, 7)
    units = Units(words, case["input.word_mask"], torch.stack([start, start + 1], -1))
    branches = {
        "vit": View(states[:, 1:], states[:, 0], torch.ones(5, 8, dtype=torch.bool)),
        "resnet": View(vector.unsqueeze(1), vector, torch.ones(5, 1, dtype=torch.bool)),
    }
    fused = []
    for name, view in branches.items():
        spec = {name: ViewSpec(view.pooled.shape[1], None)}
        fuser = CrossAttention(48, spec, heads=4).double().eval()
        for part in ("query", "value", "output"):
            load(getattr(fuser.attention, part), case, f"{name}.attention.{part}")
        key = case[f"{name}.attention.key.weight"]  # its bias is idle
        fuser.attention.key.load_state_dict({"weight": key})
        load(fuser.attention.layer_norm, case, f"{name}.layer_norm")
        if name == "resnet":
            projection = fuser.projections[name]
            assert isinstance(projection, nn.Linear)
            load(projection, case, "resnet.global_projection")
        fused.append(fuser(units, {name: view}).vectors)
        close(fused[-1], case[f"output.{name}_branch"])
    whole = nn.functional.linear(torch.cat(fused, -1), case["fusion.weight"], case["fusion.bias"])
    close(whole, case["output.fused"])
