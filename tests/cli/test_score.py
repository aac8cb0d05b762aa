"""``zoo score``: any two of the three formats, paired by id or by order."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from zoo.cli.score_ import command
from zoo.errors import ConfigError, DataError
from zoo.evaluation.pairing import paired
from zoo.types import Entity

WORDS = (("Ada", "met", "Bob", "Ray"), ("Rome", "!"), ("ok",))
GOLD = (
    (Entity(0, 1, "PER"), Entity(2, 4, "PER")),
    (Entity(0, 1, "LOC"),),
    (),
)
FOUND = (
    (Entity(0, 1, "PER"), Entity(2, 3, "PER")),
    (Entity(0, 1, "LOC"),),
    (Entity(0, 1, "ORG"),),
)  # 2 of 4 correct, 3 wanted
IDS = ("a", "b", "c")
Sentences = Sequence[Sequence[Entity]]


def tags(path: Path, entities: Sentences, ids: Sequence[str] = IDS, start: str = "B") -> Path:
    text = ""
    for id, words, inside in zip(ids, WORDS, entities, strict=True):
        row = ["O"] * len(words)
        for e in inside:
            row[e.start : e.end] = [f"I-{e.type}"] * (e.end - e.start)
            row[e.start] = f"{start}-{e.type}"
        text += f"IMGID:{id}\n" if id else ""
        text += "".join(f"{word}\t{tag}\n" for word, tag in zip(words, row, strict=True)) + "\n"
    path.write_text(text, encoding="utf-8")
    return path


def samples(path: Path, entities: Sentences, ids: Sequence[str] = IDS) -> Path:
    return rows(
        path,
        (
            {"words": words, "entities": [e._asdict() for e in inside]} | ({"id": id} if id else {})
            for id, words, inside in zip(ids, WORDS, entities, strict=True)
        ),
    )


def stored(
    path: Path,
    entities: Sentences,
    ids: Sequence[str] = IDS,
    gold: Sentences = GOLD,
    languages: Sequence[str] | None = None,
) -> Path:
    return rows(
        path,
        (
            {"id": id, "gold": list(gold[i]), "predicted": [[*e, 0.5] for e in entities[i]]}
            | ({"language": languages[i]} if languages else {})
            for i, id in enumerate(ids)
        ),
    )


def rows(path: Path, records) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


def figures(*args: object) -> dict:
    done = CliRunner().invoke(command, [*map(str, args), "--json"], catch_exceptions=False)
    return json.loads(done.output)


MAKERS = [tags, samples, stored]


@pytest.mark.parametrize("ids", [IDS, ("", "", "")], ids=["with ids", "without ids"])
@pytest.mark.parametrize("right", MAKERS)
@pytest.mark.parametrize("left", MAKERS)
def test_every_pair_of_formats_scores_the_same_unless_swapped(tmp_path, left, right, ids):
    gold = left(
        tmp_path / "gold.jsonl" if left is not tags else tmp_path / "gold.txt",
        GOLD,
        *([ids] if left is not stored else []),
    )
    pred = right(
        tmp_path / "pred.jsonl" if right is not tags else tmp_path / "pred.txt",
        FOUND,
        *([ids] if right is not stored else []),
    )
    if left is stored and right is not stored:
        with pytest.raises(DataError, match=r"gold\.jsonl: it holds predictions, .* swapped\?"):
            figures(gold, pred)
        return
    scores = figures(gold, pred)
    assert (scores["gold"], scores["predicted"], scores["correct"]) == (3, 4, 2)
    assert scores["precision"] == 50
    assert scores["per_type"]["PER"]["correct"] == 1


def test_predictions_against_themselves(tmp_path):
    file = stored(tmp_path / "predictions.test.jsonl", FOUND, languages=["en", "de", "en"])
    scores = figures(file, file)
    assert (scores["gold"], scores["predicted"], scores["correct"]) == (3, 4, 2)
    assert scores["per_language"]["de"]["f1"] == 100
    assert scores["per_language"]["en"]["predicted"] == 3


def test_sentences_are_paired_by_id_whatever_their_order(tmp_path):
    gold = tags(tmp_path / "gold.txt", GOLD)
    pred = stored(tmp_path / "p.jsonl", FOUND[::-1], IDS[::-1], GOLD[::-1])
    assert paired(gold, pred)[1] == [list(each) for each in FOUND]


def test_ids_of_one_language_match_without_it(tmp_path):
    gold = tags(tmp_path / "gold.txt", GOLD)
    pred = stored(tmp_path / "p.jsonl", FOUND, [f"en/{id}" for id in IDS], languages=["en"] * 3)
    wanted, found, languages = paired(gold, pred)
    assert [list(each) for each in wanted] == [list(each) for each in GOLD]
    assert [list(each) for each in found] == [list(each) for each in FOUND]
    assert languages == ["en"] * 3


def test_character_offsets(tmp_path):
    gold = rows(
        tmp_path / "gold.jsonl",
        [{"id": 1, "text": "Ada met", "entities": [{"start": 0, "end": 3, "type": "PER"}]}],
    )
    assert paired(gold, gold)[0] == [(Entity(0, 1, "PER"),)]


def test_what_predict_and_other_tools_write(tmp_path):
    gold = tags(tmp_path / "gold.txt", GOLD)
    found = [
        {**row, "start": e.start, "end": e.end, "type": e.type, "score": 0.5}
        for words, inside in zip(WORDS, FOUND, strict=True)
        for e in inside
        for row in [{"text": " ".join(words[e.start : e.end])}]
    ]
    texts = [" ".join(words) for words in WORDS]
    inside = [found[:2], found[2:3], found[3:]]
    entries = zip(IDS, texts, WORDS, inside, strict=True)
    keys = ("id", "text", "words", "entities")
    pred = rows(tmp_path / "p.jsonl", [dict(zip(keys, each, strict=True)) for each in entries])
    assert figures(gold, pred)["correct"] == 2
    labels = [
        {"id": id, "text": text, "label": [[0, len(words[0]), "PER"]], "image": "../x.jpg"}
        for id, text, words in zip(IDS, texts, WORDS, strict=True)
    ]
    assert figures(gold, rows(tmp_path / "p.jsonl", labels))["correct"] == 1
    tokens = [
        {"id": id, "tokens": words, "ner_tags": ["B-PER"] + ["O"] * (len(words) - 1)}
        for id, words in zip(IDS, WORDS, strict=True)
    ]
    assert figures(gold, rows(tmp_path / "p.jsonl", tokens))["correct"] == 1
    both = {"text": "Ada met", "words": ["Ada", "met"], "entities": [[0, 1, "PER"]]}
    with pytest.raises(DataError, match="either `words` or `text`"):
        paired(rows(tmp_path / "p.jsonl", [both]), gold)


def test_ids_that_a_dataset_has_numbered_are_paired_in_order(tmp_path):
    gold = tags(tmp_path / "gold.txt", GOLD, "aab")
    for ids in (["a-2", "a-3", "b"], ["en/a-2", "en/a-3", "en/b-2"]):
        languages = ["en"] * 3 if "/" in ids[0] else None
        pred = stored(tmp_path / "p.jsonl", FOUND, ids, languages=languages)
        assert paired(gold, pred)[1] == [list(each) for each in FOUND]
        assert paired(pred, pred)[1] == [list(each) for each in FOUND]
    for ids in (["a-2", "a-3", "c"], ["b", "a-2", "a-3"], ["a-2", "a-x", "b"], ["a-1", "a-2", "b"]):
        with pytest.raises(DataError, match="is not in"):
            paired(gold, stored(tmp_path / "p.jsonl", FOUND, ids))


def test_tag_readings(tmp_path):
    gold = tags(tmp_path / "gold.txt", GOLD)
    pred = tags(tmp_path / "pred.txt", GOLD, start="I")  # no entity begins with B-
    assert figures(gold, pred)["f1"] == 100
    assert figures(gold, pred, "--tags", "strict")["predicted"] == 0


def test_labels_rename_in_both(tmp_path):
    gold = tags(tmp_path / "gold.txt", GOLD)
    pred = tags(tmp_path / "pred.txt", [[e._replace(type="X") for e in each] for each in GOLD])
    assert figures(gold, pred)["correct"] == 0
    renames = ["--label", "PER=X", "--label", "LOC=X"]
    assert figures(gold, pred, *renames)["f1"] == 100
    for more, part in (
        (["--label", "PRE=X"], "no entity of either file has the type PRE; did you mean `PER`?"),
        ([*renames, "--label", "PER=Y"], "another --label renames PER, too"),
    ):
        with pytest.raises(ConfigError, match=re.escape(part)):
            figures(gold, pred, *more)


def test_a_word_that_looks_like_json_is_a_word(tmp_path):
    file = tmp_path / "braces.txt"
    file.write_text("{ O\nAda B-PER\n} O\n", encoding="utf-8")
    assert paired(file, file)[0] == [[Entity(1, 2, "PER")]]


def test_the_table_and_the_exit_code(zoo, tmp_path):
    gold, pred = tags(tmp_path / "gold.txt", GOLD), tags(tmp_path / "pred.txt", FOUND)
    done = zoo("score", str(gold), str(pred), COLUMNS="20")
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = [line for line in done.stdout.splitlines() if "all" in line]
    assert line.replace("│", " ").split() == ["all", "50.00", "66.67", "57.14", "3", "4", "2"]


def shorter(path: Path) -> Path:
    path.write_text("Ada\tB-PER\nmet\tO\n", encoding="utf-8")
    return path


NONE = ("", "", "")
MISMATCHES = {
    "fewer sentences": (
        lambda d: (tags(d / "g.txt", GOLD, NONE), shorter(d / "p.txt")),
        ["p.txt: 1 sentences, but 3 in", "g.txt", "give both files the same sentences"],
    ),
    "other ids": (
        lambda d: (tags(d / "g.txt", GOLD), tags(d / "p.txt", FOUND, ("x", "y", "z"))),
        ["g.txt:1: the id `a` is not in", "p.txt (nor are 2 more)", "give both"],
    ),
    "an id lacks": (
        lambda d: (tags(d / "g.txt", GOLD), tags(d / "p.txt", FOUND, ("a", "b", "z"))),
        ["g.txt:11: the id `c` is not in", "p.txt; give both"],
    ),
    "an id too many": (
        lambda d: (stored(d / "g.jsonl", FOUND, IDS[:2]), stored(d / "p.jsonl", FOUND)),
        ["p.jsonl:3: the id `c` is not in", "g.jsonl; give both"],
    ),
    "other words": (
        lambda d: (tags(d / "g.txt", GOLD), tags(d / "p.txt", [()] * 3, "bca")),
        ["p.txt:11: 1 words, but 4 in", "g.txt:1; give both files the same sentences"],
    ),
    "another order": (
        lambda d: (
            broken(d / "g.txt", "Ada\tO\n\nBob\tB-PER\n"),
            broken(d / "p.txt", "Bob\tB-PER\n\nAda\tO\n"),
        ),
        ["p.txt:1: the word `Bob`, but `Ada` in", "g.txt:1; without ids", "paired by order"],
    ),
    "other words under an id": (
        lambda d: (
            broken(d / "g.txt", "IMGID:1\nAda\tO\n\nIMGID:1\nBob\tB-PER\n"),
            broken(d / "p.txt", "IMGID:1\nBob\tB-PER\n\nIMGID:1\nAda\tO\n"),
        ),
        ["p.txt:1: the word `Bob`, but `Ada` in", "g.txt:1; the two have the same id"],
    ),
    "predictions for other gold entities": (
        lambda d: (
            broken(d / "g.jsonl", '{"id": "a", "gold": [[0, 1, "PER"]], "predicted": []}\n'),
            broken(d / "p.jsonl", '{"id": "a", "gold": [], "predicted": [[0, 1, "PER", 1.0]]}\n'),
        ),
        ["p.jsonl:1: its gold entities are not those of", "g.jsonl:1", "different data"],
    ),
    "an entity too far": (
        lambda d: (
            tags(d / "g.txt", GOLD),
            stored(d / "p.jsonl", [(), (Entity(1, 3, "LOC"),), ()]),
        ),
        ["p.jsonl:2: an entity ends after word 3, but", "g.txt:7 has 2 words"],
    ),
    "an id that repeats in one file": (
        lambda d: (tags(d / "g.txt", GOLD, "aba"), tags(d / "p.txt", GOLD, "abc")),
        ["g.txt:11: the id `a-2` is not in", "p.txt", "the same sentences"],
    ),
    "a broken tag": (
        lambda d: (broken(d / "g.txt", "Ada\tB-PER\nmet\tX\n"), tags(d / "p.txt", GOLD)),
        ["g.txt:2: unknown tag `X`", "a tag is O"],
    ),
    "broken JSON": (
        lambda d: (broken(d / "g.jsonl", '{"id": \n'), tags(d / "p.txt", GOLD)),
        ["g.jsonl:1: not JSON", "one object a line"],
    ),
    "a broken prediction": (
        lambda d: (
            stored(d / "g.jsonl", GOLD),
            broken(d / "p.jsonl", '{"id": "a", "gold": [], "predicted": [[0, 1]]}\n'),
        ),
        ["p.jsonl:1:", "predicted"],
    ),
    "no such file": (
        lambda d: (d / "g.txt", tags(d / "p.txt", GOLD)),
        ["g.txt: can't be read (No such file or directory)", "check that"],
    ),
    "an empty file": (
        lambda d: (tags(d / "g.txt", GOLD), broken(d / "p.txt", "\n")),
        ["p.txt: the file is empty"],
    ),
}


def broken(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", MISMATCHES)
def test_what_does_not_fit_is_one_clear_line(tmp_path, name):
    make, expected = MISMATCHES[name]
    with pytest.raises(DataError) as caught:
        paired(*make(tmp_path))
    (line,) = caught.value.problems
    assert "\n" not in line
    for words in expected:
        assert words in line


def test_wrong_use_is_exit_code_2_without_a_traceback(zoo, tmp_path):
    gold = tags(tmp_path / "gold.txt", GOLD)
    for args, words in (
        ([str(gold), "absent.txt"], "absent.txt: can't be read"),
        ([str(gold), str(gold), "--label", "PER"], "--label PER: write it as FROM=TO"),
    ):
        done = zoo("score", *args)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert words in line


def test_a_file_of_a_run_must_be_as_it_was_stored(zoo, tmp_path, put_run):
    folder = put_run(tmp_path / "results")
    file = folder / "predictions.test.jsonl"
    assert figures(file, file)["correct"] == 1
    other = tmp_path / "copy.jsonl"
    other.write_text(file.read_text())
    file.write_text(file.read_text().replace("LOC", "ORG"))
    for args in ((file, file), (other, file), (file, other)):
        done = zoo("score", *map(str, args))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"zoo: {file}: changed since the run was stored")
    assert figures(other, other)["correct"] == 1
    record = folder / "run.json"
    record.write_text(record.read_text().replace('"train": 1.0', '"train": 2.0'))
    assert zoo("score", str(file), str(file)).stderr.startswith(f"zoo: {record}: changed")


def test_a_metric_of_a_plug_in(zoo, tmp_path):
    (tmp_path / "own.py").write_text(
        "from zoo.evaluation.scores import METRICS\nMETRICS['found'] = lambda g, f: len(f)\n"
    )
    file = str(stored(tmp_path / "p.jsonl", FOUND))
    done = zoo("score", file, file, "--plugin", "own.py")
    assert "found: 3.00" in done.stdout
    done = zoo("score", file, file, "--plugin", "own.py", "--json")
    assert json.loads(done.stdout)["found"] == 3


def test_real_gold_against_itself(data_root):
    for tags_, entities in (("lenient", 5207), ("strict", 5072)):
        file = data_root / "twitter2015" / "test.txt"
        scores = figures(file, file, "--tags", tags_)
        assert scores["gold"] == scores["correct"] == scores["predicted"] == entities


def test_several_sentences_of_one_post_are_paired_in_their_order(tmp_path):
    gold = tags(tmp_path / "gold.txt", GOLD, "aab")
    assert paired(gold, tags(tmp_path / "pred.txt", FOUND, "aab"))[1] == [list(e) for e in FOUND]
    pred = stored(tmp_path / "p.jsonl", FOUND[::-1], ["b", "a-2", "a"], GOLD[::-1])
    assert paired(gold, pred)[1] == [list(each) for each in FOUND]
