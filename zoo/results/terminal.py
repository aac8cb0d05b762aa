"""Tables on a terminal: whole, however narrow it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo.results.tables import Column, Table, visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table as RichTable

FOLDED = 16  # characters of a text, which may be folded, that are kept in one line
GAP = 2  # between two columns


def render(table: Table, details: bool = False) -> Shown:
    """The table for a terminal. Numbers and notes are never cut off.

    Args:
        details: all columns, one block below the other where they don't fit side by side; without,
            those of ``Column.detail`` are left out, and so many others that the rest fits.
    """
    return Shown(table, details)


@dataclass(frozen=True, slots=True)
class Shown:
    """A table that fits itself to the console it is printed on."""

    table: Table
    details: bool = False

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        from rich.text import Text

        width = options.max_width
        cells = self.table.shown()
        least = [_least(self.table, cells, i) for i in range(len(self.table.columns))]
        yield Text(visible(self.table.title), style="bold")
        if self.details:
            for block in _blocks(least, width):
                yield _block(self.table, cells, block, least)
            left_out: list[str] = []
        else:
            usual = [i for i, column in enumerate(self.table.columns) if not column.detail]
            kept = _fitting(self.table.columns, least, usual, width)
            left_out = [cells[0][i] for i in usual if i not in kept]
            yield _block(self.table, cells, kept, least)
        for note in self.table.notes:
            yield Text(visible(note))
        if left_out:
            yield Text(visible(f"Not shown at this width: {', '.join(left_out)}; see --details."))
        yield Text()


def _least(table: Table, cells: Sequence[Sequence[str]], index: int) -> int:
    """The width that a column needs: numbers and what a row is called stand in one line."""
    from rich.cells import cell_len

    label = max(map(cell_len, cells[0][index].split()), default=0)
    longest = max((cell_len(row[index]) for row in cells[1:]), default=0)
    folds = index > 0 and table.is_text(index)
    return max(label, min(longest, FOLDED) if folds else longest)


def _fitting(
    columns: Sequence[Column], least: Sequence[int], usual: Sequence[int], width: int
) -> list[int]:
    """Those of the columns that fit, the first always among them."""
    kept = list(usual)
    while len(kept) > 1 and sum(least[i] + GAP for i in kept) > width:
        kept.remove(min(kept[1:], key=lambda i: (columns[i].keep, -i)))
    return kept


def _blocks(least: Sequence[int], width: int) -> Iterator[list[int]]:
    """The columns in as many blocks as are needed; each begins with the first column."""
    block = [0]
    for i in range(1, len(least)):
        if len(block) > 1 and sum(least[j] + GAP for j in (*block, i)) > width:
            yield block
            block = [0]
        block.append(i)
    yield block


def _block(
    table: Table, cells: Sequence[Sequence[str]], chosen: Sequence[int], least: Sequence[int]
) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    answer = RichTable(
        box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False
    )
    for index in chosen:
        answer.add_column(
            Text(cells[0][index]),
            justify="left" if table.is_text(index) else "right",
            overflow="fold",
            min_width=least[index],
        )
    for row in cells[1:]:
        answer.add_row(*(Text(row[index]) for index in chosen))  # Text: no markup in names
    return answer
