"""What is promised about who waits for whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from streamjobs.broker.ports import TopicPartition
from streamjobs.testing.guarantees.base import Guarantee
from streamjobs.testing.history import (
    Accepted,
    Crashed,
    Event,
    Expired,
    Finished,
    Frozen,
    Jumped,
    Restored,
    Revoked,
    Revoking,
    Settled,
    Started,
    Suspected,
)

__all__ = ("OnlyFailingKeyWaits",)


RUNS: Final = float("inf")


@dataclass(slots=True)
class _Lane:
    """One virtual partition of one generation: since when it has nothing to do, and what waits
    in it, by order.
    """

    free_since: float
    waiting: dict[str, dict[int, float]] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)


class OnlyFailingKeyWaits(Guarantee):
    """A failing key holds back itself only. Other keys of its virtual partition, partition and
    topic go on: a record whose key has neither failed nor runs (under whichever assignment)
    starts within a moment after its virtual partition is free. A key has failed from the attempt
    that did until its record is settled: so it goes on within a moment after that, too.

    Args:
        within: that moment, in seconds. Workers have to be plenty for it to mean anything.
    """

    def __init__(self, within: float = 2.0) -> None:
        super().__init__()
        self._within = within
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._place: dict[tuple[str, int], tuple[int, str]] = {}
        self._failing: dict[tuple[str, str], int] = {}
        self._keys: dict[tuple[str, TopicPartition, str], float] = {}
        self._partitions: dict[str, TopicPartition] = {}
        self._suspecting: set[str] = set()
        self._restored: set[tuple[str, int]] = set()
        self._latest = 0.0
        self._jumped = 0.0

    def judge(self, event: Event) -> None:
        if isinstance(event, Jumped):
            self._jumped += event.seconds
        self._latest = event.at - self._jumped
        match event:
            case Accepted():
                self._accept(event)
            case Restored(generation=generation, offset=offset):
                self._restored.add((generation, offset))
            case Started():
                self._start(event)
            case Finished():
                self._finish(event)
            case Settled():
                self._settle(event)
            case Revoked(generation=generation) | Revoking(generation=generation):
                self._forget(generation)
            case Suspected(member=member):
                self._suspecting.add(member)
                self._forget_all(member)
            case Crashed(member=member) | Expired(member=member) | Frozen(member=member):
                self._forget_all(member)

    def conclude(self) -> None:
        for (generation, number), lane in self._lanes.items():
            if lane.running:
                continue
            for order, offsets in lane.waiting.items():
                if (generation, order) not in self._failing and offsets:
                    offset, since = next(iter(offsets.items()))
                    self._judge_wait(generation, number, offset, order, since)

    def _accept(self, event: Accepted) -> None:
        if event.member in self._suspecting:
            return
        for offset, order, number in event.records:
            lane = self._lanes.setdefault((event.generation, number), _Lane(self._latest))
            self._partitions[event.generation] = event.partition
            key = order if order is not None else f"#{offset}"
            self._place[event.generation, offset] = number, key
            lane.waiting.setdefault(key, {})[offset] = self._latest
            if (event.generation, offset) in self._restored:
                self._failing[event.generation, key] = offset

    def _start(self, event: Started) -> None:
        place = self._place.get((event.generation, event.offset))
        if place is None or (event.generation, place[0]) not in self._lanes:
            return
        number, order = place
        lane = self._lanes[event.generation, number]
        since = lane.waiting.get(order, {}).pop(event.offset, None)
        if not lane.waiting.get(order):
            lane.waiting.pop(order, None)
        if since is not None and (event.generation, order) not in self._failing:
            self._judge_wait(event.generation, number, event.offset, order, since)
        lane.running.add(event.offset)
        self._keys[event.member, event.partition, order] = RUNS

    def _finish(self, event: Finished) -> None:
        number, order = self._place.get((event.generation, event.offset), (0, ""))
        self._keys[event.member, event.partition, order] = self._latest
        lane = self._lanes.get((event.generation, number))
        if lane is None:
            return
        lane.running.discard(event.offset)
        lane.free_since = self._latest
        if event.error is not None:
            self._failing[event.generation, order] = event.offset
            lane.waiting.setdefault(order, {})[event.offset] = self._latest

    def _settle(self, event: Settled) -> None:
        """A record that is given up (maybe without an attempt) starts no more, and its key is free
        from now on: it may have waited for a dead letter's acknowledgement.
        """
        place = self._place.get((event.generation, event.offset))
        if place is None:
            return
        number, order = place
        if self._failing.get((event.generation, order)) == event.offset:
            del self._failing[event.generation, order]
        if event.how != "done":
            self._keys[event.member, event.partition, order] = self._latest
            lane = self._lanes.get((event.generation, number))
            if lane is not None and order in lane.waiting:
                lane.waiting[order].pop(event.offset, None)

    def _judge_wait(
        self, generation: str, number: int, offset: int, order: str, since: float
    ) -> None:
        lane = self._lanes[generation, number]
        waited = self._latest - max(since, lane.free_since, self._free(generation, order))
        if waited <= self._within:
            return
        failing = sorted(each for owner, each in self._failing if owner == generation)
        self.violated(
            f"offset {offset} of key {order!r} waited {waited:.1f} s in the idle virtual "
            f"partition {number} while keys {failing} were failing",
            lambda event: (
                getattr(event, "generation", None) == generation and not isinstance(event, Accepted)
            ),
        )

    def _free(self, generation: str, order: str) -> float:
        """Since when no attempt of this key runs in the process, also under an assignment that
        is over; RUNS while one does.
        """
        member = generation.rpartition("/")[0]
        partition = self._partitions[generation]
        return self._keys.get((member, partition, order), float("-inf"))

    def _forget_all(self, member: str) -> None:
        for generation in {each for each, _ in self._lanes}:
            if generation.startswith(f"{member}/"):
                self._forget(generation)

    def _forget(self, generation: str) -> None:
        for key in [key for key in self._lanes if key[0] == generation]:
            del self._lanes[key]
