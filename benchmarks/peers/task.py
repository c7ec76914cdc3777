"""What a peer is told to do, and which key a record has."""

import os
import sys
import zlib
from dataclasses import asdict, dataclass
from typing import Final, Literal, Self

import orjson

VARIABLE: Final = "STREAMJOBS_BENCHMARK_TASK"
"""Where processes that a peer starts find what it was told on its command line."""


@dataclass(frozen=True)
class Task:
    """One run of one peer.

    Attributes:
        topic, group, output: where it reads, as whom, and where it writes, if it does.
        records: how many numbered records the topic gets, from 0.
        keys, partitions: their keys; a key is in the partition `key % partitions`.
        mode: how handlers run.
        work: what a handler does with a parsed record; `ms` says for how long.
        workers: threads, tasks or processes at the same time.
        hot: of two records, one has key 0; from the first on that counts.
        stuck: the record that takes `stuck_seconds`; -1 for none.
        spins: turns of an empty loop that keep one idle core busy for 1 ms.
        journal: a file of times, one slot a record; "" to note no more than what was handled.
        session_ms: how long a member that was killed keeps its partitions.
        rate: records a second that are written while it runs; 0 if all are there before.
        skipped: records that do not count, since the peer had to join first.
        large: so many records at the end have a value of 1 KiB.
    """

    broker: str
    topic: str
    group: str
    records: int
    keys: int = 10_000
    partitions: int = 1
    mode: Literal["inline", "threads", "tasks", "processes"] = "threads"
    work: Literal["none", "sleep", "await", "spin", "emit"] = "none"
    ms: float = 0.0
    workers: int = 64
    virtual_partitions: int = 64
    hot: bool = False
    stuck: int = -1
    stuck_seconds: float = 20.0
    spins: int = 0
    journal: str = ""
    output: str = ""
    session_ms: int = 10_000
    rate: float = 0.0
    skipped: int = 0
    large: int = 0

    @classmethod
    def given(cls) -> Self:
        """The one on the command line, or in the environment of a process that a peer started."""
        text = os.environ.get(VARIABLE) or sys.argv[1]
        os.environ[VARIABLE] = text
        return cls(**orjson.loads(text))

    def as_json(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    def key_of(self, number: int) -> int:
        """The key of a record: the same on every machine and in every language."""
        if self.hot and number % 2 == 0 and number >= self.skipped:
            return 0
        return zlib.crc32(b"%d" % number) % self.keys

    def partition_of(self, number: int) -> int:
        return self.key_of(number) % self.partitions
