"""The contract of aligners."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from zoo.types import Alignment, Level, Text


def names_of(cls: type) -> set[str]:
    return set(getattr(cls, "loss_names", ()))


def test_losses(aligner, make_text, make_views, gold) -> None:
    built, text, views = aligner.build().train(), make_text(), make_views()
    alignment = built(text, views, gold)
    assert type(alignment) is Alignment
    assert built.level in get_args(Level)
    for name, loss in alignment.losses.items():
        assert loss.shape == ()
        assert loss.isfinite()
        base, _, view = name.partition(".")
        assert base in names_of(type(built)), name
        assert view in ("", *views)
    assert alignment.losses or type(alignment.text) is not Text or alignment.text is not text, (
        "an aligner adds losses or changes what flows on"
    )


def test_what_flows_on(aligner, make_text, make_views, gold) -> None:
    built, text, views = aligner.build().eval(), make_text(), make_views()
    for answer in (built(text, views, gold), built(text, views, None)):
        assert answer.text.tokens.shape == text.tokens.shape
        assert answer.text.sentence.shape[0] == len(text.sentence)
        assert torch.equal(answer.text.mask, text.mask)
        assert answer.views.keys() == views.keys()
        for name, view in views.items():
            assert torch.equal(answer.views[name].present, view.present)
            width = (built.views or aligner.known["views"])[name].width
            assert answer.views[name].regions.shape == (*view.mask.shape, width)
            assert answer.views[name].pooled.shape == (len(view.pooled), width)
            absent = ~view.present
            assert not answer.views[name].regions[absent].any(), "a missing picture is zero"
            assert not answer.views[name].pooled[absent].any()


def test_predicting_does_not_look_at_gold(aligner, make_text, make_views, gold) -> None:
    built = aligner.build().eval()
    trained = built(make_text(), make_views(), gold)
    predicted = built(make_text(), make_views(), None)
    assert torch.equal(trained.text.tokens, predicted.text.tokens)
    for name, view in trained.views.items():
        assert torch.equal(view.regions, predicted.views[name].regions)


@pytest.mark.parametrize("present", [(True,), (False,)], ids=["picture", "none"])
def test_a_batch_of_one(aligner, make_text, make_views, gold, present) -> None:
    built = aligner.build().train()
    losses = built(make_text((5,)), make_views(present), gold[:1]).losses
    assert all(loss.isfinite() for loss in losses.values())


def test_a_batch_without_any_picture(aligner, make_text, make_views, gold) -> None:
    built = aligner.build().train()
    alignment = built(make_text(), make_views((False,) * 5), gold)
    assert all(loss.isfinite() for loss in alignment.losses.values())
    assert alignment.text.tokens.isfinite().all()


def test_rows_without_picture_are_as_if_they_were_not_there(
    aligner, make_text, make_views, gold
) -> None:
    """What lies in the vectors of a missing picture does not enter any loss."""
    built, views = aligner.build().eval(), make_views()
    rubbish = {
        name: type(view)(
            torch.where(view.mask.unsqueeze(-1), view.regions, 7.0),
            torch.where(view.present.unsqueeze(-1), view.pooled, 7.0),
            view.mask,
        )
        for name, view in views.items()
        if view.regions.shape[1] == 3
    }
    first = built(make_text(), views, gold).losses
    second = built(make_text(), {**views, **rubbish}, gold).losses
    assert all(torch.allclose(first[name], second[name]) for name in first)
