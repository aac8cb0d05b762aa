"""Tables on a terminal: whole, however narrow it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from zoo.results.tables import Table, visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table as RichTable

FOLDED = 18  # characters of a text, which may be folded, that are kept in one line
NAME = 30  # characters of what a row is called, likewise, where the place is needed
NEEDED = 5  # columns kept longer than this (``Column.keep``) are worth folding names for
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

        page = _Page(self.table, options.max_width)
        yield Text(visible(self.table.title), style="bold")
        usual = [i for i, column in enumerate(self.table.columns) if not column.detail]
        blocks = page.blocks() if self.details else [page.fitting(usual)]
        for block in blocks:
            yield page.block(block)
        for note in self.table.notes:
            yield Text(visible(note))
        left_out = [page.cells[0][i] for i in usual if not any(i in block for block in blocks)]
        if left_out:
            yield Text(visible(f"Not shown at this width: {', '.join(left_out)}; see --details."))
        yield Text()


class _Page:
    """A table on a terminal of some width: how wide each column must be, and may be."""

    def __init__(self, table: Table, width: int) -> None:
        from rich.cells import cell_len

        self.table, self.width, self.cells = table, width, table.shown()
        self.least, self.whole = list[int](), list[int]()
        for i, (label, *column) in enumerate(zip(*self.cells, strict=True)):
            longest = max(map(cell_len, column), default=0)
            word = max(map(cell_len, " ".join(column).split()), default=0)
            least = longest
            if i == 0:
                least = min(longest, max(word, NAME), width // 2)
            elif table.is_text(i):
                least = min(longest, FOLDED)
            self.least.append(max(least, *map(cell_len, label.split()), 1))
            self.whole.append(max(longest, cell_len(label)))

    def fits(self, chosen: Sequence[int], widths: Sequence[int]) -> bool:
        return sum(widths[i] + GAP for i in chosen) - GAP <= self.width

    def fitting(self, usual: Sequence[int]) -> list[int]:
        """Those of the columns that fit, the first always among them."""
        columns = self.table.columns

        def kept(widths: Sequence[int]) -> list[int]:
            answer = list(usual)
            while len(answer) > 1 and not self.fits(answer, widths):
                answer.remove(min(answer[1:], key=lambda i: (columns[i].keep, -i)))
            return answer

        unfolded = kept([max(self.least[0], self.whole[0]), *self.least[1:]])
        if all(i in unfolded for i in usual if columns[i].keep >= NEEDED):
            return unfolded
        return kept(self.least)

    def blocks(self) -> list[list[int]]:
        """The columns in as many blocks as are needed; each begins with the first column."""
        answer = [[0]]
        for i in range(1, len(self.least)):
            if len(answer[-1]) > 1 and not self.fits([*answer[-1], i], self.least):
                answer.append([0])
            answer[-1].append(i)
        return answer

    def block(self, chosen: Sequence[int]) -> RichTable:
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        widths = list(self.least)
        for i in chosen:  # what is left over goes to those that were folded
            spare = self.width + GAP - sum(widths[j] + GAP for j in chosen)
            widths[i] += max(0, min(spare, self.whole[i] - widths[i]))
        answer = RichTable(
            box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False
        )
        for i in chosen:
            justify: Literal["left", "right"] = "left" if self.table.is_text(i) else "right"
            answer.add_column(
                Text(self.cells[0][i]), justify=justify, overflow="fold", width=widths[i]
            )
        for row in self.cells[1:]:
            answer.add_row(*(Text(row[i]) for i in chosen))  # Text: no markup in names
        return answer
