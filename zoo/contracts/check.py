"""Run the contract of a part: ``check(kind, cls, settings)`` names each fault in one line.

A part is tried under the examples that its class names:

- ``example``: settings as they would stand in YAML, or ``examples``, several of them. A part
  without required settings needs none.
- ``example_files`` (readers): the files that the examples read, relative path to content.

An example that names a ``model`` which is not on this machine is skipped, never passed.
"""

from __future__ import annotations

import inspect
import logging
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from zoo.contracts import aligners, common, decoders, encoders, fusers, objectives, readers
from zoo.contracts.examples import example_files, examples, required
from zoo.contracts.inputs import Subject, make_folder
from zoo.errors import ConfigError

Check = Callable[[Subject], Iterator[str]]
"""Yields one line for each fault; its docstring says in a few words what it tries."""

CHECKS: Mapping[str, tuple[tuple[Check, ...], tuple[Check, ...]]] = {
    "reader": ((readers.returned,), readers.CHECKS),
    "text_encoder": ((encoders.returned,), (*encoders.TEXT, *common.MODULE)),
    "image_encoder": ((encoders.returned,), (*encoders.IMAGE, *common.MODULE)),
    "joint_encoder": ((encoders.returned,), (*encoders.JOINT, *common.MODULE)),
    "aligner": ((aligners.returned,), (*aligners.CHECKS, *common.MODULE)),
    "fuser": ((fusers.returned,), (*fusers.CHECKS, *common.MODULE)),
    "decoder": ((decoders.returned,), (*decoders.CHECKS, *common.MODULE)),
    "objective": ((objectives.returned,), objectives.CHECKS),
}
"""By kind: what is returned, and (only where that is in order) how the part behaves."""


@dataclass
class Report:
    """What came of a part's contract.

    ``faults`` has a line each; ``checks`` counts those that were run; ``skipped`` says for each
    example that could not be tried why.
    """

    kind: str
    name: str
    faults: list[str] = field(default_factory=list)
    checks: int = 0
    skipped: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether at least one example was tried, and none has a fault."""
        return not self.faults and self.checks > 0


def check(kind: str, cls: type, settings: Mapping[str, Any]) -> list[str]:
    """The faults of a registered part under some settings (as in YAML), one line each.

    Raises:
        ConfigError: the settings name a model that is not on this machine.
    """
    report = examine(kind, cls, [settings])
    if report.skipped and not report.faults:
        raise ConfigError(*report.skipped)
    return report.faults


def examine(kind: str, cls: type, given: list[Mapping[str, Any]] | None = None) -> Report:
    """Run the contract of a registered part under ``given`` settings, else under its examples."""
    report = Report(kind, common.name_of(kind, cls) or cls.__name__)
    trial = Trial(report, cls)
    if kind not in CHECKS:
        report.skipped.append(f"there is no contract for the kind {kind} yet")
        return report
    if common.name_of(kind, cls) is None:
        report.faults.append(f"not registered; decorate it with @register({kind!r}, NAME)")
        return report
    sound = [trial.run(each, kind, cls) for each in (common.a_class, common.a_constructor)]
    if not all(sound):
        report.checks = max(report.checks, 1)
        return report
    tried = examples(cls) if given is None else given
    missing = ", ".join(f"`{name}`" for name in required(cls))
    if not tried:
        report.faults.append(
            f"no example for the required setting {missing}; give the class an attribute "
            "`example`, a dict of settings"
        )
    static = report.checks
    for settings in tried:
        trial.example = f" (settings {settings})" if len(tried) > 1 else ""
        trial.examine(settings)
    if report.checks == static and report.skipped and not report.faults:
        report.checks = 0  # nothing but its signature was looked at
    return report


class Trial:
    """Runs checks, and turns whatever the part's code raises into a line.

    Args:
        report: where faults go.
        cls: the part.
    """

    def __init__(self, report: Report, cls: type) -> None:
        self.report, self.cls = report, cls
        self.example = ""

    def examine(self, settings: Any) -> None:
        """Run all checks of the part under one example of its settings."""
        report = self.report
        if not isinstance(settings, Mapping):
            report.faults.append(f"its example is {settings!r}; it is a dict of settings")
            return
        spec = common.specify(report.kind, report.name, settings)
        if isinstance(spec, list):
            report.faults += spec
            return
        with make_folder() as folder:
            subject = Subject(spec, Path(folder))
            for file, content in example_files(self.cls).items():
                path = subject.folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)
            if not self.builds(subject):
                return
            first, then = CHECKS[report.kind]
            sound = [self.run(each, subject) for each in (common.attributes, *first)]
            if all(sound):
                for each in then:
                    self.run(each, subject)

    def builds(self, subject: Subject) -> bool:
        """Whether the part can be built; a missing model is no fault of its own."""
        needs_model = any(each.settings.get("model") for each in subject.spec.walk())

        def building(subject: Subject) -> Iterator[str]:
            """building it"""
            try:
                subject.build()
            except ConfigError as error:
                if needs_model:
                    raise MissingModel(*error.problems) from error
                yield f"refuses its example: {error}"

        try:
            return self.run(building, subject)
        except MissingModel as error:
            self.report.checks -= 1
            self.report.skipped.append(f"needs a model: {error}")
            return False

    def run(self, each: Callable[..., Iterator[str]], *args: Any) -> bool:
        """Run one check: whether it found no fault."""
        faults: list[str] = []
        self.report.checks += 1
        try:
            with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
                warnings.simplefilter("ignore")
                logging.disable()  # a line is a fault; advice would hide it
                faults += each(*args)
        except MissingModel:
            raise
        except (Exception, SystemExit) as error:  # whatever the part's own code raises
            faults.append(self.raised(error, each.__doc__ or ""))
        finally:
            logging.disable(logging.NOTSET)
        lines = [f"{fault}{self.example}" for fault in faults]
        known = {line.partition(": raises")[2] for line in self.report.faults} - {""}
        self.report.faults += [
            line
            for line in lines
            if line not in self.report.faults and line.partition(": raises")[2] not in known
        ]
        return not faults

    def raised(self, error: BaseException, tried: str) -> str:
        """The line of an exception: what was tried, its type, message, and where."""
        text = " ".join(str(error).split())[:300]
        return f"{tried}: raises {type(error).__name__}: {text}{place(error, self.cls)}"


class MissingModel(ConfigError):
    """A part can't be built here, because a model is not on this machine."""


def place(error: BaseException, cls: type) -> str:
    """`` (gate.py:12)``: the last line of the part's own file that an exception passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    try:
        home = inspect.getsourcefile(cls)
    except (TypeError, OSError):  # a class that was made without a file
        home = None
    own = [frame for frame in frames if frame.filename == home]
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
