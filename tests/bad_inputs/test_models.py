"""Bad inputs of what uses and makes models: ``predict``, ``runs export``, ``data import``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import zoo

REGISTRY = """\
datasets: {mini: {reader: synthetic, train: 8, dev: 4, test: 4, languages: [en]}}
backbones: {tiny: {text: {part: bilstm, state: 4, word_width: 4}}}
systems: {plain: {text: {part: $text}, decoder: {part: softmax}}}
recipes: {quick: {epochs: 1, batch_size: 8, threads: 1, learning_rates: {"*": 1.0e-3}}}
suites: {mini: {systems: [plain], datasets: [mini], seeds: [1], backbone: tiny, recipe: quick}}
"""
TEXT = "--text", "Anna saw Rome."


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run."""
    root = tmp_path_factory.mktemp("model")
    (root / "registry.yaml").write_text(REGISTRY, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(root / "cache"))
        patch.delenv("ZOO_DATA", raising=False)
        (run,) = zoo.run(root / "registry.yaml", results=root / "results")
    return run.folder


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, which the test then breaks."""
    return shutil.copytree(trained, tmp_path / "m")


def gone(*names: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return edit


def put(name: str, content: str | bytes) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return edit


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: put(name, (folder / name).read_bytes()[:99])(folder)


def described(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Change model.json of a folder that no run.json vouches for any more."""

    def edit(folder: Path) -> None:
        gone("run.json")(folder)
        found = json.loads((folder / "model.json").read_text())
        change(found)
        put("model.json", json.dumps(found))(folder)

    return edit


def set_run(folder: Path) -> None:
    found = json.loads((folder / "run.json").read_text())
    put("run.json", json.dumps({**found, "seed": 7}))(folder)


FOLDERS: list[tuple[Callable[[Path], object], Sequence[str]]] = [
    (gone("model.safetensors"), ["model.safetensors: missing"]),
    (cut("model.safetensors"), ["model.safetensors: changed"]),
    (put("model.safetensors", b""), ["model.safetensors: changed"]),
    (gone("model.json"), ["--keep-weights none", "--rerun always"]),
    (gone("model.json", "model.safetensors"), ["--keep-weights none"]),
    (put("model.json", ""), ["model.json: not JSON"]),
    (put("model.json", "[]"), ["model.json"]),
    (put("model.json", "{}"), ["model.json"]),
    (put("model.json", "[" * 5000), ["model.json"]),
    (cut("model.json"), ["model.json"]),
    (gone("learnt.json"), ["learnt.json: missing"]),
    (put("learnt.json", "{}"), ["learnt.json: changed"]),
    (put("run.json", "{"), ["run.json"]),
    (set_run, ["run.json: changed"]),
    (lambda folder: [path.unlink() for path in folder.iterdir()], ["no model"]),
    (put("x.pkl", ""), ["x.pkl is a pickle"]),
    (put("x.py", "raise SystemExit"), ["x.py is code"]),
    (described(lambda found: found.update(format=99)), ["format", "stored by zoo"]),
    (described(lambda found: found.update(zoo="9.9", harness=99)), ["zoo 9.9", "harness 99"]),
    (described(lambda found: found.update(library="else")), ["no model of zoo"]),
    (described(lambda found: found["parts"][0].update(name="no_such", package="mner-x")),
     ["no_such", "pip install mner-x"]),
    (described(lambda found: found["parts"][0].update(name="no_such", file="gate.py")),
     ["no_such", "--plugin FILE"]),
    (described(lambda found: found["parts"][0].update(sources="0")), ["--allow-changed"]),
    (described(lambda found: found.update(types=found["types"][:1])), ["types", "learnt.json"]),
    (described(lambda found: found.pop("files")), ["it lists no learnt.json"]),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "words"), FOLDERS, ids=map(str, range(len(FOLDERS))))
def test_folders(model: Path, refuse, edit: Callable[[Path], object], words: Sequence[str]) -> None:
    edit(model)
    if words == ["--allow-changed"]:  # what is stored of the whole tells, too
        described_sources = json.loads((model / "model.json").read_text())
        put("model.json", json.dumps({**described_sources, "sources": "0"}))(model)
    refuse(["predict", "m", *TEXT], words)
    refuse(["runs", "export", "m", "out", "--results", "."], words)
    with pytest.raises(zoo.ZooError):
        zoo.load(model)


@pytest.mark.parametrize(
    "edit", [set_run, put("run.json", "{"), cut("run.json")], ids=["other", "no JSON", "cut"]
)
def test_a_run_whose_record_is_broken_is_not_passed_over(
    trained: Path, tmp_path: Path, refuse, put_run, edit: Callable[[Path], object]
) -> None:
    root = tmp_path / "results"
    folder = shutil.copytree(trained, root / "runs" / "plain" / "mini" / trained.name)
    put_run(root, system="plain", seed=2)
    edit(folder)
    for name in ("plain@mini", trained.name.partition("-")[2][:8]):
        refuse(["predict", name, *TEXT], [trained.name, "run.json"])


INPUTS: list[tuple[str, str | bytes, Sequence[str]]] = [
    ("a.txt", b"a\0b\n", ["a.txt:1", "NUL"]),
    ("a.txt", b"a\n\xff\xfe\n", ["a.txt:2", "not UTF-8"]),
    ("a.csv", "sentence,word\n1,a\n", ["a.csv:1: columns sentence, word; say which is the text"]),
    ("a.xlsx", "a\n", ["a.xlsx: neither text"]),
    ("a.json", '[{"text": "a"}]', ["a.json: JSON that is no object a line"]),
    ("a.jsonl", "sentence,word\n", ["a.jsonl:1: not JSON"]),
    ("a.jsonl", '{"text": "a"}\n[]\n', ["a.jsonl:2: not an object"]),
    ("a.jsonl", "[" * 5000, ["a.jsonl:1: not JSON"]),
    ("a.jsonl", '{"id": 1}', ["a.jsonl:1", "`words` or `text`"]),
    ("a.jsonl", '{"text": "a", "words": ["b"]}', ["`words` or `text`"]),
    ("a.jsonl", '{"text": ["a"]}', ["`text` must be text"]),
    ("a.jsonl", '{"words": [""]}', ["none of them empty"]),
    ("a.jsonl", '{"text": "a", "id": 1.5}', ["`id`"]),
    ("a.jsonl", '{"text": "\\ud83d"}', ["surrogates"]),
    ("a.jsonl", '{"text": "a", "caption": 1}', ["`caption`"]),
]


@pytest.mark.parametrize(
    ("name", "content", "words"), INPUTS, ids=[f"{i}-{x[0]}" for i, x in enumerate(INPUTS)]
)
def test_inputs(
    model: Path, refuse, tmp_path: Path, name: str, content: str | bytes, words: Sequence[str]
) -> None:
    put(name, content)(tmp_path)
    refuse(["predict", "m", name], words)
    refuse(["predict", "m", name, "--out", "out.txt"], words)


ARGUMENTS = [
    (["predict", "m"], ["INPUT or --text"]),
    (["predict", "m", "a.txt", *TEXT], ["INPUT or --text"]),
    (["predict", "m", "gone.txt"], ["gone.txt: no such file"]),
    (["predict", "m", "m"], ["m: not a file"]),
    (["predict", "m", "fifo"], ["fifo: not a file"]),
    (["predict", "m", "a.txt", "--images", "gone"], ["--images gone: no such folder"]),
    (["predict", "m", "a.txt", "--images", "a.txt"], ["--images a.txt: no such folder"]),
    (["predict", "m", "a.txt", "--captions", "gone"], ["gone"]),
    (["predict", "m", "a.txt", "--out", "m"], ["--out m: a folder"]),
    (["predict", "m", "a.txt", "--out", "gone/x"], ["--out gone/x: no folder gone"]),
    (["predict", "m", *TEXT, "--image", "gone.jpg"], ["gone.jpg: no such picture"]),
    (["predict", "m", *TEXT, "--image", "m"], ["m: no such picture"]),
    (["predict", "", *TEXT], ["no run is named"]),
    (["predict", "a.txt", *TEXT], ["a.txt"]),
    (["predict", "plain@mini", *TEXT], ["results: no such folder"]),
    (["predict", "x@y", *TEXT, "--results", "m"], ["no run of system `x`"]),
    (["runs", "export", "m", "m", "--results", "."], ["m"]),
    (["runs", "export", "m", "m/out", "--results", "."], ["inside of the model's own folder"]),
    (["runs", "export", "m", "a.txt", "--results", "."], ["a.txt: is a file"]),
    (["runs", "export", "m", "a.txt/x", "--results", "."], ["a.txt is not a folder"]),
    (["runs", "export", "m", "full", "--results", "."], ["it holds other files"]),
    (["runs", "export", "gone", "out", "--results", "."], ["gone"]),
    (["data", "import", "empty.txt", "out"], ["empty.txt", "empty"]),
    (["data", "import", "empty.jsonl", "out"], ["empty.jsonl", "empty"]),
    (["data", "import", "gone.jsonl", "out"], ["gone.jsonl: no such file"]),
    (["data", "import", "-", "out"], ["-: no such file"]),
    (["data", "import", "full", "out"], ["full", "no .txt file"]),
    (["data", "import", "--from", "doccano", "fifo", "out"], ["fifo", "not a file"]),
    (["data", "import", "--from", "doccano", "a.txt", "out"], ["a.txt", "not JSON"]),
    (["data", "import", "--from", "label-studio", "a.txt", "out"], ["a.txt", "not JSON"]),
    (["data", "import", "--from", "csv", "a.txt", "out"], ["a.txt:1", "columns"]),
    (["data", "import", "--from", "conll", "a.txt", "out"], ["a.txt:1"]),
    (["data", "import", "unseen.jsonl", "out"], ["unseen.jsonl", "empty"]),
    (["data", "import", "half.jsonl", "out"], ["half.jsonl:1", "half of a surrogate pair"]),
    (["data", "import", "ragged.csv", "out"], ["ragged.csv:3: 4 cells"]),
    (["data", "import", "short.csv", "out"], ["short.csv:2: 2 cells"]),
    (["data", "import", "double.csv", "out"], ["double.csv:1: two columns are called `word`"]),
    (["data", "import", "deep.csv", "out"], ["deep.csv:2: `entities` is not JSON"]),
    (["data", "import", "--from", "brat", "a.txt", "out"], ["a.ann: no such file"]),
    (["data", "import", "--from", "hf", "full", "out"], ["full", "not a file"]),
    (["data", "import", "train.jsonl", "full"], ["full: is there already"]),
    (["data", "import", "train.jsonl", "a.txt"], ["a.txt: is there already"]),
    (["data", "import", "train.jsonl", "a.txt/x"], ["a.txt"]),
    (["data", "import", "train.jsonl", "out", "--images", "gone"], ["--images gone"]),
    (["data", "import", "train.jsonl", "out", "--images", "full"], ["full"]),
    *((["data", "import", "train.jsonl", "out", "--split", split], ["--split"])
      for split in ("", "80", "nan/1", "inf/1/1", "-1/2", "0/1", "80-20", "1/2/3/4")),
]  # fmt: skip


@pytest.mark.parametrize(("args", "words"), ARGUMENTS, ids=[" ".join(a) for a, _ in ARGUMENTS])
def test_arguments(
    model: Path, refuse, tmp_path: Path, args: Sequence[str], words: Sequence[str]
) -> None:
    put("a.txt", "Anna saw Rome.")(tmp_path)
    for name in ("empty.txt", "empty.jsonl"):
        put(name, "")(tmp_path)
    put("unseen.jsonl", "\u200b\n")(tmp_path)
    put("half.jsonl", '{"text": "Anna", "label": [[0, 4, "A\\ud800"]]}')(tmp_path)
    put("ragged.csv", "sentence,word,tag\n1,Anna,B-PER\n1,,,O\n")(tmp_path)
    put("short.csv", "sentence,word,tag\n1,Anna\n")(tmp_path)
    put("double.csv", "sentence,word,word,tag\n1,x,Anna,B-PER\n")(tmp_path)
    put("deep.csv", f"text,entities\nAnna,{'[' * 5000}\n")(tmp_path)
    record = {"id": 1, "text": "Anna", "label": [], "image": "1.jpg"}
    put("train.jsonl", json.dumps(record))(tmp_path)
    (tmp_path / "full").mkdir()
    put("full/x.md", "x")(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    refuse(args, words)
