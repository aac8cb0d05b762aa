"""The several shapes in which one tool exports, and what must not be lost without a word."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.importers.test_cases import lines, shown, take
from zoo.errors import DataError
from zoo.importers.convert import Imported, convert, write
from zoo.importers.documents import Conversion
from zoo.importers.formats import guess
from zoo.importers.record import image_names

Take = Callable[..., Imported]
__all__ = ["take"]

LABELS = {"start": 0, "end": 4, "text": "Anna", "labels": ["PER"]}
SPAN = {"start": 0, "end": 4, "label": "PER"}
MIN = {"id": 1, "text": "Anna saw", "annotator": 1, "annotation_id": 1, "lead_time": 1.5}
SHAPES: dict[str, tuple[str, str, str]] = {
    "doccano, text as data": (
        "doccano", "train.jsonl", lines({"id": 1, "data": "Anna saw", "label": [[0, 4, "PER"]]})
    ),
    "JSON-MIN, labels under another name": (
        "label-studio", "train.json", json.dumps([{**MIN, "ner": [LABELS]}])
    ),
    "JSON-MIN, the first task without entities": (
        "label-studio", "train.json",
        json.dumps([{**MIN, "text": "x"}, {**MIN, "id": 2, "label": [LABELS]}])
    ),
    "one task alone": (
        "label-studio", "train.json",
        json.dumps({"id": 1, "data": {"text": "Anna saw"}, "annotations": [
            {"result": [{"type": "labels", "value": LABELS}]}]}, indent=1)
    ),
    "spaCy, Doc.to_json": (
        "spacy", "train.json",
        json.dumps([{"text": "Anna saw", "ents": [SPAN], "spans": {}, "tokens": [
            {"id": 0, "start": 0, "end": 4}, {"id": 1, "start": 5, "end": 8}]}])
    ),
    "an annotator for spaCy": (
        "spacy", "train.json",
        json.dumps({"classes": ["PER"], "annotations": [
            None, ["Anna saw", {"entities": [[0, 4, "PER"]]}]]})
    ),
    "Hugging Face, an empty sentence first": (
        "hf", "train.jsonl",
        lines({"tokens": [], "ner_tags": [], "entities": []},
              {"tokens": ["Anna", "saw"], "ner_tags": ["B-PER", "O"]})
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(take: Take, tmp_path: Path, name: str) -> None:
    kind, file, content = SHAPES[name]
    assert shown(take({file: content}))[-1] == "[PER Anna] saw"
    assert guess(tmp_path / file) == kind


def studio(text: str, start: int, end: int, said: str) -> str:
    value = {"start": start, "end": end, "text": said, "labels": ["PER"]}
    result = [{"type": "labels", "value": value}]
    return json.dumps([{"data": {"tweet": text}, "annotations": [{"result": result}]}])


@pytest.mark.parametrize(
    ("content", "right"),
    [
        (studio("Anna saw https://t.co/x", 0, 4, "Anna"), "[PER Anna] saw https://t.co/x"),
        (studio("Hi\r\nAnna saw", 3, 7, "Anna"), "Hi [PER Anna] saw"),
        (studio("Hi\r\nAnna saw", 4, 8, "Anna"), "Hi [PER Anna] saw"),
        (studio("😀\r\nAnna saw", 3, 7, "Anna"), "😀 [PER Anna] saw"),
        (studio("Hi\nAnna\nLee", 3, 11, "Anna\\nLee"), "Hi [PER Anna Lee]"),
    ],
    ids=["a URL in the text", "no CR", "CR", "no CR, UTF-16", "written line ends"],
)
def test_texts_of_label_studio(take: Take, content: str, right: str) -> None:
    assert shown(take({"train.json": content})) == [right]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (studio("https://x.org/a.txt", 0, 4, "Anna"), "its data holds none"),
        (json.dumps([{**MIN, "label": "PER"}]), "`label` holds no entities of a text, but PER"),
        (json.dumps([{**MIN, "label": {"choices": ["a"]}}]), "`label` holds no entities"),
    ],
)
def test_label_studio_without_text_or_entities(take: Take, content: str, word: str) -> None:
    with pytest.raises(DataError, match=word):
        take({"train.json": content}, "label-studio")


# The names of tags --------------------------------------------------------------------------------

CHUNKS, TAGS = ["O", "B-ADJP", "I-ADJP"], ["O", "B-PER", "I-PER"]
LISTED = [
    {"name": "chunk_tags", "sequence": {"class_label": {"names": dict(enumerate(CHUNKS))}}},
    {"name": "ner_tags", "sequence": {"class_label": {"names": dict(enumerate(TAGS))}}},
]
MAPPED = {
    "chunk_tags": {"feature": {"names": CHUNKS, "_type": "ClassLabel"}},
    "ner_tags": {"feature": {"names": TAGS, "_type": "ClassLabel"}},
}
CARDS = {
    "README.md": f"---\n{json.dumps({'dataset_info': {'features': LISTED}})}\n---\n",
    "dataset_info.json": json.dumps({"features": MAPPED}),
    "dataset_infos.json": json.dumps({"one": {"features": MAPPED}, "two": {"features": MAPPED}}),
}
ROW = {"tokens": ["Anna", "Lee"], "chunk_tags": [0, 0], "ner_tags": [1, 2]}


@pytest.mark.parametrize("card", CARDS)
def test_names_are_those_of_the_column(take: Take, card: str) -> None:
    """CoNLL-2003 names the tags of chunks before those of entities."""
    assert shown(take({"train.jsonl": lines(ROW), card: CARDS[card]})) == ["[PER Anna Lee]"]


def test_two_ways_to_name_one_column(take: Take) -> None:
    other = {"ner_tags": {"feature": {"names": ["O", "B-LOC", "I-LOC"]}}}
    card = json.dumps({"one": {"features": MAPPED}, "two": {"features": other}})
    files: dict[str, str | bytes] = {"train.jsonl": lines(ROW), "dataset_infos.json": card}
    with pytest.raises(DataError, match=r"in 2 ways \(O,B-PER,I-PER; O,B-LOC,I-LOC\).*--tag-names"):
        take(files)
    assert shown(take(files, names=TAGS)) == ["[PER Anna Lee]"]


def test_parquet_of_several_columns_and_pictures(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from PIL import Image
    from pyarrow import parquet

    def picture(colour: str) -> bytes:
        made = io.BytesIO()
        Image.new("RGB", (2, 2), colour).save(made, "PNG")
        return made.getvalue()

    red, blue = picture("red"), picture("blue")
    images = [{"bytes": red, "path": "a.png"}, {"bytes": blue, "path": "x/a.png"},
              {"bytes": red, "path": None}, {"bytes": None, "path": "gone.png"}, None]  # fmt: skip
    count = len(images)
    table = pa.table({k: [v] * count for k, v in ROW.items()} | {"image": images})
    for metadata in ({"info": {"features": MAPPED}}, None):
        stored = json.dumps(metadata) if metadata else "{"
        parquet.write_table(
            table.replace_schema_metadata({"huggingface": stored}), tmp_path / "train.parquet"
        )
        names = None if metadata else TAGS
        done = convert([tmp_path / "train.parquet"], None, Conversion(), names=names)
        assert shown(done) == ["[PER Anna Lee]"] * count
    write(done, tmp_path / "out")
    named = [sample.picture and sample.picture.name for sample in done.splits["train"]]
    assert named[0] == "a.png"
    assert named[2:] == ["3.png", None, None]
    written = {path.name: path.read_bytes() for path in (tmp_path / "out" / "images").iterdir()}
    assert [written[name] for name in named if name] == [red, blue, red]


# Tables -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("comma", [",", ";", "\t"])
def test_quotes_that_are_words(take: Take, comma: str) -> None:
    """They swallow no rows, whether there are two of them or one."""
    rows = ["sentence,word,tag", "1,Anna,B-PER", '1,",O', "1,Rome,B-LOC", '2,",O', "2,Lee,B-PER"]
    for kept in (rows, rows[:4] + rows[5:]):
        content = "\n".join(kept).replace(",", comma) + "\n"
        assert shown(take({"train.csv": content}))[0] == '[PER Anna] " [LOC Rome]'


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("sentence,word,tag\n1,Anna,B-PER\n1,,,O\n", "train.csv:3: 4 cells, but 3 columns"),
        ("id,word,tag\n0,Anna,B-PER\n1,saw,O\n2,x,O\n", "`id` is another in every row"),
    ],
)
def test_tables_that_are_refused(take: Take, content: str, word: str) -> None:
    with pytest.raises(DataError, match=word):
        take({"train.csv": content})


# All formats --------------------------------------------------------------------------------------


def test_the_faults_of_all_files_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x", "label": []}\n{\n{"text"}\n')
    (tmp_path / "b.jsonl").write_text(lines({"text": "Anna", "label": [[0, 9, "PER"]]}))
    files = [tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl")]
    with pytest.raises(DataError) as raised:
        convert(files, "doccano", Conversion())
    places = ["a.jsonl:2: not JSON", "a.jsonl:3: not JSON", "b.jsonl:1: the entity", "no such file"]
    for place, problem in zip(places, raised.value.problems, strict=True):
        assert place in problem


def test_what_is_changed_is_told(take: Take) -> None:
    posts = [
        {"id": 1, "text": "Anna", "label": [], "image": ["a.jpg", "b.jpg"]},
        {"id": 1, "text": "Lee", "label": []},
    ]
    made = take({"train.jsonl": lines(*posts)})
    assert [sample.id for sample in made.splits["train"]] == ["1", "1-2"]
    assert [finding.partition(":")[0] for finding in made.findings] == [
        "1 post has several pictures; encoder `album` reads them all, every other one the first",
        "1 id repeats and gets a number",
    ]


def test_accounts_of_tools_are_no_fields_of_a_post(take: Take) -> None:
    post = {**MIN, "label": [LABELS], "created_at": "2024", "place": "a street"}
    (sample,) = take({"train.json": json.dumps([post])}).splits["train"]
    assert sample.extra == {"place": "a street"}


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("a.jpg", ["a.jpg"]),
        ("x/y/a.jpg", ["x/y/a.jpg", "y/a.jpg", "a.jpg"]),
        ("./x/../a.jpg", ["x/a.jpg", "a.jpg"]),
        ("/home/me/a.jpg", ["home/me/a.jpg", "me/a.jpg", "a.jpg"]),
        ("C:\\me\\a.jpg", ["C:/me/a.jpg", "me/a.jpg", "a.jpg"]),
        ("https://h.org/c%20d.jpg?x=1#y", ["c d.jpg", "c%20d.jpg"]),
        ("https://pbs.twimg.com/media/a.jpg:large", ["media/a.jpg", "media/a.jpg:large", "a.jpg",
                                                     "a.jpg:large"]),
        ("/data/upload/1/0a1b2c3d-a.jpg", ["data/upload/1/0a1b2c3d-a.jpg",
                                           "upload/1/0a1b2c3d-a.jpg", "1/0a1b2c3d-a.jpg",
                                           "0a1b2c3d-a.jpg", "a.jpg"]),
        ("/data/local-files/?d=x%2Fa.jpg", ["x/a.jpg", "a.jpg"]),
        ("100%.jpg", ["100%.jpg"]),
        ("http://[x", ["http:/[x", "[x"]),
        ("data:image/png;base64,iVBORw0KGgoAAAA", ["data:image/png;base64,iVBORw0K…"]),
        ("..", [".."]),
    ],
)  # fmt: skip
def test_names_of_pictures(written: str, names: list[str]) -> None:
    assert image_names(written) == names


def test_pictures_in_folders_of_a_folder(take: Take, tmp_path: Path) -> None:
    for name in ("one/a.jpg", "two/a.jpg"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"\xff\xd8\xff")
    named = ["one/a.jpg", "pictures/two/a.jpg", "/elsewhere/two/a.jpg", "a.jpg", True, None]
    posts: list[dict[str, Any]] = [
        {"id": f"p{i}", "text": f"Anna {i}", "label": [], "image": name}
        for i, name in enumerate(named)
    ]
    made = take({"train.jsonl": lines(*posts)}, images=tmp_path / "pictures")
    found = [sample.picture and sample.picture.name for sample in made.splits["train"]]
    assert found == ["one/a.jpg", "two/a.jpg", "two/a.jpg", None, None, None]
    write(made, tmp_path / "out")
    assert (tmp_path / "out" / "images" / "two" / "a.jpg").is_file()


def test_all_pictures_of_a_post_are_kept(take: Take, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name in "abc":
        (tmp_path / "pictures" / f"{name}.jpg").write_bytes(b"\xff\xd8\xff" + name.encode())
    named = [["b.jpg", "gone.jpg", "a.jpg"], ["c.jpg"], []]
    posts = [
        {"id": i, "text": f"Anna {i}", "label": [], "image": images}
        for i, images in enumerate(named)
    ]
    made = take({"train.jsonl": lines(*posts)}, images=tmp_path / "pictures")
    found = [[each.name for each in sample.pictures] for sample in made.splits["train"]]
    assert found == [["b.jpg", "a.jpg"], ["c.jpg"], []]
    assert "1 picture is named and absent: gone.jpg" in made.findings
    write(made, tmp_path / "out")
    stored = map(json.loads, (tmp_path / "out" / "train.jsonl").read_text().splitlines())
    assert [line.get("image") for line in stored] == [["b.jpg", "a.jpg"], "c.jpg", None]
    assert len(list((tmp_path / "out" / "images").iterdir())) == 3


def test_brat_files_by_any_name(tmp_path: Path) -> None:
    (tmp_path / "train.TXT").write_text("Anna saw.\n")
    (tmp_path / "train.ann").write_text("T1\tPER 0 4\tAnna\n")
    made = convert([tmp_path / "train.TXT"], "brat", Conversion())
    assert shown(made) == ["[PER Anna] saw ."]
    (tmp_path / "other.ann").write_text("T1\tPER 0 4\tAnna\n")
    with pytest.raises(DataError, match=r"other\.txt: can't be read \(No such file"):
        convert([tmp_path / "other.ann"], "brat", Conversion())


def test_uploads_that_were_several_pictures(take: Take, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "image.jpg").write_bytes(b"\xff\xd8\xff")
    posts = [
        {"id": i, "text": f"Anna {i}", "label": [], "image": f"/data/upload/1/{i * 8}-image.jpg"}
        for i in "12"
    ]
    with pytest.raises(DataError, match="are several uploads and would all be the picture image"):
        take({"train.jsonl": lines(*posts)}, images=tmp_path / "pictures")


def test_pictures_of_one_name_from_the_file_and_the_folder(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"\x89PNG folder")
    posts = [{"id": "f", "text": "Anna", "label": [], "image": "a.png"}]
    (tmp_path / "folder.jsonl").write_text(lines(*posts))
    parquet = pytest.importorskip("pyarrow.parquet", reason="reading Parquet needs pyarrow")
    import pyarrow

    inside = {"id": "e", "tokens": ["Lee"], "ner_tags": ["B-PER"],
              "image": {"bytes": b"\x89PNG embedded", "path": "a.png"}}  # fmt: skip
    parquet.write_table(pyarrow.Table.from_pylist([inside]), tmp_path / "inside.parquet")
    files = [tmp_path / "inside.parquet", tmp_path / "folder.jsonl"]
    made = convert(files, None, Conversion(), [1.0, 0.0], images=tmp_path / "pictures")
    write(made, tmp_path / "out")
    found = {
        sample.id: (tmp_path / "out" / "images" / sample.picture.name).read_bytes()
        for own in made.splits.values()
        for sample in own
        if sample.picture
    }
    assert found == {"e": b"\x89PNG embedded", "f": b"\x89PNG folder"}


BOTH = {"text": "Anna saw Rome in May .", "tokens": ["Anna", "saw", "Rome", "in", "May", "."]}


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([{"start": 0, "end": 4, "type": "PER", "text": "Anna"}], "[PER Anna] saw Rome in May ."),
        ([{"start": 2, "end": 3, "type": "LOC", "text": "Rome"}], "Anna saw [LOC Rome] in May ."),
        ([[0, 4, "PER"], [9, 13, "LOC"]], "[PER Anna] saw [LOC Rome] in May ."),
    ],
)
def test_a_text_and_words_with_offsets(take: Take, spans: list[Any], expected: str) -> None:
    assert shown(take({"train.jsonl": lines({**BOTH, "entities": spans})}, "doccano")) == [expected]


def test_offsets_that_may_count_either(take: Take) -> None:
    with pytest.raises(DataError, match="may count the characters of `text` or the words"):
        take({"train.jsonl": lines({**BOTH, "entities": [[0, 4, "PER"]]})}, "doccano")


@pytest.mark.parametrize(
    "record",
    [
        {"text": "Anna saw", "label": [[0, 4, "PER"]], "entities": []},
        {"text": "Anna saw", "spans": [SPAN], "entities": []},
        {"tokens": ["Anna", "saw"], "ner_tags": ["B-PER", "O"], "entities": []},
        {"text": "Anna saw", "label": [[0, 4, "PER"]], "entities": [[5, 8, "LOC"]]},
    ],
)
def test_annotations_in_two_fields(take: Take, record: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="and in another field; leave the one that holds"):
        take({"train.jsonl": lines(record)}, "doccano")


def test_what_only_looks_like_annotations(take: Take) -> None:
    record = {"text": "Anna saw", "entities": [[0, 4, "PER"]], "label": ["sport"], "tags": ["a"]}
    assert shown(take({"train.jsonl": lines(record)}, "doccano")) == ["[PER Anna] saw"]


@pytest.mark.parametrize("name", ["doc_id", "id", "tweet_id"])
def test_sentences_that_are_numbered_anew_in_each_document(take: Take, name: str) -> None:
    rows = [f"{name},sentence,word,tag", "101,0,Anna,B-PER", "101,0,left,O", "102,0,Rome,B-LOC",
            "102,1,burns,O", "103,0,Lee,B-PER"]  # fmt: skip
    made = take({"table.csv": "\n".join(rows)}, shares=[1.0, 0.0])
    found = {s.id: " ".join(s.words) for own in made.splits.values() for s in own}
    assert [found[each] for each in ("101", "102", "103")] == ["Anna left", "Rome", "Lee"]
    assert "burns" in found.values()


def test_a_number_for_every_word_is_no_document(take: Take) -> None:
    rows = ["id,sentence,word,tag", "1,a,Anna,B-PER", "2,a,left,O", "3,b,Lee,B-PER"]
    made = take({"table.csv": "\n".join(rows)}, shares=[1.0, 0.0])
    assert {s.id for own in made.splits.values() for s in own} == {"a", "b"}


def test_a_card_says_that_it_names_the_tags(take: Take, tmp_path: Path) -> None:
    names = {"features": {"ner_tags": {"feature": {"names": ["O", "B-LOC"]}}}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(names))
    record = {"tokens": ["Rome", "burns"], "ner_tags": [1, 0]}
    made = take({"train.jsonl": lines(record)}, "hf")
    assert shown(made) == ["[LOC Rome] burns"]
    (told,) = made.findings
    assert told.endswith("dataset_info.json names them: 0 = O, 1 = B-LOC")
    below = tmp_path / "new"
    below.mkdir()
    (below / "mine.jsonl").write_text(lines(record))
    with pytest.raises(DataError, match="holds numbers"):
        convert([below / "mine.jsonl"], "hf", Conversion())


def test_documents_of_one_name_in_several_folders(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / "all" / folder).mkdir(parents=True)
        (tmp_path / "all" / folder / "1.txt").write_text(f"Anna {folder}")
        (tmp_path / "all" / folder / "1.ann").write_text("T1\tPER 0 4\tAnna\n")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "1.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "pictures" / "b").mkdir()
    (tmp_path / "pictures" / "b" / "1.jpg").write_bytes(b"\xff\xd8\xffb")
    folder = tmp_path / "pictures"
    made = convert([tmp_path / "all"], "brat", Conversion(), [1.0, 0.0], images=folder)
    found = {s.id: s.picture and s.picture.name for own in made.splits.values() for s in own}
    assert found == {"a/1": None, "b/1": "b/1.jpg"}


def test_tags_beside_a_text_and_classes(take: Take) -> None:
    record = {**BOTH, "ner_tags": ["B-PER", *["O"] * 5], "labels": [3, 4]}
    assert shown(take({"train.jsonl": lines(record)}, "hf")) == ["[PER Anna] saw Rome in May ."]


# What belongs to which post -----------------------------------------------------------------------


def several(tmp_path: Path, files: dict[str, str], **how: Any) -> Imported:
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    return convert([tmp_path / name for name in files], None, Conversion(), **how)


def pictures(tmp_path: Path, *names: str) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"\xff\xd8\xff" + name.encode())
    return folder


def named(imported: Imported) -> list[list[str]]:
    return [[p.name for p in s.pictures] for own in imported.splits.values() for s in own]


POST = {"id": 1, "text": "Anna saw", "label": [[0, 4, "PER"]]}


@pytest.mark.parametrize("refused", ["reject", "ignore"])
@pytest.mark.parametrize(
    "record",
    [POST, {"tokens": ["Anna"], "ner_tags": ["B-PER"]}, {"text": "Anna", "spans": [SPAN]}],
    ids=["doccano", "hf", "spacy"],
)
def test_what_was_rejected_is_left_out(take: Take, record: dict[str, Any], refused: str) -> None:
    kept, left = {**record, "answer": "accept"}, {**record, "answer": refused}
    made = take({"train.jsonl": lines(kept, left)})
    assert [dict(s.extra) for s in made.splits["train"]] == [{}]
    (told,) = made.findings
    assert told.startswith("1 document that its annotator rejected or passed over is left out: ")
    with pytest.raises(DataError, match=r"no sentence in there .2 documents that their annotators"):
        take({"train.jsonl": lines(left, left)})


@pytest.mark.parametrize("key", ["image", "images", "photos"])
def test_a_picture_that_is_not_understood_is_not_that_of_the_id(
    take: Take, tmp_path: Path, key: str
) -> None:
    folder = pictures(tmp_path, "1.jpg", "x.jpg")
    with pytest.raises(DataError, match=f"train.jsonl:1: `{key}` holds no name, path or bytes of"):
        take({"train.jsonl": lines({**POST, key: {"file": "x.jpg"}})}, images=folder)
    assert named(take({"train.jsonl": lines({**POST, key: ["x.jpg"]})}, images=folder)) == [
        ["x.jpg"]
    ]
    low = json.dumps([{**MIN, "label": [LABELS], key: ["/d/x.jpg"]}])
    assert named(take({"train.json": low}, images=folder)) == [["x.jpg"]]
    assert named(take({"train.jsonl": lines(POST)}, images=folder)) == [["1.jpg"]]


def test_an_id_of_two_files_says_nothing_of_a_picture(tmp_path: Path) -> None:
    files = {"train.jsonl": lines(POST), "test.jsonl": lines({**POST, "text": "Anna left"})}
    made = several(tmp_path, files, images=pictures(tmp_path, "1.jpg"))
    assert named(made) == [[], []]
    assert any("2 posts get no pictures by their ids" in told for told in made.findings)


def test_several_pictures_by_id(take: Take, tmp_path: Path) -> None:
    folder = pictures(tmp_path, "1.jpg", "1.png")
    for files in ({"train.jsonl": lines(POST)}, {"train.txt": "IMGID:1\nAnna B-PER\n"}):
        made = take(files, images=folder)
        assert named(made) == [["1.jpg", "1.png"]]
        assert any("1 post has several pictures" in told for told in made.findings)


def test_files_named_twice_are_read_once(tmp_path: Path) -> None:
    files = {"a.ann": "T1\tPER 0 4\tAnna\n", "a.txt": "Anna\nsaw\nRome\n", "c.ann": "",
             "c.txt": "x y z\n"}  # fmt: skip
    made = several(tmp_path, files, shares=(0.5, 0.5))
    assert sum(map(len, made.splits.values())) == 4
    assert any(told.startswith("2 files are named twice, and read once") for told in made.findings)
    both = [tmp_path / "a.txt", tmp_path]
    assert sum(map(len, convert(both, "brat", Conversion(), (0.5, 0.5)).splits.values())) == 4


def test_ids_of_nobody_are_not_written(take: Take, tmp_path: Path) -> None:
    made = take({"train.jsonl": lines({"text": "Anna", "label": []}, POST)})
    write(made, tmp_path / "out")
    written = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    assert [json.loads(line).get("id") for line in written] == [None, "1"]


def test_pictures_inside_of_the_file(take: Take) -> None:
    data = "data:image/png;base64,iVBORw0KGgo="
    made = take({"train.jsonl": lines({**POST, "image": data})})
    assert named(made) == [["1.png"]]
    assert made.splits["train"][0].pictures[0].read() == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(DataError, match="`image` holds no name, path or bytes"):
        take({"train.jsonl": lines({**POST, "image": "data:image/png;base64,a"})})


def test_tables_of_pandas(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    base = {"tokens": ["Anna"], "ner_tags": ["B-PER"]}
    rows = [{**base, "id": 1.0, "image": b"\xff\xd8\xff"}, {**base, "id": 2.0, "image": None}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "train.parquet")
    made = convert([tmp_path / "train.parquet"], None, Conversion())
    assert [s.id for s in made.splits["train"]] == ["1", "2"]
    assert named(made) == [["1.jpg"], []]


def test_a_file_that_is_no_picture_is_told_from_an_absent_one(take: Take, tmp_path: Path) -> None:
    folder = pictures(tmp_path, "b.jpg")
    (folder / "a.tif").write_bytes(b"II*\0")
    posts = [{**POST, "id": name, "image": name} for name in ("a.tif", "b.jpg", "c.jpg")]
    made = take({"train.jsonl": lines(*posts)}, images=folder)
    assert made.findings == [
        "1 picture is there and is none of the formats JPEG, PNG, WebP, GIF and BMP: a.tif",
        "1 picture is named and absent: c.jpg",
    ]


@pytest.mark.parametrize(
    ("record", "word"),
    [
        ('{"text": "Anna", "label": [], "text": "Lee"}', "1: an object has `text` twice"),
        ('{"text": "Anna", "label": [[2, 2, "PER"]]}', "the entity 2–2 .PER. is empty"),
        ('{"text": "Anna", "label": [[3, 1, "PER"]]}', "the entity 3–1 .PER. is empty"),
        ('{"id": 1.5, "text": "Anna", "label": []}', "`id` must be text or a whole number, not 1"),
        ('{"words": ["a"], "entities": [[0, 1, "\\u200b"]]}', "has no type that can be seen"),
        ('{"tokens": ["a"], "ner_tags": [null]}', "`ner_tags` holds null at word 1"),
    ],
)
def test_what_is_wrong_is_named(take: Take, record: str, word: str) -> None:
    with pytest.raises(DataError, match=word):
        take({"train.jsonl": record})


def test_entities_inside_others_by_word(take: Take) -> None:
    record = {"words": ["New", "York"], "entities": [[0, 2, "LOC"], [1, 2, "LOC"], [0, 2, "LOC"]]}
    made = take({"train.jsonl": lines(record, {"tokens": [], "ner_tags": []})})
    assert shown(made) == ["[LOC New York]"]
    assert [told.partition(":")[0] for told in made.findings] == [
        "1 entity inside another is left out",
        "1 document without words is left out",
    ]


# Tables, columns and tasks ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "span", "right", "told"),
    [
        ("あ\r\n京都は", "[3,5,\"\"LOC\"\"]", "あ [LOC 京 都] は", "1 text has line ends of two"),
        ("Hi\r\nRome is", "[4,8,\"\"LOC\"\"]", "Hi [LOC Rome] is", None),
        ("Hi\r\nRome is", "[3,7,\"\"LOC\"\"]", "Hi [LOC Rome] is", None),
        ("Rome\r\nis", "[0,4,\"\"LOC\"\"]", "[LOC Rome] is", None),
    ],
)  # fmt: skip
def test_line_ends_in_cells(take: Take, text: str, span: str, right: str, told: str | None) -> None:
    made = take({"train.csv": f'id,text,entities\r\n1,"{text}","[{span}]"\r\n'})
    assert shown(made) == [right]
    assert [each.partition(" of two")[0] + " of two" for each in made.findings] == (
        [told] if told else []
    )


def test_long_cells(take: Take) -> None:
    made = take({"train.csv": f"text,entities\n{'Anna ' * 40000},\n"})
    assert len(made.splits["train"][0].words) == 40000


def test_empty_words_and_numbers_in_tables(take: Take) -> None:
    rows = "sentence,word,tag\n1,New,1\n1,,0\n1,York,2\n,,\n2,is,0\n"
    made = take({"train.csv": rows}, names=["O", "B-LOC", "I-LOC"])
    assert shown(made) == ["[LOC New] \u00a0 [LOC York]", "is"]
    assert [told.partition(":")[0] for told in made.findings] == [
        "1 empty word is read as a no-break space"
    ]
    with pytest.raises(DataError, match=r"train.csv:2: `tag` holds numbers; say what they stand"):
        take({"train.csv": rows})
    with pytest.raises(DataError, match=r"train.csv:2: `tag` holds 1, and --tag-names has 1 names"):
        take({"train.csv": rows}, names=["O"])


def test_findings_of_columns_are_told(take: Take) -> None:
    made = take({"train.conll": "Anna\tB-PER\n\tO\n\u200b\nLee\tB-PER\u200b\n"})
    assert [told.partition(":")[0] for told in made.findings] == [
        "1 empty word is read as a no-break space",
        "1 line that looks blank holds invisible characters and is read as blank",
        "1 tag or type is read without its invisible characters",
    ]


@pytest.mark.parametrize(("ner", "right"), [(None, "Anna"), ("", "Anna"), ("U-PER", "[PER Anna]")])
def test_tags_of_spacy_2(take: Take, ner: str | None, right: str) -> None:
    def doc(ner: str | None) -> str:
        sentence = {"tokens": [{"orth": "Anna", "ner": ner}]}
        return json.dumps([{"id": 0, "paragraphs": [{"sentences": [sentence]}]}])

    assert shown(take({"train.json": doc(ner)})) == [right]
    with pytest.raises(DataError, match=r"train.json: record 1: unknown tag `PERSON`"):
        take({"train.json": doc("PERSON")})


def test_labels_of_other_texts_are_left_out(take: Take) -> None:
    def task(*controls: str, **texts: str) -> dict[str, str]:
        results = [{"type": "labels", "to_name": each, "value": LABELS} for each in controls]
        paragraph = {"start": "0", "end": "0", "paragraphlabels": ["X"]}
        results.append({"type": "paragraphlabels", "to_name": "talk", "value": paragraph})
        return {"train.json": json.dumps([{"data": texts, "annotations": [{"result": results}]}])}

    made = take(task("title", text="Rome is", title="Anna saw"))
    assert shown(made) == ["Rome is"]
    assert made.findings[0].startswith("2 labels of other texts, or of paragraphs, are left out")
    assert shown(take(task("txt", text="Anna saw", title="Rome is"))) == ["[PER Anna] saw"]
    assert shown(take(task("text", "head", text="Anna saw"))) == ["[PER Anna] saw"]
    with pytest.raises(DataError, match=r"labels of several texts .one, two.; name that of the te"):
        take(task("one", "two", text="Anna saw"))
