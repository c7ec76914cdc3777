"""Poison: records that kill their process are found, and healthy ones next to them are not."""

from streamjobs.broker.memory import MemoryCluster
from streamjobs.broker.ports import Message, TopicPartition
from streamjobs.engine.failure import BLOCK, DISCARD, Failure, Park, Verdict
from streamjobs.engine.quarantine import PATIENCE
from streamjobs.errors import PoisonRecordError
from tests.support.engine import TOPIC, Office, cluster_with, die

Handling = dict[str, object]


class Judge:
    """Discards what has died alone, and notes why."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def decide(self, failure: Failure) -> Verdict:
        self.errors.append(failure.error)
        return DISCARD


class Village:
    """One process after another on one partition; record 2 kills each of them."""

    def __init__(self, cluster: MemoryCluster, poison: int = 2, **limits: int) -> None:
        self.cluster = cluster
        self.poison = poison
        self.judge = Judge()
        self.limits = limits
        self.lives = 0
        self.alone: list[list[int]] = []

    def live(self, turns: int = 60) -> Office:
        """A process works until it is killed, or has had its time."""
        self.lives += 1
        office = Office(
            self.cluster, f"p{self.lives}", {"failures": self.judge}, now=float(self.lives),
            **self.limits,
        )  # fmt: skip
        for _ in range(turns):
            office.turn(1)
            office.now += 0.01
            if self._attempted(office):
                self.alone.append(office.hands.busy_with)
                die(self.cluster, f"p{self.lives}")
                return office
            office.hands.finish()
        office.owner.close()
        return office

    def _attempted(self, office: Office) -> bool:
        return any(
            record.offset == self.poison and not piece.refused
            for piece in office.hands.slices
            for record in piece.records
        )


def test_a_record_that_kills_its_process_ends_as_a_failure() -> None:
    village = Village(cluster_with(6))
    for _ in range(6):
        last = village.live()
    assert [type(error) for error in village.judge.errors] == [PoisonRecordError]
    assert last.told.discarded_offsets == [2]
    assert village.cluster.committed("group", TOPIC, 0).offset == 6  # type: ignore[union-attr]


def test_it_dies_alone_before_it_is_convicted() -> None:
    village = Village(cluster_with(6))
    for _ in range(6):
        village.live()
    assert village.alone[0] != [2], "at first it runs among others"
    assert village.alone[-1] == [2]
    assert len(village.alone) == 5, "three deaths make suspects, two more a convict"
    assert village.alone[-2] == [2]


def test_its_neighbours_are_done_and_never_convicted() -> None:
    village = Village(cluster_with(6))
    offices = [village.live() for _ in range(6)]
    settled = {offset for office in offices for offset in office.told.settled_offsets}
    assert settled == {0, 1, 3, 4, 5}


def test_suspects_are_all_that_stood_in_the_log_and_not_only_what_was_read() -> None:
    village = Village(cluster_with(6), window_records=1)
    for _ in range(6):
        village.live()
    assert [type(error) for error in village.judge.errors] == [PoisonRecordError]


def test_what_is_written_later_is_not_suspect() -> None:
    cluster = cluster_with(2)
    for life in range(3):
        Office(cluster, f"p{life}", now=float(life)).turn(8)
        die(cluster, f"p{life}")
    office = Office(cluster, "p3", now=3.0)
    for _ in range(40):
        office.turn(1)
        office.now += 0.01
        office.hands.finish()
    [generation] = office.owner.scheduler.generations.values()
    assert generation.suspects == 0


def test_suspects_run_one_at_a_time() -> None:
    cluster = cluster_with(6)
    for life in range(3):  # dies with all of them running, for another reason
        Office(cluster, f"p{life}", now=float(life)).turn(8)
        die(cluster, f"p{life}")
    office = Office(cluster, "p3", now=3.0)
    seen = []
    for _ in range(60):
        office.turn(1)
        office.now += 0.01
        seen.append(office.hands.busy_with)
        office.hands.finish()
    assert office.told.suspected_after == [3]
    assert [each for each in seen if each] == [[0], [1], [2], [3], [4], [5]]


def test_one_death_alone_convicts_nobody() -> None:
    """The process could have been killed from outside."""
    village = Village(cluster_with(6))
    for _ in range(4):
        village.live()
    village.poison = -1
    last = village.live()
    assert village.judge.errors == []
    assert 2 in last.told.settled_offsets


def test_a_long_job_elsewhere_holds_up_the_suspects_and_not_the_rest() -> None:
    cluster = MemoryCluster({TOPIC: 2}, blocking=False)
    cluster.append(Message(TOPIC, b"", b"long", partition=1))
    office = Office(cluster)
    office.turn(8)
    suspicious = office.owner.scheduler.generations[TopicPartition(TOPIC, 0)]
    office.owner._quarantine.admit(suspicious)
    cluster.append(Message(TOPIC, b"", b"suspect", partition=0))
    cluster.append(Message(TOPIC, b"", b"short", partition=1))
    office.pass_time(1.0)
    assert len(office.hands.slices) == 1, "nothing new starts, for a while"

    office.pass_time(PATIENCE + 1)

    keys = [piece.records[0].key for piece in office.hands.slices]
    assert keys == [b"long", b"short"]


def test_progress_of_the_frontier_ends_a_row_of_deaths() -> None:
    cluster = cluster_with(6)
    for life in range(6):
        office = Office(cluster, f"p{life}", now=float(life))
        office.turn(8)
        office.hands.finish(life)
        office.pass_time(1.0)
        die(cluster, f"p{life}")
        assert office.told.suspected_after == []


def test_a_partition_given_up_in_good_order_makes_no_suspects() -> None:
    cluster = cluster_with(2)
    for life in range(6):
        office = Office(cluster, f"p{life}", now=float(life))
        office.turn(8)
        office.owner.close()
        assert office.told.suspected_after == []


def test_nothing_starts_before_the_broker_knows_the_owner() -> None:
    office = Office(cluster_with(1))
    office.broker.faults.commits_refused = 1
    office.turn(8)
    assert office.hands.busy_with == []
    office.pass_time(0.1)
    assert office.hands.busy_with == [0]


def test_it_can_be_switched_off() -> None:
    village = Village(cluster_with(6), suspect_after=0)
    for _ in range(8):
        village.live()
    assert village.judge.errors == []


def test_other_partitions_go_on_when_the_suspects_have_run() -> None:
    cluster = MemoryCluster({TOPIC: 2}, blocking=False)
    for partition in (0, 1):
        cluster.append(Message(TOPIC, b"", b"%d" % partition, partition=partition))
    for life in range(3):
        Office(cluster, f"p{life}", now=float(life)).turn(8)
        die(cluster, f"p{life}")
    office = Office(cluster, "p3", now=3.0)
    for _ in range(40):
        office.turn(1)
        office.now += 0.05
        office.hands.finish()
    cluster.append(Message(TOPIC, b"", b"x", partition=0))
    cluster.append(Message(TOPIC, b"", b"y", partition=1))
    for _ in range(40):
        office.turn(1)
        office.now += 0.05
        office.hands.finish()
    office.pass_time(1.0)
    assert len(office.told.settled_offsets) == 4


# Attempts survive.


class Patient:
    """Another attempt after a minute; notes which attempts failed when."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float]] = []

    def decide(self, failure: Failure) -> Verdict:
        self.seen.append((failure.attempt, failure.first))
        return Park(60.0)


def test_attempts_are_counted_on_by_the_next_owner() -> None:
    cluster, patient = cluster_with(1), Patient()
    first = Office(cluster, "a", {"failures": patient})
    first.turn()
    first.hands.finish(failing={0: ValueError()})
    first.pass_time(1.0)
    die(cluster, "a")

    second = Office(cluster, "b", {"failures": patient}, now=61.0)
    second.turn()
    second.hands.finish(failing={0: ValueError()})
    second.turn()

    assert [attempt for attempt, _ in patient.seen] == [1, 2]
    assert patient.seen[0][1] == patient.seen[1][1], "the first failure is not forgotten"


def test_what_is_left_of_a_pause_is_waited_for() -> None:
    cluster, patient = cluster_with(1), Patient()
    first = Office(cluster, "a", {"failures": patient})
    first.turn()
    first.hands.finish(failing={0: ValueError()})
    first.turn()
    first.owner.close()

    second = Office(cluster, "b", {"failures": patient}, now=20.0)
    second.turn()
    assert second.told.restored_attempts == [(0, 1, 40.0)]
    assert second.hands.busy_with == []
    second.pass_time(40.0)
    assert second.hands.busy_with == [0]


def test_a_blocked_key_is_tried_again_by_the_next_owner() -> None:
    class Blocking:
        def decide(self, failure: Failure) -> Verdict:
            return BLOCK

    cluster = cluster_with(1)
    first = Office(cluster, "a", {"failures": Blocking()})
    first.turn()
    first.hands.finish(failing={0: ValueError()})
    first.pass_time(3600.0)
    assert first.hands.busy_with == []
    assert first.told.blocked_offsets == [0]
    first.owner.close()

    second = Office(cluster, "b", now=3601.0)
    second.turn()
    assert second.hands.busy_with == [0]
