"""Which weights are stored, and that a system with them is the same again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch

from zoo.decoders.crf import Crf
from zoo.encoders.caption import Caption
from zoo.encoders.frozen import Frozen, FrozenText
from zoo.encoders.transformer import Transformer
from zoo.system import System
from zoo.training.weights import (
    changing_weights,
    feature_digests,
    frozen_encoders,
    stored_bytes,
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
    assert set(changing_weights(system)) == decoder != set()
    assert stored_bytes(system) == sum(system.state_dict()[name].nbytes for name in decoder)
    untrained = make(tmp_path, reloaded=False)
    assert set(changing_weights(untrained)) == decoder
    assert stored_bytes(untrained) == sum(v.nbytes for v in untrained.state_dict().values())


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
