"""`python -m examples.flights_delays`: the file to topics, the app on them, and what came out."""

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from examples.flight_table import Flight, read_flights
from examples.flights_delays import (
    CARRIERS,
    HOURS,
    TOPIC,
    Hour,
    app,
    read_airlines,
    recount,
    route_of,
)
from examples.topic_io import Sent, kafka, read, write


def run(flights: Sequence[Flight], rows: int, broker: str | None = None) -> bool:
    """Show the hours with the longest delays; returns whether all are what the file says."""
    with kafka(app, broker):
        names = [Sent(code, {"name": name}) for code, name in read_airlines().items()]
        write(app, {CARRIERS: names, TOPIC: [Sent(route_of(each), each) for each in flights]})
        began = time.monotonic()
        app.run(until_idle=True)
        seconds = time.monotonic() - began
        hours = read(app, HOURS)
    Console().print(_table(sorted(hours, key=_mean, reverse=True)[:rows]))
    expected = recount(flights)
    found = {(hour.pop("route"), hour.pop("hour")): hour for hour in hours}
    right = found == expected and len(hours) == len(expected)
    words = "as the file has them" if right else "NOT as the file has them"
    print(f"{len(flights):,} flights in {seconds:.1f} s, {len(hours):,} hours of routes: {words}")
    return right


def _mean(hour: Hour) -> float:
    mean: float = hour["minutes_late"] / hour["flights"]
    return mean


def _table(hours: Sequence[Hour]) -> Table:
    title = "Where one had to wait the longest"
    table = Table("route", "hour", "flights", "minutes late", "airlines", title=title)
    for column in table.columns[2:4]:
        column.justify = "right"
    for hour in hours:
        moment = datetime.fromtimestamp(hour["hour"] / 1000, UTC)
        airlines = (f"{count} {name}" for name, count in hour["airlines"].items())
        table.add_row(
            hour["route"],
            f"{moment:%a %d, %H:00}",
            str(hour["flights"]),
            f"{_mean(hour):.0f}",
            ", ".join(airlines),
        )
    return table


def main() -> None:
    """Run the demo; exits with 1 if an hour is wrong."""
    parser = argparse.ArgumentParser(prog="python -m examples.flights_delays")
    parser.add_argument("--flights", type=int, help="only the first so many")
    parser.add_argument("--rows", type=int, default=10, help="so many hours")
    parser.add_argument("--broker", metavar="HOST:PORT", help="a Kafka; without it in memory")
    options = parser.parse_args()
    sys.exit(not run(read_flights(options.flights), options.rows, options.broker))
