"""``zoo contract`` on plug-in files, installed plug-ins and built-in parts."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
GATE = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]

Use = Callable[..., tuple[int, str, str]]


@pytest.fixture
def use(tmp_path: Path, monkeypatch, capsys) -> Use:
    """Run the command line in this process: exit code, standard output, standard error."""
    from zoo import cli, registry

    for key in registry.BUILT_IN:
        registry.resolve(*key)
    monkeypatch.setattr(registry, "_registered", registry.registered())
    monkeypatch.setattr(registry, "_plugin_files", {})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)

    def use(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["zoo", "contract", *args])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return use


def write(folder: Path, *changes: tuple[str, str], name: str = "gate.py") -> None:
    source = GATE
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    (folder / name).write_text(source, encoding="utf-8")


def test_the_plug_in_of_the_readme(zoo, tmp_path: Path) -> None:
    write(tmp_path)
    done = zoo("contract", "gate.py")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert re.fullmatch(r"gate\.py: fuser gate: passed, 1[0-9] checks", first)
    assert second == "1 passed"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("self.width, (", "_, ("), "no attribute `width`; set `self.width` to the width of the"),
        (("= level, width", "= 'tokn', width"), "`level` is 'tokn', which is no level of a fuser"),
        (("vectors = units", "1 / 0; vectors = units"), "raises ZeroDivisionError: division by"),
    ],
)
def test_a_fault_is_a_line(use: Use, tmp_path: Path, change: tuple[str, str], line: str) -> None:
    write(tmp_path, change)
    code, out, err = use("gate.py")
    assert (code, err) == (1, "")
    assert out.startswith("gate.py: fuser gate: ")
    assert line in out.splitlines()[0]
    assert out.splitlines()[-1] == "1 failed"
    assert "Traceback" not in out


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (
            "import torch\n\nx = torch.foo\n",
            "can't be imported: AttributeError: module 'torch' has ",
        ),
        ("def f(:\n", "can't be imported: SyntaxError: "),
        ("import sys\nsys.exit('no')\n", "can't be imported: SystemExit: no (gate.py:2)"),
        ("x = 1\n", "registers no part; decorate a class with @register(KIND, NAME)"),
        (
            "from zoo.registry import register\n\n\n@register('fusser', 'gate')\nclass Gate: ...\n",
            "register('fusser', 'gate'): unknown kind; did you mean `fuser`?",
        ),
    ],
)
def test_a_plug_in_that_can_not_be_imported(
    use: Use, tmp_path: Path, source: str, line: str
) -> None:
    (tmp_path / "gate.py").write_text(source)
    code, out, err = use("gate.py")
    assert (code, err) == (1, "")
    assert out.startswith("gate.py: ")
    assert line in out.splitlines()[0]


def test_wrong_arguments(use: Use) -> None:
    code, out, err = use()
    assert (code, out) == (2, "")
    assert "name a plug-in file, an installed plug-in or a part, or use --all" in err
    assert use("gate.py") == (2, "", "zoo: gate.py: no such file\n")
    code, _, err = use("cross_atention")
    assert code == 2
    assert err == (
        "zoo: `cross_atention` is no file, no installed plug-in and no part; did you mean "
        "`cross_attention`?\n"
    )


def test_built_in_parts_by_name(use: Use) -> None:
    code, out, err = use("cross_attention", "bio", "softmax", "softmax")
    assert (code, err) == (0, "")
    heads = [line.partition(" passed")[0] for line in out.splitlines()]
    assert heads == ["fuser cross_attention:", "reader bio:", "decoder softmax:", "3"]


def test_a_part_without_its_model_is_skipped_not_passed(use: Use, monkeypatch) -> None:
    from zoo import registry

    vit = registry.resolve("image_encoder", "vit")
    monkeypatch.setattr(vit, "example", {"model": "./no-such-folder"})
    code, out, _ = use("vit")
    assert code == 0
    assert out.startswith("image_encoder vit: skipped: needs a model: model `./no-such-folder`:")
    assert out.splitlines()[-1] == "1 skipped"


@pytest.mark.slow
def test_an_installed_plug_in(zoo, tmp_path: Path) -> None:
    """A package of two modules, installed with an entry point."""
    site = tmp_path / "site"
    package, info = site / "my_gates", site / "my_gates-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text("from my_gates import gate, wrong\n")
    write(package)
    write(package, ('"gate"', '"wrong"'), ("= level, width", "= level, 8"), name="wrong.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-gates\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zoo.plugins]\nmy-gates = my_gates\n")
    path = f"{site}:{':'.join(p for p in sys.path if p)}"
    done = zoo("contract", "my-gates", PYTHONPATH=path)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("my-gates: fuser gate: passed, ")
    assert lines[1].startswith("my-gates: fuser wrong: `width` announces 8, and vectors is 16 wide")
    assert lines[-1] == "1 passed, 1 failed"
    done = zoo("contract", "gate", PYTHONPATH=path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "1 passed"


@pytest.mark.slow
def test_every_built_in_part(zoo) -> None:
    from zoo.registry import BUILT_IN

    done = zoo("contract", "--all", HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert len(lines) == len(BUILT_IN) + 1
    for (kind, name), line in zip(BUILT_IN, lines, strict=False):
        assert line.startswith(f"{kind} {name}: ")
        assert "passed, " in line or "skipped: needs a model: " in line
    assert sum("skipped" in line for line in lines[:-1]) <= 1, "vit alone has no small model"
