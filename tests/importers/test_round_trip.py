"""What is predicted of running text can be imported and read again: one way to cut words."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.jsonl import Jsonl
from zoo.importers.convert import convert
from zoo.importers.documents import Conversion
from zoo.model.inputs import of_text
from zoo.model.results import predicted
from zoo.types import Entity, ScoredEntity

PIECES = [
    "Anna",
    "Rome",
    "O’Neil’s",
    "don't",
    "Müller-Straße",
    "1,000.50",
    "U.S.",
    "AT&T",
    "北京",
    "タワー",
    "กรุงเทพ",
    "القاهرة",
    "Zoe\u0308",
    "😀",
    "👩‍👩‍👧",
    "🇩🇪",
    "👍🏽",
    "𝔘",
    "#",
    "@",
    "…",
    ".",
    ",",
    "“",
    "”",
    "(",
    ")",
    "'s",
    ":-)",
    "https://t.co/x",
    "a@b.org",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\u00a0",
    "\u200b",
    "\u00ad",
    "x",
]


@settings(max_examples=60)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join), st.data())
def test_spans_of_predictions_are_read_as_they_were_predicted(text, data):
    post = of_text(text, "1")
    words = post.sample.words
    if not words:
        return
    cuts = sorted(data.draw(st.sets(st.integers(0, len(words)), max_size=6)))
    entities = [Entity(start, end, "X") for start, end in zip(cuts[::2], cuts[1::2], strict=False)]
    found = predicted(post, [ScoredEntity(*entity, 1.0) for entity in entities])
    spans = [each.characters for each in found.entities]
    assert [text[a:b] for a, b in spans] == [each.text for each in found.entities]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name, offsets in (("characters", list), ("utf-16", lambda span: units(text, span))):
            record = {"id": "1", "text": text, "label": [[*offsets(s), "X"] for s in spans]}
            (folder / "train.jsonl").write_text(json.dumps(record), encoding="utf-8")
            done = convert([folder / "train.jsonl"], "doccano", Conversion(offsets=name))
            (sample,) = done.splits["train"]
            assert (sample.words, sample.entities) == (words, tuple(entities))
        record = {"id": "1", "text": text, "entities": [
            {"start": a, "end": b, "type": "X"} for a, b in spans]}  # fmt: skip
        for split in ("train", "dev", "test"):
            (folder / f"{split}.jsonl").write_text(json.dumps(record), encoding="utf-8")
        for own in Jsonl(folder, path=".").read().values():
            assert [(s.words, s.entities) for s in own] == [(words, tuple(entities))]


def units(text, span):
    return [len(text[:place].encode("utf-16-le")) // 2 for place in span]
