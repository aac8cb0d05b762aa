"""Reader ``bio``: a word and its tag a line, in the formats that NER data comes in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from zoo.data.blocks import Block, Columns, read_blocks
from zoo.data.boxes import FIELD, Boxes
from zoo.data.captions import Captions
from zoo.data.files import (
    Ids,
    Split,
    beside,
    dataset_folder,
    map_types,
    split_files,
)
from zoo.data.findings import Tally
from zoo.data.pictures import PictureFolder
from zoo.data.splitting import completed
from zoo.errors import ConfigError, DataError, near
from zoo.files import uncollected
from zoo.registry import register
from zoo.tags import Reading, read_tags, scheme_of
from zoo.types import Entity, Picture, Sample, Splits

SUFFIXES = (".txt", ".conllu", ".conll", ".bio", ".iob", ".iob2", ".tsv")


@register("reader", "bio")
class Bio:
    """A folder of column files: IMGID blocks (UMT), CoNLL columns, or index, word and tag.

    The format is found by looking: columns are separated by tabs or, in lines without any, by
    spaces; the word is the first of 2 to 4 columns (the second where the first counts words) and
    the tag is the last. A blank line ends a sentence. The id of a sentence is its IMGID, else
    ``<split>-<n>``; ``<language>/`` stands before it where there are several languages.

    Cites: yu-etal-2020-improving-multimodal, tjong-kim-sang-de-meulder-2003-introduction

    Args:
        root: the folder that data paths are relative to.
        path: the folder with the files train, dev (valid, val, validation) and test; or one file,
            of which the splits are made (see :func:`zoo.data.splitting.completed`).
        captions: a captions file in that folder (see :func:`zoo.data.captions.read_captions`).
        images: the folder of the pictures, in that folder; it need not be there.
        boxes: a file in that folder with the boxes in each picture, for the encoder ``crops`` (see
            :func:`zoo.data.boxes.read_boxes`).
        labels: entity types to rename, applied after reading.
        tags: how tags are read into entities (see :func:`zoo.tags.read_tags`).
        languages: sub-folders of ``path``, one a language, each with its three files.
        splits: file names where they are others.
        columns: which column is the word and which the tag, counted from 0 (from -1 backwards).
        id: what the line looks like that begins a sentence with its id, if it is not ``IMGID:1``:
            ``WID`` for ``WID:1``, ``# id {}`` for ``# id 1``.
        language: the language of a set of one.
    """

    example: ClassVar[dict[str, Any]] = {"path": "posts", "captions": "captions.txt"}
    example_files: ClassVar[dict[str, str]] = {
        "posts/train.txt": "IMGID:1\nAda\tB-PER\nLovelace\tI-PER\nwrites\tO\n",
        "posts/dev.txt": "IMGID:2\nin\tO\nLondon\tB-LOC\n",
        "posts/test.txt": "IMGID:3\nParis\tB-LOC\n\nIMGID:4\nhello\tO\n",
        "posts/captions.txt": "1.jpg :a woman at a desk\n",
    }

    def __init__(
        self,
        root: Path,
        *,
        path: str,
        captions: str | None = None,
        images: str | None = None,
        boxes: str | None = None,
        labels: dict[str, str] | None = None,
        tags: Reading = "lenient",
        languages: Annotated[list[str], Field(min_length=1)] | None = None,
        splits: dict[Split, str] | None = None,
        columns: Columns | None = None,
        id: str | None = None,
        language: str | None = None,
    ) -> None:
        if languages and language:
            raise ConfigError("`language` is of a set of one; `languages` names those of several")
        self._columns = columns
        self._mark = id
        self._language = language
        self._root = root
        self._path = path
        self._captions = captions
        self._images = images
        self._boxes = boxes
        self._labels = labels or {}
        self._reading: Reading = tags
        self._languages = languages
        self._names = splits

    @uncollected()
    def read(self) -> Splits:
        """Train, dev and test, in file order, one language after the other.

        Raises:
            DataError: a file is missing, empty or malformed; names the file and the line. Or no
                picture of the folder, or no caption or boxes of the file, belongs to a sentence.
        """
        folder = dataset_folder(self._root, self._path)
        splits: Splits = {}
        beside_text = _Beside(self._images, self._captions, self._boxes)
        if self._languages is None:
            self._read_folder(self._root / self._path, folder, None, splits, beside_text)
        for language in dict.fromkeys(self._languages or ()):
            inner = folder / language
            if not inner.is_dir():
                there = [entry.name for entry in folder.iterdir() if entry.is_dir()]
                raise DataError(
                    f"{inner}: no such folder, but `languages` names it{near(language, there)}"
                )
            self._read_folder(inner, folder, language, splits, beside_text)
        beside_text.check()
        splits = completed(splits, beside_text.tally)
        return beside_text.tally.read(map_types(splits, self._labels, folder))

    def _read_folder(
        self,
        folder: Path,
        outer: Path,
        language: str | None,
        splits: Splits,
        beside_text: _Beside,
    ) -> None:
        captions, pictures, boxes = beside_text.of(folder, outer, self._root)
        tally, ids = beside_text.tally, beside_text.ids
        prefix = f"{language}/" if language else ""
        whole = language is not None
        for split, file in split_files(folder, SUFFIXES, self._names, whole).items():
            tally.split = split
            samples = splits.setdefault(split, [])
            blocks = read_blocks(file, tally, self._columns, self._mark)
            scheme = scheme_of(set(chain.from_iterable(block.tags for block in blocks)))
            for n, block in enumerate(_taken(blocks), 1):
                name = block.id or f"{split}-{n}"
                id = ids.unique(prefix + name, split, tally)
                if not block.id:
                    tally.made_ids.add(id)
                picture = pictures.find(name, f"{file}:{block.line}") if pictures else None
                caption = captions.find(name) if captions else None
                inside = boxes.find(name) if boxes else None
                more: tuple[Picture, ...] = ()
                if block.id and pictures and pictures.exists:
                    if picture is None:
                        tally("picture absent", id)
                        tally.absent.add(id)
                    elif more := pictures.more(name, f"{file}:{block.line}"):
                        tally("several pictures", id)
                if captions and caption is None:
                    tally("caption absent", id)
                if boxes and inside is None:
                    tally("boxes absent", id)
                samples.append(
                    Sample(
                        id=id,
                        words=tuple(block.words),
                        entities=beside_text.shared(
                            tuple(read_tags(block.tags, self._reading, scheme))
                        ),
                        language=language or self._language,
                        picture=picture,
                        caption=caption or None,
                        extra={} if inside is None else {FIELD: inside},
                        more_pictures=more,
                    )
                )


def _taken(blocks: list[Block]) -> Iterator[Block]:
    """The blocks in order, each given up when it is taken, so that they need not be kept beside
    what is made of them."""
    blocks.reverse()
    while blocks:
        yield blocks.pop()


class _Beside:
    """What belongs to the texts of a dataset: pictures, captions, boxes, ids, and what was
    noticed."""

    def __init__(self, images: str | None, captions: str | None, boxes: str | None) -> None:
        self._images, self._captions, self._boxes = images, captions, boxes
        self._boxed: dict[Path, Boxes] = {}
        self._folders: dict[Path, PictureFolder] = {}
        self._files: dict[Path, Captions] = {}
        self.tally, self.ids = Tally(), Ids()
        self._entities: dict[tuple[Entity, ...], tuple[Entity, ...]] = {}

    def shared(self, entities: tuple[Entity, ...]) -> tuple[Entity, ...]:
        """The same entities; sentences with equal ones share them in memory."""
        return self._entities.setdefault(entities, entities)

    def of(self, *places: Path) -> tuple[Captions | None, PictureFolder | None, Boxes | None]:
        """What is in the first of the places that has it."""
        captions = pictures = boxes = None
        if self._captions:
            file = beside(self._captions, *places)
            if file not in self._files:
                self._files[file] = Captions(file)
            captions = self._files[file]
        if self._images:
            folder = beside(self._images, *places)
            if folder not in self._folders:
                self._folders[folder] = PictureFolder(folder)
            pictures = self._folders[folder]
        if self._boxes:
            file = beside(self._boxes, *places)
            if file not in self._boxed:
                self._boxed[file] = Boxes(file)
            boxes = self._boxed[file]
        return captions, pictures, boxes

    def check(self) -> None:
        """Raises DataError where a folder or file has nothing that belongs to a sentence."""
        for folder in self._folders.values():
            folder.check()
        for file in self._files.values():
            file.check()
        for boxed in self._boxed.values():
            boxed.check()
        absent = [folder for folder in self._folders.values() if not folder.exists]
        if absent:
            sought = sum(folder.sought for folder in absent)
            self.tally.add(
                f"there is no picture folder `{self._images}`: {sought} sentences are without "
                f"their picture"
            )
