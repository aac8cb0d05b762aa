"""Files that are either whole or not there."""

from __future__ import annotations

import gc
import itertools
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from zoo.errors import DataError


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file (text as UTF-8) so that a reader, or a kill, meets the old one or the new one.

    Raises OSError where the folder can't be written; then nothing is left behind.
    """
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{owner()}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def cache_folder() -> Path:
    """Where features of frozen encoders are kept: ``ZOO_CACHE``, else the user's cache folder."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("ZOO_CACHE") or user_cache_path("mner-zoo"))


def sync(path: Path) -> None:
    """Have the system put a file, or a folder's list of names, on the disk now."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders, and needs no such step
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_file(path: Path) -> bool:
    """Whether there is a regular file; no path with a NUL, or longer than a name may be, is one."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); make the file again") from None


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the search for cycles, which takes half of the time where millions of objects are
    made that have none."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


# Temporary names ----------------------------------------------------------------------------------

_OWNER = re.compile(r"\.(?P<host>[^.]+)-(?P<pid>\d+)-(?P<start>\d+)-\d+\.(?:tmp|old)$")
_COUNT = itertools.count()


def owner() -> str:
    """What a temporary name says of the process that uses it: host, process id, start time.

    No two calls return the same.
    """
    return f"{_host()}-{os.getpid()}-{_started(os.getpid())}-{next(_COUNT)}"


def abandoned(name: str) -> bool:
    """Whether the process that a temporary name speaks of is dead, as far as can be known.

    A process on another host counts as alive. A name that tells no process was left by an older
    version.
    """
    import psutil

    told = _OWNER.search(name)
    if told is None:
        return True
    if told["host"] != _host():
        return False
    try:
        process = psutil.Process(int(told["pid"]))
        # a start time is computed from the clock, which may have been set meanwhile
        other = abs(process.create_time() - int(told["start"])) > 3
        return other or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def sweep(folder: Path) -> None:
    """Remove the temporary files that dead processes left in a folder, as far as we may."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        for name in os.listdir(folder):
            if name.startswith(".") and name.endswith(".tmp"):
                path = folder / name
                if _OWNER.search(name) and path.is_file() and abandoned(name):
                    path.unlink(missing_ok=True)


def sweep_beside(path: Path) -> None:
    """Remove what dead processes left of a file or folder that they were about to write."""
    left = re.compile(rf"\.{re.escape(path.name)}\.[^.]+\.tmp")
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        for name in os.listdir(path.absolute().parent):
            if left.fullmatch(name) and _OWNER.search(name) and abandoned(name):
                gone = path.with_name(name)
                if gone.is_dir():
                    shutil.rmtree(gone, ignore_errors=True)
                else:
                    gone.unlink(missing_ok=True)


@cache
def _host() -> str:
    return re.sub(r"\W", "_", platform.node(), flags=re.ASCII)[:40] or "unknown"


@cache
def _started(pid: int) -> int:
    """When this process, whose id is given, started, in seconds since the epoch."""
    with suppress(OSError, StopIteration):  # as psutil finds it on Linux, without its import
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        lines = Path("/proc/stat").read_text().splitlines()
        booted = next(line for line in lines if line.startswith("btime "))
        return int(int(booted.split()[1]) + ticks / os.sysconf("SC_CLK_TCK"))
    import psutil

    return int(psutil.Process(pid).create_time())
