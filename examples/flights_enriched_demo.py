"""`python -m examples.flights_enriched`: one lookup at a time, then many; the counts are as one."""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from examples.flight_table import Flight, read_flights
from examples.flights_enriched import TOPIC, WAIT, Lookups, build, counts_topic, recount
from examples.topic_io import Sent, kafka, read, write

console = Console()


class Trial:
    """Flights looked up on one Kafka partition that is split into so many virtual ones."""

    def __init__(self, flights: Sequence[Flight], virtual_partitions: int) -> None:
        self.title = f"{virtual_partitions} virtual partition" + "s" * (virtual_partitions > 1)
        self.flights = flights
        self.lookups = Lookups()
        self.name = f"{TOPIC}-on-{virtual_partitions}"
        self.app = build(self.name, virtual_partitions, self.lookups)
        self.counts: Mapping[tuple[str, int], int] = {}

    def run(self, broker: str | None) -> None:
        """Write the flights, work until all is counted, and read the counts."""
        with kafka(self.app, broker, partitions=1):
            write(self.app, {self.name: [Sent(each["aircraft"], each) for each in self.flights]})
            self.app.run(until_idle=True)
            counts = read(self.app, counts_topic(self.name))
        self.counts = {(each["airport"], each["day"]): each["flights"] for each in counts}

    @property
    def per_second(self) -> float:
        return self.lookups.answers / self.lookups.seconds

    @property
    def is_right(self) -> bool:
        return self.counts == recount(self.flights)


def run(flights: int | None, one_by_one: int, rows: int, broker: str | None = None) -> bool:
    """Look up the first flights one at a time, then all on 64 virtual partitions; show both.

    Returns whether all counts are what a recount of the file finds.
    """
    everything = read_flights(flights)
    console.print(
        f"{len(everything):,} flights on one Kafka partition, a lookup of {WAIT * 1000:g} ms each, "
        "then a count\nfor every airport and day.\n",
        soft_wrap=True,
    )
    trials = [Trial(everything[:one_by_one], 1), Trial(everything, 64)]
    for trial in trials:
        trial.run(broker)
    console.print(_comparison(trials))
    console.print(_busiest(trials[-1].counts, rows))
    return all(trial.is_right for trial in trials)


def _comparison(trials: Sequence[Trial]) -> Table:
    table = Table("", *[trial.title for trial in trials])
    for column in table.columns[1:]:
        column.justify = "right"
    base = trials[0].per_second
    rows = {
        "flights looked up": [f"{trial.lookups.answers:,}" for trial in trials],
        "at the same time, at most": [f"{trial.lookups.most}" for trial in trials],
        "lookups per second": [f"{trial.per_second:,.0f}" for trial in trials],
        "speed-up": [f"{trial.per_second / base:.1f} x" for trial in trials],
        "counts equal the file": ["yes" if trial.is_right else "NO" for trial in trials],
    }
    for title, cells in rows.items():
        table.add_row(title, *cells)
    return table


def _busiest(counts: Mapping[tuple[str, int], int], rows: int) -> Table:
    table = Table("airport", "flights", "on its busiest day", title="Where they go")
    for column in table.columns[1:]:
        column.justify = "right"
    flights: Counter[str] = Counter()
    busiest: Counter[str] = Counter()
    for (airport, _), count in counts.items():
        flights[airport] += count
        busiest[airport] = max(busiest[airport], count)
    for airport, count in flights.most_common(rows):
        table.add_row(airport, f"{count:,}", f"{busiest[airport]:,}")
    return table


def main() -> None:
    """Run the demo; exits with 1 if a count is wrong."""
    parser = argparse.ArgumentParser(prog="python -m examples.flights_enriched")
    parser.add_argument("--flights", type=int, default=5_000, help="only the first so many")
    parser.add_argument("--one-by-one", type=int, default=300, help="so many for comparison")
    parser.add_argument("--rows", type=int, default=8, help="so many airports")
    parser.add_argument("--broker", metavar="HOST:PORT", help="a Kafka; without it in memory")
    options = parser.parse_args()
    sys.exit(not run(options.flights, options.one_by_one, options.rows, options.broker))
