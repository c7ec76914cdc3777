"""What was handled, noted so that a killed process leaves it behind."""

import mmap
import os
import struct
import time
from pathlib import Path
from typing import Final, Self

from benchmarks.peers.task import Task

_SLOT: Final = struct.Struct("=qq")


class Journal:
    """One slot a record, with the moments at which its handler began and ended, and one byte that
    counts how often it ended. Processes share it through its file: each record has a place of its
    own, so nobody waits for anybody.
    """

    def __init__(self, path: Path, records: int) -> None:
        self._records = records
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._counts = records * _SLOT.size

    @classmethod
    def create(cls, path: Path, records: int) -> Self:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            os.truncate(file.fileno(), records * (_SLOT.size + 1))
        return cls(path, records)

    def ended(self, number: int, began: int) -> None:
        """Note that a record which began then (`monotonic_ns`) ends now."""
        _SLOT.pack_into(self._map, number * _SLOT.size, began, time.monotonic_ns())
        place = self._counts + number
        self._map[place] = min(self._map[place] + 1, 255)

    def counts(self) -> bytes:
        """How often each record was handled."""
        return self._map[self._counts :]

    def times(self) -> list[tuple[int, int]]:
        """Begin and end of each record's latest run, in nanoseconds; zeros for none."""
        return list(_SLOT.iter_unpack(self._map[: self._counts]))

    @property
    def done(self) -> int:
        """How many records were handled."""
        return self._records - self.counts().count(0)

    def violations(self, task: Task) -> int:
        """Records that began before the one before them of the same key had ended."""
        last: dict[int, int] = {}
        found = 0
        for number, (began, ended) in enumerate(self.times()):
            if not ended:
                continue
            key = task.key_of(number)
            found += began < last.get(key, 0)
            last[key] = ended
        return found

    def close(self) -> None:
        self._map.close()
