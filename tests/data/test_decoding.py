"""Pictures are decoded as a viewer shows them, and by the listed formats alone."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from zoo.data.bio import Bio
from zoo.data.check import check, notes
from zoo.data.jsonl import Jsonl
from zoo.data.pictures import PROBLEMS_SHOWN, readable, verify_pictures
from zoo.errors import DataError
from zoo.types import MAX_PIXELS, Picture, Sample

SUFFIX = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp"}


def encoded(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def opened(data, name="a.jpg"):
    return np.asarray(Picture(name, data=data).open())


def two_halves():
    """80 × 40: red on the left, blue on the right."""
    image = Image.new("RGB", (80, 40), "red")
    image.paste("blue", (40, 0, 80, 40))
    return image


def is_red(pixel):
    return pixel[0] > 200 and pixel[2] < 60


@pytest.mark.parametrize("format", SUFFIX)
@pytest.mark.parametrize("suffix", [".jpg", ".PNG", ".dat", ""])
def test_formats_by_content(tmp_path, format, suffix):
    file = tmp_path / f"a{suffix}"
    file.write_bytes(encoded(two_halves(), format))
    image = Picture(file.name, path=file).open()
    assert (image.mode, image.size) == ("RGB", (80, 40))
    assert is_red(image.getpixel((5, 20)))
    assert not is_red(image.getpixel((75, 20)))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame(format):
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    assert is_red(opened(data)[10, 10])


# What an upright picture (red above, blue below) looks like as stored, by EXIF orientation.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", [*STORED, 0, 9, None])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation(format, orientation):
    upright = Image.new("RGB", (40, 80), "blue")
    upright.paste("red", (0, 0, 40, 40))
    upright.paste("green", (0, 0, 20, 20))
    turn = STORED.get(orientation)
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    image = Picture("a", data=encoded(stored, format, exif=exif)).open()
    assert image.size == (40, 80)
    assert is_red(image.getpixel((30, 10)))
    assert image.getpixel((10, 10))[1] > 100
    assert image.getpixel((20, 70))[2] > 200


def test_broken_exif_is_passed_over():
    data = encoded(two_halves(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\xff\xff")
    assert opened(data).shape == (40, 80, 3)


def grey16():
    """A ramp through all 16-bit greys."""
    return np.arange(65536, dtype=np.uint16).reshape(256, 256)


def test_16_bit_greys_are_scaled():
    pixels = opened(encoded(Image.fromarray(grey16()), "PNG"))
    assert (pixels == (grey16() >> 8)[..., None]).all()


def png(width, height, depth, colour, rows, extra=b""):
    """A PNG written by hand, for what Pillow doesn't write."""

    def chunk(name, data):
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks, chunk


def test_16_bit_colours_and_transparent_grey():
    row = np.array([0, 256, 65535] * 2, dtype=">u2").tobytes()
    data, chunk = png(2, 1, 16, 2, [row])
    assert opened(data).tolist() == [[[0, 1, 255]] * 2]
    with_alpha = np.array([1000, 65535, 1000, 0], dtype=">u2").tobytes()
    data, _ = png(2, 1, 16, 4, [with_alpha])
    assert opened(data).tolist() == [[[3] * 3, [255] * 3]]
    grey = np.array([1000, 1001], dtype=">u2").tobytes()
    data, _ = png(2, 1, 16, 0, [grey], chunk(b"tRNS", struct.pack(">H", 1000)))
    assert opened(data).tolist() == [[[255] * 3, [3] * 3]]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_are_looked_up(bits):
    image = two_halves().convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
    pixels = opened(encoded(image, "PNG", bits=bits))
    assert is_red(pixels[20, 5])
    assert pixels[20, 75].tolist() == [0, 0, 255]


@pytest.mark.parametrize("mode", ["1", "L", "CMYK"])
def test_other_modes(mode):
    image = Image.new(mode, (10, 10), 0 if mode != "CMYK" else (0, 0, 0, 255))
    data = encoded(image, "JPEG" if mode == "CMYK" else "PNG")
    assert opened(data).max() < 8


def logo(under):
    """A black square on nothing; ``under`` is the colour hidden where it is transparent."""
    image = Image.new("RGBA", (32, 32), (*under, 0))
    image.paste((0, 0, 0, 255), (8, 8, 24, 24))
    return image


def test_transparency_is_white():
    wanted = np.full((32, 32, 3), 255)
    wanted[8:24, 8:24] = 0
    black, white = logo((0, 0, 0)), logo((255, 255, 255))
    files = [encoded(image, "PNG") for image in (black, white, black.convert("LA"))]
    files += [encoded(black, "WEBP", lossless=True), encoded(black, "GIF")]
    palette = Image.new("P", (32, 32), 0)
    palette.putpalette([9, 9, 9, 0, 0, 0])
    palette.paste(1, (8, 8, 24, 24))
    files.append(encoded(palette, "PNG", transparency=0))
    files.append(encoded(palette, "PNG", transparency=b"\0\xff"))
    colours = Image.new("RGB", (32, 32), (1, 2, 3))
    colours.paste((0, 0, 0), (8, 8, 24, 24))
    files.append(encoded(colours, "PNG", transparency=(1, 2, 3)))
    for data in files:
        assert (opened(data) == wanted).all()


def test_half_transparency_is_mixed_with_white():
    assert opened(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG"))[0, 0, 0] == 127


NOISE = encoded(
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)), "PNG"
)
AT = NOISE.index(b"IDAT")
BROKEN = {
    "PNG with a bit turned": (
        NOISE[: AT + 30] + bytes([NOISE[AT + 30] ^ 1]) + NOISE[AT + 31 :],
        "",
    ),
    "PNG with another checksum": (NOISE[:-20] + b"\0" * 8 + NOISE[-12:], "checksum"),
    "PNG without its end": (NOISE[:-12], "truncated"),
    "empty": (b"", "the file is empty"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "`%!PS-Adobe-3`"),
    "web page": (b"<!DOCTYPE html>\r\n", "`<!DOCTYPE ht`"),
    "invisible": (b"\0\r\n\x1b[31m" * 9, r"`\x00\r\n\x1b[31m"),
    "TIFF": (encoded(two_halves(), "TIFF"), "not a JPEG, PNG, WebP, GIF or BMP file"),
    "cut JPEG": (encoded(two_halves(), "JPEG")[:-80], ""),
    "cut PNG": (encoded(two_halves(), "PNG")[:-30], ""),
    "cut WebP": (encoded(two_halves(), "WEBP")[:-30], ""),
    "cut GIF": (encoded(two_halves(), "GIF")[:60], ""),
    "cut BMP": (encoded(two_halves(), "BMP")[:60], ""),
    "bomb": (png(30000, 30000, 8, 2, [])[0], ""),
    "small bomb": (png(10000, 10000, 8, 2, [])[0], f"at most {MAX_PIXELS:,}"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_pictures_are_one_line(tmp_path, name):
    data, wrong = BROKEN[name]
    file = tmp_path / "a.jpg"
    file.write_bytes(data)
    with pytest.raises(DataError) as caught:
        Picture("a.jpg", path=file).open()
    (line,) = caught.value.problems
    assert line.startswith(f"{file}: can't be read as a picture (")
    assert line.isprintable()
    assert wrong in line
    assert " object at 0x" not in line
    assert "replace it, or remove it" in line


def test_what_is_no_file_is_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name in ("pipe.jpg", "folder.jpg", "none.jpg"):
        with pytest.raises(DataError, match=r"\.jpg: can't be read as a picture \(\w"):
            Picture(name, path=tmp_path / name).open()


def test_an_eps_never_starts_ghostscript(monkeypatch):
    from PIL import EpsImagePlugin

    def refuse(*args, **kwargs):
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", refuse)
    eps = encoded(two_halves(), "EPS")
    Image.open(io.BytesIO(eps))  # Pillow itself would take it
    assert not readable(Picture("a.jpg", data=eps))


@pytest.fixture
def posts(tmp_path):
    """Six sentences with a picture each; number 5, in test, is an empty file."""
    (tmp_path / "images").mkdir()
    for split, ids in {"train": "123", "dev": "4", "test": "56"}.items():
        rows = "\n\n".join(f"IMGID:{id}\nAnna\tB-PER\nsaw\tO" for id in ids)
        (tmp_path / f"{split}.txt").write_text(rows)
        for id in ids:
            data = b"" if id == "5" else encoded(two_halves(), "JPEG")
            (tmp_path / "images" / f"{id}.jpg").write_bytes(data)
    return tmp_path


def test_broken_pictures_are_found_before_training(posts):
    splits = Bio(posts, path=".", images="images").read()
    (problem,) = verify_pictures(splits, posts / "cache")
    assert problem.startswith(f"{posts / 'images/5.jpg'}: can't be read as a picture (the file is")
    assert problem.endswith("(test: 5)")
    assert "test: 1 picture can't be decoded: 5.jpg" in check(splits)


def test_whole_pictures_are_decoded_once(posts, monkeypatch):
    calls = []
    once = Picture.open
    monkeypatch.setattr(Picture, "open", lambda self: [calls.append(self.name), once(self)][1])
    splits = Bio(posts, path=".", images="images").read()
    for decoded in ("123456", "5", "5"):
        verify_pictures(splits, posts / "cache")
        assert sorted(calls) == [f"{id}.jpg" for id in decoded]
        calls.clear()
    (posts / "images/5.jpg").write_bytes(encoded(two_halves(), "PNG"))
    (posts / "images/2.jpg").write_bytes(encoded(two_halves(), "GIF")[:50])
    (problem,) = verify_pictures(splits, posts / "cache")
    assert "2.jpg" in problem
    assert sorted(calls) == ["2.jpg", "5.jpg"]
    (posts / "cache/pictures-verified").write_bytes(b"\xff torn")
    calls.clear()
    verify_pictures(splits, posts / "cache")
    assert len(calls) == 6


def test_a_cache_that_can_not_be_written_changes_nothing(posts):
    splits = Bio(posts, path=".", images="images").read()
    assert len(verify_pictures(splits, posts / "train.txt" / "cache")) == 1


def test_many_broken_pictures_are_counted(tmp_path):
    samples = [Sample(str(n), ("a",), picture=Picture(f"{n}", data=b"no")) for n in range(30)]
    samples += [Sample("none", ("a",))]
    problems = verify_pictures({"train": samples}, tmp_path)
    assert len(problems) == PROBLEMS_SHOWN + 1
    assert problems[-1] == f"{30 - PROBLEMS_SHOWN} more pictures can't be read"


def test_a_folder_of_which_nothing_matches(posts):
    for n, file in enumerate(sorted((posts / "images").iterdir())):
        file.rename(file.with_name(f"photo{n}.jpg"))
    with pytest.raises(DataError) as caught:
        Bio(posts, path=".", images="images").read()
    assert caught.value.problems[0].startswith(
        f"{posts / 'images'}: none of the 6 pictures that sentences name is here; looked for "
        f"1, 2, 3, …, but the files there are called photo0.jpg, photo1.jpg, photo2.jpg, …; "
    )
    (posts / "images" / "photo0.jpg").rename(posts / "images" / "6.jpg")
    assert notes(Bio(posts, path=".", images="images").read()) == [
        "train: 3 pictures are named and absent: 1, 2, 3",
        "dev: 1 picture is named and absent: 4",
        "test: 1 picture is named and absent: 5",
    ]


@pytest.mark.parametrize(
    ("files", "wrong"),
    [([], "but the folder is empty"), (["1.txt", "notes.md"], "called 1.txt, notes.md")],
)
def test_a_folder_without_pictures(posts, files, wrong):
    for file in (posts / "images").iterdir():
        file.unlink()
    for name in files:
        (posts / "images" / name).write_text("no picture")
    with pytest.raises(DataError, match=wrong):
        Bio(posts, path=".", images="images").read()


def test_a_file_in_place_of_the_folder(posts):
    with pytest.raises(DataError, match=r"dev\.txt: not a folder"):
        Bio(posts, path=".", images="dev.txt").read()


@pytest.mark.parametrize("image", [7, "7", "7.jpg", ["7.jpg"]])
def test_pictures_that_json_names(tmp_path, image):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "7.webp").write_bytes(encoded(two_halves(), "WEBP"))
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.jsonl").write_text('{"words": ["a"], "entities": [], "image": "8"}')
    with pytest.raises(DataError, match=r"images: none of the 3 pictures .* called 7\.webp"):
        Jsonl(tmp_path, path=".").read()
    import json

    line = json.dumps({"words": ["a"], "entities": [], "image": image})
    (tmp_path / "dev.jsonl").write_text(line)
    splits = Jsonl(tmp_path, path=".").read()
    assert splits["dev"][0].picture.name == "7.webp"
    assert [note for note in notes(splits) if "picture" in note] == [
        "train: 1 picture is named and absent: train-1",
        "test: 1 picture is named and absent: test-1",
    ]
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.jsonl").write_text('{"words": ["a"], "entities": [], "img": "7"}')
    with pytest.raises(DataError, match="no sentence names a picture, but the files there"):
        Jsonl(tmp_path, path=".").read()
