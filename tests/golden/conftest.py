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
        """The part in ``slot`` (``text``, ``aligner``, ``fuser``, ``decoder``) of ``system``; of
        several aligners, ``aligner.0`` is the first.

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
