"""The log of one partition: records in the order of their offsets, not every offset there."""

from __future__ import annotations

from bisect import bisect_left

from streamjobs.broker.ports import Message, TopicPartition
from streamjobs.record import Record

__all__ = ("Log",)


class Log:
    """What one partition holds.

    Attributes:
        start: the lowest offset that can still be read.
        end: the offset of the next record.
        records: what is there; real logs have gaps, and so may this one. What lies behind `stable`
            cannot be read yet, and may vanish.
    """

    __slots__ = ("_open", "end", "partition", "records", "start")

    def __init__(self, partition: TopicPartition) -> None:
        self.partition = partition
        self.start = 0
        self.end = 0
        self.records: list[Record] = []
        self._open: dict[object, list[Record]] = {}

    @property
    def stable(self) -> int:
        """The end of what can be read: where the first open transaction begins."""
        if not self._open:
            return self.end
        return min(records[0].offset for records in self._open.values())

    def append(self, message: Message, now: int, transaction: object | None = None) -> Record:
        """Write one message at the end, as part of an open transaction if there is one."""
        headers = tuple(message.headers)
        timestamp = now if message.timestamp is None else message.timestamp
        topic, partition = self.partition
        record = Record(topic, partition, self.end, message.key, message.value, headers, timestamp)
        self.records.append(record)
        self.end += 1
        if transaction is not None:
            self._open.setdefault(transaction, []).append(record)
        return record

    def settle(self, transaction: object, committed: bool) -> list[Record]:
        """A transaction ends; returns its records. Its marker uses up an offset. What was aborted
        is taken out: no reader would ever see it.
        """
        written = self._open.pop(transaction)
        if not committed:
            gone = {record.offset for record in written}
            first = self._index(written[0].offset)
            self.records[first:] = [r for r in self.records[first:] if r.offset not in gone]
        self.skip(1)
        return written

    def skip(self, count: int) -> None:
        """Use up offsets that hold no record, as transaction markers do."""
        self.end += count

    def delete(self, offset: int) -> None:
        """Remove one record, as compaction does.

        Raises:
            KeyError: there is no record at this offset.
        """
        index = self._index(offset)
        if index == len(self.records) or self.records[index].offset != offset:
            raise KeyError(offset)
        del self.records[index]

    def truncate(self, before: int) -> None:
        """Move the start of the log, as retention does."""
        self.start = max(self.start, min(before, self.end))
        del self.records[: self._index(self.start)]

    def read(self, offset: int, limit: int) -> tuple[list[Record], int]:
        """Up to `limit` records from `offset` on that are stable, and where to read next.

        An offset that is out of range starts at the beginning (`auto.offset.reset=earliest`).
        """
        if not self.start <= offset <= self.end:
            offset = self.start
        index = self._index(offset)
        stable, behind = self.end, len(self.records)
        if self._open:
            stable = max(offset, self.stable)
            behind = self._index(stable)
        found = self.records[index : min(index + limit, behind)]
        rest = index + len(found)
        return found, self.records[rest].offset if rest < behind else stable

    def back(self, offset: int, count: int) -> int:
        """The offset that lies `count` records before `offset`."""
        index = max(0, self._index(offset) - count)
        return self.records[index].offset if index < len(self.records) else offset

    def _index(self, offset: int) -> int:
        return bisect_left(self.records, offset, key=lambda record: record.offset)
