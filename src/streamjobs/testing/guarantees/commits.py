"""What is promised about commits, and about what runs again after them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streamjobs.broker.ports import TopicPartition
from streamjobs.testing.guarantees.base import Guarantee, concerns
from streamjobs.testing.guarantees.progress import Progress
from streamjobs.testing.history import (
    Assigned,
    Buried,
    Checkpointed,
    Committed,
    Delivered,
    Event,
    Finished,
    Removed,
    Sent,
    Settled,
    Started,
)

__all__ = ("CommitNeverAhead", "ReplayBounded", "covers")


class CommitNeverAhead(Guarantee):
    """An offset counts as complete only when its effects are acknowledged by the broker: what is
    committed, as the frontier or in the completion map, was settled by the generation that
    committed it or committed before it began; what it emitted is in the log, and so is its dead
    letter where it has one. And what a generation begins with as complete was settled by somebody.

    Args:
        deliveries: whether the history tells what was delivered; then settled alone is not
            enough for a record that emitted.
        letters: whether it tells which dead letters were written; then settled alone is not
            enough for a record that is dead-lettered.
    """

    def __init__(self, *, deliveries: bool = False, letters: bool = False) -> None:
        super().__init__()
        self._deliveries = deliveries
        self._letters = letters
        self._buried: dict[TopicPartition, set[int]] = {}
        self._emitted: dict[str, set[int]] = {}
        self._sent: dict[TopicPartition, list[int]] = {}
        self._removed: dict[TopicPartition, set[int]] = {}
        self._succeeded: dict[str, set[int]] = {}
        self._given_up: dict[str, dict[int, str]] = {}
        self._delivered: dict[TopicPartition, set[int]] = {}
        self._progress: dict[str, Progress] = {}
        self._settled: dict[TopicPartition, set[int]] = {}
        self._judged: dict[str, set[int]] = {}

    def judge(self, event: Event) -> None:
        match event:
            case Sent():
                self._sent.setdefault(event.partition, []).append(event.offset)
            case Removed():
                self._removed.setdefault(event.partition, set()).add(event.offset)
            case Assigned():
                self._progress[event.generation] = Progress(event.frontier, event.completed)
                self._judge_start(event)
            case Finished(error=None):
                self._succeeded.setdefault(event.generation, set()).add(event.offset)
                if event.emits:
                    self._emitted.setdefault(event.generation, set()).add(event.offset)
            case Delivered():
                self._delivered.setdefault(event.partition, set()).add(event.offset)
            case Buried():
                self._buried.setdefault(event.partition, set()).add(event.offset)
            case Settled():
                self._settle(event)
            case Committed():
                self._judge_commit(event)

    def _settle(self, event: Settled) -> None:
        self._progress[event.generation].settle(event.offset)
        self._settled.setdefault(event.partition, set()).add(event.offset)
        if event.how != "done":
            self._given_up.setdefault(event.generation, {})[event.offset] = event.how

    def _judge_start(self, event: Assigned) -> None:
        settled = self._settled.get(event.partition, set())
        removed = self._removed.get(event.partition, set())
        for offset in _covered(event, self._sent.get(event.partition, ())):
            if offset not in settled and offset not in removed:
                self.violated(
                    f"{event.member} began {event.partition} with offset {offset} as complete, "
                    "which nobody had settled",
                    concerns(event.partition, (offset,)),
                )
                return

    def _judge_commit(self, event: Committed) -> None:
        judged = self._judged.setdefault(event.generation, set())
        unjudged = [each for each in self._sent.get(event.partition, ()) if each not in judged]
        for offset in _covered(event, unjudged):
            judged.add(offset)
            if offset in self._removed.get(event.partition, ()):
                continue
            missing = self._missing(event, offset)
            if missing:
                self.violated(
                    f"{event.member} committed {event.partition} up to {event.frontier} with "
                    f"offset {offset} complete, which {missing}",
                    concerns(event.partition, (offset,)),
                )
                return

    def _missing(self, event: Committed, offset: int) -> str | None:
        progress = self._progress[event.generation]
        if progress.began_with(offset):
            return None
        if offset not in progress.settled:
            return "its generation had not settled"
        given_up = self._given_up.get(event.generation, {}).get(offset)
        if given_up is not None:
            buried = given_up != "dead-lettered" or offset in self._buried.get(event.partition, ())
            return None if buried or not self._letters else "had no dead letter in the log"
        if offset not in self._succeeded.get(event.generation, ()):
            return "no attempt of its generation had brought to success"
        emitted = offset in self._emitted.get(event.generation, ())
        if self._deliveries and emitted and offset not in self._delivered.get(event.partition, ()):
            return "had emitted something that was not in the log"
        return None


class ReplayBounded(Guarantee):
    """Replay is bounded by the records in flight plus those completed since the last commit,
    however slow the slowest is: what an acknowledged commit covers, in its frontier or in its
    completion map, does not run again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._committed: dict[TopicPartition, Committed] = {}
        self._at_start: dict[str, Committed] = {}
        self._settled: dict[TopicPartition, set[int]] = {}
        self.replayed = 0
        """Records that ran again although they had been settled before."""

    def judge(self, event: Event) -> None:
        match event:
            case Committed():
                self._committed[event.partition] = event
            case Assigned():
                if event.partition in self._committed:
                    self._at_start[event.generation] = self._committed[event.partition]
            case Settled():
                self._settled.setdefault(event.partition, set()).add(event.offset)
            case Started():
                self._judge_start(event)

    def _judge_start(self, event: Started) -> None:
        if event.attempt == 1 and event.offset in self._settled.get(event.partition, ()):
            self.replayed += 1
        committed = self._at_start.get(event.generation)
        if committed is not None and list(_covered(committed, (event.offset,))):
            self.violated(
                f"offset {event.offset} of {event.partition} ran again in {event.member}, though "
                f"{committed.member} had committed it as complete",
                concerns(event.partition, (event.offset,)),
            )


def covers(commit: Committed | Assigned | Checkpointed, offset: int) -> bool:
    """Whether a commit, or a start, says that an offset is complete."""
    if offset < commit.frontier:
        return True
    return any(start <= offset < start + length for start, length in commit.completed)


def _covered(commit: Committed | Assigned, offsets: Iterable[int]) -> Iterator[int]:
    """Those offsets that a commit, or a start, says are complete."""
    return (offset for offset in offsets if covers(commit, offset))
