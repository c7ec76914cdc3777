"""27,004 flights out of New York in January 2013: a job each, in order for each aircraft.

See it, with nothing to install (`make demo`):

    python -m examples.flights

The same on a Kafka, with as many workers as you like, stopped and started as you like:

    python -m examples.flights enqueue --broker localhost:9092
    python -m streamjobs run examples.flights:app --broker localhost:9092
    python -m examples.flights check

Variables: FLIGHTS_DB (flights.db), FLIGHTS_JOURNAL (<the database>.journal), FLIGHTS_IO (0.005, the
seconds that each job waits for something far away), FLIGHTS_TOPIC (flights; also the app's name).
"""

import csv
import gzip
import os
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from examples.flight_recorder import FlightRecorder
from streamjobs import App, Job, Receipt, VirtualPartitions

DATA: Final = Path(__file__).parent / "data" / "flights-2013-01.csv.gz"
TOPIC: Final = os.environ.get("FLIGHTS_TOPIC", "flights")

recorder = FlightRecorder(
    Path(os.environ.get("FLIGHTS_DB", "flights.db")),
    os.environ.get("FLIGHTS_JOURNAL"),
    float(os.environ.get("FLIGHTS_IO", "0.005")),
)
app = App(TOPIC)


@app.job(
    topic=TOPIC,
    key="tailnum",  # flights without a tail number have no order; they are counted all the same
    virtual_partitions=VirtualPartitions(64, distribution="balanced"),
)
def record_flight(
    number: int, tailnum: str | None, destination: str, minutes_late: int | None
) -> None:
    recorder.record(number, tailnum, destination, minutes_late)


class Flight(NamedTuple):
    """One flight: the arguments of the job. `number` is its line in the file, from 0."""

    number: int
    tailnum: str | None
    destination: str
    minutes_late: int | None


def read_flights(count: int | None = None) -> list[Flight]:
    """The flights in the order of their schedule: all of them, or the first `count`."""
    with gzip.open(DATA, "rt", newline="") as file:
        rows = islice(csv.DictReader(file), count)
        return [
            Flight(
                number,
                row["tailnum"] or None,
                row["dest"],
                int(row["arr_delay"]) if row["arr_delay"] else None,
            )
            for number, row in enumerate(rows)
        ]


def enqueue(job: Job[..., None], flights: Iterable[Flight]) -> Sequence[Receipt]:
    """Write a job for each flight."""
    return job.enqueue_many(tuple(flight) for flight in flights)


if __name__ == "__main__":
    from examples.flight_commands import main

    main()
