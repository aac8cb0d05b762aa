"""Every key that a system or a part cites has an entry in zoo/citations.bib."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
BIB = (ROOT / "zoo" / "citations.bib").read_text(encoding="utf-8")
ENTRY = re.compile(r"^@\w+\{([\w-]+),\n((?:  \w+ = \{.*\},?\n)+)\}$", re.M)


def cited() -> set[str]:
    registry = yaml.safe_load((ROOT / "registry.yaml").read_text(encoding="utf-8"))
    keys = {system["cites"] for system in registry["systems"].values() if "cites" in system}
    for path in (ROOT / "zoo").rglob("*.py"):
        for line in re.findall(r"^ *Cites: ([\w, -]+)$", path.read_text(encoding="utf-8"), re.M):
            keys |= set(line.split(", "))
    return keys


def test_every_citation_has_one_entry() -> None:
    found = [key for key, _ in ENTRY.findall(BIB)]
    assert len(found) == BIB.count("\n@"), "an entry that can't be read"
    assert len(set(found)) == len(found)
    assert set(found) == cited()


def test_every_entry_says_who_what_and_when() -> None:
    for key, fields in ENTRY.findall(BIB):
        names = re.findall(r"^  (\w+) = ", fields, re.M)
        assert {"title", "author", "year"} <= set(names), key
        year = re.search(r"year = \{(\d{4})\}", fields)
        assert year, key
        assert f"-{year[1]}-" in key
        assert fields.count("{") == fields.count("}"), key
