"""The floor plan: a module imports only what stands above it in docs/design.md, and no circles."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "zoo"
LONGEST = 400


def floors() -> list[list[str]]:
    """The lines of the list in docs/design.md: names of modules and packages (with a slash)."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- layout -->\n\n((?:    .+\n)+)", text)
    assert block, "docs/design.md holds the list behind the mark <!-- layout -->"
    lines = [line.split("  ")[0] if "  " in line.strip() else line
             for line in (each.strip() for each in block[1].splitlines())]  # fmt: skip
    return [line.split() for line in lines]


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
FLOORS = floors()


def position(module: str) -> tuple[int, int]:
    """The line of a module in the list, and its place within the line."""
    first = module.split(".")[1]
    for row, names in enumerate(FLOORS):
        for place, name in enumerate(names):
            if name in (f"{first}/", f"{first}.py"):
                return row, place
    raise AssertionError(f"{module} stands nowhere in the list of docs/design.md")


def imports(module: str) -> set[str]:
    """The modules of the package that a module imports, wherever in its text."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else node.module)
    return {each for each in found if each in MODULES and each not in (module, "zoo")}


@pytest.mark.parametrize("module", [m for m in MODULES if m.count(".")])
def test_a_module_imports_only_what_stands_above_it(module: str) -> None:
    package = module.split(".")[1]
    for other in imports(module):
        if other.split(".")[1] == package:
            continue
        row, place = position(module)
        above_row, above_place = position(other)
        packages = all(name.endswith("/") for name in FLOORS[row])
        assert above_row < row or (above_row == row and above_place < place and not packages), (
            f"{module} imports {other}, which does not stand above it"
        )


def test_no_circles() -> None:
    graph = {module: imports(module) for module in MODULES if module != "zoo"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' → '.join(error.args[1])}")


def test_every_name_in_the_list_exists() -> None:
    for name in (name for names in FLOORS for name in names):
        assert (PACKAGE / name).exists(), name


@pytest.mark.parametrize("module", MODULES)
def test_no_long_files(module: str) -> None:
    lines = MODULES[module].read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST, f"{module} has {lines} lines"
