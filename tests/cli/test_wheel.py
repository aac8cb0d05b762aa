"""A wheel is enough: it holds the package, the shipped registry and the command."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def call(*command: str | Path, cwd: Path, **env: str) -> str:
    """Its output, if all went well."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if k != "ZOO_DATA"} | env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("build", "hatchling"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed (extra `test`)")
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("the tests don't lie in a checkout")
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--wheel", "--no-isolation", "--outdir", folder]
    call(sys.executable, "-m", "build", *options, ROOT, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_what_the_wheel_holds(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        packed = archive.read("zoo/registry.yaml")
        (metadata,) = [archive.read(n).decode() for n in names if n.endswith("METADATA")]
    assert packed == (ROOT / "registry.yaml").read_bytes()
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "zoo").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules, "every file, and no tests"
    assert "zoo/results/reported.csv" in names
    pages = {f"zoo/pages/{page.name}" for page in (ROOT / "docs" / "systems").glob("*.md")}
    assert pages <= names
    assert "Name: mner-zoo" in metadata
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_installed_elsewhere_it_starts_from_nothing(wheel: Path, tmp_path: Path) -> None:
    """``zoo init`` and ``zoo run`` in an empty folder, with what the wheel brought alone."""
    site, folder = tmp_path / "site", tmp_path / "empty"
    folder.mkdir()
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site]
    call(sys.executable, *pip, wheel, cwd=folder, PIP_DISABLE_PIP_VERSION_CHECK="1")
    zoo = [sys.executable, site / "bin" / "zoo"]
    home = call(sys.executable, "-c", "import zoo; print(zoo.__file__)", cwd=folder,
                PYTHONPATH=str(site))  # fmt: skip
    assert Path(home.strip()).is_relative_to(site), "not the checkout"

    assert "wrote registry.yaml" in call(*zoo, "init", cwd=folder, PYTHONPATH=str(site))
    out = call(*zoo, "run", "registry.yaml", "--dry-run", "--system", "bert-crf-attention",
               cwd=folder, PYTHONPATH=str(site))  # fmt: skip
    assert "bert-crf-attention on mini: one batch of 32 passes" in out
    assert "would run 3 of 3 runs" in out
    assert [p.name for p in folder.iterdir()] == ["registry.yaml"]
