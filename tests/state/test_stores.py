"""Stores, in memory and in RocksDB: what is written is there, also for the next process."""

import threading

import pytest

from streamjobs.errors import ConfigurationError
from streamjobs.record import Record
from streamjobs.state.changelog import messages
from streamjobs.state.errors import StateClosedError, StateForeignError, StateLockedError
from streamjobs.state.store import StoreId, StorePartition, Stores, chunks

CLICKS = StoreId("clicks", 0, "default")


def changelog(*changes: tuple[bytes, bytes | None], start: int = 0) -> list[Record]:
    """Records as a producer writes them, one for each change."""
    return [
        Record(message.topic, 0, start + index, message.key, message.value, message.headers)
        for index, (key, value) in enumerate(changes)
        for message in messages("changelog", 0, {key: value})
    ]


def everything(store: StorePartition) -> dict[bytes, bytes]:
    return dict(store.items(None, 10**6))


def test_a_new_store_is_empty(stores: Stores) -> None:
    store = stores.open(*CLICKS)
    assert store.get(b"a") is None
    assert store.changelog_offset is None
    assert not store.items(None, 10)
    store.close()


def test_what_is_written_can_be_read(stores: Stores) -> None:
    store = stores.open(*CLICKS)
    store.write({b"a": b"1", b"b": b"", b"\x00\xff": b"\x00"}, 5)
    store.write({b"a": None, b"c": None}, 7)
    assert [store.get(key) for key in (b"a", b"b", b"c", b"\x00\xff")] == [None, b"", None, b"\x00"]
    assert store.changelog_offset == 7
    store.close()


def test_the_next_process_finds_it(stores: Stores) -> None:
    store = stores.open(*CLICKS)
    store.write({b"a": b"1"}, 5)
    store.close()
    again = stores.open(*CLICKS)
    assert (again.get(b"a"), again.changelog_offset) == (b"1", 5)
    again.close()


def test_the_offset_stays_when_none_is_given(stores: Stores) -> None:
    store = stores.open(*CLICKS)
    store.write({b"a": b"1"}, 5)
    store.write({b"a": b"2"}, None)
    store.write({}, None)
    assert (store.get(b"a"), store.changelog_offset) == (b"2", 5)
    store.close()


def test_an_offset_alone_can_be_written(stores: Stores) -> None:
    store = stores.open(*CLICKS)
    store.write({}, 9)
    assert store.changelog_offset == 9
    store.close()


def test_entries_come_in_the_order_of_their_keys(stores: Stores) -> None:
    store = stores.open(*CLICKS)
    store.write({b"b": b"2", b"a": b"1", b"a\x00": b"3", b"c": b"4"}, 1)
    assert store.items(None, 2) == [(b"a", b"1"), (b"a\x00", b"3")]
    assert store.items(b"a\x00", 2) == [(b"b", b"2"), (b"c", b"4")]
    assert store.items(b"c", 2) == []
    store.close()


def test_partitions_topics_and_names_are_apart(stores: Stores) -> None:
    ids = sorted(StoreId(t, p, s) for t in ("a", "b") for p in (0, 12) for s in ("x", "y"))
    opened = [stores.open(*each) for each in ids]
    for index, store in enumerate(opened):
        store.write({b"a": b"%d" % index}, index)
    assert [store.get(b"a") for store in opened] == [b"%d" % index for index in range(len(ids))]
    assert stores.found() == ids
    for store in opened:
        store.close()
    assert stores.found() == ids


def test_a_store_has_one_owner_at_a_time(stores: Stores) -> None:
    store = stores.open(*CLICKS)
    with pytest.raises(StateLockedError, match="open"):
        stores.open(*CLICKS)
    with pytest.raises(StateLockedError, match="open"):
        stores.destroy(CLICKS)
    store.close()
    stores.open(*CLICKS).close()


def test_a_closed_store_says_so(stores: Stores) -> None:
    store = stores.open(*CLICKS)
    store.close()
    store.close()
    for use in (
        lambda: store.get(b"a"),
        lambda: store.write({b"a": b"1"}, 1),
        lambda: store.items(None, 1),
        lambda: store.changelog_offset,
        store.size,
    ):
        with pytest.raises(StateClosedError, match="is closed"):
            use()
    stores.open(*CLICKS).close()


def test_a_store_that_was_destroyed_is_new(stores: Stores) -> None:
    store = stores.open(*CLICKS)
    store.write({b"a": b"1"}, 5)
    store.destroy()
    assert not stores.found()
    again = stores.open(*CLICKS)
    assert (again.get(b"a"), again.changelog_offset) == (None, None)
    again.close()


def test_a_store_that_nobody_has_open_can_be_destroyed(stores: Stores) -> None:
    stores.open(*CLICKS).close()
    assert stores.destroy(CLICKS)
    assert not stores.destroy(CLICKS)
    assert not stores.found()


def test_a_size_grows(stores: Stores) -> None:
    store = stores.open(*CLICKS)
    store.write({b"%d" % number: b"x" * 100 for number in range(1000)}, 1)
    assert store.size().entries == 1000
    assert store.size().bytes >= 100_000
    store.close()


# Restoring from the changelog.


def test_a_wiped_store_is_restored_as_it_was(stores: Stores) -> None:
    store = stores.open(*CLICKS)
    records = changelog((b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"b", None), (b"c", b"4"))
    for record in records:
        store.write({record.key or b"": record.value}, record.offset)
    before = everything(store)
    store.destroy()
    again = stores.open(*CLICKS)
    for piece in (records[:2], [], records[2:]):
        again.restore(piece)
    assert everything(again) == before == {b"a": b"3", b"c": b"4"}
    assert again.changelog_offset == 4
    again.close()


def test_records_that_are_applied_twice_make_no_difference(stores: Stores) -> None:
    store = stores.open(*CLICKS)
    records = changelog((b"a", b"1"), (b"b", b"2"), (b"a", None))
    store.restore(records)
    store.restore(records)
    assert everything(store) == {b"b": b"2"}
    store.close()


def test_a_changelog_of_another_store_is_refused(stores: Stores) -> None:
    store = stores.open(*CLICKS)
    with pytest.raises(StateForeignError):
        store.restore([*changelog((b"a", b"1")), Record("changelog", 0, 1, b"b", b"2")])
    assert not everything(store)
    store.close()


# Names.


def test_changelogs_are_called_as_quix_calls_them(stores: Stores) -> None:
    assert stores.changelog_topic("clicks", "default") == "changelog__app--clicks--default"
    inner = "repartition__app--clicks--by-user"
    assert stores.changelog_topic(inner, "default") == (
        "changelog__app--repartition.clicks.by-user--default"
    )
    with pytest.raises(ConfigurationError):
        stores.changelog_topic("clicks", "../evil")


# Chunks.


def test_changes_are_cut_by_number_and_by_bytes() -> None:
    changes: dict[bytes, bytes | None] = {b"%d" % number: b"x" * 9 for number in range(7)}
    assert [len(chunk) for chunk in chunks(changes, entries=3)] == [3, 3, 1]
    assert [len(chunk) for chunk in chunks(changes, size=20)] == [2, 2, 2, 1]
    assert [len(chunk) for chunk in chunks({}, entries=3)] == [0]


def test_readers_find_what_was_there_before_or_is_there_now(stores: Stores) -> None:
    store = stores.open(*CLICKS)
    keys = [b"%d" % number for number in range(500)]
    store.write(dict.fromkeys(keys, b"0"), 0)
    done = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        newest = [0] * len(keys)
        while not done.is_set():
            for index, key in enumerate(keys):
                value = int(store.get(key) or -1)
                if value < newest[index]:
                    wrong.append((key, value, newest[index]))
                newest[index] = value

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for version in range(1, 40):
        store.write(dict.fromkeys(keys, b"%d" % version), version)
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong
    store.close()
