"""How late flights left, per route and hour, and whose they were: windows in the flights' time.

See it, with nothing to install (Kafka is in memory):

    python -m examples.flights_delays

The same on a Kafka; a second run needs topics of its own (FLIGHTS_DELAYS_TOPIC):

    python -m examples.flights_delays --broker localhost:9092

Variable: FLIGHTS_DELAYS_TOPIC (flights-delays; also the app's name).
"""

import csv
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from examples.flight_table import HOUR_MS, Flight, flight_time
from streamjobs import App

TOPIC: Final = os.environ.get("FLIGHTS_DELAYS_TOPIC", "flights-delays")
CARRIERS: Final = f"{TOPIC}.carriers"
HOURS: Final = f"{TOPIC}.hours"
AIRLINES: Final = Path(__file__).parent / "data" / "airlines.csv"

Hour = dict[str, Any]
"""The flights of a route that were to leave within an hour: how many did, how many minutes late all
of them together, and how many were whose.
"""

app = App(TOPIC)
carriers = app.table(CARRIERS)


@app.pipeline(app.topic(TOPIC, timestamp_extractor=flight_time))
def delays(flights: Any) -> None:
    """The key of a flight is its route, on which flights come in the order of their schedule: an
    hour is over when the route has a flight of a later one, and the last of each stays open.
    """
    flights = flights[flights["minutes_late"].notnull()]  # the others never left
    flights = flights.join_lookup(
        carriers.lookup(), {"airline": carriers.field("name", default="?")}, on="carrier"
    )
    hours = flights.tumbling_window(HOUR_MS).reduce(with_flight, of_one).final()
    hours = hours.apply(
        lambda hour, route, *_: {"route": route.decode(), "hour": hour["start"], **hour["value"]},
        metadata=True,
    )
    hours.to_topic(app.topic(HOURS))


def of_one(flight: Flight) -> Hour:
    """An hour with its first flight."""
    return with_flight({"flights": 0, "minutes_late": 0, "airlines": {}}, flight)


def with_flight(hour: Hour, flight: Flight) -> Hour:
    """An hour with one more flight."""
    airlines, airline = hour["airlines"], flight["airline"]
    return {
        "flights": hour["flights"] + 1,
        "minutes_late": hour["minutes_late"] + flight["minutes_late"],
        "airlines": airlines | {airline: airlines.get(airline, 0) + 1},
    }


def route_of(flight: Flight) -> str:
    """The key of a flight's record."""
    return f"{flight['origin']}-{flight['dest']}"


def read_airlines() -> dict[str, str]:
    """The names of the carriers."""
    with AIRLINES.open(newline="") as file:
        return {row["carrier"]: row["name"] for row in csv.DictReader(file)}


def recount(flights: Sequence[Flight]) -> Mapping[tuple[str, int], Hour]:
    """What is to be known of each route and hour (the millisecond it begins), by the file; the last
    hour of each route is not over.
    """
    airlines = read_airlines()
    found: dict[tuple[str, int], list[Flight]] = defaultdict(list)
    last: dict[str, int] = {}
    for flight in flights:
        if flight["minutes_late"] is not None:
            place = route_of(flight), flight["time"] // HOUR_MS * HOUR_MS
            found[place].append(flight)
            last[place[0]] = place[1]
    return {
        (route, hour): {
            "flights": len(those),
            "minutes_late": sum(each["minutes_late"] for each in those),
            "airlines": _counts([airlines[each["carrier"]] for each in those]),
        }
        for (route, hour), those in found.items()
        if hour != last[route]
    }


def _counts(names: Sequence[str]) -> dict[str, int]:
    return {name: names.count(name) for name in names}


if __name__ == "__main__":
    from examples.flights_delays_demo import main

    main()
