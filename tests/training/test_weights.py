"""Which weights are stored, and that a system with them is the same again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from zoo.decoders.crf import Crf
from zoo.encoders.caption import Caption
from zoo.encoders.frozen import Frozen, FrozenText
from zoo.encoders.transformer import Transformer
from zoo.errors import DataError
from zoo.system import System
from zoo.training.weights import (
    changing_weights,
    feature_digests,
    frozen_encoders,
    load_weights,
    own_weights,
    save_weights,
)
from zoo.types import Sample

SMALL: Any = {"layers": 1, "width": 8, "heads": 2}


def transformer() -> Transformer:
    return Transformer(Counter("abca"), scratch=SMALL)


def make(cache: Path, reloaded: bool = True, seed: int = 0) -> System:
    """A system with a frozen text encoder and a frozen view, whose weights are the same ones."""
    torch.manual_seed(7)
    text = FrozenText(transformer(), cache, reloaded)
    view = Frozen(Caption(encoder=FrozenText(transformer(), cache, reloaded)), cache, reloaded)
    torch.manual_seed(seed)
    decoder = Crf(8, ["PER"])
    return System(text, {"grid": view}, None, None, decoder, {})


def test_only_what_frozen_encoders_do_not_load_again_is_stored(tmp_path: Path) -> None:
    system = make(tmp_path)
    assert list(frozen_encoders(system)) == ["text", "views.grid"]
    decoder = {f"decoder.{name}" for name in system.decoder.state_dict()}
    assert set(own_weights(system)) == set(changing_weights(system)) == decoder != set()
    untrained = make(tmp_path, reloaded=False)
    assert set(changing_weights(untrained)) == decoder
    assert set(own_weights(untrained)) == set(untrained.state_dict())


@pytest.mark.parametrize("reloaded", [True, False])
def test_a_system_built_again_gets_its_weights(tmp_path: Path, reloaded: bool) -> None:
    system, file = make(tmp_path, reloaded, seed=1), tmp_path / "model.safetensors"
    save_weights(system, file)
    first = file.read_bytes()
    again = make(tmp_path, reloaded, seed=2)
    load_weights(again, file)
    for name, value in system.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    save_weights(again, file)
    assert file.read_bytes() == first


def test_weights_of_another_system_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_weights(make(tmp_path), file)
    changed = make(tmp_path)
    nn.init.zeros_(next(changed.text.parameters()))
    with pytest.raises(DataError, match="frozen encoder in `text` has other weights"):
        load_weights(changed, file)
    with pytest.raises(DataError, match="another system"):
        load_weights(make(tmp_path, reloaded=False), file)
    state = load_file(file)
    save_file({f"{name}x": value for name, value in state.items()}, file)
    with pytest.raises(DataError, match="another system"):
        load_weights(make(tmp_path), file)
    file.write_bytes(b"")
    with pytest.raises(DataError, match="can't be read"):
        load_weights(make(tmp_path), file)


def test_the_digests_of_features(tmp_path: Path) -> None:
    def digests(samples: list[Sample], cache: str) -> dict[str, str]:
        system = make(tmp_path / cache)
        for encoder in system.encoders().values():
            encoder.collate([encoder.prepare(sample) for sample in samples])
        return feature_digests(system)

    some = [Sample("1", ("a", "b"), caption="c a"), Sample("2", ("c",), caption="b")]
    first = digests(some, "one")
    assert first.keys() == {"text", "views.grid"}
    assert digests(some, "one") == digests(some, "other") == first
    assert digests(some[:1], "one") != first
