"""A table says whether its training set holds posts of a test set that is shown."""

from __future__ import annotations

from pathlib import Path

from zoo.results.overlaps import with_overlaps, write_posts
from zoo.results.tables import Column, Table
from zoo.types import Sample, Splits


def table(name: str, fingerprint: str) -> Table:
    facts = {"dataset": name, "fingerprint": fingerprint}
    return Table(name, [Column("system", "system")], [["a"]], facts, ["first"])


def splits(train: dict[str, str], test: dict[str, str]) -> Splits:
    return {
        split: [Sample(id, tuple(text.split()), ()) for id, text in posts.items()]
        for split, posts in (("train", train), ("dev", {}), ("test", test))
    }


ONE = splits({"1": "Ada met Bo", "2": "x y"}, {"3": "ada MET bo !", "4": "new"})
TWO = splits({"3": "other", "5": "new", "6": "apart"}, {"7": "far"})


def test_notes(tmp_path: Path) -> None:
    write_posts(tmp_path, "a" * 64, ONE)
    write_posts(tmp_path, "b" * 64, TWO)
    one, two, three = with_overlaps(
        [table("one", "a" * 64), table("two", "b" * 64), table("three", "c" * 64)], tmp_path
    )
    own = "In the training set stand: 0 by id and 1 by text of the 2 test posts of one."
    assert one.notes == ["first", own]
    other = "In the training set stand: 1 by id and 1 by text of the 2 test posts of one."
    assert two.notes == ["first", other]
    assert three.notes == ["first"], "nothing is stored of it"
    (alone,) = with_overlaps([table("two", "b" * 64)], tmp_path)
    assert alone.notes == ["first"], "only of test sets that are shown"
    twice = with_overlaps([table("one", "a" * 64), table("one", "a" * 64)], tmp_path)
    assert [each.notes for each in twice] == [["first", own]] * 2, "said once"


def test_no_text_is_stored(tmp_path: Path) -> None:
    write_posts(tmp_path, "a" * 64, ONE)
    (file,) = (tmp_path / "datasets").iterdir()
    assert "ada" not in file.read_text().lower()


def test_what_is_broken_is_written_anew(tmp_path: Path) -> None:
    write_posts(tmp_path, "a" * 64, ONE)
    (file,) = (tmp_path / "datasets").iterdir()
    for broken in ("{", "[]", '{"fingerprint": "b"}'):
        file.write_text(broken)
        (one,) = with_overlaps([table("one", "a" * 64)], tmp_path)
        assert one.notes == ["first"]
        write_posts(tmp_path, "a" * 64, ONE)
        (one,) = with_overlaps([table("one", "a" * 64)], tmp_path)
        assert len(one.notes) == 2
