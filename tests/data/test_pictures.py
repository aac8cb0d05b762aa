"""Pictures are found in their folder and nowhere else."""

from __future__ import annotations

import hashlib
import io
import os
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from zoo.data.fingerprint import fingerprint
from zoo.data.pictures import PictureFolder, picture_id, readable
from zoo.errors import DataError
from zoo.types import Picture, Sample


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    images = tmp_path / "images"
    (images / "sub").mkdir(parents=True)
    for name in ("1.jpg", "2.JPEG", "3.png", "3.jpg", "4.5.jpg", "6.gif", "sub/1.jpg"):
        (images / name).write_bytes(name.encode())
    (images / "7.WebP").write_bytes(b"7.WebP")
    (images / "cafe\u0301.bmp").write_bytes("caf\u00e9".encode())
    for name, content in {
        "8.jpg_large": b"\xff\xd8\xff",
        "9": b"GIF89a",
        "notes.txt": b"hi",
    }.items():
        (images / name).write_bytes(content)
    os.mkfifo(images / "10.pipe")
    (images / "inner.jpg").symlink_to(images / "1.jpg")
    (images / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (images / "loop.jpg").symlink_to(images / "loop.jpg")
    (images / "away").symlink_to(tmp_path)
    return images


@pytest.mark.parametrize(
    ("id", "name"),
    [
        ("1", "1.jpg"),
        ("1.jpg", "1.jpg"),
        ("2", "2.JPEG"),
        ("3", "3.jpg"),
        ("3.png", "3.png"),
        ("4.5", "4.5.jpg"),
        ("4", None),
        ("6", "6.gif"),
        ("6.gif", "6.gif"),
        ("6.jpg", "6.gif"),
        ("7", "7.WebP"),
        ("8", "8.jpg_large"),
        ("9", "9"),
        ("10", None),
        ("notes", None),
        ("notes.txt", None),
        ("caf\u00e9", "cafe\u0301.bmp"),
        ("sub/1", "sub/1.jpg"),
        ("inner", "inner.jpg"),
        ("sub", None),
        ("x" * 5000, None),
    ],
)
def test_ids_and_names(folder, id, name):
    picture = PictureFolder(folder).find(id, "train.txt:1")
    assert (picture and picture.name) == name
    if picture and id not in ("inner", "8", "9"):
        assert picture.read().decode() == unicodedata.normalize("NFC", name).removesuffix(".bmp")


@pytest.mark.parametrize(
    "id",
    [
        "../secret",
        "../../etc/passwd",
        "sub/../../secret.jpg",
        "..\\secret",
        "/etc/passwd",
        "C:\\secret",
        "link",
        "link.jpg",
        "away/secret.jpg",
        "a\0/b",
    ],
)
def test_what_leads_out_is_refused(folder, id):
    with pytest.raises(
        DataError, match=r"^train\.txt:7: the picture .* lies outside .*put it there"
    ):
        PictureFolder(folder).find(id, "train.txt:7")


def test_a_folder_that_is_a_link_or_missing(folder, tmp_path):
    (tmp_path / "alias").symlink_to(folder)
    assert PictureFolder(tmp_path / "alias").find("1", "f:1") is not None
    missing = PictureFolder(tmp_path / "none")
    assert missing.find("1", "f:1") is None
    with pytest.raises(DataError):
        missing.find("../1", "f:1")


def test_picture_id():
    names = ["a.jpg", "a.JPEG", "a.png", "a.b", "a.gif", ".jpg"]
    assert [picture_id(name) for name in names] == ["a", "a", "a", "a.b", "a", ".jpg"]


def test_readable(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(buffer, "PNG")
    whole = buffer.getvalue()
    assert readable(Picture("a.png", data=whole))
    assert not readable(Picture("a.png", data=whole[: len(whole) // 2]))
    assert not readable(Picture("a.png", data=b"no picture"))
    assert not readable(Picture("a.png", data=b""))
    assert not readable(Picture("a.png", path=tmp_path / "none.png"))


def test_digests_are_remembered_until_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, cache = tmp_path / "1.jpg", tmp_path / "cache"
    file.write_bytes(b"first")
    os.utime(file, ns=(1, 1_000_000_007))
    splits = {"train": [Sample("1", ("x",), picture=Picture("1.jpg", path=file))]}
    monkeypatch.setattr("zoo.types.PICTURE_DIGESTS", known := {})
    monkeypatch.setattr("zoo.data.fingerprint.PICTURE_DIGESTS", known)
    first = fingerprint(splits, cache)
    assert not known, "it was written a moment ago, and may be written again"
    monkeypatch.setattr("zoo.types._SETTLED", -1)
    assert fingerprint(splits, cache) == first
    assert len(known) == 1
    (line,) = (cache / "picture-digests").read_text().splitlines()
    assert line.startswith(hashlib.sha256(b"first").hexdigest())

    known.clear()
    monkeypatch.setattr(Picture, "read", lambda _: pytest.fail("read again"))
    assert fingerprint(splits, cache) == first
    monkeypatch.undo()
    monkeypatch.setattr("zoo.types.PICTURE_DIGESTS", known)
    monkeypatch.setattr("zoo.data.fingerprint.PICTURE_DIGESTS", known)
    monkeypatch.setattr("zoo.types._SETTLED", -1)
    for change, stamp in ((b"other", 1_000_000_007), (b"third", 1_000_000_008)):
        file.write_bytes(change)
        os.utime(file, ns=(1, stamp))
        assert fingerprint(splits, cache) != first
        assert splits["train"][0].picture.digest() == hashlib.sha256(change).hexdigest()


def test_damaged_memories_of_digests_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "1.jpg"
    file.write_bytes(b"first")
    splits = {"train": [Sample("1", ("x",), picture=Picture("1.jpg", path=file))]}
    first = fingerprint(splits)
    (tmp_path / "picture-digests").write_bytes(b"\xff\xfe\nnothing\n" + b"0" * 64 + b" 5 x\n")
    assert fingerprint(splits, tmp_path) == first
    (tmp_path / "file").write_text("where a folder should be")
    assert fingerprint(splits, tmp_path / "file") == first
