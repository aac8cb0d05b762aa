"""``zoo predict`` and ``zoo runs export``: every format, and one line for each mistake."""

from __future__ import annotations

import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from zoo import cli
from zoo.data.blocks import read_blocks
from zoo.errors import DataError
from zoo.evaluation.pairing import read_entities
from zoo.model.inputs import Post, of_text
from zoo.model.outputs import as_conll, as_json, as_text
from zoo.model.predictor import Predictor
from zoo.model.results import Prediction, predicted
from zoo.types import Sample, ScoredEntity

Use = Callable[..., tuple[int, str, str]]
TEXT = "Anna Weber flew to Paris.\n\nDon't go to Washington's 東京 <b>&\n"


@pytest.fixture
def use(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Use:
    """``zoo predict`` in this process: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))

    def use(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["zoo", *args, "--results", str(results)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return stop.value.code, out, err

    return use


def predict(use: Use, *args: str, run: str = "lstm@mini") -> str:
    code, out, err = use("predict", run, *args)
    assert code == 0, err
    return out


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_text(use: Use, tmp_path: Path) -> None:
    (tmp_path / "posts.txt").write_text(TEXT)
    found = lines(predict(use, "posts.txt", "--json"))
    assert [each["id"] for each in found] == ["1", "2", "3"]
    assert [each["text"] for each in found] == TEXT.splitlines()
    assert found[0]["words"] == ["Anna", "Weber", "flew", "to", "Paris", "."]
    assert found[1]["entities"] == []
    entities = [(each["text"], entity) for each in found for entity in each["entities"]]
    assert entities
    for text, entity in entities:
        start, end = entity["characters"]
        assert text[start:end] == entity["text"]
        assert 0 < entity["score"] <= 1
    rows = [line.split("\t") for line in predict(use, "posts.txt").splitlines()]
    assert [row[2] for row in rows] == [entity["text"] for _, entity in entities]


def test_the_same_in_every_format(use: Use, tmp_path: Path) -> None:
    (tmp_path / "posts.txt").write_text(TEXT)
    found = lines(predict(use, "posts.txt", "--json"))
    full = [each for each in found if each["words"]]
    predict(use, "posts.txt", "--conll", "--out", "found.conll")
    blocks = read_blocks(tmp_path / "found.conll")
    assert [block.words for block in blocks] == [each["words"] for each in full]
    read = read_entities(tmp_path / "found.conll", "predicted")
    spans = [[(e["start"], e["end"], e["type"]) for e in each["entities"]] for each in full]
    assert [list(each.entities) for each in read] == spans

    again = lines(predict(use, "found.conll", "--json"))
    assert [each["words"] for each in again] == [each["words"] for each in full]
    for one, two in zip(again, full, strict=True):
        for a, b in zip(one["entities"], two["entities"], strict=True):
            assert {**a, "text": b["text"], "characters": b["characters"]} == b
    objects = [{"words": each["words"], "id": each["id"]} for each in full]
    (tmp_path / "posts.jsonl").write_text("\n".join(map(json.dumps, objects)))
    assert predict(use, "posts.jsonl", "--json") == predict(use, "found.conll", "--json")
    (tmp_path / "again.jsonl").write_text("".join(json.dumps(each) + "\n" for each in found))
    assert lines(predict(use, "again.jsonl", "--json")) == found


def test_a_page(use: Use, tmp_path: Path) -> None:
    (tmp_path / "posts.txt").write_text(TEXT)
    page = predict(use, "posts.txt", "--html")
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert not re.search(r"<script|src=|href=|url\(|@import", page)
    assert "<b>" not in page
    paragraphs = re.findall(r"<p [^>]*>(.*?)</p>", page)
    bare = [re.sub(r"<small>.*?</small>|</?mark[^>]*>", "", each) for each in paragraphs]
    assert [html.unescape(each) for each in bare] == TEXT.splitlines()
    assert page.count("<mark") == sum(
        len(each["entities"]) for each in lines(predict(use, "posts.txt", "--json"))
    )


def test_pictures(use: Use, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "photos").mkdir()
    Image.new("RGB", (40, 40), "red").save(tmp_path / "photos" / "1.png")
    posts = [
        {"text": "Washington and Amazon won in Paris .", "image": "1.png"},
        {"text": "Washington and Amazon won in Paris .", "image": "2"},
    ]
    (tmp_path / "posts.jsonl").write_text("\n".join(map(json.dumps, posts)))
    code, out, err = use("predict", "seeing@mini", "posts.jsonl", "--images", "photos", "--json")
    assert code == 0
    seen, blind = lines(out)
    assert [e["score"] for e in seen["entities"]] != [e["score"] for e in blind["entities"]]
    assert "1 of 2 posts name a picture that is not there (the first: 2)" in err
    one = predict(
        use,
        "--text",
        "Washington and Amazon won in Paris .",
        "--image",
        "photos/1.png",
        "--json",
        run="seeing@mini",
    )
    assert lines(one)[0]["entities"] == seen["entities"]
    (tmp_path / "posts.txt").write_text(2 * "Washington and Amazon won in Paris .\n")
    out = predict(use, "posts.txt", "--images", "photos", "--json", run="seeing@mini")
    assert [each["entities"] for each in lines(out)] == [seen["entities"], blind["entities"]]
    code, out, err = use("predict", "seeing@mini", "posts.txt", "--json")
    assert "none of the 2 posts has one; give --images DIR" in err


WORDS = "Anna\tB-PER\nin\tO\nRome\tB-LOC\n"
BLOCKS = f"IMGID:1\n{WORDS}\nIMGID:2\n{WORDS}"
COLUMNS = {
    **{f"ends in {end!r}": BLOCKS.replace("\n", end) for end in ("\r\n", "\r", "\r\r\n", "\n\r")},
    **{
        f"begins with {mark!r}": BLOCKS.replace("IMGID:", mark)
        for mark in ("IMGID: ", "imgid:", " IMGID:", "\ufeffIMGID:")
    },
    "tags behind ids": BLOCKS.replace(":1", ":1\tO").replace(":2", ":2 O"),
    "U+FEFF inside": BLOCKS.replace("nn", "n\ufeffn"),
    "counts": "".join(
        f"# sent_id = {id}\n1-2\tx\t_\n1\tAnna\t_\n2\tin\t_\n3\tRome\t_\n3.1\tx\t_\n\n"
        for id in "12"
    ),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_as_they_come(tmp_path: Path, name: str) -> None:
    from zoo.model.inputs import Source

    (tmp_path / "x.conll").write_bytes(COLUMNS[name].encode())
    read = [(post.sample.id, post.sample.words) for post in Source(str(tmp_path / "x.conll"))]
    assert read == [("1", ("Anna", "in", "Rome")), ("2", ("Anna", "in", "Rome"))]


def test_a_number_is_a_word_where_words_are_not_counted(tmp_path: Path) -> None:
    from zoo.model.inputs import Source

    file = tmp_path / "x.conll"
    file.write_text("2017 CD O\nAnna NNP B-PER\n\n1 CD O\n")
    assert [post.sample.words for post in Source(str(file))] == [("2017", "Anna"), ("1",)]
    file.write_text("1 Anna B-PER\n\n1 Rome B-LOC\n2 in O\n")
    assert [post.sample.words for post in Source(str(file))] == [("Anna",), ("Rome", "in")]


def read(file: Path, text: str, **settings: object) -> list[tuple[str, tuple[str, ...]]]:
    from zoo.model.inputs import Source

    file.write_text(text, encoding="utf-8")
    posts = Source(str(file), **settings)  # type: ignore[arg-type]
    return [(post.sample.id, post.sample.words) for post in posts]


ARRAY = json.dumps([{"id": "a", "text": "Anna"}], indent=1)
RUNS_ON = "1 Anna O\n2 saw O\n\n3 Rome O\n4 is O\n"
MARKED = "WID:7\nAnna\tO\nsaw\tO\n"
SWAPPED = "O Anna\nB-PER Lee\n"
UNCLEAR = {
    "an array": ("x.json", ARRAY, {}, "x.json: JSON that is no object a line; write"),
    "an array, called text": ("x.txt", ARRAY, {}, "x.txt: JSON that is no object a line"),
    "an array in one line": ("x.txt", '[ {"text": "a"}]', {}, "x.txt: JSON that is no object"),
    "a table": ("x.tsv", "nr\ttweet\n1\tAnna saw\n", {}, "x.tsv:1: it has columns, and the last"),
    "one tab": ("x.txt", "hi\tworld\nAnna saw Rome\n", {}, "x.txt:2: 3 columns, but 2 in line 1"),
    "one tab, then a sentence": ("x.txt", "hi\tall\n\nAnna saw\n", {}, "x.txt:1: it has columns"),
    "ragged": ("x.conll", "Anna O\nsaw Rome O\n", {}, "x.conll:2: 3 columns, but 2 in line 1"),
    "ids": ("x.conll", MARKED, {}, "x.conll:2: 2 columns, but 1 in line 1; give every row"),
    "other ids": ("x.conll", MARKED, {"mark": "ID"}, "x.conll:1: words before any line that is"),
    "tags first": ("x.conll", SWAPPED, {}, "x.conll:1: the first column holds tags"),
    "no such column": (
        "x.conll", SWAPPED, {"columns": {"word": "2"}}, "x.conll:1: --columns word=2 does not fit",
    ),
    "no number": ("x.conll", "a O\n", {"columns": {"word": "b"}}, "word=b: of columns give the n"),
    "a field of columns": ("x.conll", "a O\n", {"columns": {"id": "b"}}, "it names word"),
    "an id line of JSONL": ("x.csv", "text\n", {"mark": "b", "format": "csv"}, "--columns id=NAME"),
    "counts that run on": ("x.conll", RUNS_ON, {}, "x.conll:4: the word count `3` is out of order"),
    "counts later": (
        "x.conll", "a b O\n\n1 a O\n2 b O\n", {}, "x.conll:3: the first column counts the words",
    ),
    "a table without a text": ("x.csv", "id,tweet\n1,a\n", {}, "x.csv:1: columns id, tweet; say w"),
    "a cell too many": ("x.csv", "id,text\n1,a,b\n", {}, "x.csv:2: 3 cells, but 2 columns; quote"),
    "an open quote": ("x.csv", 'id,text\n1,"a\n', {}, "x.csv:2: not a table (unexpected end"),
    "two of one name": ("x.csv", "text,Text\n", {}, "x.csv:1: two columns are called `text`"),
    "no column": (
        "x.csv", "text\na\n", {"columns": {"id": "txt"}}, "no `txt`; did you mean `text`?",
    ),
    "no field": (
        "x.jsonl", '{"text": "a"}', {"columns": {"text": "b"}}, "x.jsonl:1: --columns text=b: the",
    ),
    "a field of no object": (
        "x.jsonl", '{"text": "a"}', {"columns": {"id": "b"}}, "x.jsonl: --columns id=b: there is",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_is_not_clear_is_refused(tmp_path: Path, monkeypatch, name: str) -> None:
    from zoo.errors import ZooError

    monkeypatch.chdir(tmp_path)
    file, text, settings, part = UNCLEAR[name]
    with pytest.raises(ZooError) as caught:
        read(Path(file), text, **settings)
    (line,) = caught.value.problems
    assert part in line


def test_columns_and_ids_as_they_are_told(tmp_path: Path) -> None:
    (two,) = read(tmp_path / "x.conll", SWAPPED, columns={"word": "1"})
    assert two == ("1", ("Anna", "Lee"))
    assert read(tmp_path / "x.txt", MARKED, mark="WID") == [("7", ("Anna", "saw"))]
    assert read(tmp_path / "x.conll", RUNS_ON, columns={"word": "0"})[1] == ("2", ("3", "4"))
    first = "1 CD O\n\nAnna NNP B-PER\nsaw V O\n"
    assert read(tmp_path / "x.conll", first) == [("1", ("1",)), ("2", ("Anna", "saw"))]
    assert read(tmp_path / "x.txt", "Anna\tPER\nsaw\tO\n") == [("1", ("Anna", "saw"))]
    tweets = {"columns": {"text": "tweet", "id": "nr"}}
    found = [("4", ("a", "b")), ("3", ("c",))]
    assert (
        read(tmp_path / "x.jsonl", '{"tweet": "a b", "nr": 4}\n\n{"tweet": "c"}', **tweets) == found
    )
    for file, comma in (("x.csv", ","), ("x.csv", ";"), ("x.tsv", "\t")):
        table = 'nr,tweet\n4,"a\nb"\n\n,c\n'.replace(",", comma)
        assert read(tmp_path / file, table, **tweets) == [found[0], ("5", ("c",))]
        table = table.replace("nr", "ID").replace("tweet", "Text")
        assert read(tmp_path / file, table) == [found[0], ("5", ("c",))]


def test_columns_on_the_command_line(use: Use, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("nr,tweet\n4,Anna\n")
    out = predict(use, "x.csv", "--columns", "text=tweet, id=nr", "--json")
    assert [(each["id"], each["text"]) for each in lines(out)] == [("4", "Anna")]
    for columns, part in (
        ("tweet", "--columns tweet: write KEY=NAME"),
        ("text=a,text=b", "each key once"),
        ("txt=tweet", "no such key; did you mean `text`?"),
    ):
        code, _, err = use("predict", "lstm@mini", "x.csv", "--columns", columns)
        assert (code, part in err) == (2, True)


def test_lines_of_text_end_as_in_data(tmp_path: Path) -> None:
    from zoo.model.inputs import Source

    for end in ("\n", "\r\n", "\r", "\r\r\n", "\n\r"):
        (tmp_path / "x.txt").write_bytes(end.join(("a b", "", "c")).encode())
        posts = list(Source(str(tmp_path / "x.txt")))
        assert [post.sample.words for post in posts] == [("a", "b"), (), ("c",)]


def test_pictures_by_any_name(use: Use, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "photos").mkdir()
    for name, colour in (("1.png", "red"), ("2.png", "blue")):
        Image.new("RGB", (40, 40), colour).save(tmp_path / "photos" / name)
    file = tmp_path / "photos" / "1.png"
    inside = ["1", "1.png", "photos/1.png", str(file), "https://x.org/1.png?s=1", {"path": "1.png"}]
    outside = ["photos/1.png", "./photos/../photos/1.png", str(file)]
    scores = []
    for images, named in (["--images", "photos"], inside), ([], outside):
        posts = [{"text": "Amazon won .", "image": image, "id": None} for image in [*named, None]]
        (tmp_path / "posts.jsonl").write_text("\n".join(map(json.dumps, posts)))
        found = lines(predict(use, "posts.jsonl", *images, "--json", run="seeing@mini"))
        scores += [[(e["type"], e["score"]) for e in each["entities"]] for each in found]
    *seen, blind = scores
    assert seen.pop(len(inside)) == blind
    assert all(each == seen[0] for each in seen)
    assert seen[0] != blind

    posts = [{"tokens": ["Amazon"], "image": ["1", "2"]}, {"text": "Amazon", "words": None}]
    (tmp_path / "posts.jsonl").write_text("\n".join(map(json.dumps, posts)))
    code, out, err = use("predict", "seeing@mini", "posts.jsonl", "--images", "photos", "--json")
    assert (code, [each["words"] for each in lines(out)]) == (0, [["Amazon"], ["Amazon"]])
    assert "1 of 2 posts have several pictures, of which the first is used" in err


def test_pictures_and_captions_are_counted(use: Use, tmp_path: Path) -> None:
    from PIL import Image

    from zoo.model.inputs import Source

    (tmp_path / "photos").mkdir()
    for name in ("1.jpg", "1.png", "2.png"):
        Image.new("RGB", (40, 40), "red").save(tmp_path / "photos" / name)

    def tally(name: str, text: str, **settings: object) -> tuple[list, int, int]:
        (tmp_path / name).write_text(text)
        source = Source(str(tmp_path / name), tmp_path / "photos", **settings)
        seen = [[each.name for each in post.sample.pictures] for post in source]
        return seen, source.tally.several, source.tally.absent

    two = ["1.jpg", "1.png"]
    assert tally("x.txt", "a\nb\nc\n") == ([two, ["2.png"], []], 1, 0)
    assert tally("x.conll", "IMGID:1\na O\n\nIMGID:3\na O\n") == ([two, []], 1, 1)
    posts = [
        {"image": ["gone.jpg", "2.png"]},
        {"img": "2.png"},
        {"image": 0},
        {"id": 1},
        {"id": 2, "image": "gone.jpg"},
        {"id": "../x"},
    ]
    objects = "\n".join(json.dumps({"text": "a", **each}) for each in posts)
    seen = [["2.png"], ["2.png"], [], two, [], []]
    assert tally("x.jsonl", objects) == (seen, 1, 3)

    (tmp_path / "captions.txt").write_text("2.jpg :a man\n")
    text = '{"id": "2", "text": "a"}\n{"text": "b"}\n{"id": 5, "text": "c"}\n'
    (tmp_path / "x.jsonl").write_text(text)
    source = Source(str(tmp_path / "x.jsonl"), captions=tmp_path / "captions.txt")
    assert [post.sample.caption for post in source] == ["a man", None, None]
    _, _, err = use("predict", "lstm@mini", "x.jsonl", "--captions", "captions.txt")
    assert "2 of 3 posts have no id that is in captions.txt (the first: 2)" in err


def test_what_a_model_does_not_read_is_said(use: Use, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (40, 40), "red").save(tmp_path / "a.png")
    one = "--text", "Anna", "--json"
    _, _, err = use("predict", "lstm@mini", *one, "--image", "a.png", "--caption", "a man")
    assert "the model reads words; no picture changes what it finds" in err
    assert "no caption changes what it finds" in err
    _, _, err = use("predict", "seeing@mini", *one)
    assert "the model reads a picture; give --image FILE" in err
    for more in (["--image", "a.png"], ["--quiet"]):
        _, _, err = use("predict", "seeing@mini", *one, *more)
        assert "picture" not in err
    (tmp_path / "posts.txt").write_text("Anna\n")
    code, _, err = use("predict", "lstm@mini", "posts.txt", "--out", "./posts.txt")
    assert (code, err) == (2, "zoo: --out posts.txt: is the file that is read; name another\n")


def test_cells_hold_no_tabs() -> None:
    post = of_text("New\tYork\nCity", "a\tb")
    found = predicted(post, [ScoredEntity(0, 3, "LOC", 0.5)])
    assert as_text(found) == "a\\tb\tLOC\tNew\\tYork\\nCity\t0.50\t0-13\n"


@pytest.mark.parametrize("word", ["-DOCSTART-", "IMGID:5", "imgid: 5", "# id 3"])
def test_columns_hold_no_word_that_means_something_else(word: str) -> None:
    post = Post(Sample("a", ("so", word)))
    with pytest.raises(DataError, match="post a: columns can't hold the word"):
        as_conll(predicted(post, []))
    assert as_conll(predicted(Post(Sample("a", ("IMGID:", "#3"))), [])).count("\n") == 4


SIGNALS = [
    (signal.SIGINT, 130, "zoo: interrupted; no file was left half-written\n"),
    (signal.SIGTERM, 143, "zoo: terminated; no file was left half-written\n"),
]


@pytest.mark.parametrize(("number", "code", "said"), SIGNALS)
@pytest.mark.parametrize("output", ["--json", "--conll", "--html", "--out=found"])
def test_stopped_by_a_signal(
    use: Use, tmp_path: Path, monkeypatch, output: str, number: int, code: int, said: str
) -> None:
    (tmp_path / "posts.txt").write_text(TEXT)
    (tmp_path / "found").write_text("of an earlier time\n")
    left = ".found.elsewhere-1-1-1.tmp", ".posts.txt.tmp"
    for name in left:
        (tmp_path / name).touch()
    before = {path.name: path.stat().st_size for path in tmp_path.iterdir() if path.is_file()}

    def two(self: Predictor, samples: Iterable[Sample]) -> Iterator[tuple[Sample, list]]:
        for count, sample in enumerate(samples):
            if count == 2:
                os.kill(os.getpid(), number)
            yield sample, []

    monkeypatch.setattr(Predictor, "__call__", two)
    try:
        got, out, err = use("predict", "lstm@mini", "posts.txt", output)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert (got, err.splitlines(keepends=True)[1:]) == (code, [said])
    assert (
        out
        == {
            "--json": "".join(as_json(each) for each in _nothing_in(TEXT.splitlines()[:2])),
            "--conll": "".join(as_conll(each) for each in _nothing_in(TEXT.splitlines()[:1])),
            "--html": out,
            "--out=found": "",
        }[output]
    )
    assert out.count("<p ") == (2 if output == "--html" else 0)
    now = {path.name: path.stat().st_size for path in tmp_path.iterdir() if path.is_file()}
    assert now == before, "what another machine may still write is left alone"


def _nothing_in(texts: list[str]) -> list[Prediction]:
    return [predicted(of_text(text, str(i)), []) for i, text in enumerate(texts, 1)]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "said"), SIGNALS)
def test_stopped_while_nobody_reads(
    results: Path, tmp_path: Path, number: int, code: int, said: str
) -> None:
    """The pipe is full when the signal comes; what was printed is whole lines."""
    (tmp_path / "posts.txt").write_text("Anna Weber flew to 東京 .\n" * 20_000)
    command = "predict", "lstm@mini", "posts.txt", "--json", "--results", str(results)
    process = subprocess.Popen(
        [sys.executable, "-c", "from zoo.cli import main; main()", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # what readline takes beyond the line would be missing in communicate
        cwd=tmp_path,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(1)  # for a pipe to fill up
    process.send_signal(number)
    time.sleep(0.2)
    rest, errors = process.communicate(timeout=60)
    told = errors.decode().splitlines(keepends=True)
    assert (process.returncode, told[1:]) == (code, [said])
    found = lines((first + rest).decode())
    assert [each["id"] for each in found] == [str(i) for i in range(1, len(found) + 1)]
    assert len(found) < 20_000


def test_captions_and_ids(tmp_path: Path) -> None:
    from zoo.model.inputs import Source

    (tmp_path / "captions.txt").write_text("7.jpg :a man\n8.jpg :a town\n")
    (tmp_path / "posts.conll").write_text("IMGID:7\nAnna\tB-PER\n\nIMGID:9\nBob\tO\n\tX\n")
    source = Source(str(tmp_path / "posts.conll"), captions=tmp_path / "captions.txt")
    one, two = source
    assert (one.sample.id, one.sample.words, one.sample.caption) == ("7", ("Anna",), "a man")
    assert (two.sample.id, two.sample.words, two.sample.caption) == ("9", ("Bob", "\u00a0"), None)
    assert source.tally.had == {"caption"}
    (tmp_path / "posts.jsonl").write_text(
        '{"text": "a", "id": 8}\n\n{"words": ["b"], "caption": "own", "tags": "x", "likes": 3}\n'
    )
    one, two = Source(str(tmp_path / "posts.jsonl"), captions=tmp_path / "captions.txt")
    assert (one.sample.id, one.sample.caption, one.text) == ("8", "a town", "a")
    assert (two.sample.id, two.sample.caption, two.sample.extra) == ("3", "own", {"tags": "x"})


def test_splitting_a_file_changes_no_byte(use: Use, tmp_path: Path) -> None:
    sentences = [f"Anna {'met Bob ' * (i % 5)}in Paris {i}" for i in range(40)]
    for name, part in (("all", sentences), ("one", sentences[:13]), ("two", sentences[13:])):
        objects = ({"id": f"s{each.split()[-1]}", "text": each} for each in part)
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, objects)))
    halves = predict(use, "one.jsonl", "--json") + predict(use, "two.jsonl", "--json")
    assert halves == predict(use, "all.jsonl", "--json")


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["lstm@mini"], "either INPUT or --text"),
        (["lstm@mini", "posts.txt", "--text", "x"], "either INPUT or --text"),
        (["lstm@mini", "posts.txt", "--image", "x"], "belong to --text"),
        (["lstm@mini", "none.txt"], "none.txt: no such file"),
        (["lstm@mini", "."], "not a file"),
        (["lstn@mini", "posts.txt"], "did you mean `lstm`"),
        (["nothing", "posts.txt"], "no folder, no stored run"),
        (["someone/model@main", "posts.txt"], "zoo.load('someone/model', revision='main')"),
        (["lstm@mini", "posts.txt", "--images", "none"], "none: no such folder"),
        (["lstm@mini", "--text", "x", "--image", "none.png"], "no such picture"),
        (["lstm@mini", "bad.jsonl"], "bad.jsonl:2: not JSON"),
        (["lstm@mini", "half.jsonl"], "half.jsonl:1: it holds surrogates"),
        (["lstm@mini", "both.jsonl"], "both.jsonl:1: give the sentence as either"),
        (["lstm@mini", "latin.txt"], "latin.txt:1: not UTF-8"),
        (["lstm@mini", "nul.txt"], "nul.txt:1: not text"),
        (["lstm@mini", "out.jsonl", "--images", "photos"], "outside"),
    ],
)
def test_mistakes_are_one_line(use: Use, tmp_path: Path, args: list[str], part: str) -> None:
    (tmp_path / "posts.txt").write_text(TEXT)
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"text"\n')
    (tmp_path / "half.jsonl").write_text('{"text": "\\ud800"}')
    (tmp_path / "both.jsonl").write_text('{"text": "a", "words": ["b"]}\n')
    (tmp_path / "out.jsonl").write_text('{"text": "a", "image": "../x.png"}\n')
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "x.png").symlink_to(tmp_path / "latin.txt")
    (tmp_path / "nul.txt").write_bytes(b"a\0b")
    code, _, err = use("predict", *args)
    assert code == 2
    assert part in err
    wrong = [line for line in err.splitlines() if "--help" not in line and "dev F1" not in line]
    assert len(wrong) == 1


def test_export(use: Use, tmp_path: Path) -> None:
    code, out, _ = use("runs", "export", "plain@mini", "shared", "--whole")
    assert (code, out.strip()) == (0, "shared")
    assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == [
        "README.md",
        "config.json",
        "learnt.json",
        "model.safetensors",
    ]
    text = ("--text", "Anna in Paris", "--json")
    assert predict(use, *text, run="shared") == predict(use, *text, run="plain@mini")
    assert use("runs", "export", "plain@mini", "again", "--allow-changed")[0] == 0
    code, _, err = use("runs", "export", "nothing", "out")
    assert code == 2
    assert "no stored run" in err


def test_a_short_id_and_one_sentence_for_several(use: Use, results: Path, tmp_path: Path) -> None:
    import zoo
    from zoo.errors import ConfigError

    (folder,) = results.glob("runs/lstm/mini/1-*")
    id = folder.name.removeprefix("1-")
    code, _, err = use("predict", id[:5], "--text", "Anna")
    assert (code, err) == (
        2,
        f"zoo: {id[:5]}: of a run's id give 6 characters or more, as in {id[:6]}\n",
    )
    model = zoo.load(folder)
    with pytest.raises(ConfigError, match="predict_all takes a list of sentences"):
        model.predict_all("Anna saw Rome")
    with pytest.raises(ConfigError, match="picture_folder gone: no such folder"):
        model.predict_all(["Anna"], picture_folder="gone")


def test_weights_that_are_not_kept(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))

    def zoo(*args: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["zoo", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, capsys.readouterr().err

    one = ("run", str(registry), "--system", "plain", "--jobs", "1")
    code, err = zoo(*one, "--keep-weights", "none", "--whole")
    assert code == 2
    assert "give one of them" in err
    assert zoo(*one, "--keep-weights", "none") == (0, "")
    (folder,) = tmp_path.glob("results/runs/plain/mini/1-*")
    assert not {"model.json", "model.safetensors"} & {path.name for path in folder.iterdir()}
    for name in (str(folder), "plain@mini"):
        code, err = zoo("predict", name, "--text", "Ada")
        assert code == 2
        assert "--keep-weights none" in err
    assert zoo(*one, "--rerun", "always", "--whole") == (0, "")
    assert zoo("predict", str(folder), "--text", "Ada") == (0, "")
    assert zoo("runs", "verify") == (0, "")
