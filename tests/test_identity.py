"""Identity: what must give a run a new id does, and what must not does not."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal

import pytest
from pydantic import BaseModel

from zoo import identity
from zoo.config.read import read
from zoo.config.specs import Recipe
from zoo.errors import ConfigError, RunError
from zoo.identity import configuration, sources, stale
from zoo.results.store import Store
from zoo.runs.datasets import load_datasets
from zoo.runs.job import Job, make_jobs
from zoo.runs.run import attempt, prepare
from zoo.schema import PartSpec, SystemSpec
from zoo.training import precision
from zoo.training.precision import resolve_precision

Change = Callable[[Path], object]


def rewrite(old: str, new: str) -> Change:
    """A change of the small registry's text."""

    def change(registry: Path) -> None:
        text = registry.read_text(encoding="utf-8")
        assert old in text
        registry.write_text(text.replace(old, new), encoding="utf-8")

    return change


def job(registry: Path, system: str = "seeing", *overrides: str, seed: int = 1) -> Job:
    plans = read(registry, overrides).plan(systems=[system], seeds=[seed])
    (made,) = make_jobs(plans, load_datasets(plans, registry.parent))
    return made


# The configuration --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        rewrite("batch_size: 8", "batch_size: 4"),
        rewrite('learning_rates: {"*": 1e-3}', 'learning_rates: {"*": 2e-3}'),
        rewrite("epochs: 1", "epochs: 1\n    clip: null"),
        rewrite("epochs: 1", "epochs: 1\n    threads: 1"),
        rewrite("epochs: 1", "epochs: 1\n    precision: bf16"),
        rewrite("epochs: 1", "epochs: 1\n    max_tokens: 4096"),
        rewrite("epochs: 1", "epochs: 1\n    optimizer: sgd"),
        rewrite("heads: 2}\nrecipes", "heads: 4}\nrecipes"),
        rewrite("level: token, heads: 2", "level: token, heads: 2, concat: true"),
        rewrite("grid: {part: $grid}", "grid: {part: $grid, frozen: true}"),
        rewrite("views: {grid:", "views: {other:"),
        rewrite("    aligner: {part: contrastive}\n", ""),
        rewrite("    fuser:", "    loss_weights: {contrastive: 0.5}\n    fuser:"),
        rewrite("width: 16", "width: 8"),
        rewrite("train: 24", "train: 23"),
    ],
)
def test_a_changed_setting_is_another_run(registry: Path, change: Change) -> None:
    before = job(registry)
    change(registry)
    after = job(registry)
    assert after.id != before.id
    assert after.variant != before.variant


@pytest.mark.parametrize(
    "change",
    [
        rewrite("epochs: 1", "epochs: 1\n    clip: 1.0\n    optimizer: adamw\n    patience: null"),
        rewrite("epochs: 1", "epochs: 1\n    accumulate: 1\n    threads: null\n    clip: 1"),
        rewrite("epochs: 1", "epochs: 1\n    max_tokens: null"),
        rewrite("epochs: 1", "epochs: 1\n    momentum: 0"),
        rewrite("part: contrastive", "part: contrastive, level: sentence"),
        rewrite("grid: {part: $grid}", "grid: {part: $grid, frozen: false}"),
        rewrite("fuser:", "loss_weights: {contrastive: 1, crf: 1.0}\n    fuser:"),
        rewrite("seeds: [1]", "seeds: [1, 2]"),
        rewrite("tiny", "small"),
        rewrite("quick", "slow"),
        rewrite("decoder: {part: crf}", "decoder: {part: crf}\n    description: a system"),
    ],
)
def test_defaults_and_names_do_not_enter(registry: Path, change: Change) -> None:
    before = job(registry)
    change(registry)
    assert job(registry).id == before.id


def test_momentum_enters_with_the_optimizer_that_has_it(registry: Path) -> None:
    """What it is not written for keeps its configuration's digest."""
    spec = job(registry).plan.system

    def entered(**settings: object) -> str:
        recipe = Recipe(epochs=1, learning_rates={"*": 1e-3}, **settings)
        return configuration(spec, recipe)[0]

    assert entered() == entered(momentum=0.0) == entered(optimizer="adamw", momentum=0.0)
    plain = entered(optimizer="sgd")
    assert plain == entered(optimizer="sgd", momentum=0.0)
    moving = entered(optimizer="sgd", momentum=0.5)
    assert len({entered(), entered(optimizer="adam"), plain, moving}) == 4


def test_seeds_are_one_variant(registry: Path) -> None:
    one, two = job(registry, seed=1), job(registry, seed=2)
    assert one.id != two.id
    assert one.variant == two.variant


def test_the_order_that_decides_counts(registry: Path) -> None:
    """The first pattern that matches a parameter gives its learning rate; views are built in
    order."""
    spec = job(registry).plan.system
    first = Recipe(epochs=1, learning_rates={"text.*": 1e-5, "*.bias": 1e-3})
    other = Recipe(epochs=1, learning_rates={"*.bias": 1e-3, "text.*": 1e-5})
    assert first.learning_rate("text.bias") != other.learning_rate("text.bias")
    assert configuration(spec, first) != configuration(spec, other)
    grid = spec.views["grid"]
    one, two = (replace(spec, views=dict.fromkeys(names, grid)) for names in ("ab", "ba"))
    assert configuration(one, first) != configuration(two, first)


def test_loss_weights_that_change_nothing_do_not_enter(registry: Path) -> None:
    spec, recipe = job(registry).plan.system, job(registry).plan.recipe

    def weighted(**weights: float) -> str:
        return configuration(replace(spec, loss_weights=weights), recipe)[0]

    assert weighted() == weighted(crf=1.0) == weighted(**{"contrastive.grid": 1.0})
    assert weighted(contrastive=0.5) != weighted(**{"contrastive": 0.5, "contrastive.grid": 1.0})
    assert weighted(contrastive=0.5) == weighted(**{"contrastive": 0.5, "contrastive.grid": 0.5})


class Inner(BaseModel):
    depth: int = 2
    name: str = "x"


class Typed:
    def __init__(
        self, *, count: int | float = 1, on: bool | int = True, inner: Inner | None = None
    ) -> None: ...


def typed(**settings: Any) -> str:
    given = {"count": 1, "on": True, "inner": None} | settings
    spec = SystemSpec(
        name="x",
        backbone="",
        text=PartSpec("text_encoder", "t", Typed, given),
        joint=None,
        views={},
        aligner=(),
        fuser=None,
        decoder=PartSpec("decoder", "d", Typed, {}),
        objective=None,
        loss_weights={},
    )
    return configuration(spec, Recipe(epochs=1, learning_rates={"*": 1.0}))[0]


def test_what_only_looks_like_the_default_enters() -> None:
    different = [typed(), typed(count=1.0), typed(on=1), typed(on=False), typed(inner=Inner())]
    assert len(set(different)) == len(different)
    assert typed(inner=Inner()) == typed(inner=Inner(depth=2)) != typed(inner=Inner(depth=3))


# Data ---------------------------------------------------------------------------------------------

SENTENCES = "IMGID:{id}\nAda\tB-PER\nsleeps\tO\n\nIMGID:{id}b\nRome\t{tag}\n\n"


def write_data(folder: Path, tag: str = "B-LOC") -> None:
    folder.mkdir()
    for split in ("train", "valid", "test"):
        text = SENTENCES.format(id=split, tag=tag)
        (folder / f"{split}.txt").write_text(text, encoding="utf-8")


def test_data_enters_by_what_it_holds(registry: Path) -> None:
    own = rewrite("  mini: {reader: synthetic, train: 24, dev: 8, test: 8, languages: [en]}",
                  "  mini: {reader: bio, path: here}")  # fmt: skip
    own(registry)
    write_data(registry.parent / "here")
    before = job(registry, "plain")

    shutil.move(registry.parent / "here", registry.parent / "there")
    rewrite("path: here", "path: there, tags: lenient, captions: null")(registry)
    assert job(registry, "plain").id == before.id, "moved, and a default written out"
    rewrite("mini", "moved")(registry)
    assert job(registry, "plain").id == before.id, "renamed"

    shutil.rmtree(registry.parent / "there")
    write_data(registry.parent / "there", tag="B-PER")
    assert job(registry, "plain").id != before.id, "a label changed"


# Models -------------------------------------------------------------------------------------------


class Local:
    """A part that loads a model from a folder, or from a hub whose revisions are in HUB."""

    HUB: ClassVar[dict[str, str]] = {}

    def __init__(self, *, model: str = "org/base", revision: str | None = None) -> None: ...

    @classmethod
    def loaded(cls, settings: Mapping[str, Any]) -> dict[str, str]:
        name = settings["model"]
        if name in cls.HUB:
            return {name: cls.HUB[name]}
        if not Path(name).is_dir():
            raise ConfigError(f"model `{name}`: no such folder")
        found = hashlib.sha256()
        for file in sorted(Path(name).iterdir()):
            found.update(file.name.encode() + file.read_bytes())
        return {name: found.hexdigest()}


def with_model(given: Job, model: str, revision: str | None = None) -> Job:
    """The job with a nested part that loads a model."""
    inner = PartSpec("text_encoder", "local", Local, {"model": model, "revision": revision})
    outer = replace(given.plan.system.decoder, nested={"encoder": inner})
    plan = replace(given.plan, system=replace(given.plan.system, decoder=outer))
    (made,) = make_jobs([plan], load_datasets([plan], Path()))
    return made


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_changed_model_is_another_run(registry: Path, model: Path, file: str) -> None:
    given = job(registry, "plain")
    before = with_model(given, str(model))
    assert before.id != given.id
    assert before.models == {str(model): Local.loaded({"model": str(model)})[str(model)]}
    (model / file).write_text("changed")
    assert with_model(given, str(model)).id != before.id


def test_the_same_model_under_another_path_is_the_same_run(registry: Path, model: Path) -> None:
    given = job(registry, "plain")
    before = with_model(given, str(model))
    moved = model.rename(model.with_name("elsewhere"))
    after = with_model(given, str(moved))
    assert after.id == before.id
    assert after.models == {str(moved): before.models[str(model)]}
    assert after.config != before.config, "what is stored says where the model lay"


def test_a_moved_revision_is_another_run(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = job(registry, "plain")
    monkeypatch.setitem(Local.HUB, "org/base", "commit-1")
    before = with_model(given, "org/base")
    assert with_model(given, "org/base", "commit-1").id == before.id, "the revision written out"
    monkeypatch.setitem(Local.HUB, "org/base", "commit-2")
    assert with_model(given, "org/base").id != before.id, "although the setting is at its default"


def test_a_missing_model_is_one_line(registry: Path) -> None:
    with pytest.raises(ConfigError, match=r"^systems\.plain: model `nowhere`: no such folder$"):
        with_model(job(registry, "plain"), "nowhere")


def test_a_model_that_changes_before_its_run_stops_it(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = replace(job(registry, "plain"), models={"org/base": "commit-1"})
    with pytest.raises(RunError, match="changed in the meantime"):
        prepare(planned)


# Source -------------------------------------------------------------------------------------------

GATE = '''
"""A plug-in."""
from helper import scale
from tools.deep import depth


class Gate:
    """A gate."""

    def __init__(self):
        from late import value  # imported when it is built
        self.value = value * scale + depth
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, type]:
    """A folder with a plug-in file and the modules that it imports, and the plug-in's class."""
    folder = tmp_path / "plugin"
    (folder / "tools").mkdir(parents=True)
    files = {
        "gate.py": GATE,
        "helper.py": "from inner import scale\n",
        "inner.py": "scale = 1\n",
        "late.py": "value = 1\n",
        "unused.py": "nothing = 1\n",
        "tools/__init__.py": "",
        "tools/deep.py": "from .deeper import depth\n",
        "tools/deeper.py": "depth = 1\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    module = load(folder / "gate.py", "zoo_plugin_gate", monkeypatch)
    for name in ("helper", "inner", "tools", "tools.deep", "tools.deeper"):
        monkeypatch.delitem(sys.modules, name)
    return folder, module.Gate


def load(file: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("gate.py", "* scale", "- scale"),
        ("helper.py", "import scale\n", "import scale\nscale = 2\n"),
        ("inner.py", "scale = 1", "scale = 2"),
        ("late.py", "value = 1", "value = 2"),
        ("tools/__init__.py", "", "changed = True\n"),
        ("tools/deeper.py", "depth = 1", "depth = 2"),
    ],
)
def test_a_changed_plug_in_is_another_run(
    plugin: tuple[Path, type], file: str, old: str, new: str
) -> None:
    folder, gate = plugin
    before = sources([gate])
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert sources([gate]) == before, "what was loaded still runs"
    (line,) = stale([gate])
    assert line.startswith(f"{folder / file} was changed since it was loaded")
    identity._texts.clear()  # as in another process
    assert sources([gate]) != before
    assert stale([gate]) == []


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("gate.py", '"""A gate."""', '"""Another description."""'),
        ("gate.py", "# imported", "# read"),
        ("gate.py", "value * scale", "(value  *  scale)"),
        ("inner.py", "scale = 1", "# how much\n\nscale = 1"),
        ("unused.py", "nothing = 1", "nothing = 2"),
    ],
)
def test_comments_and_other_files_do_not_count(
    plugin: tuple[Path, type], file: str, old: str, new: str
) -> None:
    folder, gate = plugin
    before = sources([gate])
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")
    assert stale([gate]) == []
    identity._texts.clear()
    assert sources([gate]) == before


def test_an_edited_plug_in_runs_as_its_id_says(registry: Path) -> None:
    """In one process: the plug-in is loaded again, and a module that it imports is told."""
    (registry.parent / "scaled_by.py").write_text("BY = 1\n")
    plugin = registry.parent / "scaled.py"
    text = (
        "import scaled_by\n"
        "from zoo.decoders.crf import Crf\n"
        "from zoo.registry import register\n"
        '@register("decoder", "scaled")\n'
        "class Scaled(Crf):\n"
        '    "A CRF."\n'
        "    scale = 1\n"
    )
    rewrite("decoder: {part: crf}", "decoder: {part: scaled}")(registry)
    rewrite("datasets:\n", "plugins: [scaled.py]\ndatasets:\n")(registry)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(registry.parent)
        plugin.write_text(text)
        first = job(registry)
        plugin.write_text(text.replace("scale = 1", "scale = 2"))
        second = job(registry)
        assert second.id != first.id
        assert second.plan.system.decoder.cls.scale == 2  # type: ignore[attr-defined]
        (registry.parent / "scaled_by.py").write_text("BY = 2\n")
        with pytest.raises(ConfigError, match=r"scaled_by\.py was changed .*start Python anew"):
            job(registry)
        patch.delitem(sys.modules, "scaled_by")


def test_a_plug_in_may_move(
    plugin: tuple[Path, type], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, gate = plugin
    before = sources([gate])
    moved = folder.rename(tmp_path / "moved")
    monkeypatch.syspath_prepend(moved)
    assert sources([load(moved / "gate.py", "zoo_plugin_gate", monkeypatch).Gate]) == before


def test_an_installed_plug_in_is_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site-packages"
    (site / "own_gates").mkdir(parents=True)
    (site / "own_gates" / "__init__.py").write_text("")
    (site / "own_gates" / "gate.py").write_text(
        "import foreign\nfrom . import scale\nclass Gate: ...\n"
    )
    (site / "own_gates" / "scale.py").write_text("scale = 1\n")
    (site / "foreign.py").write_text("")
    monkeypatch.syspath_prepend(site)
    from own_gates.gate import Gate  # type: ignore[import-not-found]

    before = sources([Gate])
    (site / "foreign.py").write_text("changed = 1\n")
    identity._texts.clear()
    assert sources([Gate]) == before, "another package has a version of its own"
    (site / "own_gates" / "scale.py").write_text("scale = 2\n")
    identity._texts.clear()
    assert sources([Gate]) != before


def test_parts_of_the_zoo_count_with_what_they_import(tmp_path: Path) -> None:
    from zoo.decoders.crf import Crf
    from zoo.encoders.small import SmallCNN

    seen = []

    def note(name: str, file: Path, packages: set[str]) -> Any:
        seen.append(name)
        return honest(name, file, packages)

    honest = identity._beside
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity, "_beside", note)
        sources([Crf, SmallCNN])
    assert {"zoo.decoders.crf", "zoo.decoders.tagging", "zoo.encoders.pictures"} <= set(seen)
    seen.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity, "_beside", note)
        # a plug-in that builds on an objective
        (tmp_path / "own.py").write_text("from zoo.objectives.cross_view import CrossView\n")
        own = load(tmp_path / "own.py", "zoo_plugin_own", patch)
        sources([type("Own", (), {"__module__": own.__name__})])
    assert "zoo.objectives.cross_view" in seen
    assert not {"zoo.types", "zoo.parts", "zoo.tags", "zoo.system"} & set(seen), "the harness"


def test_a_part_without_a_file_is_one_line() -> None:
    made = type("Made", (), {"__module__": "nowhere"})
    with pytest.raises(ConfigError, match="put it into a file"):
        sources([made])


# Precision and harness ----------------------------------------------------------------------------


def test_precision_is_decided_before_the_run(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "cpu_features", lambda: frozenset({"avx512_bf16"}))
    recipe = job(registry).plan.recipe
    asked: dict[Literal["auto", "fp32", "bf16"], str] = {
        "auto": "fp32", "fp32": "fp32", "bf16": "bf16"
    }  # fmt: skip
    for written, resolved in asked.items():
        assert resolve_precision(recipe.model_copy(update={"precision": written})) == resolved
    monkeypatch.setattr(precision, "cpu_features", lambda: frozenset({"amx_tile", "amx_bf16"}))
    assert resolve_precision(recipe) == "bf16", "from what the CPU has, not from a timing"
    with pytest.raises(ConfigError, match="fp16 needs a CUDA GPU"):
        resolve_precision(recipe.model_copy(update={"precision": "fp16"}))
    monkeypatch.setattr(precision.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(precision.torch.cuda, "is_bf16_supported", lambda: True)
    assert resolve_precision(recipe) == "bf16"


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 amx_bf16\nbugs\t: x\n", {"fpu", "avx2", "amx_bf16"}),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", {"fp", "asimd", "bf16"}),
        ("processor : 0\n", set()),
        (None, set()),
    ],
)
def test_the_features_of_the_cpu(
    text: str | None, features: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "cpuinfo")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")
    assert precision.cpu_features() == features


def test_the_precision_enters_as_resolved(registry: Path) -> None:
    auto = job(registry)
    assert auto.precision in ("fp32", "bf16", "fp16")
    same = job(registry, "seeing", f"recipes.quick.precision={auto.precision}")
    assert same.id == auto.id, "written out or not"
    other = "bf16" if auto.precision == "fp32" else "fp32"
    assert job(registry, "seeing", f"recipes.quick.precision={other}").id != auto.id


def test_the_harness_enters(registry: Path) -> None:
    given = job(registry)
    hashes = (given.config_hash, given.data.fingerprint, given.sources, given.precision)
    assert identity.run_id(*hashes, given.seed, identity.HARNESS) == given.id
    assert identity.run_id(*hashes, given.seed, identity.HARNESS + 1) != given.id
    assert identity.variant_id(*hashes, identity.HARNESS + 1) != given.variant


# A run -------------------------------------------------------------------------------------------


class Silent:
    """A report that fails the test if the run fails."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None

    def fail(self, _: Job, message: str) -> None:
        pytest.fail(message)


def test_a_renamed_system_is_found_under_its_id(registry: Path, tmp_path: Path) -> None:
    made, store = job(registry, "plain"), Store(tmp_path / "results")
    assert attempt(made, store, Silent(), "missing")
    record = store.read(made)
    assert (record.id, record.variant) == (made.id, made.variant)
    assert (record.harness, record.precision) == (identity.HARNESS, made.precision)
    assert (record.models, record.kind) == ({}, "run")
    hashes = (record.config_hash, record.data_fingerprint, record.sources_hash)
    assert identity.run_id(*hashes, record.precision, record.seed, record.harness) == record.id

    rewrite("plain", "renamed")(registry)
    asked = job(registry, "renamed")
    assert asked.id == made.id
    assert store.complete(asked)
    found = store.read(asked)
    assert found.system == "renamed"
    assert found.model_copy(update={"system": "plain"}) == record
    assert store.folder(found) == store.folder(made), "its predictions are found, too"
