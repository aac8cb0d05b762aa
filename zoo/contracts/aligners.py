"""The contract of aligners."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from zoo.contracts.common import announced, described, losses, tensor
from zoo.contracts.inputs import (
    GOLD,
    LENGTHS,
    PRESENT,
    VIEWS,
    Subject,
    disguised,
    equal,
    make_text,
    make_views,
    near,
    padded,
    tensors,
    text_rows,
    view_rows,
)
from zoo.types import Alignment, Text, View


def returned(subject: Subject) -> Iterator[str]:
    """a batch with and without gold entities"""
    text, views = make_text(), make_views()
    for mode in (True, False):
        built = subject.build().train(mode)
        for gold in (GOLD, None):
            faults = list(_returned(built, built(text, views, gold), text, views, gold is None))
            yield from faults
            if faults:
                return


def _returned(
    built: Any, made: Any, text: Text, views: dict[str, View], predicting: bool
) -> Iterator[str]:
    if type(made) is not Alignment:
        yield f"forward returns {described(made)}, not a zoo.types.Alignment"
        return
    if type(made.text) is not Text:
        yield f"forward returns {described(made.text)} as text, not a zoo.types.Text"
        return
    batch, length, width = text.tokens.shape
    faults = [
        *tensor(made.text.tokens, "text.tokens", (batch, length, width), "(B, N, D)"),
        *tensor(made.text.sentence, "text.sentence", (batch, None), "(B, D)"),
        *losses(built, made.losses),
    ]
    if not torch.equal(made.text.mask, text.mask):
        faults.append("text.mask is not the one that came in")
    if made.views.keys() != views.keys():
        faults.append(f"the views that flow on are {sorted(made.views)}, not {sorted(views)}")
    else:
        specs = built.views or VIEWS
        for name, view in views.items():
            faults += _view(made.views[name], view, name, specs[name].width, bool(built.views))
    if not predicting and not made.losses and made.text is text and made.views is views:
        faults.append("it neither adds a loss nor changes what flows on")
    yield from faults


def _view(made: View, came: View, name: str, width: int, own: bool) -> Iterator[str]:
    source = "views" if own else "views (None: as they came)"
    faults = [
        *tensor(made.regions, f"{name}.regions", (*came.mask.shape, None), "(B, R, D)"),
        *tensor(made.pooled, f"{name}.pooled", (len(came.pooled), None), "(B, D)"),
        *announced(made.regions, f"{name}.regions", width, source),
        *announced(made.pooled, f"{name}.pooled", width, source),
    ]
    yield from faults
    if faults:
        return
    if not torch.equal(made.present, came.present):
        yield f"{name}.mask: a picture appears or disappears"
    elif made.regions[~came.present].any() or made.pooled[~came.present].any():
        yield f"{name}: the vectors of a missing picture have to stay zero"


def predicting(subject: Subject) -> Iterator[str]:
    """prediction without gold entities"""
    built = subject.build().eval()
    with torch.no_grad():
        seen, blind = (built(make_text(), make_views(), gold) for gold in (GOLD, None))
    if not equal(tensors([seen.text, seen.views]), tensors([blind.text, blind.views])):
        yield "what flows on depends on the gold entities, which are not known in prediction"


def single(subject: Subject) -> Iterator[str]:
    """a batch of one"""
    built = subject.build().train()
    for present in (True, False):
        made = built(make_text(LENGTHS[:1]), make_views((present,)), GOLD[:1])
        if not all(value.isfinite().all() for value in tensors(made)):
            yield f"a batch of one sentence {'with' if present else 'without'} a picture gives NaN"


def no_picture(subject: Subject) -> Iterator[str]:
    """a batch without any picture"""
    made = subject.build().train()(make_text(), make_views((False,) * len(LENGTHS)), GOLD)
    if not all(value.isfinite().all() for value in tensors(made)):
        yield "without any picture in the batch, it returns NaN or infinity"


def missing(subject: Subject) -> Iterator[str]:
    """content where masks are empty"""
    built, text, views = subject.build().eval(), make_text(), make_views()
    more = replace(text, tokens=torch.where(text.mask.unsqueeze(-1), text.tokens, 7.0))
    wide = padded(views)
    with torch.no_grad():
        plain = built(text, views, GOLD)
        changed = built(text, disguised(views), GOLD)
        longer = built(text, wide, GOLD)
        filled = built(more, views, GOLD)
    for name, loss in plain.losses.items():
        if not near(loss, changed.losses[name]) or not near(loss, longer.losses[name]):
            yield f"loss `{name}` reads a view where its mask is empty"
        if not near(loss, filled.losses[name]):
            yield f"loss `{name}` reads words that are padding"
    kept = text.mask
    if not near(plain.text.tokens[kept], changed.text.tokens[kept]) or not near(
        plain.text.sentence, changed.text.sentence
    ):
        yield "the text that flows on reads a view where its mask is empty"
    for name, view in views.items():
        one, other = plain.views[name], changed.views[name]
        if not near(one.regions[view.mask], other.regions[view.mask]) or not near(
            one.pooled[view.present], other.pooled[view.present]
        ):
            yield f"view `{name}`: what flows on reads it where its mask is empty"


def neighbours(subject: Subject) -> Iterator[str]:
    """each sentence alone, and the batch reversed"""
    built, text, views = subject.build().eval(), make_text(), make_views()
    back = [*range(len(LENGTHS))][::-1]
    with torch.no_grad():
        together = built(text, views, None)
        reverse = built(text_rows(text, back), view_rows(views, back), None)
        for i, length in enumerate(LENGTHS):
            alone = built(text_rows(text, [i], length), view_rows(views, [i]), None)
            for other, row in ((alone, 0), (reverse, back.index(i))):
                pairs = [
                    (other.text.tokens[row, :length], together.text.tokens[i, :length]),
                    (other.text.sentence[row], together.text.sentence[i]),
                ]
                for name in views:
                    one, same = other.views[name], together.views[name]
                    pairs += [
                        (one.regions[row][one.mask[row]], same.regions[i][same.mask[i]]),
                        (one.pooled[row], same.pooled[i]),
                    ]
                if not all(near(a, b) for a, b in pairs):
                    yield (
                        "what flows on of a sentence changes with the other sentences of the batch "
                        "(by more than 1e-5): padding is read, or rows are mixed"
                    )
                    return


CHECKS = (predicting, single, no_picture, missing, neighbours)
assert len(PRESENT) == len(LENGTHS)
