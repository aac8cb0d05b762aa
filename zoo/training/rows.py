"""Of a large table of embeddings, only the rows that occur in the training data are trained.

A pretrained encoder has tens of thousands of rows, and a training split reads a part of them. The
others have no gradient, so that an optimiser has nothing to do for them but decay them, and yet a
dense gradient, two moments, the norm and the update pass over all of them at every step.

While :func:`occurring_rows` holds, the parameter of such a table is as small as what occurs; in
evaluation mode the table still reads every row. Losses, gradients and updates are those of the
whole table, but for weight decay: a row that does not occur stays as it was loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.errors import RunError
from zoo.system import System


@contextmanager
def occurring_rows(system: System, occurring: Mapping[nn.Module, Set[int]]) -> Iterator[None]:
    """Train only these rows of the system's tables; what was learnt is then in the whole table.

    Inside, ``state_dict`` has the names that it has outside, and the tables with the rows that
    occur alone. Tables are left as they are that share their weight with another module, that are
    of a class of their own, that are not trained, or all of whose rows occur.

    Args:
        occurring: the rows of each table (:meth:`zoo.system.Collator.lookups`).
    """
    uses = Counter(
        id(weight) for module in system.modules() for weight in module._parameters.values()
    )
    made: list[tuple[_Occurring, Tensor, Tensor]] = []
    try:
        for table, found in occurring.items():
            if _plain(table) and uses[id(table.weight)] == 1 and len(found) < len(table.weight):
                whole = table.weight
                rows = torch.tensor(sorted(found), device=whole.device)
                made.append((_shrunk(table, rows), whole, rows))
        yield
    finally:
        for small, whole, rows in made:
            _restore(small, whole, rows)


def _plain(table: nn.Module) -> TypeGuard[nn.Embedding]:
    """Whether a module is an embedding that is trained, and does nothing but look up."""
    return (
        type(table) is nn.Embedding
        and table.weight.requires_grad
        and table.max_norm is None
        and not table.scale_grad_by_freq
        and not table.sparse
    )


class _Occurring(nn.Embedding):
    """An embedding whose ``weight`` holds the rows that occur; in evaluation mode it reads the
    others from ``whole``.

    ``place`` (rows of the table,) is where a row stands in ``weight``; -1: it does not occur.
    """

    place: Tensor
    whole: Tensor
    padding: int | None

    def forward(self, input: Tensor) -> Tensor:
        place = self.place[input]
        unknown = place < 0
        if self.training and unknown.any():
            raise RunError(
                f"row {int(input[unknown][0])} of a table of embeddings is read in training, and "
                "its encoder does not name it in `lookups`; it would not be trained"
            )
        trained = functional.embedding(place.clamp(min=0), self.weight, self.padding)
        if self.training:
            return trained
        return torch.where(unknown.unsqueeze(-1), functional.embedding(input, self.whole), trained)


def _shrunk(table: nn.Embedding, rows: Tensor) -> _Occurring:
    """The same module, with another class for the time being."""
    whole = table.weight.detach()
    place = torch.full((len(whole),), -1, device=rows.device)
    place[rows] = torch.arange(len(rows), device=rows.device)
    table.__class__ = _Occurring
    assert isinstance(table, _Occurring)
    table.register_buffer("place", place, persistent=False)
    table.register_buffer("whole", whole, persistent=False)
    padding = -1 if table.padding_idx is None else int(place[table.padding_idx])
    table.padding = None if padding < 0 else padding  # the row that gets no gradient
    table.weight = nn.Parameter(whole[rows])
    return table


@torch.no_grad()
def _restore(table: _Occurring, whole: Tensor, rows: Tensor) -> None:
    whole[rows] = table.weight
    table.weight = whole
    del table.place, table.whole, table.padding
    table.__class__ = nn.Embedding  # type: ignore[assignment]
