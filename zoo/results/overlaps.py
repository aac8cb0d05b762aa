"""Which test posts stand in a training set, as a table says it: from digests stored with the runs.

A table is made without the data. So the digests of the ids and texts of each dataset's training
and test posts are written into the results folder when a run is made on it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from zoo.data.overlap import given_ids, text_key
from zoo.files import read_text, write_atomic
from zoo.results.tables import Table
from zoo.types import Splits


class Posts(NamedTuple):
    """Digests of the posts of a split, in order; ids only of those that have one of their own."""

    ids: list[str]
    texts: list[str]


def write_posts(root: Path, fingerprint: str, splits: Splits) -> None:
    """Store the digests of a dataset's training and test posts, once for each fingerprint."""
    path = _path(root, fingerprint)
    made = any(getattr(splits, "made_ids", {}).values())  # older files have made ids as well
    if made or not path.exists():
        posts = {split: _posts(splits, split)._asdict() for split in ("train", "test")}
        text = json.dumps({"fingerprint": fingerprint, **posts}) + "\n"
        if not path.exists() or read_text(path) != text:
            write_atomic(path, text)


def with_overlaps(tables: Sequence[Table], root: Path) -> list[Table]:
    """The tables, each with a note if its training set holds posts of a test set that is shown.

    Nothing is said of data whose digests are not stored (runs of version 0.2, and published ones).
    """
    prints = dict.fromkeys(table.facts["fingerprint"] for table in tables)
    known = {each: posts for each in prints if (posts := _read(root, each)) is not None}
    return [replace(table, notes=[*table.notes, *_notes(table, tables, known)]) for table in tables]


def _notes(table: Table, tables: Sequence[Table], known: dict[str, dict[str, Posts]]) -> list[str]:
    train = known.get(table.facts["fingerprint"], {}).get("train")
    if train is None:
        return []
    ids, texts = frozenset(train.ids), frozenset(train.texts)
    found = []
    for other in tables:
        if other.facts["fingerprint"] in known:
            test = known[other.facts["fingerprint"]]["test"]
            by_id, by_text = sum(i in ids for i in test.ids), sum(t in texts for t in test.texts)
            if by_id or by_text:
                found.append(
                    f"{by_id:,} by id and {by_text:,} by text of the {len(test.texts):,} test "
                    f"posts of {other.facts['dataset']}"
                )
    return [f"In the training set stand: {'; '.join(dict.fromkeys(found))}."] if found else []


def _path(root: Path, fingerprint: str) -> Path:
    return root / "datasets" / f"{fingerprint[:16]}.json"


def _read(root: Path, fingerprint: str) -> dict[str, Posts] | None:
    """None where nothing (or nothing whole) is stored for this fingerprint: it is written anew
    with the next run on the data."""
    path = _path(root, fingerprint)
    if not path.exists():
        return None
    try:
        data = json.loads(read_text(path))
        if data["fingerprint"] == fingerprint:
            return {split: Posts(**data[split]) for split in ("train", "test")}
    except (ValueError, KeyError, TypeError):
        pass
    path.unlink(missing_ok=True)
    return None


def _posts(splits: Splits, split: str) -> Posts:
    return Posts(
        [_digest(id) for id in given_ids(splits, split) if id is not None],
        [_digest(text_key(sample.words)) for sample in splits[split]],
    )


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:10]
