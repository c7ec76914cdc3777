"""What the job of a flight does: some waiting, a row in SQLite, and notes for the order check."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

CREATE: Final = """
    CREATE TABLE IF NOT EXISTS aircraft (
        tailnum TEXT PRIMARY KEY,
        flights INTEGER NOT NULL,
        minutes_late INTEGER NOT NULL,
        destination TEXT NOT NULL,
        last_number INTEGER NOT NULL
    ) WITHOUT ROWID
"""

# A job may run twice (at least once). Since the flights of an aircraft come in order, the number of
# the last one is all it takes to see that a flight is in the row already.
RECORD: Final = """
    INSERT INTO aircraft VALUES (?, 1, ?, ?, ?)
    ON CONFLICT (tailnum) DO UPDATE SET
        flights = flights + 1,
        minutes_late = minutes_late + excluded.minutes_late,
        destination = excluded.destination,
        last_number = excluded.last_number
    WHERE excluded.last_number > last_number
"""


class Aircraft(NamedTuple):
    """One row."""

    flights: int
    minutes_late: int
    destination: str
    last_number: int


class FlightRecorder:
    """Does the job. Several threads and several processes may record at the same time.

    Args:
        database: an SQLite file, made when the first flight comes.
        journal: where each attempt is noted; beside the database if left out.
        io: seconds of waiting in each job, as for a service that is asked first.
    """

    def __init__(self, database: Path, journal: str | None = None, io: float = 0.005) -> None:
        self.database = database
        self.journal = Journal(Path(journal or f"{database}.journal"))
        self.done = 0
        self._io = io
        self._lock = threading.Lock()

    def record(
        self, number: int, tailnum: str | None, destination: str, minutes_late: int | None
    ) -> None:
        with self.journal.attempt(number):
            time.sleep(self._io)
            row = (name(number, tailnum), minutes_late or 0, destination, number)
            # One connection and a lock: SQLite has one writer at a time anyway, and threads that
            # wait for a lock are woken at once, while SQLite's own waiting is sleep and try again.
            # Other processes are waited for in SQLite's way; each holds the file for 20 us.
            with self._lock:
                self._connection.execute(RECORD, row)
                self.done += 1

    def rows(self) -> dict[str, Aircraft]:
        """All aircraft, by their names."""
        with self._lock:
            return {
                row[0]: Aircraft(*row[1:])
                for row in self._connection.execute(
                    "SELECT tailnum, flights, minutes_late, destination, last_number FROM aircraft"
                )
            }

    def close(self) -> None:
        if "_connection" in self.__dict__:
            self._connection.close()
        self.journal.close()

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.database, timeout=30, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        # Not waiting for the disk survives the end of the process, though not of the machine.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(CREATE)
        return connection


class Journal:
    """Notes when each attempt starts and ends.

    All processes append to one file, a line with one system call each: so the lines stand in the
    order in which things happened, whoever wrote them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def attempt(self, number: int) -> Iterator[None]:
        """Around one attempt. One that is killed has a start and no end."""
        self._note("start", number)
        try:
            yield
        except BaseException:
            self._note("failed", number)
            raise
        self._note("end", number)

    def close(self) -> None:
        if "_file" in self.__dict__:
            os.close(self._file)

    def _note(self, what: str, number: int) -> None:
        os.write(self._file, f"{what} {number} {os.getpid()} {time.monotonic_ns()}\n".encode())

    @cached_property
    def _file(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def name(number: int, tailnum: str | None) -> str:
    """What a flight's row is called: a flight without a tail number has a row of its own."""
    return tailnum or f"unknown-{number}"
