"""The sentence with its context teaches the sentence alone (ITA, MoRe)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import Tensor

from zoo.parts import Assembly, Objective, TextEncoder
from zoo.registry import register
from zoo.types import Batch, Output


@register("objective", "cross_view")
class CrossView(Objective):
    """Two views of a sentence, with its context and alone, learn the gold and agree.

    Cites: wang-etal-2022-ita, wang-etal-2022-named

    The system runs once more, on the sentence without its context; pictures are not encoded again.
    With log p_c and log p_a the decoder's log-marginals of each unit in both views::

        teacher = softmax(log p_c / T)      without gradient
        student = softmax(log p_a / T)
        cross_view = T² / B · Σ_units Σ_classes teacher · (log teacher - log student)
        alone = the decoder's loss of the sentence alone

    ``alone`` is weighted inside as the decoder's own losses are, so that the weight of ``alone``
    says how much it counts beside them: 1, as much.

    Args:
        temperature: T; the higher, the more the improbable classes count.
    """

    loss_names = whole_losses = ("cross_view", "alone")
    needs_context = True

    def __init__(self, *, temperature: Annotated[float, Field(gt=0)] = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, system: Assembly, batch: Batch, output: Output) -> Mapping[str, Tensor]:
        encoder = system.text
        assert isinstance(encoder, TextEncoder), "checked when the registry is read"
        text = encoder(encoder.alone(batch.inputs["text"]))
        alone = system(batch, train=False, encoded=(text, output.views))
        teacher = self._softened(system, output).detach()
        student = self._softened(system, alone)
        difference = (teacher.exp() * (teacher - student)).sum(-1) * output.units.mask
        return {
            "cross_view": self.temperature**2 * difference.sum() / len(batch.samples),
            "alone": system.total(system.decoder.loss(alone.units, alone.text, batch.gold)),
        }

    def _softened(self, system: Assembly, output: Output) -> Tensor:
        """(B, U, C): the logarithm of softmax(log p / T)."""
        marginals = system.decoder.log_marginals(output.units, output.text)
        return (marginals / self.temperature).log_softmax(-1)
