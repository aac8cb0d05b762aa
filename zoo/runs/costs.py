"""What runs that remain cost, from what runs have cost so far: an estimate of the time left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from statistics import fmean
from typing import Protocol

from zoo.errors import DataError
from zoo.results.record import read_run
from zoo.results.store import Store

LATEST = 5
"""Stored runs of a variant that are looked at."""


class Costed(Protocol):
    """What is known of a run before it is made; a :class:`zoo.runs.job.Job` is one."""

    @property
    def system(self) -> str: ...
    @property
    def dataset(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def variant(self) -> str: ...
    @property
    def epochs(self) -> int: ...


class Costs:
    """The seconds that runs need, learnt while they go.

    An epoch of a run costs what finished epochs of its variant cost (the same system, settings and
    data under any seed), else what they cost in stored runs, else what its ``weight`` says in
    comparison with the variants of which this is known. Of the epochs that a recipe allows, runs
    are taken to need the share that finished ones needed.

    Args:
        jobs: all that are to be run.
        weights: of variants: numbers in proportion to what an epoch computes.
        stored: the seconds of an epoch of variants, from stored runs.
    """

    def __init__(
        self,
        jobs: Iterable[Costed],
        weights: Mapping[str, float] | None = None,
        stored: Mapping[str, float] | None = None,
    ) -> None:
        self._jobs = {job.id: job for job in jobs}
        self._weights, self._stored = weights or {}, stored or {}
        self._seconds: dict[str, list[float]] = {}  # of epochs, by variant
        self._seen: dict[str, list[float]] = {}  # of epochs, by run
        self._ended: set[str] = set()
        self._needed: dict[str, list[float]] = {}  # shares of the recipe's epochs, by variant
        self._beside: list[float] = []  # seconds of runs outside of their epochs

    def epoch(self, job: Costed, seconds: float) -> None:
        """An epoch of a run has taken so long."""
        self._seconds.setdefault(job.variant, []).append(seconds)
        self._seen.setdefault(job.id, []).append(seconds)

    def end(self, job: Costed, total: float | None = None) -> None:
        """A run has ended, after ``total`` seconds; None: it failed."""
        self._ended.add(job.id)
        seen = self._seen.get(job.id, [])
        if total is not None and seen:  # else another process has made it
            self._needed.setdefault(job.variant, []).append(len(seen) / job.epochs)
            self._beside.append(max(0.0, total - sum(seen)))

    def left(self, at_once: int = 1) -> float | None:
        """The seconds until all runs have ended; None where nothing is known of any."""
        each = [self._of(job) for job in self._jobs.values() if job.id not in self._ended]
        known = [seconds for seconds in each if seconds is not None]
        if len(known) < len(each):
            return None
        return max(sum(known) / max(1, at_once), *known) if known else 0.0

    def _of(self, job: Costed) -> float | None:
        """The seconds that one run still needs."""
        seconds = self._epoch_of(job.variant)
        if seconds is None:
            return None
        seen = len(self._seen.get(job.id, ()))
        shares = self._needed.get(job.variant) or [n for own in self._needed.values() for n in own]
        epochs = job.epochs * (fmean(shares) if shares else 1.0)
        beside = 0.0 if seen or not self._beside else fmean(self._beside)
        return max(0.0, min(job.epochs, max(epochs, seen + 1)) - seen) * seconds + beside

    def _epoch_of(self, variant: str) -> float | None:
        known = self._known(variant)
        weight = self._weights.get(variant)
        if known is not None or weight is None:
            return known
        others = [
            seconds / other
            for name, other in self._weights.items()
            if other and (seconds := self._known(name)) is not None
        ]
        return weight * fmean(others) if others else None

    def _known(self, variant: str) -> float | None:
        if own := self._seconds.get(variant):
            return fmean(own)
        return self._stored.get(variant)


def stored_seconds(jobs: Iterable[Costed], store: Store) -> dict[str, float]:
    """The seconds of an epoch of the jobs' variants, as their latest stored runs tell them."""
    found: dict[str, list[float]] = {}
    for system, dataset in sorted({(job.system, job.dataset) for job in jobs}):
        folders = [path.parent for path in (store.root / "runs" / system / dataset).glob(
            "[!.]*/run.json"
        )]  # fmt: skip
        latest = sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in islice(latest, 10 * LATEST):
            try:
                record = read_run(folder)
            except DataError:
                continue  # whoever needs it will say so
            train = record.seconds.get("train")
            if train and record.epochs and record.variant:
                found.setdefault(record.variant, []).append(train / record.epochs)
    return {variant: fmean(seconds[:LATEST]) for variant, seconds in found.items()}
