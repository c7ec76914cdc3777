"""How much faster one partition is with 64 virtual partitions than with 1, for jobs that wait 5 ms.

    python -m benchmarks.speedup                            on a broker in memory
    python -m benchmarks.speedup --broker localhost:9092    on a Kafka

The keys are those of the flights example, in its order: some aircraft fly often, most rarely. All
jobs are on the topic before the clock starts; it runs from the first start to the last end.
"""

import argparse
import json
import logging
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import structlog
from rich.console import Console
from rich.table import Table

from examples.flights import read_flights
from streamjobs import App, VirtualPartitions
from streamjobs.broker.memory import MemoryBroker
from streamjobs.broker.ports import Broker
from streamjobs.policies import Distribution

SECONDS: Final = 0.005
BAR: Final = 45.0


@dataclass(frozen=True)
class Measured:
    """One run."""

    virtual_partitions: int
    distribution: str
    jobs: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.jobs / self.seconds


class Clock:
    """Notes when the first job starts and when the last one ends."""

    def __init__(self) -> None:
        self.started: list[float] = []
        self.ended: list[float] = []

    def work(self, tailnum: str | None) -> None:
        self.started.append(time.perf_counter())
        time.sleep(SECONDS)
        self.ended.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        return max(self.ended) - min(self.started)


def measure(
    broker: str | Broker, keys: Sequence[str | None], count: int, distribution: Distribution
) -> Measured:
    """Run a job for each key with so many virtual partitions."""
    clock = Clock()
    app = App(f"speedup-{count}-{distribution}-{uuid.uuid4().hex[:6]}", broker=broker, threads=64)
    job = app.job(
        topic=app.name,
        key="tailnum",
        virtual_partitions=VirtualPartitions(count, distribution=distribution),
    )(clock.work)
    for receipt in job.enqueue_many((key,) for key in keys):
        receipt.wait()
    app.run(until_idle=True)
    app.close()
    if len(clock.ended) != len(keys):
        raise SystemExit(f"{len(keys)} jobs were enqueued, {len(clock.ended)} ended")
    return Measured(count, distribution, len(keys), clock.seconds)


def main() -> None:
    """Measure, show a table and a line of JSON; fails below the bar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speedup", description=__doc__)
    parser.add_argument("--broker", help="address of a Kafka; a broker in memory if left out")
    parser.add_argument("--jobs", type=int, help="default: all flights")
    parser.add_argument("--repeat", type=int, default=3, help="the median of so many counts")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    broker = options.broker or MemoryBroker()
    keys = [flight.tailnum for flight in read_flights(options.jobs)]
    base = measure(broker, keys[:600], 1, "balanced")
    results = [base]
    for distribution in ("balanced", "consistent"):
        tries = [measure(broker, keys, 64, distribution) for _ in range(options.repeat)]
        results.append(sorted(tries, key=lambda each: each.seconds)[len(tries) // 2])
    _show(results, base)
    sys.exit(results[1].per_second / base.per_second < BAR)


def _show(results: Sequence[Measured], base: Measured) -> None:
    table = Table("virtual partitions", "distribution", "jobs", "seconds", "jobs/s", "speed-up")
    for each in results:
        table.add_row(
            str(each.virtual_partitions),
            each.distribution,
            f"{each.jobs:,}",
            f"{each.seconds:.2f}",
            f"{each.per_second:,.0f}",
            f"{each.per_second / base.per_second:.1f} x",
        )
    Console().print(table)
    figures = [
        {
            **asdict(each),
            "per_second": round(each.per_second, 1),
            "speed_up": round(each.per_second / base.per_second, 1),
        }
        for each in results
    ]
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
