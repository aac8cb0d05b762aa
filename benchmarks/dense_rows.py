"""A plug-in: ``transformer`` whose embeddings are trained whole, as other libraries do.

The zoo trains the rows that occur in the training data and leaves the others as loaded. Whether
this moves F1 is a question of seeds::

    zoo run registry.yaml --suite twitter2017-all --system bert-crf --seed 1 … --seed 5
    zoo run registry.yaml --suite twitter2017-all --system bert-crf --seed 1 … --seed 5 \\
        --plugin benchmarks/dense_rows.py -o 'backbones.minilm.text={part: dense, model: minilm}'
    zoo compare bert-crf VARIANT --dataset twitter2017
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from zoo.encoders.transformer import Transformer
from zoo.registry import register


@register("text_encoder", "dense")
class Dense(Transformer):
    """Names no table of embeddings, so that each is trained whole."""

    def lookups(self, row: Any) -> Mapping[nn.Module, Collection[int]]:
        return {}
