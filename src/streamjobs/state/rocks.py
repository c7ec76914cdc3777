"""Stores in RocksDB, through Quix's own classes and where Quix has them:
`state_dir/group/store/topic/partition`.

The one door of state to Quix Streams: importing this takes 0.6 s, so it is left until an app with
state runs.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

# First: it checks the version, and mutes what quixstreams has to say when it is imported.
from streamjobs.broker.quix import client  # noqa: F401

# isort: split
from quixstreams.state.base import PartitionTransactionCache
from quixstreams.state.rocksdb import RocksDBOptions, RocksDBStorePartition
from quixstreams.state.rocksdb import partition as quix_partition

from streamjobs.state import rocks_files
from streamjobs.state.changelog import Changes, changelog_topic, check_name
from streamjobs.state.errors import (
    StateClosedError,
    StateCorruptedError,
    StateDirectoryError,
    StateError,
    StateForeignError,
    StateLockedError,
)
from streamjobs.state.store import Seen, StoreId, StorePartition, Stores, StoreSize, chunks

__all__ = ("RocksStorePartition", "RocksStores")

_FAMILY: Final = "default"
_MIB: Final = 1024 * 1024
_LOCKED: Final = ("while lock file", "lock hold by")
"""How RocksDB says that another process has it open, or this one."""


_rocksdict: Any = quix_partition
"""Has rocksdict's own names, in the version that Quix has chosen."""

_open_here: set[Path] = set()
"""What this process has open: nobody may look at the locks of these files."""


def _options() -> RocksDBOptions:
    return RocksDBOptions(
        # Quix would sleep until a lock is free; the owner has other partitions to look after.
        open_max_retries=0,
        on_corrupted_recreate=False,
        # Up to three of these in memory for each store of each partition.
        write_buffer_size=16 * _MIB,
        max_total_wal_size=64 * _MIB,
    )


class RocksStores(Stores):
    """The stores of one app in a directory.

    Args:
        directory: the setting `state_dir`.
        group: the app's name.

    Raises:
        ConfigurationError: the app's name can stand neither in a topic's name nor in a path.
        StateDirectoryError: the directory cannot be made, or written to.
    """

    def __init__(self, directory: Path, group: str) -> None:
        check_name("the app", group)
        self.group = group
        self.root = directory.absolute() / group
        _make(self.root)

    def changelog_topic(self, topic: str, store: str) -> str:
        return changelog_topic(self.group, topic, store)

    def open(self, topic: str, partition: int, store: str) -> RocksStorePartition:
        self.changelog_topic(topic, store)  # refuses names that are none
        path = self._path(StoreId(topic, partition, store))
        _make(path.parent)
        return RocksStorePartition(path)

    def found(self) -> Sequence[StoreId]:
        return sorted(
            StoreId(path.parent.parent.name, int(path.parent.name), path.parts[-4])
            for path in self.root.glob(f"*/*/*/{rocks_files.CURRENT}")
            if path.parent.name.isdecimal()
        )

    def look(self, store: StoreId) -> Seen | None:
        path = self._path(store)
        if not (path / rocks_files.CURRENT).exists():
            return None
        is_open = path in _open_here or rocks_files.is_locked(path)
        return Seen(_size(path), rocks_files.last_used(path), is_open)

    def used(self, store: StoreId) -> float:
        return rocks_files.last_used(self._path(store)) or time.time()

    def destroy(self, store: StoreId) -> bool:
        path = self._path(store)
        if not path.exists():
            return False
        _destroy(path)
        return True

    def _path(self, store: StoreId) -> Path:
        return self.root / store.store / store.topic / str(store.partition)


class RocksStorePartition(StorePartition):
    """One RocksDB.

    Raises:
        StateError: as `Stores.open`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._partition = RocksDBStorePartition(str(path), _options())
        except Exception as error:
            raise _explain(path, error) from error
        if self._partition.uses_ttl_stamps:
            self._partition.close()  # type: ignore[no-untyped-call]
            raise StateForeignError(
                f"the store at {path} has values with Quix's own ttl, whose clock is the "
                "partition's: ctx.state cannot read them. Give its store another name"
            )
        _open_here.add(path)
        # Quix's `get` costs three times as much. And it would open the database again for a
        # reader that comes late: while anybody holds a column family, it stays locked.
        self._values: Any = self._partition.get_or_create_column_family(_FAMILY)

    @property
    def changelog_offset(self) -> int | None:
        self._opened()
        return self._partition.get_changelog_offset()

    def get(self, key: bytes) -> bytes | None:
        values = self._values
        if values is None:
            raise self._closed()
        try:
            value: bytes | None = values.get(key)
        except Exception as error:
            raise _explain(self.path, error) from error
        return value

    def items(self, after: bytes | None, limit: int) -> Sequence[tuple[bytes, bytes]]:
        self._opened()
        first = b"" if after is None else after + b"\0"
        entries = self._partition.iter_items(first)
        try:
            return list(islice(entries, limit))
        except Exception as error:
            raise _explain(self.path, error) from error
        finally:
            entries.close()  # type: ignore[attr-defined]  # else it keeps the database open

    def scan(
        self, first: bytes, end: bytes | None, backwards: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        self._opened()
        if backwards and end is None:
            end = b"\xff" * 256  # Quix seeks from there
        entries = self._partition.iter_items(first, end, backwards)
        try:
            yield from entries
        except Exception as error:
            raise _explain(self.path, error) from error
        finally:
            entries.close()  # type: ignore[attr-defined]  # else it keeps the database open

    def write(self, changes: Changes, changelog_offset: int | None) -> None:
        self._opened()
        *chunked, last = chunks(changes)
        try:
            for chunk in chunked:
                self._partition.write(_Chunk(chunk), None)
            self._partition.write(_Chunk(last), changelog_offset)
        except Exception as error:
            raise _explain(self.path, error) from error

    def size(self) -> StoreSize:
        values = self._opened()

        def estimate(what: str) -> int:
            return int(values.property_int_value(f"rocksdb.{what}") or 0)

        return StoreSize(
            estimate("estimate-num-keys"),
            estimate("estimate-live-data-size") + estimate("cur-size-all-mem-tables"),
        )

    def close(self) -> None:
        if self._values is not None:
            self._values = None
            self._partition.close()  # type: ignore[no-untyped-call]
            _open_here.discard(self.path)
            rocks_files.stamp(self.path)

    def destroy(self) -> None:
        self.close()
        _destroy(self.path)

    def _opened(self) -> Any:
        if self._values is None:
            raise self._closed()
        return self._values

    def _closed(self) -> StateClosedError:
        return StateClosedError(f"the store at {self.path} is closed")


class _Chunk(PartitionTransactionCache):
    """Changes as Quix writes them: instead of its own copy, what it asks its copy for."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def get_column_families(self) -> set[str]:
        return {_FAMILY}

    def get_updates(self, cf_name: str = _FAMILY) -> dict[bytes, dict[bytes, bytes]]:
        return {b"": {key: value for key, value in self._changes.items() if value is not None}}

    def get_deletes(self, cf_name: str = _FAMILY) -> set[bytes]:
        return {key for key, value in self._changes.items() if value is None}


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateDirectoryError(
            f"the state directory {path} cannot be made ({error.strerror}): set state_dir "
            "(STREAMJOBS_STATE_DIR) to one that this process may write to"
        ) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise StateDirectoryError(
            f"the state directory {path} cannot be written to: let this process write there, or "
            "set state_dir (STREAMJOBS_STATE_DIR) to another"
        )


def _size(path: Path) -> StoreSize | None:
    """As somebody sees it who only reads: that needs no lock."""
    try:
        database = _rocksdict.Rdict(str(path), access_type=_rocksdict.AccessType.read_only())
        values = database.get_column_family(_FAMILY)
        entries = int(values.property_int_value("rocksdb.estimate-num-keys") or 0)
        del values
        database.close()
        return StoreSize(entries, rocks_files.bytes_on_disk(path))
    except Exception:  # RocksDB has no better one
        return None


def _destroy(path: Path) -> None:
    try:
        RocksDBStorePartition.destroy(str(path))  # refuses while somebody has it open
    except Exception as error:
        problem = _explain(path, error)
        if isinstance(problem, StateLockedError):
            raise problem from error
    shutil.rmtree(path, ignore_errors=True)  # what is no longer RocksDB's, or never was


def _explain(path: Path, error: Exception) -> StateError:
    """RocksDB's errors are bare exceptions; what they are about stands in their text."""
    text = " ".join(str(error.__cause__ or error).split())
    plain = text.lower()
    if any(locked in plain for locked in _LOCKED):
        return StateLockedError(
            f"another process has the store at {path} open ({text}). Processes of one app may "
            "share a state_dir only while each has partitions of its own; is an old one still "
            "ending?"
        )
    if plain.startswith("corruption"):
        return StateCorruptedError(
            f"the store at {path} is damaged ({text}). Its changelog has all of it: "
            "`python -m streamjobs state reset MODULE:APP` deletes it here, and the next start "
            "restores it"
        )
    if "closed" in plain:
        return StateClosedError(f"the store at {path} is closed")
    return StateError(
        f"the store at {path} failed ({text}): is the disk full, or may this process not write "
        "there?"
    )
