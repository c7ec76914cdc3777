"""A Kafka inside of this process: librdkafka's own mock cluster, from the confluent-kafka wheel.

Real sockets, real protocol, nothing to install: for trying out, for demos and for tests. What it
does not do:

- keep data: a partition has 5 MB (and the older records of a fuller one are gone, read or not);
  all of it ends with the process;
- CreateTopics: topics are made by `EmbeddedCluster.create_topic`, or when first asked for, then
  with 4 partitions;
- DeleteRecords, and finding offsets by time: both raise TopicError;
- transactions: it takes the calls, but hides no aborted record and stores no offsets with them, so
  `transactions` raises ConfigurationError;
- what a group has committed, for others than its members: once it had one, `committed` and `amend`
  raise;
- limits on what is committed: metadata of any length is kept, where Kafka refuses 4,096 characters;
- rebalance the classic way in acceptable time: it waits for more than the session timeout, and that
  is 45 s. With KIP-848 (`group_protocol="consumer"`) a member joins in 0.1 s, a second one has its
  share in a second, and what stays is not interrupted: `QuixBroker` uses that on a mock cluster
  even when the classic way is asked for. A member that gets nothing is not told so, and shares are
  uneven where members subscribe to different topics;
- security, ACLs, quotas, settings of topics: no compaction, no retention by time.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Mapping, Sequence
from ctypes import c_char_p, c_int, c_size_t, c_void_p
from pathlib import Path
from typing import Any, Final

from streamjobs.broker.ports import (
    Broker,
    Commit,
    Consumer,
    ConsumerOptions,
    Listener,
    Producer,
    Reader,
    TopicPartition,
    TopicSpec,
    Transactions,
)
from streamjobs.errors import ConfigurationError, TopicError

__all__ = ("EmbeddedBroker", "EmbeddedCluster")

HEARTBEAT_MS: Final = 500
"""How soon members hear of a change; with the mock's own 3 s a rebalance takes up to 9."""

_PRODUCER: Final = 0
_TOPIC_ALREADY_EXISTS: Final = 36

_FUNCTIONS: Final[dict[str, tuple[Any, list[Any]]]] = {
    "rd_kafka_conf_new": (c_void_p, []),
    "rd_kafka_conf_set": (c_int, [c_void_p, c_char_p, c_char_p, c_char_p, c_size_t]),
    "rd_kafka_new": (c_void_p, [c_int, c_void_p, c_char_p, c_size_t]),
    "rd_kafka_destroy": (None, [c_void_p]),
    "rd_kafka_err2str": (c_char_p, [c_int]),
    "rd_kafka_mock_cluster_new": (c_void_p, [c_void_p, c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [c_void_p]),
    "rd_kafka_mock_cluster_bootstraps": (c_char_p, [c_void_p]),
    "rd_kafka_mock_topic_create": (c_int, [c_void_p, c_char_p, c_int, c_int]),
    "rd_kafka_mock_set_group_consumer_heartbeat_interval_ms": (None, [c_void_p, c_int]),
}


class EmbeddedCluster:
    """A mock cluster of one broker; it runs from construction to `close`.

    Attributes:
        address: where it listens: a free port of 127.0.0.1.

    Raises:
        ConfigurationError: there is no librdkafka with a mock cluster here.
    """

    def __init__(self) -> None:
        self._library = _library()
        self._client = self._quiet_client()
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1)
        if not self._cluster:
            raise ConfigurationError("librdkafka could not start its mock cluster")
        self._library.rd_kafka_mock_set_group_consumer_heartbeat_interval_ms(
            self._cluster, HEARTBEAT_MS
        )
        bootstraps: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        self.address = bootstraps.decode()

    def _quiet_client(self) -> Any:
        """The client that a mock cluster must live in. It would complain on stderr that it has no
        bootstrap.servers.
        """
        problem = ctypes.create_string_buffer(512)
        settings = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(settings, b"log_level", b"0", problem, len(problem))
        client = self._library.rd_kafka_new(_PRODUCER, settings, problem, len(problem))
        if not client:
            raise ConfigurationError(f"librdkafka could not start: {problem.value.decode()}")
        return client

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Create a topic; one that exists stays as it is.

        Raises:
            TopicError: the cluster refused.
        """
        code = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if code not in {0, _TOPIC_ALREADY_EXISTS}:
            reason = self._library.rd_kafka_err2str(code).decode()
            raise TopicError(f"topic {name!r} cannot be created: {reason}")

    def close(self) -> None:
        """Stop it; its records are gone."""
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._client)
            self._cluster = self._client = None


class EmbeddedBroker(Broker):
    """`QuixBroker` on an embedded cluster of its own."""

    def __init__(self) -> None:
        from streamjobs.broker.quix.broker import QuixBroker

        self._cluster = EmbeddedCluster()
        self._broker = QuixBroker(self._cluster.address, mock=True)

    @property
    def address(self) -> str:
        return self._cluster.address

    def topics(self, timeout: float) -> Mapping[str, int]:
        return self._broker.topics(timeout)

    def create_topics(self, topics: Sequence[TopicSpec], timeout: float) -> None:
        for topic in topics:
            self._cluster.create_topic(topic.name, topic.partitions)

    def consumer(self, options: ConsumerOptions, listener: Listener) -> Consumer:
        return self._broker.consumer(options, listener)

    def producer(self, extra: Mapping[str, Any]) -> Producer:
        return self._broker.producer(extra)

    def reader(self, extra: Mapping[str, Any]) -> Reader:
        return self._broker.reader(extra)

    @property
    def has_transactions(self) -> bool:
        return False

    def transactions(
        self, transactional_id: str, timeout: float, extra: Mapping[str, Any]
    ) -> Transactions:
        return self._broker.transactions(transactional_id, timeout, extra)

    def committed(
        self, group: str, partitions: Sequence[TopicPartition], timeout: float
    ) -> Sequence[Commit]:
        return self._broker.committed(group, partitions, timeout)

    def amend(self, group: str, commits: Sequence[Commit], timeout: float) -> None:
        self._broker.amend(group, commits, timeout)

    def delete_records(self, before: Mapping[TopicPartition, int], timeout: float) -> None:
        self._broker.delete_records(before, timeout)

    def close(self) -> None:
        self._broker.close()
        self._cluster.close()


def _library() -> Any:
    """The librdkafka that confluent-kafka's own module is linked with."""
    for path in _candidates():
        try:
            library = ctypes.CDLL(str(path))
            for name, (result, arguments) in _FUNCTIONS.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError):
            continue
        return library
    raise ConfigurationError(
        "the embedded broker needs the librdkafka of the confluent-kafka wheel, and there is none "
        "with a mock cluster: pip install --force-reinstall --only-binary=:all: confluent-kafka"
    )


def _candidates() -> list[Path]:
    spec = importlib.util.find_spec("confluent_kafka")
    if spec is None or spec.origin is None:
        return []
    package = Path(spec.origin).parent
    # Linux and macOS look symbols up in what a library is linked with, too: so the module itself
    # will do, and it is the copy that is loaded already. Windows does not.
    return [
        *package.glob("cimpl*.so"),
        *package.parent.glob("confluent_kafka.libs/*rdkafka*"),
        *package.glob(".dylibs/*rdkafka*"),
    ]
