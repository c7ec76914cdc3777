"""The flights of the file as records of a topic: values for JSON, and the time of each."""

import csv
import gzip
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from examples.flights import DATA

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS

Flight = dict[str, Any]
"""What the examples need of a line of the file. `time`: when it was to leave, in milliseconds of
New York's clock; `minutes_late`: when it left; None if it never did.
"""


def read_flights(count: int | None = None) -> list[Flight]:
    """The flights in the order of their schedule: all of them, or the first `count`."""
    with gzip.open(DATA, "rt", newline="") as file:
        return [_flight(row) for row in islice(csv.DictReader(file), count)]


def _flight(row: dict[str, str]) -> Flight:
    late = row["dep_delay"]
    return {
        "carrier": row["carrier"],
        "aircraft": row["tailnum"] or f"{row['carrier']} {row['flight']}",
        "origin": row["origin"],
        "dest": row["dest"],
        "time": _time(row),
        "minutes_late": int(late) if late else None,
    }


def _time(row: dict[str, str]) -> int:
    date = [int(row[name]) for name in ("year", "month", "day")]
    moment = datetime(*date, *divmod(int(row["sched_dep_time"]), 100), tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def flight_time(flight: Flight, _headers: Any, _timestamp: int, _kind: Any) -> int:
    """For `app.topic(timestamp_extractor=...)`: a flight's time is its own, not its record's."""
    time: int = flight["time"]
    return time
