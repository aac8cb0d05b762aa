"""What systems and parts cite, and the BibTeX of it."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

_ENTRY = re.compile(r"^@\w+\{([\w-]+),\n.*?^\}$", re.MULTILINE | re.DOTALL)


@cache
def entries() -> dict[str, str]:
    """The BibTeX entries that come with the package, by their keys."""
    text = resources.files("zoo").joinpath("citations.bib").read_text(encoding="utf-8")
    return {found[1]: found[0] for found in _ENTRY.finditer(text)}


def of_class(cls: type) -> list[str]:
    """The keys behind ``Cites:`` in a class's docstring."""
    lines = re.findall(r"^ *Cites: ([\w, -]+)$", cls.__doc__ or "", re.MULTILINE)
    return [key for line in lines for key in re.split(r", *", line.strip())]
