"""The owner: polls, dispatches, merges and commits, a turn at a time."""

import pytest

from streamjobs.broker.ports import Commit, Message
from streamjobs.engine.effects import Effects
from tests.support.engine import GROUP, P0, TOPIC, Office, cluster_with, committed


def emitting(*values: bytes) -> Effects:
    effects = Effects()
    effects.emits += [Message("out", value) for value in values]
    return effects


def test_records_go_to_workers() -> None:
    office = Office(cluster_with(3))
    office.turn()
    assert office.hands.busy_with == [0, 1, 2]


def test_what_is_done_is_committed_when_it_is_time() -> None:
    cluster = cluster_with(3)
    office = Office(cluster)
    office.turn()
    office.hands.finish()
    office.turn()
    assert committed(cluster) == 0

    office.pass_time(1.0)

    assert committed(cluster) == 3


def test_a_commit_says_what_is_complete_above_the_slowest() -> None:
    cluster = cluster_with(3)
    office = Office(cluster)
    office.turn()
    office.hands.finish(1, 2)
    office.pass_time(1.0)
    assert committed(cluster) == 0

    cluster.kill("a")
    cluster.expire("a")
    successor = Office(cluster, "b")
    successor.turn()

    assert successor.hands.busy_with == [0]
    assert successor.told.left_out_offsets == [1, 2]


def test_a_failed_commit_is_repeated() -> None:
    cluster = cluster_with(1)
    office = Office(cluster)
    office.turn()
    office.broker.faults.commits_refused = 1
    office.hands.finish()
    office.pass_time(1.0)
    assert office.told.failed_commits
    office.pass_time(1.0)
    assert committed(cluster) == 1


def test_a_refused_commit_is_repeated_soon_and_then_less_and_less_often() -> None:
    cluster = cluster_with(1)
    office = Office(cluster)
    office.turn()
    office.broker.faults.commits_refused = 100
    office.hands.finish()
    office.pass_time(1.0)
    for _ in range(7):
        office.pass_time(0.05)
    assert len(office.told.failed_commits) == 4, "after 0, 0.05, 0.15 and 0.35 s"
    office.broker.faults.commits_refused = 0
    office.pass_time(1.0)
    assert committed(cluster) == 1


def test_metadata_of_another_program_means_that_nothing_above_is_complete() -> None:
    cluster = cluster_with(3)
    cluster.group(GROUP).store([Commit(P0, 1, "somebody else's")])
    office = Office(cluster)
    office.turn()
    assert office.hands.busy_with == [1, 2]
    assert len(office.told.unreadable_reasons) == 1


# What handlers emit.


def test_a_record_counts_when_what_it_emitted_is_acknowledged() -> None:
    cluster = cluster_with(1)
    office = Office(cluster)
    office.turn()
    office.broker.faults.answers_held = True
    office.hands.finish(effects={0: emitting(b"a", b"b")})
    office.pass_time(1.0)
    assert not committed(cluster)

    office.broker.faults.answers_held = False
    office.pass_time(1.0)
    office.pass_time(1.0)

    assert committed(cluster) == 1
    assert [each.value for each in cluster.log("out", 0).records] == [b"a", b"b"]


def test_what_could_not_be_delivered_brings_its_record_back() -> None:
    cluster = cluster_with(1)
    office = Office(cluster)
    office.turn()
    office.broker.faults.sends_refused = 1
    office.hands.finish(effects={0: emitting(b"a")})
    office.turn()

    assert office.told.undelivered_offsets == [0]
    assert not office.hands.busy_with
    office.pass_time(1.0)  # a pause, for what is refused once is often refused again
    office.turn()
    assert office.hands.busy_with == [0]
    assert not committed(cluster)


def test_a_record_does_not_count_before_an_earlier_one_of_its_key() -> None:
    cluster = cluster_with(2, keys=[b"a"])
    office = Office(cluster)
    office.turn()
    office.broker.faults.answers_held = True
    office.hands.finish(effects={0: emitting(b"a")})
    office.turn()
    office.hands.finish()  # the second one, which emits nothing
    office.turn()
    assert office.told.settled_offsets == [0, 1]

    cluster.kill("a")
    cluster.expire("a")
    successor = Office(cluster, "b")
    successor.turn()

    assert successor.told.left_out_offsets == []


# Partitions come and go.


def test_a_revoked_partition_is_committed_before_it_goes() -> None:
    cluster = cluster_with(3)
    office = Office(cluster)
    office.turn()
    office.hands.finish()
    office.turn()

    cluster.bounce("a", TOPIC, 0)
    office.turn()

    assert committed(cluster) == 3


def test_a_lost_partition_is_not_committed() -> None:
    cluster = cluster_with(3)
    office = Office(cluster)
    office.turn()
    office.hands.finish()
    office.turn(1)

    cluster.expire("a")
    office.turn(1)

    assert not committed(cluster)


def test_results_that_come_after_the_partition_was_lost_are_ignored() -> None:
    cluster = cluster_with(1)
    office = Office(cluster)
    office.turn()
    cluster.expire("a")
    office.turn(1)

    office.hands.finish(effects={0: emitting(b"too late")})
    office.turn(1)

    assert office.told.stale_offsets == [0]
    assert not cluster.log("out", 0).records


# The end.


def test_a_stopping_owner_starts_nothing_and_takes_in_what_ends() -> None:
    cluster = cluster_with(2, keys=[b"a"])
    office = Office(cluster)
    office.turn()
    office.hands.finish()
    office.owner.stop()
    office.turn()

    assert office.owner.drained
    assert office.hands.busy_with == []
    assert office.told.settled_offsets == [0]


def test_what_cannot_be_delivered_does_not_keep_a_stopping_owner() -> None:
    office = Office(cluster_with(1))
    office.turn()
    office.broker.faults.sends_refused = 1
    office.hands.finish(effects={0: emitting(b"a")})
    office.owner.stop()
    office.turn()
    assert office.owner.drained


def test_closing_commits_what_is_done_and_leaves_the_group() -> None:
    cluster = cluster_with(2, keys=[b"a"])
    office = Office(cluster)
    office.turn()
    office.hands.finish()
    office.turn()

    office.owner.close()

    assert committed(cluster) == 1
    assert cluster.members(GROUP) == {}


@pytest.mark.parametrize("error", [SystemExit(3), MemoryError()])
def test_an_error_that_is_meant_for_the_app_stops_it(error: BaseException) -> None:
    cluster = cluster_with(1)
    office = Office(cluster)
    office.turn()
    office.hands.finish(fatal=error)
    office.turn()

    assert office.owner.fatal is error
    assert office.owner.stopping
    assert office.told.settled_offsets == []


def test_it_is_idle_when_all_is_read_settled_and_committed() -> None:
    office = Office(cluster_with(1))
    office.turn()
    assert not office.owner.idle
    office.hands.finish()
    office.turn()
    assert not office.owner.idle
    office.pass_time(1.0)
    assert office.owner.idle


def test_no_more_is_taken_than_the_window_holds() -> None:
    office = Office(cluster_with(10), window_records=4)
    office.turn(10)
    assert office.hands.busy_with == [0, 1, 2, 3]
    office.hands.finish()
    office.turn(10)
    assert office.hands.busy_with == [4, 5, 6, 7]
