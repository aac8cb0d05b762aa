"""Every mistake in a registry is one clear line with its place, before anything is written."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo import cli

# (name, text to replace, its replacement, what the line must say, every word of it)
MISTAKES = [
    ("unknown section", "suites:", "suits:\n  a: 1\nsuites:", ["suits", ":24", "`suites`"]),
    ("missing section", "recipes:\n", "recipies:\n", ["recipes", "missing"]),
    ("duplicate key", "epochs: 1", "epochs: 1\n    epochs: 2", ["duplicate", "epochs", ":22"]),
    ("bad YAML", "datasets: [mini]", "datasets: [mini", ["not valid YAML", "registry.yaml:"]),
    ("tab", "    epochs: 1", "\tepochs: 1", ["not valid YAML", ":21"]),
    ("unknown reader", "reader: synthetic", "reader: syntetic", ["syntetic", "`synthetic`", ":2"]),
    ("unknown part", "part: crf", "part: crff", ["crff", "`crf`", ":10"]),
    ("unknown key", "heads: 2}\nrec", "haeds: 2}\nrec", ["`haeds`", "`heads`", "fuser", ":18"]),
    ("unknown system key", "    decoder: {part: crf}", "    decoder: {part: crf}\n    fusor: {}",
     ["`fusor`", "`fuser`", ":11"]),
    ("unknown nested key", "layers: 1", "leyers: 1", ["leyers", ":5"]),
    ("unknown recipe key", "epochs: 1", "epochs: 1\n    epoch: 2", ["`epoch`", "`epochs`", ":22"]),
    ("unknown suite key", "seeds: [1]", "seeds: [1]\n    sedes: [1]", ["`sedes`", "`seeds`"]),
    ("wrong type", "epochs: 1", "epochs: one", ["recipes.quick.epochs", ":21", "'one'"]),
    ("wrong type in a part", "heads: 2}\nrec", "heads: two}\nrec", ["fuser.heads", ":18", "'two'"]),
    ("float for int", "batch_size: 8", "batch_size: 8.5", ["batch_size", ":22", "8.5"]),
    ("bool for int", "batch_size: 8", "batch_size: true", ["batch_size", ":22", "True"]),
    ("bad choice", "level: token", "level: word", ["fuser.level", ":18", "'token'", "'span'"]),
    ("out of bounds", "epochs: 1", "epochs: 0", ["recipes.quick.epochs", ":21", "greater"]),
    ("learning rate as text", "1e-3", "fast", ["learning_rates.*", ":23", "'fast'"]),
    ("no learning rate", '{"*": 1e-3}', "{}", ["learning_rates", ":23"]),
    ("negative seed", "seeds: [1]", "seeds: [-1]", ["seeds", ":28", "-1"]),
    ("seed twice", "seeds: [1]", "seeds: [1, 1]", ["seeds", ":28", "twice"]),
    ("system twice", "[plain, seeing]", "[plain, plain]", ["systems", ":26", "twice"]),
    ("unknown system in a suite", "[plain, seeing]", "[plane]", ["`plane`", "`plain`", ":26"]),
    ("unknown dataset in a suite", "datasets: [mini]", "datasets: [min]", ["`min`", "`mini`"]),
    ("unknown backbone", "backbone: tiny", "backbone: tinny", ["`tinny`", "`tiny`", ":29"]),
    ("unknown recipe", "recipe: quick", "recipe: quik", ["`quik`", "`quick`", ":30"]),
    ("unknown slot", "part: $grid", "part: $gird", ["tiny", "`gird`", "`grid`", ":16"]),
    ("unknown base", "extends: plain", "extends: plan", ["`plan`", "`plain`", ":15"]),
    ("extends itself", "extends: plain", "extends: seeing", ["extends itself", ":15"]),
    ("no decoder", "    decoder: {part: crf}\n", "", ["decoder", "missing", ":8"]),
    ("no text", "  plain:\n    text: {part: $text}\n", "  plain:\n", ["`text`", ":8"]),
    ("part without name", "{part: $grid}", "{frozen: true}", ["`part`", "missing", ":16"]),
    ("part is text", "aligner: {part: contrastive}", "aligner: contrastive", ["aligner", ":17"]),
    ("span fuser, token decoder", "level: token", "level: span", ["span_classifier", ":18"]),
    ("aligner without a view", "    views: {grid: {part: $grid}}\n", "", ["aligner", "view"]),
    ("views nobody reads",
     "    aligner: {part: contrastive}\n"
     "    fuser: {part: cross_attention, level: token, heads: 2}\n",
     "", ["views", "fuser", ":16"]),
    ("unknown loss", "    aligner:", "    loss_weights: {contrast: 1}\n    aligner:",
     ["`contrast`", "`contrastive`", ":17"]),
    ("negative loss weight", "    aligner:", "    loss_weights: {contrastive: -1}\n    aligner:",
     ["loss_weights.contrastive", ":17", "-1"]),
    ("frozen is no flag", "{part: $grid}}", "{part: $grid, frozen: maybe}}", ["frozen", ":16"]),
    ("heads that don't divide", "heads: 2}\nrec", "heads: 3}\nrec", ["seeing", "`heads: 3`", "16"]),
    ("no such model", "scratch: {layers: 1, width: 16, heads: 2}", "model: ./gone",
     ["systems.plain", "./gone", "no such folder"]),
    ("two models", "scratch: {", "model: minilm, scratch: {", ["systems.plain", "not both"]),
    ("section is a list", "datasets:\n  mini: {", "datasets:\n  - {", ["datasets", ":1"]),
    ("alias of itself", "views: {grid: {part: $grid}}", "views: &a {grid: *a}", ["alias", ":16"]),
]  # fmt: skip


def use(args: list[str], capsys: pytest.CaptureFixture[str], monkeypatch) -> tuple[int, list[str]]:
    """Run the command line in this process: exit code and the lines on standard error."""
    monkeypatch.setattr("sys.argv", ["zoo", *args])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    return stop.value.code, captured.err.splitlines()


@pytest.mark.parametrize(
    ("old", "new", "words"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES]
)
def test_mistake(registry: Path, old, new, words, capsys, monkeypatch) -> None:
    text = registry.read_text()
    assert text.count(old) >= 1, "the test must change something"
    registry.write_text(text.replace(old, new, 1))
    code, lines = use(["run", str(registry)], capsys, monkeypatch)
    assert code == 2
    assert any(all(word in line for word in words) for line in lines), lines
    assert [p.name for p in registry.parent.iterdir()] == ["registry.yaml"], "nothing is written"


ARGUMENTS = [
    (["run", "nowhere.yaml"], ["nowhere.yaml", "zoo init"]),
    (["run", "{r}", "--suite", "mimi"], ["--suite mimi", "`mini`"]),
    (["run", "{r}", "--system", "plane"], ["--system plane", "`plain`"]),
    (["run", "{r}", "--dataset", "min"], ["--dataset min", "`mini`"]),
    (["run", "{r}", "--seed", "x"], ["--seed", "x"]),
    (["run", "{r}", "--sed", "1"], ["--sed"]),
    (["run", "{r}", "--plugin", "gone.py"], ["gone.py", "no such file"]),
    (["run", "{r}", "--data", "gone"], ["--data gone", "no such folder"]),
    (["run", "{r}", "-o", "systems.plain.decoder.scheme"], ["SECTION.NAME.KEY=VALUE"]),
    (["run", "{r}", "-o", "system.plain.decoder.scheme=BIO"], ["`system`", "`systems`"]),
    (["run", "{r}", "-o", "systems.plan.decoder.scheme=BIO"], ["`plan`", "`plain`"]),
    (["run", "{r}", "-o", "systems.plain.decodr.scheme=BIO"], ["`decodr`", "`decoder`"]),
    (["run", "{r}", "-o", "systems.plain.decoder.schme=BIO"], ["`schme`", "`scheme`"]),
    (["run", "{r}", "-o", "systems.plain.decoder.scheme=BILOU"], ["decoder.scheme", "'BILOU'"]),
    (["run", "{r}", "-o", "systems.plain.aligner=null"], ["`aligner`", "systems.plain"]),
    (["run", "{r}", "-o", "recipes.quick.epochs=[1"], ["not valid YAML"]),
    (["rum"], ["`rum`", "`run`"]),
    (["list", "fusers"], ["`fusers`", "`fuser`"]),
    (["show", "plane", "--registry", "{r}"], ["`plane`", "`plain`"]),
    (["show", "plain", "--registry", "{r}", "--backbone", "big"], ["big", "tiny"]),
    (["leaderboard", "--results", "gone"], ["gone", "no stored runs"]),
]


@pytest.mark.parametrize(("args", "words"), ARGUMENTS, ids=[" ".join(a) for a, _ in ARGUMENTS])
def test_wrong_argument(registry: Path, args, words, capsys, monkeypatch) -> None:
    monkeypatch.chdir(registry.parent)
    args = [arg.format(r=registry) for arg in args]
    code, lines = use(args, capsys, monkeypatch)
    assert code == 2
    assert any(all(word in line for word in words) for line in lines), lines
    assert [p.name for p in registry.parent.iterdir()] == ["registry.yaml"], "nothing is written"


def test_all_mistakes_in_one_pass(registry: Path, capsys, monkeypatch) -> None:
    text = registry.read_text()
    for old, new in (("part: crf", "part: crff"), ("epochs: 1", "epochs: 0"), ("[mini]", "[min]")):
        text = text.replace(old, new, 1)
    registry.write_text(text)
    _, lines = use(["run", str(registry)], capsys, monkeypatch)
    assert sum(any(w in line for w in ("crff", "epochs", "`min`")) for line in lines) == 3


def test_mistake_as_a_user_sees_it(
    registry: Path, zoo: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    registry.write_text(registry.read_text().replace("heads: 2}\nrec", "haeds: 2}\nrec"))
    done = zoo("run", str(registry))
    assert done.returncode == 2
    assert done.stderr == (
        "zoo: unknown key `haeds` in systems.seeing.fuser (registry.yaml:18); "
        "did you mean `heads`?\n"
    )
    assert done.stdout == ""


def test_plugin_that_breaks(registry: Path, capsys, monkeypatch) -> None:
    plugin = registry.parent / "plugin.py"
    plugin.write_text("import nothing_of_that_name\n")
    code, lines = use(["run", str(registry), "--plugin", str(plugin)], capsys, monkeypatch)
    assert code == 2
    assert len(lines) == 1
    assert "nothing_of_that_name" in lines[0]


def test_plugin_that_takes_a_name(registry: Path, capsys, monkeypatch) -> None:
    plugin = registry.parent / "plugin.py"
    plugin.write_text(
        "from zoo.registry import register\n@register('decoder', 'crf')\nclass Mine: ...\n"
    )
    code, lines = use(["run", str(registry), "--plugin", str(plugin)], capsys, monkeypatch)
    assert code == 2
    assert len(lines) == 1
    assert "taken" in lines[0]
