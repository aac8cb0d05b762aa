"""The contract of text, image and joint encoders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from zoo import schema
from zoo.contracts.common import announced, announced_width, described, losses, tensor
from zoo.contracts.inputs import Subject, equal, near, read, sees, tensors
from zoo.errors import DataError
from zoo.microbatches import obstacle
from zoo.parts import ImageEncoder, JointEncoder
from zoo.types import Picture, Sample, Text, View

ODD = ("\u00a0", "\ufe0f", "<unk>", "\u200b", "Ünïcödé", "a" * 500, "👍🏽", "[SEP]")
"""Words that tokenizers turn into nothing, into something else, or into very much."""

SHOWN = ("picture", "caption")
"""The fields of a sample that make a view."""


def text_of(output: Any) -> Any:
    """The Text in an encoder's output; None for an image encoder."""
    return output[0] if isinstance(output, tuple) else output if type(output) is Text else None


def views_of(output: Any) -> Mapping[str, Any]:
    """The views in an encoder's output, by name; an image encoder's has none (``""``)."""
    if isinstance(output, tuple):
        views: Mapping[str, Any] = output[1]
        return views
    return {"": output} if type(output) is View else {}


def shows(encoder: Any, sample: Sample) -> bool:
    """Whether a sample has what an encoder makes its views of."""
    things = [getattr(sample, field) for field in (sees(encoder) & set(SHOWN)) or ("picture",)]
    return any(bool(t.strip()) if isinstance(t, str) else t is not None for t in things)


# What it returns ---------------------------------------------------------------------------------


def returned(subject: Subject) -> Iterator[str]:
    """the batch of samples"""
    for mode in (False, True):
        encoder = subject.build().train(mode)
        output = read(encoder, subject.samples)
        faults = list(_returned(encoder, output, subject))
        yield from faults
        if faults:
            return


def _returned(encoder: Any, output: Any, subject: Subject) -> Iterator[str]:
    kind = subject.spec.kind
    if kind == "text_encoder" and type(output) is not Text:
        yield f"forward returns {described(output)}, not a zoo.types.Text"
    elif kind == "image_encoder" and type(output) is not View:
        yield f"forward returns {described(output)}, not a zoo.types.View"
    elif kind == "joint_encoder" and not (
        isinstance(output, tuple)
        and len(output) == 2
        and type(output[0]) is Text
        and isinstance(output[1], Mapping)
        and all(type(view) is View for view in output[1].values())
    ):
        yield f"forward returns {described(output)}, not (Text, {{name: View}})"
    else:
        text, views = text_of(output), views_of(output)
        if text is not None:
            yield from _text(text, encoder, subject.samples)
        specs = getattr(encoder, "view_specs", None)
        if specs is not None and specs.keys() != views.keys():
            yield f"`view_specs` names {sorted(specs)}, and the views are {sorted(views)}"
            return
        for name, view in views.items():
            spec = specs[name] if specs else encoder
            yield from _view(view, spec, encoder, subject.samples, f"{name}." if name else "")


def _text(text: Text, encoder: Any, samples: Sequence[Sample]) -> Iterator[str]:
    lengths = [len(sample.words) for sample in samples]
    batch, most = len(samples), max(lengths)
    width = announced_width(encoder)
    made = [
        *tensor(text.tokens, "tokens", (batch, most, None), "(B, N, D)"),
        *tensor(text.sentence, "sentence", (batch, None), "(B, D)"),
        *tensor(text.mask, "mask", (batch, most), "(B, N)"),
        *announced(text.tokens, "tokens", width),
        *announced(text.sentence, "sentence", width),
    ]
    for name, shape, form in (
        ("last", (batch, most, width), "(B, N, D)"),
        ("pieces", (batch, most), "(B, N)"),
    ):
        if getattr(text, name) is not None:
            made += tensor(getattr(text, name), name, shape, form)
    yield from made
    if made:
        return
    if text.mask.dtype != torch.bool:
        yield f"mask is {text.mask.dtype}, not bool"
    elif [row.nonzero().flatten().tolist() for row in text.mask] != [[*range(n)] for n in lengths]:
        yield "mask is not True at each word and False behind the last one"
    yield from losses(encoder, text.losses)


def _view(view: View, spec: Any, encoder: Any, samples: Sequence[Sample], at: str) -> Iterator[str]:
    width = announced_width(spec)
    batch, fixed = len(samples), getattr(spec, "regions", None)
    source = "view_specs" if isinstance(encoder, JointEncoder) else "width"
    made = [
        *tensor(view.regions, f"{at}regions", (batch, fixed, None), "(B, R, D)"),
        *tensor(view.pooled, f"{at}pooled", (batch, None), "(B, D)"),
        *announced(view.regions, f"{at}regions", width, source),
        *announced(view.pooled, f"{at}pooled", width, source),
    ]
    if not made:
        made += tensor(view.mask, f"{at}mask", (batch, view.regions.shape[1]), "(B, R)")
    yield from made
    if made:
        return
    if view.mask.dtype != torch.bool:
        yield f"{at}mask is {view.mask.dtype}, not bool"
        return
    there = [shows(encoder, sample) for sample in samples]
    if view.present.tolist() != there:
        yield (
            f"{at}mask: a row is to be all False exactly where the sample has no "
            f"{' or '.join(sorted(sees(encoder) & set(SHOWN)) or ['picture'])}"
        )
        return
    if fixed and not (view.mask == view.present.unsqueeze(1)).all():
        yield f"`regions` announces {fixed} for every picture, and {at}mask has fewer in some row"
    if view.regions[~view.mask].any() or view.pooled[~view.present].any():
        yield f"{at}regions and pooled are not zero where the mask is empty"
    if isinstance(encoder, ImageEncoder) and not view.pooled[there].abs().sum(1).gt(0).all():
        yield f"{at}pooled is zero for a sample that has a picture"
    yield from losses(encoder, view.losses)


# How it behaves ----------------------------------------------------------------------------------


def neighbours(subject: Subject) -> Iterator[str]:
    """each sample alone, and the batch reversed"""
    encoder, samples = subject.build().eval(), list(subject.samples)
    with torch.no_grad():
        together = read(encoder, samples)
        back = read(encoder, samples[::-1])
        alone = [read(encoder, [sample]) for sample in samples]
    for i, sample in enumerate(samples):
        for other, row in ((alone[i], 0), (back, len(samples) - 1 - i)):
            if not all(near(a, b) for a, b in _rows(other, row, together, i, sample)):
                yield (
                    "a sample's output changes with the other samples of the batch (by more than "
                    "1e-5): padding is read, or rows are mixed"
                )
                return


def neighbours_in_training(subject: Subject) -> Iterator[str]:
    """each sample alone, in training"""
    encoder, samples = subject.build().train(), list(subject.samples)
    if obstacle(encoder) is not None:
        return  # it is never run on a part of a batch
    for module in encoder.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, float) and (name == "p" or "drop" in name):  # a dropout's rate
                setattr(module, name, 0.0)
    with torch.no_grad():
        together, again = read(encoder, samples), read(encoder, samples)
        every = [(together, again, i) for i in range(len(samples))]
        if not all(
            near(a, b) for one, two, i in every for a, b in _rows(one, i, two, i, samples[i])
        ):
            return  # it draws numbers in some other way: nothing can be compared
        alone = [read(encoder, [sample]) for sample in samples]
    for i, sample in enumerate(samples):
        if not all(near(a, b) for a, b in _rows(alone[i], 0, together, i, sample)):
            yield (
                "in training, a sample's output changes with the other samples of the batch (by "
                "more than 1e-5), so a batch can't be encoded a few samples at a time: rows are "
                "mixed"
            )
            return


def _rows(one: Any, i: int, other: Any, j: int, sample: Sample) -> Iterator[tuple[Tensor, Tensor]]:
    """What belongs to one sample in two outputs."""
    if (text := text_of(one)) is not None:
        n, same = len(sample.words), text_of(other)
        yield text.tokens[i, :n], same.tokens[j, :n]
        yield text.sentence[i], same.sentence[j]
        if text.last is not None:
            yield text.last[i, :n], same.last[j, :n]
    for name, view in views_of(one).items():
        again = views_of(other)[name]
        yield view.regions[i][view.mask[i]], again.regions[j][again.mask[j]]
        yield view.pooled[i], again.pooled[j]


def every_word(subject: Subject) -> Iterator[str]:
    """odd words and long sentences"""
    encoder = subject.build().eval()
    for words in (ODD, ("x",), tuple(f"word{i}" for i in range(300)), ODD * 20):
        with torch.no_grad():
            text = text_of(read(encoder, [Sample("odd", words)]))
        if text.tokens.shape[:2] != (1, len(words)) or int(text.mask.sum()) != len(words):
            yield (
                f"a sentence of {len(words)} words has {int(text.mask.sum())} vectors: no word may "
                "be cut or dropped"
            )
            return
        if not text.tokens.isfinite().all() or not text.tokens[0].abs().sum(1).gt(0).all():
            word = next(
                w for w, v in zip(words, text.tokens[0], strict=True) if not v.abs().sum() > 0
            )
            yield f"the word {word[:20]!r} has no vector (zero or NaN)"
            return


def what_it_sees(subject: Subject) -> Iterator[str]:
    """what it may read of a sample"""
    encoder, samples = subject.build().eval(), subject.samples
    read_ = set(schema.sees(subject.spec))
    if read_ - {"words", *SHOWN}:  # the names of further texts
        read_.add("extra")
    if isinstance(encoder, ImageEncoder):
        changes: dict[str, Any] = {"words": ("other",)}
    else:
        changes = {"language": None}
        read_ |= {"words"}
    if isinstance(encoder, JointEncoder):
        read_ = read_ or {"picture"}
        read_ |= {"words", "picture"}
    empty = {"entities": (), "picture": None, "caption": None, "extra": {}, **changes}
    hidden = {f.name: empty[f.name] for f in fields(Sample) if f.name in empty.keys() - read_}
    with torch.no_grad():
        first = tensors(read(encoder, samples))
        for name, value in hidden.items():
            if name == "language":
                continue  # an encoder may know the language
            bare = [replace(sample, **{name: value}) for sample in samples]
            if not equal(first, tensors(read(encoder, bare))):
                said = f"`sees` names {', '.join(sorted(schema.sees(subject.spec)))}"
                yield f"it reads `{name}` of a sample, which it does not announce ({said})"


def preparing(subject: Subject) -> Iterator[str]:
    """prepare and collate"""
    encoder = subject.build().train()
    first, second = (
        _leaves(encoder.collate([encoder.prepare(sample) for sample in subject.samples]))
        for _ in range(2)
    )
    if len(first) != len(second) or not all(map(torch.equal, first, second)):
        yield (
            "`prepare` gives other inputs when called again: it is called once a sample and its "
            "result is kept, so it has to be a function of the sample alone"
        )
    if isinstance(encoder, ImageEncoder):
        for sample in subject.samples:
            if (encoder.prepare(sample) is None) == shows(encoder, sample):
                yield "`prepare` has to return None exactly where there is no picture (or caption)"
                return


def _leaves(inputs: Any) -> list[Tensor]:
    """The tensors in an encoder's inputs, of whatever type."""
    if isinstance(inputs, Tensor):
        return [inputs]
    values = list(inputs.values()) if isinstance(inputs, Mapping) else inputs
    return [t for each in values for t in _leaves(each)] if isinstance(values, list | tuple) else []


def no_picture(subject: Subject) -> Iterator[str]:
    """a batch without any picture"""
    samples = [Sample("1", ("a",)), Sample("2", ("b", "c"))]
    for mode in (True, False):
        encoder = subject.build().train(mode)
        output = read(encoder, samples)
        specs = getattr(encoder, "view_specs", None)
        for name, view in views_of(output).items():
            width = announced_width(specs[name] if specs else encoder)
            yield from announced(view.regions, "without any picture in the batch, regions", width)
            if view.regions.shape[::2] != (2, view.pooled.shape[1]) or len(view.pooled) != 2:
                yield (
                    f"without any picture in the batch, regions are {tuple(view.regions.shape)} "
                    f"and pooled {tuple(view.pooled.shape)}; there have to be two rows"
                )
            elif view.mask.any() or view.regions.any() or view.pooled.any():
                yield "without any picture in the batch, its mask or vectors are not empty"
        if not all(value.isfinite().all() for value in tensors(output)):
            yield "without any picture in the batch, it returns NaN or infinity"


def other_pictures(subject: Subject) -> Iterator[str]:
    """two different pictures"""
    encoder = subject.build().eval()
    field = next(iter(sees(encoder) & set(SHOWN)), "picture")
    there = [sample for sample in subject.samples if shows(encoder, sample)]
    first = there[0]
    second = next(s for s in there if getattr(s, field) != getattr(first, field))
    second = replace(first, **{field: getattr(second, field)})
    with torch.no_grad():
        one, other = tensors(read(encoder, [first])), tensors(read(encoder, [second]))
    if equal(one, other):
        yield f"another {field} gives the same output: the {field} has no effect"


def broken_picture(subject: Subject) -> Iterator[str]:
    """a picture that can't be decoded"""
    encoder = subject.build()
    if "picture" not in (sees(encoder) or {"picture"}):
        return
    broken = Sample("7", ("a",), picture=Picture("broken.png", data=b"no picture"))
    try:
        encoder.prepare(broken)
    except DataError as error:
        if "broken.png" not in str(error):
            yield "a picture that can't be decoded: the DataError does not name the file"
    except Exception as error:  # whatever the part's own code raises
        yield (
            f"a picture that can't be decoded: `prepare` raises {type(error).__name__}, not a "
            "zoo.errors.DataError that names the file"
        )
    else:
        yield "a picture that can't be decoded is no error: `prepare` has to raise a DataError"


TEXT = (neighbours, neighbours_in_training, preparing, every_word, what_it_sees)
IMAGE = (
    neighbours,
    neighbours_in_training,
    preparing,
    no_picture,
    other_pictures,
    what_it_sees,
    broken_picture,
)
JOINT = (
    neighbours,
    neighbours_in_training,
    preparing,
    every_word,
    no_picture,
    other_pictures,
    what_it_sees,
    broken_picture,
)
