"""Tables in LaTeX, no larger than a page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from zoo.results.tables import Spread, Table, Value, line

PAGE = 345.0  # points: the text width of the class article, the narrowest of the usual ones
SIZES = (("footnotesize", 4.5, 3), ("scriptsize", 4.0, 2))
"""Font sizes; the mean width of a character, in points; the space on both sides of a column."""
NAME, TEXT = 20, 22  # characters of a text in one line: in the first column at least; in others
LONG = 14  # characters of a word that may be broken
LINES = 50  # of rows in one table


def to_latex(tables: Sequence[Table]) -> str:
    """A ``table*`` each, for the package booktabs, no larger than a page; a long one in parts.

    A table holds the columns marked ``paper``; where they don't fit, the last parts of F1 are left
    out first. The CSV file holds all. Parts of F1 stand without their deviation.
    """
    lines = [r"% \usepackage{booktabs}"]
    for table in tables:
        lines += _table(table)
    return "\n".join(lines) + "\n"


def _table(table: Table) -> Iterator[str]:
    chosen = [i for i, column in enumerate(table.columns) if column.paper]
    shown = Table(
        table.title,
        [table.columns[i] for i in chosen],
        [[_brief(row[i], table.columns[i].detail) for i in chosen] for row in table.rows],
    )
    cells = shown.shown()
    widths, size, points, space = _fit(shown, cells)
    left_out = [column.label for i, column in enumerate(shown.columns) if i not in widths]
    notes = [*table.notes]
    if left_out:
        notes.append(f"Not shown: {', '.join(left_out)}; see the CSV file.")
    heads, *rows = (
        " & ".join(_cell(row[i], width, points) for i, width in widths.items()) + r" \\"
        for row in cells
    )
    heights = [
        max((-(-len(row[i]) // max(1, width)) for i, width in widths.items()), default=1)
        for row in cells[1:]
    ]
    for number, part in enumerate(_parts(rows, heights)):
        yield from (
            "",
            r"\begin{table*}",
            r"\centering",
            rf"\{size}",
            rf"\setlength{{\tabcolsep}}{{{space}pt}}",
            rf"\caption{{{escaped(table.title)}{' (continued)' if number else ''}}}",
            rf"\begin{{tabular}}{{{''.join('l' if shown.is_text(i) else 'r' for i in widths)}}}",
            r"\toprule",
            heads,
            r"\midrule",
            *part,
            r"\bottomrule",
            r"\end{tabular}",
        )
        if notes and number == 0:
            yield rf"\par\medskip\parbox{{\linewidth}}{{\scriptsize {escaped(' '.join(notes))}}}"
        yield r"\end{table*}"


def _fit(shown: Table, cells: Sequence[Sequence[str]]) -> tuple[dict[int, int], str, float, int]:
    """The columns that fit, with their width in characters; font size, and what goes with it."""
    longest = [max(len(row[i]) for row in cells) for i in range(len(shown.columns))]
    for size, points, space in SIZES:
        widths = {
            i: min(width, TEXT) if i and shown.is_text(i) else width
            for i, width in enumerate(longest)
        }
        if size == SIZES[-1][0] and widths:
            first = sum(
                w * points + 2 * space for i, w in widths.items() if not shown.columns[i].detail
            )
            spare = int((PAGE - first) // points)
            widths[0] = min(widths[0], max(NAME, widths[0] + spare))
        if _points(widths, points, space) <= PAGE:
            break
    while len(widths) > 1 and _points(widths, points, space) > PAGE:
        del widths[max(list(widths)[1:], key=lambda i: (shown.columns[i].detail, i))]
    return widths, size, points, space


def _points(widths: dict[int, int], points: float, space: int) -> float:
    return sum(width * points + 2 * space for width in widths.values())


def _parts(rows: Sequence[str], heights: Sequence[int]) -> Iterator[list[str]]:
    """The rows in parts of at most ``LINES`` lines; one part where there are no rows."""
    part, lines = list[str](), 0
    for row, height in zip(rows, heights, strict=True):
        if part and lines + height > LINES:
            yield part
            part, lines = [], 0
        part.append(row)
        lines += height
    yield part


def _brief(value: Value, detail: bool) -> Value:
    return value.mean if detail and isinstance(value, Spread) else value


def _cell(text: str, width: int, points: float) -> str:
    if len(text) <= width:
        return escaped(text)
    return rf"\parbox[t]{{{width * points:.0f}pt}}{{\raggedright\strut {_breakable(text)}\strut}}"


_APART = "\0"  # in no visible text
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "−": "$-$",
    "–": "--",
    "`": r"\textasciigrave{}",
    "…": r"\dots{}",
    "[": "{[}",  # at the head of a row it would be an argument of \\
    "*": "{*}",  # likewise
} | {character: "\\" + character for character in "&%$#_{}"}


def escaped(text: str) -> str:
    """Plain text as LaTeX source: every character stands for itself, straight quotes aside, which
    TeX curls; two hyphens are no dash."""
    source = "".join(_LATEX.get(character, character) for character in _apart(line(text)))
    return source.replace(_APART, "{}")


def _apart(text: str) -> str:
    return re.sub("-(?=-)", f"-{_APART}", text)


def _breakable(text: str) -> str:
    """The same, for a narrow column: a long word may end after a dot, `=`, a slash or `_`."""
    return " ".join(
        r"\allowbreak{}".join(map(escaped, re.split(r"(?<=[._=/])", word)))
        if len(word) > LONG
        else escaped(word)
        for word in line(text).split(" ")
    )
