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
