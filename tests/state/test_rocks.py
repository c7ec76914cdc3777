"""RocksDB: where the files are, and what is said when they cannot be used."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamjobs.errors import ConfigurationError
from streamjobs.state import rocks as module
from streamjobs.state.errors import (
    StateClosedError,
    StateCorruptedError,
    StateDirectoryError,
    StateError,
    StateLockedError,
)
from streamjobs.state.rocks import RocksStorePartition, RocksStores
from streamjobs.state.store import CHUNK_ENTRIES, StoreId

CLICKS = StoreId("clicks", 3, "default")


def test_files_are_where_quix_has_them(rocks: RocksStores, tmp_path: Path) -> None:
    rocks.open(*CLICKS).close()
    assert (tmp_path / "app" / "default" / "clicks" / "3" / "CURRENT").is_file()


def test_other_files_are_no_stores(rocks: RocksStores, tmp_path: Path) -> None:
    rocks.open(*CLICKS).close()
    (tmp_path / "app" / "default" / "clicks" / "notes").mkdir()
    (tmp_path / "app" / "default" / "clicks" / "notes" / "CURRENT").touch()
    (tmp_path / "app" / "default" / "clicks" / "4").mkdir()
    assert rocks.found() == [CLICKS]


def test_a_process_that_was_killed_leaves_what_it_wrote(rocks: RocksStores) -> None:
    code = f"""
import os, signal
from pathlib import Path
from streamjobs.state.rocks import RocksStores
store = RocksStores(Path({str(rocks.root.parent)!r}), "app").open(*{tuple(CLICKS)!r})
store.write({{b"%d" % number: b"1" for number in range(5000)}}, 7)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    store = rocks.open(*CLICKS)
    assert (store.get(b"4999"), store.changelog_offset) == (b"1", 7)
    store.close()


def test_a_store_that_another_process_has_open_says_so_at_once(rocks: RocksStores) -> None:
    store = rocks.open(*CLICKS)
    code = f"""
from pathlib import Path
from streamjobs.state.errors import StateLockedError
from streamjobs.state.rocks import RocksStores
stores = RocksStores(Path({str(rocks.root.parent)!r}), "app")
for use in (lambda: stores.open(*{tuple(CLICKS)!r}), lambda: stores.destroy(stores.found()[0])):
    try:
        use()
    except StateLockedError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.count("another process has the store at") == 2
    assert not done.stderr
    store.write({b"a": b"1"}, 1)
    assert store.get(b"a") == b"1"
    store.close()


@pytest.mark.parametrize("pattern", ["CURRENT", "MANIFEST-*", "*.sst"])
def test_a_damaged_store_says_how_to_mend_it(rocks: RocksStores, pattern: str) -> None:
    for _ in range(2):  # what the first leaves in its log, the second writes to a table
        store = rocks.open(*CLICKS)
        store.write({b"a": b"1"}, 1)
        store.close()
    for file in (rocks.root / "default" / "clicks" / "3").glob(pattern):
        file.write_bytes(b"damaged")
    with pytest.raises(StateCorruptedError, match=r"is damaged .*state reset MODULE:APP"):
        rocks.open(*CLICKS)
    assert rocks.destroy(CLICKS)
    rocks.open(*CLICKS).close()


def test_damage_that_shows_when_it_is_read_says_so_too(rocks: RocksStores) -> None:
    store = rocks.open(*CLICKS)
    store._values = Failing("Corruption: block checksum mismatch")
    with pytest.raises(StateCorruptedError, match="block checksum mismatch"):
        store.get(b"a")
    store.close()


class Failing:
    """A column family of which every read fails."""

    def __init__(self, text: str) -> None:
        self.text = text

    def get(self, key: bytes) -> bytes | None:
        raise Exception(self.text)


@pytest.mark.parametrize(
    "text, kind, said",
    [
        ("IO error: No space left on device", StateError, "is the disk full"),
        ("IO error: While open a file for lock: /x: Permission denied", StateError, "not write"),
        ("DB instance already closed", StateClosedError, "is closed"),
        ("IO error: While lock file: /x", StateLockedError, "another process"),
    ],
)
def test_what_rocksdb_says_is_kept(text: str, kind: type[StateError], said: str) -> None:
    error = module._explain(Path("/state"), Exception(text))
    assert type(error) is kind
    assert said in str(error)
    assert "/state" in str(error)


def test_a_directory_is_made(tmp_path: Path) -> None:
    RocksStores(tmp_path / "not" / "there", "app").open(*CLICKS).close()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateDirectoryError, match=r"file/app cannot be made .*set state_dir"):
        RocksStores(tmp_path / "file", "app")


def test_a_directory_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests may run as root
    with pytest.raises(StateDirectoryError, match="cannot be written to"):
        RocksStores(tmp_path, "app")


def test_an_app_that_no_topic_can_be_named_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the app is called '\.\./evil'"):
        RocksStores(tmp_path, "../evil")


def test_a_large_write_is_chunked_and_its_last_chunk_has_the_offset(
    rocks: RocksStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = rocks.open(*CLICKS)
    written: list[tuple[int, int | None]] = []
    quix = store._partition
    write: Callable[..., Any] = quix.write

    def spy(cache: Any, changelog_offset: int | None) -> None:
        written.append((len(cache.get_updates()[b""]), changelog_offset))
        write(cache, changelog_offset)

    monkeypatch.setattr(quix, "write", spy)
    store.write({b"%d" % number: b"1" for number in range(2500)}, 7)
    assert written == [(CHUNK_ENTRIES, None), (CHUNK_ENTRIES, None), (500, 7)]
    store.close()


def test_closing_frees_the_lock_also_under_readers(rocks: RocksStores) -> None:
    store = rocks.open(*CLICKS)
    store.write({b"a": b"1"}, 1)
    ended: list[BaseException] = []

    def read() -> None:
        try:
            while True:
                store.get(b"a")
        except Exception as error:
            ended.append(error)

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    store.items(None, 1)
    store.close()
    for reader in readers:
        reader.join(10)
    assert [type(error) for error in ended] == [StateClosedError] * 8
    rocks.open(*CLICKS).close()


def test_importing_the_view_and_the_cache_imports_no_kafka_client() -> None:
    code = """
import sys
import streamjobs.state.cache, streamjobs.state.memory, streamjobs.state.view
print([name for name in ("quixstreams", "confluent_kafka", "rocksdict") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_partition_is_what_open_returns(rocks: RocksStores) -> None:
    store = rocks.open(*CLICKS)
    assert isinstance(store, RocksStorePartition)
    store.close()
