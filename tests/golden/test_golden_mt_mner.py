"""MT-MNER's released modules, reproduced by the parts of the system ``mt-mner``; the contrast as it
was meant (``full``: no padding, where both agree)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from zoo.fusers.hierarchy import Gate, Given, Lift
from zoo.parts import ViewSpec
from zoo.types import Text, Units, View

WIDTH, HEADS, PROJECTION = 32, 4, 16
KNOWN = {"width": WIDTH, "views": {"patch": ViewSpec(WIDTH, 17), "grid": ViewSpec(WIDTH, 1)}}
Make = Callable[..., nn.Module]


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other.view_as(one), atol=2e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def stored() -> dict[str, Tensor]:
    return load_file(
        (Path(__file__).parent / "mt-mner/fusion_and_contrast").with_suffix(".safetensors")
    )


@pytest.fixture
def views(stored) -> dict[str, View]:
    patches, vector = stored["input.patches"], stored["input.global"]
    return {
        "patch": View(patches, patches[:, 0], torch.ones(4, 17, dtype=torch.bool)),
        "grid": View(vector.unsqueeze(1), vector, torch.ones(4, 1, dtype=torch.bool)),
    }


def weights(stored: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """What ``name`` stands for in the stored weights."""
    start = f"weight.{name}."
    return {k.removeprefix(start): v for k, v in stored.items() if k.startswith(start)}


def cam(module: nn.Module, stored: dict[str, Tensor], name: str) -> None:
    """An attention; the key's bias is idle, and to equal keys so are query and key."""
    own = weights(stored, name)
    rows = own["attn.in_proj_weight"].chunk(3), own["attn.in_proj_bias"].chunk(3)
    state = {
        **{f"{n}.weight": w for n, w in zip(("query", "key", "value"), rows[0], strict=True)},
        **{f"{n}.bias": b for n, b in zip(("query", "key", "value"), rows[1], strict=True)},
        **{f"output.{kind}": own[f"attn.out_proj.{kind}"] for kind in ("weight", "bias")},
        **{f"layer_norm.{kind}": own[f"norm.{kind}"] for kind in ("weight", "bias")},
    }
    module.load_state_dict({k: state[k] for k in module.state_dict()})


def renamed(module: nn.Module, stored: dict[str, Tensor], name: str, **names: str) -> None:
    own = weights(stored, name)
    module.load_state_dict(
        {f"{k}.{kind}": own[f"{v}.{kind}"] for k, v in names.items() for kind in ("weight", "bias")}
    )


@pytest.fixture
def fuser(registered: Make, stored) -> nn.Module:
    fuser = registered(
        "mt-mner", "fuser", KNOWN, {"heads": HEADS}, released={"queries": "released"}
    ).eval()
    for name, module in {
        "cam1": fuser.to_text,
        "cam2": fuser.to_regions,
        "cam3": fuser.to_whole,
        "attn_t": fuser.text,
        "attn_g": fuser.picture,
    }.items():
        cam(module, stored, name)
    assert isinstance(fuser.to_whole, Given)
    for name, module in {"gfm1": fuser.gate1, "gfm2": fuser.gate2}.items():
        assert isinstance(module, Gate)
        renamed(module, stored, name, first="mlp_a.0", second="mlp_b.0", gate="gate")
    for name, module in {"mlp_t": fuser.lift_text, "mlp_g": fuser.lift_whole}.items():
        assert isinstance(module, Lift)
        renamed(module, stored, name, projection="0", layer_norm="1")
    fuser.fusion.load_state_dict(weights(stored, "mlp_out"))
    return fuser


def units(stored: dict[str, Tensor], mask: Tensor) -> Units:
    start = torch.arange(10).expand(4, 10)
    return Units(stored["input.text"], mask, torch.stack([start, start + 1], -1))


@pytest.mark.parametrize("padding", [False, True])
def test_fusion(fuser, stored, views, padding: bool) -> None:
    mask = stored["input.mask"].bool() if padding else torch.ones(4, 10, dtype=torch.bool)
    fused = fuser(units(stored, mask), views).vectors
    close(fused[mask], stored["output.fused" if padding else "full.fused"][mask])


def test_no_word_has_a_query_of_its_own(fuser, stored, views) -> None:
    """The hierarchy of the release, which we compute once a sentence."""
    words, mask = stored["input.text"], stored["input.mask"].bool()
    whole = stored["input.global"]
    first = fuser.to_text(whole.unsqueeze(1), words, mask)
    second = fuser.to_regions(first, views["patch"].regions, views["patch"].mask)
    third = fuser.to_whole(second, whole.unsqueeze(1))
    high = fuser.gate1(first, fuser.gate2(second, third))
    for name, ours in {"f1": first, "f2": second, "f3": third, "f_hi": high}.items():
        theirs = stored[f"output.{name}"]
        close(ours.expand_as(theirs), theirs)


def test_with_words_as_queries_each_looks_for_itself(registered: Make, stored, views) -> None:
    """What the system does: changing a word changes what that word sees of the picture."""
    fuser = registered("mt-mner", "fuser", KNOWN, {"heads": HEADS}).eval()
    fuser.publish_attention = True
    seen = fuser(units(stored, torch.ones(4, 10, dtype=torch.bool)), views).attention["patch"]
    assert (seen[:, 0] - seen[:, 1]).abs().max() > 1e-3


def aligners(registered_: Make, number: int) -> nn.Module:
    return registered_("mt-mner", f"aligner.{number}", KNOWN, {"hidden": PROJECTION}).eval()


def text(stored: dict[str, Tensor]) -> Text:
    """The sentence vector is wrong on purpose: what is read is the mean of the words."""
    words = stored["input.text"]
    return Text(words, torch.full((4, WIDTH), 7.0), torch.ones(4, 10, dtype=torch.bool))


def test_coarse(registered: Make, stored, views) -> None:
    coarse = aligners(registered, 0)
    coarse.text_head.load_state_dict(weights(stored, "proj_t.fc"))
    coarse.view_heads["grid"].load_state_dict(weights(stored, "proj_g.fc"))
    losses = coarse(text(stored), views, [[]] * 4).losses
    assert set(losses) == {"contrastive.grid"}
    close(losses["contrastive.grid"], stored["full.coarse"])


def test_fine(registered: Make, stored, views) -> None:
    fine = aligners(registered, 1)
    fine.text_head.load_state_dict(weights(stored, "proj_tok.fc"))
    fine.view_heads["patch"].load_state_dict(weights(stored, "proj_pat.fc"))
    losses = fine(text(stored), views, [[]] * 4).losses
    assert set(losses) == {"contrastive.patch"}
    close(losses["contrastive.patch"], stored["full.fine"])
