"""How the tables of bad inputs are run: in this process, through the command line's entry point."""

from __future__ import annotations

import hashlib
import signal
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from zoo import cli

LONGEST = 605  # characters of a line
SAMPLE = 12  # of so many cases one runs by default

Refuse = Callable[..., Sequence[str]]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """The tables take a minute: by default a sample of them runs."""
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    for number, item in enumerate(here):
        if number % SAMPLE:
            item.add_marker(pytest.mark.slow)


def hangs(number: int, frame: object) -> None:
    raise AssertionError("it takes more than a minute")


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, by its path, with a digest of what it holds."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else ""
        found[str(path.relative_to(folder))] = f"{stat.S_IFMT(mode):o} {digest}"
    return found


@pytest.fixture
def refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refuse:
    """Use the command line in ``tmp_path``, which must refuse: ``refuse(args, words, code=2)``.

    ``{d}`` in an argument is the folder. Asserts that a line holds all words, that each is short,
    printable and begins with ``zoo: ``, and that no file was written, changed or deleted.
    """
    cache = tmp_path.with_name(f"{tmp_path.name}-cache")
    monkeypatch.setenv("ZOO_CACHE", str(cache))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("ZOO_DATA", raising=False)
    monkeypatch.chdir(tmp_path)

    def refuse(args: Sequence[str], words: Sequence[str], code: int = 2) -> Sequence[str]:
        before = contents(tmp_path)
        args = [arg.replace("{d}", str(tmp_path)) for arg in args]
        monkeypatch.setattr("sys.argv", ["zoo", *args])
        signal.signal(signal.SIGALRM, hangs)
        signal.alarm(60)
        try:
            with pytest.raises(SystemExit) as stop:
                cli.main()
        finally:
            signal.alarm(0)
        captured = capsys.readouterr()
        lines = captured.err.removesuffix("\n").split("\n")
        assert "Traceback" not in captured.out + captured.err
        for line in lines:
            assert line.startswith("zoo: "), lines
            assert line.isprintable(), repr(line)
            assert len(line) <= LONGEST, line
        assert stop.value.code == code, lines
        assert any(all(word in line for word in words) for line in lines), lines
        assert contents(tmp_path) == before, "nothing is written"
        return lines

    return refuse
