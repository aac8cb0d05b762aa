"""Foreign formats: each with what its tool writes, and what is awkward about it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zoo import cli
from zoo.data.jsonl import Jsonl
from zoo.data.records import CharSpan
from zoo.data.text import split_words
from zoo.errors import DataError
from zoo.files import owner
from zoo.importers.convert import Imported, convert, write
from zoo.importers.documents import Conversion, Document
from zoo.importers.formats import guess
from zoo.types import Entity, Sample

TEXT = "Anna saw 😀 New York."
PER, LOC = Entity(0, 1, "PER"), Entity(3, 5, "LOC")
WORDS = ("Anna", "saw", "😀", "New", "York", ".")


def lines(*records: Any) -> str:
    return "\n".join(json.dumps(record, ensure_ascii=False) for record in records)


def all_of(imported: Imported) -> list[Sample]:
    samples = [sample for own in imported.splits.values() for sample in own]
    return sorted(samples, key=lambda sample: sample.id)


@pytest.fixture
def one(tmp_path: Path) -> Callable[..., Imported]:
    """Import one file, as train."""

    def run(name: str, content: str | bytes, **how: Any) -> Imported:
        file = tmp_path / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        conversion = Conversion(**{k: how.pop(k) for k in ("offsets", "inside", "by") if k in how})
        return convert([file], how.pop("kind", None), conversion, **how)

    return run


SPANS = [[0, 4, "PER"], [11, 19, "LOC"]]
ANNA = {"start": 0, "end": 4}
UTF16 = {"start": 12, "end": 20}
RESULTS = [
    {"type": "choices", "value": {"choices": ["x"]}},
    {"type": "labels", "value": {**ANNA, "text": "Anna", "labels": ["PER"]}},
    {"type": "labels", "value": {**UTF16, "text": "New York", "labels": ["LOC"]}},
]
ANNOTATIONS = [{"was_cancelled": True, "result": []}, {"result": RESULTS}]
TAGS = ["B-PER", "O", "O", "B-LOC", "I-LOC", "O"]
FORMATS = {
    "doccano": ("train.jsonl", lines({"id": 7, "text": TEXT, "label": SPANS})),
    "doccano json": ("train.json", json.dumps([{"text": TEXT, "labels": SPANS}], indent=1)),
    "doccano entities": (
        "train.jsonl",
        lines(
            {
                "id": 1,
                "text": TEXT,
                "relations": [],
                "Comments": [],
                "entities": [
                    {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 5},
                    {"id": 2, "label": "LOC", "start_offset": 11, "end_offset": 19},
                ],
            }
        ),
    ),
    "label studio": (
        "train.json",
        json.dumps([{"id": 3, "data": {"text": TEXT}, "annotations": ANNOTATIONS}]),
    ),
    "label studio min": (
        "train.json",
        json.dumps(
            [
                {
                    "id": 3,
                    "text": TEXT,
                    "annotator": 1,
                    "label": [{**ANNA, "labels": ["PER"]}, {**UTF16, "labels": ["LOC"]}],
                }
            ]
        ),
    ),
    "prodigy": (
        "train.jsonl",
        lines(
            {
                "text": TEXT,
                "spans": [{**ANNA, "label": "PER"}, {"start": 11, "end": 19, "label": "LOC"}],
                "tokens": [{**ANNA, "text": "Anna", "id": 0}],
                "answer": "accept",
                "_input_hash": 1,
            },
            {"text": "no", "spans": [], "answer": "reject"},
        ),
    ),
    "spacy": ("train.json", json.dumps([[TEXT, {"entities": SPANS}]])),
    "hf": (
        "train.jsonl",
        lines({"id": "0", "tokens": WORDS, "ner_tags": [1, 0, 0, 3, 4, 0], "pos_tags": [0] * 6}),
    ),
    "hf tags": ("train.jsonl", lines({"tokens": WORDS, "ner_tags": TAGS})),
    "csv words": (
        "train.csv",
        "Sentence #,Word,POS,Tag\nSentence: 1,Anna,N,B-PER\n,saw,V,O\n,😀,X,O\n,New,N,B-LOC\n"
        ",York,N,I-LOC\n,.,P,O\n",
    ),
    "csv texts": (
        "train.csv",
        f'text;label\n"{TEXT}";"[[0, 4, ""PER""], [11, 19, ""LOC""]]"\n',
    ),
    "conll": ("train.conll", "Anna B-PER\nsaw O\n😀 O\nNew B-LOC\nYork E-LOC\n. O\n"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same(one, name):
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    (sample,) = all_of(one(*FORMATS[name], names=names))
    assert (sample.words, sample.entities) == (WORDS, (PER, LOC))


def test_what_an_annotator_rejected_is_counted(one):
    rejected = {"text": "no", "spans": [], "answer": "reject"}
    ignored = {**rejected, "answer": "ignore"}
    done = one("train.jsonl", lines({"text": TEXT, "spans": []}, rejected, ignored))
    assert len(all_of(done)) == 1
    (finding,) = done.findings
    assert finding.startswith(
        "2 documents that their annotators rejected or passed over are left out: "
    )
    assert [place.rpartition(":")[2] for place in finding.split(", ")] == ["2", "3"]


def test_names_of_numbers_stand_in_the_card(one, tmp_path):
    names = {str(i): tag for i, tag in enumerate(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])}
    card = {
        "dataset_info": {
            "features": [{"name": "ner_tags", "sequence": {"class_label": {"names": names}}}]
        }
    }
    (tmp_path / "README.md").write_text(f"---\n{json.dumps(card)}\n---\n# A card\n")
    assert all_of(one(*FORMATS["hf"]))[0].entities == (PER, LOC)
    (tmp_path / "README.md").unlink()
    with pytest.raises(DataError, match="say what they stand for"):
        one(*FORMATS["hf"])


def test_parquet_brings_its_names(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    features = {"ner_tags": {"feature": {"names": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]}}}
    table = pa.table({"tokens": [list(WORDS)], "ner_tags": [[1, 0, 0, 3, 4, 0]]})
    table = table.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    parquet.write_table(table, tmp_path / "train-00000-of-00001.parquet")
    done = convert([tmp_path / "train-00000-of-00001.parquet"], None, Conversion())
    assert [s.entities for s in done.splits["train"]] == [(PER, LOC)]
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="can't be read as Parquet"):
        convert([tmp_path / "bad.parquet"], None, Conversion())


def test_brat(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"Anna saw.\r\n\r\nNew York called.\n")
    (tmp_path / "a.ann").write_text(
        "T1\tPER 0 4\tAnna\nT2\tLOC 13 16;17 21\tNew York\nR1\tx Arg1:T1 Arg2:T2\n#1\tNote\tT1 n\n"
    )
    (tmp_path / "b.txt").write_text("nothing\n")
    (tmp_path / "b.ann").write_text("")
    done = convert([tmp_path], None, Conversion(), shares=(0.5, 0.5))
    first, second, third = all_of(done)
    assert (third.id, third.entities) == ("b", ())
    assert (first.id, first.words, first.entities) == ("a.1", ("Anna", "saw", "."), (PER,))
    assert (second.id, second.entities) == ("a.2", (Entity(0, 2, "LOC"),))
    (tmp_path / "a.ann").write_text("T1\tPER 0 4\tAna\nT2\tLOC 13 16;22 28\tNew called\n")
    with pytest.raises(DataError) as raised:
        convert([tmp_path], None, Conversion())
    assert "a.ann:2" in raised.value.problems[0]
    assert "repeats `Ana`, and the text there is `Anna`" in raised.value.problems[1]


def test_all_faults_at_once(one):
    wrong = [
        {"text": "Anna saw", "label": [[0, 99, "PER"]]},
        {"text": "Anna saw", "label": [[1, 3, "PER"]]},
        {"text": "Anna saw", "label": [[4, 5, "PER"]]},
        {"text": "Anna saw", "label": [[0, 6, "PER"], [5, 8, "LOC"]], "id": 9},
        {"text": "Anna saw", "label": [[0, 4, "PER"], [0, 4, "LOC"]]},
        {"text": "Anna saw", "label": [[0, "4", "PER"]]},
        {"text": "Anna saw"},
        {"text": "Anna saw", "label": [[0, 4, "PER"], [0, 4, "PER"], [0, 8, "ORG"]]},
    ]
    with pytest.raises(DataError) as raised:
        one("train.jsonl", lines(*wrong), kind="doccano", inside="refuse")
    told = "\n".join(raised.value.problems)
    for line, what in enumerate(
        ["out of range", "cuts a word of `Anna`", "nothing but white space", "overlaps 0–6",
         "type", "must be", "no entities"], 1
    ):  # fmt: skip
        assert any(f"train.jsonl:{line}:" in p and what in p for p in raised.value.problems), told
    assert "train.jsonl:8" not in told


def test_entities_inside_a_word_and_inside_another(one):
    records = lines(
        {"id": 1, "text": "pro-Rome 3.5", "label": [[4, 8, "LOC"]]},
        {"id": 2, "text": "New York Times", "label": [[0, 8, "LOC"], [0, 14, "ORG"]]},
        {"id": 3, "text": "   ", "label": []},
    )
    widened = one("train.jsonl", records, inside="expand")
    assert [s.entities for s in all_of(widened)] == [(Entity(0, 1, "LOC"),), (Entity(0, 3, "ORG"),)]
    assert len(widened.findings) == 3
    dropped = one("train.jsonl", records, inside="drop")
    assert [s.entities for s in all_of(dropped)] == [(), (Entity(0, 3, "ORG"),)]


@given(st.text(st.sampled_from("ab .,😀𝔘é北\n'#@"), min_size=1, max_size=30), st.data())
def test_offsets_of_both_kinds_mean_the_same(text, data):
    words = split_words(text)
    if not words:
        return
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    start, end = words[first][1], words[last][2]
    units = [len(text[:place].encode("utf-16-le")) // 2 for place in (start, end)]
    for offsets, span in (("characters", (start, end)), ("utf-16", tuple(units))):
        for said in (text[start:end], None):
            document = Document("here", text=text, spans=[CharSpan(*span, "X", said)])
            conversion = Conversion(offsets=offsets)
            (sentence,) = conversion.sentences(document)
            assert (sentence.entities, conversion.faults) == ((Entity(first, last + 1, "X"),), [])


def test_where_both_readings_fit_the_tool_decides():
    spans = [CharSpan(2, 3, "X", "@")]  # the first @ in UTF-16 units, the second in characters
    for utf16, start in ((True, 1), (False, 2)):
        document = Document("here", text="𝔘@@", spans=spans, utf16=utf16)
        (sentence,) = Conversion().sentences(document)
        assert sentence.entities == (Entity(start, start + 1, "X"),)


def test_pictures_and_splits(tmp_path):
    (tmp_path / "pics").mkdir()
    for name in ("1.jpg", "b.png"):
        Image.new("RGB", (2, 2)).save(tmp_path / "pics" / name)
    posts = [
        {"id": i, "data": {"text": f"Anna saw {i // 2}", "image": image}, "annotations": [
            {"result": [{"type": "labels", "value": {"start": 0, "end": 4, "labels": ["PER"]}}]}]}
        for i, image in enumerate(
            ["/data/upload/1/0a1b2c3d-b.png", "/data/local-files/?d=x/b.png", "gone.jpg", None] * 5)
    ]  # fmt: skip
    (tmp_path / "posts.json").write_text(json.dumps(posts))
    done = convert([tmp_path / "posts.json"], None, Conversion(), images=tmp_path / "pics")
    pictures = {sample.id: sample.picture and sample.picture.name for sample in all_of(done)}
    assert pictures["0"] == pictures["4"] == "b.png"
    assert pictures["3"] is None
    assert done.findings == [
        "one picture for several names: b.png for data/upload/1/0a1b2c3d-b.png, x/b.png",
        "5 pictures are named and absent: gone.jpg, gone.jpg, gone.jpg, …",
    ]
    with_b = {name for name, own in done.splits.items() for s in own if s.picture}
    assert len(with_b) == 1, "posts with one picture are in one split"
    write(done, tmp_path / "out")
    again = Jsonl(tmp_path, path="out").read()
    for name, own in done.splits.items():
        assert [s.picture and s.picture.name for s in again[name]] == [
            s.picture and s.picture.name for s in own
        ]
        assert [replace(s, picture=None) for s in again[name]] == [
            replace(s, picture=None) for s in own
        ]
    with pytest.raises(DataError, match="is there already"):
        write(done, tmp_path / "out")


def test_a_post_of_several_lines_stays_together(one):
    records = [{"id": i, "text": f"a{i} b\nc{i} d", "label": [[0, 3, "X"]]} for i in range(10, 40)]
    done = one("posts.jsonl", lines(*records), by="line")
    place = {s.id: name for name, own in done.splits.items() for s in own}
    assert len(place) == 60
    assert all(place[f"{i}.1"] == place[f"{i}.2"] for i in range(10, 40))


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.conll", "Anna B-PER\n", "conll"),
        ("a.csv", "x", "csv"),
        ("a.spacy", "x", "spacy"),
        ("a.xml", "<x/>", None),
        ("a.json", '[["t", {"entities": []}]]', "spacy"),
        ("a.json", '{"id": 1, "data": {"text": ""}, "annotations": []}', "label-studio"),
        ("a.jsonl", '{"tokens": ["a"], "ner_tags": [0]}', "hf"),
        ("a.jsonl", '{"text": "a", "label": []}', "doccano"),
        ("a.jsonl", '{"text": "a", "spans": []}', "spacy"),
    ],
)
def test_guess(tmp_path, name, content, kind):
    (tmp_path / name).write_text(content)
    assert guess(tmp_path / name) == kind


def test_spacy_binary(tmp_path):
    spacy = pytest.importorskip("spacy", reason="spaCy is not installed")
    doc = spacy.blank("xx")(TEXT)
    doc.ents = [doc.char_span(0, 4, "PER"), doc.char_span(11, 19, "LOC")]
    spacy.tokens.DocBin(docs=[doc]).to_disk(tmp_path / "train.spacy")
    done = convert([tmp_path / "train.spacy"], None, Conversion())
    (sample,) = done.splits["train"]
    assert [" ".join(sample.words[e.start : e.end]) for e in sample.entities] == [
        "Anna",
        "New York",
    ]


def test_command_line(zoo, tmp_path):
    posts = [{"id": i, "text": f"Anna saw Rome {i}.", "label": [[0, 4, "PER"]]} for i in range(20)]
    (tmp_path / "posts.jsonl").write_text(lines(*posts))
    done = zoo("data", "import", "posts.jsonl", "mine", "--split", "60/20/20", "--seed", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == (
        "wrote mine (split 60/20/20 with seed 3); next: zoo init --data mine"
    )
    done = zoo("init", "--data", "mine")
    assert done.stdout == "wrote mine.yaml; next: zoo run mine.yaml\n"
    assert (tmp_path / "mine.yaml").read_text() == (
        "include: zoo\ndatasets:\n  mine: {reader: jsonl, path: mine}\n"
    )
    for wrong, said in (
        (["posts.jsonl", "mine"], "zoo: mine: is there already"),
        (["posts.jsonl", "x", "--split", "1"], "zoo: --split 1: write it as"),
        (["none.jsonl", "x"], "zoo: none.jsonl: no such file"),
        (["posts.jsonl", "x", "--images", "none"], "zoo: --images none: no such folder"),
    ):
        done = zoo("data", "import", *wrong)
        assert done.returncode == 2
        assert done.stderr.startswith(said)
        assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("number", "code", "how"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_stopped_by_a_signal(tmp_path, monkeypatch, capsys, number, code, how):
    """Neither this import nor an earlier one, which was killed, leaves anything."""
    (tmp_path / "posts.jsonl").write_text(
        lines(*({"text": f"Anna {i}", "label": [[0, 4, "PER"]]} for i in range(9)))
    )
    dead = f".out.{owner()}.tmp".replace(f"-{os.getpid()}-", "-999999999-")
    (tmp_path / dead).mkdir()
    (tmp_path / dead / "train.jsonl").touch()

    def stop(*_: Any, **__: Any) -> None:
        (tmp_path / "reached").touch()
        os.kill(os.getpid(), number)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zoo.importers.convert.write_jsonl", stop)
    monkeypatch.setattr("sys.argv", ["zoo", "data", "import", "posts.jsonl", "out"])
    try:
        with pytest.raises(SystemExit) as stopped:
            cli.main()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    out, err = capsys.readouterr()
    assert (stopped.value.code, out, err) == (
        code,
        "",
        f"zoo: {how}; no file was left half-written\n",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["posts.jsonl", "reached"]
