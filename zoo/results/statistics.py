"""The statistics that tables show, computed from stored predictions and remembered.

What is remembered goes by the digests of the prediction files, and is forgotten when the code that
computes it changes; so a table of runs that did not change costs nothing, and needs no numpy.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import zoo.evaluation
from zoo.errors import DataError
from zoo.files import write_atomic
from zoo.results.evidence import Run
from zoo.results.tables import Place, Range

if TYPE_CHECKING:
    from zoo.evaluation.counts import Runs
    from zoo.evaluation.systems import Interval

SPLITS, ROUNDS = 240, 400
"""Of a table: at most so many splits of systems into halves, and rounds for each."""
KEPT = 5000  # results that are remembered; the oldest go first

_ALL = ("counts", "predictions", "significance", "systems")
"""The modules of zoo.evaluation that decide what is computed here."""


class Standing(NamedTuple):
    """What a table says of a system: the interval of its mean F1 and its rank; None: one seed."""

    interval: Range | None = None
    rank: Place | None = None


class Same(NamedTuple):
    """How often systems are told from themselves, in splits of their seeds into two groups.

    Args:
        systems: how many have the four seeds that this takes.
        interval, runs: the share called different, by the interval and by the test for these runs.
    """

    systems: int
    splits: int
    interval: float
    runs: float


@dataclass(frozen=True)
class Standings:
    """Of a table.

    Args:
        detectable: what it can separate, in F1 points; None: a single system.
        same: systems against themselves; None: too few seeds.
        pictures: how many samples there are, where sentences that share a picture count as one.
        few: whether there are seeds enough for intervals, and too few sentences.
        nothing: whether there are both, and no system with several seeds finds anything.
        withheld: whether there are seeds enough, and predictions are withheld.
    """

    rows: Sequence[Standing]
    detectable: float | None = None
    same: Same | None = None
    pictures: int | None = None
    few: bool = False
    nothing: bool = False
    withheld: bool = False


class Difference(NamedTuple):
    """What is known of a difference, B less A, in F1 points.

    Args:
        delta: of the means over all seeds of both.
        interval: None where one of the two has a single seed.
        p: that the systems differ; None likewise.
        detectable: what these seeds and this test set can separate.
        p_runs: that these runs differ, over the seeds that both have; None where they have none.
    """

    delta: float
    interval: Range | None = None
    p: float | None = None
    detectable: float | None = None
    p_runs: float | None = None


class Statistics:
    """Computes statistics of runs, and remembers them in a results folder.

    Args:
        root: the results folder; None: nothing is remembered.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.file = root / ".cache" / "statistics.json" if root is not None else None
        self.known = self._read()
        self.size = len(self.known)

    def standings(self, rows: Sequence[Sequence[Run]]) -> Standings:
        """Intervals and ranks of the rows of one table; rows may hold withheld predictions.

        Raises:
            DataError: rows don't have the same sentences and gold entities.
        """
        known = [i for i, row in enumerate(rows) if _usable(row)]
        answer = [Standing() for _ in rows]
        if not any(len(rows[i]) > 1 for i in known):
            return Standings(answer, withheld=any(len(row) > 1 for row in rows))
        data = self._of("standings", [rows[i] for i in known], _standings)
        for i, (interval, rank) in zip(known, data["rows"], strict=True):
            answer[i] = Standing(
                Range(*interval) if interval else None, Place(*rank) if rank else None
            )
        few = nothing = False
        if not any(standing.interval for standing in answer):
            several = [rows[i] for i in known if len(rows[i]) > 1]
            nothing = not any(run.scores.correct for row in several for run in row)
            few = not nothing
        same = self._same(rows, known)
        return Standings(answer, data["detectable"], same, data["pictures"], few, nothing)

    def _same(self, rows: Sequence[Sequence[Run]], known: Sequence[int]) -> Same | None:
        several = [i for i in known if len(rows[i]) >= 4]
        most = max(3, SPLITS // max(1, len(several)))
        found = [
            data
            for i in several
            if (data := self._of(f"same {min(most, 45)}", [rows[i]], _same(min(most, 45))))
        ]
        splits = sum(each["splits"] for each in found)
        if not splits:
            return None
        shares = (sum(e["splits"] * e[key] for e in found) / splits for key in ("interval", "runs"))
        return Same(len(found), splits, *shares)

    def difference(self, a: Sequence[Run], b: Sequence[Run]) -> Difference | None:
        """Of two systems; None where predictions of one are withheld, or there are no runs.

        Raises:
            DataError: they don't have the same sentences and gold entities.
        """
        if not (_usable(a) and _usable(b)):
            return None
        data = self._of("difference", [a, b], _difference)
        interval = data.pop("interval")
        return Difference(**data, interval=Range(*interval) if interval else None)

    def _of(
        self, kind: str, rows: Sequence[Sequence[Run]], compute: Callable[[Sequence[Runs]], Any]
    ) -> Any:
        key = hashlib.sha256(
            json.dumps(
                [kind, [[(run.record.seed, run.digest) for run in row] for row in rows]]
            ).encode()
        ).hexdigest()
        if key not in self.known:
            try:
                self.known[key] = compute([_predictions(row) for row in rows])
            except DataError as error:
                names = dict.fromkeys(row[0].record.system for row in rows)
                raise DataError(f"{', '.join(names)}: {error}") from None
        else:
            self.known[key] = self.known.pop(key)  # the last used stand last
        data = self.known[key]
        return dict(data) if isinstance(data, dict) else data

    def save(self) -> None:
        """Remember for the next time."""
        if self.file is None or len(self.known) == self.size:
            return
        kept = dict(list(self.known.items())[-KEPT:])
        text = json.dumps({"code": _code(), "known": kept}, separators=(",", ":"))
        with suppress(OSError):  # a folder that can't be written to: slower, not wrong
            write_atomic(self.file, text)

    def _read(self) -> dict[str, Any]:
        if self.file is None:
            return {}
        try:
            data = json.loads(self.file.read_bytes())
            known: dict[str, Any] = data["known"] if data["code"] == _code() else {}
        except (OSError, ValueError, TypeError, KeyError):
            return {}  # none yet, or not as this code writes it
        return known if isinstance(known, dict) else {}


def _usable(row: Sequence[Run]) -> bool:
    return bool(row) and all(run.read is not None for run in row)


def _predictions(row: Sequence[Run]) -> Runs:
    return {run.record.seed: run.predictions or () for run in row}


def _standings(systems: Sequence[Runs]) -> dict[str, Any]:
    from zoo.evaluation.counts import counts
    from zoo.evaluation.systems import NOTHING, Interval, mean, standings

    made = counts(*systems)
    ranks, detectable = standings(made)
    rows: list[Any] = []
    for each, rank in zip(made, ranks, strict=True):
        found = mean(each)
        rows.append(
            (
                _possible(found) if isinstance(found, Interval) else None,
                (rank.place, rank.best, rank.worst, rank.shared)
                if rank and found != NOTHING
                else None,
            )
        )
    sentences = len(next(iter(systems[0].values())))
    units = made[0].shape[1]
    return {
        "rows": rows,
        "detectable": detectable,
        "pictures": units if units < sentences else None,
    }


def _possible(found: Interval) -> tuple[float, float]:
    """The interval of a mean, as far as F1 reaches."""
    return max(found.low, 0.0), min(found.high, 100.0)


def _same(most: int) -> Callable[[Sequence[Runs]], Any]:
    def compute(systems: Sequence[Runs]) -> dict[str, Any] | None:
        from zoo.evaluation.counts import counts
        from zoo.evaluation.systems import same_system

        (made,) = counts(*systems)
        found = same_system(made, most, ROUNDS)
        if found is None:
            return None
        return {"splits": found.splits, "interval": found.interval, "runs": found.runs}

    return compute


def _difference(systems: Sequence[Runs]) -> dict[str, Any]:
    from zoo.evaluation.counts import counts
    from zoo.evaluation.significance import randomisation
    from zoo.evaluation.systems import Interval, influence, interval

    a, b = systems
    left, right = counts(a, b)
    found = interval(left, right, same_seeds=a.keys() == b.keys())
    common = sorted(a.keys() & b.keys())
    p_runs = None
    if common:
        one, two = (
            made[[sorted(runs).index(seed) for seed in common]]
            for made, runs in ((left, a), (right, b))
        )
        p_runs = randomisation(one, two)[1]
    means = [float(influence(each).mean()) if each.shape[1] else 0.0 for each in (left, right)]
    answer: dict[str, Any] = {"delta": means[1] - means[0], "interval": None, "p_runs": p_runs}
    if isinstance(found, Interval):
        answer |= {"p": found.p, "detectable": found.detectable}
        answer["interval"] = (found.low, found.high)
    return answer


@cache
def _code() -> str:
    """A digest of the code that computes what is remembered; it is not imported for that."""
    folder = Path(zoo.evaluation.__file__).parent
    sources = [(folder / f"{name}.py").read_bytes() for name in _ALL]
    return hashlib.sha256(b"\0".join([*sources, Path(__file__).read_bytes()])).hexdigest()
