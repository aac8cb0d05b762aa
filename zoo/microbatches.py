"""A batch too large for memory: its encoders run on a few sentences at a time.

Only the encoders do. What they return is put together again, and everything behind them (aligners,
fuser, decoder, with all losses) sees the whole batch. So the loss is that of the whole batch,
whatever it is a mean over and whether or not it compares the batch's sentences, and so is the
gradient, up to the order of floating-point sums. What an encoder needs for its gradient is not
kept but computed again, one micro-batch at a time (gradient checkpointing, Chen et al., 2016; the
loss over the whole as in GradCache, Gao et al., 2021). Dropout draws other numbers than it would
for the whole batch at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from zoo.errors import RunError
from zoo.parts import Encoder
from zoo.types import Batch

REMEDY = (
    "and a batch of more than max_tokens can't be encoded a few sentences at a time; "
    "lower the recipe's batch_size or raise its max_tokens"
)


def cut(costs: Sequence[int], limit: int) -> list[slice]:
    """Cut a batch into micro-batches of neighbours that cost at most ``limit`` tokens each.

    Rows are padded to the longest, so that a micro-batch costs its dearest row times its rows. A
    row that is dearer than ``limit`` stands alone: no sentence is ever cut.

    Args:
        costs: of each row (:meth:`zoo.parts.Encoder.cost`).
        limit: tokens.
    """
    slices, start, most = [], 0, 0
    for place, cost in enumerate(costs):
        most = max(most, cost)
        if place > start and most * (place + 1 - start) > limit:
            slices.append(slice(start, place))
            start, most = place, cost
    return [*slices, slice(start, len(costs))]


def obstacle(encoder: Encoder) -> str | None:
    """Why an encoder can't be trained on a few sentences at a time; None where it can."""
    if any(isinstance(each, _BatchNorm) and each.training for each in encoder.modules()):
        return "it normalises over the batch"
    if any(getattr(each, "loss_names", ()) for each in encoder.modules()):
        return "it has losses of its own"
    return None


def run(encoder: Encoder, slot: str, batch: Batch) -> Any:
    """What the encoder in a slot returns for a batch, whole or in micro-batches.

    Raises:
        RunError: in micro-batches, with gradient, the encoder changes a state of its own or has
            losses: what it does for the whole batch is then not known.
    """
    if slot in batch.inputs:
        return encoder(batch.inputs[slot])
    if not torch.is_grad_enabled():
        return joined([encoder(inputs) for inputs in batch.micro[slot]])
    before = _versions(encoder)
    made = [checkpoint(encoder, inputs, use_reentrant=False) for inputs in batch.micro[slot]]
    if _versions(encoder) != before:
        raise RunError(f"the encoder in `{slot}` changes its buffers with each batch, {REMEDY}")
    return joined(made)


def _versions(encoder: Encoder) -> dict[str, int]:
    """How often each buffer was written to."""
    return {name: buffer._version for name, buffer in encoder.named_buffers()}


def joined(made: Sequence[Any]) -> Any:
    """Texts, views, or pairs of a text and its views of micro-batches as those of the batch.

    Raises:
        RunError: they bring losses of which it is not known what they are means over.
    """
    first = made[0]
    if isinstance(first, tuple):
        texts, views = zip(*made, strict=True)
        return joined(texts), {name: joined([each[name] for each in views]) for name in first[1]}
    if torch.is_grad_enabled() and any(each.losses for each in made):
        raise RunError(f"an encoder has losses that it does not name in `loss_names`, {REMEDY}")
    values = {
        field.name: [getattr(each, field.name) for each in made]
        for field in fields(first)
        if field.name != "losses"
    }
    return type(first)(**{name: _stacked(each) for name, each in values.items()})


def _stacked(values: Sequence[Any]) -> Any:
    """Tensors one below the other, padded with zeros to the same size; in mappings, by name."""
    first = values[0]
    if isinstance(first, Mapping):
        return {name: _stacked([value[name] for value in values]) for name in first}
    if first is None:
        return None
    sizes = [max(each) for each in zip(*(value.shape[1:] for value in values), strict=True)]
    return torch.cat([_padded(value, sizes) for value in values])


def _padded(value: Tensor, sizes: Sequence[int]) -> Tensor:
    """Zeros behind what there is, in every dimension but the first."""
    missing = [size - own for size, own in zip(sizes, value.shape[1:], strict=True)]
    behind = [amount for each in reversed(missing) for amount in (0, each)]
    return functional.pad(value, behind) if any(missing) else value
