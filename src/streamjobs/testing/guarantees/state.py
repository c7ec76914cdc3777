"""What is promised about state."""

from __future__ import annotations

from streamjobs.broker.ports import TopicPartition
from streamjobs.testing.guarantees.base import Guarantee
from streamjobs.testing.guarantees.counting import Ends
from streamjobs.testing.history import Checkpointed, Counts, Event, Sent, Stored

__all__ = ("StateMatchesProgress",)


class StateMatchesProgress(Guarantee):
    """State and progress always move together, whatever the guarantee: at every commit, as the
    broker has it, the state of each key counts exactly those of its records that are done and that
    the frontier or the completion map says are complete. None is counted twice, none is missing.

    And what is on a disk is never ahead of what is committed: brought to the end of its changelog,
    a store holds what the changelog says.

    It is about handlers that count the records of each key, as those of random scenarios do.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ends = Ends()
        self._last: dict[TopicPartition, Counts] = {}

    def judge(self, event: Event) -> None:
        self._ends.see(event)
        match event:
            case Checkpointed():
                self._last[event.partition] = event.counts
                self._judge_checkpoint(event)
            case Stored(partition=partition, machine=machine, counts=counts):
                committed = self._last.get(partition, ())
                if counts != committed:
                    key, is_, should = _first_difference(dict(counts), dict(committed))
                    self._report(
                        partition,
                        key,
                        f"on {machine} the state of key {key!r} counts {is_} records, and its "
                        f"changelog {should}",
                    )

    def _judge_checkpoint(self, event: Checkpointed) -> None:
        state, done = dict(event.counts), dict(self._ends.counted(event.partition))
        if state != done:
            key, is_, should = _first_difference(state, done)
            self._report(
                event.partition,
                key,
                f"{event.member} committed {event.partition} up to {event.frontier} with {is_} "
                f"records counted in the state of key {key!r}, of which {should} are complete",
            )

    def _report(self, partition: TopicPartition, key: str, claim: str) -> None:
        keys = self._ends.keys.get(partition, {})

        def about(event: Event) -> bool:
            if isinstance(event, Sent) or getattr(event, "partition", partition) != partition:
                return False
            offset = getattr(event, "offset", None)
            return offset is None or keys.get(offset) == key

        self.violated(claim, about)


def _first_difference(left: dict[str, int], right: dict[str, int]) -> tuple[str, int, int]:
    return next(
        (key, left.get(key, 0), right.get(key, 0))
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    )
