"""A run's folder is a model: it loads without the training data, and nothing else than it is."""

from __future__ import annotations

import json
import shutil
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from zoo.config.specs import SystemType
from zoo.encoders.references import Name, Reference
from zoo.model import load as loading
from zoo.model.description import StoredReference, read_description
from zoo.model.load import load_folder
from zoo.model.share import shared_names, shared_reference, without_paths
from zoo.model.store import _copy_weights
from zoo.schema import validated
from zoo.types import Sample
from zoo.yaml import Place

Copy = Callable[[str], Path]
SYSTEMS = ("plain", "lstm", "seeing", "spans")


@pytest.mark.parametrize("system", SYSTEMS)
def test_another_place_without_the_data(
    system: str,
    results: Path,
    folder: Copy,
    samples: list[Sample],
    monkeypatch: Any,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    here = list(zoo.load(f"{system}@mini", results=results).predict_all(samples))
    place = folder(system)
    for name in ("predictions.test.jsonl", "predictions.dev.jsonl", "history.csv", "config.yaml"):
        (place / name).unlink()
    monkeypatch.chdir(place.parent)
    assert list(zoo.load(place).predict_all(samples)) == here
    saved = zoo.load(place).save_pretrained(tmp_path / "saved")
    assert list(zoo.load(saved).predict_all(samples)) == here
    again = zoo.load(saved).save_pretrained(tmp_path / "again", whole=True)
    for name in ("model.safetensors", "learnt.json", "config.json", "README.md"):
        assert (again / name).read_bytes() == (saved / name).read_bytes()


@pytest.mark.parametrize("system", SYSTEMS)
def test_settings_return(system: str, folder: Copy) -> None:
    found = read_description(folder(system) / "model.json")
    spec = validated(SystemType, found.system, Place((), "model.json"))
    assert json.loads(json.dumps(spec.resolved())) == found.system
    assert found.types == ["LOC", "MISC", "ORG", "PER"]
    assert found.languages == ["de", "en"]
    assert not found.reloaded
    assert found.whole


def test_the_weights_have_their_neighbours_permissions(results: Path) -> None:
    for weights in results.glob("runs/*/*/*/model.safetensors"):
        modes = {stat.S_IMODE(path.stat().st_mode) for path in weights.parent.iterdir()}
        assert len(modes) == 1


def change(folder: Path, **fields: Any) -> Path:
    """The folder as a saved model, with other fields in its description."""
    place = zoo.load(folder).save_pretrained(folder.with_name(f"{folder.name}-saved"))
    data = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**data, **fields}))
    return place


def refused(kind: type[zoo.ZooError], place: Path, *parts: str) -> None:
    with pytest.raises(kind) as raised:
        load_folder(place)
    assert len(raised.value.problems) == 1
    for part in parts:
        assert part in str(raised.value)


def test_a_changed_file_is_refused(folder: Copy) -> None:
    place = folder("plain")
    for name in ("learnt.json", "model.safetensors", "model.json"):
        before = (place / name).read_bytes()
        (place / name).write_bytes(before + b" ")
        refused(zoo.DataError, place, name, "changed")
        (place / name).unlink()
        refused(zoo.DataError, place, name)
        (place / name).write_bytes(before)
    load_folder(place)


def test_tensors_have_to_fit_exactly(folder: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    place = change(folder("plain"))
    monkeypatch.setattr(loading, "digest_file", lambda path: known[path.name])
    known = json.loads((place / "config.json").read_text())["files"]
    tensors = load_file(place / "model.safetensors")
    name = sorted(tensors)[0]
    rest = {key: value for key, value in tensors.items() if key != name}
    for wrong, part in (
        (rest, f"lacks {name}"),
        ({**tensors, "more": tensors[name].clone()}, "more, which has no place"),
        ({**rest, name: tensors[name].double()}, "has to be float32"),
        ({**rest, name: tensors[name].flatten()[:1]}, f"{name} is"),
    ):
        save_file(wrong, place / "model.safetensors")
        refused(zoo.DataError, place, part)
    (place / "model.safetensors").write_bytes(b"none")
    refused(zoo.DataError, place, "safetensors")


def test_another_source_of_parts_is_refused(folder: Copy) -> None:
    place = folder("plain")
    parts = json.loads((place / "model.json").read_text())["parts"]
    parts[-1]["sources"] = "0" * 64
    changed = change(place, sources="0" * 64, parts=parts)
    refused(zoo.ConfigError, changed, "source of `crf`", "--allow-changed")
    assert zoo.load(changed, allow_changed=True).predict("Ada").words == ("Ada",)
    refused(zoo.ConfigError, change(place, harness=0), "harness 0", "--allow-changed")


def test_a_part_that_is_not_here_is_named(folder: Copy) -> None:
    place = folder("plain")
    part = {"slot": "fuser", "kind": "fuser", "name": "gate", "sources": "0"}
    for more, words in (
        ({"package": "mner-gates", "version": "1.2"}, ("`gate`", "pip install mner-gates")),
        ({"file": "gate.py", "digest": "ab" * 32}, ("plug-in file gate.py", "--plugin")),
        ({"package": "mner-zoo", "version": "9.0"}, ("zoo 9.0",)),
    ):
        refused(zoo.ConfigError, change(place, parts=[{**part, **more}]), *words)


PLUGIN = """
from zoo.fusers.cross_attention import CrossAttention
from zoo.registry import register


@register("fuser", "gate")
class Gate(CrossAttention):
    '''Cross-attention under another name.'''
"""


def test_a_model_with_a_plug_in(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo.registry import forget_plugin_files, load_plugin_file

    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "gate.py").write_text(PLUGIN)
    text = registry.read_text().replace("part: cross_attention", "part: gate")
    registry.write_text(f"plugins: [gate.py]\n{text}")
    (run,) = zoo.run(registry, systems=["seeing"], results=tmp_path / "results")
    before = run.load().predict("Anna in Paris")
    forget_plugin_files()
    with pytest.raises(zoo.ConfigError, match=r"`gate`; it came from the plug-in file gate\.py"):
        run.load()
    load_plugin_file(tmp_path / "gate.py")
    assert run.load().predict("Anna in Paris") == before
    saved = run.load().save_pretrained(tmp_path / "saved")
    assert sorted(path.suffix for path in saved.iterdir()) == [
        ".json",
        ".json",
        ".md",
        ".safetensors",
    ]
    assert "the plug-in file `gate.py`" in (saved / "README.md").read_text()
    forget_plugin_files()
    (tmp_path / "gate.py").write_text(PLUGIN + "\n\nNOTHING = 1\n")
    load_plugin_file(tmp_path / "gate.py")
    with pytest.raises(zoo.ConfigError, match="the source of `gate`"):
        zoo.load(saved)


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("model.py", "", "is code"),
        ("deep/er.PY", "", "is code"),
        ("weights.pkl", "", "pickle"),
        ("pytorch_model.bin", "", "pickle"),
    ],
)
def test_foreign_code_is_refused(folder: Copy, name: str, content: str, part: str) -> None:
    place = change(folder("plain"))
    (place / name).parent.mkdir(exist_ok=True)
    (place / name).write_text(content)
    refused(zoo.DataError, place, name, part)


@pytest.mark.parametrize(
    "fields",
    [
        {"auto_map": {"AutoModel": "model.Mine"}},
        {"trust_remote_code": True},
        {"plugins": ["gate.py"]},
        {"system": {"text": {"plugin": "gate.py"}}},
    ],
)
def test_asking_for_code_is_refused(folder: Copy, fields: dict[str, Any]) -> None:
    refused(zoo.DataError, change(folder("plain"), **fields), "never run")


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"library": "transformers"}, "no model of zoo"),
        ({"format": 2}, "format"),
        ({"more": 1}, "more"),
        ({"files": {}}, "lists no learnt.json"),
    ],
)
def test_other_descriptions_are_refused(folder: Copy, fields: dict[str, Any], part: str) -> None:
    refused(zoo.DataError, change(folder("plain"), **fields), part)


def test_files_outside_of_the_folder_are_refused(folder: Copy) -> None:
    place = folder("plain")
    known = json.loads((place / "model.json").read_text())["files"]
    outside = change(place, files={**known, "../secret": "0"})
    refused(zoo.DataError, outside, "outside")


def test_what_is_no_model(tmp_path: Path, folder: Copy) -> None:
    (tmp_path / "empty").mkdir()
    refused(zoo.DataError, tmp_path / "empty", "no model")
    place = folder("plain")
    (place / "model.json").unlink()
    refused(zoo.DataError, place, "--keep-weights none")


def test_saving_where_other_files_lie(folder: Copy, tmp_path: Path) -> None:
    model = zoo.load(folder("plain"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(zoo.ConfigError, match=r"notes\.txt"):
        model.save_pretrained(tmp_path / "full")
    assert model.save_pretrained(tmp_path / "new") == tmp_path / "new"
    assert model.save_pretrained(tmp_path / "new") == tmp_path / "new"
    with pytest.raises(zoo.ConfigError, match="already"):
        zoo.load(tmp_path / "new").save_pretrained(tmp_path / "new")


def test_saving_that_is_stopped(folder: Copy, tmp_path: Path, monkeypatch: Any) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    model = zoo.load(folder("plain"))
    model.save_pretrained(tmp_path / "old")
    (tmp_path / "empty").mkdir()
    before = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()}
    monkeypatch.setattr("zoo.model.share.write_atomic", stop)
    for name in ("old", "empty", "new"):
        with pytest.raises(KeyboardInterrupt):
            model.save_pretrained(tmp_path / name)
    assert {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()} == before
    assert not list((tmp_path / "empty").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "empty", "old"]


def test_the_card(folder: Copy, tmp_path: Path) -> None:
    place = zoo.load(folder("seeing")).save_pretrained(tmp_path / "saved")
    text = (place / "README.md").read_text()
    head = zoo.model.share.load(_front_matter(text, tmp_path))  # type: ignore[attr-defined]
    assert head["library_name"] == "mner-zoo"
    assert head["language"] == ["de", "en"]
    for part in (
        "## Data",
        "`mini`",
        "## Scores",
        "## Training",
        "Seed 1",
        "## Limits",
        "## Citation",
    ):
        assert part in text
    assert str(tmp_path) not in text + (place / "config.json").read_text()


def test_the_card_of_a_run_without_a_test_split(folder: Copy, tmp_path: Path) -> None:
    """Its test split is dev: no score may look as if it were of sentences kept apart."""
    from zoo.data.splitting import NO_TEST
    from zoo.results.record import read_run, write_run

    place = folder("seeing")
    record = read_run(place)
    write_run(place, record.model_copy(update={"notes": [NO_TEST], "cites": "xu-etal-2024-x"}))
    saved = zoo.load(place).save_pretrained(tmp_path / "saved")
    text = (saved / "README.md").read_text()
    assert "| dev |" in text
    assert "| test |" not in text
    assert "test was read once" not in text
    assert "There was no test split" in text
    assert "model-index" not in text
    assert (
        "the paper that the system follows (`xu-etal-2024-x`) and the papers of its parts" in text
    )


def test_the_card_cites_in_bibtex_and_invents_no_interval(folder: Copy, tmp_path: Path) -> None:
    text = (zoo.load(folder("spans")).save_pretrained(tmp_path / "s") / "README.md").read_text()
    cited = text.partition("## Citation")[2]
    assert "```bibtex\n@" in cited
    assert cited.count("```") == 2
    assert "| 0.00 (0.00 to 0.00) |" not in text


def _front_matter(text: str, folder: Path) -> Path:
    _, head, _ = text.split("---\n", 2)
    path = folder / "head.yaml"
    path.write_text(head)
    return path


# Choosing a run -----------------------------------------------------------------------------------


def test_the_best_on_dev_is_chosen(put_run: Callable[..., Path], tmp_path: Path) -> None:
    from zoo.evaluation.scores import Scores
    from zoo.model.find import find_run

    root = tmp_path / "results"
    places = {}
    for seed, correct in ((1, 1), (2, 3), (3, 2)):
        places[seed] = put_run(root, seed=seed, dev=Scores(3, 3, correct))
    with pytest.raises(zoo.ConfigError, match="none of its 3 runs has its weights"):
        find_run("plain@mini", root)
    for place in places.values():
        (place / "model.json").write_text("{}")
    found = find_run("plain@mini", root)
    assert found is not None
    assert found.folder == places[2]
    assert "seed 2, dev F1 100.00" in found.why
    (places[2] / "model.json").unlink()
    found = find_run("plain@mini", root)
    assert found is not None
    assert found.folder == places[3]
    assert "1 more have no weights" in found.why
    id = places[1].name.partition("-")[2]
    by_id = find_run(id[:6], root)
    assert by_id is not None
    assert by_id.folder == places[1]
    assert find_run("unknown", root) is None
    for name, part in (("plan@mini", "did you mean `plain`"), ("plain@max", "`max`")):
        with pytest.raises(zoo.ConfigError, match=part):
            find_run(name, root)
    put_run(root, seed=4, data_fingerprint="e" * 64)
    with pytest.raises(zoo.ConfigError, match="2 versions of the data"):
        find_run("plain@mini", root)
    shutil.rmtree(root)
    with pytest.raises(zoo.ConfigError, match="no such folder"):
        find_run("plain@mini", root)


def test_learnt_is_what_the_training_split_taught(folder: Copy, samples: list[Sample]) -> None:
    from zoo.build import Learnt

    stored = Learnt.from_dict(json.loads((folder("plain") / "learnt.json").read_text()))
    words = Counter(word for sample in samples[:40] for word in sample.words)
    assert stored == Learnt(words, ["LOC", "MISC", "ORG", "PER"])
    assert replace(stored, types=[]) != stored


def test_two_folders_of_one_name_stay_two_models(folder: Copy) -> None:
    """A shared model names no path, and must not take the one for the other."""
    found = read_description(folder("plain") / "model.json")
    paths = ["/models/a/encoder", "/models/b/encoder", "/models/b"]
    references = [
        StoredReference(model=each, kind="folder", digest=str(i) * 64)
        for i, each in enumerate(paths)
    ]
    system = {**found.system, "one": {"model": paths[0]}, "two": {"model": paths[1]}}
    found = found.model_copy(update={"references": references, "system": system})
    names = shared_names(found)
    shared = without_paths(found, names)
    assert [each.model for each in shared.references] == ["encoder", "encoder-2", "b"]
    assert (shared.system["one"]["model"], shared.system["two"]["model"]) == (
        "encoder",
        "encoder-2",
    )
    made = [shared_reference(Reference(Name(each), Path(each)), names) for each in paths]
    assert [each.name.model for each in made] == ["encoder", "encoder-2", "b"]


@pytest.mark.parametrize("key", ["state_dict", "model", None])
def test_a_copy_of_weights_in_a_checkpoint(tmp_path: Path, key: str | None) -> None:
    weights = {"a": torch.ones(2), "epochs": 3}
    torch.save({key: weights, "epoch": 1} if key else weights, tmp_path / "made.pth")
    _copy_weights([tmp_path / "made.pth"], tmp_path / "made.safetensors")
    assert load_file(tmp_path / "made.safetensors").keys() == {"a"}
    torch.save({"optimizer": {}}, tmp_path / "none.pth")
    with pytest.raises(zoo.DataError, match="no tensor in there"):
        _copy_weights([tmp_path / "none.pth"], tmp_path / "none.safetensors")
