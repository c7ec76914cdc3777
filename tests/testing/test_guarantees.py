"""Each guarantee on small histories that somebody made up: one that keeps it, some that do not."""

import inspect
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from streamjobs.broker.ports import TopicPartition
from streamjobs.testing import (
    CommitNeverAhead,
    DeadLetterKeepsOrder,
    Event,
    EveryRecordSettledOnce,
    Guarantee,
    GuaranteeViolatedError,
    History,
    KeyOrder,
    KeySerial,
    NoLoss,
    OnlyFailingKeyWaits,
    ReplayBounded,
)
from streamjobs.testing import history as kinds
from streamjobs.testing.guarantees import standard
from streamjobs.testing.history import (
    Accepted,
    Assigned,
    Blocked,
    Buried,
    Checkpointed,
    Committed,
    Crashed,
    Delivered,
    Expired,
    Finished,
    Frozen,
    Jumped,
    Removed,
    Restored,
    Revoked,
    Revoking,
    Sent,
    Settled,
    Started,
    Stored,
    Suspected,
    Unburied,
)

PAGE = Path(__file__).parents[2] / "docs" / "guarantees.md"
P = TopicPartition("orders", 0)


def sent(*offsets: int, order: str | None = "ada", at: float = 0.0) -> list[Event]:
    return [Sent(at, P, offset, order) for offset in offsets]


def assigned(name: str = "p1/1", frontier: int = 0, completed: Any = (), at: float = 0.0) -> Event:
    return Assigned(at, name.partition("/")[0], name, P, frontier, completed)


def started(
    offset: int, name: str = "p1/1", order: str | None = "ada", attempt: int = 1, at: float = 0.0
) -> Event:
    return Started(at, name.partition("/")[0], name, P, offset, order, 0, attempt)


def finished(
    offset: int, name: str = "p1/1", error: str | None = None, emits: int = 0, at: float = 0.0
) -> Event:
    return Finished(at, name.partition("/")[0], name, P, offset, error, emits)


def settled(offset: int, name: str = "p1/1", how: str = "done", at: float = 0.0) -> Event:
    return Settled(at, name.partition("/")[0], name, P, offset, how)


def ran(offset: int, name: str = "p1/1", order: str | None = "ada", at: float = 0.0) -> list[Event]:
    return [
        started(offset, name, order, at=at),
        finished(offset, name, at=at),
        settled(offset, name),
    ]


def committed(frontier: int, completed: Any = (), name: str = "p1/1", at: float = 0.0) -> Event:
    return Committed(at, name.partition("/")[0], name, P, frontier, completed)


def revoked(name: str = "p1/1", lost: bool = False) -> Event:
    return Revoked(0.0, name.partition("/")[0], name, P, lost)


def buried(
    offset: int,
    member: str = "p1",
    order: str | None = "ada",
    partition: int = 0,
    attempts: int = 1,
    **others: Any,
) -> Event:
    place = TopicPartition("orders.dead", partition)
    error = others.pop("error", "ValueError")
    return Buried(0.0, member, P, offset, order, place, 0, attempts, error, **others)


def unburied(offset: int, name: str = "p1/1") -> Event:
    return Unburied(0.0, name.partition("/")[0], name, P, offset)


def blocked(offset: int, name: str = "p1/1") -> Event:
    return Blocked(0.0, name.partition("/")[0], name, P, offset)


def took_in(*offsets: int, name: str = "p1/1") -> Event:
    records = tuple((offset, "ada", 0) for offset in offsets)
    return Accepted(0.0, name.partition("/")[0], name, P, records)


def failed(offset: int, name: str = "p1/1", order: str | None = "ada") -> list[Event]:
    return [started(offset, name, order), finished(offset, name, error="ValueError: no")]


def died(offset: int, name: str = "p1/1", **others: Any) -> list[Event]:
    """It failed for good, its letter was written and acknowledged."""
    member = name.partition("/")[0]
    return [
        *failed(offset, name),
        buried(offset, member, **others),
        settled(offset, name, how="dead-lettered"),
    ]


def flat(*parts: Event | Iterable[Event]) -> list[Event]:
    return [event for part in parts for event in ([part] if isinstance(part, Event) else part)]


def holds(guarantee: Guarantee, *parts: Event | Iterable[Event]) -> None:
    guarantee.watch(flat(*parts))
    guarantee.check()


def violation(guarantee: Guarantee, *parts: Event | Iterable[Event]) -> GuaranteeViolatedError:
    guarantee.watch(flat(*parts))
    with pytest.raises(GuaranteeViolatedError) as found:
        guarantee.check()
    assert found.value.guarantee == type(guarantee).__name__
    return found.value


# KeyOrder.


def test_one_after_another_is_in_order() -> None:
    holds(KeyOrder(), sent(0, 1), assigned(), ran(0), ran(1))


def test_starting_before_the_one_ahead_is_settled_is_not() -> None:
    found = violation(KeyOrder(), sent(0, 1), assigned(), started(0), started(1))
    assert found.claim == (
        "offset 1 of key 'ada' started while offset 0 of the same key was not settled "
        "(orders[0], p1)"
    )
    assert [type(event).__name__ for event in found.history] == [
        "Sent", "Sent", "Assigned", "Started", "Started",
    ]  # fmt: skip


def test_the_explanation_names_key_offsets_and_attempts_in_order() -> None:
    found = violation(
        KeyOrder(),
        sent(0, 1),
        sent(2, order="bob"),
        assigned(),
        started(0, at=1.0),
        finished(0, error="ValueError: no", at=2.0),
        ran(2, order="bob", at=2.5),
        started(0, attempt=2, at=3.0),
        started(1, at=3.5),
    )
    lines = str(found).splitlines()
    assert lines[0].startswith("KeyOrder does not hold: offset 1 of key 'ada' started while")
    assert [line.split()[:2] for line in lines[4:]] == [
        ["1.000", "Started"],
        ["2.000", "Finished"],
        ["3.000", "Started"],
        ["3.500", "Started"],
    ]
    assert "error=ValueError: no" in lines[5]
    assert "offset=0 order=ada lane=0 attempt=2" in lines[6]
    assert "bob" not in str(found)


def test_different_keys_and_no_key_have_no_order() -> None:
    holds(
        KeyOrder(),
        sent(0, order="ada"),
        sent(1, order="bob"),
        sent(2, 3, order=None),
        assigned(),
        started(3, order=None),
        started(1, order="bob"),
        started(2, order=None),
        started(0, order="ada"),
    )


def test_a_failed_attempt_settles_nothing() -> None:
    violation(
        KeyOrder(), sent(0, 1), assigned(), started(0), finished(0, error="E: no"), started(1)
    )


def test_a_discarded_record_is_settled() -> None:
    holds(KeyOrder(), sent(0, 1), assigned(), settled(0, how="discarded"), started(1))


def test_what_another_generation_settled_and_committed_counts() -> None:
    holds(
        KeyOrder(), sent(0, 1), assigned(), ran(0), assigned("p2/1", frontier=1), started(1, "p2/1")
    )


def test_what_it_could_not_commit_does_not() -> None:
    found = violation(
        KeyOrder(), sent(0, 1), assigned(), ran(0), assigned("p2/1"), started(1, "p2/1")
    )
    assert "p2" in found.claim


def test_running_again_while_a_later_record_counts_as_complete_is_out_of_order() -> None:
    found = violation(
        KeyOrder(),
        sent(0, 1),
        assigned("p2/1", frontier=0, completed=((1, 1),)),
        started(0, "p2/1"),
    )
    assert "while the later offset 1 of the same key was complete" in found.claim


def test_a_record_that_is_gone_need_not_be_settled() -> None:
    holds(KeyOrder(), sent(0, 1), Removed(0.0, P, 0), assigned(), started(1))


# KeySerial.


def test_two_attempts_of_a_key_overlap_in_one_process() -> None:
    found = violation(KeySerial(), assigned(), started(0), started(1))
    assert (
        "offset 1 of key 'ada' started while offset 0 of the same key ran in the same process"
        in (found.claim)
    )


def test_they_do_not_when_one_has_ended() -> None:
    holds(KeySerial(), assigned(), started(0), finished(0, error="E: no"), started(1))


def test_records_without_order_may_overlap() -> None:
    holds(KeySerial(), assigned(), started(0, order=None), started(1, order=None))


def test_an_attempt_from_before_a_reassignment_counts() -> None:
    violation(
        KeySerial(), assigned(), started(0), Revoked(1.0, "p1", "p1/1", P, lost=True),
        assigned("p1/2", at=1.0), started(0, "p1/2", at=1.0),
    )  # fmt: skip


def test_in_another_process_that_still_owns_the_partition_it_counts() -> None:
    found = violation(KeySerial(), assigned(), started(0), assigned("p2/1"), started(0, "p2/1"))
    assert "in p1, which still owned the partition" in found.claim


@pytest.mark.parametrize(
    "over",
    [
        Revoking(1.0, "p1", "p1/1"),
        Revoked(1.0, "p1", "p1/1", P, lost=True),
        Expired(1.0, "p1"),
        Crashed(1.0, "p1"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_in_another_process_that_has_lost_it_it_does_not(over: Event) -> None:
    holds(
        KeySerial(),
        assigned(),
        started(0),
        over,
        assigned("p2/1", at=2.0),
        started(0, "p2/1", at=2),
    )


def test_nothing_starts_where_the_partition_goes_away() -> None:
    found = violation(KeySerial(), assigned(), Revoking(1.0, "p1", "p1/1"), started(0, at=1.0))
    assert "started in p1 after it was told that the partition goes away" in found.claim


def test_but_for_a_grace_on_real_threads() -> None:
    told = Revoking(1.0, "p1", "p1/1")
    holds(KeySerial(grace=0.1), assigned(), told, started(0, at=1.05))
    violation(KeySerial(grace=0.1), assigned(), told, started(0, at=1.2))


# NoLoss.


def test_settled_and_committed_is_not_lost() -> None:
    holds(NoLoss(), sent(0, 1, 2), assigned(), ran(0), ran(1), ran(2), committed(3))


def test_a_completion_map_counts() -> None:
    holds(
        NoLoss(), sent(0, 1), assigned(), ran(0), ran(1), committed(0, ((1, 1),)), committed(1, ())
    )


def test_never_settled_is_lost() -> None:
    found = violation(NoLoss(), sent(0, 1, 2), assigned(), ran(0), committed(1))
    assert found.claim == "offset 1 of orders[0] was never settled (and 1 more)"


def test_the_errors_of_what_was_never_settled_are_shown() -> None:
    found = violation(
        NoLoss(), sent(0), assigned(), started(0), finished(0, error="ValueError: no")
    )
    assert "ValueError: no" in str(found)


def test_never_committed_is_lost() -> None:
    found = violation(NoLoss(), sent(0), assigned(), ran(0))
    assert found.claim == "offset 0 of orders[0] was never committed"


def test_discarded_and_removed_is_not_lost() -> None:
    holds(
        NoLoss(),
        sent(0, 1),
        assigned(),
        settled(0, how="discarded"),
        Removed(0.0, P, 1),
        committed(1),
    )


def test_what_was_emitted_has_to_be_there() -> None:
    history = flat(sent(0), assigned(), started(0), finished(0, emits=1), settled(0), committed(1))
    holds(NoLoss(), history)
    holds(NoLoss(deliveries=True), history, Delivered(0.0, P, 0))
    found = violation(NoLoss(deliveries=True), history)
    assert "what it emitted is not there" in found.claim


def test_a_blocked_record_and_those_behind_it_may_be_left() -> None:
    holds(
        NoLoss(), sent(0, 1), sent(2, order="bob"), assigned(), took_in(0, 1, 2), failed(0),
        blocked(0), ran(2, order="bob"), committed(0, ((2, 1),)), revoked(),
    )  # fmt: skip


def test_nothing_else_may_be_left_with_them() -> None:
    history = flat(sent(0, 1), sent(2, order="bob"), assigned(), failed(0), blocked(0))
    assert "offset 2 " in violation(NoLoss(), history).claim
    found = violation(NoLoss(), history, ran(2, order="bob"), committed(0))
    assert found.claim == "offset 2 of orders[0] was never committed"


def test_those_before_it_may_not_be_left() -> None:
    found = violation(NoLoss(), sent(0, 1), assigned(), failed(1), blocked(1))
    assert found.claim == "offset 0 of orders[0] was never settled"


def test_one_without_order_holds_only_itself() -> None:
    found = violation(NoLoss(), sent(0, 1, order=None), assigned(), failed(0), blocked(0))
    assert found.claim == "offset 1 of orders[0] was never settled"


def test_who_takes_it_in_next_has_to_attempt_it_again() -> None:
    history = flat(sent(0), assigned(), took_in(0), failed(0), blocked(0), assigned("p2/1"))
    holds(NoLoss(), history)
    violation(NoLoss(), history, took_in(0, name="p2/1"))
    holds(NoLoss(), history, took_in(0, name="p2/1"), failed(0, "p2/1"), blocked(0, "p2/1"))


# CommitNeverAhead.


def test_a_commit_before_the_letter_is_in_the_log_is_ahead() -> None:
    history = flat(sent(0), assigned(), failed(0), settled(0, how="dead-lettered"))
    holds(CommitNeverAhead(), history, committed(1))
    holds(CommitNeverAhead(letters=True), history, buried(0), committed(1))
    found = violation(CommitNeverAhead(letters=True), history, committed(1))
    assert "offset 0 complete, which had no dead letter in the log" in found.claim


def test_a_commit_of_what_is_done_is_not_ahead() -> None:
    holds(CommitNeverAhead(), sent(0, 1, 2), assigned(), ran(0), ran(2), committed(1, ((2, 1),)))


def test_a_frontier_behind_a_record_that_is_not_settled_is_ahead() -> None:
    found = violation(CommitNeverAhead(), sent(0, 1), assigned(), ran(0), started(1), committed(2))
    assert found.claim == (
        "p1 committed orders[0] up to 2 with offset 1 complete, "
        "which its generation had not settled"
    )
    assert found.history[-1] == committed(2)


def test_so_is_a_map() -> None:
    violation(CommitNeverAhead(), sent(0, 1), assigned(), ran(0), committed(1, ((1, 1),)))


def test_another_generations_work_is_not_ours_to_commit() -> None:
    violation(
        CommitNeverAhead(), sent(0), assigned(), ran(0), assigned("p1/2"), committed(1, name="p1/2")
    )


def test_what_was_complete_at_the_beginning_may_be_committed_again() -> None:
    holds(
        CommitNeverAhead(), sent(0, 1), assigned(), ran(0), ran(1), committed(0, ((1, 1),)),
        assigned("p2/1", 0, ((1, 1),)), ran(0, "p2/1"), committed(2, name="p2/1"),
    )  # fmt: skip


def test_beginning_with_what_nobody_settled_is_ahead() -> None:
    found = violation(CommitNeverAhead(), sent(0, 1), assigned("p2/1", frontier=1))
    assert "p2 began orders[0] with offset 0 as complete, which nobody had settled" in found.claim


def test_a_settlement_without_a_success_is_ahead() -> None:
    found = violation(
        CommitNeverAhead(), sent(0), assigned(), started(0), finished(0, error="E: no"), settled(0),
        committed(1),
    )  # fmt: skip
    assert "no attempt of its generation had brought to success" in found.claim


def test_a_commit_before_what_was_emitted_is_in_the_log_is_ahead() -> None:
    history = flat(sent(0), assigned(), started(0), finished(0, emits=1), settled(0))
    holds(CommitNeverAhead(deliveries=True), history, Delivered(0.0, P, 0), committed(1))
    found = violation(CommitNeverAhead(deliveries=True), history, committed(1))
    assert "had emitted something that was not in the log" in found.claim


# ReplayBounded.


def test_what_was_not_committed_may_run_again() -> None:
    guarantee = ReplayBounded()
    holds(guarantee, assigned(), ran(0), ran(1), committed(1), assigned("p2/1", 1), ran(1, "p2/1"))
    assert guarantee.replayed == 1


@pytest.mark.parametrize("offset", [0, 5])
def test_what_was_committed_may_not(offset: int) -> None:
    found = violation(
        ReplayBounded(), assigned(), ran(0), ran(5), committed(1, ((5, 1),)), assigned("p2/1", 1),
        started(offset, "p2/1"),
    )  # fmt: skip
    assert found.claim == (
        f"offset {offset} of orders[0] ran again in p2, though p1 had committed it as complete"
    )


# OnlyFailingKeyWaits.


def accepted(*records: tuple[int, str | None, int], at: float = 0.0) -> Event:
    return Accepted(at, "p1", "p1/1", P, records)


FAILING = flat(
    assigned(),
    accepted((0, "ada", 3), (1, "ada", 3), (2, "bob", 3)),
    started(0),
    finished(0, error="E: no", at=0.1),
)


def lane_3(event: Event) -> Event:
    assert isinstance(event, Started)
    return Started(
        event.at, event.member, event.generation, event.partition, event.offset, event.order, 3,
        event.attempt,
    )  # fmt: skip


def waiting(*parts: Event | Iterable[Event]) -> list[Event]:
    """The failing history and what follows, all in one virtual partition."""
    return [lane_3(each) if isinstance(each, Started) else each for each in flat(FAILING, *parts)]


def test_its_neighbours_do_not_wait_for_a_failing_key() -> None:
    holds(
        OnlyFailingKeyWaits(within=2.0),
        waiting(
            started(2, order="bob", at=0.2),
            finished(2, at=0.3),
            started(0, attempt=2, at=60.0),
            finished(0, at=60.1),
            settled(0, at=60.1),
            started(1, at=60.2),
        ),
    )


def test_one_that_does_is_told_whom_it_waited_for() -> None:
    found = violation(OnlyFailingKeyWaits(within=2.0), waiting(started(2, order="bob", at=60.0)))
    assert found.claim == (
        "offset 2 of key 'bob' waited 59.9 s in the idle virtual partition 3 while keys ['ada'] "
        "were failing"
    )


def test_one_that_never_starts_is_noticed_in_the_end() -> None:
    violation(OnlyFailingKeyWaits(within=2.0), waiting(settled(9, at=60.0)))


def test_waiting_for_a_slow_neighbour_is_no_violation() -> None:
    holds(
        OnlyFailingKeyWaits(within=2.0),
        waiting(
            accepted((3, "cid", 3), at=0.2),
            started(3, order="cid", at=0.3),
            finished(3, at=50.0),
            started(2, order="bob", at=50.1),
        ),
    )


@pytest.mark.parametrize(
    "meanwhile",
    [
        Jumped(60.0, 59.0),
        Frozen(0.2, "p1"),
        Crashed(0.2, "p1"),
        Expired(0.2, "p1"),
        Revoking(0.2, "p1", "p1/1"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_where_nobody_could_act_nobody_waited(meanwhile: Event) -> None:
    holds(OnlyFailingKeyWaits(within=2.0), waiting(meanwhile, started(2, order="bob", at=60.0)))


def test_a_key_goes_on_when_its_dead_letter_is_acknowledged() -> None:
    history = waiting(started(2, order="bob", at=0.2), finished(2, at=0.3))
    acknowledged = settled(0, how="dead-lettered", at=60.0)
    holds(OnlyFailingKeyWaits(within=2.0), history, acknowledged, lane_3(started(1, at=60.5)))
    found = violation(
        OnlyFailingKeyWaits(within=2.0), history, acknowledged, lane_3(started(1, at=63.0))
    )
    assert found.claim.startswith("offset 1 of key 'ada' waited 3.0 s")


def test_a_record_that_is_given_up_waits_no_longer() -> None:
    holds(
        OnlyFailingKeyWaits(within=2.0),
        waiting(
            settled(0, how="discarded", at=0.2),
            started(2, order="bob", at=0.3),
            finished(2, at=0.4),
            started(1, at=0.5),
            finished(1, at=0.6),
            settled(9, at=60.0),
        ),
    )


# EveryRecordSettledOnce.


def test_each_way_to_end_is_an_end() -> None:
    holds(
        EveryRecordSettledOnce(letters=True), sent(0, 1, 2), assigned(), ran(0), died(1),
        failed(2), settled(2, how="discarded"),
    )  # fmt: skip


@pytest.mark.parametrize("how", ["done", "discarded", "dead-lettered"])
def test_a_second_end_in_one_assignment_is_one_too_many(how: str) -> None:
    found = violation(EveryRecordSettledOnce(), sent(0), assigned(), ran(0), settled(0, how=how))
    assert found.claim == f"offset 0 of orders[0] was {how} when it was done already (p1)"


def test_after_a_crash_before_the_commit_it_may_end_again_in_another_way() -> None:
    holds(
        EveryRecordSettledOnce(letters=True), sent(0), assigned(), ran(0), Crashed(1.0, "p1"),
        assigned("p2/1"), died(0, "p2/1"),
    )  # fmt: skip


def test_after_the_commit_it_may_not() -> None:
    found = violation(
        EveryRecordSettledOnce(letters=True), sent(0), assigned(), ran(0), committed(1),
        assigned("p2/1"), died(0, "p2/1"),
    )  # fmt: skip
    assert "was dead-lettered, though p1 had committed its end (p2)" in found.claim


def test_what_is_complete_from_the_beginning_does_not_end_again() -> None:
    found = violation(EveryRecordSettledOnce(), sent(0), assigned(completed=((0, 1),)), settled(0))
    assert "was done when it was complete from the beginning" in found.claim


def test_an_end_without_a_letter_is_no_dead_letter() -> None:
    history = flat(sent(0), assigned(), failed(0), settled(0, how="dead-lettered"))
    holds(EveryRecordSettledOnce(), history)
    found = violation(EveryRecordSettledOnce(letters=True), history)
    assert "was dead-lettered, and its letter is not in the log" in found.claim


def test_the_letter_has_to_be_there_before() -> None:
    violation(
        EveryRecordSettledOnce(letters=True), sent(0), assigned(), failed(0),
        settled(0, how="dead-lettered"), buried(0),
    )  # fmt: skip


def test_the_letter_of_another_process_does_not_count_but_one_of_nobody_knows_whom_does() -> None:
    history = flat(sent(0), assigned(), failed(0))
    dead = settled(0, how="dead-lettered")
    violation(EveryRecordSettledOnce(letters=True), history, buried(0, "p2"), dead)
    holds(EveryRecordSettledOnce(letters=True), history, buried(0, ""), dead)


@pytest.mark.parametrize("how", ["done", "discarded"])
def test_whose_letter_is_written_ends_in_no_other_way(how: str) -> None:
    found = violation(
        EveryRecordSettledOnce(letters=True), sent(0), assigned(), failed(0), buried(0),
        settled(0, how=how),
    )  # fmt: skip
    assert f"was {how}, though its letter had been written" in found.claim


def test_a_letter_for_what_is_over_is_one_too_many() -> None:
    found = violation(EveryRecordSettledOnce(letters=True), sent(0), assigned(), ran(0), buried(0))
    assert "got a letter when it was done" in found.claim


def test_a_second_letter_is_written_only_where_the_first_may_have_failed() -> None:
    history = flat(sent(0), assigned(), failed(0), buried(0))
    holds(EveryRecordSettledOnce(letters=True), history, unburied(0), buried(0))
    found = violation(EveryRecordSettledOnce(letters=True), history, buried(0))
    assert "got a second letter, though nobody had said that the first failed" in found.claim


def test_another_process_may_write_another_letter() -> None:
    holds(
        EveryRecordSettledOnce(letters=True), sent(0), assigned(), failed(0), buried(0),
        Crashed(1.0, "p1"), assigned("p2/1"), died(0, "p2/1"),
    )  # fmt: skip


# DeadLetterKeepsOrder.


def test_letters_in_the_order_of_their_records_are_in_order() -> None:
    holds(DeadLetterKeepsOrder(), sent(0, 1, 2), assigned(), died(0), ran(1), died(2))


def test_a_letter_behind_that_of_a_later_record_is_not() -> None:
    found = violation(
        DeadLetterKeepsOrder(), sent(0, 1), assigned(), failed(0), failed(1), buried(1), buried(0)
    )
    assert found.claim == (
        "the letter of offset 0 of orders[0] was written behind that of the later offset 1 of "
        "its key"
    )


def test_letters_of_different_keys_and_of_none_have_no_order() -> None:
    holds(
        DeadLetterKeepsOrder(), sent(0, order="ada"), sent(1, order="bob"), sent(2, 3, order=None),
        assigned(), failed(0), failed(1), failed(2), failed(3), buried(1, order="bob"),
        buried(0, order="ada"), buried(3, order=None), buried(2, order=None),
    )  # fmt: skip


def test_after_a_crash_the_letters_of_a_key_may_be_written_again_in_order() -> None:
    holds(
        DeadLetterKeepsOrder(), sent(0, 1), assigned(), died(0), died(1), Crashed(1.0, "p1"),
        assigned("p2/1"), died(0, "p2/1"), died(1, "p2/1"),
    )  # fmt: skip


def test_but_not_from_a_later_one_on_and_then_back() -> None:
    found = violation(
        DeadLetterKeepsOrder(), sent(0, 1), assigned(), died(0), died(1), Crashed(1.0, "p1"),
        assigned("p2/1", completed=((1, 1),)), died(0, "p2/1"),
    )  # fmt: skip
    assert "was written while the later offset 1 of its key was complete" in found.claim


def test_a_letter_that_was_not_answered_may_be_written_again() -> None:
    holds(DeadLetterKeepsOrder(), sent(0), assigned(), failed(0), buried(0), buried(0))


def test_the_letters_of_a_key_stand_in_one_partition() -> None:
    found = violation(DeadLetterKeepsOrder(), sent(0, 1), assigned(), died(0), died(1, partition=1))
    assert "stands in orders.dead[1], the key's other letters in orders.dead[0]" in found.claim


@pytest.mark.parametrize("what", ["key", "value", "headers"])
def test_a_letter_has_what_its_record_had(what: str) -> None:
    found = violation(
        DeadLetterKeepsOrder(), sent(0), assigned(), failed(0), buried(0, changed=what)
    )
    assert f"has another {what} than its record" in found.claim


def test_who_has_lost_the_partition_buries_nobody() -> None:
    found = violation(DeadLetterKeepsOrder(), sent(0), assigned(), failed(0), revoked(), buried(0))
    assert "was written by p1, which had lost the partition" in found.claim


def test_who_does_not_know_it_yet_may() -> None:
    holds(
        DeadLetterKeepsOrder(), sent(0), assigned(), failed(0), Expired(1.0, "p1"),
        assigned("p2/1"), buried(0),
    )  # fmt: skip


def test_an_attempt_from_before_a_reassignment_buries_nobody() -> None:
    found = violation(
        DeadLetterKeepsOrder(), sent(0), assigned(), started(0), revoked(), assigned("p1/2"),
        finished(0, error="ValueError: no"), buried(0),
    )  # fmt: skip
    assert "where no attempt of this assignment had failed" in found.claim


def test_an_attempt_that_succeeded_buries_nobody() -> None:
    violation(
        DeadLetterKeepsOrder(), sent(0), assigned(), failed(0), started(0, attempt=2), finished(0),
        buried(0),
    )  # fmt: skip


@pytest.mark.parametrize(
    "letter",
    [
        buried(0, attempts=0, order=None),
        buried(0, attempts=2, error="streamjobs.errors.PoisonRecordError"),
        buried(0, member=""),
    ],
    ids=["could not be attempted", "kills its process", "nobody knows whose it is"],
)
def test_some_are_buried_without_an_attempt(letter: Event) -> None:
    holds(DeadLetterKeepsOrder(), sent(0), assigned(), letter)


# All of them.


def test_a_good_history_keeps_them_all() -> None:
    history = flat(
        sent(0, 1), assigned(), accepted((0, "ada", 0), (1, "ada", 0)), ran(0), ran(1), committed(2)
    )
    for guarantee in standard():
        holds(guarantee, history)


def test_only_the_first_violation_is_told() -> None:
    guarantee = KeyOrder()
    first = violation(guarantee, sent(0, 1, 2), assigned(), started(1), started(2))
    assert "offset 1 of key 'ada' started while offset 0" in first.claim
    with pytest.raises(GuaranteeViolatedError) as again:
        guarantee.check()
    assert again.value is first


def test_a_violation_is_a_failed_assertion() -> None:
    assert issubclass(GuaranteeViolatedError, AssertionError)


@pytest.mark.parametrize("guarantee", standard(letters=True), ids=lambda guarantee: guarantee.name)
def test_the_documentation_has_the_words_of_the_code(guarantee: Guarantee) -> None:
    words = inspect.getdoc(type(guarantee))
    assert words is not None
    [promise, *_] = words.partition("\n\nArgs:")
    promise = promise.replace("\n\nCheck it when everything has come to rest.", "")
    [_, quoted] = PAGE.read_text(encoding="utf-8").split(f"\n**{guarantee.name}**\n", 1)
    quote = re.match(r"\n((?:>.*\n)+)", quoted)

    assert quote is not None
    assert quote[1].replace(">", "").split() == promise.replace(">", "").split()


# Histories as files.

EVERY = flat(
    Sent(0.0, P, 0, "schlüssel"),
    Sent(0.0, P, 1, None),
    Removed(0.1, P, 1),
    Assigned(0.2, "p1", "p1/1", P, 3, ((5, 2), (9, 1))),
    Accepted(0.3, "p1", "p1/1", P, ((0, "a", 7), (1, None, 8))),
    started(0, at=0.4),
    finished(0, error="ValueError: no", at=0.5),
    finished(0, emits=2, at=0.6),
    settled(0, at=0.7),
    Blocked(0.71, "p1", "p1/1", P, 0),
    Buried(0.72, "p1", P, 0, "ada", TopicPartition("orders.dead", 3), 7, 2, "ValueError", "key"),
    Unburied(0.73, "p1", "p1/1", P, 0),
    Restored(0.74, "p1", "p1/1", P, 0),
    Suspected(0.75, "p1", "p1/1", P),
    Delivered(0.8, P, 0),
    committed(1, ((5, 2),), at=0.9),
    Revoking(1.0, "p1", "p1/1"),
    Revoked(1.1, "p1", "p1/1", P, lost=False),
    Frozen(1.2, "p1"),
    Expired(1.3, "p1"),
    Crashed(1.4, "p1"),
    Jumped(1.5, 60.0),
    Checkpointed(1.6, "p1", P, 7, ((8, 2),), (("k", 3),)),
    Stored(1.7, "m1", P, (("k", 3),)),
)


def dumped(*events: Event) -> str:
    file = io.StringIO()
    History(events).dump(file)
    return file.getvalue()


def test_events_come_back_as_they_were_written() -> None:
    assert History.load(io.StringIO(dumped(*EVERY))).events == EVERY


def test_every_kind_of_event_was_among_them() -> None:
    assert {type(event).__name__ for event in EVERY} == {*kinds.__all__} - {"Event", "History"}


def test_a_last_line_that_was_cut_off_is_left_out() -> None:
    text = dumped(*EVERY)
    for cut in (1, 2, 10, 20):
        assert History.load(io.StringIO(text[:-cut])).events == EVERY[: -1 if cut > 1 else None]


def test_files_of_several_processes_are_put_in_order() -> None:
    one, other = EVERY[::2], EVERY[1::2]
    loaded = History.load(io.StringIO(dumped(*one)), io.StringIO(dumped(*other)))
    assert [event.at for event in loaded] == [event.at for event in EVERY]
    assert len(loaded) == len(EVERY)
