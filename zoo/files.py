"""Files that are either whole or not there."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from zoo.errors import DataError


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file (text as UTF-8) so that a reader, or a kill, meets the old one or the new one.

    Raises OSError where the folder can't be written; then nothing is left behind.
    """
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Have the system put a file, or a folder's list of names, on the disk now."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders, and needs no such step
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); make the file again") from None
