"""``zoo data list|stats|check``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from zoo.cli import data_
from zoo.config.read import read
from zoo.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]

DATASETS = """\
datasets:
  mini: {reader: synthetic, train: 24, dev: 8, test: 8, languages: [en, de]}
  tweets: {reader: bio, path: tweets, images: images}
  odd: {reader: jsonl, path: odd}
  gone: {reader: bio, path: nowhere}
"""
TAGS = {"train": "Ada\tB-PER\nsaw\tO\nRome\tI-LOC\n", "dev": "Bob\tB-PER\n", "test": "hm\tO\n"}


@pytest.fixture
def datasets(registry: Path) -> Path:
    """The shared registry with four datasets: made, with tags and pictures, odd, and absent."""
    from PIL import Image

    root, text = registry.parent, registry.read_text(encoding="utf-8")
    registry.write_text(DATASETS + text[text.index("backbones:") :], encoding="utf-8")
    (root / "tweets" / "images").mkdir(parents=True)
    (root / "odd").mkdir()
    for split, rows in TAGS.items():
        (root / "tweets" / f"{split}.txt").write_text(f"IMGID:{split}1\n{rows}", encoding="utf-8")
        sentence = {"words": ["Rome", "!"], "entities": [], "caption": "a street"}
        if split == "test":
            sentence["entities"] = [{"start": 0, "end": 1, "type": "LOC"}]
        (root / "odd" / f"{split}.jsonl").write_text(json.dumps(sentence), encoding="utf-8")
    Image.new("RGB", (4, 4)).save(root / "tweets" / "images" / "train1.jpg")
    (root / "tweets" / "images" / "dev1.jpg").write_bytes(b"no picture")
    return registry


def run(registry: Path, *args: str) -> str:
    """The output of a sub-command, in this process."""
    verb, *rest = args
    options = ["--registry", str(registry), "--data", str(registry.parent)]
    done = CliRunner().invoke(
        data_.command, [verb, *options, *rest], catch_exceptions=False, standalone_mode=False
    )
    if done.exception:
        raise done.exception
    return done.output


def test_list_says_in_a_line_what_is_there(datasets):
    mini, tweets, odd, gone = run(datasets, "list").splitlines()
    assert mini.split(maxsplit=3)[:3] == ["mini", "synthetic", "-"]
    assert mini.endswith("24/8/8 sentences, 40 pictures, no captions")
    assert tweets.split(maxsplit=3)[:3] == ["tweets", "bio", "tweets"]
    assert tweets.endswith("1/1/1 sentences, 2 pictures, no captions")
    assert odd.endswith("1/1/1 sentences, no pictures, 3 captions")
    assert f"absent: no folder {datasets.parent / 'nowhere'}; put it there" in gone


def test_list_names_what_is_broken(datasets):
    (datasets.parent / "tweets" / "dev.txt").write_text("Bob\tPER\n", encoding="utf-8")
    line = run(datasets, "list").splitlines()[1]
    assert f"broken: {datasets.parent / 'tweets' / 'dev.txt'}:1: unknown tag `PER`" in line


def rows(output: str) -> dict[str, list[str]]:
    """The figures of each row of a dataset's table, by label."""
    table = (line.rsplit(maxsplit=3) for line in output.splitlines() if line.startswith("  "))
    return {label.strip(): values for label, *values in table if len(values) == 3}


def test_stats_of_tags(datasets):
    output = run(datasets, "stats", "tweets")
    assert output.splitlines()[0] == (
        "tweets 1/1/1 sentences and 2/1/0 entities (strict: 1 in train, 1 in dev, 0 in test), "
        "1 of 2 pictures readable"
    )
    assert "  tags: lenient" in output.splitlines()
    table = rows(output)
    assert table["words"] == ["3", "1", "1"]
    assert table["entities"] == ["2", "1", "0"]
    assert table["LOC"] == ["1", "0", "0"]
    assert table["PER"] == ["1", "1", "0"]
    assert table["if read as strict"] == ["1", "1", "0"]
    assert table["pictures"] == ["1", "1", "0"]
    assert table["readable"] == ["1", "0", "0"]
    assert table["captions"] == ["0", "0", "0"]
    assert table["longest sentence, words"] == ["3", "1", "1"]
    assert table["widest entity, words"] == ["1", "1", "0"]


def test_stats_of_made_data_state_the_ceiling(datasets):
    output = run(datasets, "stats", "mini")
    assert output.startswith("mini 24/8/8 sentences and ")
    assert "40 readable pictures\n" in output
    table = rows(output)
    assert table["in de"] == ["12", "4", "4"]
    none, dev, test = table["text-only ceiling, F1"]
    assert none == "-"
    assert 50 < float(dev) < 100
    assert 50 < float(test) < 100


def test_stats_as_json_agree_with_the_fingerprint_of_runs(datasets):
    from zoo.build import read_data
    from zoo.data.fingerprint import fingerprint

    report = json.loads(run(datasets, "stats", "--json"))
    assert list(report["datasets"]) == ["mini", "tweets", "odd"]
    assert list(report["absent"]) == ["gone"]
    splits = read_data(read(datasets).datasets["mini"], datasets.parent)
    assert report["datasets"]["mini"]["fingerprint"] == fingerprint(splits)
    assert report["datasets"]["tweets"]["other_reading"] == {
        "tags": "strict",
        "entities": {"train": 1, "dev": 1, "test": 0},
    }
    assert report["datasets"]["odd"]["splits"]["test"]["types"] == {"LOC": 1}


def test_the_other_reading_may_lose_a_type_that_labels_rename(datasets):
    text = datasets.read_text(encoding="utf-8")
    labelled = text.replace("images: images}", "images: images, labels: {LOC: PLACE}}")
    datasets.write_text(labelled, encoding="utf-8")
    assert "(strict: 1 in train" in run(datasets, "stats", "tweets")


def test_check_prints_a_finding_a_line(datasets):
    lines = run(datasets, "check").splitlines()
    assert "tweets: dev: 1 picture can't be decoded: dev1.jpg" in lines
    assert "tweets: test: 1 picture is named and absent: test1" in lines
    assert "odd: test: types that train has no entity of: LOC" in lines
    assert lines[-1].startswith("gone: absent: no folder ")
    assert all(line.split(":")[0] in ("mini", "tweets", "odd", "gone") for line in lines)


@pytest.mark.parametrize("verb", ["stats", "check"])
def test_a_named_dataset_must_be_there(datasets, verb):
    with pytest.raises(DataError) as caught:
        run(datasets, verb, "tweets", "gone")
    (line,) = caught.value.problems
    assert line.startswith(f"dataset gone: absent: no folder {datasets.parent / 'nowhere'}; ")


@pytest.mark.parametrize("verb", ["stats", "check"])
def test_unknown_names_have_near_matches(datasets, verb):
    with pytest.raises(ConfigError) as caught:
        run(datasets, verb, "twets", "min")
    assert list(caught.value.problems) == [
        "unknown dataset `twets`; did you mean `tweets`?",
        "unknown dataset `min`; did you mean `mini`?",
    ]


def test_broken_data_is_a_line_a_problem_and_the_others_are_shown(zoo, datasets):
    (datasets.parent / "tweets" / "dev.txt").write_text("Bob\tPER\n", encoding="utf-8")
    (datasets.parent / "odd" / "train.jsonl").unlink()
    done = zoo("data", "check")
    assert done.returncode == 2
    assert done.stdout.startswith("mini")
    tweets, odd = done.stderr.splitlines()
    file = datasets.resolve().parent / "tweets" / "dev.txt"
    assert tweets.startswith(f"zoo: dataset tweets: {file}:1: unknown tag `PER`")
    assert odd.startswith(
        f"zoo: dataset odd: {datasets.resolve().parent / 'odd'}: no file for train"
    )


def test_without_names_what_is_absent_is_no_failure(zoo, datasets):
    done = zoo("data", "stats", COLUMNS="20")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("gone: absent: no folder ")
    assert "tweets 1/1/1 sentences and 2/1/0 entities (strict: 1 in train" in done.stdout


def test_a_wrong_data_folder_is_wrong_use(datasets):
    with pytest.raises(ConfigError, match=r"^--data nowhere: no such folder$"):
        run(datasets, "list", "--data", "nowhere")


def test_overrides_apply(datasets):
    output = run(datasets, "stats", "tweets", "-o", "datasets.tweets.tags=strict")
    assert output.startswith("tweets 1/1/1 sentences and 1/1/0 entities (lenient: 2 in train, ")


@pytest.fixture(scope="module")
def real(data_root: Path) -> str:
    names = ["twitter2015", "twitter2017", "mmnerd-en", "toy-tweets"]
    options = ["--registry", str(ROOT / "registry.yaml"), "--data", str(data_root)]
    done = CliRunner().invoke(data_.command, ["stats", *options, *names], catch_exceptions=False)
    return done.output


@pytest.mark.parametrize(
    "start",
    [
        "twitter2015 4000/1000/3257 sentences and 6352/1594/5207 entities "
        "(strict: 6166 in train, 1541 in dev, 5072 in test)",
        "twitter2017 3373/723/723 sentences and 6049/1324/1351 entities",
        "mmnerd-en 19968/2463/2533 sentences and 41172/5109/5181 entities",
        "toy-tweets 10/10/10 sentences and 14/14/16 entities",
    ],
)
def test_the_known_numbers_of_real_data(real, start):
    assert any(line.startswith(start) for line in real.splitlines())


def test_thirty_real_pictures_can_be_read(real):
    (line,) = [line for line in real.splitlines() if line.startswith("toy-tweets ")]
    assert line.endswith(", 30 readable pictures")
