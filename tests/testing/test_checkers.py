"""The checkers are checked: the real engine is broken on purpose, one way at a time, and the
guarantee that should notice does, within 200 seeds.
"""

import heapq
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from streamjobs.engine.generation import Generation
from streamjobs.engine.ledger import Frozen, Ledger
from streamjobs.engine.outbox import Outbox
from streamjobs.engine.owner import Owner
from streamjobs.engine.scheduler import Scheduler
from streamjobs.engine.slices import Slice
from streamjobs.engine.virtual_partition import VirtualPartition
from streamjobs.testing.guarantees import GuaranteeViolatedError
from streamjobs.testing.simulation import play

SEEDS = 200

Patch = Callable[[type, str, Any], None]


def swap_two_records_of_a_key(patch: Patch) -> None:
    original = VirtualPartition.push

    def push(self: VirtualPartition, order: Any, record: Any) -> None:
        original(self, order, record)
        line = self._lines.get(order, ())
        if len(line) == 2:
            line.reverse()  # type: ignore[union-attr]

    patch(VirtualPartition, "push", push)


def run_a_key_twice_at_once(patch: Patch) -> None:
    patch(VirtualPartition, "startable", property(lambda self: bool(self._lines)))


def drop_a_record(patch: Patch) -> None:
    original = Scheduler.accept

    def accept(self: Scheduler, generation: Generation, records: Any) -> None:
        original(self, generation, [each for each in records if each.offset % 17 != 11])

    patch(Scheduler, "accept", accept)


def commit_one_ahead(patch: Patch) -> None:
    original = Ledger.freeze

    def freeze(self: Ledger) -> Frozen:
        frontier, metadata = original(self)
        return Frozen(min(frontier + 1, self.next), metadata if frontier == self.next else "")

    patch(Ledger, "freeze", freeze)


def forget_the_map(patch: Patch) -> None:
    patch(Owner, "_completed", lambda self, assigned: ())


def read_the_map_against_a_moved_frontier(patch: Patch) -> None:
    original = Owner._completed

    def completed(self: Owner, assigned: Any) -> Any:
        return [(start - 1, length) for start, length in original(self, assigned)]

    patch(Owner, "_completed", completed)


def ignore_the_generation(patch: Patch) -> None:
    original = Scheduler.finish

    def finish(self: Scheduler, piece: Slice, now: float, keep: Any) -> None:
        current = self.generations.get(piece.generation.partition)
        if current is not None and current is not piece.generation:
            offsets = [each.offset for each in piece.records[: piece.progress]]
            mine = [each for each in offsets if not current.ledger.is_complete(each)]
            self.complete(current, [each for each in mine if each < current.ledger.next])
        original(self, piece, now, keep)

    patch(Scheduler, "finish", finish)


def park_the_whole_partition(patch: Patch) -> None:
    original = Scheduler._park

    def park(self: Scheduler, generation: Generation, lane: Any, order: Any, trouble: Any) -> None:
        original(self, generation, lane, order, trouble)
        for each in generation.virtual_partitions:
            for other in [*each._lines]:
                each.park(other)
                timer = (trouble.due, next(self._sequence), generation, each, other)
                heapq.heappush(self._timers, timer)

    patch(Scheduler, "_park", park)


def go_on_behind_a_failure(patch: Patch) -> None:
    patch(Slice, "_stands_behind_a_failure", lambda self, index: False)


def start_after_a_revocation(patch: Patch) -> None:
    def revoke(self: Generation) -> None:
        self.revoked = True

    patch(Generation, "revoke", revoke)


def take_no_heed_of_what_still_runs(patch: Patch) -> None:
    patch(Scheduler, "_fence", lambda self, generation, running: None)


def complete_before_the_acknowledgement(patch: Patch) -> None:
    def keep(self: Outbox, generation: Generation, order: Any, record: Any, effects: Any) -> None:
        for message in effects.emits if effects else ():
            self._producer.send(message, None)
        self._acknowledged(generation, record)

    patch(Outbox, "keep", keep)


def complete_ahead_of_what_is_not_acknowledged(patch: Patch) -> None:
    original = Scheduler._keep

    def keep(self: Scheduler, piece: Slice, stop: int, keep: Any) -> Any:
        waiting = piece.generation.unacknowledged
        piece.generation.unacknowledged = {}
        try:
            yield from original(self, piece, stop, keep)
        finally:
            for order, line in piece.generation.unacknowledged.items():
                waiting.setdefault(order, deque()).extend(line)
            piece.generation.unacknowledged = waiting

    patch(Scheduler, "_keep", keep)


@pytest.mark.parametrize(
    "break_it, guarantees",
    [
        (swap_two_records_of_a_key, {"KeyOrder"}),
        (run_a_key_twice_at_once, {"KeySerial"}),
        (drop_a_record, {"NoLoss"}),
        (commit_one_ahead, {"CommitNeverAhead"}),
        (forget_the_map, {"ReplayBounded"}),
        (read_the_map_against_a_moved_frontier, {"CommitNeverAhead"}),
        (ignore_the_generation, {"CommitNeverAhead"}),
        (park_the_whole_partition, {"OnlyFailingKeyWaits"}),
        (go_on_behind_a_failure, {"KeyOrder"}),
        (start_after_a_revocation, {"KeySerial"}),
        (take_no_heed_of_what_still_runs, {"KeySerial"}),
        (complete_before_the_acknowledgement, {"CommitNeverAhead", "NoLoss"}),
        (complete_ahead_of_what_is_not_acknowledged, {"KeyOrder"}),
    ],
)
def test_a_broken_engine_is_caught(
    break_it: Callable[[Patch], None], guarantees: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(monkeypatch.setattr)

    missing = set(guarantees)
    for seed in range(SEEDS):
        missing -= violated_by(seed)
        if not missing:
            return
    pytest.fail(f"{missing} did not notice in {SEEDS} seeds")


def violated_by(seed: int) -> set[str]:
    violated = set()
    for guarantee in play(Random(seed)).guarantees:
        try:
            guarantee.check()
        except GuaranteeViolatedError:
            violated.add(guarantee.name)
    return violated
