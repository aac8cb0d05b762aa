"""What the contract of readers does not say: the data's fingerprint follows from the files."""

from __future__ import annotations

from zoo.data.fingerprint import fingerprint


def test_reading_twice_gives_the_same_fingerprint(reader) -> None:
    built = reader.build()
    assert fingerprint(built.read()) == fingerprint(reader.build().read())
