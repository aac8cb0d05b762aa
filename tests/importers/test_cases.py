"""What is awkward about real files of each format: what it becomes, or what is said of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo.data.jsonl import Jsonl
from zoo.errors import DataError
from zoo.importers.convert import Imported, convert, write
from zoo.importers.documents import Conversion
from zoo.types import Sample

Take = Callable[..., Imported]


@pytest.fixture
def take(tmp_path: Path) -> Take:
    """Import files, given by name and content, the first of them by its name."""

    def run(files: dict[str, str | bytes], kind: str | None = None, **how: Any) -> Imported:
        for name, content in files.items():
            raw = content if isinstance(content, bytes) else content.encode()
            (tmp_path / name).write_bytes(raw)
        conversion = Conversion(**{k: how.pop(k) for k in ("offsets", "inside", "by") if k in how})
        return convert([tmp_path / next(iter(files))], kind, conversion, **how)

    return run


def lines(*records: Any) -> str:
    return "\n".join(json.dumps(record, ensure_ascii=False) for record in records)


def marked(sample: Sample) -> str:
    """The words with their entities in brackets: ``[PER Anna] saw [LOC New York]``."""
    words = list(sample.words)
    for entity in reversed(sample.entities):
        inner = " ".join(words[entity.start : entity.end])
        words[entity.start : entity.end] = [f"[{entity.type} {inner}]"]
    return " ".join(words)


def shown(imported: Imported) -> list[str]:
    return [marked(sample) for own in imported.splits.values() for sample in own]


# Columns -----------------------------------------------------------------------------------------

COLUMNS = {
    "BMES": ("北 B-GPE\n京 E-GPE\n新 B-ORG\n华 M-ORG\n社 E-ORG\n岛 S-LOC\n。 O\n",
             "[GPE 北 京] [ORG 新 华 社] [LOC 岛] 。"),
    "BMEW": ("a B-PER\nb M-PER\nc E-PER\nd W-LOC\n", "[PER a b c] [LOC d]"),
    "IOB1": ("a I-PER\nb I-PER\nc B-PER\nd O\n", "[PER a b] [PER c] d"),
    "BILOU": ("a B-PER\nb L-PER\nc U-PER\nd O\n", "[PER a b] [PER c] d"),
    "no prefix": ("Anna PERSON\nsaw O\nNew LOCATION\nYork LOCATION\n",
                  "[PERSON Anna] saw [LOCATION New York]"),
    "dashes in a type": ("a work-of-art\nb O\n", "[work-of-art a] b"),
    "an annotator's columns": (
        "# sent_id = x-1\n# text = Anna saw Rome.\n1\tAnna\tB-PER\t-\tann1\n2\tsaw\tO\t-\tann1\n"
        "3\tRome\tB-LOC\t-\tann1\n4\t.\tO\t-\tann1\n", "[PER Anna] saw [LOC Rome] ."),
    "an empty word": ("Anna\tB-PER\n\tO\nRome\tB-LOC\n", "[PER Anna] \u00a0 [LOC Rome]"),
    "lines of Windows": ("Anna\tB-PER\r\nsaw\tO\r\n", "[PER Anna] saw"),
}  # fmt: skip


@pytest.mark.parametrize("name", COLUMNS)
def test_columns(take: Take, name: str) -> None:
    content, right = COLUMNS[name]
    assert shown(take({"train.iob2": content})) == [right]


@pytest.mark.parametrize(
    "tags",
    ["B_PER M_PER E_PER", "S_PER O O", "b-PER i-PER o", "b-per i-per o", "PER-B PER-I O", "B I O"],
)
def test_other_ways_to_write_tags_are_named(take: Take, tags: str) -> None:
    content = "".join(f"{word} {tag}\n" for word, tag in zip("abc", tags.split(), strict=True))
    with pytest.raises(DataError) as raised:
        take({"train.conll": content})
    (problem,) = raised.value.problems
    first = next(tag for tag in tags.split() if tag != "O")
    assert f"train.conll:1: unknown tag `{first}`; a tag is O, or one of B- I-" in problem


# Running text ------------------------------------------------------------------------------------

TEXTS = [
    ("Anna saw “{Rome}”.", "Anna saw “ [X Rome] ” ."),
    ("Anna saw {“Rome”}.", "Anna saw [X “ Rome ”] ."),
    ("({Rome})", "( [X Rome] )"),
    ("#{Rome} is", "# [X Rome] is"),
    ("{#Rome} is", "[X # Rome] is"),
    ("RT @{anna}: hi", "RT @ [X anna] : hi"),
    ("{Rome}… yes", "[X Rome] … yes"),
    ("in {Rome}…", "in [X Rome] …"),
    ("{Rome}'s up", "[X Rome] 's up"),
    ("{O’Neil}’s", "[X O’Neil] ’s"),
    ("{Anna-Maria} left", "[X Anna-Maria] left"),
    ("{Müller-Straße 5}", "[X Müller-Straße 5]"),
    ("{1,000,000} people", "[X 1,000,000] people"),
    ("${1,000.50}", "$ [X 1,000.50]"),
    ("in the {U.S.}", "in the [X U.S.]"),
    ("{AT&T} up", "[X AT & T] up"),
    ("{Rome}/{Paris}", "[X Rome] / [X Paris]"),
    ("{北京}新华社", "[X 北 京] 新 华 社"),
    ("{東京}タワー", "[X 東 京] タ ワ ー"),
    ("{กรุงเทพมหานคร} เมือง", "[X กรุงเทพมหานคร] เมือง"),
    ("{القاهرة} مدينة", "[X القاهرة] مدينة"),
    ("a\t{Rome}\tb", "a [X Rome] b"),
    ("{New\nYork} up", "[X New York] up"),
    ("Anna\r\n{Rome}", "Anna [X Rome]"),
    ("{Zoe\u0308} x", "[X Zoe\u0308] x"),
    ("🇩🇪 {Berlin} 👍🏽", "🇩🇪 [X Berlin] 👍🏽"),
    ("👩‍👩‍👧 {Anna }saw", "👩‍👩‍👧 [X Anna] saw"),
    ("\u200b{Anna\u200b }Rome", "[X Anna] Rome"),
]


def located(text: str, units: bool = False) -> tuple[str, list[tuple[int, int]]]:
    """A text without its braces, and the places that were between them."""
    plain, spans = "", list[tuple[int, int]]()
    for part in text.replace("{", "\0{").replace("}", "\0").split("\0"):
        length = len(plain.encode("utf-16-le")) // 2 if units else len(plain)
        if part.startswith("{"):
            own = part[1:]
            size = len(own.encode("utf-16-le")) // 2 if units else len(own)
            spans.append((length, length + size))
        plain += part.removeprefix("{")
    return plain, spans


@pytest.mark.parametrize(("text", "right"), TEXTS, ids=[right for _, right in TEXTS])
def test_texts_in_every_format(take: Take, tmp_path: Path, text: str, right: str) -> None:
    """A text and its spans mean the same in all formats, and are read again as they were made."""
    plain, spans = located(text)
    _, units = located(text, units=True)
    doccano = [{"id": 1, "label": "X", "start_offset": a, "end_offset": b} for a, b in spans]
    studio = [
        {"value": {"start": a, "end": b, "labels": ["X"]}, "type": "labels"} for a, b in units
    ]
    prodigy = [{"start": a, "end": b, "label": "X"} for a, b in spans]
    triples = [[a, b, "X"] for a, b in spans]
    task = {"data": {"text": plain}, "annotations": [{"result": studio}]}
    table = f'"{plain}","{json.dumps(triples)}"'.replace('"X"', '""X""')
    for kind, name, content in (
        ("doccano", "train.jsonl", lines({"text": plain, "label": triples})),
        ("doccano", "train.jsonl", lines({"text": plain, "entities": doccano, "relations": []})),
        ("doccano", "train.jsonl", lines({"text": plain, "annotations": doccano})),
        ("label-studio", "train.json", json.dumps([task])),
        ("spacy", "train.jsonl", lines({"text": plain, "spans": prodigy, "answer": "accept"})),
        ("spacy", "train.json", json.dumps([[plain, {"entities": triples}]])),
        *([("csv", "train.csv", f"text,entities\n{table}\n")] if "\r" not in plain else []),
    ):
        made = take({name: content}, kind)
        assert shown(made) == [right], kind
    made.splits["dev"] = made.splits["test"] = made.splits["train"]
    write(made, tmp_path / "out")
    for again in Jsonl(tmp_path, path="out").read().values():
        assert [marked(sample) for sample in again] == [right]


REFUSED = [
    ("{Anna}-Maria left", "cuts a word of `Anna-Maria`"),
    ("و{القاهرة}", "cuts a word"),
    ("{Rome}2024", "cuts a word of `Rome2024`"),
    ("{Zoe}\u0308 x", "cuts a word of `Zoe\u0308`"),
    ("a{ }b", "nothing but white space"),
    ("Anna\0 {Rome}", "NUL"),
]


@pytest.mark.parametrize(("text", "word"), REFUSED, ids=[word for _, word in REFUSED])
def test_texts_that_are_refused(take: Take, text: str, word: str) -> None:
    plain = text.replace("{", "").replace("}", "")
    span = [text.index("{"), text.index("}") - 1, "X"]
    with pytest.raises(DataError) as raised:
        take({"train.jsonl": lines({"text": plain, "label": [span]})}, "doccano")
    (problem,) = raised.value.problems
    assert "train.jsonl:1: the " in problem
    assert word in problem


# Offsets -----------------------------------------------------------------------------------------


def test_a_file_counts_alike_where_one_of_its_texts_does_not_tell(take: Take) -> None:
    """Each name has four letters and stands behind four characters that count twice."""
    told = "😀😀😀😀 Lovelace left."
    both = "😀😀😀😀 Anna saw Rome well."
    records = [
        {"text": both, "label": [[9, 13, "PER"]]},
        {"text": told, "label": [[9, 17, "PER"]]},
    ]
    assert shown(take({"train.jsonl": lines(*records)}, "doccano"))[0].startswith(
        "😀 😀 😀 😀 [PER Anna]"
    )
    alone = take({"train.jsonl": lines({"text": "😀😀 a b c", "label": [[5, 6, "X"]]})}, "doccano")
    assert "can be read with offsets in characters or in UTF-16 units" in alone.findings[0]


@pytest.mark.parametrize(
    ("span", "word"),
    [([1, 6], "inside a character of two UTF-16 units"), ([2, 99], "the text has 7 UTF-16 units")],
)
def test_places_that_are_none(take: Take, span: list[int], word: str) -> None:
    record = {"text": "😀 Rome", "label": [[*span, "X"]]}
    with pytest.raises(DataError) as raised:
        take({"train.jsonl": lines(record)}, "doccano", offsets="utf-16")
    (problem,) = raised.value.problems
    assert f"the entity {span[0]}–{span[1]} (X) " in problem
    assert word in problem


def test_surrogates(take: Take) -> None:
    pair = '{"text": "\\ud83d\\ude00 Rome", "label": [[3, 7, "LOC"]]}'
    assert shown(take({"train.jsonl": pair}, "doccano")) == ["😀 [LOC Rome]"]
    half = '{"text": "\\ud83d Rome", "label": [[2, 6, "LOC"]]}'
    with pytest.raises(DataError, match="half of a surrogate pair"):
        take({"train.jsonl": half}, "doccano")
    with pytest.raises(DataError, match="half of a surrogate pair"):
        take({"train.jsonl": '{"tokens": ["\\ud83d"], "ner_tags": ["O"]}'}, "hf")


def test_a_span_over_a_line_is_no_sentence_s(take: Take) -> None:
    record = lines({"text": "in New\nYork", "label": [[3, 11, "LOC"]]})
    assert shown(take({"train.jsonl": record}, "doccano")) == ["in [LOC New York]"]
    with pytest.raises(DataError, match=r"3–11 .LOC. goes over the end of a line"):
        take({"train.jsonl": record}, "doccano", by="line")


# One format each ---------------------------------------------------------------------------------


def test_doccano(take: Take, tmp_path: Path) -> None:
    both = {"text": "Anna saw", "label": [], "entities": [
        {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 4}]}  # fmt: skip
    assert shown(take({"train.jsonl": lines(both)})) == ["[PER Anna] saw"]
    nested = {"text": "Bank of New York", "label": [[8, 11, "X"], [0, 16, "ORG"], [8, 16, "LOC"]]}
    made = take({"train.jsonl": lines(nested)})
    assert shown(made) == ["[ORG Bank of New York]"]
    assert made.findings[0].startswith("2 entities inside others are left out: ")
    numbers = {"text": "Anna", "annotations": [{"label": 3, "start_offset": 0, "end_offset": 4}]}
    with pytest.raises(DataError, match="labels are numbers"):
        take({"train.jsonl": lines(numbers)}, "doccano")


def test_pictures_are_those_that_posts_name(take: Take, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name in ("1.jpg", "2.jpg", "b.png"):
        (tmp_path / "pictures" / name).write_bytes(b"\x89PNG\r\n\x1a\n")
    posts = [
        {"id": 1, "text": "a", "label": []},
        {"id": 2, "text": "b", "label": [], "image": "gone.jpg"},
        {"id": 3, "text": "c", "label": [], "meta": {"image": "b.png"}},
        {"text": "d", "label": []},
    ]
    made = take({"train.jsonl": lines(*posts)}, images=tmp_path / "pictures")
    assert {s.id: s.picture and s.picture.name for s in made.splits["train"]} == {
        "1": "1.jpg", "2": None, "3": "b.png", "4": None
    }, "a post whose picture is gone is given no other"  # fmt: skip
    assert made.findings == ["1 picture is named and absent: gone.jpg"]


def test_label_studio(take: Take) -> None:
    def said(start: int, end: int, label: str, **more: Any) -> dict[str, Any]:
        value = {"start": start, "end": end, "labels": [label]}
        return {"result": [{"type": "labels", "value": value}], **more}

    def task(*annotations: Any) -> str:
        return json.dumps([{"data": {"text": "Anna saw Rome"}, "annotations": annotations}])

    several = take({"train.json": task(said(0, 4, "PER"), said(9, 13, "LOC"))})
    assert shown(several) == ["[PER Anna] saw Rome"]
    assert "several annotations, of which the first is taken" in several.findings[0]
    truth = take({"train.json": task(said(0, 4, "PER"), said(9, 13, "LOC", ground_truth=True))})
    assert (shown(truth), truth.findings) == (["Anna saw [LOC Rome]"], [])
    value = {
        "start": "/p[1]/text()[1]", "end": "/p[1]/text()[1]", "startOffset": 2, "endOffset": 6,
        "globalOffsets": {"start": 9, "end": 13}, "hypertextlabels": ["LOC"],
    }  # fmt: skip
    hyper = {"result": [{"type": "hypertextlabels", "value": value}, {"type": "relation"}]}
    assert shown(take({"train.json": task(hyper)})) == ["Anna saw [LOC Rome]"]
    with pytest.raises(DataError, match="no annotation; export finished tasks only"):
        take({"train.json": task()})


def test_hugging_face(take: Take) -> None:
    words = ["Anna", "", "Rome"]
    for tags in (["B-PER", "O", "B-LOC"], ["1", "0", "3"], [1, 0, 3]):
        made = take(
            {"train.jsonl": lines({"tokens": words, "ner_tags": tags})},
            names=["O", "B-PER", "I-PER", "B-LOC"],
        )
        assert shown(made) == ["[PER Anna] \u00a0 [LOC Rome]"]
    with pytest.raises(DataError, match="-100"):
        take({"train.jsonl": lines({"tokens": ["a"], "ner_tags": [-100]})}, names=["O", "B-PER"])


@pytest.mark.parametrize(
    ("text", "entities"),
    [
        (b"Anna saw.\r\nRome\r\n", "T1\tPER 0 4\tAnna\r\nT2\tLOC 11 15\tRome\r\n"),
        (b"Anna saw.\r\nRome\r\n", "T1\tPER 0 4\tAnna\nT2\tLOC 10 14\tRome\n"),
        (b"\xef\xbb\xbfAnna saw.\nRome\n", "T1\tPER 0 4\tAnna\nT2\tLOC 10 14\tRome\n"),
        (b"\xef\xbb\xbfAnna saw.\nRome\n", "T1\tPER 1 5\tAnna\nT2\tLOC 11 15\tRome\n"),
        (b"Anna saw.\n\n\nRome", "T1\tPER 0 4\tAnna\nT2\tLOC 12 16\tRome\nA1\tx T1\n"),
    ],
)
def test_brat(take: Take, text: bytes, entities: str) -> None:
    made = take({"train.txt": text, "train.ann": entities})
    assert shown(made) == ["[PER Anna] saw .", "[LOC Rome]"]


def test_brat_over_a_line(take: Take) -> None:
    files = {"train.txt": "New\nYork\n", "train.ann": "T1\tLOC 0 8\tNew York\n"}
    with pytest.raises(DataError, match=r"goes over the end of a line; .* give --by document"):
        take(files)
    assert shown(take(files, by="document")) == ["[LOC New York]"]


def test_tables(take: Take) -> None:
    assert shown(take({"train.csv": "sentence;word;tag\n1;Rome;B-LOC\n"})) == ["[LOC Rome]"]
    quotes = 'sentence,word,tag\n1,"""",O\n1,",",O\n1,NA,O\n1,null,B-ORG\n'
    assert shown(take({"train.csv": quotes})) == ['" , NA [ORG null]']
