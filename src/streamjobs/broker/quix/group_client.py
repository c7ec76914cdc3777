"""Quix's consumer, set and bounded as a streamjobs worker needs it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from streamjobs.broker.ports import Assigned, Commit, ConsumerOptions, TopicPartition
from streamjobs.broker.quix.client import (
    OFFSET_BEGINNING,
    OFFSET_END,
    QUIET,
    BaseConsumer,
    ConnectionConfig,
    KafkaException,
    Offset,
)
from streamjobs.broker.quix.settings import consumer_settings, offset_reset

__all__ = ("GroupClient", "within")

ASK_WITHIN: Final = 15.0
"""Seconds for one question while partitions are assigned; more than the 10 s for which the
offsets of an open transaction may hold back an answer."""

PROBE_WITHIN: Final = 1.0

T = TypeVar("T")


class GroupClient(BaseConsumer):
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
        self._topics = list(options.topics)
        super().__init__(
            broker_address=connection,
            consumer_group=options.group,
            # We give every partition its offset. Where that one does not exist (any more), we
            # want to hear of it: librdkafka would go elsewhere in silence.
            auto_offset_reset="error",
            auto_commit_enable=False,
            logger=QUIET,  # type: ignore[arg-type]  # the client only calls its `log`
            error_callback=on_error,
            extra_config=consumer_settings(options),
        )
        self._consumer_config["on_commit"] = on_commit  # Quix's logs each failure as an error
        if options.group_protocol == "consumer":  # there the broker has the assignors
            del self._consumer_config["partition.assignment.strategy"]

    def join(self, **callbacks: Callable[[Any, Sequence[Any]], None]) -> None:
        """Make the client and subscribe; the first poll joins."""
        self._consumer.subscribe(self._topics, **callbacks)

    def answers(self) -> bool:
        """Does the broker answer? Waits up to a second."""
        try:
            self.list_topics(self._topics[0], timeout=PROBE_WITHIN)
        except KafkaException:
            return False
        return True

    def positions(self, partitions: Sequence[TopicPartition]) -> list[Assigned]:
        """Where the group has got to: what is committed, but never before the log's start.

        Raises:
            KafkaException: no answer, twice.
        """
        if not partitions:
            return []
        places = [Offset(*each) for each in partitions]
        committed = _ask(lambda: self.committed(places, timeout=ASK_WITHIN))
        starts = self._offsets(partitions, OFFSET_BEGINNING)
        known = [
            Assigned(TopicPartition(c.topic, c.partition), c.offset, c.metadata or "", c.offset)
            for c in committed
        ]
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
        asked = [Offset(*each, which) for each in partitions]
        found = _ask(lambda: self.offsets_for_times(asked, timeout=ASK_WITHIN))
        return {TopicPartition(each.topic, each.partition): each.offset for each in found}

    def read_from(self, partition: TopicPartition, offset: int) -> None:
        """Forget what is fetched of this partition and go on at the offset. (A `seek` fails while
        the partition is not being fetched yet.)
        """
        self.incremental_unassign([Offset(*partition)])
        self.incremental_assign([Offset(*partition, offset)])


def commit_offsets(commits: Iterable[Commit]) -> list[Any]:
    """Commits as the client takes them."""
    return [Offset(*each.partition, each.offset, each.metadata) for each in commits]


def _ask(question: Callable[[], list[Any]]) -> list[Any]:
    """Ask once more if there is no answer: a coordinator that moves needs a moment."""
    try:
        return _sound(question())
    except KafkaException:
        return _sound(question())


def _sound(answers: list[Any]) -> list[Any]:
    for each in answers:
        if each.error is not None:
            raise KafkaException(each.error)
    return answers


def within(seconds: float, call: Callable[[], T]) -> T:
    """Run a call that has no timeout of its own, and stop waiting for it after `seconds`.

    With a broker that is frozen, librdkafka's synchronous commit and its close wait for ever. The
    thread that waits is left behind; it keeps no process from ending.

    Raises:
        TimeoutError: it is still running.
    """
    outcome: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
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
