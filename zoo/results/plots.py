"""Plots of ablations. Matplotlib is imported when one is drawn; no display is needed."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.files import write_atomic
from zoo.results.columns import BOUNDS
from zoo.results.tables import Each, Range, Table, Value, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.dpi": 200,
    "svg.hashsalt": "zoo",  # else the ids in an SVG are drawn anew for each file
}
MARKS = (
    ("o", "#000000"), ("s", "#3b6ea8"), ("^", "#d98c2b"), ("D", "#7a3f8f"), ("v", "#8fb98b"),
    ("P", "#a8341f"), ("X", "#5fa8c4"), ("*", "#8a8a8a"),
)  # fmt: skip
"""Shape and colour of each value of ``across``: shapes, and greys from dark to light, tell them
apart without colour."""
LINES = ("--", ":")
ROW, NAME, PANEL = 0.17, 0.062, 2.3  # inches: a row of dots; a character; a panel's axis
LONGEST = 34  # characters of a name in one line


@dataclass
class Panel:
    """The arms of one base on one dataset; by value of ``across``, in order."""

    title: str
    arms: list[str] = field(default_factory=list)
    rows: dict[str, dict[str, dict[str, Value]]] = field(default_factory=dict)
    bounds: dict[str, dict[str, float]] = field(default_factory=dict)
    margin: float | None = None

    @property
    def height(self) -> float:
        """In inches."""
        arms = (max(len(self.rows) + 0.6, 1.4 * len(_lines(arm))) for arm in self.arms)
        return ROW * sum(arms) + 0.75


def write_plot(tables: Sequence[Table], folder: Path, name: str) -> None:
    """``<name>.png`` and ``<name>.svg``: F1 of every seed, and differences to the base.

    The same tables give the same bytes. Raises OSError where the folder can't be written.
    """
    # the first time, and where no cache can be kept, it has something to say
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib import style

    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    with style.context(["default", STYLE]):
        figure = draw(tables)
        for suffix, facts in metadata.items():
            drawn = io.BytesIO()
            figure.savefig(drawn, format=suffix, metadata=facts)
            figure.set_layout_engine("none")  # laid out once is enough
            write_atomic(folder / f"{name}.{suffix}", drawn.getvalue())


def draw(tables: Sequence[Table]) -> Figure:
    """Tables of an ablation: a panel a base and dataset, a row an arm.

    Values of ``across`` have a mark each.

    On the left the F1 of each seed as dots, and their mean; on the right the difference to the base
    with its 95 % interval, on an axis that holds 0.
    """
    from matplotlib.figure import Figure

    panels = _panels(tables)
    names = max(len(line) for panel in panels for arm in panel.arms for line in _lines(arm))
    heights = [panel.height for panel in panels]
    size = NAME * names + 2 * PANEL + 0.4, sum(heights) + 0.35
    figure = Figure(size, layout="constrained")
    grid = figure.subplots(len(panels), 2, squeeze=False, height_ratios=heights)
    for (left, right), panel in zip(grid, panels, strict=True):
        _draw(left, right, panel)
    handles = {
        label: handle
        for ax in grid.flat
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    if handles:
        longest = max(map(len, handles))
        legend = figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside lower center",
            ncols=max(1, int(size[0] / (NAME * longest + 0.6))),
        )
        for name in legend.get_texts():
            name.set_parse_math(False)
    return figure


def _panels(tables: Sequence[Table]) -> list[Panel]:
    panels: dict[str, Panel] = {}
    for table in tables:
        across = visible(table.facts.get("across", ""))
        title = visible(table.title)
        title = title.replace(f", {across}", "", 1) if across else title
        panel = panels.setdefault(title, Panel(title))
        rows = panel.rows.setdefault(across, {})
        panel.bounds[across] = {
            key: float(table.facts[key]) for key in BOUNDS if key in table.facts
        }
        panel.margin = float(table.facts["margin"]) if "margin" in table.facts else None
        keys = [column.key for column in table.columns]
        for row in table.rows:
            cells = dict(zip(keys, row, strict=True))
            arm = visible(str(cells["arm"]))
            if across:  # what the base equals may differ from value to value
                arm = "base" if arm.startswith("base = ") else arm
            if arm not in panel.arms:
                panel.arms.append(arm)
            rows[arm] = cells
    return list(panels.values())


def mark(index: int) -> tuple[str, str]:
    """Shape and colour of a value of ``across``, by its place: each has its own up to the 64th."""
    shape, colour = index % len(MARKS), (index + index // len(MARKS)) % len(MARKS)
    return MARKS[shape][0], MARKS[colour][1]


def _draw(left: Axes, right: Axes, panel: Panel) -> None:
    several = len(panel.rows) > 1
    step = 0.75 / len(panel.rows)
    for i, (across, rows) in enumerate(panel.rows.items()):
        shape, colour = mark(i)
        for place, arm in enumerate(panel.arms):
            y = place + (i + 0.5) * step - 0.375
            cells = rows.get(arm, {})
            seeds, delta, interval = (cells.get(k) for k in ("f1_seeds", "delta", "interval"))
            if isinstance(seeds, Each) and seeds:
                left.plot(seeds, [y] * len(seeds), shape, color=colour, alpha=0.55, markersize=3.5)
                mean = sum(seeds) / len(seeds)
                left.plot([mean], [y], "|", color=colour, markersize=11, markeredgewidth=1.6)
            if isinstance(interval, Range):
                right.plot(interval, [y, y], "-", color=colour, linewidth=1.2)
            if isinstance(delta, float):
                whole = isinstance(interval, Range)
                right.plot([delta], [y], shape, color=colour, markersize=4.5,
                           markerfacecolor=colour if whole else "white")  # fmt: skip
        if several:
            left.plot([], [], shape, color=colour, markersize=4, label=across or "as it is")
    _bounds(left, panel)
    right.axvline(0.0, color="black", linewidth=0.9)
    if panel.margin is not None:
        right.axvspan(-panel.margin, panel.margin, color="#ececec", zorder=0, linewidth=0,
                      label=f"± {panel.margin:g} F1")  # fmt: skip
    left.plot([], [], "|", color="black", markersize=8, label="mean; dots: seeds")
    every = [cells for rows in panel.rows.values() for cells in rows.values()]
    if any(cells.get("interval") is not None for cells in every):
        right.plot([], [], "-", color="black", linewidth=1.2, label="95 % interval")
    if any(map(_no_interval, every)):
        right.plot([], [], "o", color="black", markersize=4.5, markerfacecolor="white",
                   label="no interval")  # fmt: skip
    left.set_title(panel.title, parse_math=False, loc="left")
    left.set_xlabel("F1 (%)")
    right.set_xlabel("Δ F1 to the base")
    names = ["\n".join(_lines(arm)) for arm in panel.arms]
    for ax, labels in ((left, names), (right, [""] * len(names))):
        ax.set_ylim(len(panel.arms) - 0.5, -0.5)
        ax.set_yticks(range(len(panel.arms)), labels, parse_math=False)
        ax.tick_params(axis="y", length=0)
        ax.margins(x=0.08)


def _no_interval(cells: dict[str, Value]) -> bool:
    return cells.get("delta") is not None and cells.get("interval") is None


def _bounds(ax: Axes, panel: Panel) -> None:
    """Bounds of the test set as lines; one each where all values of ``across`` share them."""
    for key, line in zip(BOUNDS, LINES, strict=True):
        known = {across: found[key] for across, found in panel.bounds.items() if key in found}
        if len(set(known.values())) == 1:
            ax.axvline(next(iter(known.values())), color="black", linestyle=line, linewidth=1.0,
                       label=BOUNDS[key])  # fmt: skip
            continue
        for across, value in known.items():
            colour = mark(list(panel.rows).index(across))[1]
            ax.axvline(value, color=colour, linestyle=line, linewidth=1.0,
                       label=f"{BOUNDS[key]}, {across}")  # fmt: skip


def _lines(arm: str) -> list[str]:
    """A name in lines that are not too long: `level=token objective=nt_xent` may have two."""
    lines = [""]
    for word in re.split(r" (?!=)", arm.replace("= ", "=\u00a0")):
        if lines[-1] and len(lines[-1]) + len(word) >= LONGEST:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines
