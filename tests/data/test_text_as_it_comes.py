"""Text as it is found: any line ends, invisible characters, id lines of any spelling."""

from __future__ import annotations

import json
import pickle

import pytest

from zoo.data.bio import Bio
from zoo.data.check import check, findings, notes, untrainable
from zoo.data.jsonl import Jsonl
from zoo.errors import DataError, invisible, shown
from zoo.types import Entity

ROWS = "Anna\tB-PER\nsaw\tO\nRome\tB-LOC\n"
OTHER = "Lee\tB-PER\nleft\tO\n"


def read(folder, train, **options):
    """A dataset with this train split."""
    for split, text in {"train": train, "dev": OTHER, "test": OTHER}.items():
        data = text if isinstance(text, bytes) else text.encode()
        (folder / f"{split}.txt").write_bytes(data)
    return Bio(folder, path=".", **options).read()


def texts(splits):
    return [finding.text for finding in findings(splits)]


def spans(sample):
    return [(sample.words[e.start : e.end], e.type) for e in sample.entities]


ANNA_AND_ROME = [(("Anna",), "PER"), (("Rome",), "LOC")]


@pytest.mark.parametrize(
    "ends",
    ["\n", "\r\n", "\r", "\n\r", "\r\r\n", "\r\r\r\n"],
    ids=["LF", "CRLF", "CR", "LFCR", "CRCRLF", "CRCRCRLF"],
)
def test_line_ends(tmp_path, ends):
    text = ROWS + "\n" + OTHER + "\n\n" + ROWS
    splits = read(tmp_path, text.replace("\n", ends))
    assert [len(sample.words) for sample in splits["train"]] == [3, 2, 3]
    assert spans(splits["train"][0]) == spans(splits["train"][2]) == ANNA_AND_ROME
    assert texts(splits) == []


@pytest.mark.parametrize("ends", [("\r\r\n", "\r\n", "\r\r\n"), ("\r\n", "\n", "\r"), ("\n",) * 3])
def test_mixed_line_ends(tmp_path, ends):
    text = "".join(row + end for row, end in zip(ROWS.splitlines(), ends, strict=True))
    (sample,) = read(tmp_path, text)["train"]
    assert spans(sample) == ANNA_AND_ROME


@pytest.mark.parametrize(
    "rows",
    [
        "Anna\tB-PER\t\nsaw\tO\t\nRome\tB-LOC\t\n",
        "Anna\tB-PER\nsaw\tO\t\t\nRome\tB-LOC\t \n",
        "Anna B-PER \nsaw O  \nRome B-LOC\n",
        "Anna\tNNP\tB-PER\t\nsaw\tVBD\tO\nRome\tNNP\tB-LOC\t\n",
        "1\tAnna\tB-PER\t\n2\tsaw\tO\t\n3\tRome\tB-LOC\t\n",
    ],
)
def test_what_is_empty_behind_the_tag_is_no_column(tmp_path, rows):
    (sample,) = read(tmp_path, rows)["train"]
    assert sample.words == ("Anna", "saw", "Rome")
    assert spans(sample) == ANNA_AND_ROME


@pytest.mark.parametrize("dirt", ["\r", "\u00a0", "\u200b", "\u2060", "\ufeff", "\t"])
def test_types_have_no_invisible_ends(tmp_path, dirt):
    splits = read(tmp_path, ROWS.replace("PER", f"PER{dirt}").replace("\tO", f"\tO{dirt}"))
    assert {e.type for e in splits["train"][0].entities} == {"PER", "LOC"}
    (tmp_path / "json").mkdir()
    entity = {"start": 0, "end": 1, "type": f"PER{dirt}"}
    for split in ("train", "dev", "test"):
        line = json.dumps({"words": ["Anna"], "entities": [entity]})
        (tmp_path / "json" / f"{split}.jsonl").write_text(line)
    splits = Jsonl(tmp_path, path="json").read()
    assert splits["train"][0].entities == (Entity(0, 1, "PER"),)
    assert texts(splits)[0] == (
        f"train: 1 tag or type is read without its invisible characters: `PER{shown(dirt)}`"
    )


@pytest.mark.parametrize("char", ["\u200b", "\u2060", "\ufeff", "\u00ad", "\u200e"])
def test_types_that_look_alike_are_one(tmp_path, char):
    splits = read(tmp_path, ROWS + f"Ida\tB-{char}P{char}ER\n")
    assert {e.type for e in splits["train"][0].entities} == {"PER", "LOC"}
    splits = read(tmp_path, "Anna\tB-\u0645\u200c\u0646\nsaw\tO\n")
    assert splits["train"][0].entities[0].type == "\u0645\u200c\u0646", "what joins letters stays"


@pytest.mark.parametrize("dirt", ["\u200b", "\u00a0", "\u2060"])
def test_ids_have_no_invisible_ends(tmp_path, dirt):
    (tmp_path / "captions.txt").write_text(f"{dirt}1.jpg{dirt} :a cat\n{dirt}\n")
    splits = read(tmp_path, f"IMGID:{dirt}1{dirt}\n{ROWS}", captions="captions.txt")
    assert (splits["train"][0].id, splits["train"][0].caption) == ("1", "a cat")


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1e", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("gap", ["\t", " "])
def test_rows_that_other_line_ends_join_are_refused(tmp_path, end, gap):
    rows = f"Anna{gap}B-PER{end}saw{gap}O{end}Rome{gap}B-LOC\n"
    with pytest.raises(DataError, match=r"train\.txt:1: the column .* line in some programs"):
        read(tmp_path, rows)
    (sample,) = read(tmp_path, f"An{end}na\tB-PER\n")["train"]
    assert sample.words == (f"An{end}na",), "inside of a word it is a character like others"


@pytest.mark.parametrize("word", ["", " ", "\ufeff"])
def test_an_empty_word_keeps_its_place(tmp_path, word):
    splits = read(tmp_path, f"Anna\tB-PER\n{word}\tO\nRome\tB-LOC\n")
    (sample,) = splits["train"]
    assert sample.words == ("Anna", "\u00a0", "Rome")
    assert spans(sample) == ANNA_AND_ROME
    assert "train: 1 empty word is read as a no-break space: train.txt:2" in texts(splits)


def test_byte_order_marks_where_files_were_joined(tmp_path):
    splits = read(tmp_path, "IMGID:1\nAnna\tB-PER\n\n\ufeffIMGID:2\n\ufeffRome\tB-LOC\n")
    assert [(s.id, s.words) for s in splits["train"]] == [("1", ("Anna",)), ("2", ("Rome",))]


def test_byte_order_marks_inside_words(tmp_path):
    splits = read(tmp_path, "Anna\tB-PER\nsaw\tO\n\n\ufeffPa\ufeffris\ufeff\tB-LOC\nnow\tO\n")
    assert splits["train"][1].words == ("Paris", "now")
    assert texts(splits) == [
        "train: 1 U+FEFF is removed from inside the text: train.txt:4",
    ]


def test_byte_order_marks_in_json(tmp_path):
    entity = {"start": 1, "end": 6, "type": "LOC"}
    lines = [
        json.dumps({"words": ["\ufeffPa\ufeffris", "\ufeff"], "entities": []}),
        "\ufeff" + json.dumps({"text": "\ufeffParis now", "entities": [entity]}),
        json.dumps({"text": "\ufeffParis now", "entities": [{**entity, "start": 0}]}),
    ]
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines))
    samples = Jsonl(tmp_path, path=".").read()["train"]
    assert [sample.words for sample in samples] == [
        ("Paris", "\u00a0"),
        ("Paris", "now"),
        ("Paris", "now"),
    ]
    assert samples[1].entities == samples[2].entities == (Entity(0, 1, "LOC"),)


@pytest.mark.parametrize(
    "line", ["\u200b", " \u200b\u200d", "\u00a0", "\t\u2060\t", "\u3000", "\x0c"]
)
def test_lines_that_look_blank_end_a_sentence(tmp_path, line):
    splits = read(tmp_path, f"{ROWS}{line}\n{OTHER}")
    assert [len(sample.words) for sample in splits["train"]] == [3, 2]
    (finding,) = texts(splits)
    assert finding.startswith("train: 1 line that looks blank holds invisible characters")


@pytest.mark.parametrize(
    "mark",
    [
        "IMGID:101\tO",
        "IMGID:101 O",
        "IMGID:101\tB-PER",
        "IMGID:101\t_\tO",
        "IMGID:\t101\tO",
        "IMGID:101 ",
        "IMGID: 101",
        "IMGID:\t101",
        " IMGID:101",
        "\u200bIMGID:101",
        "imgid:101\tO",
        "ImgID : 101",
        "IMGID：101",
        "IMGID:101\r",
    ],
)
def test_id_lines(tmp_path, mark):
    text = f"{mark}\nAnna\tB-PER\n\n{mark.replace('101', '102')}\nRome\tB-LOC\n"
    splits = read(tmp_path, text)
    assert [(s.id, s.words) for s in splits["train"]] == [("101", ("Anna",)), ("102", ("Rome",))]
    told = [text for text in texts(splits) if "columns behind the id" in text]
    assert len(told) == (mark.split()[-1] in ("O", "B-PER"))


@pytest.mark.parametrize("id", ["101", "101.jpg", "101.JPEG", "101.png"])
@pytest.mark.parametrize("key", ["101", "101.jpg", "101.webp"])
@pytest.mark.parametrize("file", ["101.jpg", "101.PNG", "101.webp"])
def test_suffixes_need_not_agree(tmp_path, id, key, file):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / file).write_bytes(b"")
    (tmp_path / "captions.txt").write_text(f"{key} :a woman\n")
    text = f"IMGID:{id}\n{ROWS}"
    (sample,) = read(tmp_path, text, images="images", captions="captions.txt")["train"]
    assert sample.picture is not None
    assert (sample.id, sample.picture.name, sample.caption) == (id, file, "a woman")


def test_an_id_that_repeats_keeps_its_picture(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "9.jpg").write_bytes(b"")
    (tmp_path / "captions.txt").write_text("9.jpg :a street\n")
    text = "IMGID:9\nAnna\tB-PER\n\nIMGID:9\nRome\tB-LOC\n\nIMGID:9-2\nhm\tO\n\nIMGID:9\nho\tO\n"
    splits = read(tmp_path, text, images="images", captions="captions.txt")
    assert [sample.id for sample in splits["train"]] == ["9", "9-2", "9-2-2", "9-3"]
    pictures = [sample.picture and sample.picture.name for sample in splits["train"]]
    assert pictures == ["9.jpg", "9.jpg", None, "9.jpg"]
    assert [s.caption for s in splits["train"]] == ["a street", "a street", None, "a street"]
    assert "train: 3 ids occurred before and were given a number: 9, 9-2, 9" in texts(splits)
    assert notes(splits) == [
        "train: 1 picture is named and absent: 9-2-2",
        "train: 1 sentence is not in the captions file: 9-2-2",
        "dev: 1 sentence is not in the captions file: dev-1",
        "test: 1 sentence is not in the captions file: test-1",
    ]


def test_a_post_in_two_splits_is_noted(tmp_path):
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.txt").write_text(f"IMGID:9\n{OTHER}")
        line = json.dumps({"id": 9, "words": ["Lee"], "entities": []})
        (tmp_path / f"{split}.jsonl").write_text(f"{line}\n{line}\n")
    splits = Bio(tmp_path, path=".").read()
    assert [splits[split][0].id for split in splits] == ["9", "9-2", "9-3"]
    assert notes(splits) == [
        "dev: 1 id occurs in an earlier split too: 9",
        "test: 1 id occurs in an earlier split too: 9",
    ]
    splits = Jsonl(tmp_path, path=".").read()
    assert [s.id for each in splits.values() for s in each] == [
        "9",
        *(f"9-{n}" for n in range(2, 7)),
    ]
    assert notes(splits)[0] == "dev: 2 ids occur in an earlier split too: 9, 9"


def test_several_pictures_of_a_sentence_are_said(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("1.png", "1.jpg", "b.jpg", "c.jpg"):
        (tmp_path / "images" / name).write_bytes(b"")
    splits = read(tmp_path, f"IMGID:1\n{ROWS}", images="images")
    assert splits["train"][0].picture.name == "1.jpg"
    assert [each.name for each in splits["train"][0].more_pictures] == ["1.png"]
    said = "train: 1 sentence has several pictures, of which the first is used (encoder "
    assert notes(splits) == [said + "`album` reads all): 1"]
    for split in ("train", "dev", "test"):
        record = {"words": ["Lee"], "entities": [], "image": ["a.jpg", "b.jpg", "c.jpg"]}
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(record))
    splits = Jsonl(tmp_path, path=".").read()
    assert splits["train"][0].picture.name == "b.jpg"
    assert [each.name for each in splits["train"][0].more_pictures] == ["c.jpg"]
    assert notes(splits)[0] == said + "`album` reads all): train-1"


def test_captions_by_whole_numbers_and_as_an_array(tmp_path):
    for text in ('{"id": 1, "caption": "a woman"}', '[{"image_id": "1", "caption": "a woman"}]'):
        (tmp_path / "captions.json").write_text(text)
        splits = read(tmp_path, f"IMGID:1\n{ROWS}", captions="captions.json")
        assert splits["train"][0].caption == "a woman"


def test_train_without_entities_can_not_be_learnt_from(tmp_path):
    splits = read(tmp_path, "all\tO\nquiet\tO\n\nnothing\tO\n")
    (problem,) = untrainable(splits)
    assert problem.startswith("train: no sentence has an entity")
    assert problem in check(splits)
    assert untrainable(read(tmp_path, ROWS)) == []


def test_a_split_without_entities_is_a_note(tmp_path):
    """Its F1 is 0 whatever is predicted: the choice of an epoch by it means nothing."""
    read(tmp_path, ROWS)
    (tmp_path / "dev.txt").write_text("all\tO\nquiet\tO\n\n")
    assert notes(Bio(tmp_path, path=".").read()) == [
        "dev: no sentence has an entity, so every epoch scores 0 on it, and the weights of the "
        "first are kept"
    ]
    (tmp_path / "dev.txt").write_text(ROWS)
    (tmp_path / "test.txt").write_text("all\tO\nquiet\tO\n\n")
    assert notes(Bio(tmp_path, path=".").read()) == [
        "test: no sentence has an entity, so every system scores 0 on it"
    ]


def test_a_caption_of_many_pictures_is_a_note(tmp_path):
    """It says what no picture shows: the captioner's answer to pictures that could not be read."""
    posts = "".join(f"IMGID:{i}\n{ROWS}\n" for i in range(40))
    captions = [f"{i}.jpg :{'the sky' if i < 10 else f'a house, {i}'}" for i in range(40)]
    (tmp_path / "captions.txt").write_text("\n".join(captions))
    splits = read(tmp_path, posts, captions="captions.txt")
    train = len(splits["train"])
    own = sum(sample.caption == "the sky" for sample in splits["train"])
    (note,) = [each for each in notes(splits) if "is the caption of" in each]
    assert note.startswith(f"`the sky` is the caption of {own} of {train} pictures of train")
    assert note in check(splits)
    captions[0] = "0.jpg :a tree"
    (tmp_path / "captions.txt").write_text("\n".join(captions))
    splits = read(tmp_path, posts, captions="captions.txt")
    assert not [each for each in notes(splits) if "is the caption of" in each], "nine are few"


def test_a_type_only_in_test_is_a_note(tmp_path):
    splits = read(tmp_path, OTHER)
    (tmp_path / "test.txt").write_text(ROWS)
    splits = Bio(tmp_path, path=".").read()
    assert notes(splits) == ["test: types that train has no entity of: LOC"]
    assert pickle.loads(pickle.dumps(splits)).findings == splits.findings


@pytest.mark.parametrize(
    "sep", ["\t", " ", "\t_\t", "\tX\tY\t"], ids=["tab", "space", "three", "four"]
)
def test_tags_without_prefixes(tmp_path, sep):
    rows = [("Anna", "PERSON"), ("saw", "O"), ("New", "creative-work"), ("York", "creative-work")]
    rows += [("Ada", "PERSON")]
    splits = read(tmp_path, "\n".join(f"{word}{sep}{tag}" for word, tag in rows))
    entities = (Entity(0, 1, "PERSON"), Entity(2, 4, "creative-work"), Entity(4, 5, "PERSON"))
    assert splits["train"][0].entities == entities
    assert splits["dev"][0].entities == (Entity(0, 1, "PER"),)
    assert notes(splits)[0].startswith("train: 1 file has tags without prefixes")
    again = Bio(tmp_path, path=".", tags="strict").read()
    assert again["train"][0].entities == entities


def test_the_tag_column_of_counted_rows(tmp_path):
    text = "# sent_id = x-1\n# text = Anna saw Rome.\n" + "".join(
        f"{n}\t{word}\t{tag}\t-\tann1\n"
        for n, (word, tag) in enumerate(
            [("Anna", "B-PER"), ("saw", "O"), ("Rome", "B-LOC"), (".", "O")], 1
        )
    )
    (sample,) = read(tmp_path, text)["train"]
    assert sample.words == ("Anna", "saw", "Rome", ".")
    assert spans(sample) == ANNA_AND_ROME


def test_bmes_tags(tmp_path):
    tags = ["B-GPE", "E-GPE", "B-ORG", "M-ORG", "E-ORG", "S-LOC", "W-LOC", "O"]
    entities = (Entity(0, 2, "GPE"), Entity(2, 5, "ORG"), Entity(5, 6, "LOC"), Entity(6, 7, "LOC"))
    for reading in ("lenient", "strict"):
        splits = read(tmp_path, "\n".join(f"w {tag}" for tag in tags), tags=reading)
        assert splits["train"][0].entities == entities


@pytest.mark.parametrize(("start", "end"), [(0, 5), (0, 4), (-0, 5)])
def test_white_space_at_the_ends_of_a_span(tmp_path, start, end):
    record = {"text": "Anna saw Rome ", "entities": [{"start": start, "end": end, "type": "PER"}]}
    record["entities"].append({"start": 8, "end": 14, "type": "LOC"})
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(record))
    splits = Jsonl(tmp_path, path=".").read()
    assert splits["train"][0].entities == (Entity(0, 1, "PER"), Entity(2, 3, "LOC"))
    assert f"{1 + (end == 5)} entit" in texts(splits)[0]


def test_control_characters_inside_words_are_found(tmp_path):
    for split in ("train", "dev", "test"):
        record = {"words": ["An\rna"], "entities": [{"start": 0, "end": 1, "type": "PER"}]}
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(record))
    found = check(Jsonl(tmp_path, path=".").read())
    assert "train: 1 sentence has control characters inside a word: train-1" in found


def test_errors_show_what_can_not_be_seen():
    error = DataError("a\u200bb\u00a0c\rd\ne\u202ef\ufe0fg\ud800h \U0001f600é", "two")
    assert error.problems[0] == r"a\u200bb\xa0c\rd\ne\u202ef\ufe0fg\ud800h 😀é"
    again = pickle.loads(pickle.dumps(error))
    assert (again.problems, str(again)) == (error.problems, str(error))
    assert shown(shown("\r")) == "\\r"
    assert invisible("\u200b \u3164\ufe0f")
    assert not invisible("\u200b.")


def test_a_file_called_as_a_split_that_is_not_read(tmp_path):
    read(tmp_path, ROWS)
    (tmp_path / "test.txt").rename(tmp_path / "test.json")
    with pytest.raises(DataError, match=r"test.json: is called as the test split, and files that"):
        Bio(tmp_path, path=".").read()
