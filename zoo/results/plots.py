"""Pictures of results. Matplotlib is imported when one is drawn; no display is needed."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.files import write_atomic
from zoo.results.tables import Spread, Table, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.dpi": 200,
    "svg.hashsalt": "zoo",  # else the ids in an SVG are drawn anew for each file
}
BASE, ARM, CEILING = "#555555", "#4477aa", "#cc3311"
MARGIN = 0.8  # inches, beside the bars
WIDEST = 9.0  # inches; wider panels stand one below the other


@dataclass
class Panel:
    """The arms of one base on one dataset, side by side; by value of ``across``, in order."""

    title: str
    arms: list[str] = field(default_factory=list)
    bars: dict[str, dict[str, Spread]] = field(default_factory=dict)
    ceilings: dict[str, float] = field(default_factory=dict)
    grounding: dict[str, float] = field(default_factory=dict)

    @property
    def width(self) -> float:
        """In inches."""
        lines = max(len(_lines(arm)) for arm in self.arms)
        bars = len(self.arms) * max(0.5, 0.22 * lines, 0.2 * len(self.bars) + 0.15)
        return max(MARGIN + bars, 0.09 * len(self.title))


def write_bars(tables: Sequence[Table], folder: Path, name: str) -> None:
    """``<name>.png`` and ``<name>.svg``: mean F1 of every arm, with the standard deviation.

    The same tables give the same bytes. Raises OSError where the folder can't be written.
    """
    # the first time, and where no cache can be kept, it has something to say
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib import style

    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    with style.context(["default", STYLE]):
        figure = bars(tables)
        for suffix, facts in metadata.items():
            drawn = io.BytesIO()
            figure.savefig(drawn, format=suffix, metadata=facts)
            figure.set_layout_engine("none")  # laid out once is enough
            write_atomic(folder / f"{name}.{suffix}", drawn.getvalue())


def bars(tables: Sequence[Table]) -> Figure:
    """Tables of an ablation as bars: a panel a base and dataset, a shade a value of ``across``."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MultipleLocator

    panels = _panels(tables)
    widths = [panel.width for panel in panels]
    stacked = len(panels) > 1 and sum(widths) > WIDEST
    rows, columns = (len(panels), 1) if stacked else (1, len(panels))
    names = max(len(line) for panel in panels for arm in panel.arms for line in _lines(arm))
    size = max(3.2, max(widths) if stacked else sum(widths)), rows * (2.0 + 0.05 * names)
    figure = Figure(size, layout="constrained")
    ratios = None if stacked else widths
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True, width_ratios=ratios)
    for ax, panel in zip(grid.flat, panels, strict=True):
        _draw(ax, panel)
    for ax in grid[:, 0]:
        ax.set_ylabel("F1 (%)")
    low, high, step = _limits(panels)
    grid[0, 0].set_ylim(low, high)
    grid[0, 0].yaxis.set_major_locator(MultipleLocator(step))
    handles = {
        label: handle
        for ax in grid.flat
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    if handles:
        columns = max(1, int(size[0] / 1.6))
        legend = figure.legend(
            list(handles.values()), list(handles), loc="outside upper center", ncols=columns
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
        series = panel.bars.setdefault(across, {})
        if "text_only_ceiling" in table.facts:
            panel.ceilings[across] = float(table.facts["text_only_ceiling"])
        if "grounding_bar" in table.facts:
            panel.grounding[across] = float(table.facts["grounding_bar"])
        keys = [column.key for column in table.columns]
        for row in table.rows:
            cells = dict(zip(keys, row, strict=True))
            arm, f1 = visible(str(cells["arm"])), cells["f1"]
            if across:  # what the base equals may differ from value to value
                arm = "base" if arm.startswith("base = ") else arm
            if arm not in panel.arms:
                panel.arms.append(arm)
            if isinstance(f1, Spread):
                series[arm] = f1
    return list(panels.values())


def _draw(ax: Axes, panel: Panel) -> None:
    from matplotlib import colormaps

    several = len(panel.bars) > 1
    step = 0.8 / len(panel.bars)
    shades = [colormaps["viridis"](0.1 + 0.8 * i / len(panel.bars)) for i in range(len(panel.bars))]
    for i, (across, found) in enumerate(panel.bars.items()):
        there = [arm for arm in panel.arms if arm in found]
        ax.bar(
            [panel.arms.index(arm) + (i + 0.5) * step - 0.4 for arm in there],
            [found[arm].mean for arm in there],
            0.9 * step,
            yerr=[found[arm].sd or 0.0 for arm in there],
            color=shades[i]
            if several
            else [BASE if arm.partition(" = ")[0] == "base" else ARM for arm in there],
            error_kw={"elinewidth": 0.9, "capsize": 2.0, "ecolor": "black"},
            label=across or None,
        )
    for title, style, bars in (
        ("text-only ceiling", "--", panel.ceilings),
        ("grounding bar", ":", panel.grounding),
    ):
        equal = len(set(bars.values())) == 1
        for i, (across, bar) in enumerate(bars.items()):
            if i == 0 or not equal:
                label = title if equal else f"{title}, {across}"
                colour = CEILING if equal else shades[list(panel.bars).index(across)]
                ax.axhline(bar, color=colour, linestyle=style, linewidth=1.0, label=label)
    ax.set_title(panel.title, parse_math=False)
    ax.set_xlim(-0.6, len(panel.arms) - 0.4)
    narrow = (panel.width - MARGIN) / len(panel.arms) / 0.07  # characters that fit below a bar
    turned = any(len(line) > narrow for arm in panel.arms for line in _lines(arm))
    names = ["\n".join(_lines(arm)) for arm in panel.arms]
    ax.set_xticks(range(len(panel.arms)), names, parse_math=False)
    for name in ax.get_xticklabels() if turned else ():
        name.set(rotation=40, horizontalalignment="right", rotation_mode="anchor")
    ax.tick_params(axis="x", length=0)


def _lines(arm: str) -> list[str]:
    """An arm's name in lines: `level=token objective=nt_xent` has two."""
    return arm.replace(" = ", "\u00a0= ").split(" ")


def _limits(panels: Sequence[Panel]) -> tuple[float, float, float]:
    """The axis: cut at a round number below bars and ceilings, and above them; its steps."""
    spreads = [f1 for panel in panels for bars in panel.bars.values() for f1 in bars.values()]
    ceilings = [
        bar for panel in panels for bar in (*panel.ceilings.values(), *panel.grounding.values())
    ]
    if not spreads:
        return 0.0, 100.0, 20.0
    low = min([*(f1.mean - (f1.sd or 0.0) for f1 in spreads), *ceilings])
    high = max([*(f1.mean + (f1.sd or 0.0) for f1 in spreads), *ceilings])
    step = next(step for step in (1, 2, 5, 10, 20, 100) if high - low <= 6 * step)
    # the least bar keeps some height, so that it can be seen
    bottom = step * math.floor(low / step - 0.5)
    return max(0.0, float(bottom)), min(102.0, high + 0.3 * step), step
