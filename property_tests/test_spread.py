"""Every virtual partition of every partition gets its share of the keys."""

from collections import Counter
from itertools import count, islice
from math import gcd

from hypothesis import given
from hypothesis import strategies as st

from streamjobs.partitioning import murmur2, partition_for, virtual_partition_for

EACH = 30
"""Keys for each virtual partition, if they were spread evenly."""

PREFIXES = st.sampled_from(["", "user-", "a-rather-long-name-of-a-customer/"])
COUNTS = st.integers(2, 32)


def keys_of(prefix: str, partition: int, partitions: int, wanted: int) -> list[bytes]:
    """The first keys with this prefix and a number which Kafka sends to this partition."""
    keys = (f"{prefix}{number}".encode() for number in count())
    there = (key for key in keys if partition_for(key, partitions) == partition)
    return list(islice(there, wanted))


def chi_square(numbers: Counter[int], bins: int) -> float:
    """How far from even: about `bins` for dice, proportional to the number of keys for a bias."""
    expected = numbers.total() / bins
    return sum((numbers[each] - expected) ** 2 / expected for each in range(bins))


@given(PREFIXES, st.integers(1, 16), st.data(), COUNTS)
def test_the_keys_of_one_partition_fill_its_virtual_partitions_evenly(
    prefix: str, partitions: int, data: st.DataObject, virtual: int
) -> None:
    partition = data.draw(st.integers(0, partitions - 1))
    keys = keys_of(prefix, partition, partitions, EACH * virtual)

    used = Counter(virtual_partition_for(key, virtual) for key in keys)

    assert used.keys() == set(range(virtual))
    # Eight standard deviations and something: of fair dice, one in a thousand million says no.
    assert chi_square(used, virtual) < virtual + 8 * (2 * virtual) ** 0.5 + 20


@given(PREFIXES, st.integers(2, 16), st.data(), st.integers(1, 8))
def test_kafkas_own_hash_again_would_leave_most_of_them_empty(
    prefix: str, partitions: int, data: st.DataObject, multiple: int
) -> None:
    """The trap: all keys of one partition have the same residue already."""
    partition = data.draw(st.integers(0, partitions - 1))
    virtual = partitions * multiple
    keys = keys_of(prefix, partition, partitions, EACH * multiple)

    used = {(murmur2(key) & 0x7FFFFFFF) % virtual for key in keys}

    assert len(used) <= multiple == virtual // gcd(virtual, partitions)
