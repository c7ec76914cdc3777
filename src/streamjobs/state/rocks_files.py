"""What the files of a RocksDB say without opening it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ("bytes_on_disk", "is_locked", "last_used", "stamp")

CURRENT: Final = "CURRENT"
"""RocksDB's name for the file that makes a directory a database."""

_WRITTEN: Final = (CURRENT, "MANIFEST-*", "*.log", "*.sst")
"""What changes with the data. Who only looks changes other files."""


def last_used(path: Path) -> float:
    """When it was last written, opened or closed, in seconds since 1970; 0 if nothing is there."""
    written = (file for pattern in _WRITTEN for file in path.glob(pattern))
    return max((found.st_mtime for found in _stats(written)), default=0.0)


def stamp(path: Path) -> None:
    """It was used until now, though perhaps nobody has written."""
    with suppress(OSError):  # somebody may have deleted it meanwhile
        os.utime(path / CURRENT)


def bytes_on_disk(path: Path) -> int:
    """What its files have together."""
    return sum(found.st_size for found in _stats(path.iterdir()))


def is_locked(path: Path) -> bool:
    """Whether another process has it open.

    Not for one that this process has open: the system would give up this process's lock.
    """
    try:
        lock = os.open(path / "LOCK", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def _stats(files: Iterator[Path]) -> Iterator[os.stat_result]:
    """Files of a database that is at work come and go."""
    for file in files:
        try:
            yield file.stat()
        except FileNotFoundError:
            continue
