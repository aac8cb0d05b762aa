"""The functions of the Python API; ``zoo.__all__`` is the list of what is public.

They do what the verbs of the command line do, return values instead of printing, and raise
:class:`zoo.errors.ZooError` where a verb would end with one line.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.errors import ConfigError, RunError
from zoo.types import Entity, Sample, ScoredEntity

if TYPE_CHECKING:
    from zoo.evaluation.scores import Scores
    from zoo.model.model import Model
    from zoo.model.results import Found
    from zoo.results.record import RunRecord
    from zoo.runs.job import Job
    from zoo.training.loop import Row

Paths = str | Path
Sentences = Iterable[Iterable["Entity | ScoredEntity | Found | tuple[int, int, str]"]]


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A stored run: its scores, and the folder that holds its model."""

    system: str
    dataset: str
    seed: int
    id: str
    folder: Path
    dev: Scores
    test: Scores

    def load(self) -> Model:
        """Its model. Raises ConfigError and DataError, as :func:`load` does."""
        return load(self.folder)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference of two systems in F1 points, B's less A's.

    Args:
        f1: of A and of B, the mean over seeds.
        low, high: the 95 % interval of the difference between the *systems*, over other seeds and
            sentences, with its ``p``; None where there is none, and ``why_not`` says why.
        p_runs: of the test between these very runs, which speaks of the trained models alone; None
            where no seed is common to both.
        sentences, gold: of the test split.
        remarks: what beside the systems differs, or was left out; empty where there is nothing.
    """

    a: str
    b: str
    f1: tuple[float, float]
    delta: float
    sentences: int
    gold: int
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_runs: float | None = None
    why_not: str | None = None
    remarks: tuple[str, ...] = ()


def load(
    name: Paths,
    *,
    revision: str | None = None,
    results: Paths = "results",
    allow_changed: bool = False,
) -> Model:
    """A trained model that predicts.

    Args:
        name: a run's folder, the beginning of its id, ``system@dataset`` (the run of that system
            and dataset which was best on dev), a folder that was saved with ``save_pretrained``, or
            a model on the Hugging Face hub.
        revision: of a model on the hub.
        results: the folder with the stored runs.
        allow_changed: load it although the code of its parts is not that which it was trained by.

    Raises:
        ConfigError: there is no such model, or a part of it is not here or is another one.
        DataError: a file of it is missing or was changed, or it asks for code of its own.
    """
    from zoo.model.find import find_run
    from zoo.model.model import Model

    chosen = find_run(str(name), Path(results)) if revision is None else None
    if chosen is not None:
        return Model.from_folder(chosen.folder, allow_changed=allow_changed)
    return Model.from_pretrained(name, revision=revision, allow_changed=allow_changed)


def read(
    dataset: str | Mapping[str, Any],
    *,
    registry: Paths | None = None,
    data: Paths | None = None,
) -> dict[str, list[Sample]]:
    """The samples of a dataset by split, in file order.

    Args:
        dataset: the name of a dataset of the registry, or what a registry would say of one:
            ``{"reader": "bio", "path": "posts"}``.
        registry: a YAML file; None: the registry that comes with zoo.
        data: the folder that data paths are relative to; None: ``ZOO_DATA``, else the folder of the
            registry that is given, else the working folder.

    Raises:
        ConfigError: no such dataset, or settings that its reader does not have.
        DataError: what is wrong in the files.
    """
    from zoo.build import read_data
    from zoo.config.config import shipped_file
    from zoo.config.read import read as read_registry
    from zoo.errors import near
    from zoo.schema import validate_part
    from zoo.yaml import Place

    root = _data_root(data, registry)
    if not isinstance(dataset, str):
        return read_data(validate_part("reader", dict(dataset), Place((), "dataset")), root)
    config = read_registry(Path(registry) if registry else shipped_file(), (), ("datasets",))
    if dataset not in config.datasets:
        raise ConfigError(f"there is no dataset `{dataset}`{near(dataset, config.datasets)}")
    return read_data(config.datasets[dataset], root)


def run(
    registry: Paths | None = None,
    *,
    suite: str | None = None,
    systems: Sequence[str] = (),
    datasets: Sequence[str] = (),
    seeds: Sequence[int] = (),
    overrides: Sequence[str] = (),
    data: Paths | None = None,
    results: Paths = "results",
    jobs: int | None = 1,
    rerun: Literal["missing", "always", "never"] = "missing",
) -> list[TrainedRun]:
    """Train and score what a suite of a registry plans; what is stored already is not made again.

    Args:
        registry: a YAML file; None: the registry that comes with zoo.
        suite: None: the first one. ``systems``, ``datasets`` and ``seeds`` narrow it, or replace
            what it names.
        overrides: ``path=value``, as ``-o`` takes them.
        data: see :func:`read`.
        results: where runs are stored.
        jobs: how many runs go on at once; None: as many as there are cores for.

    Raises:
        ConfigError, DataError: something is wrong; nothing was run.
        RunError: runs failed, one line each; the others were made and are stored.
    """
    from zoo.config.config import shipped_file
    from zoo.config.read import read as read_registry
    from zoo.engines import engine
    from zoo.results.overlaps import write_posts
    from zoo.results.store import Store
    from zoo.runs.datasets import check_pictures, load_datasets
    from zoo.runs.job import make_jobs, pending
    from zoo.runs.run import check

    config = read_registry(Path(registry) if registry else shipped_file(), tuple(overrides))
    root = _data_root(data, registry)
    if config.own and suite is None:
        from zoo.config.own import add_suite
        from zoo.runs.datasets import load_dataset

        train = [
            sample
            for name in config.own
            for sample in load_dataset(name, config.datasets[name], root).splits["train"]
        ]
        there = {e for e in ("picture", "caption") if any(s.get(e) is not None for s in train)}
        add_suite(config, there, len(train))
    plans = config.plan(suite, systems, datasets, seeds)
    planned = make_jobs(plans, load_datasets(plans, root))
    planned = list({(job.system, job.dataset, job.id): job for job in planned}.values())
    store = Store(Path(results))
    store.clean()
    todo = pending(planned, store, rerun)
    report = _Silent()
    if todo:
        check_pictures({id(job.data): job.data for job in todo}.values())
        check(todo, partial(warnings.warn, stacklevel=3))
    for each in {job.data.fingerprint: job.data for job in planned}.values():
        write_posts(store.root, each.fingerprint, each.splits)
    if todo:
        engine(todo, jobs, None).execute(todo, store, report, rerun)
    if report.failed:
        raise RunError(*report.failed)
    found = []
    for job in filter(store.complete, planned):
        record = store.read(job)
        assert record.dev is not None, "a run that was trained here has it"
        found.append(
            TrainedRun(
                record.system,
                record.dataset,
                record.seed,
                record.id,
                store.folder(job),
                record.dev,
                record.test,
            )
        )
    return found


class _Silent:
    """A report that keeps what failed."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def begin(self, job: Job) -> None: ...
    def epoch(self, job: Job, row: Row) -> None: ...
    def end(self, job: Job, record: RunRecord) -> None: ...
    def wait(self, job: Job) -> None: ...

    def fail(self, job: Job, message: str) -> None:
        self.failed.append(f"{job.system} on {job.dataset}, seed {job.seed}: {message}")


def score(
    gold: Paths | Sentences,
    predicted: Paths | Sentences,
    *,
    tags: Literal["lenient", "strict"] = "lenient",
) -> Scores:
    """Exact-span micro precision, recall and F1 in percent, and those of each type.

    Args:
        gold: a file (tags, JSONL or stored predictions, found by looking), or the entities of each
            sentence, as ``Entity``, ``Found`` or ``(start, end, type)``. Likewise ``predicted``.
        tags: how files of tags are read into entities.

    Raises:
        ConfigError: what is given is neither two files nor the entities of the same sentences.
        DataError: a file is wrong, or the two do not hold the same sentences.
    """
    from zoo.evaluation.scores import score as score_entities

    if isinstance(gold, str | Path) and isinstance(predicted, str | Path):
        from zoo.evaluation.pairing import paired
        from zoo.results.evidence import check_stored

        for file in (gold, predicted):
            check_stored(Path(file))
        return score_entities(*paired(Path(gold), Path(predicted), tags))
    if isinstance(gold, str | Path) or isinstance(predicted, str | Path):
        raise ConfigError("score: give two files, or the entities of the sentences on both sides")
    wanted, found = _entities(gold, "gold"), _entities(predicted, "predicted")
    if len(wanted) != len(found):
        raise ConfigError(
            f"score: {len(wanted)} sentences in gold and {len(found)} in predicted; give both "
            "the same sentences"
        )
    return score_entities(wanted, found)


def compare(
    a: Paths,
    b: Paths,
    *,
    dataset: str | None = None,
    suite: str | None = None,
    results: Paths = "results",
) -> Comparison:
    """Compare two systems on the test split, as ``zoo compare`` does.

    Args:
        a: the name of a system, the id of a variant or a run, the folder of a run, or a file of
            stored predictions. Likewise ``b``.

    Raises:
        ConfigError, DataError: a name does not say which runs are meant, or the two were made on
            different data.
    """
    from zoo.cli.compare_ import compare_sides, find_sides

    one, two = find_sides((str(a), str(b)), dataset, suite, Path(results))
    found = compare_sides(one, two, margin=0.5)
    runs = found["these_runs"]
    return Comparison(
        one.name,
        two.name,
        (found["f1"][0], found["f1"][1]),
        found["delta"],
        found["sentences"],
        found["gold"],
        found.get("low"),
        found.get("high"),
        found.get("p"),
        runs["p"] if runs else None,
        found.get("why_not"),
        tuple(found["remarks"]),
    )


def _entities(sentences: Sentences, side: str) -> list[list[Entity]]:
    """Entities by sentence. Raises ConfigError where one is none."""
    return [
        [_entity(each, f"score: sentence {n} of {side}") for each in _listed(sentence)]
        for n, sentence in enumerate(_listed(sentences), 1)
    ]


def _listed(value: object) -> list[Any]:
    """The items of a list; a text, a mapping, or what has no items, stands for itself."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return [value]
    return list(value)


def _entity(given: Any, where: str) -> Entity:
    from zoo.model.results import Found

    if isinstance(given, Found):
        given = given.start, given.end, given.type
    if isinstance(given, list | tuple) and len(given) in (3, 4):
        start, end, type = given[:3]
        numbers = isinstance(start, Integral) and isinstance(end, Integral)
        if numbers and 0 <= start < end and isinstance(type, str) and type:
            return Entity(int(start), int(end), type)
    raise ConfigError(
        f"{where}: {given!r} is no entity; a sentence is a list of (start, end, type), the end "
        "behind the start, and not of tags"
    )


def _data_root(data: Paths | None, registry: Paths | None) -> Path:
    """The folder that data paths are relative to. Raises ConfigError: it does not exist."""
    import os

    given = data if data is not None else os.environ.get("ZOO_DATA")
    if not given:
        return Path(registry).resolve().parent if registry else Path.cwd()
    if not Path(given).is_dir():
        raise ConfigError(f"data {given}: no such folder")
    return Path(given)
