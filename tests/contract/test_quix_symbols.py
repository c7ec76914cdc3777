"""What pipelines rely on in Quix Streams, much of it private: a version where something is
different fails here, and says what to look at in `streamjobs.pipelines`.
"""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from quixstreams.checkpointing import Checkpoint
from quixstreams.dataframe import windows
from quixstreams.internal_producer import InternalProducer
from quixstreams.state import StateStoreManager
from quixstreams.state.rocksdb.windowed import transaction as windowed_transaction

from streamjobs import App
from streamjobs.pipelines import quix
from streamjobs.pipelines.captured import captured
from streamjobs.pipelines.host import Host
from streamjobs.pipelines.transactions import Plain, Timestamped, View, Windowed
from streamjobs.state.cache import WriteBackCache
from streamjobs.state.memory import MemoryStores


@pytest.fixture
def cache() -> WriteBackCache:
    return WriteBackCache(MemoryStores("symbols").open("in", 0, "store"))


SIGNATURES: dict[Callable[..., Any], str] = {
    quix.StreamingDataFrame.__init__: (
        "self, *topics, topic_manager, registry, processing_context, stream, stream_id"
    ),
    quix.StreamingDataFrame.join_lookup: "self, lookup, fields, on, buffer",
    quix.StreamingDataFrame.sink: "self, sink",
    quix.StreamingDataFrame.update: "self, func, stateful, metadata",
    quix.DataFrameRegistry.register_root: "self, dataframe",
    quix.DataFrameRegistry.get_stream_ids: "self, topic_name",
    quix.DataFrameRegistry.get_topics_for_stream_id: "self, stream_id",
    quix.Stream.compose: (
        "self, allow_filters, allow_expands, allow_updates, allow_transforms, sink"
    ),
    quix.Stream.full_tree: "self",
    quix.Topic.row_serialize: "self, row, key",
    quix.TopicManager.__init__: (
        "self, topic_admin, consumer_group, timeout, create_timeout, auto_create_topics"
    ),
    quix.TopicManager._fetch_topic: "self, topic",
    quix.TopicConfig.__init__: "self, num_partitions, replication_factor, extra_config",
    quix.MessageContext.__init__: "self, topic, partition, offset, size, leader_epoch",
    quix.Row.__init__: "self, value, key, timestamp, context, headers",
    quix.SerializationContext.__init__: "self, topic, field, headers",
    quix.set_message_context: "context",
    quix.message_context: "",
    quix.PartitionTransactionCache.get: "self, key, prefix, cf_name",
    quix.PartitionTransactionCache.set: "self, key, value, prefix, cf_name",
    quix.PartitionTransactionCache.delete: "self, key, prefix, cf_name",
    quix.RocksDBPartitionTransaction.__init__: "self, partition, dumps, loads, changelog_producer",
    quix.RocksDBPartitionTransaction.get: "self, key, prefix, default, cf_name, timestamp",
    quix.RocksDBPartitionTransaction.set: "self, key, value, prefix, cf_name, timestamp, ttl",
    quix.RocksDBPartitionTransaction.set_bytes: "self, key, value, prefix, cf_name, timestamp, ttl",
    quix.RocksDBPartitionTransaction._get_bytes: "self, key, prefix, cf_name, timestamp",
    quix.RocksDBPartitionTransaction._serialize_key: "self, key, prefix",
    quix.RocksDBPartitionTransaction._persist_counter: "self",
    quix.RocksDBPartitionTransaction.as_state: "self, prefix, timestamp",
    quix.WindowedRocksDBPartitionTransaction.__init__: (
        "self, partition, dumps, loads, changelog_producer"
    ),
    quix.WindowedRocksDBPartitionTransaction.as_state: "self, prefix",
    quix.TimestampedPartitionTransaction.__init__: (
        "self, partition, dumps, loads, grace_ms, keep_duplicates, changelog_producer"
    ),
    quix.TimestampedPartitionTransaction.set_for_timestamp: "self, timestamp, value, prefix",
    quix.TimestampedPartitionTransaction._get_min_eligible_timestamp: "self, prefix",
    quix.BaseLookup.join: "self, fields, on, value, key, timestamp, headers",
    quix.serialize: "value, dumps",
    quix.deserialize: "value, loads",
    quix.dumps: "value",
}


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda each: each.__qualname__)
def test_it_is_called_as_before(function: Callable[..., Any]) -> None:
    found = inspect.signature(function).parameters.values()

    assert (
        ", ".join(("*" * (p.kind is p.VAR_POSITIONAL)) + p.name for p in found)
        == (SIGNATURES[function])
    )


def test_a_processing_context_takes_stand_ins_and_keeps_the_checkpoint_where_we_put_ours() -> None:
    fields = quix.ProcessingContext.__dataclass_fields__

    assert {"producer", "consumer", "state_manager", "sink_manager"} <= fields.keys()
    assert {"commit_interval", "dataframe_registry"} <= fields.keys()
    assert not fields["_checkpoint"].init


def test_the_methods_of_a_state_manager_that_operators_call_are_ours() -> None:
    for name in ("register_store", "register_windowed_store", "register_timestamped_store"):
        theirs = inspect.signature(getattr(StateStoreManager, name)).parameters
        assert theirs.keys() <= inspect.signature(getattr(Host, name)).parameters.keys(), name


def test_the_methods_of_a_producer_and_a_checkpoint_that_operators_call_are_ours() -> None:
    for theirs, ours in (
        (InternalProducer.produce_row, Host.produce_row),
        (Checkpoint.get_store_transaction, Host.get_store_transaction),
    ):
        assert [*inspect.signature(theirs).parameters] == [*inspect.signature(ours).parameters]


@pytest.mark.parametrize("kind", ["Plain", "Windowed", "Timestamped"])
def test_a_transaction_has_a_cache_of_changes_a_counter_and_a_status(
    kind: str, cache: WriteBackCache
) -> None:
    transaction: Any = {
        "Plain": lambda: Plain(View(cache)),
        "Windowed": lambda: Windowed(View(cache)),
        "Timestamped": lambda: Timestamped(View(cache), 10, keep_duplicates=False),
    }[kind]()

    assert transaction._counter is None
    assert transaction._status is quix.PartitionTransactionStatus.STARTED
    assert isinstance(transaction._update_cache, quix.PartitionTransactionCache)
    assert transaction._serialize_key(b"k", b"p") == b"p|k"


def test_a_cache_of_changes_keeps_them_where_ours_takes_them_back() -> None:
    cache = quix.PartitionTransactionCache()
    cache.set(b"p|1", b"x", b"p")
    cache.delete(b"p|2", b"p", "other")

    assert cache._updated["default"] == {b"p": {b"p|1": b"x"}}
    assert cache._deleted["other"] == {b"p|2"}
    assert not cache._empty


def test_a_windowed_transaction_counts_in_one_place_and_caches_timestamps_in_plain_sight(
    cache: WriteBackCache,
) -> None:
    transaction = Windowed(View(cache))
    transaction.as_state(b"k").add_to_collection(value=1, id=5)
    transaction.as_state(b"k").update_window(0, 10, value=1, timestamp_ms=5)

    assert transaction._counter == 0
    caches = [each for each in vars(transaction).values() if isinstance(each, quix.Cache)]
    assert len(caches) == 4
    assert any(each.values for each in caches)


def test_no_other_families_are_there_than_those_that_we_keep_apart() -> None:
    names = [name for name in vars(windowed_transaction) if name.endswith("_CF_NAME")]

    assert all("\0" not in getattr(windowed_transaction, name) for name in names)
    assert len({getattr(windowed_transaction, name) for name in names}) == len(names) >= 5


@pytest.mark.parametrize("closing", ["key", "partition"])
def test_windows_say_what_closes_them_and_are_found_in_closures(closing: Any) -> None:
    app = App("symbols")
    host = app._composer.host
    frame = host.dataframe(app.topic("in"))
    frame.tumbling_window(10).agg(n=windows.Count()).final(closing_strategy=closing)

    found = [each for each in captured(frame.stream) if isinstance(each, quix.Window)]

    assert {each._closing_strategy for each in found} == {quix.ClosingStrategy(closing)}  # type: ignore[attr-defined]
    assert {each.name for each in found} == {"tumbling_window_10"}


def test_topics_are_found_in_closures() -> None:
    app = App("symbols")
    out, odd = app.topic("out"), app.topic("odd")
    frame = app._composer.host.dataframe(app.topic("in"))
    frame.to_topic(out)
    frame[frame["x"] > 1].to_topic(lambda *_: odd)

    found = {each.name for each in captured(frame.stream) if isinstance(each, quix.Topic)}

    assert found == {"out", "odd"}


def test_a_registry_tells_roots_and_streams() -> None:
    app = App("symbols")
    host = app._composer.host
    frame = host.dataframe(app.topic("in"))
    root = frame.stream
    grouped = frame.group_by("x")

    assert [*host.registry._registry] == ["in", grouped.topics[0].name]
    assert host.registry._registry["in"] is root
    assert host.registry.get_stream_ids("in") == ["in"]
    assert [*host.topics.repartition_topics] == [grouped.topics[0].name]
    assert {*host.topics.non_changelog_topics} == {"in", grouped.topics[0].name}


def test_a_topic_tells_how_it_is_read() -> None:
    topic = App("symbols").topic("in")

    value, key = topic._value_deserializer, topic._key_deserializer
    assert type(value) is quix.JSONDeserializer
    assert value._loads is quix.loads
    assert value._validator is value._schema_registry_deserializer is None
    assert type(key) is quix.BytesDeserializer
    assert topic._timestamp_extractor is None
    assert value.split_values is False


@pytest.mark.parametrize("name", quix.__all__)
def test_every_symbol_is_there(name: str) -> None:
    assert getattr(quix, name) is not None
