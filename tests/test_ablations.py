"""What ablations ask for, and that every mistake in one is one clear line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from zoo.cli.ablate_ import _merged, by_arm
from zoo.config.ablations import set_out
from zoo.config.config import Config
from zoo.config.read import read
from zoo.config.specs import Comparison, Plan
from zoo.errors import ConfigError
from zoo.runs.datasets import load_datasets
from zoo.runs.job import make_jobs
from zoo.yaml import Node


def with_ablation(registry: Path, text: str, name: str = "study") -> Path:
    """The small registry with one ablation, its lines as given."""
    lines = "".join(f"    {line}\n" for line in text.strip().splitlines())
    registry.write_text(f"{registry.read_text()}ablations:\n  {name}:\n{lines}")
    return registry


def comparisons(registry: Path, text: str) -> dict[str, dict[str, Plan]]:
    """The arms by comparison and name."""
    found: dict[str, dict[str, Plan]] = {}
    for plan in read(with_ablation(registry, text)).ablations["study"].arms:
        found.setdefault(plan.arm.comparison.title, {})[plan.arm.name] = plan
    return found


def studied(path: Path, overrides: Sequence[str]) -> Config:
    config = read(path, overrides)
    set_out(config)
    return config


def arms(registry: Path, text: str) -> dict[str, Plan]:
    (comparison,) = comparisons(registry, text).values()
    return comparison


def problems(registry: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(with_ablation(registry, text))
    return list(caught.value.problems)


# What is asked for --------------------------------------------------------------------------------


def test_a_registry_needs_no_ablations(registry: Path) -> None:
    assert read(registry).ablations == {}


def test_what_is_not_said_is_that_of_the_first_suite(registry: Path) -> None:
    study = read(with_ablation(registry, "base: plain\narms: {spans: {system: spans}}"))
    study = study.ablations["study"]
    assert study.seeds == (1,)
    plans = study.plans()
    assert [(p.dataset, p.system.backbone, p.recipe_name) for p in plans] == [
        ("mini", "tiny", "quick")
    ] * 2
    assert {plan.arm.comparison.ablation for plan in plans} == {"study"}


def test_what_is_said_holds(registry: Path) -> None:
    text = registry.read_text()
    text = text.replace("datasets:\n  mini:", "datasets:\n  own: {reader: synthetic}\n  mini:")
    text = text.replace("recipes:\n", 'recipes:\n  slow: {epochs: 3, learning_rates: {"*": 1}}\n')
    registry.write_text(text.replace("backbones:\n", BIG))
    study = read(
        with_ablation(
            registry,
            """
description: why
base: plain
datasets: [own, mini]
seeds: [4, 5]
backbone: big
recipe: slow
arms: {bioes: {decoder.scheme: BIOES}}
""",
        )
    ).ablations["study"]
    assert (study.description, study.seeds) == ("why", (4, 5))
    assert list(dict.fromkeys(plan.dataset for plan in study.arms)) == ["own", "mini"]
    plans = study.plans()
    assert [(p.dataset, p.system.decoder.settings["scheme"], p.seed) for p in plans] == [
        (dataset, scheme, seed)
        for dataset in ("own", "mini")
        for scheme in ("BIO", "BIOES")
        for seed in (4, 5)
    ]
    assert {(p.system.backbone, p.recipe.epochs, p.recipe_name) for p in plans} == {
        ("big", 3, "slow")
    }


BIG = """\
backbones:
  big:
    text: {part: transformer, scratch: {layers: 2, width: 32, heads: 2}}
    grid: {part: small_cnn}
"""


def test_arms(registry: Path) -> None:
    found = arms(
        registry,
        """
base: seeing
arms:
  none: {aligner: null}
  info_nce: {aligner.objective: info_nce}
  laid over: {aligner: {temperature: 1}}
  spans: {system: spans, decoder.max_width: 2}
  softmax: {decoder: {part: softmax}}
  slow: {recipe.epochs: 2, recipe.learning_rates: {"text.*": 1}}
  noise: {dataset.irrelevant: 0.5}
""",
    )
    base = found["base"]
    assert next(iter(found)) == "base"
    assert found["base"].arm.overrides == ()

    assert found["none"].system.aligner == ()
    assert found["none"].overrides == ("systems.seeing.aligner=null",)
    assert found["info_nce"].system.aligner[0].settings["objective"] == "info_nce"
    (laid,) = found["laid over"].system.aligner
    assert (laid.name, laid.settings["temperature"]) == ("contrastive", 1.0)
    spans = found["spans"]
    assert (spans.system.name, spans.system.decoder.settings["max_width"]) == ("spans", 2)
    assert spans.overrides == ("systems.spans.decoder.max_width=2",)
    assert found["softmax"].system.decoder.name == "softmax", "another part starts afresh"
    slow = found["slow"].recipe
    assert (slow.epochs, slow.learning_rates) == (2, {"text.*": 1.0}), (
        "replaced whole: order counts"
    )
    assert found["noise"].reader.settings["irrelevant"] == 0.5
    assert found["noise"].overrides == ("datasets.mini.irrelevant=0.5",)
    assert found["noise"].dataset == "mini"

    for name in ("none", "info_nce", "laid over", "softmax"):
        assert (found[name].recipe, found[name].reader) == (base.recipe, base.reader)
        assert found[name].system.text == base.system.text


def test_an_arm_is_what_the_same_overrides_on_the_command_line_are(registry: Path) -> None:
    plain = registry.with_name("plain.yaml")
    plain.write_text(registry.read_text())
    found = arms(
        registry,
        """
base: seeing
arms:
  a: {fuser: {part: cross_attention, level: token, heads: 4}, aligner: null}
  b: {aligner: {temperature: 1, view: flattened}, views.grid.frozen: true}
  c: {decoder: {part: softmax}}
  d: {recipe.learning_rates: {"text.body.*": 1e-4}, recipe.clip: null, dataset.languages: [fr]}
grid: {aligner.objective: [nt_xent, info_nce], views.grid: [{part: small_vit}, {frozen: true}]}
leave_one_out: [fuser, views]
""",
    )
    assert len(found) == 11
    for plan in found.values():
        config = read(plain, plan.overrides)
        assert config.spec("seeing", "tiny").resolved() == plan.system.resolved()
        assert config.recipes["quick"] == plan.recipe
        assert config.datasets["mini"].resolved() == plan.reader.resolved()


def test_the_registry_is_left_as_it_was(registry: Path) -> None:
    """Arms change copies: the base, and what suites run, stay what they were."""
    before = read(registry)
    after = read(
        with_ablation(
            registry,
            "base: seeing\narms: {a: {aligner.temperature: 1, views.grid.frozen: true}}\n"
            "leave_one_out: [views, fuser]\nacross: {dataset.irrelevant: [0, 1]}",
        )
    )
    for key, spec in before.specs.items():
        assert after.specs[key].resolved() == spec.resolved()
    assert after.datasets["mini"].resolved() == before.datasets["mini"].resolved()
    assert after.systems == before.systems


def test_a_grid_is_the_product(registry: Path) -> None:
    found = arms(
        registry,
        "base: seeing\n"
        "grid: {aligner.objective: [nt_xent, info_nce], aligner.temperature: [0.5, 1, 1e-1]}",
    )
    assert list(found) == [
        "base = objective=nt_xent temperature=0.5",
        "objective=nt_xent temperature=1",
        "objective=nt_xent temperature=0.1",
        "objective=info_nce temperature=0.5",
        "objective=info_nce temperature=1",
        "objective=info_nce temperature=0.1",
    ]
    last = found["objective=info_nce temperature=0.1"].system.aligner[0].settings
    assert (last["objective"], last["temperature"]) == ("info_nce", 0.1)


def test_last_steps_that_are_the_same_are_written_in_full(registry: Path) -> None:
    registry.write_text(registry.read_text().replace("contrastive}", "contrastive, level: token}"))
    found = arms(registry, "base: seeing\ngrid: {aligner.level: [span], fuser.level: [token]}")
    assert list(found) == ["base", "aligner.level=span fuser.level=token"]


def test_leave_one_out(registry: Path) -> None:
    found = arms(registry, "base: seeing\nleave_one_out: [aligner, fuser, views]")
    assert list(found) == ["base", "without aligner", "without fuser", "without views"]
    assert found["without aligner"].system.aligner == ()
    assert found["without aligner"].system.fuser is not None
    assert found["without fuser"].system.fuser is None
    assert found["without views"].system.text_only


def test_across(registry: Path) -> None:
    found = comparisons(
        registry,
        "base: [seeing, plain]\narms: {spans: {system: spans}, slow: {recipe.epochs: 2}}\n"
        "across: {dataset.irrelevant: [0, 0.5]}",
    )
    assert list(found) == [
        "study: seeing on mini, irrelevant=0",
        "study: seeing on mini, irrelevant=0.5",
        "study: plain on mini, irrelevant=0",
        "study: plain on mini, irrelevant=0.5",
    ]
    for title, comparison in found.items():
        share = float(title.partition("irrelevant=")[2])
        assert list(comparison) == ["base", "spans", "slow"]
        for plan in comparison.values():
            assert plan.reader.settings["irrelevant"] == share
            told = any(each.startswith("datasets.mini.irrelevant=") for each in plan.overrides)
            assert told is (share > 0), "what is so anyway is no change"
    assert found["study: plain on mini, irrelevant=0.5"]["spans"].system.name == "spans"


def test_across_a_setting_of_the_system(registry: Path) -> None:
    one, two = comparisons(
        registry, "base: seeing\nleave_one_out: [fuser]\nacross: {aligner.temperature: [0.5, 1]}"
    ).values()
    assert {p.system.aligner[0].settings["temperature"] for p in one.values()} == {0.5}
    assert {p.system.aligner[0].settings["temperature"] for p in two.values()} == {1.0}


def test_an_arm_that_equals_the_base_is_the_base(registry: Path) -> None:
    found = arms(
        registry,
        "base: seeing\narms: {default: {aligner.level: sentence}, same: {}, none: {aligner: null}}",
    )
    assert list(found) == ["base = default = same", "none"]


def test_another_system_may_equal_the_base(registry: Path) -> None:
    registry.write_text(
        registry.read_text().replace("systems:\n", "systems:\n  twin: {extends: plain}\n", 1)
    )
    found = arms(registry, "base: plain\narms: {twin: {system: twin}, spans: {system: spans}}")
    assert list(found) == ["base = twin", "spans"]


def test_command_line_overrides_come_first(registry: Path) -> None:
    path = with_ablation(registry, "base: plain\narms: {slow: {recipe.epochs: 2}}")
    overrides = ("ablations.study.seeds=[7]", "recipes.quick.batch_size=2")
    config = studied(path, overrides)
    _, slow = config.ablations["study"].plans()
    assert slow.seed == 7
    assert (slow.recipe.epochs, slow.recipe.batch_size) == (2, 2)
    assert slow.overrides == (overrides[1], "recipes.quick.epochs=2"), "seeds change no run"
    changed = studied(path, ["ablations.study.arms={slow: {recipe.epochs: 5}}"])
    assert changed.ablations["study"].plans()[1].recipe.epochs == 5


def test_a_run_s_overrides_may_leave_an_ablation_without_sense(registry: Path) -> None:
    path = with_ablation(registry, "base: seeing\narms: {a: {aligner.temperature: 1}}")
    assert read(path, ["systems.seeing.aligner=null"]).ablations == {}
    with pytest.raises(ConfigError, match="is not a mapping"):
        studied(path, ["systems.seeing.aligner=null"])


@pytest.mark.parametrize("suite", [None, "twitter2015", "twitter2017", "paper", "toy-tweets"])
def test_the_shipped_registry_s_are_valid(suite: str | None) -> None:
    config = read(Path(__file__).parents[1] / "registry.yaml")
    assert isinstance(config, Config)
    set_out(config, suite=suite)
    assert set(config.ablations) == set(config.root.get("ablations", Node()))


# Mistakes -----------------------------------------------------------------------------------------

# (name, the ablation, every word that one of the lines must have); the section is at line 31
MISTAKES = [
    ("unknown key", "base: plain\narm: {}", ["`arm`", "ablations.study", ":34", "`arms`"]),
    ("no base", "arms: {a: {aligner: null}}", ["ablations.study", ":32", "`base` is missing"]),
    ("unknown base", "base: plane\nleave_one_out: [text]", ["`plane`", ":33", "`plain`"]),
    ("base twice", "base: [plain, plain]\narms: {a: {}}", ["base", ":33", "`plain`", "twice"]),
    ("no base at all", "base: []\narms: {a: {}}", ["ablations.study.base", ":33"]),
    ("nothing compared", "base: plain", ["ablations.study", ":32", "`arms`", "`leave_one_out`"]),
    ("no arms", "base: plain\narms: {}", ["ablations.study.arms", ":34"]),
    ("an arm that is none", "base: plain\narms: {a: }", ["arms.a", ":34", "None"]),
    ("an arm that is text", "base: plain\narms: {a: crf}", ["arms.a", ":34", "'crf'"]),
    ("unknown dataset", "base: plain\ndatasets: [min]\narms: {a: {}}", ["`min`", ":34", "`mini`"]),
    ("unknown backbone", "base: plain\nbackbone: big\narms: {a: {}}", ["`big`", ":34", "tiny"]),
    ("unknown recipe", "base: plain\nrecipe: quik\narms: {a: {}}", ["`quik`", ":34", "`quick`"]),
    ("bad seed", "base: plain\nseeds: [-1]\narms: {a: {}}", ["seeds", ":34", "-1"]),
    ("seed twice", "base: plain\nseeds: [1, 1]\narms: {a: {}}", ["seeds", ":34", "twice"]),
    ("no seeds", "base: plain\nseeds: []\narms: {a: {}}", ["seeds", ":34"]),
    ("a point twice",
     "base: plain\narms: {a: {recipe.epochs: 9}}\nacross: {dataset.irrelevant: [0.0, 0]}",
     ["across", ":35", "irrelevant=0.0", "irrelevant=0", "the same"]),
    ("unknown setting", "base: seeing\narms:\n  token: {aligner.levle: token}",
     ["ablations.study.arms.token", "unknown key `levle`", "seeing.aligner", ":35", "`level`"]),
    ("unknown slot", "base: seeing\narms: {a: {alinger.level: token}}",
     ["ablations.study.arms.a", ":34", "`alinger`", "`aligner`"]),
    ("unknown slot taken away", "base: seeing\narms: {a: {alinger: null}}",
     ["ablations.study.arms.a", ":34", "`alinger`", "`aligner`"]),
    ("unknown key of a system", "base: seeing\narms: {a: {alinger: {part: contrastive}}}",
     ["ablations.study.arms.a", ":34", "`alinger`", "`aligner`"]),
    ("below what is no mapping", "base: seeing\narms: {a: {fuser.heads.more: 2}}",
     ["ablations.study.arms.a", ":34", "systems.seeing.fuser.heads", "not a mapping"]),
    ("bad value", "base: seeing\narms: {a: {fuser.heads: two}}",
     ["ablations.study.arms.a", "fuser.heads", ":34", "'two'"]),
    ("unknown part", "base: seeing\narms: {a: {decoder.part: crff}}",
     ["ablations.study.arms.a", "`crff`", "`crf`", ":34"]),
    ("parts that don't fit", "base: seeing\narms: {a: {fuser.level: span}}",
     ["ablations.study.arms.a", ":34", "span_classifier"]),
    ("unknown recipe key", "base: plain\narms: {a: {recipe.epocs: 2}}",
     ["ablations.study.arms.a", "`epocs`", "recipes.quick", ":34", "`epochs`"]),
    ("bad recipe value", "base: plain\narms: {a: {recipe.epochs: 0}}",
     ["ablations.study.arms.a", "recipes.quick.epochs", ":34", "greater"]),
    ("unknown dataset key", "base: plain\narms: {a: {dataset.irelevant: 1}}",
     ["ablations.study.arms.a", "`irelevant`", "datasets.mini", ":34", "`irrelevant`"]),
    ("the whole recipe", "base: plain\narms: {a: {recipe: quick}}",
     ["ablations.study.arms.a", ":34", "`recipe`", "recipe.epochs"]),
    ("an empty step", "base: seeing\narms: {a: {aligner..level: token}}",
     ["ablations.study.arms.a", ":34", "`aligner..level`"]),
    ("unknown system", "base: plain\narms: {a: {system: span}}",
     ["ablations.study.arms.a", ":34", "`span`", "`spans`"]),
    ("no system", "base: plain\narms: {a: {system: }}",
     ["ablations.study.arms.a", ":34", "`None`"]),
    ("extends", "base: plain\narms: {a: {extends: spans}}",
     ["ablations.study.arms.a", ":34", "`system: NAME`"]),
    ("grid of no list", "base: seeing\ngrid: {aligner.level: token}",
     ["grid.aligner.level", ":34"]),
    ("grid of nothing", "base: seeing\ngrid: {aligner.level: []}", ["grid.aligner.level", ":34"]),
    ("bad value in a grid", "base: seeing\ngrid:\n  aligner.level: [token, word]",
     ["ablations.study.grid", ":35", "'word'"]),
    ("value twice in a grid", "base: seeing\ngrid: {aligner.level: [token, token]}",
     ["ablations.study.grid", ":34", "`level=token`", "already"]),
    ("nothing to leave out", "base: seeing\nleave_one_out: [algner]",
     ["ablations.study.leave_one_out", ":34", "`algner`", "`aligner`"]),
    ("no view to leave out", "base: seeing\nleave_one_out: [views.gird]",
     ["ablations.study.leave_one_out", ":34", "`gird`", "`grid`"]),
    ("left out twice", "base: seeing\nleave_one_out: [fuser, fuser]", ["leave_one_out", "already"]),
    ("the same point twice",
     "base: plain\narms: {a: {recipe.epochs: 9}}\nacross: {recipe.batch_size: [4, 4]}",
     ["across", ":35", "`batch_size=4` is given twice"]),
    ("wrong across", "base: plain\narms: {a: {system: spans}}\nacross: {dataset.noise: [0, 1]}",
     ["ablations.study.across", "`noise`", ":35"]),
    ("arms that are the same",
     "base: seeing\narms: {one: {aligner: null}}\nleave_one_out: [aligner]",
     ["ablations.study.leave_one_out", ":35", "`one`", "`without aligner`", "same"]),
    ("two arms of one name", "base: seeing\narms: {level=token: {fuser.heads: 4}}\n"
     "grid: {aligner.level: [token]}", ["ablations.study.grid", ":35", "`level=token`", "already"]),
    ("an arm called base", "base: seeing\narms: {base: {aligner: null}}",
     ["ablations.study.arms.base", ":34", "another name"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_mistake(registry: Path, text: str, words: list[str]) -> None:
    found = problems(registry, text)
    assert any(all(word in line for word in words) for line in found), found
    assert len(found) == 1, found
    assert "\n" not in found[0]


def test_the_line_of_a_mistake(registry: Path) -> None:
    text = "base: seeing\narms:\n  token: {aligner.levle: token}"
    assert problems(registry, text) == [
        "ablations.study.arms.token: unknown key `levle` in systems.seeing.aligner "
        "(registry.yaml:35); did you mean `level`?"
    ]


def test_all_mistakes_in_one_pass(registry: Path) -> None:
    found = problems(
        registry,
        "base: [seeing, plain]\narms: {a: {recipe.epocs: 1}, b: {text.sratch: 1}, c: {decodr: 1}}\n"
        "across: {dataset.irrelevant: [0, 1]}",
    )
    assert len(found) == 3, "each once, whatever the base and the value"
    for word, line in zip(("`epocs`", "`sratch`", "`decodr`"), found, strict=True):
        assert word in line


def test_a_broken_base_is_told_once(registry: Path) -> None:
    registry.write_text(registry.read_text().replace("part: crf", "part: crff"))
    found = problems(registry, "base: plain\narms: {a: {aligner: null}, b: {recipe.epochs: 2}}")
    assert len(found) == 1
    assert found[0].startswith("systems.plain.decoder.part (registry.yaml:10)")


@pytest.mark.parametrize("name", [".hidden", "a/b"])
def test_an_ablation_s_name_is_that_of_a_file(registry: Path, name: str) -> None:
    with_ablation(registry, "base: plain\narms: {a: {recipe.epochs: 2}}", name)
    with pytest.raises(ConfigError, match="can't name a file"):
        read(registry)


@pytest.mark.parametrize("section", ["ablations:\n", "ablations: {}\n", "ablations: [a]\n"])
def test_a_section_without_ablations(registry: Path, section: str) -> None:
    registry.write_text(registry.read_text() + section)
    with pytest.raises(ConfigError, match=r"ablations \(registry.yaml:31\)"):
        read(registry)


# Controls -----------------------------------------------------------------------------------------


def test_controls(registry: Path) -> None:
    found = arms(registry, "base: seeing\ncontrols: true\narms: {bioes: {decoder.scheme: BIOES}}")
    assert list(found) == ["base", "text only", "plain attention", "random vectors", "bioes"]
    base = found["base"].system
    assert found["text only"].system.text_only
    attention = found["plain attention"].system
    assert (attention.aligner, attention.fuser.name) == ((), "cross_attention")
    assert attention.views == base.views
    random = found["random vectors"].system
    (view,) = random.views.values()
    assert (view.name, view.nested["encoder"]) == ("random_vectors", base.views["grid"])
    assert (random.aligner, random.fuser, random.decoder) == (
        base.aligner,
        base.fuser,
        base.decoder,
    )
    assert attention.fuser.settings["level"] == "token"
    assert attention.fuser.settings["heads"] is None, "not that of the base's own"


@pytest.mark.parametrize("ablation", ["controls", "controls_all"])
def test_controls_of_the_shipped_systems(ablation: str) -> None:
    """Under every backbone of a suite that has them, with its views' own encoders."""
    config = read(Path(__file__).parents[1] / "registry.yaml")
    for suite in ("mini", "twitter2017", "toy-tweets", "paper"):
        set_out(config, [ablation], suite)
        found: dict[str, dict[str, Plan]] = {}
        for plan in config.ablations[ablation].arms:
            found.setdefault(plan.arm.comparison.title, {})[plan.arm.name] = plan
        for title, plans in found.items():
            base = next(iter(plans.values())).system
            assert {"text only", "random vectors"} <= set(plans)
            assert ("plain attention" in plans) is ("attention on" not in title), (
                "else it is the base"
            )
            views = plans["random vectors"].system.views
            assert views.keys() == base.views.keys()
            for name, view in views.items():
                assert view.nested["encoder"].resolved() == {
                    key: value for key, value in base.views[name].resolved().items()
                    if key != "frozen"
                }  # fmt: skip
                sees = "caption" if base.views[name].name == "caption" else "picture"
                assert view.settings == {"of": sees}


def test_every_shipped_system_with_a_view_has_controls() -> None:
    config = read(Path(__file__).parents[1] / "registry.yaml")
    bases = {base for name in ("controls", "controls_all") for base in config.written[name].base}
    seeing = {name for name in config.systems if config.spec(name, "tiny").views}
    variants = {"bert-crf-contrastive", "bert-span-contrastive", "smner-wide"}
    assert bases == seeing - variants, "add it to the bases of controls_all"


def test_plain_attention_leaves_no_weight_of_the_lost_fuser() -> None:
    """The other weights stay, and the losses that they are of."""
    config = read(Path(__file__).parents[1] / "registry.yaml")
    plans = {
        plan.arm.name: plan.system
        for plan in config.ablations["controls_all"].arms
        if plan.arm is not None and plan.arm.comparison.base == "maf"
    }
    assert plans["base"].loss_weights == {"crf": 0.62, "match": 0.38, "contrastive": 0.38}
    assert plans["plain attention"].loss_weights == {"crf": 0.62}
    assert plans["random vectors"].loss_weights == plans["base"].loss_weights


def test_controls_where_there_are_none(registry: Path) -> None:
    (told,) = problems(registry, "base: plain\ncontrols: true")
    for words in ("ablations.study.controls", ":34", "plain has neither views nor context"):
        assert words in told


def test_the_names_of_controls_are_taken(registry: Path) -> None:
    (told,) = problems(registry, "base: seeing\ncontrols: true\narms: {text only: {views: null}}")
    assert "can't be called `text only`" in told


@pytest.mark.parametrize("across", ["aligner: [null, {part: contrastive}]", "fuser.heads: [1, 2]"])
def test_controls_are_those_of_the_base_at_each_point(registry: Path, across: str) -> None:
    found = comparisons(registry, f"base: seeing\ncontrols: true\nacross: {{{across}}}")
    assert len(found) == 2
    for plans in found.values():
        named = {each: plan for name, plan in plans.items() for each in name.split(" = ")}
        assert named["text only"].system.text_only
        attention = named["plain attention"].system
        assert (attention.aligner, attention.objective) == ((), None)
        base = next(iter(plans.values())).system
        assert named["random vectors"].system.views.keys() == base.views.keys()


def test_controls_of_another_system_at_a_point(registry: Path) -> None:
    text = registry.read_text().replace(
        "recipes:",
        "  other:\n    extends: seeing\n    views: {grid: null, eye: {part: small_cnn}}\nrecipes:",
    )
    registry.write_text(text)
    found = comparisons(registry, "base: seeing\ncontrols: true\nacross: {system: [seeing, other]}")
    _, other = found.values()
    assert set(other["random vectors"].system.views) == {"eye"}


def test_context_inside_of_an_encoder_goes_with_the_text_only_control(registry: Path) -> None:
    inner = "{part: transformer, scratch: {width: 16, heads: 2}, context: caption}"
    found = arms(
        registry,
        "base: seeing\ncontrols: true\nacross: {text: [{part: contextual, heads: 2, "
        f"encoder: {inner}}}]}}",
    )
    assert found["text only"].system.text_only


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("recipe.weight_decay", ["`recipe.weight_decay` can't be left out", "its default 0.01"]),
        ("decoder.dropout", ["`decoder.dropout` can't be left out"]),
        ("recipe.warmup", ["`recipe.warmup` can't be left out"]),
    ],
)
def test_what_a_null_would_leave_at_its_default(
    registry: Path, gone: str, words: list[str]
) -> None:
    (problem,) = problems(registry, f"base: seeing\nleave_one_out: [{gone}]")
    assert all(word in problem for word in words), problem


def test_what_can_be_left_out(registry: Path) -> None:
    found = arms(registry, "base: seeing\nleave_one_out: [fuser, views, recipe.clip]")
    assert found["without recipe.clip"].recipe.clip is None


def test_arms_that_are_the_same_runs(registry: Path) -> None:
    """By their ids, which no default and no precision of this machine enters."""
    arms = {
        name: [SimpleNamespace(variant=v)] for name, v in (("base", "1"), ("a", "1"), ("b", "2"))
    }
    comparison = Comparison("study", "plain", "mini", "")
    assert list(_merged(comparison, arms)) == ["base = a", "b"]
    arms["c"] = [SimpleNamespace(variant="2")]
    with pytest.raises(ConfigError, match="the arms `b` and `c` are the same under plain"):
        _merged(comparison, arms)
    study = read(
        with_ablation(
            registry, "base: plain\narms: {one: {loss_weights: {crf: 1}}, two: {recipe.epochs: 2}}"
        )
    ).ablations["study"]
    jobs = make_jobs(study.plans(), load_datasets(study.plans(), registry.parent))
    ((found),) = by_arm(jobs).values()
    assert list(found) == ["base = one", "two"]
