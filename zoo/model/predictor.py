"""Prediction over a stream: in constant memory, and each sentence by itself alone.

Floating-point sums depend on the shape of a batch: on its padding and on how many rows it has. So
sentences share a batch only where every encoder's inputs have the same shapes, so that none of them
is padded, and every batch of such sentences has the same number of rows; one that is not full is
filled up with copies. What is predicted then depends on the sentence, its picture and the machine,
and not on what stands beside it, on the order of the sentences, or on how a file of them is split.
(Rows of a batch do not change each other's bits where only their content differs; tested in
tests/model/test_predictor.py.)
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zoo.encoders.frozen import Frozen, FrozenText, moved
from zoo.parts import Encoder
from zoo.system import System
from zoo.types import Batch, Inputs, Sample, ScoredEntity

TOKENS = {"cpu": 384, "cuda": 1024}
"""What a batch costs its text encoder (:meth:`zoo.parts.Encoder.cost`), by the kind of device.
Larger batches are hardly faster, and take longer to fill."""

MOST = 4096
"""What a batch may cost any encoder."""

WAITING = 32_768
"""Sentences that may wait for others of their shapes."""

ROOM = 256 << 20
"""Bytes of prepared inputs that may wait."""

Found = list[ScoredEntity]


@dataclass(slots=True)
class _Waiting:
    """A sentence that was read and not yet given out; ``found`` is None until it is predicted.

    ``most`` is the number of rows of its batch, a function of the sentence.
    """

    sample: Sample
    rows: dict[str, Any] = field(default_factory=dict)
    shapes: Any = None
    most: int = 1
    size: int = 0
    found: Found | None = None


class Predictor:
    """Predicts the entities of sentences with a system in eval mode.

    Args:
        precision: that the system was trained in; fp16 is fp32 where there is no GPU.
        threads: of the processor; None: as they are. The same number gives the same bytes.
    """

    def __init__(self, system: System, precision: str = "fp32", threads: int | None = None) -> None:
        kind = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(kind)
        self.system = system.to(self.device).eval()
        self.encoders: dict[str, Encoder] = system.encoders()
        for module in system.modules():
            if isinstance(module, Frozen | FrozenText):
                module.kept.passing = True
        self.tokens = TOKENS[kind]
        self.threads = threads
        half = {"bf16": torch.bfloat16, "fp16": torch.float16 if kind == "cuda" else None}
        self.precision = half.get(precision)

    def __call__(
        self, samples: Iterable[Sample], waiting: int = WAITING, room: int = ROOM
    ) -> Iterator[tuple[Sample, Found]]:
        """Every sample with its entities, in the order given.

        Args:
            waiting: how many samples may be read ahead of the one that is due; it decides how
                full batches are, and no number.
            room: bytes of prepared inputs that may be kept for them.

        Raises:
            DataError: a picture can't be decoded.
        """
        due, groups, size = deque[_Waiting](), dict[Any, list[_Waiting]](), 0
        for sample in samples:
            each = self._prepared(sample)
            due.append(each)
            size += each.size
            if each.found is None:
                group = groups.setdefault(each.shapes, [])
                group.append(each)
                if len(group) == each.most:
                    size -= self._predict(groups.pop(each.shapes))
            while due and (due[0].found is not None or len(due) > waiting or size > room):
                if due[0].found is None:
                    size -= self._predict(groups.pop(due[0].shapes))
                first = due.popleft()
                assert first.found is not None, "it was just predicted"
                yield first.sample, first.found
        while due:
            if due[0].found is None:
                self._predict(groups.pop(due[0].shapes))
            first = due.popleft()
            assert first.found is not None, "it was just predicted"
            yield first.sample, first.found

    def _prepared(self, sample: Sample) -> _Waiting:
        if not sample.words:
            return _Waiting(sample, found=[])
        rows = {slot: encoder.prepare(sample) for slot, encoder in self.encoders.items()}
        shapes = tuple(_shapes(self.encoders[slot].collate([row])) for slot, row in rows.items())
        cost = {slot: encoder.cost(sample, rows[slot]) for slot, encoder in self.encoders.items()}
        most = min(self.tokens // max(1, cost["text"]), MOST // max(1, *cost.values()))
        most = max(1, most)
        return _Waiting(sample, rows, (len(sample.words), most, shapes), most, _size(rows))

    def _predict(self, group: Sequence[_Waiting]) -> int:
        """Predict a batch; the bytes that it frees."""
        full = [*group, *[group[-1]] * (group[0].most - len(group))]
        inputs = {
            slot: moved(encoder.collate([each.rows[slot] for each in full]), self.device)
            for slot, encoder in self.encoders.items()
        }
        batch = Batch([each.sample for each in full], inputs)
        cast = torch.autocast(self.device.type, self.precision) if self.precision else nullcontext()
        with torch.inference_mode(), _deterministic(self.device, self.threads), cast:
            predicted = self.system.predict(batch)
        freed = 0
        for each, found in zip(group, predicted, strict=False):
            each.found, each.rows = found, {}
            freed += each.size
        return freed


@contextmanager
def _deterministic(device: torch.device, threads: int | None) -> Iterator[None]:
    """The settings that a run is made under, put back afterwards."""
    before, had = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    if device.type == "cuda":  # on the processor, no operation here depends on it
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    if threads and threads != had:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if device.type == "cuda":
            torch.use_deterministic_algorithms(before)
        if threads and threads != had:
            torch.set_num_threads(had)


def _shapes(inputs: Inputs) -> Any:
    """The shapes of an encoder's inputs; other values stand for themselves."""
    return tuple(
        (name, tuple(value.shape) if isinstance(value, Tensor) else repr(value))
        for name, value in sorted(inputs.items())
    )


def _size(row: Any) -> int:
    """About how many bytes prepared inputs take."""
    if isinstance(row, Tensor):
        return row.nbytes
    if isinstance(row, dict):
        return sum(map(_size, row.values()))
    return 32 + sum(map(_size, row)) if isinstance(row, tuple | list) else 32
