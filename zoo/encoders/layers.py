"""Ways into a pretrained encoder of ``transformers``, for joint encoders.

- :meth:`Layers.extra`: extra keys and values that a layer attends to beside its own (HVPNeT's
  visual prefix);
- :func:`append_inputs`: extra input embeddings behind the words (RpBERT);
- :func:`in_step`: several models run layer by layer, so that each layer may use what another
  model's layer computed (MKGformer's two towers).

Attention goes through the attention interface of ``transformers``, which every model there uses
whose attention can be exchanged; no class is changed. W windows (or sentences, or pictures), L
positions, P extra keys, H heads, D width.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from zoo.errors import ConfigError, RunError

ATTENTION = "zoo_extra_keys"
"""The name under which ``transformers`` knows :func:`attend`."""


class Extra(NamedTuple):
    """Keys and values (W, H, P, D / H) beside a layer's own, and their mask (W, P), True = real.

    They are used as they are: no projection, no position. A row whose mask is False everywhere
    (a missing picture) gets exactly the result without extra keys.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor

    @classmethod
    def split(cls, keys: Tensor, values: Tensor, mask: Tensor, heads: int) -> Extra:
        """From keys and values (W, P, D), cut into heads as the layers cut theirs."""
        shape = (*keys.shape[:2], heads, -1)
        return cls(keys.view(shape).transpose(1, 2), values.view(shape).transpose(1, 2), mask)

    def rows(self, index: Tensor) -> Extra:
        """The rows of ``index`` (W,), for example the sentence that each window belongs to."""
        return Extra(*(part.index_select(0, index) for part in self))


@dataclass
class Seen:
    """What one layer attended with: its queries (W, H, L, D / H), its own keys and values (the same
    shape), the extra ones, and the mask over all keys, extra ones first (None = all are real)."""

    extra: Extra | None = None
    queries: Tensor | None = None
    keys: Tensor | None = None
    values: Tensor | None = None
    mask: Tensor | None = None
    scaling: float | None = None

    @torch.no_grad()
    def weights(self) -> Tensor:
        """The attention of each position to each extra key (W, L, P): the mean over heads, without
        dropout."""
        assert self.extra is not None, "the layer was given no extra keys"
        assert self.queries is not None, "the layer has not run"
        assert self.keys is not None
        keys = torch.cat([self.extra.keys.to(self.keys), self.keys], dim=2)
        scaling = self.queries.shape[-1] ** -0.5 if self.scaling is None else self.scaling
        scores = self.queries @ keys.transpose(-1, -2) * scaling
        if self.mask is not None:
            scores = _masked(scores, self.mask)
        weights: Tensor = scores.softmax(dim=-1)[..., : self.extra.mask.shape[1]]
        return weights.mean(dim=1)


_seen: dict[nn.Module, Seen] = {}
"""By every module of a layer that is being run with :meth:`Layers.extra`."""


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention to the layer's own keys and to those that it was given."""
    seen = _seen.get(module)
    if seen is not None:
        seen.queries, seen.keys, seen.values = query, key, value
        seen.scaling, seen.mask = kwargs.get("scaling"), attention_mask
        if seen.extra is not None:
            key = torch.cat([seen.extra.keys.to(key), key], dim=2)
            value = torch.cat([seen.extra.values.to(value), value], dim=2)
            attention_mask = seen.mask = _joined(seen.extra.mask, attention_mask, query, key)
            kwargs["is_causal"] = False
    result: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, **kwargs
    )
    return result


AttentionInterface.register(ATTENTION, attend)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def _joined(extra: Tensor, own: Tensor | None, query: Tensor, key: Tensor) -> Tensor:
    """The mask over all keys (W, 1 or H, L, P + own keys): bool, or additive as ``own`` is."""
    rows, length = query.shape[0], query.shape[2]
    first = extra[:, None, None, :].expand(rows, 1, length, -1)
    if own is None:
        own = first.new_ones(rows, 1, length, key.shape[2] - extra.shape[1])
    if own.dtype != torch.bool:
        nothing = torch.zeros(first.shape, dtype=own.dtype, device=own.device)
        first = nothing.masked_fill(~first, torch.finfo(own.dtype).min)
    own = own.expand(rows, -1, length, -1)
    return torch.cat([first.expand(-1, own.shape[1], -1, -1), own], dim=-1)


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask, -torch.inf)
    return scores + mask


class Layers:
    """The layers of a model, opened for extra keys and for steps.

    From then on the model attends through :func:`attend`, which computes what its own attention
    computes as long as nothing extra is given.

    Args:
        model: a pretrained encoder of ``transformers``, of text or of pictures.

    Raises:
        ConfigError: the model's attention can't be exchanged, or it has no list of layers.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        model.set_attn_implementation(ATTENTION)
        if model.config._attn_implementation != ATTENTION:
            raise ConfigError(
                f"a model of type {model.config.model_type} does not take its attention from the "
                "attention interface of transformers, so no picture can enter its layers; take "
                "another, for example of type bert, roberta or xlm-roberta"
            )
        found = [
            (parent, name, child)
            for parent in model.modules()
            for name, child in parent.named_children()
            if isinstance(child, nn.ModuleList) and len(child) == model.config.num_hidden_layers
        ]
        if not found:
            raise ConfigError(
                f"a model of type {model.config.model_type} has no list of its layers; take another"
            )
        self._parent, self._name, self._list = found[0]

    def __len__(self) -> int:
        return len(self._list)

    def __getitem__(self, index: int) -> nn.Module:
        """One layer, for hooks of a joint encoder's own."""
        return self._list[index]

    @contextmanager
    def extra(self, extras: Mapping[int, Extra | None]) -> Iterator[dict[int, Seen]]:
        """Let layers attend to extra keys, by the layer's number, while the context is open.

        Yields what each of these layers attended with, filled in when it runs; a layer given None
        only reports::

            with layers.extra({number: extra for number in range(len(layers))}) as seen:
                states = model(**inputs).last_hidden_state
            attention = seen[11].weights()
        """
        if any(getattr(module, "gradient_checkpointing", False) for module in self.model.modules()):
            raise RunError("extra keys can't be recomputed; turn gradient checkpointing off")
        seen = {number: Seen(extra) for number, extra in extras.items()}
        keys = {module: each for n, each in seen.items() for module in self._list[n].modules()}
        _seen.update(keys)
        try:
            yield seen
        finally:
            for module in keys:
                del _seen[module]

    @contextmanager
    def _replaced(self, middle: Callable[..., Tensor]) -> Iterator[None]:
        """The model with one stand-in for all of its layers."""
        setattr(self._parent, self._name, nn.ModuleList([_StandIn(middle)]))
        try:
            yield
        finally:
            setattr(self._parent, self._name, self._list)


class _StandIn(nn.Module):
    def __init__(self, middle: Callable[..., Tensor]) -> None:
        super().__init__()
        self.middle = middle

    def forward(self, states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self.middle(states, *args, **kwargs)


class Tower:
    """A model in the middle of its forward pass.

    ``states`` (W, L, D) are what its next layer will read; a joint encoder may replace them.
    """

    def __init__(self, layers: Layers, states: Tensor, args: Any, kwargs: Any) -> None:
        self.layers, self.states = layers, states
        self.done = 0
        """How many layers have run."""
        self._args, self._kwargs = args, kwargs

    def step(self, extra: Extra | None = None) -> Seen:
        """Run the next layer, with extra keys if any; returns what it attended with."""
        with self.layers.extra({self.done: extra}) as seen:
            states = self.layers[self.done](self.states, *self._args, **self._kwargs)
        self.states = states[0] if isinstance(states, tuple) else states
        self.done += 1
        return seen[self.done - 1]


def in_step(
    loop: Callable[..., None], *models: tuple[Layers, Mapping[str, Any]]
) -> tuple[Any, ...]:
    """Run the forward passes of several models together, layer by layer.

    Each model makes its own embeddings and masks, then ``loop(*towers)`` takes every tower through
    all of its layers in any order, then each model ends as it always does (last norm, pooler)::

        def loop(text: Tower, picture: Tower) -> None:
            seen = None
            for number in range(12):
                prefix = Extra(seen.keys, seen.values, mask) if seen and number >= 8 else None
                picture.step(prefix)
                seen = text.step()

        text, picture = in_step(loop, (bert, {"input_ids": …}), (clip, {"pixel_values": …}))

    Args:
        loop: what takes the towers through their layers.
        models: the models and what they are called with.

    Returns:
        What each model's forward pass returns.

    Raises:
        RunError: a tower was not taken through all of its layers.
    """
    towers: list[Tower] = []
    outputs: list[Any] = [None] * len(models)

    def enter(place: int) -> None:
        if place == len(models):
            loop(*towers)
            for tower in towers:
                if tower.done != len(tower.layers):
                    raise RunError(
                        f"a tower has run {tower.done} of its {len(tower.layers)} layers"
                    )
            return
        layers, inputs = models[place]

        def middle(states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            towers.append(Tower(layers, states, args, kwargs))
            enter(place + 1)
            return towers[place].states

        with layers._replaced(middle):
            outputs[place] = layers.model(**inputs)

    enter(0)
    return tuple(outputs)


def append_inputs(
    model: Any,
    input_ids: Tensor,
    attention_mask: Tensor,
    extra: Tensor,
    mask: Tensor,
    token_type: int = 0,
) -> dict[str, Tensor]:
    """What to call a text model with so that it reads extra embeddings behind the words.

    The states of the words are the first L of those that come back. Positions go on behind each
    row's own last piece, whatever the padding. The encoder has to leave room for R positions
    (lower ``Pretrained.limit`` by R).

    Args:
        model: a text encoder of ``transformers``.
        input_ids: (W, L) int64.
        attention_mask: (W, L), 1 = real.
        extra: (W, R, D), in place of word embeddings.
        mask: (W, R) bool; a row without any gets exactly the result of its words alone.
        token_type: of the extra embeddings; the words have type 0.

    Raises:
        ConfigError: the model has no such token type.
    """
    words = model.get_input_embeddings()(input_ids)
    inputs = {
        "inputs_embeds": torch.cat([words, extra.to(words)], dim=1),
        "attention_mask": torch.cat([attention_mask, mask.to(attention_mask)], dim=1),
    }
    accepted = inspect.signature(model.forward).parameters
    if "position_ids" in accepted:
        text = torch.arange(input_ids.shape[1], device=input_ids.device).expand(input_ids.shape)
        after = torch.arange(extra.shape[1], device=input_ids.device)
        behind = attention_mask.sum(dim=1, keepdim=True) + after
        inputs["position_ids"] = torch.cat([text, behind], dim=1) + first_position(model)
    if "token_type_ids" in accepted and token_type:
        if token_type >= getattr(model.config, "type_vocab_size", 0):
            raise ConfigError(
                f"a model of type {model.config.model_type} has no token type {token_type}"
            )
        kinds = [torch.zeros_like(input_ids), torch.full_like(mask, token_type, dtype=torch.long)]
        inputs["token_type_ids"] = torch.cat(kinds, dim=1)
    return inputs


def first_position(model: nn.Module) -> int:
    """The number of a model's first position: RoBERTa counts from behind the padding index."""
    for name, table in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(table, nn.Embedding):
            return 0 if table.padding_idx is None else table.padding_idx + 1
    return 0
