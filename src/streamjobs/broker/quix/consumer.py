"""A member of a consumer group, over Quix's consumer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from streamjobs.broker.ports import (
    Assigned,
    Batch,
    Commit,
    CommitResult,
    Consumer,
    ConsumerOptions,
    Listener,
    TopicPartition,
)
from streamjobs.broker.quix.client import (
    ConnectionConfig,
    KafkaError,
    KafkaException,
    Message,
    Offset,
    logger,
)
from streamjobs.broker.quix.errors import (
    REFUSALS,
    client_error,
    error_of,
    text_of,
    unavailable,
)
from streamjobs.broker.quix.group_client import GroupClient, commit_offsets
from streamjobs.broker.quix.pending import PendingOffsets
from streamjobs.broker.quix.record import batches
from streamjobs.broker.quix.watch import BrokerWatch

__all__ = ("QuixConsumer",)

LOOK_EVERY: Final = 0.5
CLOSE_WITHIN: Final = 10.0
COMMIT_AGAIN: Final = 0.05

_REBALANCING: Final = (
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.STALE_MEMBER_EPOCH,
)


class QuixConsumer(Consumer):
    """Reads with its group's other members, cooperatively: what stays is never interrupted."""

    def __init__(
        self,
        address: str,
        connection: ConnectionConfig,
        options: ConsumerOptions,
        listener: Listener,
    ) -> None:
        self._address = address
        self._listener = listener
        self._client = GroupClient(connection, options, self._on_error, self._on_commit)
        self._watch = BrokerWatch(address, partial(self._client.answers, options.topics[0]))
        self._pending = PendingOffsets(connection, options.group, self._on_error)
        self._joined = self._closed = False
        self._eager = options.copartitioned and options.group_protocol == "classic"
        self._failure: BaseException | None = None
        self._starts: dict[TopicPartition, int] = {}  # of what is assigned
        self._moved = False  # a rebalance callback ran during this poll
        self._fresh: set[TopicPartition] = set()  # assigned during this poll
        self._taken: list[Message] = []  # by polls that were not to take any
        self._ends: dict[TopicPartition, int] = {}  # where a log ended, if nothing came since
        self._next_look = 0.0
        self._later: deque[Callable[[], None]] = deque()

    # -- reading -----------------------------------------------------------------------------

    def poll(self, limit: int, timeout: float) -> Sequence[Batch]:
        if self._failure is not None:
            raise self._failure
        self._watch.check()
        self._tell()
        self._moved = False
        self._fresh.clear()
        try:
            self._join()
            if settled := self._pending.known():
                self._hand_over(self._placed(settled))
            messages = self._take(limit, timeout) if limit else self._look()
            if self._moved:
                messages = self._trusted(messages)
                self._taken = self._trusted(self._taken)
        except KafkaException as error:
            raise client_error(self._address, "consumer_config", error) from None
        if self._ends or any(map(Message.error, messages)):
            messages = self._sound(messages)
        found = batches(messages)
        if not found:
            self._tell()
        return found

    def _on_error(self, error: Any) -> None:
        self._watch.on_error(error)

    def _join(self) -> None:
        if not self._joined:
            self._client.join(
                on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            self._joined = True

    def _take(self, limit: int, timeout: float) -> list[Any]:
        if self._taken:
            messages, self._taken = self._taken[:limit], self._taken[limit:]
            return messages
        return self._client.take(limit, timeout)

    def _look(self) -> list[Any]:
        """Keep the membership alive. Only a poll that may take something runs callbacks: so now
        and then take one message, for the next poll that wants any.
        """
        now = time.monotonic()
        if self._starts and now < self._next_look:
            self._client.consume(0, 0)
        else:
            self._next_look = now + LOOK_EVERY
            self._taken += self._client.consume(1, 0)
        return []

    def _trusted(self, messages: list[Any]) -> list[Any]:
        """Partitions moved during this poll: leave out what may be of before."""
        kept, again = [], set()
        for message in messages:
            place = TopicPartition(message.topic(), message.partition())
            if place in self._fresh:
                again.add(place)
            elif place in self._starts or message.error() is not None:
                kept.append(message)
        for place in again:
            self._read_from(place, self._starts[place])
        return kept

    def _sound(self, messages: list[Any]) -> list[Any]:
        """The records among them. The client counts the end of a log as a record that it has given
        out, where several come together; after a pause, and it pauses for each rebalance, it goes
        on one too far. What comes from behind the end is not taken before what is there.
        """
        records, passed = [], {}
        for message in messages:
            place = TopicPartition(message.topic(), message.partition())
            if message.error() is not None:
                self._note(place, message)
                continue
            end = self._ends.pop(place, None)
            if end is not None and message.offset() > end:
                passed[place] = end
            if place not in passed:
                records.append(message)
        for place, end in passed.items():
            self._read_from(place, end)
        return records

    def _note(self, place: TopicPartition, message: Any) -> None:
        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            self._ends[place] = message.offset()
            self._later.append(partial(self._tell_end, place))
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._later.append(partial(self._reset, place))
        else:
            self._watch.on_message(error)

    def _tell(self) -> None:
        """What is to be told after the records of the poll it belongs to."""
        while self._later:
            self._later.popleft()()

    def _tell_end(self, place: TopicPartition) -> None:
        if place in self._starts:
            self._listener.on_end(place)

    def _reset(self, place: TopicPartition) -> None:
        """The log has no such offset. Deleted by retention: go on behind the gap. Else the topic
        was made anew, and nothing that is known of the old one holds.
        """
        if place not in self._starts:
            return
        with self._guard():
            end = self._ends.pop(place, None)
            if end is not None:  # it was one too far, see `_sound`
                self._read_from(place, end)
                return
            position = self._client.position([Offset(*place)])[0].offset
            wanted = max(position, self._starts[place])
            origin = self._client.origin(place)
            logger.warning("%s has no offset %d: going on at %d", place, wanted, origin)
            if origin < wanted:
                self._listener.on_lost([place])
            self._starts[place] = origin
            self._read_from(place, origin)
            if origin < wanted:
                self._listener.on_assigned([Assigned(place, origin, "")])

    def pause(self, partition: TopicPartition) -> None:
        if partition in self._starts:
            self._client.pause([Offset(*partition)])

    def resume(self, partition: TopicPartition) -> None:
        if partition in self._starts:
            self._client.resume([Offset(*partition)])

    def rewind(self, partition: TopicPartition) -> Assigned | None:
        if partition not in self._starts:
            return None
        try:
            [assigned] = self._client.positions([partition])
            self._read_from(partition, assigned.offset)
        except KafkaException as error:
            raise unavailable(self._address, error, self._watch.reason) from None
        self._starts[partition] = assigned.offset
        return assigned

    # -- the group's decisions -----------------------------------------------------------------

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Nothing may be raised into librdkafka: the next poll raises it."""
        try:
            yield
        except KafkaException as error:
            self._failure = self._failure or unavailable(self._address, error, self._watch.reason)
        except BaseException as error:
            self._failure = self._failure or error

    def _on_assign(self, _client: Any, partitions: Sequence[Any]) -> None:
        self._moved = True
        with self._guard():
            places = _places(partitions)
            committed = self._client.stable(places)
            if committed is None:
                self._pending.add(places)
            self._hand_over(self._placed(committed or ()))

    def _placed(self, committed: Sequence[Any]) -> list[Assigned]:
        """Where they begin. A broker that went away just now is asked again later."""
        try:
            return self._client.placed(committed)
        except KafkaException as exception:
            error = error_of(exception)
            if error.code() in REFUSALS:
                raise
            self._watch.on_error(error)
            self._pending.add(_places(committed))
            return []

    def _hand_over(self, assigned: Sequence[Assigned]) -> None:
        """What is not assigned here, the client does not read; the group does not mind."""
        offsets = [Offset(*each.partition, each.offset) for each in assigned]
        if self._eager:
            self._client.assign([*self._positions(), *offsets])
        else:
            self._client.incremental_assign(offsets)
        if offsets:
            self._client.resume(offsets)  # a pause outlives its assignment
        self._starts.update({each.partition: each.offset for each in assigned})
        self._fresh.update(each.partition for each in assigned)
        self._listener.on_assigned(assigned)

    def _read_from(self, place: TopicPartition, offset: int) -> None:
        """Forget what is fetched of this partition and go on at the offset."""
        self._ends.pop(place, None)
        self._taken = [m for m in self._taken if (m.topic(), m.partition()) != place]
        if self._eager:
            others = [each for each in self._positions() if (each.topic, each.partition) != place]
            self._client.assign([*others, Offset(*place, offset)])
        else:
            self._client.read_from(place, offset)

    def _positions(self) -> list[Any]:
        """Where those are that were assigned before: a whole assignment replaces the last one."""
        positions = self._client.position([Offset(*place) for place in self._starts])
        return [
            Offset(*place, self._ends.get(place, max(at.offset, self._starts[place])))
            for at in positions
            for place in [TopicPartition(at.topic, at.partition)]
        ]

    def _on_revoke(self, _client: Any, partitions: Sequence[Any]) -> None:
        self._give_up(partitions, self._listener.on_revoked)

    def _on_lost(self, _client: Any, partitions: Sequence[Any]) -> None:
        self._give_up(partitions, self._listener.on_lost)

    def _give_up(
        self, partitions: Sequence[Any], tell: Callable[[Sequence[TopicPartition]], None]
    ) -> None:
        self._moved = True
        # The client was never given what is pending, and closes only when it has given up the rest.
        assigned = [place for place in _places(partitions) if place not in self._pending]
        self._pending.discard(_places(partitions))
        places = [place for place in assigned if place in self._starts]
        if places:
            with self._guard():
                tell(places)
        for place in places:
            del self._starts[place]
            self._ends.pop(place, None)
        self._fresh.difference_update(places)
        with self._guard():
            if self._eager:
                self._client.unassign()  # type: ignore[no-untyped-call]  # such a one takes all away
            else:
                self._client.incremental_unassign([Offset(*place) for place in assigned])

    # -- committing ----------------------------------------------------------------------------

    def commit(self, commits: Sequence[Commit]) -> None:
        if not commits:
            return
        try:
            self._client.commit(offsets=commit_offsets(commits), asynchronous=True)
        except KafkaException as error:
            result = CommitResult(commits, text_of(error_of(error)))
            self._later.append(partial(self._listener.on_committed, result))

    def _on_commit(self, error: Any, partitions: Sequence[Any]) -> None:
        if self._closed:
            return
        with self._guard():
            commits = [
                Commit(TopicPartition(p.topic, p.partition), p.offset, p.metadata or "")
                for p in partitions
            ]
            self._listener.on_committed(CommitResult(commits, _problem(error, partitions)))

    def commit_now(self, commits: Sequence[Commit], timeout: float) -> CommitResult:
        if not commits:
            return CommitResult(commits, None)
        offsets, deadline = commit_offsets(commits), time.monotonic() + timeout
        try:
            answers = self._client.within(timeout, lambda: self._commit_until(deadline, offsets))
        except KafkaException as error:
            return CommitResult(commits, text_of(error_of(error)))
        except (TimeoutError, RuntimeError) as error:
            return CommitResult(commits, str(error))
        return CommitResult(commits, _problem(None, answers or ()))

    def _commit_until(self, deadline: float, offsets: list[Any]) -> Any:
        """A rebalance refuses commits for a moment at its end: then once more. We still have our
        partitions, as long as no callback took them away.
        """
        while True:
            try:
                return self._client.commit(offsets=offsets, asynchronous=False)
            except KafkaException as error:
                over = time.monotonic() + COMMIT_AGAIN > deadline
                if over or error_of(error).code() not in _REBALANCING:
                    raise
            time.sleep(COMMIT_AGAIN)

    def group_metadata(self) -> object | None:
        return self._client.membership() if self._joined and not self._closed else None

    # -- leaving -------------------------------------------------------------------------------

    def close(self) -> None:
        if self._closed or not self._joined:
            self._closed = True
            return
        try:
            # Here and not in the callback: that one runs in the thread that closes the client.
            if self._starts:
                self._listener.on_revoked(list(self._starts))
        finally:
            self._closed = True
            self._starts.clear()
            self._leave()

    def _leave(self) -> None:
        try:
            self._client.within(CLOSE_WITHIN, self._client.close)
        except TimeoutError:
            logger.warning(
                "Kafka at %s does not answer: left without a word; the group gives our "
                "partitions away when its session timeout is over",
                self._address,
            )
        except (KafkaException, RuntimeError) as error:
            logger.warning("Kafka at %s: leaving the group failed: %s", self._address, error)


def _places(partitions: Sequence[Any]) -> list[TopicPartition]:
    return [TopicPartition(each.topic, each.partition) for each in partitions]


def _problem(error: Any, partitions: Sequence[Any]) -> str | None:
    for each in (error, *(partition.error for partition in partitions)):
        if each is not None:
            return text_of(each)
    return None
