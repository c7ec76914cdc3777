"""What goes between an app and its worker processes: frames of bytes with plain tuples in them."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from streamjobs.engine.orders import Order
from streamjobs.engine.slices import Slice
from streamjobs.execution.remote_errors import PackedError
from streamjobs.record import Header, Record

__all__ = (
    "BROKEN",
    "CHUNK",
    "CURSOR",
    "READY",
    "REPORT",
    "Frames",
    "Parcel",
    "Report",
    "frame",
    "pack_slice",
    "unpack_orders",
    "unpack_records",
)

CHUNK: Final = 256 * 1024
"""Bytes to ask a socket for."""

READY: Final = 0
"""`(READY, pid)`: a process can run records now."""

BROKEN: Final = 1
"""`(BROKEN, PackedError)`: a process could not get ready, and ends."""

REPORT: Final = 2
"""`(REPORT, *Report)`."""

CURSOR: Final = 3
"""`(CURSOR, number, offset, cursor)`: the handler of that parcel saved one."""

_LENGTH: Final = struct.Struct("!I")

_PackedRecord = tuple[int, bytes | None, bytes | None, Sequence[Header], int]


class Parcel(NamedTuple):
    """A slice on its way to a process; an order of None is the record itself. `cursors` are by
    offset, of records whose handlers saved one before.
    """

    number: int
    flag: int
    topic: str
    partition: int
    lane: int
    records: Sequence[_PackedRecord]
    orders: Sequence[Order | None]
    attempts: Mapping[int, int]
    refused: Sequence[int]
    cursors: Mapping[int, bytes]


class Report(NamedTuple):
    """What came of a slice since the report before.

    Attributes:
        number: the parcel's.
        final: whether the slice is through.
        progress: how many of its records are through.
        failures, skipped, effects: as in `Slice`, of the new ones; effects are pickled.
        seconds: how long the slice took; 0 if it is not through.
        fatal: as in `Slice`.
        retire: why this process should be replaced; empty if it need not be.
    """

    number: int
    final: bool
    progress: int
    failures: Mapping[int, PackedError]
    skipped: Sequence[int]
    effects: Mapping[int, bytes]
    seconds: float
    fatal: PackedError | None
    retire: str


def frame(content: Any) -> bytes:
    """An object as bytes that `Frames` finds the end of."""
    payload = pickle.dumps(content, 5)
    return _LENGTH.pack(len(payload)) + payload


class Frames:
    """Cuts what comes out of a socket into frames, and opens them."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """The objects that are complete with this data."""
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        while end - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, start)
            stop = start + _LENGTH.size + length
            if stop > end:
                break
            with memoryview(buffer) as view:
                content = pickle.loads(view[start + _LENGTH.size : stop])
            start = stop
            yield content
        if start:
            del buffer[:start]


def pack_slice(number: int, flag: int, piece: Slice) -> tuple[Any, ...]:
    """The fields of a `Parcel`; a plain tuple, which is quicker to pickle."""
    partition = piece.generation.partition
    return (
        number,
        flag,
        partition.topic,
        partition.partition,
        piece.lane.index,
        [
            (record.offset, record.key, record.value, list(record.headers), record.timestamp)
            for record in piece.records
        ],
        [None if isinstance(order, Record) else order for order in piece.orders],
        piece.attempts,
        list(piece.refused),
        _cursors(piece),
    )


def _cursors(piece: Slice) -> dict[int, bytes]:
    cursors = piece.generation.cursors
    if not cursors:
        return {}
    found = ((record.offset, cursors.get(record.offset)) for record in piece.records)
    return {offset: cursor for offset, cursor in found if cursor is not None}


def unpack_records(parcel: Parcel) -> list[Record]:
    """Its records."""
    topic, partition = parcel.topic, parcel.partition
    return [Record(topic, partition, *fields) for fields in parcel.records]


def unpack_orders(parcel: Parcel, records: Sequence[Record]) -> list[Order]:
    """The order of each record."""
    return [
        record if order is None else order
        for record, order in zip(records, parcel.orders, strict=True)
    ]
