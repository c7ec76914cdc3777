"""What is promised on request."""

from __future__ import annotations

from collections import Counter

from streamjobs.broker.ports import TopicPartition
from streamjobs.testing.guarantees.base import Guarantee, concerns
from streamjobs.testing.guarantees.counting import Ends
from streamjobs.testing.history import Buried, Checkpointed, Delivered, Event

__all__ = ("ExactlyOnce",)

Place = tuple[TopicPartition, int]


class ExactlyOnce(Guarantee):
    """Output records and input progress commit together: who reads what is committed finds what
    each record emitted exactly once, if it is done and complete, and nothing of any other. Of a
    dead-lettered one there is exactly one letter, and none of any other.

    What the records of one ordering key emitted stands in their order. Where handlers count in
    state, each says which one of its key it was: 1, 2, 3, ... without gap or repetition.

    Check it when everything has come to rest. That the state is right, too, is what
    StateMatchesProgress says.

    Args:
        deliveries: whether the history tells what was delivered.
        counts: whether handlers count the records of each key in state.
    """

    def __init__(self, *, deliveries: bool = False, counts: bool = False) -> None:
        super().__init__()
        self._counts = counts
        self._deliveries = deliveries
        self._ends = Ends()
        self._outputs: dict[Place, list[Delivered]] = {}
        self._letters: Counter[Place] = Counter()
        self._checkpointed: dict[TopicPartition, None] = {}

    def judge(self, event: Event) -> None:
        self._ends.see(event)
        match event:
            case Delivered(partition=partition, offset=offset):
                outputs = self._outputs.setdefault((partition, offset), [])
                outputs.append(event)
                if len(outputs) > 1:
                    self._report(partition, offset, "can be read twice in the output")
            case Buried(partition=partition, offset=offset):
                self._letters[partition, offset] += 1
                if self._letters[partition, offset] > 1:
                    self._report(partition, offset, "has two letters that can be read")
            case Checkpointed(partition=partition):
                self._checkpointed[partition] = None

    def conclude(self) -> None:
        for partition in self._checkpointed:
            for offset in self._ends.keys.get(partition, ()):
                if complaint := self._complaint(partition, offset):
                    self._report(partition, offset, complaint)
                    return
            self._judge_order(partition)
            if self._counts:
                self._judge_numbers(partition)

    def _complaint(self, partition: TopicPartition, offset: int) -> str | None:
        how, emits = self._ends.of(partition).get(offset, ("not complete", 0))
        letters, expected = self._letters[partition, offset], int(how == "dead-lettered")
        if letters != expected:
            return f"is {how} and has {letters} letters"
        if not self._deliveries:
            return None
        outputs, wanted = len(self._outputs.get((partition, offset), ())), emits * (how == "done")
        return None if outputs == wanted else f"is {how} and has {outputs} outputs, not {wanted}"

    def _judge_order(self, partition: TopicPartition) -> None:
        """By where they stand in the log: transactions end in another order than they begin."""
        latest: dict[str, int] = {}
        mine = [each[0] for place, each in self._outputs.items() if place[0] == partition]
        for output in sorted(mine, key=lambda each: each.place):
            order = self._ends.orders.get(partition, {}).get(output.offset)
            if order is None:
                continue
            if latest.get(order, -1) > output.offset:
                later = latest[order]
                self._report(partition, output.offset, f"stands behind offset {later} of its key")
                return
            latest[order] = output.offset

    def _judge_numbers(self, partition: TopicPartition) -> None:
        numbers: Counter[str] = Counter()
        ends = self._ends.of(partition)
        for offset, key in self._ends.keys.get(partition, {}).items():
            if key is None or ends.get(offset, ("",))[0] != "done":
                continue
            numbers[key] += 1
            for output in self._outputs.get((partition, offset), ()):
                if output.number != numbers[key]:
                    self._report(
                        partition,
                        offset,
                        f"says it is number {output.number} of key {key!r}, and is {numbers[key]}",
                    )
                    return

    def _report(self, partition: TopicPartition, offset: int, what: str) -> None:
        self.violated(f"offset {offset} of {partition} {what}", concerns(partition, (offset,)))
