"""Pictures are found in their folder and nowhere else."""

from __future__ import annotations

import io
import os
import unicodedata

import pytest
from PIL import Image

from zoo.data.pictures import PictureFolder, picture_id, readable
from zoo.errors import DataError
from zoo.types import Picture


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
