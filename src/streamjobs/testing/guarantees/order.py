"""What is promised about the order of a key's records."""

from __future__ import annotations

from collections.abc import Callable

from streamjobs.broker.ports import TopicPartition
from streamjobs.testing.guarantees.base import Guarantee, concerns
from streamjobs.testing.guarantees.progress import Progress
from streamjobs.testing.history import (
    Assigned,
    Crashed,
    Event,
    Expired,
    Finished,
    Removed,
    Revoked,
    Revoking,
    Sent,
    Settled,
    Started,
)

__all__ = ("KeyOrder", "KeySerial")

Key = tuple[TopicPartition, str]


class KeyOrder(Guarantee):
    """If records a and b of one ordering key have offsets a < b, no attempt of b starts before
    a is settled (done, dead-lettered or discarded). After a crash a key may be replayed from its
    first unsettled record, never from later, and then in order again: when a starts, no later
    record of its key counts as complete already.

    Settled means: by the generation in which b starts (where its attempt has succeeded, the rest
    is only being written down), or before that generation began and committed; what another
    process did and could not commit does not count.
    """

    def __init__(self) -> None:
        super().__init__()
        self._records: dict[Key, list[int]] = {}
        self._removed: dict[TopicPartition, set[int]] = {}
        self._progress: dict[str, Progress] = {}
        self._passed: dict[tuple[str, str], int] = {}

    def judge(self, event: Event) -> None:
        match event:
            case Sent(partition=partition, offset=offset, order=str(order)):
                self._records.setdefault((partition, order), []).append(offset)
            case Removed(partition=partition, offset=offset):
                self._removed.setdefault(partition, set()).add(offset)
            case Assigned():
                self._progress[event.generation] = Progress(event.frontier, event.completed)
            case Settled() | Finished(error=None):
                self._progress[event.generation].settle(event.offset)
            case Started(order=str(order)):
                self._judge_start(event, order)

    def _judge_start(self, event: Started, order: str) -> None:
        """Records of the key that this generation is known to have passed are not looked at
        again, so that a long history is not quadratic.
        """
        progress = self._progress[event.generation]
        removed = self._removed.get(event.partition, set())
        records = self._records.get((event.partition, order), [])
        place = self._passed.get((event.generation, order), 0)
        while place < len(records) and records[place] < event.offset:
            earlier = records[place]
            if earlier not in progress and earlier not in removed:
                self.violated(
                    f"offset {event.offset} of key {order!r} started while offset {earlier} of "
                    f"the same key was not settled ({event.partition}, {event.member})",
                    concerns(event.partition, (earlier, event.offset)),
                )
                return
            place += 1
        self._passed[event.generation, order] = place
        later = next((each for each in records[place + 1 :] if each not in removed), None)
        self._judge_next(event, order, later)

    def _judge_next(self, event: Started, order: str, later: int | None) -> None:
        """The next record is enough to look at: had one after it been passed over, it would
        show when that one starts.
        """
        if later is not None and later in self._progress[event.generation]:
            self.violated(
                f"offset {event.offset} of key {order!r} started while the later offset "
                f"{later} of the same key was complete ({event.partition}, {event.member})",
                concerns(event.partition, (event.offset, later)),
            )


class KeySerial(Guarantee):
    """In one process two attempts of one ordering key never overlap, not even across a revoke
    and re-assign of the same partition. Across processes only when an attempt outlives the
    bounded revoke wait, or its process was frozen or lost its session. Once a process was told
    that a partition goes away, nothing of it starts there.

    Args:
        grace: seconds by which a start may come after that. On real threads one can be
            interrupted between the look whether its record may start and the first line of it;
            it is waited for as for one that had started before.
    """

    def __init__(self, *, grace: float = 0.0) -> None:
        super().__init__()
        self._grace = grace
        self._running: dict[Key, list[Started]] = {}
        self._owned: dict[str, set[str]] = {}
        self._told: dict[str, float] = {}
        self._over: set[str] = set()

    def judge(self, event: Event) -> None:
        match event:
            case Assigned(member=member, generation=generation):
                self._owned.setdefault(member, set()).add(generation)
            case Started():
                self._judge_start(event)
            case Finished():
                self._end(lambda started: _same_attempt(started, event))
            case Crashed(member=member):
                self._end(lambda started: started.member == member)
                self._over |= self._owned.pop(member, set())
            case Revoking(generation=generation) | Revoked(generation=generation):
                self._told.setdefault(generation, event.at)
                self._over.add(generation)
            case Expired(member=member):
                self._over |= self._owned.get(member, set())

    def _judge_start(self, event: Started) -> None:
        told = self._told.get(event.generation)
        if told is not None and event.at - told >= self._grace:
            self.violated(
                f"offset {event.offset} of {event.partition} started in {event.member} after it "
                "was told that the partition goes away",
                concerns(event.partition, (event.offset,)),
            )
        if event.order is None:
            return
        running = self._running.setdefault((event.partition, event.order), [])
        for other in running:
            self._judge_overlap(event, other)
        running.append(event)

    def _judge_overlap(self, event: Started, other: Started) -> None:
        if other.member == event.member:
            why = "in the same process"
        elif not {other.generation, event.generation} & self._over:
            why = f"in {other.member}, which still owned the partition"
        else:
            return
        self.violated(
            f"offset {event.offset} of key {event.order!r} started while offset {other.offset} "
            f"of the same key ran {why} ({event.partition})",
            concerns(event.partition, (other.offset, event.offset)),
        )

    def _end(self, ended: Callable[[Started], bool]) -> None:
        for key, running in list(self._running.items()):
            left = [started for started in running if not ended(started)]
            if left:
                self._running[key] = left
            else:
                del self._running[key]


def _same_attempt(started: Started, finished: Finished) -> bool:
    return (
        started.offset == finished.offset
        and started.partition == finished.partition
        and started.generation == finished.generation
    )
