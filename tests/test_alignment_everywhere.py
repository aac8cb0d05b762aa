"""Every alignment can be put under every system with a view, by one override."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.build import build
from zoo.config.config import shipped_file
from zoo.config.controls import NAMES
from zoo.config.read import read
from zoo.contracts.inputs import make_samples
from zoo.schema import SystemSpec
from zoo.system import Collator

CONFIG = read(shipped_file())
STUDY = CONFIG.ablations["alignment_everywhere"]
BASES = list(dict.fromkeys(plan.arm.comparison.base for plan in STUDY.arms if plan.arm))
ALIGNMENTS = [
    "none",
    "contrast of sentences",
    "contrast of words",
    "contrast of spans",
    "top-k words",
    "sentence bottleneck",
    "word bottleneck",
    "region bottleneck",
    "standard prior",
    "dual bottleneck",
]


def without_aligner(spec: SystemSpec) -> str:
    """What is left of a system, as text that can be compared."""
    whole = spec.resolved()
    return repr(
        {key: value for key, value in whole.items() if key not in ("aligner", "loss_weights")}
    )


def test_every_system_with_a_view_is_a_base() -> None:
    """But for those that are a base with another aligner, or with wider spans."""
    covered = {without_aligner(CONFIG.spec(base, "tiny")) for base in BASES}
    missing = []
    for name in CONFIG.systems:
        spec = CONFIG.spec(name, "tiny")
        wider = name.endswith("-wide") and CONFIG.systems[name].get("extends") in BASES
        if spec.views and not wider and without_aligner(spec) not in covered:
            missing.append(name)
    assert not missing, "add them to the bases of the ablation alignment_everywhere"


@pytest.mark.parametrize("base", BASES)
def test_the_table_is_whole(base: str) -> None:
    """A base that has one of the alignments itself tells so in its name."""
    names = [p.arm.name for p in STUDY.arms if p.arm and p.arm.comparison.base == base]
    told = [each for name in names for each in name.split(" = ")]
    assert sorted(told) == sorted(["base", *ALIGNMENTS])


def test_an_arm_is_the_same_alignment_under_every_base() -> None:
    """Nothing of a base's own aligner is left in it."""
    found: dict[str, set[str]] = {}
    for plan in STUDY.arms:
        assert plan.arm is not None
        for name in set(plan.arm.name.split(" = ")) - {"base"}:
            said = [part.resolved() for part in plan.system.aligner]
            found.setdefault(name, set()).add(repr(said))
    assert {name: len(each) for name, each in found.items()} == dict.fromkeys(ALIGNMENTS, 1)


@pytest.mark.parametrize("base", BASES)
def test_each_alignment_takes_a_step(base: str, tmp_path: Path) -> None:
    samples = list(make_samples())[:4]
    for plan in STUDY.arms:
        assert plan.arm is not None
        if plan.arm.comparison.base == base:
            system = build(plan.system, samples, tmp_path).train()
            output = system(Collator(system)(samples))
            system.total(output.losses).backward()
            assert all(loss.isfinite() for loss in output.losses.values()), plan.arm.name
            expected = {n for names in plan.system.losses.values() for n in names}
            assert {n.partition(".")[0] for n in output.losses} == expected, plan.arm.name
            assert len(system.predict(Collator(system)(samples))) == len(samples)


@pytest.mark.parametrize("base", BASES)
def test_each_control_takes_a_step(base: str, tmp_path: Path) -> None:
    samples = list(make_samples())[:4]
    taken = []
    for plan in [*CONFIG.ablations["controls"].arms, *CONFIG.ablations["controls_all"].arms]:
        assert plan.arm is not None
        if plan.arm.comparison.base == base and plan.arm.name in NAMES:
            system = build(plan.system, samples, tmp_path).train()
            output = system(Collator(system)(samples))
            system.total(output.losses).backward()
            assert all(loss.isfinite() for loss in output.losses.values()), plan.arm.name
            taken.append(plan.arm.name)
    plain = {"plain attention"} if base.endswith("-attention") else set()  # it is the base itself
    assert set(taken) == set(NAMES) - plain


@pytest.mark.parametrize(
    ("system", "change", "left"),
    [
        ("smner", "aligner={part: contrastive}", {}),
        ("smner", "aligner={part: dual_bottleneck}", {"kl": 0.001}),
        ("2m-ner", "aligner={part: information_bottleneck}", {"crf": 1.6}),
        ("2m-ner", "aligner.part=information_bottleneck", {"crf": 1.6}),
        ("2m-ner", "aligner.level=token", {"crf": 1.6, "contrastive": 0.4}),
        ("2m-ner", "aligner=[{part: contrastive}, {part: information_bottleneck}]",
         {"crf": 1.6, "contrastive": 0.4}),
    ],
)  # fmt: skip
def test_the_weights_of_another_aligner_go_with_it(system: str, change: str, left: dict) -> None:
    found = read(shipped_file(), [f"systems.{system}.{change}"]).spec(system, "tiny")
    assert found.loss_weights == left


def test_what_extends_a_changed_system_loses_the_weights_too() -> None:
    change = "systems.bert-crf-contrastive.aligner={part: information_bottleneck}"
    config = read(shipped_file(), [change, "systems.mine={extends: bert-crf-contrastive}"])
    assert config.spec("mine", "tiny").loss_weights == {}


def test_a_weight_can_be_taken_away() -> None:
    config = read(shipped_file(), ["systems.smner.loss_weights.kl=null"])
    assert config.spec("smner", "tiny").loss_weights == {"mutual_information": 0.1}


def test_an_arm_that_takes_away_what_is_not_there_is_its_base() -> None:
    found = [p.arm.name for p in STUDY.arms if p.arm and p.arm.comparison.base == BASES[0]]
    assert found[0] == "base = none"
