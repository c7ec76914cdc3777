"""Minutes late, booked in SQLite: an account for each aircraft, right whatever crashes.

Exactly-once ends where Kafka ends. A database that keeps, in the transaction of its rows, which
records they are of can refuse a record that comes a second time: then its effects are there once.

See it, with nothing to install (Kafka is in memory, and the worker crashes):

    python -m examples.ledger_sqlite

The same on a Kafka, with workers that you kill (-9) and start again:

    python -m examples.ledger_sqlite enqueue --broker localhost:9092
    python -m streamjobs run examples.ledger_sqlite:app --broker localhost:9092
    python -m examples.ledger_sqlite check

Variables: LEDGER_DB (ledger.db), LEDGER_GUARD (id or offset), LEDGER_TOPIC (ledger; also the app's
name).
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from streamjobs import App, Record, VirtualPartitions, current_context

TOPIC: Final = os.environ.get("LEDGER_TOPIC", "ledger")
NOBODY: Final = "unknown"
"""The account of flights without a tail number."""

CREATE: Final = """
    CREATE TABLE IF NOT EXISTS entries (record TEXT, account TEXT, minutes INTEGER);
    CREATE TABLE IF NOT EXISTS accounts (account TEXT PRIMARY KEY, minutes INTEGER);
    CREATE TABLE IF NOT EXISTS refused (record TEXT);
    CREATE TABLE IF NOT EXISTS seen (record TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS last_seen (
        topic TEXT, partition INTEGER, key BLOB, offset INTEGER, PRIMARY KEY (topic, partition, key)
    ) WITHOUT ROWID;
"""
ADD: Final = """
    INSERT INTO accounts VALUES (?, ?)
    ON CONFLICT (account) DO UPDATE SET minutes = minutes + excluded.minutes
"""
ADVANCE: Final = """
    INSERT INTO last_seen VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET offset = excluded.offset WHERE excluded.offset > offset
"""

Guard = Callable[[sqlite3.Connection, Record], bool]
"""Marks a record as seen; says whether it is new. Runs inside of the transaction of its rows."""


def by_id(database: sqlite3.Connection, record: Record) -> bool:
    """Remember every record. Asks nothing of their order; a row for each."""
    return database.execute("INSERT OR IGNORE INTO seen VALUES (?)", [record.id]).rowcount == 1


def by_offset(database: sqlite3.Connection, record: Record) -> bool:
    """Remember the last record of each key: those of a key come in order, so a lower offset has
    been there. Those of a partition do not: one number for all of it would refuse new records.
    """
    if record.key is None:  # no order
        return by_id(database, record)
    place = record.topic, record.partition, record.key, record.offset
    return database.execute(ADVANCE, place).rowcount == 1


GUARDS: Final[Mapping[str, Guard]] = {"id": by_id, "offset": by_offset}


class Entry(NamedTuple):
    """What is booked: the arguments of the job. Early is less than 0."""

    account: str
    minutes: int


class Ledger:
    """Books each record once. Several threads and several processes may book at the same time.

    Args:
        path: an SQLite file, made when the first entry comes.
        guard: how it knows a record that it has booked.
    """

    def __init__(self, path: Path, guard: Guard = by_id) -> None:
        self.path = path
        self._guard = guard
        self._lock = threading.Lock()

    def book(self, record: Record, account: str, minutes: int) -> bool:
        """Book it, in one transaction with the guard's mark; False if it was booked before."""
        with self._lock, self._database as database:
            database.execute("BEGIN IMMEDIATE")
            if not self._guard(database, record):
                database.execute("INSERT INTO refused VALUES (?)", [record.id])
                return False
            database.execute("INSERT INTO entries VALUES (?, ?, ?)", [record.id, account, minutes])
            database.execute(ADD, [account, minutes])
            return True

    def entries(self) -> list[Entry]:
        """All that was booked."""
        with self._lock:
            return [
                Entry(*row)
                for row in self._database.execute("SELECT account, minutes FROM entries")
            ]

    def balances(self) -> dict[str, int]:
        """The minutes of each account."""
        with self._lock:
            return dict(self._database.execute("SELECT account, minutes FROM accounts"))

    def refused(self) -> int:
        """How often a record came that was booked already."""
        with self._lock:
            [[count]] = self._database.execute("SELECT count(*) FROM refused")
            return int(count)

    def close(self) -> None:
        if "_database" in self.__dict__:
            self._database.close()

    @cached_property
    def _database(self) -> sqlite3.Connection:
        database = sqlite3.connect(
            self.path, timeout=30, isolation_level=None, check_same_thread=False
        )
        database.execute("PRAGMA journal_mode = WAL")
        # On the disk before the job ends: Kafka never knows of an entry that a power cut took.
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(CREATE)
        return database


ledger = Ledger(
    Path(os.environ.get("LEDGER_DB", "ledger.db")), GUARDS[os.environ.get("LEDGER_GUARD", "id")]
)
app = App(TOPIC)


@app.job(
    topic=TOPIC,
    key=lambda job: None if job.arguments["account"] == NOBODY else job.arguments["account"],
    virtual_partitions=VirtualPartitions(64),
)
def book(account: str, minutes: int) -> None:
    ledger.book(current_context().record, account, minutes)


if __name__ == "__main__":
    from examples.ledger_demo import main

    main()
