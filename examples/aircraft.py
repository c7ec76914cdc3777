"""Where every aircraft was last, and how late it is by now: a stream of flights with state.

See it, with nothing to install (Kafka is in memory):

    python -m examples.aircraft
    python -m examples.aircraft --json

The same on a Kafka, with as many workers as you like, killed and started again as you like:

    python -m examples.aircraft send --broker localhost:9092
    python -m streamjobs run examples.aircraft:app --broker localhost:9092
    python -m examples.aircraft show --broker localhost:9092

Variables: AIRCRAFT_TOPIC (aircraft-flights; also the app's name), AIRCRAFT_IO (0, the seconds that
each flight waits for something far away).
"""

import csv
import gzip
import os
import time
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Final

from examples.flights import DATA
from streamjobs import App, Context, VirtualPartitions

TOPIC: Final = os.environ.get("AIRCRAFT_TOPIC", "aircraft-flights")
COUNTS: Final = f"{TOPIC}.counts"
IO: Final = float(os.environ.get("AIRCRAFT_IO", "0"))


@dataclass(frozen=True)
class Flight:
    """A line of the file, counted from 0."""

    number: int
    aircraft: str
    destination: str
    minutes_late: int


@dataclass(frozen=True)
class Aircraft:
    """What is known of an aircraft after so many flights."""

    flights: int = 0
    minutes_late: int = 0
    destination: str = ""
    last_number: int = -1

    def after(self, flight: Flight) -> "Aircraft":
        return Aircraft(
            self.flights + 1,
            self.minutes_late + flight.minutes_late,
            flight.destination,
            flight.number,
        )


app = App(TOPIC)


@app.stream(TOPIC, value=Flight, state=True, virtual_partitions=VirtualPartitions(64))
def follow(flight: Flight, ctx: Context) -> None:
    """One count for each flight; `of` says which record it is of."""
    time.sleep(IO)
    aircraft = ctx.state_for(Aircraft).update(
        lambda before: before.after(flight), default=Aircraft()
    )
    ctx.emit(COUNTS, {"aircraft": flight.aircraft, **asdict(aircraft), "of": ctx.record.id})


def read_flights(count: int | None = None) -> list[Flight]:
    """The flights in the order of their schedule: all of them, or the first `count`.

    Those that were cancelled before an aircraft was named go by the name of their line: AA 133.
    """
    with gzip.open(DATA, "rt", newline="") as file:
        return [
            Flight(
                number,
                row["tailnum"] or f"{row['carrier']} {row['flight']}",
                row["dest"],
                int(row["arr_delay"] or 0),
            )
            for number, row in enumerate(islice(csv.DictReader(file), count))
        ]


def recount(flights: list[Flight]) -> dict[str, Aircraft]:
    """What is to be known of each aircraft in the end."""
    fleet: dict[str, Aircraft] = {}
    for flight in flights:
        fleet[flight.aircraft] = fleet.get(flight.aircraft, Aircraft()).after(flight)
    return fleet


if __name__ == "__main__":
    from examples.aircraft_commands import main

    main()
