"""Deferred records: a key that fails or floods holds no memory, and loses nothing."""

from streamjobs.broker.memory import MemoryCluster
from streamjobs.broker.ports import Message
from streamjobs.engine.failure import DISCARD, Failure, Park, Verdict
from streamjobs.engine.scheduler import PARKED_SHARE
from streamjobs.errors import RecordGoneError
from streamjobs.policies import VirtualPartitions
from tests.support.engine import TOPIC, Desk, Office, committed, offsets, record

BAD, GOOD = b"bad", b"good"


class Stubborn:
    """Attempts what fails every second for ever; notes what cannot even be attempted."""

    def __init__(self) -> None:
        self.gone: list[int] = []

    def decide(self, failure: Failure) -> Verdict:
        if isinstance(failure.error, RecordGoneError):
            self.gone.append(failure.record.offset)
            return DISCARD
        return Park(1.0)


class Shop:
    """One process; records of the key "bad" fail for as long as `failing` is true."""

    def __init__(self, window: int = 100) -> None:
        self.cluster = MemoryCluster({TOPIC: 1}, blocking=False)
        self.policy = Stubborn()
        self.office = Office(
            self.cluster, handling={"failures": self.policy}, window_records=window
        )
        self.failing = True
        self.ran: list[int] = []
        self.most_held = 0

    def send(self, *keys: bytes) -> None:
        for key in keys:
            self.cluster.append(Message(TOPIC, b"", key, partition=0))

    def work(self, seconds: float = 1.0) -> None:
        """Let time pass, in small steps."""
        for _ in range(round(seconds / 0.05)):
            self.office.turn(2)
            for piece in self.office.hands.slices:
                self.ran += offsets(piece.records)
            bad = {
                record.offset: ValueError()
                for piece in self.office.hands.slices
                for record in piece.records
                if record.key == BAD and self.failing
            }
            self.office.hands.finish(failing=bad)
            for generation in self.office.owner.scheduler.generations.values():
                self.most_held = max(self.most_held, generation.held)
            self.office.now += 0.05

    @property
    def deferred(self) -> int:
        [generation] = self.office.owner.scheduler.generations.values()
        return len(generation.deferred)


def test_a_key_that_fails_under_traffic_does_not_stop_the_others() -> None:
    shop = Shop(window=100)
    for _ in range(50):
        shop.send(*[BAD] * 10, *[GOOD] * 10)
        shop.work(0.2)
    shop.work(1.0)
    good = [offset for offset in shop.office.told.settled_offsets if offset % 20 >= 10]
    assert len(good) == 500


def test_of_a_parked_key_only_its_share_stays_in_memory() -> None:
    shop = Shop(window=10_000)
    shop.send(BAD)
    shop.work(0.5)
    shop.send(*[BAD] * 500)
    shop.work(0.2)
    assert shop.most_held == PARKED_SHARE
    assert shop.deferred == 501 - PARKED_SHARE


def test_deferred_records_run_in_order_when_their_key_recovers() -> None:
    shop = Shop()
    for _ in range(10):
        shop.send(*[BAD] * 30, GOOD)
        shop.work(0.3)
    assert shop.deferred
    shop.failing = False
    shop.ran.clear()
    shop.work(20.0)
    bad = [offset for offset in shop.ran if offset % 31 != 30]
    assert bad == sorted(bad)
    assert len(shop.office.told.settled_offsets) == 310
    assert shop.deferred == 0
    shop.office.pass_time(1.0)
    assert committed(shop.cluster) == 310


def test_a_deferred_record_that_retention_took_fails_for_that_reason() -> None:
    shop = Shop()
    for _ in range(10):
        shop.send(*[BAD] * 30)
        shop.work(0.3)
    shop.cluster.truncate(TOPIC, 0, 200)
    shop.failing = False
    shop.work(30.0)
    assert shop.policy.gone, "some were not in memory"
    assert set(shop.policy.gone) <= set(range(200))
    settled = shop.office.told.settled_offsets + shop.office.told.discarded_offsets
    assert sorted(settled) == list(range(300))


def test_deferred_records_at_the_end_of_the_log_can_be_gone_too() -> None:
    shop = Shop()
    shop.send(*[BAD] * 300)
    shop.work(1.0)
    shop.cluster.truncate(TOPIC, 0, 300)
    shop.failing = False
    shop.work(30.0)
    assert shop.policy.gone[-1] == 299


def test_a_flooding_key_does_not_fill_the_window() -> None:
    shop = Shop(window=100)
    shop.failing = False
    for _ in range(5):
        shop.send(*[BAD] * 95, *[GOOD] * 5)
    for _ in range(200):  # so slow that the flood is never done
        shop.office.turn(1)
        shop.office.hands.finish(*[n for n in shop.office.hands.busy_with if n % 100 >= 95])
    good = [offset for offset in shop.office.told.settled_offsets if offset % 100 >= 95]
    assert len(good) == 25
    assert shop.most_held <= 200


def test_a_topic_of_one_key_is_not_read_twice() -> None:
    shop = Shop(window=100)
    shop.failing = False
    shop.send(*[GOOD] * 1000)
    shop.work(1.0)
    assert shop.deferred == 0


def test_when_many_keys_fail_their_heads_leave_memory_as_well() -> None:
    shop = Shop(window=100)
    for key in range(60):
        shop.cluster.append(Message(TOPIC, b"", b"%d" % key, partition=0))
    shop.office.turn(10)
    shop.office.hands.finish(failing={offset: ValueError() for offset in range(60)})
    shop.office.turn(3)
    for _ in range(40):
        shop.send(GOOD)
    shop.work(0.5)
    [generation] = shop.office.owner.scheduler.generations.values()
    assert generation.held < 60
    shop.failing = False
    shop.work(5.0)
    assert len(shop.office.told.settled_offsets) == 100


def test_what_is_put_in_front_while_a_record_is_read_again_runs_first() -> None:
    desk = Desk(VirtualPartitions(2))
    deferred = desk.generation.deferred
    deferred.add(b"a", 5)  # asked for, and on its way ...
    deferred.put_before(b"a", [0])  # ... when an earlier one fails, and leaves memory

    desk.scheduler.refill(desk.generation, b"a", 5, record(5, b"a"), 0.0)

    assert list(deferred.next_of(b"a", 2)) == [0, 5]
    assert b"a" in deferred.hungry


def test_what_fails_for_good_leaves_room_for_what_comes() -> None:
    """A partition whose window is full is paused, and goes on when half of it is free."""
    shop = Shop(window=8)
    shop.send(*[BAD] * 8)
    shop.work(0.5)
    shop.send(*[GOOD] * 20)
    shop.work(2.0)
    assert len(shop.office.told.settled_offsets) == 20
