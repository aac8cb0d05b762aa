"""What a run was made with: packages, commit, device, command."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import torch

import zoo
from zoo.files import cache_folder as cache_folder
from zoo.results.record import Git


def versions() -> dict[str, str]:
    packages = ("torch", "transformers", "accelerate", "allennlp-light", "torchvision", "numpy")
    found = {name: metadata.version(name) for name in packages}
    return {"python": platform.python_version(), "zoo": zoo.__version__, **found}


def git() -> Git | None:
    """The commit this package is run from; None where it is not in a checkout."""

    folder = Path(zoo.__file__).resolve().parent

    def ask(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        if Path(ask("rev-parse", "--show-toplevel")) != folder.parent:
            return None  # installed in an environment that lies in some other checkout
        return Git(commit=ask("rev-parse", "HEAD"), dirty=bool(ask("status", "--porcelain", ".")))
    except FileNotFoundError:
        return None


def device(kind: torch.device) -> str:
    """The device in words, with the number of threads where it is the CPU."""
    if kind.type == "cuda":
        return torch.cuda.get_device_name(kind)
    return f"{kind.type}, {torch.get_num_threads()} threads"


def command() -> str:
    """The command line, without the folder the program lies in."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
