"""Broken data files: one line each, with the file, the line, and what to do."""

from __future__ import annotations

import json

import pytest

from zoo.data.bio import Bio
from zoo.data.jsonl import Jsonl
from zoo.errors import DataError

GOOD = "IMGID:{}\nAda\tB-PER\nsaw\tO\n\n"

# name: (content of train.txt, line, what the message says is wrong, what it says to do)
COLUMN_FILES = {
    "empty": ("", None, "empty", "put the split's sentences"),
    "blank lines only": ("\n \n\n", None, "empty", "put the split's sentences"),
    "docstart only": ("-DOCSTART- O\n\n", None, "holds no word", "put one word and its tag"),
    "words without tags": ("Ada\nsaw\n", 1, "`Ada` stands alone", "a row is a word and its tag"),
    "a word without a tag": ("Ada\tB-PER\nsaw\n", 2, "`saw` stands alone", "a row is a word"),
    "a tag alone": ("Ada B-PER\n O\n", 2, "`O` stands alone", "a row is a word and its tag"),
    "a tag without a word": ("a\tO\n\tI-PER\n", 2, "a tag without a word", "put the word before"),
    "a blank as a word": ("Ada\tB-PER\n \tB-PER\n", 2, "a tag without a word", "remove the row"),
    "an empty first column": ("a\tNN\tO\n\tNN\tO\n", 2, "a tag without a word", "remove"),
    "a tag and a blank column": ("a\tO\nsaw\t\t\n", 2, "a word without a tag", "put `O`"),
    "an invisible tag": ("a\tO\nAda\t\u200b\n", 2, "unknown tag ``", "as in B-PER"),
    "an invisible prefix": ("Ada\tB\u200b-PER\n", 1, "unknown tag `B\\u200b-PER`", "as in"),
    "NUL": ("a\tO\nA\0da\tO\n", 2, "NUL characters", "save it as UTF-8"),
    "CR only": ("a\tO\rAda\rb\tO\r", 2, "`Ada` stands alone", "a row is a word"),
    "a prefix in one place": ("a\tPER\nb\tO\nc\tB-PER\n", 1, "unknown tag `PER`", "as in B-PER"),
    "parts of speech": ("a\tDT\nb\tNN\n", 1, "unknown tag `DT`", "as in B-PER"),
    "prefix behind": ("a\tPER-B\nb\tO\n", 1, "unknown tag `PER-B`", "as in B-PER"),
    "underscore": ("a\tB_PER\nb\tO\n", 1, "unknown tag `B_PER`", "as in B-PER"),
    "numbers as tags": ("a\t3\nb\tO\n", 1, "unknown tag `3`", "as in B-PER"),
    "an empty tag": ("Ada\tB-PER\nsaw\t\n", 2, "a word without a tag", "put `O`"),
    "unknown prefix": ("Ada\tX-PER\n", 1, "unknown tag `X-PER`", "a tag is O, or one of B-"),
    "no prefix": ("Ada\tPER\n", 1, "unknown tag `PER`", "as in B-PER"),
    "no type": ("a\tO\nAda\tB-\n", 2, "unknown tag `B-`", "as in B-PER"),
    "lower-case o": ("a\tO\n\nAda\to\n", 3, "unknown tag `o`", "a tag is O"),
    "columns change": ("a\tO\nb\tNN\tO\n", 2, "3 columns, but 2 in line 1", "the same columns"),
    "five columns": ("a b c d O\n", 1, "5 columns", "keep 2 to 4"),
    "counted, two columns of tags": ("0\ta\tO\tO\n1\tb\tO\tO\n", 1, "several of them", "keep the"),
    "counted, no column of tags": ("0\ta\t_\t-\n1\tb\t_\t-\n", 1, "none of them", "keep the"),
    "count out of order": ("0\ta\tO\n2\tb\tO\n", 2, "count `2` is out of order", "from 0 or 1"),
    "count goes on": ("1\ta\tO\n\n2\tb\tO\n", 3, "count `2` is out of order", "blank line"),
    "no blank line": ("0\ta\tO\n1\tb\tO\n0\tc\tO\n", 3, "count `0` is out of order", "blank line"),
    "mark without id": (GOOD.format(1) + "IMGID:\na\tO\n", 5, "without an id", "write the"),
    "mark without words": (
        "IMGID:1\n\na\tO\n",
        1,
        "`IMGID:1` has no words",
        "put them in the next",
    ),
    "mark at the end": (GOOD.format(1) + "IMGID:2", 5, "`IMGID:2` has no words", "remove the id"),
    "words before a mark": ("a\tO\n\n" + GOOD.format(1), 1, "before any `IMGID:`", "begin each"),
    "Latin-1": (
        GOOD.format(1).encode() + b"IMGID:2\ncaf\xe9\tO\n",
        6,
        "not UTF-8",
        "save the file",
    ),
    "UTF-16": ("a\tO\n".encode("utf-16"), 1, "not UTF-8", "save the file as UTF-8"),
    "picture elsewhere": ("IMGID:../../etc/passwd\na\tO\n", 1, "lies outside", "put it there"),
    "absolute picture": ("IMGID:/etc/passwd\na\tO\n", 1, "lies outside", "put it there"),
}

WORDS = {"words": ["Ada", "saw"], "entities": []}
JSON_FILES = {
    "not JSON": ("{words", "not JSON", "one object a line"),
    "a list": ([1], "not an object", "write {"),
    "no words": ({"entities": []}, "either `words` or `text`", "give the sentence"),
    "words and text": ({**WORDS, "text": "Ada"}, "either `words` or `text`", "give the sentence"),
    "words as text": (
        {**WORDS, "words": "Ada saw"},
        "`words` must be a list",
        "none of them empty",
    ),
    "an empty word": ({**WORDS, "words": ["Ada", ""]}, "`words` must be", "none of them empty"),
    "a blank text": ({"text": " ", "entities": []}, "without words", "remove the line"),
    "no entities": ({"words": ["Ada"]}, "`entities` must be a list", "write []"),
    "misspelt": ({**WORDS, "entites": []}, "`entites` is no field", "did you mean `entities`"),
    "a number as caption": ({**WORDS, "caption": 3}, "`caption` must be text", "leave it out"),
    "a truth as id": ({**WORDS, "id": True}, "`id` must be text", "leave it out"),
    "picture elsewhere": ({**WORDS, "image": "../a.jpg"}, "lies outside", "put it there"),
    "a truth as image": ({**WORDS, "image": True}, "`image` must be a file name", "a list of them"),
}
ENTITIES = {
    "no type": ([{"start": 0, "end": 1}], "an entity must be", '"type"'),
    "an offset as text": ([{"start": "0", "end": 1, "type": "A"}], "an entity must be", "number"),
    "a truth as offset": ([{"start": True, "end": 2, "type": "A"}], "an entity must be", "number"),
    "behind the end": ([{"start": 1, "end": 3, "type": "A"}], "out of range", "exclusive"),
    "before the start": ([{"start": -1, "end": 1, "type": "A"}], "out of range", "exclusive"),
    "empty": ([{"start": 1, "end": 1, "type": "A"}], "out of range", "exclusive"),
    "overlap": (
        [{"start": 0, "end": 2, "type": "A"}, {"start": 1, "end": 2, "type": "B"}],
        "overlap at word 1 (A, B)",
        "keep one",
    ),
}
CAPTION_FILES = {
    "no colon": ("1.jpg :a cat\n2.jpg a dog\n", 2, "no ` :`", "write `<id>.jpg :caption`"),
    "no id": ("1.jpg :a cat\n :a dog\n", 2, "without an id", "put the id first"),
    "twice": ("1.jpg :a\n\n1.png :b\n", 3, "`1` is a duplicate of that in line 1", "keep one"),
    "a column too many": ("1\ta cat\n2\ta\tdog\n", 2, "not two columns", "one tab"),
    "not JSON": ('{"id": "1", "caption": "a"}\n{"id"\n', 2, "not JSON", "one object a line"),
    "no JSON id": ('{"caption": "a"}\n', 1, '{"id": "…"', "a whole number"),
    "no JSON caption": ('{"id": 1, "captoin": "a"}\n', 1, '{"id": "…"', "the caption as text"),
    "a truth as JSON id": ('{"id": true, "caption": "a"}\n', 1, '{"id": "…"', "a whole number"),
    "a list as JSON caption": ('{"id": 1, "caption": ["a"]}\n', 1, '{"id": "…"', "as text"),
    "empty": ("", None, "empty", "put"),
}


def message(reader) -> str:
    with pytest.raises(DataError) as caught:
        reader.read()
    (line,) = caught.value.problems
    assert "\n" not in line
    assert len(line) - line.count("/") < 400
    return line


def bio(folder, **options):
    """A reader of a good dataset; the test then breaks it."""
    for split in ("train", "dev", "test"):
        (folder / f"{split}.txt").write_text(GOOD.format(split))
    return Bio(folder, path=".", **options)


def place(file, line):
    return f"{file}:{line}: " if line else f"{file}: "


@pytest.mark.parametrize("name", COLUMN_FILES)
def test_column_files(tmp_path, name):
    content, line, wrong, remedy = COLUMN_FILES[name]
    reader = bio(tmp_path, images="images")
    # The last file to be read, so that what clashes with another one is seen in this one.
    file = tmp_path / "test.txt"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    text = message(reader)
    assert text.startswith(place(file, line))
    assert wrong in text
    assert remedy in text


def write_json(folder, record):
    for split in ("train", "dev", "test"):
        (folder / f"{split}.jsonl").write_text(json.dumps({**WORDS, "id": split}) + "\n")
    line = record if isinstance(record, str) else json.dumps(record)
    same = json.dumps({**WORDS, "id": "same"})
    (folder / "dev.jsonl").write_text(f"{same}\n\n{line}\n")
    return Jsonl(folder, path=".")


@pytest.mark.parametrize("name", JSON_FILES)
def test_json_files(tmp_path, name):
    record, wrong, remedy = JSON_FILES[name]
    text = message(write_json(tmp_path, record))
    assert text.startswith(f"{tmp_path / 'dev.jsonl'}:3: ")
    assert wrong in text
    assert remedy in text


@pytest.mark.parametrize("name", ENTITIES)
def test_json_entities(tmp_path, name):
    entities, wrong, remedy = ENTITIES[name]
    text = message(write_json(tmp_path, {**WORDS, "entities": entities}))
    assert text.startswith(f"{tmp_path / 'dev.jsonl'}:3: ")
    assert wrong in text
    assert remedy in text


@pytest.mark.parametrize(("start", "end"), [(0, 2), (1, 3), (0, 9), (3, 4), (4, 3)])
def test_character_offsets_inside_words(tmp_path, start, end):
    entity = {"start": start, "end": end, "type": "PER"}
    text = message(write_json(tmp_path, {"text": "Ada saw", "entities": [entity]}))
    assert text.startswith(f"{tmp_path / 'dev.jsonl'}:3: the entity {start}–{end} (PER)")
    assert "not on words' edges" in text


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('[{"id": 1, "caption": "a"}, {"id": 2}]', ': item 2: write {"id"'),
        ('[{"id": 1, "caption": "a"}, {"id": "1.jpg", "caption": "b"}]', ": item 2: the id `1`"),
        ('[{"id": 1, "caption": "a"}', ": not JSON"),
        ('{"1": "a",\n "2": "b",\n "1.png": "c"}', ": item 3: the id `1` is a duplicate"),
        ('{"annotations": [{"image_id": 1, "caption": "a"}]}', ':1: write {"id"'),
        ("[" * 5000, ": not JSON"),
        ("9.jpg :a cat\n8.jpg :a dog\n", ": no caption is of a sentence; the file has 9, 8, but"),
    ],
)
def test_captions_as_one_json_value_or_of_other_pictures(tmp_path, text, wrong):
    (tmp_path / "captions.json").write_text(text)
    told = message(bio(tmp_path, captions="captions.json"))
    assert told.startswith(f"{tmp_path / 'captions.json'}{wrong}")


@pytest.mark.parametrize("name", CAPTION_FILES)
def test_caption_files(tmp_path, name):
    content, line, wrong, remedy = CAPTION_FILES[name]
    (tmp_path / "captions.txt").write_text(content)
    text = message(bio(tmp_path, captions="captions.txt"))
    assert text.startswith(place(tmp_path / "captions.txt", line))
    assert wrong in text
    assert remedy in text


def test_missing_files(tmp_path):
    reader = bio(tmp_path, captions="captions.txt")
    assert message(reader).startswith(f"{tmp_path}/captions.txt: can't be read")
    assert "ZOO_DATA" in message(Bio(tmp_path, path="nowhere"))
    assert "too few to be split" in message(Bio(tmp_path, path="dev.txt"))
    renamed = message(Bio(tmp_path, path=".", splits={"test": "tset.txt"}))
    assert renamed.startswith(f"{tmp_path}/tset.txt: no such file")
    assert "did you mean `test.txt`" in renamed
    (tmp_path / "dev.txt").rename(tmp_path / "dve.txt")  # which may well be the dev split
    absent = message(Bio(tmp_path, path="."))
    assert absent.startswith(f"{tmp_path}: no file for dev; add dev.txt or name it")
    (tmp_path / "dev.txt").mkdir()
    assert "no file for dev" in message(Bio(tmp_path, path="."))


def test_missing_language(tmp_path):
    bio(tmp_path)
    (tmp_path / "en").mkdir()
    assert f"{tmp_path}/eng: no such folder" in message(Bio(tmp_path, path=".", languages=["eng"]))
    assert f"{tmp_path}/en: no file for train" in message(Bio(tmp_path, path=".", languages=["en"]))
    (tmp_path / "train.txt").unlink()
    assert "name sub-folders by `languages`: en" in message(Bio(tmp_path, path="."))


def test_labels_that_no_entity_has(tmp_path):
    bio(tmp_path)
    text = message(Bio(tmp_path, path=".", labels={"PRE": "PERSON"}))
    assert "`labels` maps `PRE`" in text
    assert "did you mean `PER`?" in text
