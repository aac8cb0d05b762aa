"""Systems that do not differ are called different as often as the level says, and no more."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from zoo.evaluation.systems import influence, interval

ROOT = Path(__file__).parents[2]
REPLICATIONS = 400
ERROR = 3 * 100 * (0.05 * 0.95 / REPLICATIONS) ** 0.5  # three standard errors, in points


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("benchmarks.false_alarms")


def in_band(rate: float, seeds: int, error: float = 0.0) -> bool:
    """5 % ± 2 %, and with two seeds at most 8 %."""
    least, most = (0, 8) if seeds == 2 else (3, 7)
    return least - error <= rate <= most + error


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("sentences", [200, 723, 3257])
def test_false_alarms(simulation: ModuleType, sentences: int, noise: float) -> None:
    rng = np.random.default_rng([sentences, int(10 * noise)])
    rate, _ = simulation.alarms(
        rng, REPLICATIONS, sentences, (noise, noise), [(k, k) for k in simulation.SEEDS]
    )
    assert all(in_band(rate[k, k], k, ERROR) for k in simulation.SEEDS), rate


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.5, 1.0])
def test_power_at_what_can_be_detected(simulation: ModuleType, noise: float) -> None:
    rng = np.random.default_rng(8)
    found = [interval(*simulation.draw(rng, 723, (noise, noise), 5)).detectable for _ in range(200)]
    better = float(np.mean(np.square(found)) ** 0.5)
    power = np.mean(
        [
            interval(*simulation.draw(rng, 723, (noise, noise), 5, better=better)).separate
            for _ in range(REPLICATIONS)
        ]
    )
    assert 0.7 < power < 0.9


def test_published_tables_are_in_the_band(simulation: ModuleType) -> None:
    """docs/statistics.md holds the whole grid, and no rate outside the band."""
    text = simulation.DOCUMENT.read_text(encoding="utf-8")
    table = text.partition("<!-- grid -->")[2].partition("<!-- end -->")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if "(" in line]
    assert [(row[0].replace(",", ""), row[1]) for row in rows] == [
        (str(n), str(noise)) for n in simulation.SENTENCES for noise in simulation.NOISE
    ]
    for row in rows:
        for k, cell in zip(simulation.SEEDS, row[2:], strict=False):
            match = re.fullmatch(r"(\d+\.\d) \(\d+\.\d\)", cell)
            assert match, cell
            assert in_band(float(match[1]), k), row


def test_what_is_simulated(simulation: ModuleType) -> None:
    """As many entities as in the real data; seeds that vary as told; systems as alike as stored."""
    rng = np.random.default_rng(1)
    a, b = simulation.draw(rng, 20_000, (0.0, 2.5), 30)
    assert a.shape == b.shape == (30, 20_000, 3)
    assert (a[..., 0] == b[..., 0]).all()
    assert (a[..., 2] <= np.minimum(a[..., 0], a[..., 1])).all()
    assert a[0, :, 0].mean() == pytest.approx(1351 / 723, rel=0.02)
    assert a[..., 1].sum() == pytest.approx(a[..., 0].sum(), rel=0.05)
    f1 = influence(a).mean(axis=1)
    assert f1.mean() == pytest.approx(83.5, abs=1.5)
    assert f1.std(ddof=1) < 0.2
    assert 1.7 < influence(b).mean(axis=1).std(ddof=1) < 3.2

    def alike(one: np.ndarray, two: np.ndarray) -> float:
        single = one[:, 0] == 1
        return float(np.corrcoef(one[single, 2], two[single, 2])[0, 1])

    assert 0.75 < alike(a[0], a[1]) < 0.9
    assert 0.65 < alike(a[0], b[0]) < 0.85


def test_tables_and_document(
    simulation: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {"SENTENCES": (200,), "NOISE": (0.5,), "SEEDS": (2, 3)}.items():
        monkeypatch.setattr(simulation, name, value)
    monkeypatch.setattr(simulation, "others", lambda rng, n: ["other"])
    document = tmp_path / "statistics.md"
    document.write_text(
        "A\n<!-- grid -->\nold\n<!-- end -->\nB\n<!-- others -->\n<!-- end -->\nC\n"
    )
    monkeypatch.setattr(simulation, "DOCUMENT", document)
    simulation.main(["--replications", "3", "--write"])
    text = document.read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert "| 200 | 0.5 | " in printed
    table = printed.partition("\n\n")[0]
    assert text == (
        f"A\n<!-- grid -->\n{table}\n<!-- end -->\nB\n<!-- others -->\nother\n<!-- end -->\nC\n"
    )
