"""Intake: how many records to take, and which partition has to stop alone."""

from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.generation import Generation
from streamjobs.engine.intake import BATCH, PATIENCE, PEEK, SERVE, Intake
from tests.support.engine import generation, record

ROOM = 100
BYTES = 1000


def full(partition: int = 0) -> Generation:
    """A partition whose window is full."""
    made = generation(partition=TopicPartition("in", partition))
    made.held = ROOM
    return made


def test_an_empty_window_takes_a_batch() -> None:
    assert Intake(BATCH * 2, BYTES).limit([generation()], 0) == BATCH


def test_no_more_is_taken_than_there_is_room_for() -> None:
    ours = generation()
    ours.held = ROOM - 3
    assert Intake(ROOM, BYTES).limit([ours], 0) == 3


def test_a_full_window_takes_nothing() -> None:
    assert Intake(ROOM, BYTES).limit([full()], 0) == 0


def test_a_window_is_full_by_its_bytes_too() -> None:
    ours = generation()
    ours.held_bytes = BYTES
    assert Intake(ROOM, BYTES).limit([ours], 0) == 0


def test_a_window_with_a_backlog_is_full() -> None:
    ours = generation()
    ours.backlog = [record(0)]
    assert Intake(ROOM, BYTES).limit([ours], 0) == 0


def test_without_partitions_there_is_room() -> None:
    assert Intake(ROOM, BYTES).limit([], 0) == ROOM


def test_the_membership_is_kept_alive_while_nothing_is_taken() -> None:
    intake = Intake(ROOM, BYTES)
    intake.limit([generation()], 10.0)
    assert not intake.must_serve(10.0 + SERVE / 2)
    assert intake.must_serve(10.0 + SERVE * 2)
    assert not intake.must_serve(10.0 + SERVE * 2)


def test_now_and_then_one_record_is_taken_so_that_callbacks_come() -> None:
    intake = Intake(ROOM, BYTES)
    assert sum(intake.peek() for _ in range(PEEK * 3)) == 3


def test_one_full_partition_is_paused_when_others_could_go_on() -> None:
    intake, stuck, other = Intake(ROOM, BYTES), full(0), generation()
    both = [stuck, other]
    intake.limit(both, 0)
    assert intake.to_pause(both, PATIENCE) == []
    assert intake.to_pause(both, PATIENCE + 0.1) == [stuck]
    assert intake.limit(both, 1) == ROOM


def test_nothing_is_paused_when_all_are_full() -> None:
    intake, both = Intake(ROOM, BYTES), [full(0), full(1)]
    intake.limit(both, 0)
    assert intake.to_pause(both, 10) == []


def test_a_paused_partition_resumes_when_half_of_its_window_is_free() -> None:
    intake, stuck, other = Intake(ROOM, BYTES), generation(), generation()
    stuck.held = ROOM
    intake.limit([stuck, other], 0)
    intake.to_pause([stuck, other], 10)

    stuck.held = ROOM // 2 + 1
    assert intake.to_resume() == []
    stuck.held = ROOM // 2
    assert intake.to_resume() == [stuck]


def test_a_partition_that_goes_away_is_forgotten() -> None:
    intake, stuck, other = Intake(ROOM, BYTES), generation(), generation()
    stuck.held = ROOM
    intake.limit([stuck, other], 0)
    intake.forget(stuck)
    assert intake.to_pause([stuck, other], 10) == []


def test_forgetting_says_whether_it_was_paused() -> None:
    intake, stuck, other = Intake(ROOM, BYTES), generation(), generation()
    stuck.held = ROOM
    intake.limit([stuck, other], 0)
    intake.to_pause([stuck, other], 10)
    assert intake.forget(stuck)
    assert not intake.forget(other)
