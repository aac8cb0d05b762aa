"""What stored predictions hold beside entities: shared pictures, and names not seen in training."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from zoo.errors import DataError
from zoo.evaluation.predictions import (
    PARTS,
    entity_names,
    read_predictions,
    score_predictions,
    write_predictions,
)
from zoo.evaluation.scores import Scores
from zoo.types import Entity, Picture, Sample, ScoredEntity

WORDS = ("Ada", "Lovelace", "met", "Mr", "Babbage")
ADA, MR, MET = Entity(0, 2, "PER"), Entity(3, 5, "PER"), Entity(2, 3, "LOC")


def picture(shade: int) -> Picture:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(file, "PNG")
    return Picture(f"{shade}.png", data=file.getvalue())


def sample(id: str, entities: tuple[Entity, ...] = (), shade: int | None = None) -> Sample:
    return Sample(id, WORDS, entities, picture=None if shade is None else picture(shade))


def test_sentences_that_share_a_picture_have_a_group(tmp_path: Path) -> None:
    shades = (1, 2, None, 1, 3, None, 3)
    samples = [sample(f"s{i}", (), shade) for i, shade in enumerate(shades)]
    write_predictions(tmp_path / "p.jsonl", samples, [[]] * len(samples))
    back = read_predictions(tmp_path / "p.jsonl")
    assert [each.group for each in back] == [0, None, None, 0, 1, None, 1]
    first, second = (tmp_path / "p.jsonl").read_text().splitlines()[:2]
    assert json.loads(first)["group"] == 0
    assert "group" not in second, "nothing is written where nothing is shared"


def test_what_training_did_not_show(tmp_path: Path) -> None:
    seen = entity_names([sample("train", (Entity(0, 2, "ORG"),))])  # whatever its type
    test = [sample("a", (ADA, MR)), sample("b")]
    found = [[ScoredEntity(*ADA, 0.9), ScoredEntity(*MET, 0.2)], []]
    write_predictions(tmp_path / "p.jsonl", test, found, seen)
    one, two = read_predictions(tmp_path / "p.jsonl")
    assert one.unseen == {(2, 3), (3, 5)}
    assert two.unseen == frozenset(), "nothing is unseen: not the same as not known"
    told = [PARTS["seen"](one, entity) for entity in (ADA, MR, MET)]
    assert told == ["seen", "unseen", "unseen"]
    parts = score_predictions([one, two]).parts
    assert parts["seen"] == {"seen": Scores(1, 1, 1), "unseen": Scores(1, 1, 0)}
    assert parts["width"] == {"1 word": Scores(0, 1, 0), "2 words": Scores(2, 1, 1)}


def test_files_of_before_hold_neither(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.jsonl", [sample("a", (ADA,))], [[]])
    assert (tmp_path / "p.jsonl").read_text() == (
        '{"id": "a", "gold": [[0, 2, "PER"]], "predicted": []}\n'
    )
    (back,) = read_predictions(tmp_path / "p.jsonl")
    assert (back.group, back.unseen) == (None, None)
    assert list(score_predictions([back]).parts) == ["width"]


def test_parts_come_back_and_are_no_part_of_equality() -> None:
    whole = Scores(2, 2, 1, parts={"width": {"1 word": Scores(2, 2, 1)}})
    back = Scores.from_dict(whole.as_dict())
    assert back.parts == whole.parts
    assert back == Scores(2, 2, 1), "run.json of before holds none"
    with pytest.raises(ValueError, match="`parts` of scores"):
        Scores.from_dict({"gold": 0, "predicted": 0, "correct": 0, "parts": {"width": 3}})


@pytest.mark.parametrize("more", ['"group": "a"', '"unseen": [[0]]', '"unseen": 1'])
def test_what_is_no_group_or_span_is_refused(tmp_path: Path, more: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "a", "gold": [], "predicted": [], ' + more + "}\n")
    with pytest.raises(DataError, match=r"p\.jsonl:1"):
        read_predictions(path)
