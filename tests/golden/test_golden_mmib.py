"""MMIB's released modules, reproduced by the parts of the system ``mmib``; the masking as it was
meant (``full``: no padding, where both agree)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from zoo.decoders.crf import Crf
from zoo.parts import ViewSpec
from zoo.types import Text, Units, View

RELEASED = {"discriminator": "concat", "scores": "width"}
SIZES = {"heads": 12}


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other.view_as(one), atol=2e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def stored() -> dict[str, Tensor]:
    return load_file(
        (Path(__file__).parent / "mmib/bottleneck_and_fusion").with_suffix(".safetensors")
    )


def put(module: nn.Module, stored: dict[str, Tensor], **names: str) -> None:
    """Load what the stored weights call by other names; nothing is left over in the module."""
    state = {
        f"{own}.{kind}": stored[f"weight.{name}.{kind}"]
        for own, name in names.items()
        for kind in dict(module.get_submodule(own).named_parameters())
    }
    module.load_state_dict(state)


def block(module: nn.Module, stored: dict[str, Tensor], name: str) -> None:
    attention = f"{name}.cross_attn"
    put(
        module,
        stored,
        query=f"{attention}.linears.0",
        key=f"{attention}.linears.1",
        value=f"{attention}.linears.2",
        output=f"{attention}.last_linear",
        norm1=f"{name}.ln1",
        dense=f"{name}.dense",
        norm2=f"{name}.ln2",
    )


@pytest.fixture
def text(stored) -> Text:
    """[CLS] is the sentence, the other states are its words."""
    states = stored["input.text"]
    return Text(states[:, 1:], states[:, 0], torch.ones(4, 8, dtype=torch.bool))


@pytest.fixture
def view(stored) -> View:
    """The whole picture is the pooled vector, the crops are the regions."""
    images = stored["input.images"]
    return View(images[:, 1:], images[:, 0], torch.ones(4, 4, dtype=torch.bool))


Make = Callable[..., nn.Module]


@pytest.fixture
def aligner(registered: Make, stored) -> nn.Module:
    known = {"width": 48, "views": {"grid": ViewSpec(2048, 4)}}
    aligner = registered("mmib", "aligner", known, SIZES, RELEASED).eval()
    words, grid = aligner.text, aligner.bottlenecks["grid"]
    for module, name in ((words, "txt"), (grid, "img")):
        block(module.mean, stored, f"{name}_mean")
        block(module.log_variance, stored, f"{name}_logstd")
    grid.projection.load_state_dict({k: stored[f"weight.linear.{k}"] for k in ("weight", "bias")})
    aligner.discriminators["grid"].load_state_dict(
        {k: stored[f"weight.discrimonator.{k}"] for k in ("weight", "bias")}
    )
    return aligner


def whole(sentence: Tensor, others: Tensor) -> Tensor:
    return torch.cat([sentence.unsqueeze(1), others], dim=1)


def test_bottleneck(aligner, stored, text, view) -> None:
    mean, log_variance, _ = aligner.text(stored["input.text"], torch.ones(4, 9, dtype=torch.bool))
    close(mean, stored["full.txt_mean"])
    close(log_variance, stored["full.txt_logstd"])
    mean, log_variance, _ = aligner.bottlenecks["grid"](
        stored["input.images"], torch.ones(4, 5, dtype=torch.bool)
    )
    close(mean, stored["full.img_mean"])
    close(log_variance, stored["full.img_logstd"])

    aligned = aligner(text, {"grid": view}, [[]] * 4)
    close(whole(aligned.text.sentence, aligned.text.tokens), stored["full.txt_mean"])
    latent = aligned.views["grid"]
    close(whole(latent.pooled, latent.regions), stored["full.img_mean"])
    close(aligned.losses["kl_text"], stored["full.txt_kl"])
    close(aligned.losses["kl.grid"], stored["full.img_kl"])
    close(aligned.losses["discriminator.grid"], stored["full.dis_loss"])


def test_deviation_is_half_the_exponent(aligner, text, view, monkeypatch) -> None:
    """What the release calls a log standard deviation is used as a log variance."""
    monkeypatch.setattr(torch, "randn_like", torch.ones_like)
    drawn = aligner.train()(text, {"grid": view}, None).text
    mean, log_variance, _ = aligner.text(
        whole(text.sentence, text.tokens), torch.ones(4, 9, dtype=torch.bool)
    )
    close(whole(drawn.sentence, drawn.tokens), mean + (log_variance / 2).exp())


def test_fusion(registered: Make, stored) -> None:
    """Released, [CLS] is among the states that are fused."""
    known = {"width": 48, "views": {"grid": ViewSpec(48, 4)}}
    fuser = registered("mmib", "fuser", known, SIZES).eval()
    block(fuser.read, stored, "img2txt_cross")
    block(fuser.look, stored, "txt2img_cross")
    words, latents = stored["full.txt_mean"], stored["full.img_mean"]
    mask = torch.ones(4, 9, dtype=torch.bool)
    close(fuser.read(latents, words, mask), stored["full.img2txt_cross"])
    start = torch.arange(9).expand(4, 9)
    units = Units(words, mask, torch.stack([start, start + 1], -1))
    view = View(latents[:, 1:], latents[:, 0], torch.ones(4, 4, dtype=torch.bool))
    close(fuser(units, {"grid": view}).vectors, stored["full.final"])
    close(fuser(units, {"grid": view}).vectors, stored["full.txt2img_cross"])


def test_emissions_and_crf(registered: Make, stored) -> None:
    known = {"fused": 48, "types": ["A", "B", "C", "D", "E", "F"]}
    decoder = registered("mmib", "decoder", known, released={"constrained": False}).eval()
    assert isinstance(decoder, Crf)
    decoder.emission.load_state_dict({k: stored[f"weight.fc.{k}"] for k in ("weight", "bias")})
    decoder.crf.load_state_dict(
        {
            name: stored[f"weight.crf.{name}"]
            for name in ("transitions", "start_transitions", "end_transitions")
        },
        strict=False,
    )
    mask = torch.ones(4, 9, dtype=torch.bool)
    spans = torch.zeros(4, 9, 2, dtype=torch.int64)
    emissions = decoder.emissions(Units(stored["full.final"], mask, spans))
    close(emissions, stored["full.emissions"])
    nll = decoder.negative_log_likelihood(emissions, stored["input.labels"], mask)
    close(nll, stored["full.crf_loss"])
