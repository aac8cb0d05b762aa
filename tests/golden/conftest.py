"""Golden cases, in double and in single precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from zoo.build import make
from zoo.config.config import shipped_file
from zoo.config.read import read

Case = dict[str, Tensor]
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}


@pytest.fixture(params=TOLERANCE, ids=["float64", "float32"])
def precision(request: pytest.FixtureRequest):
    """The precision that modules are made in."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(before)


@pytest.fixture
def case(precision: torch.dtype) -> Callable[[str], Case]:
    """Load a case (``2m-ner/crf``) in that precision."""

    def load(name: str) -> Case:
        found = load_file(Path(__file__).parent / f"{name}.safetensors")
        return {k: v.to(precision) if v.is_floating_point() else v for k, v in found.items()}

    return load


@pytest.fixture
def close(precision: torch.dtype) -> Callable[..., None]:
    """Largest absolute difference 1e-9 in double, 1e-5 in single precision."""

    def check(one: Tensor, other: Tensor, relative: bool = False) -> None:
        allowed = TOLERANCE[precision]
        if relative:  # to the largest entry
            allowed *= max(1.0, other.abs().max().item())
        torch.testing.assert_close(one, other, atol=allowed, rtol=0)

    return check


@pytest.fixture
def load() -> Callable[..., None]:
    """Put a case's ``<name>.weight`` and ``<name>.bias`` into a layer, and nothing is left over."""

    def put(module: torch.nn.Module, case: Case, name: str) -> None:
        state = {k: case[f"{name}.{k}"] for k in module.state_dict()}
        module.load_state_dict(state)

    return put


@pytest.fixture(scope="session")
def registered() -> Callable[..., Any]:
    """Build a part as registry.yaml has it, so that a changed default fails its golden test."""
    config = read(shipped_file())

    def build(
        system: str,
        slot: str,
        known: Mapping[str, Any],
        sizes: Mapping[str, Any] | None = None,
        released: Mapping[str, Any] | None = None,
    ) -> Any:
        """The part in ``slot`` (``text``, ``aligner``, ``fuser``, ``decoder``, ``objective``) of
        ``system``; of several aligners, ``aligner.0`` is the first.

        Args:
            known: what the builder would supply (widths, views, types).
            sizes: settings that only say how large something is.
            released: the switches that reproduce the released code, as docs/systems lists them.
        """
        name, _, number = slot.partition(".")
        part = getattr(config.spec(system, "tiny"), name)
        if number:
            part = part[int(number)]
        elif isinstance(part, tuple):
            [part] = part
        changes = {**(sizes or {}), **(released or {})}
        assert not set(sizes or {}) & set(released or {})
        return make(replace(part, settings={**part.settings, **changes}), known, Path())

    return build


# Cases that were stored in single precision ----------------------------------------------------


@pytest.fixture
def agrees(precision: torch.dtype) -> Callable[[Tensor, Tensor], None]:
    """Absolute difference 2e-5 and relative 1e-4 in single precision, absolute 1e-5 in double."""
    allowed = (1e-5, 0.0) if precision == torch.float64 else (2e-5, 1e-4)

    def check(one: Tensor, other: Tensor) -> None:
        torch.testing.assert_close(one, other, atol=allowed[0], rtol=allowed[1])

    return check


@pytest.fixture
def load_linear() -> Callable[..., None]:
    """Put ``<name>.W`` and ``<name>.b`` into a linear layer that has a bias."""

    def put(layer: torch.nn.Linear, case: Case, name: str) -> None:
        layer.load_state_dict({"weight": case[f"{name}.W"], "bias": case[f"{name}.b"]})

    return put


@pytest.fixture
def load_attention() -> Callable[..., None]:
    """Put an attention's ``W_Q``, ``b_Q`` … into an AttentionLayer (the key's bias is idle: it has
    none), and its feed-forward, if it has one. Its layer normalisations are named ``norms``."""

    def put(layer: Any, case: Case, name: str, norms: tuple[str, ...]) -> None:
        state = {"key.weight": case[f"{name}.W_K"]}
        for letter, part in {"Q": "query", "V": "value", "O": "output"}.items():
            state[f"{part}.weight"] = case[f"{name}.W_{letter}"]
            state[f"{part}.bias"] = case[f"{name}.b_{letter}"]
        if layer.feed_forward is not None:
            for place, number in {0: 1, 2: 2}.items():
                state[f"feed_forward.{place}.weight"] = case[f"{name}.ffn_W{number}"]
                state[f"feed_forward.{place}.bias"] = case[f"{name}.ffn_b{number}"]
        for part, norm in zip(("layer_norm", "feed_forward_norm"), norms, strict=False):
            state[f"{part}.weight"] = case[f"{norm}gain"]
            state[f"{part}.bias"] = case[f"{norm}bias"]
        layer.load_state_dict(state)

    return put
