"""Tables in LaTeX, no wider than a page."""

from __future__ import annotations

import re
from collections.abc import Sequence

from zoo.results.tables import Spread, Table, Value, line

PAGE = 345.0  # points: the text width of the class article, the narrowest of the usual ones
SIZES = (("footnotesize", 4.5, 3), ("scriptsize", 4.0, 2))
"""Font sizes; the mean width of a character, in points; the space on both sides of a column."""
LONG = 14  # characters of a word that may be broken
WIDEST = (26, 22)  # characters of a text in one line: in the first column, in the others


def to_latex(tables: Sequence[Table]) -> str:
    """A ``table*`` each, for the package booktabs, at most as wide as a page.

    A table holds the columns marked ``paper``; where they don't fit, the last parts of F1 are left
    out first. The CSV file holds all. Parts of F1 stand without their deviation.
    """
    lines = [r"% \usepackage{booktabs}"]
    for table in tables:
        lines += ["", *_table(table)]
    return "\n".join(lines) + "\n"


def _table(table: Table) -> list[str]:
    chosen = [i for i, column in enumerate(table.columns) if column.paper]
    shown = Table(
        table.title,
        [table.columns[i] for i in chosen],
        [[_brief(row[i], table.columns[i].detail) for i in chosen] for row in table.rows],
    )
    cells = shown.shown()
    texts = [shown.is_text(i) for i in range(len(chosen))]
    widths = [_characters(cells, i, texts[i]) for i in range(len(chosen))]
    size, points, space = next(
        (each for each in SIZES if _points(widths, *each[1:]) <= PAGE), SIZES[-1]
    )
    kept = list(range(len(widths)))
    while len(kept) > 1 and _points([widths[i] for i in kept], points, space) > PAGE:
        kept.remove(max(kept[1:], key=lambda i: (shown.columns[i].detail, i)))
    left_out = [column.label for i, column in enumerate(shown.columns) if i not in kept]
    folded = {i for i in kept if any(len(row[i]) > widths[i] for row in cells)}
    align = "".join(
        rf"p{{{widths[i] * points:.0f}pt}}" if i in folded else "l" if texts[i] else "r"
        for i in kept
    )
    rows = [
        " & ".join(_breakable(row[i]) if i in folded else escaped(row[i]) for i in kept) + r" \\"
        for row in cells
    ]
    caption = [f"{table.title}.", *table.notes]
    if left_out:
        caption.append(f"Not shown: {', '.join(left_out)}; see the CSV file.")
    return [
        r"\begin{table*}",
        r"\centering",
        rf"\{size}",
        rf"\setlength{{\tabcolsep}}{{{space}pt}}",
        rf"\caption{{{escaped(' '.join(caption))}}}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        rows[0],
        r"\midrule",
        *rows[1:],
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]


def _brief(value: Value, detail: bool) -> Value:
    return value.mean if detail and isinstance(value, Spread) else value


def _characters(cells: Sequence[Sequence[str]], index: int, text: bool) -> int:
    """The width of a column, of which texts may be folded."""
    longest = max(len(row[index]) for row in cells)
    return min(longest, WIDEST[min(index, 1)]) if text else longest


def _points(widths: Sequence[int], points: float, space: int) -> float:
    return sum(width * points + 2 * space for width in widths)


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
    "[": "{[}",  # at the head of a row it would be an argument of \\
    "*": "{*}",  # likewise
} | {character: "\\" + character for character in "&%$#_{}"}


def escaped(text: str) -> str:
    """Plain text as LaTeX source; every character stands for itself."""
    return "".join(_LATEX.get(character, character) for character in line(text))


def _breakable(text: str) -> str:
    """The same, for a narrow column: a long word may end after a dot, `=`, a slash or `_`."""
    words = [
        r"\allowbreak{}".join(map(escaped, re.split(r"(?<=[._=/])", word)))
        if len(word) > LONG
        else escaped(word)
        for word in line(text).split(" ")
    ]
    return rf"{{\raggedright {' '.join(words)}\par}}"
