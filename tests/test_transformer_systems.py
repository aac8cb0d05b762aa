"""UMT, MAF and UMGF as a whole: text-only versions, views side by side, what is computed once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from zoo.build import build
from zoo.config.config import shipped_file
from zoo.config.read import read
from zoo.data.synthetic import Synthetic
from zoo.system import Collator, System
from zoo.types import Sample

NAMES = ("umt", "maf", "umgf")


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return Synthetic(Path(), train=12, dev=1, test=1, missing=0.3).read()["train"]


def assemble(name: str, samples: list[Sample], folder: Path, *overrides: str) -> System:
    torch.manual_seed(0)
    changes = [f"systems.{name}.{override}" for override in overrides]
    return build(read(shipped_file(), changes).spec(name, "tiny"), samples, folder)


@pytest.mark.parametrize("name", NAMES)
def test_the_text_only_version(name: str, samples: list[Sample], tmp_path: Path) -> None:
    system = assemble(name, samples, tmp_path, "views=null")
    assert system.fuser is None
    assert not system.aligner
    losses = system(Collator(system)(samples)).losses
    assert set(losses) == set(system.decoder.loss_names)
    assert system.total(losses).isfinite()


@pytest.mark.parametrize("name", NAMES)
def test_several_views_stand_side_by_side(name: str, samples: list[Sample], tmp_path: Path) -> None:
    system = assemble(name, samples, tmp_path, "views.patch={part: $patch}")
    system.publish_attention()
    output = system.eval()(Collator(system)(samples))
    assert system.total(output.losses).isfinite()
    if name == "umgf":  # gates, no attention
        assert not output.attention
        return
    assert set(output.attention) == {"fuser.grid", "fuser.patch"}
    total = sum(weights.sum(-1) for weights in output.attention.values())
    there = torch.tensor([sample.picture is not None for sample in samples])
    wanted = (output.units.mask & there.unsqueeze(1)).float()
    torch.testing.assert_close(total, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_every_part_runs_once_a_step(name: str, samples: list[Sample], tmp_path: Path) -> None:
    """But for MAF's attention and match, at which exchanged pictures are looked at once more."""
    system = assemble(name, samples, tmp_path)
    calls: Counter[str] = Counter()
    for path, module in system.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda *_, path=path: calls.update([path]))
    system.train()(Collator(system)(samples))
    again = {path for path, count in calls.items() if count > 1}
    if name == "maf":
        again = {p for p in again if not p.startswith(("fuser.attention", "fuser.match"))}
    shared = {path for path in again if "dropout" in path or "activation" in path}
    assert again == shared


def test_a_batch_without_pictures_is_tagged_as_by_the_text(
    samples: list[Sample], tmp_path: Path
) -> None:
    """The picture's half of the fused vectors is 0, in training, too."""
    system = assemble("maf", samples, tmp_path).train()
    bare = [sample for sample in samples if sample.picture is None]
    output = system(Collator(system)(bare))
    width = system.text.width
    assert not output.units.vectors[..., width:].any()
    assert output.losses["match"] == 0
    assert output.losses["contrastive.grid"] == 0
