"""Bad data, captions, pictures, checkpoints, stored runs and prediction files."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

GOOD = "IMGID:{}\nAda\tB-PER\nsaw\tO\n\n"
PNG = b"\x89PNG\r\n\x1a\n"
DATA = "-o", "datasets.mini={reader: bio, path: set, captions: captions.txt, images: images}"
HUGE = "1" + 400 * "0"

BIO = [
    (b"", "empty"), (b"\n\n", "empty"), ("\u200b\n".encode(), "empty"),
    (b"Ada\nsaw\n", "stands alone"), (b"\0\0", "NUL"),
    (b"\xff\xfeA", "not UTF-8"), (b"caf\xe9\tO\n", "not UTF-8"), (b"\xed\xa0\x80\tO\n", "UTF-8"),
    (b"Ada\tX-PER\n", "unknown tag"), (b"Ada\tB-\n", "unknown tag"), (b"a b c d e O\n", "columns"),
    (b"Ada\tB-PER\n\tI-PER\n", "without a word"), (b"a\tO\nb\tNN\tO\n", "columns"),
    (b"IMGID:\na\tO\n", "stands alone"), (b"IMGID:1\n\n", "no word"), (b"a\tnan\n", "unknown tag"),
    (b"IMGID:../x\na\tO\n", "outside"), (b"IMGID:/etc/passwd\na\tO\n", "outside"),
    (b"a\tB-\xe2\x80\xae\n", "unknown tag"), (b"a\t\x1b[2J\n", "unknown tag"),
    (b"{}\n", "stands alone"),
    (b"a\t" + b"x" * 5000, "unknown tag"), (b"-DOCSTART- O\n\n", "no word"),
]  # fmt: skip
JSONL = [
    "{", "[]", "1", "null", '"a"', "nan", "{}", "[" * 3000, '{"words": []}', '{"words": [""]}',
    '{"words": ["a"]}', '{"words": [1], "entities": []}', '{"words": "a", "entities": []}',
    '{"words": ["a"], "entities": {}}', '{"words": ["a"], "entities": [1]}',
    '{"words": ["a"], "entities": [[0, 1]]}', '{"text": 1, "entities": []}',
    '{"words": ["a"], "text": "a", "entities": []}', '{"words": ["a"], "entities": [], "id": ""}',
    '{"words": ["a"], "entities": [], "id": 1.5}', '{"words": ["a"], "entities": [], "image": {}}',
    '{"words": ["a"], "entities": [], "image": "../x"}', '{"text": " ", "entities": []}',
    '{"words": ["a"], "entities": [], "image": "a\\u0000b/../.."}',
    '{"words": ["a\\ud800"], "entities": []}', '{"words": ["a"], "entities": [[0, 1, "\\udc00"]]}',
    '{"words": ["a"], "entities": [], "caption": "\\uD83D"}',
    '{"text": "a b", "entities": [{"start": 0, "end": 1, "type": "A", "text": "b"}]}',
    '{"words": ["a", "b"], "entities": [{"start": 0, "end": 1, "type": "A", "text": "b"}]}',
    '{"words": ["a"], "entities": [], "caption": 1}', '{"words": ["a"], "entities": [], "x": 1}',
    *(f'{{"words": ["a"], "entities": [{{"start": {a}, "end": {b}, "type": {c}}}]}}'
      for a, b, c in [
        (-1, 1, '"A"'), (0, 2, '"A"'), (0, 0, '"A"'), (1, 0, '"A"'), (0, "1e999", '"A"'),
        (0, "NaN", '"A"'), (0, HUGE, '"A"'), (0, "1.0", '"A"'), ("true", 1, '"A"'), (0, 1, '""'),
        (0, 1, "1"), (0, 1, "null"), (0, 1, '"\\u200b"'), ("null", 1, '"A"'),
    ]),
]  # fmt: skip
CAPTIONS = [
    "", "\n", "a\n", "1.jpg a\n", " :a\n", "train.jpg :a\ntrain.png :b\n", "train\ta\tb\n", "{",
    "[1]", "[" * 3000, '{"id": 1}\n', '{"id": true, "caption": "a"}\n', "[{}]", "[null]",
    '[{"id": 1, "caption": 1}]', "\u200b\n", '{"1": "\\ud800"}',
    '[{"id": 1, "caption": "\\udc00"}]', '{"id": "\\u0000"}\n', "9.jpg :a cat\n", "\0", "\x1b[2J",
]  # fmt: skip
PICTURES = [
    b"", b"text", PNG, b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"RIFF\0\0\0\0WEBP", b"%!PS-Adobe",
    b"\0" * 100, b"<svg/>", PNG + struct.pack(">I", 13) + b"IHDR" + b"\xff" * 17,
    PNG + struct.pack(">I4sIIBBBBBI", 13, b"IHDR", 100_000, 100_000, 8, 2, 0, 0, 0, 0),
    b"BM" + b"\xff" * 60, b"GIF89a" + b"\xff" * 20, b"\xff\xd8\xff\xe1\xff\xffExif" + b"\0" * 50,
]  # fmt: skip


@pytest.fixture
def bio(registry: Path) -> Path:
    """A good dataset, which the test then breaks."""
    folder = registry.parent / "set"
    folder.mkdir()
    for split in ("train", "dev", "test"):
        (folder / f"{split}.txt").write_text(GOOD.format(split))
    (folder / "captions.txt").write_text("train.jpg :a\n")
    return folder


@pytest.mark.parametrize(("content", "word"), BIO, ids=[str(i) for i in range(len(BIO))])
def test_columns(bio: Path, refuse, content: bytes, word: str) -> None:
    (bio / "test.txt").write_bytes(content)
    refuse(["run", *DATA], ["set/test.txt", word])


@pytest.mark.parametrize("content", JSONL, ids=[str(i) for i in range(len(JSONL))])
def test_json(bio: Path, refuse, content: str) -> None:
    for split in ("train", "dev", "test"):
        (bio / f"{split}.jsonl").write_text('{"words": ["a"], "entities": []}\n')
    (bio / "dev.jsonl").write_text(content + "\n")
    refuse(["run", "-o", "datasets.mini={reader: jsonl, path: set}"], ["set/dev.jsonl:1"])


@pytest.mark.parametrize("content", CAPTIONS, ids=[str(i) for i in range(len(CAPTIONS))])
def test_captions(bio: Path, refuse, content: str) -> None:
    (bio / "captions.txt").write_text(content)
    refuse(["run", *DATA], ["set/captions.txt"])


@pytest.mark.parametrize("content", PICTURES, ids=[str(i) for i in range(len(PICTURES))])
def test_pictures(bio: Path, refuse, content: bytes) -> None:
    (bio / "images").mkdir()
    Image.new("RGB", (36, 36)).save(bio / "images" / "train.png")
    (bio / "images" / "dev.jpg").write_bytes(content)
    refuse(["run", *DATA], ["dev.jpg", "can't be read as a picture"])


SETTINGS = [
    "{reader: bio}", "{reader: bio, path: gone}", "{reader: bio, path: registry.yaml}",
    "{reader: bio, path: [set]}", "{reader: bio, path: 1}", "{reader: bio, path: set, tags: x}",
    "{reader: bio, path: set, labels: {GONE: X}}", "{reader: bio, path: set, languages: [xx]}",
    "{reader: bio, path: set, languages: []}", "{reader: bio, path: set, captions: gone.txt}",
    "{reader: bio, path: set, captions: ..}", "{reader: bio, path: set, images: train.txt}",
    "{reader: bio, path: set, splits: {train: gone.txt}}", "{reader: jsonl, path: set}",
    "{reader: bio, path: set, splits: {trian: train.txt}}", '{reader: bio, path: "a\\0b"}',
    "{reader: bio, path: %s}" % ("x" * 5000), "{reader: bio, path: set, labels: [1]}",
    "{reader: bio, path: set, splits: {train: ..}}", '{reader: bio, path: set, captions: "a\\0"}',
    '{reader: bio, path: set, images: "a\\0"}', '{reader: bio, path: set, languages: ["a\\0"]}',
    '{reader: bio, path: set, splits: {train: "a\\0"}}', "{reader: bio, path: ''}",
]  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS, ids=[str(i) for i in range(len(SETTINGS))])
def test_settings_of_data(bio: Path, refuse, settings: str) -> None:
    refuse(["run", "-o", f"datasets.mini={settings}"], [])


def safetensors(header: object, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


CHECKPOINTS: list[dict[str, bytes]] = [
    {},
    {"config.json": b""},
    {"config.json": b"{}"},
    {"config.json": b"["},
    {"config.json": b'{"model_type": "gone"}'},
    {"config.json": b'{"model_type": "bert"}'},
    *(
        {"config.json": b'{"model_type": "bert"}', "model.safetensors": content}
        for content in (
            b"",
            b"\0",
            b"\xff" * 8,
            safetensors({}),
            safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}),
            safetensors({"a": 1}),
            safetensors([1]),
            b"\x08\0\0\0\0\0\0\0notjson!",
        )
    ),
    {"config.json": b'{"model_type": "bert"}', "model.safetensors.index.json": b"{"},
    {
        "config.json": b'{"model_type": "bert"}',
        "model.safetensors.index.json": b'{"weight_map": {"a": "../x"}}',
    },
]


@pytest.mark.parametrize("files", CHECKPOINTS, ids=[str(i) for i in range(len(CHECKPOINTS))])
def test_checkpoints(registry: Path, refuse, files: dict[str, bytes]) -> None:
    folder = registry.parent / "model"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    refuse(["run", "-o", "systems.plain.text={part: transformer, model: ./model}"], ["model"])


Tamper = Callable[[dict], object]


def put(key: str, value: object) -> Tamper:
    return lambda record: record.update({key: value})


RECORDS: list[Tamper | bytes] = [
    b"", b"{}", b"[]", b"null", b"\0", b"\xff", b"{", b"[" * 3000, b'{"id": NaN}', b"1e999",
    *(put(key, value) for key, value in [
        ("id", "x"), ("id", 1), ("id", None), ("id", "../x"), ("system", "other"), ("system", ""),
        ("system", "a\nb"), ("dataset", "x"), ("seed", 2), ("seed", "1"), ("seed", 1.0),
        ("seed", True), ("seed", 10**400), ("seed", -1), ("epochs", None), ("test", None),
        ("test", {}), ("test", {"gold": 1}), ("test", {"gold": -1, "predicted": 0, "correct": 0}),
        ("test", {"gold": 1, "predicted": 1, "correct": 2}), ("started", "now"), ("started", 0),
        ("kind", "x"), ("files", {}), ("files", None), ("files", {"../x": "0"}), ("digest", None),
        ("digest", ""), ("digest", "0" * 64), ("more", 1), ("seconds", {"train": float("nan")}),
        ("seconds", {"train": float("inf")}), ("seconds", []), ("notes", "x"), ("notes", ["\x1b"]),
        ("text_only", "yes"), ("withheld", True), ("harness", "1"), ("speed", {"train": 1}),
        ("command", "zoo\x1b[2J"), ("overrides", ["a=1"]), ("suite", "\u202e"),
    ]),
    lambda record: record.pop("id"),
    lambda record: record.pop("test"),
    lambda record: record.pop("digest"),
    lambda record: record["test"].update(f1=100.0, correct=3),
]  # fmt: skip


@pytest.mark.parametrize("change", RECORDS, ids=[str(i) for i in range(len(RECORDS))])
def test_records(tmp_path: Path, refuse, put_run, change) -> None:
    file = put_run(tmp_path / "results") / "run.json"
    if isinstance(change, bytes):
        file.write_bytes(change)
    else:
        record = json.loads(file.read_text())
        change(record)
        file.write_text(json.dumps(record, indent=2))
    refuse(["leaderboard"], ["run.json"])


LINE = '{"id": %s, "gold": %s, "predicted": %s}'
PREDICTIONS = [
    "{", "[]", "1", "null", "", "[" * 3000, '{"id": "a"}', LINE % ("1", "[]", "[]"),
    LINE % ('"a"', "{}", "[]"), LINE % ('"a"', "[1]", "[]"), LINE % ('"a"', '[[0, 1]]', "[]"),
    LINE % ('"a"', '[[0, 0, "A"]]', "[]"), LINE % ('"a"', '[[-1, 1, "A"]]', "[]"),
    LINE % ('"a"', '[[2, 1, "A"]]', "[]"), LINE % ('"a"', '[[0, 1.5, "A"]]', "[]"),
    LINE % ('"a"', '[["0", 1, "A"]]', "[]"), LINE % ('"a"', '[[0, 1, 1]]', "[]"),
    LINE % ('"a"', "[]", '[[0, 1, "A"]]'), LINE % ('"a"', "[]", '[[0, 1, "A", NaN]]'),
    LINE % ('"a"', "[]", '[[0, 1, "A", Infinity]]'), LINE % ('"a"', "[]", '[[0, 1, "A", 1e999]]'),
    LINE % ('"a"', "[]", '[[0, 1, "A", "1"]]'), LINE % ('"a"', "[]", '[[0, 1, "A", null]]'),
    LINE % ('"a"', f'[[0, {HUGE}, "A"]]', "[1]"), LINE % ('"a"', "[]", "null"),
    LINE % ('"a"', "[]", "[]") + "\n" + LINE % ('"a"', "[]", "[]"),
    LINE % ('"\\ud800"', "[]", "[1]"), '{"id": "a", "gold": [], "predicted": [], "more": 1}',
    '{"id": "a", "language": 1, "gold": [], "predicted": []}', "\0", "\x1b[2J",
]  # fmt: skip


@pytest.mark.parametrize("verb", ["score", "compare"])
@pytest.mark.parametrize("content", PREDICTIONS, ids=[str(i) for i in range(len(PREDICTIONS))])
def test_predictions(tmp_path: Path, refuse, verb: str, content: str) -> None:
    good = LINE % ('"a"', '[[0, 1, "A"]]', '[[0, 1, "A", 0.5]]')
    (tmp_path / "good.jsonl").write_text(good + "\n")
    (tmp_path / "bad.jsonl").write_text(content + "\n")
    refuse([verb, "good.jsonl", "bad.jsonl"], ["bad.jsonl"])


PAIRS = [
    ("a", "b"), ("ab", "a"), ("a", "ab"), ("ab", "bc"), ("abc", "xyz"),
]  # fmt: skip


@pytest.mark.parametrize("verb", ["score", "compare"])
@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_ids_that_differ(tmp_path: Path, refuse, verb: str, left: str, right: str) -> None:
    for name, ids in (("gold.jsonl", left), ("pred.jsonl", right)):
        lines = (LINE % (f'"{id}"', "[]", "[]") + "\n" for id in ids)
        (tmp_path / name).write_text("".join(lines))
    refuse(
        [verb, "gold.jsonl", "pred.jsonl"],
        ["pred.jsonl" if verb == "score" else "in one of the two only"],
    )


def test_gold_and_predictions_swapped(tmp_path: Path, refuse) -> None:
    (tmp_path / "p.jsonl").write_text(LINE % ('"1"', "[]", "[]") + "\n")
    (tmp_path / "gold.txt").write_text("IMGID:1\na\tO\n")
    refuse(["score", "p.jsonl", "gold.txt"], ["p.jsonl", "swapped"])


def test_a_dollar_in_the_names_of_arms_is_drawn_as_it_is(tmp_path: Path) -> None:
    from zoo.results.plots import write_plot
    from zoo.results.tables import Column, Spread, Table

    names = ["base", "$", "$x$", "$\\frac{", "a_$^b", "$$", "\\$", "{$}"]
    rows = [[name, Spread.of((50.0, 51.0))] for name in names]
    columns = [Column("arm", "arm"), Column("f1", "F1")]
    table = Table("a $ in $\\title", columns, rows, {"across": "$x = {"})
    write_plot([table], tmp_path, "plot")
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".svg"}
