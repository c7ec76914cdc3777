"""Quix Streams and `ctx.state` read each other's stores and changelogs."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from quixstreams.models.topics import TopicManager
from quixstreams.state.manager import DEFAULT_STATE_STORE_NAME, StateStoreManager
from quixstreams.state.metadata import CHANGELOG_CF_MESSAGE_HEADER, CHANGELOG_TTL_STAMPED_HEADER
from quixstreams.state.recovery import ChangelogProducer, RecoveryPartition
from quixstreams.state.rocksdb import RocksDBStorePartition

from streamjobs.record import Record
from streamjobs.state import changelog
from streamjobs.state.changelog import DEFAULT_STORE, messages
from streamjobs.state.errors import StateForeignError
from streamjobs.state.rocks import RocksStores
from streamjobs.state.store import StoreId, StorePartition
from streamjobs.state.view import State

CLICKS = StoreId("clicks", 3, DEFAULT_STORE)
VALUES = {"seen": 2, "name": "Ada ä", "tags": ["a", {"b": None}], "half": 0.5, "no": None}


@contextmanager
def quix_store(state_dir: Path, producer: Any = None) -> Iterator[RocksDBStorePartition]:
    """The store that a StreamingDataFrame of the app "app" has for this partition."""
    with StateStoreManager(group_id="app", state_dir=state_dir) as manager:
        manager.register_store(CLICKS.topic, CLICKS.store)
        partition = manager.get_store(CLICKS.topic, CLICKS.store).assign_partition(CLICKS.partition)
        assert isinstance(partition, RocksDBStorePartition)
        partition._changelog_producer = producer
        yield partition


class Produced(ChangelogProducer):
    """Keeps what Quix writes to a changelog."""

    def __init__(self) -> None:
        super().__init__("changelog", CLICKS.partition, producer=None)  # type: ignore[arg-type]
        self.records: list[Record] = []

    def produce(self, key: Any, value: Any = None, headers: Any = None, *_: Any, **__: Any) -> None:
        # As confluent_kafka does: texts are their UTF-8.
        pairs = [(name, text.encode() if isinstance(text, str) else text)
                 for name, text in headers.items()]  # fmt: skip
        offset = len(self.records)
        self.records.append(Record("changelog", 3, offset, key, value, pairs))


def ctx_state(store: StorePartition, writes: dict[bytes, bytes | None]) -> State:
    return State(b"ada|x", store.get, writes, lambda: 1000.0)


def test_names_are_the_same() -> None:
    topics = TopicManager(topic_admin=None, consumer_group="app")  # type: ignore[arg-type]
    for topic in ("clicks", "repartition__app--clicks--by-user", "other__app-x"):
        name = topics._internal_name("changelog", topic, DEFAULT_STATE_STORE_NAME)
        assert changelog.changelog_topic("app", topic, DEFAULT_STORE) == name
    assert changelog.COLUMN_FAMILY == CHANGELOG_CF_MESSAGE_HEADER
    assert changelog._TTL_STAMPED == CHANGELOG_TTL_STAMPED_HEADER


def test_quix_reads_what_was_set(rocks: RocksStores, tmp_path: Path) -> None:
    store = rocks.open(*CLICKS)
    writes: dict[bytes, bytes | None] = {}
    state = ctx_state(store, writes)
    for name, value in VALUES.items():
        state.set(name, value)
    store.write(writes, 7)
    store.close()
    with quix_store(tmp_path) as partition:
        theirs: Any = partition.begin().as_state(prefix=b"ada|x")
        assert {name: theirs.get(name, "missing") for name in VALUES} == VALUES
        assert partition.get_changelog_offset() == 7


def test_what_quix_has_set_is_read(rocks: RocksStores, tmp_path: Path) -> None:
    with quix_store(tmp_path) as partition:
        transaction = partition.begin()
        theirs: Any = transaction.as_state(prefix=b"ada|x")
        for name, value in VALUES.items():
            theirs.set(name, value)
        transaction.prepare()
        transaction.flush(changelog_offset=7)
    store = rocks.open(*CLICKS)
    state = ctx_state(store, {})
    assert {name: state.get(name, "missing") for name in VALUES} == VALUES
    assert store.changelog_offset == 7
    store.close()


def test_one_reads_the_changes_of_the_other_in_turn(rocks: RocksStores, tmp_path: Path) -> None:
    for expected in range(0, 6, 2):
        with quix_store(tmp_path) as partition, partition.begin() as transaction:
            theirs: Any = transaction.as_state(prefix=b"ada|x")
            assert theirs.get("seen", 0) == expected
            theirs.set("seen", expected + 1)
        store = rocks.open(*CLICKS)
        writes: dict[bytes, bytes | None] = {}
        assert ctx_state(store, writes).update("seen", lambda seen: seen + 1) == expected + 2
        store.write(writes, None)
        store.close()


def test_quixs_changelog_restores_our_store(rocks: RocksStores, tmp_path: Path) -> None:
    produced = Produced()
    with quix_store(tmp_path / "theirs", produced) as partition:
        for seen, processed in ((1, None), (2, {"clicks": 5})):
            transaction = partition.begin()
            theirs: Any = transaction.as_state(prefix=b"ada|x")
            theirs.set("seen", seen)
            theirs.set("gone", 1) if seen == 1 else theirs.delete("gone")
            transaction.prepare(processed_offsets=processed)
            transaction.flush()
    store = rocks.open(*CLICKS)
    store.restore(produced.records)
    assert store.items(None, 10) == [(b'ada|x|"seen"', b"2")]
    assert store.changelog_offset == 3
    store.close()


class Consumed:
    """A record as confluent_kafka hands it to Quix's recovery."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def __getattr__(self, name: str) -> Any:
        return lambda: getattr(self._record, name)


def test_our_changelog_restores_quixs_store(tmp_path: Path) -> None:
    writes: dict[bytes, bytes | None] = {}
    state = State(b"ada|x", lambda key: None, writes)
    for name, value in VALUES.items():
        state.set(name, value)
    first = list(messages("changelog", 3, writes))
    state.delete("seen")
    with quix_store(tmp_path) as partition:
        recovery = RecoveryPartition("changelog", 3, partition, {"clicks": 0}, 0, 100)
        for offset, message in enumerate([*first, *messages("changelog", 3, writes)]):
            record = Record("changelog", 3, offset, message.key, message.value, message.headers)
            recovery.recover_from_changelog_message(Consumed(record))
        recovery.complete_recovery()  # type: ignore[no-untyped-call]
        theirs: Any = partition.begin().as_state(prefix=b"ada|x")
        expected = VALUES | {"seen": "missing"}
        assert {name: theirs.get(name, "missing") for name in VALUES} == expected
        assert partition.get_changelog_offset() == 2 * len(VALUES) - 1


def test_quix_takes_our_marks_for_no_ttl_of_its_own(tmp_path: Path) -> None:
    """It adopts a store in which every value looks as if it had one."""
    writes: dict[bytes, bytes | None] = {}
    state = State(b"ada|x", lambda key: None, writes)
    for number in range(300):
        state.set(f"bytes-{number}", b"\x00" * number)
        state.set(f"timed-{number}", number, ttl=60)
    with quix_store(tmp_path) as partition:
        for offset, message in enumerate(messages("changelog", 3, writes)):
            assert message.key is not None
            partition.recover_from_changelog_message(
                message.key, message.value, "default", offset, ttl_stamped=False
            )
        partition.complete_recovery()
        assert not partition.uses_ttl_stamps
        theirs: Any = partition.begin().as_state(prefix=b"ada|x")
        assert theirs.get_bytes("bytes-3") == b"\xf9\x00\x00\x00"


def test_a_store_with_quixs_ttl_is_refused(rocks: RocksStores, tmp_path: Path) -> None:
    produced = Produced()
    with quix_store(tmp_path, produced) as partition, partition.begin() as transaction:
        theirs: Any = transaction.as_state(prefix=b"ada|x", timestamp=1000)
        theirs.set("seen", 1, ttl=timedelta(days=30_000))
    with pytest.raises(StateForeignError, match=r"Quix's own ttl.*another name"):
        rocks.open(*CLICKS)
    elsewhere = RocksStores(tmp_path / "elsewhere", "app").open(*CLICKS)
    with pytest.raises(StateForeignError):
        elsewhere.restore(produced.records)
    elsewhere.close()
