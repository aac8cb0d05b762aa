"""What goes with a part, a view or a loss that is changed or taken away."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.config.read import read
from zoo.errors import ConfigError
from zoo.schema import SystemSpec

REGISTRY = Path(__file__).parents[1] / "registry.yaml"


def spec(name: str, *changes: str) -> SystemSpec:
    return read(REGISTRY, [f"systems.{name}.{change}" for change in changes]).spec(name, "tiny")


@pytest.mark.parametrize(
    "changes", [["views=null"], ["views.patch=null", "views.grid=null"]], ids=str
)
def test_without_views_a_system_is_text_only(changes: list[str]) -> None:
    alone = spec("2m-ner", *changes)
    assert alone.text_only
    assert alone.aligner == ()
    assert alone.fuser is None
    assert alone.loss_weights == {"crf": 1.6}


def test_a_view_takes_with_it_what_is_said_of_it() -> None:
    whole, half = spec("2m-ner"), spec("2m-ner", "views.grid=null")
    assert whole.fuser is not None
    assert whole.fuser.settings["keys"] == {"patch": "regions", "grid": "pooled"}
    assert half.fuser is not None
    assert half.fuser.settings["keys"] == {"patch": "regions"}
    assert spec("2m-ner").fuser.settings["keys"] == whole.fuser.settings["keys"]


def test_a_weight_whose_loss_is_gone_makes_no_other_system() -> None:
    assert spec("2m-ner").loss_weights == {"crf": 1.6, "contrastive": 0.4}
    without = spec("2m-ner", "aligner=null")
    assert without.loss_weights == {"crf": 1.6}
    same = spec("2m-ner", "aligner=null", "loss_weights.contrastive=7")
    assert without.resolved() == same.resolved()


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("smner", "loss_weights.contrastive=5", ["no part lists a loss `contrastive`"]),
        ("smner", "loss_weights={kl.gird: 2}", ["`kl.gird`", "`kl.grid`"]),
        ("bert-crf", "loss_weights={crf.grid: 2}", ["no part lists a loss `crf.grid`"]),
        ("bert-crf", "loss_weights={crv: 2}", ["`crv`", "`crf`"]),
        ("maf", "loss_weights={match.grid: 2}", ["no part lists a loss `match.grid`"]),
        ("mmib", "loss_weights={kl_text.grid: 2}", ["no part lists a loss `kl_text.grid`"]),
    ],
)
def test_a_weight_that_would_do_nothing_is_a_mistake(name: str, change: str, words: list) -> None:
    with pytest.raises(ConfigError) as caught:
        spec(name, change)
    assert all(word in str(caught.value) for word in words), caught.value


def test_another_part_starts_afresh() -> None:
    """On the command line as in a file: the settings of the old part go with it."""
    changed = spec("smner", "decoder.part=crf", "fuser.level=token")
    assert changed.decoder.name == "crf"
    assert "max_width" not in changed.decoder.settings


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ('{"*": 1e-3, "text.body.*": 1e-5}', ["text.body.*", "`*` stands before it"]),
        ('{"text.*": 1e-3, "text.body.*": 1e-5, "*": 1}', ["`text.*` stands before it"]),
        ('{"*.bias": 1, "text.*.bias": 1e-5, "*": 1}', ["`*.bias` stands before it"]),
    ],
)
def test_a_rate_that_no_parameter_can_get(rates: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(REGISTRY, [f"recipes.tiny.learning_rates={rates}"])
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    "rates", ['{"a?": 1, "a*": 1}', '{"text.*": 1, "*": 2}', '{"*a": 1, "a*": 2}']
)
def test_rates_that_some_parameter_can_get(rates: str) -> None:
    read(REGISTRY, [f"recipes.tiny.learning_rates={rates}"])


def test_overrides_are_told_with_the_runs_that_they_change() -> None:
    changes = ["systems.smner.aligner=null", "recipes.tiny.epochs=2", "suites.mini.seeds=[7]",
               "backbones.minilm.bilstm.state=8", "systems.2m-ner.decoder.scheme=BIO"]  # fmt: skip
    config = read(REGISTRY, changes)
    told = {
        plan.system.name: plan.overrides
        for plan in config.plan("mini", ["bert-crf", "smner", "2m-ner"], ["mini"], [1])
    }
    assert told == {
        "bert-crf": ("recipes.tiny.epochs=2",),
        "smner": ("systems.smner.aligner=null", "recipes.tiny.epochs=2"),
        "2m-ner": ("recipes.tiny.epochs=2", "systems.2m-ner.decoder.scheme=BIO"),
    }
    wide = read(REGISTRY, ["systems.smner.aligner=null"]).plan("mini", ["smner-wide"])
    assert wide[0].overrides == ("systems.smner.aligner=null",), "it extends what was changed"
