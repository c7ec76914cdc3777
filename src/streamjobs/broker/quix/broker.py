"""Kafka, by way of Quix Streams."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

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
from streamjobs.broker.quix.commits import GroupCommits
from streamjobs.broker.quix.consumer import QuixConsumer
from streamjobs.broker.quix.producer import QuixProducer
from streamjobs.broker.quix.reader import QuixReader
from streamjobs.broker.quix.settings import connection_config, producer_settings
from streamjobs.broker.quix.topics import Topics
from streamjobs.broker.quix.transactions import QuixTransactions
from streamjobs.errors import ConfigurationError

__all__ = ("QuixBroker",)


class QuixBroker(Broker):
    """A Kafka cluster.

    Args:
        address: `host:port`, or several, separated by commas.
        connection: SASL and TLS settings, by librdkafka's names; dots may be underscores.
        mock: it is librdkafka's mock cluster; else that is found out with the first `topics`.

    Raises:
        SettingError: a connection setting is unknown or unusable.
        ConfigurationError: this version of quixstreams was not checked with streamjobs.
    """

    def __init__(
        self, address: str, connection: Mapping[str, Any] | None = None, *, mock: bool = False
    ) -> None:
        self._address = address
        self._connection = connection_config(address, connection or {})
        self._topics = Topics(address, self._connection, mock)

    @property
    def address(self) -> str:
        return self._address

    def topics(self, timeout: float) -> Mapping[str, int]:
        return self._topics.counts(timeout)

    def create_topics(self, topics: Sequence[TopicSpec], timeout: float) -> None:
        self._topics.create(topics, timeout)

    def largest_batches(self, topics: Collection[str], timeout: float) -> Mapping[str, int]:
        return self._topics.largest_batches(topics, timeout)

    def consumer(self, options: ConsumerOptions, listener: Listener) -> Consumer:
        if self._topics.mock and options.group_protocol == "classic":
            # A mock cluster takes the whole session timeout for a classic rebalance.
            options = dataclasses.replace(options, group_protocol="consumer")
        return QuixConsumer(self._address, self._connection, options, listener)

    def producer(self, extra: Mapping[str, Any]) -> Producer:
        return QuixProducer(self._address, self._connection, producer_settings(extra))

    @property
    def has_transactions(self) -> bool:
        return not self._topics.mock

    def transactions(
        self, transactional_id: str, timeout: float, extra: Mapping[str, Any]
    ) -> Transactions:
        if self._topics.mock:
            raise ConfigurationError(
                f"the broker at {self._address} is librdkafka's mock cluster, which has no "
                "transactions worth the name: it hides no aborted record, and keeps no offsets"
            )
        return QuixTransactions(self._address, self._connection, transactional_id, timeout, extra)

    def reader(self, extra: Mapping[str, Any]) -> Reader:
        return QuixReader(self._address, self._connection, extra)

    def committed(
        self, group: str, partitions: Sequence[TopicPartition], timeout: float
    ) -> Sequence[Commit]:
        return self._commits(group).read(partitions, timeout)

    def amend(self, group: str, commits: Sequence[Commit], timeout: float) -> None:
        self._commits(group).write(commits, timeout)

    def _commits(self, group: str) -> GroupCommits:
        return GroupCommits(self._address, self._connection, group)

    def delete_records(self, before: Mapping[TopicPartition, int], timeout: float) -> None:
        self._topics.delete_records(before, timeout)

    def close(self) -> None:
        """Nothing was started here."""
