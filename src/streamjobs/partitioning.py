"""From a partitioner's result to bytes, to a partition, to a virtual partition."""

from __future__ import annotations

from typing import Final

from xxhash import xxh3_64_intdigest

__all__ = ("key_bytes", "murmur2", "partition_for", "virtual_partition_for")

_MASK: Final = 0xFFFFFFFF
_M: Final = 0x5BD1E995
_SEED: Final = 0x9747B28C


def key_bytes(result: object) -> bytes | None:
    """What a partitioner returned, as the bytes that travel.

    Bytes are themselves, None means no order, everything else is `str(result)` in UTF-8:
    `7`, `"7"` and `b"7"` are the same key, in every client of the topic.
    """
    if result is None or isinstance(result, bytes):
        return result
    return str(result).encode()


def murmur2(data: bytes) -> int:
    """The 32-bit murmur2 of Kafka's Java client, as an unsigned number.

    Source: `org.apache.kafka.common.utils.Utils.murmur2` (Apache Kafka); the seed is Kafka's.
    """
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if whole < length:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_for(key: bytes, partitions: int) -> int:
    """The partition of a key as Kafka's Java default partitioner picks it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def virtual_partition_for(key: bytes, count: int) -> int:
    """The virtual partition of an ordering key: xxh3_64, not Kafka's own hash.

    All keys of one partition share their residue under murmur2 (and crc32), so the same hash
    again would leave most virtual partitions empty: with 8 partitions, 7 of 8.
    """
    return int(xxh3_64_intdigest(key)) % count
