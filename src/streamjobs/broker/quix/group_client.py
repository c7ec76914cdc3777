"""The consumer of a group member: where its group has got to, and what it may wait for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from streamjobs.broker.ports import Assigned, Commit, ConsumerOptions, TopicPartition
from streamjobs.broker.quix.client import (
    OFFSET_BEGINNING,
    OFFSET_END,
    ConnectionConfig,
    KafkaException,
    Offset,
)
from streamjobs.broker.quix.errors import REFUSALS, error_of
from streamjobs.broker.quix.reading_client import ReadingClient, sound
from streamjobs.broker.quix.settings import consumer_settings, offset_reset

__all__ = ("GroupClient", "commit_offsets")

ASK_WITHIN: Final = 15.0
"""Seconds for one question about partitions that are ours."""

STABLE_WITHIN: Final = 0.5
"""Seconds for what is committed, while partitions are assigned and all others wait."""

T = TypeVar("T")


class GroupClient(ReadingClient):
    """A group member whose every question ends in bounded time.

    Its callbacks go to librdkafka as they are: Quix's wrappers raise, and an exception that leaves
    a rebalance callback makes `close` hang.
    """

    def __init__(
        self,
        connection: ConnectionConfig,
        options: ConsumerOptions,
        on_error: Callable[[Any], None],
        on_commit: Callable[[Any, Sequence[Any]], None],
    ) -> None:
        self._reset = offset_reset(options)
        self._waiting = threading.Lock()
        self._topics = list(options.topics)
        super().__init__(
            connection,
            options.group,
            # We give every partition its offset. Where that one does not exist (any more), we
            # want to hear of it: librdkafka would go elsewhere in silence.
            reset="error",
            settings=consumer_settings(options),
            on_error=on_error,
        )
        self._consumer_config["on_commit"] = on_commit  # Quix's logs each failure as an error
        if options.group_protocol == "consumer":  # there the broker has the assignors
            del self._consumer_config["partition.assignment.strategy"]

    def join(self, **callbacks: Callable[[Any, Sequence[Any]], None]) -> None:
        """Make the client and subscribe; the first poll joins."""
        self._consumer.subscribe(self._topics, **callbacks)

    def within(self, seconds: float, call: Callable[[], T]) -> T:
        """Run a call that has no timeout of its own, and stop waiting for it after `seconds`.

        With a broker that is frozen, librdkafka's synchronous commit and its close wait for ever.
        The thread that waits is left behind; it keeps no process from ending. The next call waits
        until it is done: to close a client that is being asked something ends the process.

        Raises:
            TimeoutError: it is still running, or waits for one that is.
        """
        outcome: queue.Queue[tuple[T | None, Exception | None]] = queue.Queue()

        def run() -> None:
            with self._waiting:
                try:
                    outcome.put((call(), None))
                except Exception as error:
                    outcome.put((None, error))

        threading.Thread(target=run, name="streamjobs-broker-call", daemon=True).start()
        try:
            result, error = outcome.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"no answer within {seconds:g} s") from None
        if error is not None:
            raise error
        return result  # type: ignore[return-value]  # None only where T is None

    def membership(self) -> object | None:
        """As whom this member commits in a transaction; None while it is none.

        The id is looked at last. A session that has ended leaves nothing of the id, and without
        one the broker would take commits from anybody; it is back only after callbacks said so.
        """
        metadata = self.consumer_group_metadata()
        return metadata if self.memberid() else None

    def positions(self, partitions: Sequence[TopicPartition]) -> list[Assigned]:
        """Where the group has got to: what is committed, but never before the log's start.

        Raises:
            KafkaException: no answer, twice.
        """
        return self.placed(_ask(lambda: self._committed(partitions, ASK_WITHIN)))

    def stable(self, partitions: Sequence[TopicPartition]) -> list[Any] | None:
        """What is committed, for `placed`; None without an answer in a moment, such as when an open
        transaction holds the offset of one of them.

        Raises:
            KafkaException: we are refused.
        """
        try:
            return sound(self._committed(partitions, STABLE_WITHIN))
        except KafkaException as error:
            if error_of(error).code() in REFUSALS:
                raise
            return None

    def _committed(self, partitions: Sequence[TopicPartition], timeout: float) -> list[Any]:
        if not partitions:
            return []
        places = [Offset(*each) for each in partitions]
        return self.committed(places, timeout=timeout)

    def placed(self, committed: Sequence[Any]) -> list[Assigned]:
        """As `positions`, where it is known what is committed.

        Raises:
            KafkaException: as `positions`.
        """
        known = [
            Assigned(TopicPartition(c.topic, c.partition), c.offset, c.metadata or "", c.offset)
            for c in committed
        ]
        starts = self._offsets([each.partition for each in known], OFFSET_BEGINNING)
        return [self._placed(each, starts[each.partition]) for each in known]

    def _placed(self, assigned: Assigned, start: int) -> Assigned:
        if assigned.offset < 0:
            return Assigned(assigned.partition, self.origin(assigned.partition), "")
        return assigned._replace(offset=max(assigned.offset, start))

    def origin(self, partition: TopicPartition) -> int:
        """Where a partition is read from that has no commit, as `auto.offset.reset` says."""
        end = OFFSET_BEGINNING if self._reset == "earliest" else OFFSET_END
        return self._offsets([partition], end)[partition]

    def _offsets(self, partitions: Sequence[TopicPartition], which: int) -> dict[Any, int]:
        """One request for all partitions: to ask for watermarks is two for each."""
        if not partitions:
            return {}
        asked = [Offset(*each, which) for each in partitions]
        found = _ask(lambda: self.offsets_for_times(asked, timeout=ASK_WITHIN))
        return {TopicPartition(each.topic, each.partition): each.offset for each in found}


def commit_offsets(commits: Iterable[Commit]) -> list[Any]:
    """Commits as the client takes them."""
    return [Offset(*each.partition, each.offset, each.metadata) for each in commits]


def _ask(question: Callable[[], list[Any]]) -> list[Any]:
    """Ask once more if there is no answer: a coordinator that moves needs a moment."""
    try:
        return sound(question())
    except KafkaException:
        return sound(question())
