"""What state and exactly-once cost: a count per key, one partition, a real Kafka.

    python -m benchmarks state --broker localhost:9092 [--rounds 5] [--records 300000] [--json]

Records of 73 bytes of JSON, 10,000 keys, all there before the clock starts. A handler counts the
records of each key in `ctx.state`, on threads with 64 virtual partitions or inline, with either
guarantee, and with a commit each second or ten. In the same round: the same handler without state,
and `sdf.apply(count, stateful=True)` of plain Quix Streams.

Each run has a process, a consumer group and a state directory of its own. The first tenth of the
records is not measured. `cpu_us` is the CPU that a record costs, in all threads: what else a
machine has to do changes it less than the time.
"""

import argparse
import json
import logging
import multiprocessing
import os
import platform
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from random import Random
from statistics import median
from typing import Any, Final

import structlog
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console
from rich.table import Table

from streamjobs import App, Context
from streamjobs.engine.events import Observer
from streamjobs.engine.generation import Generation
from streamjobs.record import Record
from streamjobs.runtime import Runtime

KEYS: Final = 10_000
VALUE_BYTES: Final = 73
WARM_UP: Final = 0.1
"""The share of the records that is not measured."""

QUIX_AT: Final = 1.0
"""The commit interval at which the libraries are compared."""

SPAWN: Final = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Load:
    """What one run does: `library` is "streamjobs" or "quix"."""

    library: str
    interval: float
    guarantee: str = "at-least-once"
    inline: bool = False
    state: bool = True

    @property
    def name(self) -> str:
        if self.library == "quix":
            return f"quix, {self.interval:g} s"
        how = "inline" if self.inline else "threads"
        what = self.guarantee if self.state else "no state"
        return f"{how}, {what}, {self.interval:g} s"


@dataclass(frozen=True)
class Source:
    """The records that every run reads."""

    broker: str
    topic: str
    records: int


@dataclass(frozen=True)
class Measured:
    """One run."""

    per_second: float
    cpu_us: float


class Stopwatch:
    """From the first record that is measured to the last one."""

    def __init__(self, records: int) -> None:
        self._first = int(records * WARM_UP)
        self._last = records
        self._done = 0
        self._began = self._cpu = 0.0
        self.measured: Measured | None = None

    def count(self, records: int) -> bool:
        """So many more are done; says whether those were the last ones."""
        before = self._done
        self._done += records
        if not self._began and self._done > self._first:
            self._first = self._done
            self._began, self._cpu = time.perf_counter(), time.process_time()
        if before < self._last <= self._done:
            counted = self._last - self._first
            took, cpu = time.perf_counter() - self._began, time.process_time() - self._cpu
            self.measured = Measured(counted / took, 1e6 * cpu / counted)
        return self._done >= self._last


# -- the runs --------------------------------------------------------------------------------------


class Settled(Observer):
    """Stops the app when the last record is done."""

    runtime: Runtime

    def __init__(self, watch: Stopwatch) -> None:
        self._watch = watch

    def after_settle(self, generation: Generation, records: Sequence[Record]) -> None:
        if self._watch.count(len(records)):
            self.runtime.stop()


def run_streamjobs(load: Load, source: Source, state_dir: str, watch: Stopwatch) -> None:
    app = App(
        f"state-{uuid.uuid4().hex[:8]}",
        broker=source.broker,
        guarantee=load.guarantee,  # type: ignore[arg-type]
        commit_interval=load.interval,
        state_dir=state_dir,
    )

    if load.state:

        @app.stream(source.topic, value="json", state=True, inline=load.inline)
        def count(value: Any, ctx: Context) -> None:
            ctx.state.update("n", one_more, default=0)
    else:

        @app.stream(source.topic, value="json", inline=load.inline)
        def ignore(value: Any, ctx: Context) -> None:
            one_more(0)

    settled = Settled(watch)
    settled.runtime = Runtime(app, observers=[settled])
    settled.runtime.run()
    app.close()


def one_more(seen: int) -> int:
    return seen + 1


def run_quix(load: Load, source: Source, state_dir: str, watch: Stopwatch) -> None:
    from quixstreams import Application, State

    app = Application(
        broker_address=source.broker,
        consumer_group=f"state-{uuid.uuid4().hex[:8]}",
        auto_offset_reset="earliest",
        commit_interval=load.interval,
        state_dir=state_dir,
        loglevel="WARNING",
    )

    def count(value: Any, state: State) -> Any:
        state.set("n", one_more(state.get("n", 0)))
        watch.count(1)
        return value

    sdf = app.dataframe(app.topic(source.topic, value_deserializer="json"))
    sdf.apply(count, stateful=True)
    app.run(count=source.records, collect=False)


def run(load: Load, source: Source) -> Measured:
    """Measure a load in this process, which should be a fresh one."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    watch = Stopwatch(source.records)
    work = run_quix if load.library == "quix" else run_streamjobs
    with tempfile.TemporaryDirectory() as state_dir:
        work(load, source, state_dir, watch)
    if watch.measured is None:
        raise SystemExit(f"{load.name}: it ended before its last record")
    return watch.measured


# -- rounds ----------------------------------------------------------------------------------------

Round = Mapping[str, Measured]
"""One run of each load, by its name."""


def loads(intervals: Sequence[float], guarantees: Sequence[str]) -> list[Load]:
    counting = [
        Load("streamjobs", interval, guarantee, inline)
        for inline in (False, True)
        for interval in intervals
        for guarantee in guarantees
    ]
    stateless = [Load("streamjobs", QUIX_AT, inline=each, state=False) for each in (False, True)]
    return [*counting, *stateless, Load("quix", QUIX_AT)]


def play(chosen: Sequence[Load], source: Source, rounds: int) -> list[Round]:
    """Every load once a round, in the opposite order in every second one."""
    played = []
    for number in range(rounds):
        measured = {}
        for load in chosen if number % 2 == 0 else reversed(chosen):
            with ProcessPoolExecutor(1, mp_context=SPAWN) as process:
                measured[load.name] = process.submit(run, load, source).result()
        played.append(measured)
    return played


def fill(source: Source) -> None:
    """Write the records: one partition, the keys in no order."""
    admin = AdminClient({"bootstrap.servers": source.broker})
    admin.create_topics([NewTopic(source.topic, 1, 1)])[source.topic].result()
    producer = Producer({"bootstrap.servers": source.broker, "linger.ms": 20})
    random = Random(source.records)
    for number in range(source.records):
        value = b'{"n":%d,"of":"' % number
        value += b"x" * (VALUE_BYTES - len(value) - 2) + b'"}'
        producer.produce(source.topic, value, b"key-%d" % random.randrange(KEYS))
        if number % 10_000 == 0:
            producer.flush()
    producer.flush()


# -- what is judged, and shown ---------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """What the median over the rounds has to be: so much faster than the other."""

    load: Load
    other: Load
    least: float

    def judged(self, rounds: Sequence[Round]) -> list[float]:
        return [
            each[self.load.name].per_second / each[self.other.name].per_second for each in rounds
        ]

    def holds(self, rounds: Sequence[Round]) -> bool:
        return median(self.judged(rounds)) >= self.least

    def __str__(self) -> str:
        return f"{self.load.name} >= {self.least:g} x {self.other.name}"


def bars(intervals: Sequence[float]) -> list[Bar]:
    exact = [
        Bar(
            Load("streamjobs", interval, "exactly-once", inline),
            Load("streamjobs", interval, inline=inline),
            least=0.9,
        )
        for inline in (False, True)
        for interval in intervals
    ]
    quix = [
        Bar(Load("streamjobs", QUIX_AT, inline=inline), Load("quix", QUIX_AT), least=2)
        for inline in (False, True)
    ]
    return [*exact, *quix]


def show(rounds: Sequence[Round], judged: Sequence[Bar]) -> None:
    table = Table("count per key", "records/s", "us of CPU a record", title="median (min..max)")
    for name in rounds[0]:
        runs = [each[name] for each in rounds]
        table.add_row(
            name,
            spread([each.per_second for each in runs], ",.0f"),
            spread([each.cpu_us for each in runs], ",.1f"),
        )
    held = Table("bar", "median (min..max)", "holds")
    for bar in judged:
        of = spread(bar.judged(rounds), ",.2f")
        held.add_row(str(bar), of, "yes" if bar.holds(rounds) else "NO")
    Console().print(table, held)


def spread(values: Sequence[float], form: str) -> str:
    return "{} ({}..{})".format(*(format(of(values), form) for of in (median, min, max)))


def as_json(rounds: Sequence[Round], judged: Sequence[Bar]) -> str:
    packages = ("streamjobs", "quixstreams", "confluent-kafka")
    return json.dumps(
        {
            "versions": {name: version(name) for name in packages},
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "bars": {str(bar): [bar.holds(rounds), *bar.judged(rounds)] for bar in judged},
            "rounds": [{name: asdict(run) for name, run in each.items()} for each in rounds],
        }
    )


def main() -> None:
    """Measure, show tables and JSON; fails where a bar does not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks state",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--broker", default=os.environ.get("STREAMJOBS_BROKER", "localhost:9092"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--intervals", type=float, nargs="+", default=[QUIX_AT, 0.1])
    parser.add_argument("--json", action="store_true", help="JSON alone")
    options = parser.parse_args()
    if QUIX_AT not in options.intervals:
        parser.error(f"--intervals: {QUIX_AT:g} is among them, which Quix Streams is measured at")
    source = Source(options.broker, f"state-{uuid.uuid4().hex[:8]}", options.records)
    fill(source)
    chosen = loads(options.intervals, ("at-least-once", "exactly-once"))
    rounds, judged = play(chosen, source, options.rounds), bars(options.intervals)
    if not options.json:
        show(rounds, judged)
    print(as_json(rounds, judged))
    sys.exit(not all(bar.holds(rounds) for bar in judged))


if __name__ == "__main__":
    main()
