"""Reader ``bio``: every format to the same samples."""

from __future__ import annotations

import pytest

from zoo.data.bio import Bio
from zoo.errors import DataError
from zoo.types import Entity

SENTENCES = [
    (["Ada", "Lovelace", "saw", "London"], ["B-PER", "I-PER", "O", "B-LOC"]),
    (["1", "#ok", "2017"], ["O", "O", "O"]),
]
ENTITIES = [(Entity(0, 2, "PER"), Entity(3, 4, "LOC")), ()]


def imgid(sep):
    blocks = (
        f"IMGID:{i}\n" + "\n".join(f"{w}{sep}{t}" for w, t in zip(words, tags, strict=True))
        for i, (words, tags) in enumerate(SENTENCES)
    )
    return "\n\n".join(blocks) + "\n\n"


def columns(sep, middle=(), counted=None, head=""):
    blocks = []
    for words, tags in SENTENCES:
        rows = []
        for i, (word, tag) in enumerate(zip(words, tags, strict=True)):
            count = [] if counted is None else [str(counted + i)]
            rows.append(sep.join([*count, word, *middle, tag]))
        blocks.append("\n".join(rows))
    return head + "\n\n".join(blocks) + "\n\n"


FORMATS = {
    "imgid": imgid("\t"),
    "imgid, spaces": imgid(" "),
    "two columns": columns("\t"),
    "two columns, spaces": columns(" "),
    "runs of spaces": columns("   "),
    "three columns": columns(" ", ["NNP"]),
    "four columns": columns(" ", ["NNP", "I-NP"], head="-DOCSTART- -X- O O\n\n"),
    "docstart without blank line": columns("\t", head="-DOCSTART-\tO\n"),
    "multiconer": columns(" ", ["_", "_"], head="# id 3e8c domain=en\n"),
    "counted from 0": columns("\t", counted=0),
    "counted from 1": columns(" ", counted=1, head="# text = Ada\n"),
    "words of several tokens": columns("\t", counted=1).replace("1\tAda", "1-2\tAL\t_\n1\tAda"),
}


def write(folder, text, names=("train", "dev", "test"), suffix=".txt", encoding="utf-8"):
    """The three splits with the same text; IMGIDs are made to differ."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        own = text.replace("IMGID:", f"IMGID:{name}")
        (folder / (name + suffix)).write_bytes(own.encode(encoding))


def read(tmp_path, text, **options):
    write(tmp_path / "set", text)
    return Bio(tmp_path, path="set", **options).read()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.rstrip("\n"),
        lambda text: text.rstrip("\n") + "\n",
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
        lambda text: "\n\n" + text.replace("\n\n", "\n \n\t\n"),
    ],
    ids=["plain", "no end", "one newline", "BOM and CRLF", "more blank lines"],
)
def test_formats_read_to_the_same_sentences(tmp_path, name, change):
    splits = read(tmp_path, change(FORMATS[name]))
    assert list(splits) == ["train", "dev", "test"]
    for split, samples in splits.items():
        assert [list(sample.words) for sample in samples] == [words for words, _ in SENTENCES]
        assert [sample.entities for sample in samples] == ENTITIES
        ids = ["0", "1"] if name.startswith("imgid") else ["-1", "-2"]
        assert [sample.id for sample in samples] == [split + id for id in ids]


@pytest.mark.parametrize("odd", ["\u00a0", "\ufe0f", "\u200b", "a\u2028b", "a\u0085b", "New York"])
def test_odd_words_stay_whole(tmp_path, odd):
    samples = read(tmp_path, f"IMGID:\n{odd}\tO\nx\tB-PER\n".replace("IMGID:", "IMGID:a"))["dev"]
    assert samples[0].words == (odd, "x")
    assert samples[0].entities == (Entity(1, 2, "PER"),)


def test_no_break_space_between_spaces(tmp_path):
    assert read(tmp_path, "\u00a0 O\nx O\n")["test"][0].words == ("\u00a0", "x")


def test_a_word_may_look_like_a_mark_or_a_comment(tmp_path):
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.txt").write_text("#\tO\nIMGID:\tO\n# id\tB-PER\n")
    (sample,) = Bio(tmp_path, path=".").read()["train"]
    assert sample.words == ("#", "IMGID:", "# id")


def test_mark_begins_a_sentence_without_a_blank_line(tmp_path):
    samples = read(tmp_path, "IMGID:1\na\tO\nIMGID:2\nb\tO")["train"]
    assert [(s.id, s.words) for s in samples] == [("train1", ("a",)), ("train2", ("b",))]


@pytest.mark.parametrize(
    "tags",
    [
        ["B-PER", "I-PER", "B-PER", "O", "B-LOC"],
        ["I-PER", "I-PER", "B-PER", "O", "I-LOC"],
        ["B-PER", "E-PER", "S-PER", "O", "S-LOC"],
        ["B-PER", "L-PER", "U-PER", "O", "U-LOC"],
    ],
    ids=["BIO", "IOB1", "BIOES", "BILOU"],
)
def test_schemes_read_to_the_same_spans(tmp_path, tags):
    sample = read(tmp_path, "\n".join(f"w\t{tag}" for tag in tags))["test"][0]
    assert sample.entities == (Entity(0, 2, "PER"), Entity(2, 3, "PER"), Entity(4, 5, "LOC"))


def test_strict_reading_follows_the_scheme_of_the_file(tmp_path):
    text = "a\tB-PER\nb\tI-PER\n\nc\tI-PER\n"
    assert [len(s.entities) for s in read(tmp_path, text)["test"]] == [1, 1]
    assert [len(s.entities) for s in read(tmp_path, text, tags="strict")["test"]] == [1, 0]
    closed = text + "\nd\tS-LOC\n"
    samples = read(tmp_path, closed, tags="strict")["test"]
    assert [len(s.entities) for s in samples] == [0, 0, 1]


def test_labels_rename_types(tmp_path):
    text = "a\tB-OTHER\nb\tB-MISC\n"
    types = [e.type for e in read(tmp_path, text, labels={"OTHER": "MISC"})["dev"][0].entities]
    assert types == ["MISC", "MISC"]


@pytest.mark.parametrize(
    ("dev", "suffix"),
    [("dev", ".txt"), ("valid", ".conllu"), ("val", ".conll"), ("validation", ".bio")],
)
def test_names_of_the_split_files(tmp_path, dev, suffix):
    write(tmp_path, "a O\n", ("train", dev, "test"), suffix)
    assert len(Bio(tmp_path, path=".").read()["dev"]) == 1


def test_splits_name_files(tmp_path):
    write(tmp_path, "a O\n", ("train", "valid", "test"))
    (tmp_path / "validation.txt").write_text("b O\n\nc O\n")
    with pytest.raises(DataError, match=r"valid\.txt and validation\.txt may both be dev"):
        Bio(tmp_path, path=".").read()
    splits = Bio(tmp_path, path=".", splits={"dev": "validation.txt"}).read()
    assert [sample.words for sample in splits["dev"]] == [("b",), ("c",)]


def test_one_folder_a_language(tmp_path):
    write(tmp_path / "set/en", "IMGID:7\na O\n")
    write(tmp_path / "set/de", "IMGID:7\nb O\n")
    (tmp_path / "set/captions.txt").write_text("train7.jpg :a cat\n")
    (tmp_path / "set/de/captions.txt").write_text("train7.jpg :eine Katze\n")
    reader = Bio(tmp_path, path="set", languages=["en", "de"], captions="captions.txt")
    assert [(s.id, s.language, s.words, s.caption) for s in reader.read()["train"]] == [
        ("en/train7", "en", ("a",), "a cat"),
        ("de/train7", "de", ("b",), "eine Katze"),
    ]


def test_captions_and_pictures_go_by_id(tmp_path):
    write(tmp_path / "set", "IMGID:-1\na O\n\nIMGID:-2\nb O\n\nIMGID:-3\nc O\n")
    (tmp_path / "set/images").mkdir()
    (tmp_path / "set/images/train-1.jpg").write_bytes(b"one")
    (tmp_path / "set/captions.txt").write_text("train-1.jpg :\ntrain-3.jpg :a cat\n")
    reader = Bio(tmp_path, path="set", captions="captions.txt", images="images")
    first, second, third = reader.read()["train"]
    assert first.picture is not None
    assert (first.picture.name, first.picture.read()) == ("train-1.jpg", b"one")
    assert (second.picture, third.picture) == (None, None)
    assert (first.caption, second.caption, third.caption) == (None, None, "a cat")


def test_a_set_whose_pictures_were_not_fetched(tmp_path):
    samples = read(tmp_path, "IMGID:1\na O\n", images="images")["train"]
    assert samples[0].picture is None


def test_columns_and_ids_may_be_named(tmp_path):
    rows = "# id a1\tdomain=en\nNN Ada x B-PER y\nVB writes x O y\n\n"
    rows += "# id b2\tdomain=en\nNN Rome x B-LOC y\n"
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.txt").write_text(rows)
    named = {"columns": {"word": 1, "tag": -2}, "id": "# id {}", "language": "en"}
    first, second = Bio(tmp_path, path=".", **named).read()["train"]
    assert (first.id, first.words, first.entities) == (
        "a1",
        ("Ada", "writes"),
        (Entity(0, 1, "PER"),),
    )
    assert (second.id, second.language) == ("b2", "en")
    with pytest.raises(DataError, match="does not fit 5 columns"):
        Bio(tmp_path, path=".", **{**named, "columns": {"word": 5, "tag": -2}}).read()
    with pytest.raises(DataError, match="no line is as `id: WID` says"):
        Bio(tmp_path, path=".", **{**named, "id": "WID"}).read()


@pytest.mark.parametrize(
    "tags",
    [
        "PER_B PER_I",
        "b_per i_per",
        "B/PER I/PER",
        "BPER IPER",
        "PER/B PER/E",
        "B-PER|B-X O",
        "B-A,I-A O",
    ],
)
def test_tags_of_other_notations_are_no_types(tmp_path, tags):
    rows = "".join(
        f"{word}\t{tag}\n" for word, tag in zip("abc", f"{tags} O".split(), strict=False)
    )
    with pytest.raises(DataError, match=r"train.txt:[12]: .*(unknown tag|several tags in one)"):
        read(tmp_path, rows)


@pytest.mark.parametrize("types", ["LOC ITEM", "BAND ITEM", "BLOC BAND", "type_A type_F"])
def test_types_without_prefixes_stay(tmp_path, types):
    rows = "".join(f"w\t{tag}\n" for tag in f"{types} O".split())
    (sample,) = read(tmp_path, rows)["train"]
    assert [entity.type for entity in sample.entities] == types.split()


def test_columns_that_are_named_keep_the_rules_of_conllu(tmp_path):
    rows = "# sent_id = 1\n1\tdo\tx\tO\n2-3\tdel\tx\tO\n2\tde\tx\tO\n3\tel\tx\tB-A\n"
    (sample,) = read(tmp_path, rows, columns={"word": 1, "tag": 3})["train"]
    assert sample.words == ("do", "de", "el")
    ids = "7\ta\tO\n7\tb\tO\n8\tc\tO\n"
    (sample,) = read(tmp_path, ids, columns={"word": 1, "tag": 2})["train"]
    assert sample.words == ("a", "b", "c")


@pytest.mark.parametrize("new", ["", "O", " PER", "\u200b"])
def test_labels_map_to_types(tmp_path, new):
    with pytest.raises(DataError, match=r"`labels` maps `PER` to `.*`, which is no type"):
        read(tmp_path, "a\tB-PER\n", labels={"PER": new})
