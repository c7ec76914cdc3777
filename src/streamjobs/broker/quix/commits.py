"""What a group has committed, for who is no member of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from streamjobs.broker.ports import Commit, ConsumerOptions, TopicPartition
from streamjobs.broker.quix.client import ConnectionConfig, KafkaError, KafkaException
from streamjobs.broker.quix.errors import client_error, error_of
from streamjobs.broker.quix.group_client import GroupClient, commit_offsets
from streamjobs.broker.quix.reading_client import sound
from streamjobs.broker.quix.watch import BrokerWatch
from streamjobs.errors import BrokerUnavailableError, GroupActiveError

__all__ = ("GroupCommits",)

_HAS_MEMBERS: Final = (
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.FENCED_MEMBER_EPOCH,
)
"""What a broker answers to a commit of somebody who is no member, while there are members."""


class GroupCommits:
    """Asks as a consumer that never joins.

    Args:
        address, connection: of the cluster.
        group: whose commits.
    """

    def __init__(self, address: str, connection: ConnectionConfig, group: str) -> None:
        self._address = address
        self._connection = connection
        self._options = ConsumerOptions(group, ())

    def read(self, partitions: Sequence[TopicPartition], timeout: float) -> list[Commit]:
        """See `Broker.committed`."""
        deadline = time.monotonic() + timeout
        with self._client() as client:
            while (found := client.stable(partitions)) is None:
                if time.monotonic() > deadline:
                    raise BrokerUnavailableError(
                        f"Kafka at {self._address} does not say what group {self._options.group!r} "
                        "has committed: is an open transaction of a process that died still to end?"
                    )
        return [
            Commit(TopicPartition(each.topic, each.partition), each.offset, each.metadata or "")
            for each in found
            if each.offset >= 0
        ]

    def write(self, commits: Sequence[Commit], timeout: float) -> None:
        """See `Broker.amend`."""
        offsets = commit_offsets(commits)
        with self._client() as client:
            try:
                answers = client.within(
                    timeout, lambda: client.commit(offsets=offsets, asynchronous=False)
                )
                sound(answers or [])
            except TimeoutError as error:
                raise BrokerUnavailableError(f"Kafka at {self._address}: {error}") from None
            except KafkaException as error:
                if error_of(error).code() in _HAS_MEMBERS:
                    raise GroupActiveError(self._options.group) from None
                raise

    @contextmanager
    def _client(self) -> Iterator[GroupClient]:
        watch = BrokerWatch(self._address, lambda: True)
        client = GroupClient(
            self._connection, self._options, watch.on_error, lambda error, partitions: None
        )
        try:
            yield client
        except KafkaException as error:
            raise client_error(self._address, "consumer_config", error, watch.reason) from None
        finally:
            client.close()
