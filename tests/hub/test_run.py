"""`zoo run` with models of a hub and an empty cache."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo.encoders.transformer import Transformer
from zoo.types import Sample

FAMILIES = ("bert", "roberta", "xlm-roberta", "deberta-v3", "modernbert")
REGISTRY = """\
datasets:
  mini: {{reader: synthetic, train: 24, dev: 8, test: 8, languages: [en]}}
backbones:
  none: {{}}
systems:
{systems}
  seeing:
    extends: bert
    views: {{patch: {{part: vit, model: someone/clip}}}}
    fuser: {{part: cross_attention, level: token, heads: 2}}
recipes:
  quick: {{epochs: 1, batch_size: 8, learning_rates: {{"*": 1e-3}}}}
suites:
  mini: {{systems: [{names}], datasets: [mini], seeds: [1], backbone: none, recipe: quick}}
"""
SYSTEM = """\
  {name}:
    text: {{part: transformer, model: someone/{name}}}
    decoder: {{part: crf}}
"""


@pytest.mark.slow
def test_an_epoch_with_an_empty_cache(
    hub: Any, save: Callable[[str], Path], zoo: Callable[..., Any], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    for family in (*FAMILIES, "clip"):
        hub.add(f"someone/{family}", save(family), hashlib.sha1(family.encode()).hexdigest())
    systems = "".join(SYSTEM.format(name=name) for name in FAMILIES)
    names = ", ".join((*FAMILIES, "seeing"))
    registry = tmp_path / "registry.yaml"
    registry.write_text(REGISTRY.format(systems=systems, names=names))
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": ""}
    ran = zoo("run", str(registry), **environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(list(tmp_path.glob("results/runs/*/mini/*/model.safetensors"))) == 6

    hub.down = True  # from here on what was downloaded
    words = ("Kevin", "Durant", "in", "New", "York")
    for family in FAMILIES:
        encoder = Transformer(Counter(words), model=f"someone/{family}")
        (window,) = encoder.prepare(Sample("1", words)).windows
        tokenizer = AutoTokenizer.from_pretrained(save(family))
        running = tokenizer(f"So {' '.join(words)}")["input_ids"]
        assert running[len(running) - len(window) + 1 :] == window[1:], family
        assert len(tokenizer) > 40
