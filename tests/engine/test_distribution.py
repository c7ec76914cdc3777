"""Distribution: which virtual partition a key goes to."""

from collections import Counter

import pytest

from streamjobs.engine.distribution import Distributor, distributor_for
from streamjobs.engine.virtual_partition import VirtualPartition
from streamjobs.partitioning import virtual_partition_for
from streamjobs.policies import VirtualPartitions
from tests.support.engine import record


class Lanes:
    """Virtual partitions, and what distributes records over them."""

    def __init__(self, policy: VirtualPartitions) -> None:
        self.all = [VirtualPartition(index) for index in range(policy.count)]
        self.distributor: Distributor = distributor_for(policy, self.all)
        self._offset = 0

    def push(self, key: bytes | None) -> int:
        """Queue a record of this key; returns the number of its virtual partition."""
        new = record(self._offset, key)
        self._offset += 1
        return self.distributor.push(self.distributor.order(key, new), new).index

    def work_off(self, index: int) -> None:
        """Everything that waits in a virtual partition is done."""
        lane = self.all[index]
        records, orders = lane.take(1000)
        lane.load -= len(records)
        self.distributor.release(lane, orders)


def test_consistent_gives_a_key_the_same_one_always() -> None:
    lanes = Lanes(VirtualPartitions(16))
    first = lanes.push(b"a")
    lanes.work_off(first)
    assert [lanes.push(b"a"), first] == [virtual_partition_for(b"a", 16)] * 2


@pytest.mark.parametrize("distribution", ["consistent", "balanced"])
def test_records_without_a_key_are_spread_evenly(distribution: str) -> None:
    lanes = Lanes(VirtualPartitions(4, distribution=distribution))  # type: ignore[arg-type]
    assert Counter(lanes.push(None) for _ in range(4)) == Counter(range(4))


def test_balanced_gives_new_keys_idle_ones() -> None:
    lanes = Lanes(VirtualPartitions(8, distribution="balanced"))
    assert len({lanes.push(b"%d" % number) for number in range(8)}) == 8


def test_balanced_binds_a_key_while_it_has_work() -> None:
    lanes = Lanes(VirtualPartitions(8, distribution="balanced"))
    home = lanes.push(b"a")
    for number in range(50):
        lanes.push(b"%d" % number)
    assert {lanes.push(b"a") for _ in range(10)} == {home}


def test_balanced_lets_go_of_a_key_without_work() -> None:
    lanes = Lanes(VirtualPartitions(2, distribution="balanced"))
    home = lanes.push(b"a")
    lanes.work_off(home)
    for _ in range(20):
        lanes.push(b"busy")
    busy = lanes.push(b"busy")
    assert lanes.push(b"a") == 1 - busy


def test_balanced_keeps_a_parked_key_where_it_is() -> None:
    lanes = Lanes(VirtualPartitions(8, distribution="balanced"))
    home = lanes.push(b"a")
    lanes.all[home].park(b"a")
    lanes.distributor.release(lanes.all[home], [b"a"])
    assert lanes.push(b"a") == home


def test_order_by_virtual_partition_is_one_line_for_each() -> None:
    lanes = Lanes(VirtualPartitions(2, ordering="virtual_partition"))
    orders = {lanes.distributor.order(b"%d" % number, record(number)) for number in range(50)}
    assert orders == {0, 1}


def test_without_order_even_one_key_is_spread() -> None:
    lanes = Lanes(VirtualPartitions(4, ordering="none"))
    assert {lanes.push(b"a") for _ in range(4)} == {0, 1, 2, 3}
