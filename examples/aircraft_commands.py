"""`python -m examples.aircraft`: demo, send and show."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields

from rich.console import Console
from rich.table import Table

from examples.aircraft import COUNTS, TOPIC, Aircraft, Flight, app, read_flights, recount
from examples.aircraft_kafka import Count, create, read_counts, send
from streamjobs.testing import TestDriver


def main() -> None:
    """Run a command; the demo if there is none."""
    options = _parser().parse_args()
    sys.exit(0 if options.command(options) else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.aircraft")
    parser.set_defaults(command=_demo)
    _add_options(parser, flights=5_000)
    commands = parser.add_subparsers()
    demo = commands.add_parser("demo", help="all of it in memory, no Kafka needed")
    demo.set_defaults(command=_demo)
    put = commands.add_parser("send", help="write a record for each flight to a Kafka")
    put.add_argument("--partitions", type=int, default=4, help="of the topic, if it is made now")
    put.set_defaults(command=_send)
    show = commands.add_parser("show", help="read the counts from a Kafka")
    show.set_defaults(command=_show)
    for each in (put, show):
        each.add_argument("--broker", metavar="HOST:PORT", default="localhost:9092")
    for each, flights in ((demo, 5_000), (put, None), (show, None)):
        _add_options(each, flights)
    return parser


def _add_options(parser: argparse.ArgumentParser, flights: int | None) -> None:
    parser.add_argument("--flights", type=int, default=flights, help="only the first so many")
    parser.add_argument("--rows", type=int, default=15, help="so many aircraft, the latest ones")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")


def _demo(options: argparse.Namespace) -> bool:
    flights = read_flights(options.flights)
    with TestDriver(app, partitions=4) as driver:
        for flight in flights:
            driver.send(TOPIC, asdict(flight), key=flight.aircraft)
        driver.run_until_idle()
        counts = [output.json() for output in driver.outputs(COUNTS)]
    return _report(flights, counts, options)


def _send(options: argparse.Namespace) -> bool:
    flights = read_flights(options.flights)
    create(options.broker, TOPIC, options.partitions)
    send(options.broker, flights)
    print(f"{len(flights):,} flights on {TOPIC!r}")
    return True


def _show(options: argparse.Namespace) -> bool:
    return _report(read_flights(options.flights), read_counts(options.broker), options)


def _report(flights: list[Flight], counts: Sequence[Count], options: argparse.Namespace) -> bool:
    """Show the latest aircraft; returns whether the counts are what a recount finds."""
    last = {count["aircraft"]: count for count in sorted(counts, key=lambda each: each["flights"])}
    latest = sorted(last.values(), key=lambda count: -count["last_number"])[: options.rows]
    if options.json:
        print(json.dumps(latest, indent=2))
    else:
        Console().print(_table(latest))
    right = {name: _aircraft(count) for name, count in last.items()} == recount(flights)
    words = "as the file has them" if right else "NOT as the file has them"
    print(
        f"{len(counts):,} counts of {len(flights):,} flights, {len(last):,} aircraft: {words}",
        file=sys.stderr,
    )
    return right


def _aircraft(count: Count) -> Aircraft:
    return Aircraft(*(count[field.name] for field in fields(Aircraft)))


def _table(latest: Sequence[Count]) -> Table:
    table = Table("aircraft", "flights", "minutes late", "last destination", title="The latest")
    for column in table.columns[1:3]:
        column.justify = "right"
    for count in latest:
        late = count["minutes_late"]
        colour = "red" if late > 0 else "green"
        table.add_row(
            count["aircraft"], str(count["flights"]), f"[{colour}]{late}[/]", count["destination"]
        )
    return table
