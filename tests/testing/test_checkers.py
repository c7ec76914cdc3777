"""The checkers are checked: the real engine is broken on purpose, one way at a time, and the
guarantee that should notice does, within 200 seeds.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from random import Random
from typing import Any

import pytest

from streamjobs.broker.ports import Delivery, Message
from streamjobs.engine import checkpoint
from streamjobs.engine.checkpoint import Checkpoint
from streamjobs.engine.checkpoints import Checkpoints
from streamjobs.engine.generation import Generation
from streamjobs.engine.ledger import Ledger, Progress
from streamjobs.engine.notes import Notes
from streamjobs.engine.outbox import Outbox
from streamjobs.engine.owner import Owner
from streamjobs.engine.scheduler import Scheduler
from streamjobs.engine.slices import Slice
from streamjobs.engine.snapshot import Snapshot
from streamjobs.engine.succession import Succession
from streamjobs.engine.transaction import Transaction
from streamjobs.engine.troubles import Burial, Troubles
from streamjobs.engine.virtual_partition import VirtualPartition
from streamjobs.errors import LostCauseError, TransactionError
from streamjobs.state import keeper
from streamjobs.state.cache import Cut, WriteBackCache
from streamjobs.state.keeper import StateKeeper
from streamjobs.testing.guarantees import GuaranteeViolatedError
from streamjobs.testing.simulation import play
from streamjobs.testing.simulation.injector import TRANSACTION_FAULTS
from streamjobs.testing.simulation.scenario import random_scenario

SEEDS = 200

DEAD_PARTITIONS = 2
"""Where there are fewer, a letter for the second one is refused; there are more in most."""

KINDS = ("state", "exactly-once with state", "exactly-once with state")
with_transactions = partial(random_scenario, kinds=KINDS)

AIMED = TRANSACTION_FAULTS | {
    "answers-held", "bounce", "commit-refused", "crash", "error", "freeze", "join", "leave",
    "rebalance", "send-refused", "slow",
}  # fmt: skip

FELL_OVER = "the engine notices"

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

    def accept(self: Scheduler, generation: Generation, records: Any, *more: Any) -> None:
        original(self, generation, [each for each in records if each.offset % 17 != 11], *more)

    patch(Scheduler, "accept", accept)


def commit_one_ahead(patch: Patch) -> None:
    original = Ledger.progress

    def progress(self: Ledger) -> Progress:
        frontier, runs = original(self)
        return Progress(min(frontier + 1, self.next), runs if frontier == self.next else ())

    patch(Ledger, "progress", progress)


def forget_the_map(patch: Patch) -> None:
    patch(Succession, "read", lambda self, assigned: ((), Notes()))


def read_the_map_against_a_moved_frontier(patch: Patch) -> None:
    original = Succession.read

    def read(self: Succession, assigned: Any) -> Any:
        runs, notes = original(self, assigned)
        return [(start - 1, length) for start, length in runs], notes

    patch(Succession, "read", read)


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
    original = Troubles.park

    def park(self: Troubles, generation: Generation, lane: Any, order: Any, trouble: Any) -> None:
        original(self, generation, lane, order, trouble)
        if trouble.due == float("inf"):
            return  # nobody would wake them
        for each in generation.virtual_partitions:
            for other in [*each._lines]:
                each.park(other)
                self._wait(trouble.due + 60, generation, each, other)

    patch(Troubles, "park", park)


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
        self._acknowledged(generation, [record.offset])

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


# Dead letters.


def complete_before_the_letter_is_acknowledged(patch: Patch) -> None:
    def bury(self: Outbox, burial: Burial, answered: Any) -> None:
        self._producer.send(burial.letter, None)
        answered(burial, Delivery(burial.letter.topic, 0, 0))

    patch(Outbox, "bury", bury)


def bury_twice(patch: Patch) -> None:
    original = Outbox.bury

    def bury(self: Outbox, burial: Burial, answered: Any) -> None:
        self._producer.send(burial.letter, None)
        original(self, burial, answered)

    patch(Outbox, "bury", bury)


def drop_the_record_in_place_of_burying_it(patch: Patch) -> None:
    def bury(self: Outbox, burial: Burial, answered: Any) -> None:
        answered(burial, Delivery(burial.letter.topic, 0, 0))

    patch(Outbox, "bury", bury)


def bury_never(patch: Patch) -> None:
    patch(Outbox, "bury", lambda self, burial, answered: None)


def give_up_letters_that_are_refused(patch: Patch) -> None:
    def unburied(self: Scheduler, burial: Burial, reason: str, now: float) -> None:
        if self.is_current(burial.generation):
            burial.generation.troubles[burial.order].letter = None
            self._unpark(burial.generation, burial.lane, burial.order)

    patch(Scheduler, "unburied", unburied)


def change(change_it: Callable[[Message], Message]) -> Callable[[Patch], None]:
    """Another letter than the right one is sent."""

    def break_it(patch: Patch) -> None:
        original = Outbox.bury

        def bury(self: Outbox, burial: Burial, answered: Any) -> None:
            original(self, burial._replace(letter=change_it(burial.letter)), answered)

        patch(Outbox, "bury", bury)

    return break_it


turn = count()
lose_a_header = change(lambda letter: letter._replace(headers=letter.headers[1:]))
add_a_header = change(lambda letter: letter._replace(headers=[*letter.headers, ("x", b"1")]))
lose_the_key = change(lambda letter: letter._replace(key=letter.key or b"none"))
decode_the_value = change(lambda letter: letter._replace(value=repr(letter.value).encode()))
spread_letters = change(lambda letter: letter._replace(partition=next(turn) % DEAD_PARTITIONS))


def let_the_next_of_the_key_run_meanwhile(patch: Patch) -> None:
    park = Troubles.park

    def park_the_record_only(
        self: Troubles, generation: Generation, lane: Any, order: Any, trouble: Any
    ) -> None:
        park(self, generation, lane, order, trouble)
        if trouble.letter is not None and len(lane._parked[order]) > 1:
            burial = self._burials[-1]
            alone = lane._parked[order][:1]
            lane._parked[order] = lane._parked[order][1:]
            lane.wake(order)
            generation.troubles.pop(order)
            self._burials[-1] = burial._replace(order=alone[0])
            generation.troubles[alone[0]] = trouble
            lane._parked[alone[0]] = alone

    patch(Troubles, "park", park_the_record_only)


def bury_what_a_generation_that_is_over_found_out(patch: Patch) -> None:
    original = Scheduler.finish

    def finish(self: Scheduler, piece: Slice, now: float, keep: Any) -> None:
        if not self.is_current(piece.generation):
            for index in piece.failures:
                trouble = self._judge(piece, index, now)
                if trouble is not None and trouble.letter is not None:
                    place = piece.generation, piece.lane, piece.orders[index]
                    self.troubles._burials.append(Burial(*place, trouble.letter))
        original(self, piece, now, keep)

    patch(Scheduler, "finish", finish)
    patch(Owner, "_bury", bury_whoever_it_is_from)


def send_letters_again_for_a_partition_that_is_lost(patch: Patch) -> None:
    patch(Owner, "_bury", bury_whoever_it_is_from)
    patch(Troubles, "forget", lambda self, generation: None)


def bury_whoever_it_is_from(self: Owner) -> None:
    for burial in self.scheduler.troubles.take_burials():
        self._outbox.bury(burial, self._buried)


def bury_the_later_one_first(patch: Patch) -> None:
    original = Scheduler._settle_troubled

    def settle(self: Scheduler, piece: Slice, now: float, keep: Any) -> None:
        """A whole slice is judged as if its records had no order."""
        orders = piece.orders
        records = piece.records
        for index in range(len(records) - 1, piece.merged - 1, -1):
            if index in piece.skipped and isinstance(piece.failures.get(index - 1), LostCauseError):
                failed = self.troubles.failure(piece, index - 1, 0)
                failure = replace(failed, record=records[index])
                trouble = self.troubles.judge(piece.generation, orders[index], failure, now)
                if trouble is not None and trouble.letter is not None:
                    self.troubles._burials.append(
                        Burial(piece.generation, piece.lane, records[index], trouble.letter)
                    )
        original(self, piece, now, keep)

    patch(Scheduler, "_settle_troubled", settle)
    patch(Scheduler, "buried", buried_if_known)
    patch(Scheduler, "unburied", lambda self, burial, reason, now: None)


_buried = Scheduler.buried


def buried_if_known(self: Scheduler, burial: Burial, *more: Any) -> None:
    if burial.order in burial.generation.troubles:
        _buried(self, burial, *more)


def settle_a_burial_twice(patch: Patch) -> None:
    original = Scheduler.buried

    def buried(self: Scheduler, burial: Burial, *more: Any) -> None:
        record = burial.lane.head(burial.order) if self.is_current(burial.generation) else None
        original(self, burial, *more)
        if record is not None:
            self._events.discarded(burial.generation, record, LostCauseError("once more"))

    patch(Scheduler, "buried", buried)


def block_and_forget(patch: Patch) -> None:
    original = Troubles.judge

    def judge(self: Troubles, generation: Generation, order: Any, failure: Any, now: float) -> Any:
        trouble = original(self, generation, order, failure, now)
        if trouble is not None and trouble.letter is None and trouble.attempts > 1:
            trouble.due = float("inf")  # a record that was to be attempted again never is
        return trouble

    patch(Troubles, "judge", judge)


# State and exactly once.


def commit_state_and_progress_in_two_transactions(patch: Patch) -> None:
    original = Transaction.commit

    def commit(self: Transaction, commits: Any, group: Any) -> None:
        if self.begun:
            original(self, [], None)
        original(self, commits, group)

    patch(Transaction, "commit", commit)


def commit_progress_and_then_state(patch: Patch) -> None:
    original, last = Checkpoint._records, dict[int, Any]()

    def records(self: Checkpoint) -> Any:
        taken, late = self._taken, last.pop(id(self), [])
        last[id(self)] = taken
        self._taken = [each for each in late if each.generation.stores]
        written = list(original(self))
        self._taken = taken
        return iter(written)

    patch(Checkpoint, "_records", records)


def take_the_progress_before_the_changes(patch: Patch) -> None:
    original, last = checkpoint._snapshots, dict[Generation, Snapshot]()

    def snapshots(generations: Any, ending: Any) -> Any:
        now = original(generations, ending)
        before = {each: last.get(each, now[each]) for each in now}
        last.update(now)
        return before

    patch(checkpoint, "_snapshots", snapshots)


def take_the_progress_after_the_changes(patch: Patch) -> None:
    """With what was merged while the changelog records were written."""
    original = Checkpoint._commit

    def commit(self: Checkpoint, group: Any) -> Any:
        self._snapshots = {each: each.snapshot() for each in self._snapshots}
        return original(self, group)

    patch(Checkpoint, "_commit", commit)


def emit_into_the_transaction_after_its_cut(patch: Patch) -> None:
    patch(Outbox, "hold", lambda self: None)


def take_the_changes_before_the_progress(patch: Patch) -> None:
    def take(self: WriteBackCache) -> Cut:
        """What was merged before the last call."""
        late, self.late = getattr(self, "late", Cut()), self._dirty  # type: ignore[attr-defined]
        self._cuts = (*self._cuts, late)
        self._dirty = Cut()
        self._dirty.changes.update(self.late.changes)  # type: ignore[attr-defined]
        return late

    patch(WriteBackCache, "take", take)


def keep_what_was_merged_before_an_abort(patch: Patch) -> None:
    caches: dict[int, tuple[Any, WriteBackCache]] = {}

    def cache_of(store: Any) -> WriteBackCache:
        kept = caches.get(id(store))
        if kept is None or kept[0] is not store:
            kept = caches[id(store)] = store, WriteBackCache(store)
        return kept[1]

    def drop(self: WriteBackCache) -> None:
        for cut in self._cuts:
            self._dirty.changes = {**cut.changes, **self._dirty.changes}
        self._cuts = ()

    patch(keeper, "WriteBackCache", cache_of)
    patch(WriteBackCache, "drop", drop)


def flush_before_the_commit(patch: Patch) -> None:
    original = Checkpoint._commit

    def commit(self: Checkpoint, group: Any) -> Any:
        for generation, store, cache, cut in self._taken:
            cache.store.write(cut.changes, self._answers.offsets.get((generation, store)))
        return original(self, group)

    patch(Checkpoint, "_commit", commit)


def commit_as_whoever_it_is_by_then(patch: Patch) -> None:
    attach, commit = Owner.attach, Transaction.commit
    consumers: dict[int, Any] = {}

    def remember(self: Owner, consumer: Any) -> None:
        attach(self, consumer)
        if isinstance(self._commits, Checkpoints):
            consumers[id(self._commits._checkpoint.transaction)] = consumer

    def commit_as_of_now(self: Transaction, commits: Any, group: Any) -> None:
        commit(self, commits, consumers[id(self)].group_metadata())

    patch(Owner, "attach", remember)
    patch(Transaction, "commit", commit_as_of_now)


def do_not_wait_for_what_was_emitted(patch: Patch) -> None:
    def cut(self: Checkpoints, now: float) -> None:
        self._scheduler.harvest_all(self._outbox.keep)
        self._due.begin(now)
        self._cut()
        self.go_on()

    patch(Checkpoints, "_cut_when_acknowledged", cut)


def commit_the_frontier_alone(patch: Patch) -> None:
    original = Ledger.progress
    patch(Ledger, "progress", lambda self: original(self)._replace(runs=()))


def leave_the_stores_of_a_lost_partition_open(patch: Patch) -> None:
    patch(StateKeeper, "leave", lambda self, partition: None)


def take_an_unknown_commit_for_none(patch: Patch) -> None:
    """And go on from there, in place of reading what became of it."""
    original = Checkpoint._commit

    def commit(self: Checkpoint, group: Any) -> Any:
        try:
            return original(self, group)
        except TransactionError:
            for generation in self._snapshots:
                generation.dirty = True
            for _, _, cache, cut in self._taken:
                cache._dirty.changes = {**cut.changes, **cache._dirty.changes}
                cache._cuts = ()
            self._taken = []
            self.transaction.abort()
            return {}

    patch(Checkpoint, "_commit", commit)


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
        (
            complete_before_the_letter_is_acknowledged,
            {"EveryRecordSettledOnce", "CommitNeverAhead"},
        ),
        (bury_twice, {"EveryRecordSettledOnce"}),
        (drop_the_record_in_place_of_burying_it, {"EveryRecordSettledOnce", "CommitNeverAhead"}),
        (bury_never, {"NoLoss"}),
        (give_up_letters_that_are_refused, {"EveryRecordSettledOnce"}),
        (lose_a_header, {"DeadLetterKeepsOrder"}),
        (add_a_header, {"DeadLetterKeepsOrder"}),
        (lose_the_key, {"DeadLetterKeepsOrder"}),
        (decode_the_value, {"DeadLetterKeepsOrder"}),
        (spread_letters, {"DeadLetterKeepsOrder"}),
        (let_the_next_of_the_key_run_meanwhile, {"KeyOrder"}),
        (bury_what_a_generation_that_is_over_found_out, {"DeadLetterKeepsOrder"}),
        (send_letters_again_for_a_partition_that_is_lost, {"DeadLetterKeepsOrder"}),
        (bury_the_later_one_first, {"DeadLetterKeepsOrder"}),
        (settle_a_burial_twice, {"EveryRecordSettledOnce"}),
        (block_and_forget, {"NoLoss"}),
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


@pytest.mark.parametrize(
    "break_it, guarantees",
    [
        (commit_state_and_progress_in_two_transactions, {"StateMatchesProgress", "ExactlyOnce"}),
        (commit_progress_and_then_state, {"StateMatchesProgress"}),
        (take_the_progress_before_the_changes, {"StateMatchesProgress", "ExactlyOnce"}),
        (take_the_progress_after_the_changes, {"StateMatchesProgress", "ExactlyOnce"}),
        (take_the_changes_before_the_progress, {"StateMatchesProgress"}),
        (emit_into_the_transaction_after_its_cut, {"ExactlyOnce"}),
        (keep_what_was_merged_before_an_abort, {"StateMatchesProgress", "ExactlyOnce"}),
        (flush_before_the_commit, {"StateMatchesProgress", "ExactlyOnce"}),
        (commit_as_whoever_it_is_by_then, {"StateMatchesProgress", "ExactlyOnce"}),
        (do_not_wait_for_what_was_emitted, {"StateMatchesProgress"}),
        (commit_the_frontier_alone, {"StateMatchesProgress", "ExactlyOnce"}),
        (forget_the_map, {"StateMatchesProgress", "ExactlyOnce"}),
        (leave_the_stores_of_a_lost_partition_open, {"NoLoss"}),
        (take_an_unknown_commit_for_none, {"ExactlyOnce"}),
    ],
)
def test_an_engine_that_breaks_transactions_is_caught(
    break_it: Callable[[Patch], None], guarantees: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what matters to them: half of all runs have none, and few of the faults meet one."""
    break_it(monkeypatch.setattr)

    missing = set(guarantees)
    for seed in range(SEEDS):
        missing -= violated_by(seed, scenario=with_transactions, faults=AIMED)
        if not missing:
            return
    pytest.fail(f"{missing} did not notice in {SEEDS} seeds")


def violated_by(seed: int, **options: Any) -> set[str]:
    violated = set()
    try:
        run = play(Random(seed), **options)
    except ValueError:
        return {FELL_OVER}
    except (AssertionError, LookupError):
        return violated  # the engine fell over its own break: this history tells nothing
    for guarantee in run.guarantees:
        try:
            guarantee.check()
        except GuaranteeViolatedError:
            violated.add(guarantee.name)
    return violated
