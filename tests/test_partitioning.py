"""Keys as bytes, and the hashes that pick partitions and virtual partitions."""

import pytest

from streamjobs.partitioning import key_bytes, murmur2, partition_for, virtual_partition_for

# Of `org.apache.kafka.common.utils.UtilsTest.testMurmur2`, as signed numbers.
KAFKAS_OWN_VECTORS = [
    (b"21", -973932308),
    (b"foobar", -790332482),
    (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    (b"abc", 479470107),
]


@pytest.mark.parametrize("data, expected", KAFKAS_OWN_VECTORS)
def test_murmur2_agrees_with_kafkas_own_vectors(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected & 0xFFFFFFFF


@pytest.mark.parametrize("data, signed", KAFKAS_OWN_VECTORS)
def test_a_negative_hash_loses_its_sign_before_it_picks_a_partition(
    data: bytes, signed: int
) -> None:
    assert partition_for(data, 12) == (signed & 0x7FFFFFFF) % 12


def test_an_empty_key_has_a_partition_too() -> None:
    assert partition_for(b"", 8) in range(8)


@pytest.mark.parametrize("result", [7, "7", b"7"])
def test_a_number_its_digits_and_their_bytes_are_the_same_key(result: object) -> None:
    assert key_bytes(result) == b"7"


def test_bytes_stay_as_they_are() -> None:
    assert key_bytes(b"\xff\x00") == b"\xff\x00"


def test_text_becomes_utf_8() -> None:
    assert key_bytes("Zürich") == b"Z\xc3\xbcrich"


def test_no_key_stays_no_key() -> None:
    assert key_bytes(None) is None


def test_what_is_false_is_a_key_all_the_same() -> None:
    assert [key_bytes(0), key_bytes(""), key_bytes(b"")] == [b"0", b"", b""]


def test_the_keys_of_one_partition_fill_all_of_its_virtual_partitions() -> None:
    of_one_partition = [
        key for key in map(key_bytes, range(4000)) if key and partition_for(key, 8) == 3
    ]

    used = {virtual_partition_for(key, 8) for key in of_one_partition}

    assert used == set(range(8))


def test_virtual_partitions_are_picked_by_xxh3() -> None:
    # XXH3_64bits of nothing, as `xxhsum -H3 /dev/null` prints it: 2d06800538d394c2.
    assert virtual_partition_for(b"", 1 << 16) == 0x94C2
