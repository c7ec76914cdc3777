"""Reading parts of partitions, from one offset to another."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final

from streamjobs.broker.ports import LogRange, Reader, TopicPartition
from streamjobs.errors import BrokerUnavailableError
from streamjobs.record import Record

__all__ = ("PATIENCE", "read_ranges")

PATIENCE: Final = 30.0
"""Seconds without a record, though there must be one, after which we give up."""

LIMIT: Final = 1_000
BRIEFLY: Final = 0.05
"""Seconds to wait for records: an end that is found meanwhile has to wait for them, too."""


def read_ranges(reader: Reader, ranges: Mapping[TopicPartition, LogRange]) -> Iterator[Record]:
    """The records from each start up to (without) each end, which the log must have reached; each
    partition's in their order. The reader reads none of these partitions afterwards.

    Raises:
        BrokerUnavailableError: it does not answer (any more).
    """
    left = {place: end for place, (start, end) in ranges.items() if start < end}
    for place in left:
        reader.seek(place, ranges[place].start)
    heard = time.monotonic()
    try:
        while left:
            for place, records in reader.poll(LIMIT, BRIEFLY):
                heard = time.monotonic()
                end = left.get(place, 0)
                yield from (record for record in records if record.offset < end)
                if records[-1].offset >= end - 1:
                    _finish(reader, left, place)
            # Nobody can be sure that there is a record right before the end: markers of
            # transactions and deleted records take up offsets, too.
            for place in [each for each in left if reader.at_end(each)]:
                _finish(reader, left, place)
            if left and time.monotonic() - heard > PATIENCE:
                waiting = ", ".join(map(str, left))
                raise BrokerUnavailableError(
                    f"nothing came of {waiting} for {PATIENCE:.0f} s; try again"
                )
    finally:
        for place in left:
            reader.stop(place)


def _finish(reader: Reader, left: dict[TopicPartition, int], place: TopicPartition) -> None:
    if left.pop(place, None) is not None:
        reader.stop(place)
