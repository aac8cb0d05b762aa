"""Where runs are executed. An engine is one file: a class with ``execute``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from zoo import registry
from zoo.errors import ConfigError, near

if TYPE_CHECKING:
    from zoo.results.store import Store
    from zoo.runs.job import Job, Report, Rerun


class Engine(Protocol):
    """Executes jobs. One job that fails is reported, and the others are still executed."""

    def execute(self, jobs: Sequence[Job], store: Store, report: Report, rerun: Rerun) -> int:
        """Run each job, or find that it is complete by now, and return how many failed.

        Raises:
            ConfigError: the jobs can't be handed to the place where they would be executed.
        """
        ...


def engine(jobs: Sequence[Job], workers: int | None, name: str | None = None) -> Engine:
    """The engine for these jobs: by default processes where several runs can go on at once.

    Args:
        workers: how many at once; None: see :func:`zoo.engines.processes.at_once`.
        name: ``serial``, ``processes``, or what a plug-in registered as an ``engine``: a class that
            takes ``workers``.

    Raises:
        ConfigError: no engine has this name.
    """
    from zoo.engines.processes import Processes, at_once
    from zoo.engines.serial import Serial

    workers = min(workers or at_once(jobs), len(jobs))
    own = {"serial": Serial, "processes": Processes}
    name = name or ("processes" if workers > 1 else "serial")
    if name not in own and name not in registry.names(registry.ENGINE):
        known = [*own, *registry.names(registry.ENGINE)]
        raise ConfigError(f"--engine {name}: unknown{near(name, known)}")
    chosen: Engine = (own.get(name) or registry.resolve(registry.ENGINE, name))(workers)
    return chosen
