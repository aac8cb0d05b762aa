"""Files laid over the shipped registry, plug-ins that a file names, and entries that -o adds."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.config import own
from zoo.config.config import shipped_file
from zoo.config.own import add_suite
from zoo.config.read import read
from zoo.errors import ConfigError
from zoo.yaml import load

MINE = "include: zoo\ndatasets:\n  mine: {reader: bio, path: mine}\n"
GATE = """
from zoo.parts import Fuser
from zoo.registry import register

@register("fuser", "gate_of_{name}")
class Gate(Fuser):
    "A gate."
    level = "token"
    def __init__(self, width, *, strength: float = 1.0):
        super().__init__()
        self.width = width
    def forward(self, units, views):
        return units
"""


def problems(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(path, overrides)
    return list(caught.value.problems)


def test_a_file_is_laid_over_the_shipped_registry(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "include: zoo\n"
        "recipes: {tiny: {epochs: 3, learning_rates: {text.*: 1e-4, '*': 1e-3}}}\n"
        "systems: {mine: {extends: bert-crf, decoder: {scheme: BIOES}}, bert-crf: {decoder: "
        "{dropout: 0.2}}}\n"
        "suites: {own: {systems: [mine], datasets: [mini], seeds: [7], backbone: tiny, "
        "recipe: tiny}}"
    )
    config = read(path)
    assert set(load(shipped_file())["systems"]) < set(config.systems)
    assert next(iter(config.suites)) == "own", "the file's own entries come first"
    (plan,) = config.plan()
    assert plan.system.decoder.settings["scheme"] == "BIOES"
    assert plan.system.decoder.settings["dropout"] == 0.2
    assert plan.recipe.epochs == 3
    assert plan.recipe.batch_size == 32, "the rest is the shipped recipe's"
    assert list(plan.recipe.learning_rates) == ["text.*", "*"]
    assert config.own == ()


def test_other_files_may_be_included(tmp_path: Path, registry: Path) -> None:
    path = registry.with_name("more.yaml")
    path.write_text(f"include: {registry.name}\nrecipes: {{quick: {{epochs: 2}}}}\n")
    assert read(path).recipes["quick"].epochs == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("include: gone.yaml", ["include", "mine.yaml:1", "no such file"]),
        ("include: mine.yaml", ["include", "mine.yaml:1", "itself"]),
        ("include: [zoo]", ["include", "mine.yaml:1", "`zoo`"]),
        ("include: zoo\nplugins: gate.py", ["plugins", "mine.yaml:2", "list"]),
        ("include: zoo\nplugins: [gone.py]", ["plugins", "mine.yaml:2", "gone.py", "no such file"]),
        ("include: zoo\nrecipes: {tiny: {epochs: 0}}", ["recipes.tiny.epochs", "mine.yaml:2"]),
        ("include: zoo\nsystems: {bert-crf: {decoder: {schme: x}}}", ["schme", "mine.yaml:2"]),
        ("datasets: {m: {reader: synthetic}}", ["section `systems` is missing", "include: zoo"]),
    ],
)
def test_mistakes(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    found = problems(path)
    assert any(all(word in line for word in words) for line in found), found


def test_plug_ins_that_a_file_names(tmp_path: Path) -> None:
    (tmp_path / "gate.py").write_text(GATE.format(name="file"))
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"plugins: [gate.py]\n{MINE}"
        "systems: {mine: {extends: bert-crf-attention, fuser: {part: gate_of_file}}}"
    )
    assert read(path).spec("mine", "tiny").fuser.settings == {"strength": 1.0}


def test_an_unknown_part_tells_how_to_add_one(registry: Path) -> None:
    registry.write_text(registry.read_text().replace("part: cross_attention", "part: no_such_gate"))
    (line,) = problems(registry)
    assert "unknown fuser `no_such_gate`" in line
    assert "--plugin FILE" in line
    assert "plugins: [FILE]" in line


@pytest.mark.parametrize("recipe", ["minilm", "minilm-small"])
@pytest.mark.parametrize(
    ("sees", "systems", "backbone"),
    [
        ((), own.TEXT_ONLY, "minilm"),
        (("picture",), own.TEXT_ONLY + own.MULTIMODAL, "pixels"),
        (("caption",), own.TEXT_ONLY + own.MULTIMODAL, "minilm"),
        (("picture", "caption"), own.TEXT_ONLY + own.MULTIMODAL, "minilm"),
    ],
)
def test_a_file_with_datasets_alone_gets_a_suite(
    tmp_path: Path, sees: tuple[str, ...], systems: tuple[str, ...], backbone: str, recipe: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    config = read(path)
    assert config.own == ("mine",)
    said = add_suite(config, sees, 999 if recipe == "minilm-small" else 1000)
    plans = config.plan()
    assert tuple(dict.fromkeys(plan.system.name for plan in plans)) == systems
    assert {(p.dataset, p.system.backbone, p.recipe_name) for p in plans} == {
        ("mine", backbone, recipe)
    }
    assert {plan.seed for plan in plans} == {1, 2, 3}
    for word in (*systems, backbone, "suite mine"):
        assert word in said


def test_no_encoder_is_chosen_that_is_not_installed(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    monkeypatch.setattr(own, "MINILM", "no_such_package_anywhere")
    with pytest.raises(ConfigError, match=r"mner-zoo\[minilm\]"):
        add_suite(read(path), (), 60)


def test_an_override_may_add_an_entry(registry: Path) -> None:
    config = read(registry, ["datasets.mine={reader: bio, path: mine}"])
    assert config.datasets["mine"].settings["path"] == "mine"
    found = problems(registry, "datasets.mine={reader: bio, pth: mine}")
    assert any("`pth`" in line and "`path`" in line for line in found)


def test_a_mapping_is_merged(registry: Path) -> None:
    changed = read(registry, ["systems.seeing.fuser={heads: 4}"]).spec("seeing", "tiny")
    assert changed.fuser.name == "cross_attention"
    assert changed.fuser.settings["heads"] == 4
    inherited = read(registry, ["systems.seeing.decoder={scheme: BIOES}"]).spec("seeing", "tiny")
    assert inherited.decoder.settings["scheme"] == "BIOES"
    recipe = read(registry, ["recipes.quick.learning_rates={text.*: 1}"]).recipes["quick"]
    assert recipe.learning_rates == {"text.*": 1.0}, "replaced whole: the order counts"


def test_an_override_need_make_sense_for_what_runs_alone(registry: Path) -> None:
    config = read(registry, ["systems.plain.decoder={part: softmax}", "systems.seeing.text=null"])
    (plan,) = config.plan(systems=["plain"])
    assert plan.system.decoder.name == "softmax"
    with pytest.raises(ConfigError, match="needs either `text` or `joint`"):
        config.plan()


def test_the_text_only_version_is_named_where_nothing_reads_the_views(registry: Path) -> None:
    config = read(registry, ["systems.seeing.aligner=null", "systems.seeing.fuser=null"])
    with pytest.raises(ConfigError, match="`views: null`"):
        config.plan()


def test_data_verbs_need_datasets_alone(tmp_path: Path, zoo) -> None:
    (tmp_path / "data.yaml").write_text("datasets: {small: {reader: synthetic, train: 4}}")
    done = zoo("data", "list", "--registry", "data.yaml")
    assert done.returncode == 0, done.stderr
    assert "small" in done.stdout
