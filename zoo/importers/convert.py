"""From files of any known format to a folder that reader ``jsonl`` reads."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path

from zoo.data.files import SPLITS, Ids, Split
from zoo.data.findings import counted, some
from zoo.data.jsonl import write_jsonl
from zoo.data.pictures import BEGINNINGS, PictureFolder, picture_id
from zoo.data.splitting import SHARES, shuffled
from zoo.errors import DataError
from zoo.files import owner, sweep_beside
from zoo.importers.documents import Conversion, Document, Sentence
from zoo.importers.formats import FORMATS, guess, read
from zoo.importers.hf_ import card_of
from zoo.importers.record import image_names, uploaded
from zoo.types import Picture, Sample, Splits

MOST_FAULTS = 100
"""Faults that are told at once."""


@dataclass
class Imported:
    """What was made of the files.

    Args:
        splits: the samples; a split that nothing fell into is empty.
        findings: what was noticed, one line each.
        chosen: how the splits came about, in a sentence.
        made_ids: the ids that stand for none in the files; they are not written.
    """

    splits: Splits
    findings: list[str] = field(default_factory=list)
    chosen: str = ""
    made_ids: frozenset[str] = frozenset()


def convert(
    files: Sequence[Path],
    kind: str | None,
    conversion: Conversion,
    shares: Sequence[float] | None = None,
    seed: int = 0,
    images: Path | None = None,
    names: list[str] | None = None,
) -> Imported:
    """Read files, turn their spans into entities over words, and split.

    Args:
        kind: a format of ``FORMATS``; None: found by looking.
        shares: of train, dev and, if there are three, test; None: as the files are named, else
            80/10/10. What belongs to one picture or one text stays together.
        images: the folder of pictures, looked up by the name or the id of a document; by an id of
            several files none, for it need not be the same post.
        names: the tags that numbers stand for.

    Raises:
        DataError: everything that is wrong, one line each.
    """
    made: list[tuple[Split | None, Sentence]] = []
    files, twice = _distinct(files, kind)
    of_id = defaultdict[str | None, set[Path]](set)
    for file in files:
        split = _split_of(file)
        try:
            documents = _documents(file, kind, names)
        except DataError as error:  # the other files' faults are told with it
            conversion.faults += error.problems
            continue
        conversion.look(documents)
        for document in documents:
            of_id[document.id].add(file)
            made += [(split, sentence) for sentence in conversion.sentences(document)]
    if conversion.faults:
        _refuse(conversion.faults)
    cards = {
        card[0]: card[1]
        for file in files
        if names is None and (kind or guess(file)) == "hf" and (card := card_of(file))
    }
    if not made:
        why = "; ".join(conversion.findings())
        raise DataError(f"{some(map(str, files))}: no sentence in there{why and f' ({why})'}")
    folder = PictureFolder(images) if images is not None else None
    absent, others, shared = list[str](), list[str](), list[str]()
    ids, given = Ids(), {sentence.document.id for _, sentence in made}
    made_ids = set[str]()
    free = (name for name in map(str, count(1)) if name not in given)
    samples: list[tuple[Split | None, Sample]] = []
    repeated, known = list[str](), dict[str, Picture]()
    written = defaultdict[str, dict[str, str]](dict)  # by file, the names that it answers to
    for split, sentence in made:
        document = sentence.document
        if not (id := document.id):
            made_ids.add(id := next(free))
        if document.id and sentence.number:
            id = f"{id}.{sentence.number}"
        found = list[Picture]()
        for name, data in document.pictures:
            if data:
                found.append(_embedded(data, name or id, known))
            elif folder and name:
                own = _named(folder, name, document.where)
                found += [_alone(picture, known) for picture in own]
                for picture in own:
                    written[picture.name].setdefault(image_names(name)[0], document.where)
                if not own:
                    last = image_names(name)[-1]
                    (others if folder.other(last) else absent).append(last)
        if folder and document.id and not document.pictures:
            if len(of_id[document.id]) > 1:
                shared += [document.id] if folder.has(document.id) else []
            else:
                own = _named(folder, document.id, document.where, (document.id,))
                found += [_alone(picture, known) for picture in own]
        if len(found) > 1 and "pictures" not in document.noticed:
            conversion.notice("pictures", document.where)
        sample = Sample(
            ids.unique(id, "", lambda _, id: repeated.append(id)),
            sentence.words,
            sentence.entities,
            document.language,
            found[0] if found else None,
            document.caption,
            document.extra,
            tuple(found[1:]),
        )
        samples.append((split, sample))
    findings = conversion.findings()
    if twice:
        what = ("file is named twice, and read once", "files are named twice, and read once")
        findings.append(f"{counted(len(twice), *what)} (.ann of brat with its .txt): {some(twice)}")
    findings += [
        f"where tags are numbers, {card} names them: "
        + ", ".join(f"{number} = {tag}" for number, tag in enumerate(tags))
        for card, tags in cards.items()
    ]
    findings += _answering(written)
    if others:
        what = ("picture is there and is none", "pictures are there and are none")
        kinds = "of the formats JPEG, PNG, WebP, GIF and BMP"
        findings.append(f"{counted(len(others), *what)} {kinds}: {some(others)}")
    if shared:
        what = ("post gets no picture by its id", "posts get no pictures by their ids")
        findings.append(
            f"{counted(len(shared), *what)}, which stands in several files; name the picture in "
            f"`image`: {some(shared)}"
        )
    if absent:
        what = ("picture is named and absent", "pictures are named and absent")
        findings.append(f"{counted(len(absent), *what)}: {some(absent)}")
    if repeated:
        what = ("id repeats and gets a number", "ids repeat and get numbers")
        findings.append(f"{counted(len(repeated), *what)}: {some(dict.fromkeys(repeated))}")
    if folder and folder.sought:
        folder.check()
    named = all(split is not None for split, _ in samples)
    if shares is None and named and any(split == "train" for split, _ in samples):
        splits: Splits = {name: [s for split, s in samples if split == name] for name in SPLITS}
        how = "the splits are those of the files"
        return Imported(splits, findings, how, frozenset(made_ids))
    shares = shares or SHARES
    posts = [sentence.document.id or sentence.document.where for _, sentence in made]
    splits = shuffled([sample for _, sample in samples], shares, seed, posts)
    percent = "/".join(f"{100 * share:g}" for share in shares)
    how = f"split {percent} with seed {seed}"
    return Imported(splits, findings, how, frozenset(made_ids))


def write(imported: Imported, out: Path) -> None:
    """Write the splits as JSONL, with the pictures that they name in ``images``: all or nothing.

    Raises:
        DataError: the folder is there and not empty, or can't be written.
    """
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise DataError(f"{out}: is there already; name another folder, or remove it")
        out.parent.mkdir(parents=True, exist_ok=True)
        sweep_beside(out)
        made = out.with_name(f".{out.name}.{owner()}.tmp")
        try:
            _fill(made, imported)
            made.replace(out)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise DataError(f"{error.filename or out}: {error.strerror}") from error


def _fill(folder: Path, imported: Imported) -> None:
    folder.mkdir()
    for split, samples in imported.splits.items():
        if samples:
            write_jsonl(folder / f"{split}.jsonl", samples, without=imported.made_ids)
    for sample in chain.from_iterable(imported.splits.values()):
        for picture in sample.pictures:
            target = folder / "images" / picture.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                continue
            if picture.path is not None:
                shutil.copyfile(picture.path, target)
            else:
                target.write_bytes(picture.read())


def _documents(file: Path, kind: str | None, names: list[str] | None) -> list[Document]:
    if not file.exists():
        raise DataError(f"{file}: no such file")
    own = kind or guess(file)
    if own is None:
        raise DataError(f"{file}: its format is not known; name it: --from {'|'.join(FORMATS)}")
    return list(read(own, file, names))


def _distinct(files: Sequence[Path], kind: str | None) -> tuple[list[Path], list[str]]:
    """The files, each once, and those that would be read again: also within a folder that is
    named, or brat's ``.ann``, which is read with its ``.txt``."""
    known, twice = dict[Path, Path](), list[str]()
    folders = {file.resolve() for file in files if file.is_dir()}
    for file in files:
        real = file.resolve()
        if real.suffix == ".ann" and kind in (None, "brat"):
            real = real.with_suffix(".txt")
        if real in known or not folders.isdisjoint(real.parents):
            twice.append(str(file))
        else:
            known[real] = file
    return list(known.values()), twice


def _named(
    folder: PictureFolder, written: str, where: str, names: Sequence[str] = ()
) -> list[Picture]:
    """The pictures of a name, path or URL: several where several files bear it.

    Args:
        names: what to look for; by default what the path may mean.
    """
    sought = names or image_names(written)
    name = next((name for name in sought if folder.has(name)), sought[-1])
    return folder.all(name, where)


def _answering(written: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Pictures that several names lead to, by their ends, which may have been several pictures.

    Args:
        written: by picture the paths that lead to it, each with where it is first written.

    Raises:
        DataError: they were several: uploads that the tool told apart.
    """
    faults, findings = list[str](), list[str]()
    for name, places in written.items():
        uploads = [path for path in places if uploaded(path)]
        if len(uploads) > 1:
            faults.append(
                f"{', '.join(places[path] for path in uploads)}: `{'` and `'.join(uploads)}` are "
                f"several uploads and would all be the picture {name}; give each its own name"
            )
        elif len(places) > 1:
            findings.append(f"one picture for several names: {name} for {some(places)}")
    if faults:
        _refuse(faults)
    return findings


def _alone(picture: Picture, known: dict[str, Picture]) -> Picture:
    """A picture of the folder; another name where one of other content has its own."""
    there = known.setdefault(picture.name, picture)
    if there is picture or there.path == picture.path or there.digest() == picture.digest():
        return picture
    name, suffix = picture_id(picture.name), Path(picture.name).suffix
    return _alone(replace(picture, name=f"{name}-{picture.digest()[:12]}{suffix}"), known)


def _embedded(data: bytes, name: str, known: dict[str, Picture]) -> Picture:
    """A picture that lies in the file of documents; no two have one name."""
    name = image_names(name)[-1]
    suffix = next((suffix for start, suffix in BEGINNINGS.items() if data.startswith(start)), "")
    if picture_id(name) == name:
        name += suffix
    made = Picture(name, data=data)
    if known.setdefault(name, made).digest() == made.digest():
        return made
    return _embedded(data, f"{picture_id(name)}-{made.digest()[:12]}{suffix}", known)


def _split_of(file: Path) -> Split | None:
    """The split that a file's name says, as in ``train.jsonl`` or ``train-00000-of-00001``."""
    stem = re.split(r"[-_.\d]", file.stem.lower())[0]
    return next((split for split, names in SPLITS.items() if stem in names), None)


def _refuse(faults: Sequence[str]) -> None:
    more = len(faults) - MOST_FAULTS
    told = [*faults[:MOST_FAULTS], *([f"… and {more} more"] if more > 0 else [])]
    raise DataError(*told)
