"""The write-back cache: a dict that knows what its store does not have yet."""

import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streamjobs.state.cache import ENTRY_BYTES, Cut, WriteBackCache
from streamjobs.state.errors import StateError
from streamjobs.state.memory import MemoryDisk, MemoryStorePartition, MemoryStores
from streamjobs.state.store import StoreId

CLICKS = StoreId("clicks", 0, "default")


@pytest.fixture
def store() -> MemoryStorePartition:
    return MemoryStores("app").open(*CLICKS)


@pytest.fixture
def cache(store: MemoryStorePartition) -> WriteBackCache:
    return WriteBackCache(store)


def test_what_was_merged_is_read_and_the_store_does_not_have_it(
    cache: WriteBackCache, store: MemoryStorePartition
) -> None:
    cache.merge({b"a": b"1"})
    assert cache.get(b"a") == b"1"
    assert store.get(b"a") is None


def test_a_cut_stays_readable_until_it_is_flushed(
    cache: WriteBackCache, store: MemoryStorePartition
) -> None:
    cache.merge({b"a": b"1"})
    cut = cache.take()
    assert (cut.changes, cache.get(b"a"), cache.dirty) == ({b"a": b"1"}, b"1", 1)
    cache.flush(cut, 5)
    assert (store.get(b"a"), store.changelog_offset, cache.dirty) == (b"1", 5, 0)
    assert cache.get(b"a") == b"1"


def test_what_is_merged_after_the_cut_is_not_in_it(
    cache: WriteBackCache, store: MemoryStorePartition
) -> None:
    cache.merge({b"a": b"1", b"b": b"1"})
    cut = cache.take()
    cache.merge({b"a": b"2"})
    cache.flush(cut, 5)
    assert (cache.get(b"a"), cache.get(b"b")) == (b"2", b"1")
    assert store.get(b"a") == b"1"


def test_a_deletion_hides_what_the_store_has(
    cache: WriteBackCache, store: MemoryStorePartition
) -> None:
    store.write({b"a": b"1"}, 1)
    cache.merge({b"a": None})
    assert cache.get(b"a") is None
    cache.flush(cache.take(), 2)
    assert cache.get(b"a") is None
    assert store.get(b"a") is None


def test_what_is_dropped_is_back_at_the_store(
    cache: WriteBackCache, store: MemoryStorePartition
) -> None:
    store.write({b"a": b"1"}, 1)
    cache.merge({b"a": b"2"})
    cache.take()
    cache.merge({b"a": b"3"})
    cache.drop()
    assert (cache.get(b"a"), cache.dirty, cache.bytes) == (b"1", 0, 0)
    assert not cache.take().changes


def test_an_empty_cut_touches_the_store_only_for_its_offset(cache: WriteBackCache) -> None:
    cache.flush(cache.take(), None)
    assert cache.store.changelog_offset is None
    cache.flush(cache.take(), 3)
    assert cache.store.changelog_offset == 3


def test_cuts_are_flushed_in_their_order(cache: WriteBackCache) -> None:
    cache.merge({b"a": b"1"})
    first, second = cache.take(), cache.take()
    for wrong in (second, Cut()):
        with pytest.raises(ValueError, match="oldest"):
            cache.flush(wrong, 5)
    cache.flush(first, 5)
    cache.flush(second, None)
    with pytest.raises(ValueError, match="oldest"):
        cache.flush(second, None)


def test_a_flush_in_pieces_brings_the_offset_last_and_hides_nothing(
    cache: WriteBackCache, store: MemoryStorePartition
) -> None:
    keys = [b"a", b"b", b"c", b"d", b"e"]
    cache.merge(dict.fromkeys(keys, b"1"))
    cut = cache.take()
    cache.merge({b"a": b"2"})
    offsets, read = [], []
    for _ in cache.flushing(cut, 5, entries=2):
        offsets.append(store.changelog_offset)
        read.append([cache.get(key) for key in keys])
    assert offsets == [None, None, 5]
    assert read == [[b"2", b"1", b"1", b"1", b"1"]] * 3
    assert cache.dirty == 1


def test_a_flush_that_fails_leaves_the_changes_readable() -> None:
    stores = MemoryStores("app")
    cache = WriteBackCache(stores.open(*CLICKS))
    cache.merge({b"a": b"1"})
    cut = cache.take()

    def full() -> None:
        raise StateError("the disk is full")

    stores.disk.before_chunk = full
    with pytest.raises(StateError, match="full"):
        cache.flush(cut, 5)
    assert (cache.get(b"a"), cache.dirty) == (b"1", 1)


def test_after_half_a_flush_only_the_store_knows() -> None:
    stores = MemoryStores("app", MemoryDisk(chunk_entries=1))
    cache = WriteBackCache(stores.open(*CLICKS))
    cache.merge({b"a": b"1", b"b": b"1"})
    cache.flush(cache.take(), 5)
    cache.merge({b"a": b"2", b"b": b"2"})
    cut = cache.take()
    chunks = iter([False, True])

    def full() -> None:
        if next(chunks):
            raise StateError("the disk is full")

    stores.disk.before_chunk = full
    with pytest.raises(StateError, match="full"):
        cache.flush(cut, 6)
    cache.drop()
    assert (cache.get(b"a"), cache.get(b"b")) == (b"2", b"1")
    assert cache.store.changelog_offset == 5


def test_bytes_are_counted_once_for_each_key(cache: WriteBackCache) -> None:
    cache.merge({b"abc": b"12345", b"d": None})
    cache.merge({b"abc": b"1"})
    assert cache.bytes == 3 + 1 + 1 + 2 * ENTRY_BYTES
    assert cache.dirty == 2
    cut = cache.take()
    cache.merge({b"abc": b"1"})
    assert cache.dirty == 3
    cache.flush(cut, 5)
    assert (cache.dirty, cache.bytes) == (1, 4 + ENTRY_BYTES)


# Clean values.


class Counting(MemoryStorePartition):
    """Counts its reads."""

    def __init__(self) -> None:
        super().__init__(MemoryStores("app").disk, CLICKS)
        self.reads = 0

    def get(self, key: bytes) -> bytes | None:
        self.reads += 1
        return super().get(key)


def test_what_was_flushed_lately_is_read_from_memory() -> None:
    store = Counting()
    cache = WriteBackCache(store)
    cache.merge({b"a": b"1", b"b": None})
    cache.flush(cache.take(), 5)
    assert (cache.get(b"a"), cache.get(b"b"), store.reads) == (b"1", None, 0)


def test_memory_for_clean_values_is_bounded() -> None:
    store = Counting()
    cache = WriteBackCache(store, clean_bytes=100 * (ENTRY_BYTES + 10))
    keys = [b"%05d" % number for number in range(1000)]
    for key in keys:
        cache.merge({key: b"12345"})
        cache.flush(cache.take(), None)
    assert [cache.get(key) for key in keys] == [b"12345"] * 1000
    assert 900 <= store.reads <= 950


def test_a_cut_that_is_too_large_leaves_no_old_values() -> None:
    cache = WriteBackCache(Counting(), clean_bytes=20 * ENTRY_BYTES)
    cache.merge({b"0": b"old"})
    cache.flush(cache.take(), None)
    cache.merge({b"%d" % number: b"new" for number in range(100)})
    cache.flush(cache.take(), None)
    assert cache.get(b"0") == b"new"


def test_the_newer_of_two_clean_values_is_read() -> None:
    cache = WriteBackCache(Counting(), clean_bytes=4 * (ENTRY_BYTES + 10))
    for key, value in ((b"a", b"old"), (b"b", b""), (b"c", b""), (b"a", b"new")):
        cache.merge({key: value})
        cache.flush(cache.take(), None)
    assert cache.get(b"a") == b"new"


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_a_reader_never_sees_a_value_go_back(store: MemoryStorePartition) -> None:
    cache = WriteBackCache(store, clean_bytes=4 * ENTRY_BYTES)
    done = threading.Event()
    back: list[tuple[int, int]] = []

    def read() -> None:
        newest = 0
        while not done.is_set():
            value = int(cache.get(b"a") or 0)
            if value < newest:
                back.append((value, newest))
            newest = value

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for version in range(3000):
        cache.merge({b"a": b"%d" % version, b"%d" % (version % 7): b""})
        if version % 3 == 0:
            cache.flush(cache.take(), version)
    done.set()
    for reader in readers:
        reader.join()
    assert not back


# Any sequence of these equals a dict.

KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
CHANGES = st.dictionaries(KEYS, st.none() | st.binary(max_size=40), max_size=4)
Model = dict[bytes, bytes | None]


class CacheMachine(RuleBasedStateMachine):
    """An owner that merges, commits, aborts and crashes."""

    @initialize(clean=st.sampled_from([0, 2 * ENTRY_BYTES, 5 * ENTRY_BYTES, 10**6]))
    def begin(self, clean: int) -> None:
        self.clean = clean
        self.stores = MemoryStores("app")
        self.stored: Model = {}
        self.cuts: list[tuple[Cut, Model]] = []
        self.open()

    def open(self) -> None:
        self.cache = WriteBackCache(self.stores.open(*CLICKS), self.clean)
        self.cuts.clear()
        self.merged: Model = {}

    @rule(changes=CHANGES)
    def merge(self, changes: Model) -> None:
        self.cache.merge(changes)
        self.merged |= changes

    @rule()
    def take(self) -> None:
        cut = self.cache.take()
        assert cut.changes == self.merged
        self.cuts.append((cut, self.merged))
        self.merged = {}

    @precondition(lambda self: self.cuts)
    @rule(offset=st.none() | st.integers(0, 9))
    def flush(self, offset: int | None) -> None:
        cut, changes = self.cuts.pop(0)
        self.cache.flush(cut, offset)
        self.stored |= changes
        assert offset is None or self.cache.store.changelog_offset == offset

    @rule()
    def drop(self) -> None:
        self.cache.drop()
        self.cuts.clear()
        self.merged = {}

    @rule()
    def crash(self) -> None:
        self.stores.disk.crash()
        self.open()

    @invariant()
    def it_reads_like_a_dict(self) -> None:
        if not hasattr(self, "cache"):
            return
        expected = dict(self.stored)
        for layer in (*(changes for _, changes in self.cuts), self.merged):
            expected |= layer
        for key in (b"a", b"b", b"c", b"d", b"e"):
            assert self.cache.get(key) == expected.get(key)
            assert self.cache.store.get(key) == self.stored.get(key)

    @invariant()
    def it_knows_how_much_is_dirty(self) -> None:
        if not hasattr(self, "cache"):
            return
        layers = [*(changes for _, changes in self.cuts), self.merged]
        assert self.cache.dirty == sum(map(len, layers))
        assert self.cache.bytes == sum(
            len(key) + len(value or b"") + ENTRY_BYTES
            for layer in layers
            for key, value in layer.items()
        )


TestCache = CacheMachine.TestCase
TestCache.settings = settings(stateful_step_count=40)
