"""Loading models of ``transformers`` from a folder, and checking that what comes back is the model.

The library fills in what it does not find (random weights, an empty vocabulary) and says so in a
warning at most. Here that is an error.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.encoders.checkpoint import one_line
from zoo.errors import ConfigError

WRONG = (
    "initialized partially",
    "quickgelu mismatch",
    "no clip weights found",
    "incorrect regex pattern",
    "falling back to tiktoken",
    "falling back to raw sentencepiece",
    "is not the same type as the class",
    "checksum does not match",
)
"""What a library's warning contains, in lower case, where what it returns is another model.

Weights that are missing or left over are not among them: ``load_model`` looks at their names.
"""


class _Collector(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.said = said

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def strict(what: str) -> Iterator[None]:
    """Load in here: no progress bars and no advice, and every failure is one line.

    Args:
        what: the beginning of the message, as ``model `NAME` can't be loaded``.

    Raises:
        ConfigError: what is loaded can't be read, or a warning says that it is another model.
    """
    from transformers.utils import logging as library

    said: list[str] = []
    collector = _Collector(said)
    loggers = [logging.getLogger(), logging.getLogger("transformers")]
    verbosity, bars = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity_warning()
    library.disable_progress_bar()
    library.disable_default_handler()
    for logger in loggers:
        logger.addHandler(collector)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield
        said += [str(warning.message) for warning in warned]
    except (ConfigError, MemoryError):
        raise
    except Exception as error:  # of a damaged file anything: `tokenizers` has no class of its own
        raise ConfigError(f"{what}: {_remedy(error)}") from error
    finally:
        for logger in loggers:
            logger.removeHandler(collector)
        library.enable_default_handler()
        library.set_verbosity(verbosity)
        if bars:
            library.enable_progress_bar()
    for message in said:
        if any(sign in message.lower() for sign in WRONG):
            raise ConfigError(f"{what} as it is: {' '.join(message.split())[:300]}")


def _remedy(error: BaseException) -> str:
    if "trust_remote_code" in str(error):
        return (
            "it needs code of its own, which is never run; take a model of a family that "
            "`transformers` knows"
        )
    return one_line(error)


def load_config(model: str, folder: Path) -> Any:
    """The model's configuration. Raises ConfigError."""
    from transformers import AutoConfig

    with strict(f"model `{model}` can't be loaded"):
        config = AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    attention = getattr(config, "_attn_implementation", None)
    for name, value in (
        ("attn_implementation", attention if "/" in str(attention) else None),
        ("transformers_weights", getattr(config, "transformers_weights", None)),
    ):
        if value:
            raise ConfigError(
                f"model `{model}`: config.json sets {name} to {value!r}, which would load code or "
                "weights from elsewhere; take it out"
            )
    return config


def load_model(model: str, folder: Path, cls: Any, pooler: bool, instead: str) -> nn.Module:
    """A model with all of its weights from the folder, in float32.

    Args:
        cls: the class of ``transformers``.
        pooler: whether the trained pooler is wanted; otherwise the model is left without one.
        instead: what to do where it has none, for the message.

    Raises:
        ConfigError: the weights can't be read, or are not those of the model that config.json
            describes.
    """
    with strict(f"model `{model}` can't be loaded"):
        encoder, found = cls.from_pretrained(
            str(folder),
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # they are refused below, with both shapes
            output_loading_info=True,
        )
    lacking = {key for key in found["missing_keys"] if "pooler" in key.split(".")}
    missing = set(found["missing_keys"]) - lacking
    _check_keys(f"model `{model}`", encoder, missing, found)
    if not pooler:
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = nn.Identity()  # it would never get a gradient
    elif getattr(encoder, "pooler", None) is None or lacking:
        raise ConfigError(f"model `{model}` has no trained pooler; {instead}")
    return encoder  # type: ignore[no-any-return]


def _check_keys(what: str, encoder: Any, missing: set[str], found: dict[str, Any]) -> None:
    """Refuse weights of another model.

    Weights beside the encoder (task heads, another tower) are left out; inside of it every weight
    has to have its place: what has none belongs to another network, or to more layers.
    """
    if missing:
        raise ConfigError(
            f"{what}: the files lack weights of the model that config.json describes: "
            f"{_some(missing)}; they belong to another model"
        )
    mismatched = sorted(found["mismatched_keys"])
    if mismatched:
        key, there, wanted = mismatched[0]
        raise ConfigError(
            f"{what}: {key} is {_shape(there)} in the files and {_shape(wanted)} by config.json; "
            "they belong to different models"
        )
    inside = {name for name, _ in encoder.named_children()} - {"pooler"}
    prefix = f"{getattr(encoder, 'base_model_prefix', '')}."
    foreign = {
        key
        for key in found["unexpected_keys"]
        if key.removeprefix(prefix).partition(".")[0] in inside
    }
    if foreign or found.get("error_msgs"):
        raise ConfigError(
            f"{what}: the files hold weights that the model which config.json describes has no "
            f"place for: {_some(foreign or found['error_msgs'])}; they belong to another model"
        )


def _some(keys: Any) -> str:
    first, *rest = sorted(keys)
    return f"{first} and {len(rest)} more" if rest else str(first)


def _shape(shape: Any) -> str:
    return " x ".join(map(str, shape))


def freeze_unreached(module: nn.Module, *outputs: torch.Tensor) -> None:
    """Take those parameters out of training that none of the outputs depends on.

    A pretrained network may hold heads that nobody asks for. Their weights stay where they are.

    Args:
        outputs: what the module computed, with gradient.
    """
    reached, waiting, seen = set[int](), [each.grad_fn for each in outputs], set[Any]()
    while waiting:
        step = waiting.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        variable = getattr(step, "variable", None)
        if variable is not None:
            reached.add(id(variable))
        waiting += [each for each, _ in step.next_functions]
    for parameter in module.parameters():
        if id(parameter) not in reached:
            parameter.requires_grad_(False)
