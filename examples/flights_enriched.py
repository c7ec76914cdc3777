"""Which airports are busy: every flight is looked up far away, many at the same time, then counted.

See it, with nothing to install (Kafka is in memory):

    python -m examples.flights_enriched

The same on a Kafka; a second run needs topics of its own (FLIGHTS_ENRICHED_TOPIC):

    python -m examples.flights_enriched --broker localhost:9092

The flights of one aircraft are looked up one after the other, those of others at the same time.

Variables: FLIGHTS_ENRICHED_TOPIC (flights-enriched; also the app's name), FLIGHTS_ENRICHED_WAIT
(0.005, the seconds that each lookup takes).
"""

import asyncio
import csv
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from examples.flight_table import DAY_MS, Flight, flight_time
from streamjobs import App, VirtualPartitions
from streamjobs.pipelines import parallel

TOPIC: Final = os.environ.get("FLIGHTS_ENRICHED_TOPIC", "flights-enriched")
WAIT: Final = float(os.environ.get("FLIGHTS_ENRICHED_WAIT", "0.005"))
AIRPORTS: Final = Path(__file__).parent / "data" / "airports.csv"


class Lookups:
    """The service: knows the airports, and how many asked it at the same time.

    Attributes:
        answers: how many it gave so far.
        most: how many waited for one at the same time, at most.
        seconds: from the first question to the last answer.
    """

    def __init__(self) -> None:
        with AIRPORTS.open(newline="") as file:
            self._names = {row["faa"]: row["name"] for row in csv.DictReader(file)}
        self._began: float | None = None
        self._waiting = self.answers = self.most = 0
        self.seconds = 0.0

    async def airport_of(self, flight: Flight) -> Flight:
        """The flight, with the name of the airport that it goes to."""
        self._began = self._began or time.monotonic()
        self._waiting += 1
        self.most = max(self.most, self._waiting)
        await asyncio.sleep(WAIT)
        self._waiting -= 1
        self.answers += 1
        self.seconds = time.monotonic() - self._began
        return flight | {"airport": self.name_of(flight["dest"])}

    def name_of(self, code: str) -> str:
        """The name of an airport; of some it knows the code alone."""
        return self._names.get(code, code)


def build(name: str, virtual_partitions: int, lookups: Lookups) -> App:
    """The app: reads flights from the topic `name`, writes counts to `name.by-day`."""
    app = App(name)

    @app.pipeline(
        app.topic(name, timestamp_extractor=flight_time),
        virtual_partitions=VirtualPartitions(virtual_partitions, distribution="balanced"),
    )
    def by_day(flights: Any) -> None:
        # The keys of the records are aircraft. An airport has many of those, and they overtake
        # each other: by as much as a month, when a file of a month is read in one go.
        flights = parallel(flights, lookups.airport_of).group_by("airport")
        days = flights.tumbling_window(DAY_MS, grace_ms=31 * DAY_MS).count().current()
        days = days.apply(_named, metadata=True)
        days.to_topic(app.topic(counts_topic(name)))

    return app


def _named(day: dict[str, int], airport: str, *_: Any) -> dict[str, Any]:
    return {"airport": airport, "day": day["start"], "flights": day["value"]}


def counts_topic(name: str) -> str:
    """Where the app of this name writes to."""
    return f"{name}.by-day"


def recount(flights: Sequence[Flight]) -> dict[tuple[str, int], int]:
    """How many flights each airport has on each day (the millisecond it begins), by the file."""
    name_of = Lookups().name_of
    return Counter((name_of(each["dest"]), each["time"] // DAY_MS * DAY_MS) for each in flights)


app = build(TOPIC, 64, Lookups())

if __name__ == "__main__":
    from examples.flights_enriched_demo import main

    main()
