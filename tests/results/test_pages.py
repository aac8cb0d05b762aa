"""What the pages of systems say of ``mini`` is what is published.

``python -m tests.results.test_pages`` writes the tables of the pages anew.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "systems").glob("*.md"))
PUBLISHED = ROOT / "results" / "published" / "0.3" / "leaderboard.json"
TABLE = re.compile(r"<!-- measured: ([\w -]+) -->\n(.*?)<!-- end -->\n", re.S)
DATA = ("mini", "mini-captions")
HEAD = """\
| data | system | recipe | seeds | F1 | 95 % interval | |
|---|---|---|---|---|---|---|
"""


def bar(table: dict[str, Any], name: str) -> float:
    (found,) = [note for note in table["notes"] if note.startswith(name)]
    match = re.search(r"([\d.]+) F1", found)
    assert match
    return float(match[1])


def verdict(lowest: float, ceiling: float, grounding: float, seeds: int) -> str:
    """Of the lower end of the interval, or of the one score there is."""
    if lowest > grounding:
        place = "above the grounding bar"
    elif lowest > ceiling:
        place = "above the text-only ceiling, not above the grounding bar"
    else:
        place = "not above the text-only ceiling"
    return place if seeds > 1 else f"{place}, in this one run"


def rows(systems: list[str]) -> str:
    """The rows of a page: its systems' published scores, and which bar each has passed."""
    lines = []
    for table in json.loads(PUBLISHED.read_text(encoding="utf-8"))["tables"]:
        if table["title"] not in DATA:
            continue
        bars = bar(table, "Text-only ceiling"), bar(table, "Grounding bar")
        for row in table["rows"]:
            if row["system"] not in systems:
                continue
            mean, sd, ends = row["f1"]["mean"], row["f1"]["sd"], row["interval"]
            score = f"{mean:.2f}" + (f" ± {sd:.2f}" if sd is not None else "")
            interval = f"{ends['low']:.2f} to {ends['high']:.2f}" if ends else "–"
            told = verdict(ends["low"] if ends else mean, *bars, row["n"])
            what = f"{table['title']} | `{row['system']}` | `{row['recipe']}` | {row['n']}"
            lines.append(f"| {what} | {score} | {interval} | {told} |\n")
    return HEAD + "".join(lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_says_what_is_published(page: Path) -> None:
    found = TABLE.findall(page.read_text(encoding="utf-8"))
    assert len(found) == 1, "one table of what was measured on mini"
    ((systems, said),) = found
    assert page.stem in systems.split()
    assert said == rows(systems.split()), "run `python -m tests.results.test_pages`"


def test_the_verdict_goes_by_the_lower_end() -> None:
    assert verdict(64.3, 60.04, 64.23, 3) == "above the grounding bar"
    between = "above the text-only ceiling, not above the grounding bar"
    assert verdict(64.2, 60.04, 64.23, 3) == between
    assert verdict(60.0, 60.04, 64.23, 3) == "not above the text-only ceiling"
    assert verdict(70.0, 60.04, 64.23, 1).endswith("in this one run")


def main() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")

        def anew(found: re.Match[str]) -> str:
            systems = found[1]
            return f"<!-- measured: {systems} -->\n{rows(systems.split())}<!-- end -->\n"

        page.write_text(TABLE.sub(anew, text), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
