"""What ``zoo compare`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.results.tables import visible


def lines_of(found: dict[str, Any]) -> list[str]:
    """For readers, at most 80 columns wide as far as names allow."""
    lines = []
    for mark in "ab":
        side = found[mark]
        about = side.get("dataset", "")
        if side.get("seeds"):
            word = "seed" if len(side["seeds"]) == 1 else "seeds"
            about += f", {word} {', '.join(map(str, side['seeds']))}, variant {side['variant']}"
        about = f"  ({visible(about)})" if about else ""
        lines.append(f"{mark.upper()}  {visible(side['name'])}{about}")
        lines += [f"     {visible(override)}" for override in side.get("overrides", [])]
    one, two = found["f1"]
    lines += [f"note: {visible(remark)}" for remark in found["remarks"]]
    lines += [
        "",
        f"test set       {found['sentences']:,} sentences, {found['gold']:,} gold entities",
        *(
            [f"pictures       shared: {found['samples']:,} samples"]
            if found["samples"] < found["sentences"]
            else []
        ),
        f"F1             A {one:.2f}, B {two:.2f}",
    ]
    if "why_not" in found:
        lines += [f"difference     {_signed(found['delta'])} (B − A)"]
        lines += [f"systems        no interval: {found['why_not']}"]
    else:
        low, high = _signed(found["low"]), _signed(found["high"])
        how = ", seeds paired" if found["paired_seeds"] else ""
        lines += [
            f"difference     {_signed(found['delta'])} (B − A), 95 % interval {low} to {high}",
            f"systems        p {_p(found['p'])}, other seeds and sentences{how}",
        ]
    runs = found["these_runs"]
    if runs is None:
        lines += ["these runs     no test: no seed is common to the two"]
    else:
        which = f" (seeds {', '.join(map(str, runs['seeds']))})" if runs["seeds"] else ""
        lines += [f"these runs     p {_p(runs['p'])}, other sentences, same models{which}"]
    if "why_not" not in found:
        holds = "lies" if found["no_difference"] else "does not lie"
        shown = "yes" if found["no_difference"] else "not shown"
        lines += [
            f"can separate   {found['detectable']:.2f} F1 (80 % power, 5 % level)",
            f"no difference  {shown}: the interval {holds} within ± {found['margin']:g} F1",
        ]
    for mark in "ab":
        flip = found[f"only_{mark}"]
        lines.append(
            f"only {mark.upper()} right   {len(flip['entities'])} entities; "
            f"{len(flip['sentences'])} sentences wholly"
        )
    if found["by"]:
        lines += ["", *_table(found["by"])]
        tested = sum("p" in row for row in (found, *found["by"]))
        if any("p" in row for row in found["by"]):
            lines += [f"p: corrected for {tested} comparisons (Holm), the one above included."]
    return lines


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    names = [visible(row["name"]) for row in rows]
    wide = 1 + max(9, *map(len, names))
    heads = ("gold", "A", "B", "B − A", "95 % interval", "p")
    widths = (6, 7, 7, 8, 18, 10)
    cells: list[tuple[str, ...]] = [heads]
    for row in rows:
        whole = "why_not" not in row
        cells.append(
            (
                f"{row['gold']:,}",
                *(f"{f1:.2f}" for f1 in row["f1"]),
                _signed(row["delta"]),
                f"{_signed(row['low'])} to {_signed(row['high'])}" if whole else "–",
                _p(row["p_holm"]).removeprefix("= ") if whole else "–",
            )
        )
    return [
        name.ljust(wide) + "".join(c.rjust(w) for c, w in zip(line, widths, strict=True))
        for name, line in zip(["", *names], cells, strict=True)
    ]


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")


def _p(value: float) -> str:
    return f"= {value:.4f}" if value >= 0.0001 else "< 0.0001"
