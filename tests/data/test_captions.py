"""Captions files of every format."""

from __future__ import annotations

import pytest

from zoo.data.captions import read_captions

WANTED = {"12": "a cat: two :eyes", "a.b": "a “dog”", "7": ""}


@pytest.mark.parametrize(
    "text",
    [
        "12.jpg :a cat: two :eyes\na.b.png :a “dog”\n7.jpg :\n",
        "12\ta cat: two :eyes\na.b.jpeg\ta “dog”\n7\t\n",
        "image\tcaption\r\n12.JPG\ta cat: two :eyes\r\n\r\na.b\ta “dog”\r\n7\t \r\n",
        '{"id": "12", "caption": "a cat: two :eyes"}\n{"image": "a.b.jpg", "caption": "a “dog”"}\n'
        '{"id": 7, "caption": null}',
        '[{"image_id": 12, "id": 99, "caption": "a cat: two :eyes"},\n'
        '{"file_name": "a.b.webp", "caption": "a “dog”"}, {"image_id": "7", "caption": ""}]',
        '{"12": "a cat: two :eyes",\n "a.b.GIF": "a “dog”", "7": null}',
    ],
    ids=["colon", "tsv", "tsv with header, CRLF", "jsonl", "array", "object"],
)
def test_formats_read_to_the_same_captions(tmp_path, text):
    file = tmp_path / "captions"
    file.write_bytes(("\ufeff" + text).encode())
    assert read_captions(file) == WANTED
