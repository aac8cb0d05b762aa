"""What is predicted of a sentence does not depend on what is predicted beside it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo
from zoo.model.inputs import Post
from zoo.types import Sample

SYSTEMS = ("plain", "lstm", "seeing", "spans")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def entities(found: list[zoo.Prediction]) -> list[tuple[zoo.Found, ...]]:
    return [each.entities for each in found]


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("system", SYSTEMS)
def test_order_and_company_change_nothing(
    system: str, results: Path, samples: list[Sample]
) -> None:
    model = zoo.load(f"{system}@mini", results=results)
    together = entities(list(model.predict_all(samples)))
    assert any(together)
    halves = [*model.predict_all(samples[:17]), *model.predict_all(samples[17:])]
    assert entities(halves) == together
    order = random.Random(0).sample(range(len(samples)), len(samples))
    shuffled = entities(list(model.predict_all(samples[i] for i in order)))
    assert [shuffled[order.index(i)] for i in range(len(samples))] == together
    for i in (0, 5, 30):
        one = model.predict(
            samples[i].words,
            picture=samples[i].picture,
            caption=samples[i].caption,
            extra=samples[i].extra,
        )
        assert one.entities == together[i]


@pytest.mark.usefixtures("cache")
def test_as_the_run_predicted(results: Path, samples: list[Sample]) -> None:
    """But for rounding, which batches with padding do otherwise."""
    from zoo.evaluation.predictions import read_predictions

    (file,) = results.glob("runs/plain/mini/1-*/predictions.test.jsonl")
    stored = read_predictions(file)
    model = zoo.load("plain@mini", results=results)
    for before, now in zip(stored, model.predict_all(samples[-12:]), strict=True):
        assert [e.entity for e in before.predicted] == [
            (f.start, f.end, f.type) for f in now.entities
        ]
        assert [e.score for e in before.predicted] == pytest.approx(
            [f.score for f in now.entities], abs=1e-4
        )


def test_a_stream_is_read_no_further_than_needed(results: Path, samples: list[Sample]) -> None:
    predictor = zoo.load("plain@mini", results=results)._predictor
    read = 0

    def endless() -> Iterator[Sample]:
        nonlocal read
        while True:
            read += 1
            yield samples[read % 7]

    stream = predictor(endless(), waiting=20)
    given = [next(stream) for _ in range(200)]
    assert read <= 200 + 20 + 7 * predictor.tokens
    assert [sample for sample, _ in given] == [samples[i % 7] for i in range(1, 201)]
    small = predictor(iter(samples), room=1)
    assert len(list(small)) == len(samples)


def test_long_sentences_have_small_batches(
    results: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = [Sample(str(i), ("Anna", "in", "Paris") * 20) for i in range(5)]
    model = zoo.load("plain@mini", results=results)
    monkeypatch.setattr(model._predictor, "tokens", 130)
    sizes = []
    predict = model._predictor.system.predict
    monkeypatch.setattr(
        model._predictor.system,
        "predict",
        lambda batch: sizes.append(len(batch.samples)) or predict(batch),
    )
    first, *others = model.predict_all(long)
    assert all(each.entities == first.entities for each in others)
    assert sizes == [2, 2, 2]


def test_sentences_without_words(results: Path) -> None:
    model = zoo.load("plain@mini", results=results)
    assert model.predict("").entities == ()
    assert model.predict([]).entities == ()
    found = list(model.predict_posts([Post(Sample("a", ())), Post(Sample("b", ("Ada",)))]))
    assert [each.id for each in found] == ["a", "b"]


def test_places_in_the_text(results: Path) -> None:
    model = zoo.load("lstm@mini", results=results)
    text = "  Paris, 東京 and Washington's  Amazon"
    found = model.predict(text)
    assert found.text == text
    for each in found.entities:
        assert each.characters is not None
        start, end = each.characters
        assert each.text == text[start:end] != ""
    with pytest.raises(zoo.ConfigError, match="empty"):
        model.predict(["a", ""])


def test_the_same_sample_twice(results: Path, samples: list[Sample]) -> None:
    model = zoo.load("plain@mini", results=results)
    one, two = model.predict_all([samples[0], samples[0]])
    assert one == two


def test_a_picture_that_is_not_there(results: Path, tmp_path: Path) -> None:
    model = zoo.load("seeing@mini", results=results)
    with pytest.raises(zoo.DataError, match="no such picture"):
        model.predict("Ada", picture=tmp_path / "none.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"none")
    with pytest.raises(zoo.DataError, match="can't be read as a picture"):
        model.predict("Ada", picture=tmp_path / "bad.jpg")
