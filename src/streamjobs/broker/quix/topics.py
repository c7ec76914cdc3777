"""Listing and creating topics and deleting records, over Quix's admin client."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from streamjobs.broker.ports import TopicPartition, TopicSpec
from streamjobs.broker.quix.client import (
    QUIET,
    ConfigResource,
    ConnectionConfig,
    KafkaError,
    KafkaException,
    NewTopic,
    Offset,
    TopicAdmin,
    logger,
)
from streamjobs.broker.quix.errors import (
    REFUSALS,
    TRANSIENT,
    client_error,
    error_of,
    no_partition,
    text_of,
    unavailable,
)
from streamjobs.errors import BrokerUnavailableError, StreamjobsError, TopicError

__all__ = ("Topics",)

_LARGEST: Final = "max.message.bytes"


class Topics:
    """The topics of one cluster.

    Attributes:
        mock: whether the cluster is librdkafka's mock cluster; known with the first answer.
    """

    def __init__(self, address: str, connection: ConnectionConfig, mock: bool) -> None:
        self.mock = mock
        self._address = address
        self._reason = ""
        self._refusal: BrokerUnavailableError | None = None
        self._admin = TopicAdmin(
            connection,
            logger=QUIET,  # type: ignore[arg-type]  # the client only calls its `log`
            extra_config={"error_cb": self._on_error},
        )

    def _on_error(self, error: Any) -> None:
        if error.code() in REFUSALS:
            self._refusal = self._refusal or unavailable(self._address, error)
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._reason = error.str()

    def counts(self, timeout: float) -> dict[str, int]:
        """Name and partitions, without Kafka's own topics.

        Raises:
            BrokerUnavailableError: nobody answered within `timeout` seconds.
            SettingError: the connection settings are unusable.
        """
        topics = self._metadata(timeout).topics
        return {
            name: len(topic.partitions)
            for name, topic in topics.items()
            if topic.error is None and not name.startswith("__")
        }

    def _metadata(self, timeout: float) -> Any:
        """Ask for a second first: the answer to that fails at once where we are refused, and the
        client knows the reason only then.
        """
        deadline = time.monotonic() + timeout
        self._refusal = None
        patience = 1.0
        while True:
            left = max(0.1, deadline - time.monotonic())
            try:
                metadata = self._client.list_topics(timeout=min(patience, left))
            except KafkaException as error:
                self._client.poll(0)
                if self._refusal is not None:
                    raise self._refusal from None
                if patience >= left:
                    raise unavailable(self._address, error, self._reason) from None
                patience *= 3
                continue
            self.mock = _is_mock(metadata)
            return metadata

    @property
    def _client(self) -> Any:
        try:
            return self._admin.admin_client
        except KafkaException as error:
            raise client_error(self._address, "connection", error) from None

    def create(self, specs: Sequence[TopicSpec], timeout: float) -> None:
        """Create what is missing and wait until it can be seen.

        Raises:
            TopicError: the cluster refused.
            BrokerUnavailableError: as `counts`.
        """
        deadline = time.monotonic() + timeout
        existing = self.counts(timeout)
        missing = {spec.name: spec for spec in specs if spec.name not in existing}
        if not missing:
            return
        if self.mock:
            self._touch(missing, timeout)
        else:
            self._request(missing, timeout)
        while missing.keys() - self.counts(timeout).keys():
            if time.monotonic() > deadline:
                raise TopicError(f"created, but not to be seen yet: {', '.join(sorted(missing))}")
            time.sleep(0.02)

    def _request(self, missing: Mapping[str, TopicSpec], timeout: float) -> None:
        """Not by Quix's `create_topics`: that one sleeps a second before it looks."""
        wanted = [
            NewTopic(spec.name, spec.partitions, spec.replication, config=dict(spec.config))
            for spec in missing.values()
        ]
        answers = self._client.create_topics(
            wanted, operation_timeout=timeout, request_timeout=timeout
        )
        for name, answer in answers.items():
            try:
                answer.result()
            except KafkaException as exception:
                error = error_of(exception)
                if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise TopicError(f"topic {name!r} cannot be created: {error.str()}") from None
            else:
                logger.info("topic %s created, %d partitions", name, missing[name].partitions)

    def _touch(self, missing: Mapping[str, TopicSpec], timeout: float) -> None:
        """A mock cluster answers no CreateTopics; it makes a topic when somebody asks for it, with
        its own number of partitions.
        """
        for name, spec in missing.items():
            topic = self._client.list_topics(name, timeout=timeout).topics[name]
            got = len(topic.partitions)
            say = logger.info if got == spec.partitions else logger.warning
            say("topic %s made by the mock cluster, %d partitions", name, got)

    def largest_batches(self, topics: Collection[str], timeout: float) -> dict[str, int]:
        """Each topic's `max.message.bytes`, or the broker's own where it has none; without those of
        which the cluster says nothing (that takes the ACL DescribeConfigs).
        """
        if self.mock or not topics:
            return {}
        wanted = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
        found = {}
        for resource, answer in self._client.describe_configs(
            wanted, request_timeout=timeout
        ).items():
            try:
                found[resource.name] = int(answer.result()[_LARGEST].value)
            except KafkaException as exception:
                logger.info("%s of %s: %s", _LARGEST, resource.name, text_of(error_of(exception)))
        return found

    def delete_records(self, before: Mapping[TopicPartition, int], timeout: float) -> None:
        """Remove what lies below these offsets.

        Raises:
            TopicError: a partition is missing (then nothing is deleted), or the cluster refused.
            BrokerUnavailableError: as `counts`; or the request was not answered in time.
        """
        if not before:
            return
        deadline = time.monotonic() + timeout
        existing = self.counts(timeout)
        for partition in before:
            if partition.partition >= existing.get(partition.topic, 0):
                raise no_partition(partition)
        if self.mock:
            raise TopicError("librdkafka's mock cluster deletes no records")
        left = max(0.1, deadline - time.monotonic())
        offsets = [Offset(*partition, offset) for partition, offset in before.items()]
        # confluent-kafka drops one reference too many to its argument, and the process dies of it
        # some time later (its issue 2275). A version that does not leaves this list behind.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(offsets))
        answers = self._client.delete_records(offsets, operation_timeout=left, request_timeout=left)
        for place, answer in answers.items():
            try:
                answer.result()
            except KafkaException as exception:
                partition = TopicPartition(place.topic, place.partition)
                raise self._undeleted(partition, exception) from None

    def _undeleted(self, partition: TopicPartition, exception: KafkaException) -> StreamjobsError:
        error = error_of(exception)
        if error.code() in TRANSIENT or error.code() in REFUSALS:
            return unavailable(self._address, error, self._reason)
        return TopicError(f"records of {partition} cannot be deleted: {text_of(error)}")


def _is_mock(metadata: Any) -> bool:
    """Whether this is what librdkafka's mock cluster says of itself."""
    return str(metadata.cluster_id).startswith("mockCluster")
