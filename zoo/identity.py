"""What a thing is known by: one rule, a hash of all that decides what comes out.

A run's id, a variant's, and the key of a frozen encoder's features follow from it.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

ID_LENGTH = 12


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON: mappings in any order give the same."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def variant_id(config_hash: str, fingerprint: str, sources: str) -> str:
    """What the seeds of one variant share. ``config_hash`` is the ``digest`` of its config."""
    return digest([config_hash, fingerprint, sources])[:ID_LENGTH]


def run_id(config: Mapping[str, Any], fingerprint: str, sources: str, seed: int) -> str:
    """The run's content address.

    Args:
        config: the resolved configuration of system, recipe and dataset, without the seed.
        fingerprint: of the data.
        sources: hash of the source of the parts used.
    """
    return digest([digest(config), fingerprint, sources, seed])[:ID_LENGTH]


_PART_PACKAGES = ("zoo.encoders", "zoo.aligners", "zoo.fusers", "zoo.decoders")


def sources(parts: Iterable[type]) -> str:
    """SHA-256 of the source of the parts used and of the modules of parts they import.

    Comments, formatting and docstrings don't count: they can't change a result.
    """
    own = {part.__module__ for part in parts}
    queue, seen = sorted(own), set[str]()
    while queue:
        name = queue.pop()
        if name not in seen and (name in own or name.rpartition(".")[0] in _PART_PACKAGES):
            seen.add(name)
            members = vars(sys.modules[name]).values()
            queue += {home for m in members if (home := getattr(m, "__module__", None))}
    digest = hashlib.sha256()
    for name in sorted(seen):
        digest.update(f"{name}\0{_code(inspect.getsource(sys.modules[name]))}\0".encode())
    return digest.hexdigest()


@cache
def _code(source: str) -> str:
    """The source without comments, formatting and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and isinstance(body, list)
            and ast.get_docstring(node) is not None
        ):
            node.body = body[1:] or [ast.Pass()]
    return ast.unparse(tree)
