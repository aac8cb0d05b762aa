"""Small trained systems of all kinds of parts, made once for all tests here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import zoo

REGISTRY = """\
datasets:
  mini:
    {reader: synthetic, ambiguous: 0.5, decoys: 0.0, unseen: 0.0, train: 40, dev: 12, test: 12,
     languages: [en, de]}
backbones:
  tiny:
    text: {part: transformer, scratch: {layers: 1, width: 16, heads: 2}}
    grid: {part: small_cnn}
    patch: {part: small_vit}
systems:
  plain:
    text: {part: $text}
    decoder: {part: crf, scheme: BIOES}
  lstm:
    text: {part: bilstm, state: 8, word_width: 8}
    decoder: {part: softmax}
  seeing:
    text: {part: $text}
    views: {grid: {part: $grid, frozen: true}, patch: {part: $patch}}
    aligner: {part: contrastive}
    fuser: {part: collaboration, heads: 2, keys: {grid: pooled, patch: regions}}
    decoder: {part: crf}
  spans:
    text: {part: $text}
    views: {grid: {part: $grid}}
    aligner: {part: information_bottleneck, level: sentence}
    fuser: {part: cross_attention, level: span, heads: 2}
    decoder: {part: span_classifier, max_width: 3, o_weight: 0.02}
recipes:
  quick: {epochs: 8, batch_size: 8, threads: 1, learning_rates: {"*": 3.0e-3}}
suites:
  mini:
    systems: [plain, lstm, seeing, spans]
    datasets: [mini]
    seeds: [1]
    backbone: tiny
    recipe: quick
"""


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a run of each system; tests must not change it."""
    root = tmp_path_factory.mktemp("trained")
    (root / "registry.yaml").write_text(REGISTRY, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(root / "cache"))
        patch.delenv("ZOO_DATA", raising=False)
        zoo.run(root / "registry.yaml", results=root / "results")
    return root / "results"


@pytest.fixture
def folder(results: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of the folder of a system's run, in a place of its own."""

    def copy(system: str) -> Path:
        (source,) = results.glob(f"runs/{system}/mini/1-*")
        target = tmp_path / "elsewhere" / system
        shutil.copytree(source, target)
        return target

    return copy


@pytest.fixture
def samples(results: Path) -> list[zoo.Sample]:
    """Sentences of several lengths, with pictures."""
    splits = zoo.read("mini", registry=results.parent / "registry.yaml", data=results.parent)
    return [sample for split in splits.values() for sample in split]
