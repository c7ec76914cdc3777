"""What failing keys cost the others: one partition, 64 virtual partitions, threads, a real Kafka.

    python -m benchmarks failures --broker localhost:9092 [--rounds 3] [--only open] [--json]

open     10,000 keys of which 1 % always fail (5 attempts, then the dead letter), at 60 % of what
         the machine can do: the p99 latency of the others, from `enqueue` to the handler's end.
closed   the same, all records there before the clock starts: how many of the others a second.
stuck    one key fails for ever, 500 records a second behind it, 1,000 a second for others: how many
         of the others are done, what memory it takes, whether the log names the key.

Each run has a process and a topic of its own, another process enqueues. A run with failures has its
twin next to it, in turns before and after: the same records, and those keys succeed. A completion
map that is full stops the partition, as is promised: the table says how often it was, and how many
of the others were done at all.
"""

import argparse
import json
import logging
import multiprocessing
import os
import platform
import sys
import tempfile
import threading
import time
import uuid
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Final

import structlog
from rich.console import Console
from rich.table import Table

from streamjobs import App, Job, Retry, logs
from streamjobs.engine.events import Observer
from streamjobs.engine.generation import Generation
from streamjobs.record import Record
from streamjobs.runtime import Runtime

WARM_UP: Final = 2.0
"""Seconds after the start whose records are done, but not measured."""

PATIENCE: Final = 15.0
"""Seconds that a run may take longer than its records come in."""

SPAWN: Final = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Load:
    """What one run is about. Without a `rate` all records are there before the clock starts."""

    name: str
    broker: str
    records: int
    rate: float | None
    bad_keys: int
    good_keys: int
    bad_share: float
    retry: Retry
    seconds_each: float
    failing: bool = True

    def each_key(self) -> Iterator[str]:
        """The keys of the records, always the same ones in the same order."""
        random = Random(self.records)
        for _ in range(self.records):
            bad = random.random() < self.bad_share
            number = random.randrange(self.bad_keys if bad else self.good_keys)
            yield f"bad-{number}" if bad else f"good-{number}"

    @property
    def duration(self) -> float:
        return self.records / self.rate if self.rate else 60.0

    def job(self, work: Callable[[str, float], None]) -> tuple[App, Job[[str, float], None]]:
        app = App(self.name, broker=self.broker, threads=64)
        declare = app.job(topic=self.name, name="work", key="key", retry=self.retry)
        return app, declare(work)


@dataclass(frozen=True)
class Measured:
    """One run. The first four are about the keys that never fail."""

    per_second: float
    percent_done: float  # of those enqueued
    p50_ms: float
    p99_ms: float
    mib: float  # at the end
    mib_more: float  # than after a third of the time
    failed_attempts: int
    dead_letters: int
    deferred: int  # at the end
    read_again: int
    map_full: int  # how often
    named: int  # lines of the log that name the first of the failing keys


class Run(Observer):
    """A load at work in this process."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._expected = sum(key.startswith("good") for key in load.each_key())
        self._latencies = array("d")
        self._ends = array("d")
        self._mib: list[float] = []
        self._map_full = self._read_again = 0
        self._generation: Generation | None = None
        self._began = 0.0
        self._started = SPAWN.Event()

    def work(self, key: str, enqueued: float) -> None:
        time.sleep(self._load.seconds_each)
        if key.startswith("bad"):
            if self._load.failing:
                raise ConnectionError("this key always fails")
            return
        now = time.time()
        self._ends.append(now)
        if enqueued > self._began + WARM_UP:
            self._latencies.append(now - enqueued)
        if len(self._ends) >= self._expected:
            self._runtime.stop()

    def measure(self, log: Path) -> Measured:
        app, _ = self._load.job(self.work)
        self._runtime = Runtime(app, observers=[self])
        feeder = SPAWN.Process(target=feed, args=(self._load, self._started), daemon=True)
        feeder.start()
        if self._load.rate is None:
            feeder.join()
        self._runtime.run()
        self._mib.append(resident_mib())
        feeder.kill()
        app.close()
        if not self._ends:
            raise SystemExit("nothing was done; did the process that enqueues fail?")
        return self._measured(log.read_text())

    def _measured(self, log: str) -> Measured:
        counted = [end for end in self._ends if end > self._began + WARM_UP] or self._ends
        percentiles = quantiles(self._latencies or [0.0, 0.0], n=100)
        return Measured(
            per_second=len(counted) / (max(counted) - min(counted)),
            percent_done=100 * len(self._ends) / self._expected,
            p50_ms=percentiles[49] * 1000,
            p99_ms=percentiles[98] * 1000,
            mib=self._mib[-1],
            mib_more=self._mib[-1] - self._mib[0],
            failed_attempts=self._runtime.counts.failed_attempts,
            dead_letters=self._runtime.counts.dead_lettered_records,
            deferred=0 if self._generation is None else len(self._generation.deferred),
            read_again=self._read_again,
            map_full=self._map_full,
            named=sum('"bad-0"' in line for line in log.splitlines()),
        )

    def after_assign(self, generation: Generation) -> None:
        self._generation = generation
        if self._began:
            return
        self._began = time.time()
        self._started.set()
        third = self._load.duration / 3
        self._after(third, lambda: self._mib.append(resident_mib()))
        self._after(self._load.duration + PATIENCE, self._runtime.stop)

    def _after(self, seconds: float, then: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, then)
        timer.daemon = True
        timer.start()

    def read_again(self, generation: Generation, record: Record, gone: bool) -> None:
        self._read_again += 1

    def full(self, generation: Generation, order: object) -> None:
        self._map_full += 1


def feed(load: Load, started: threading.Event) -> None:
    """Enqueue what a load says, in a process of its own: from the start of the run on, or now."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    app, job = load.job(lambda key, enqueued: None)
    if load.rate is not None:
        started.wait()
    began = time.perf_counter()
    for number, key in enumerate(load.each_key()):
        while load.rate and number > (time.perf_counter() - began) * load.rate:
            time.sleep(0.002)
        job.enqueue(key, time.time())
    app.close()


def run(load: Load) -> Measured:
    """Measure a load in this process, which should be a fresh one."""
    with tempfile.NamedTemporaryFile("w", suffix=".log") as log, redirect_stderr(log):
        logs.configure("json", verbose=False)
        return Run(load).measure(Path(log.name))


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# -- rounds ----------------------------------------------------------------------------------------

Round = tuple[Measured, Measured]
"""A run in which all keys succeed, and its twin with failures."""


def play(load: Load, rounds: int) -> list[Round]:
    played = []
    for number in range(rounds):
        measured = {}
        for failing in (True, False) if number % 2 else (False, True):
            name = f"failures-{load.name}-{uuid.uuid4().hex[:6]}"
            with ProcessPoolExecutor(1, mp_context=SPAWN) as process:
                this = replace(load, name=name, failing=failing)
                measured[failing] = process.submit(run, this).result()
        played.append((measured[False], measured[True]))
    return played


def loads(options: argparse.Namespace) -> Iterator[Load]:
    """The loads that were asked for; the rate of the open one follows from a closed run."""
    broker, poison = options.broker, Retry(attempts=5, wait=0.2)
    closed = Load("closed", broker, options.records, None, 100, 9_900, 0.01, poison, 0.0015)
    if "open" in options.only:
        rate = options.rate or 0.6 * play(replace(closed, name="capacity"), 1)[0][0].per_second
        yield replace(closed, name="open", rate=rate, records=round(rate * options.seconds))
    if "closed" in options.only:
        yield closed
    if "stuck" in options.only:
        bad, rate = options.stuck_rate, options.stuck_rate + options.others_rate
        count, for_ever = round(rate * options.stuck_seconds), Retry(attempts=None, wait=0.5)
        yield Load("stuck", broker, count, rate, 1, 1_000, bad / rate, for_ever, 0.001)


# -- what is judged, and shown ---------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """The median over all rounds of what failures make of a number has to lie in these bounds."""

    name: str
    of: Callable[[Measured, Measured], float]
    least: float = 0.0
    most: float = float("inf")

    def judged(self, rounds: Sequence[Round]) -> list[float]:
        return [self.of(working, failing) for working, failing in rounds]

    def holds(self, rounds: Sequence[Round]) -> bool:
        return self.least <= median(self.judged(rounds)) <= self.most

    def __str__(self) -> str:
        return f"{self.name} " + (f">= {self.least:g}" if self.least else f"<= {self.most:g}")


THROUGHPUT: Final = Bar("per_second, ratio", lambda a, b: b.per_second / a.per_second, least=0.95)
DONE: Final = Bar("percent_done, ratio", lambda a, b: b.percent_done / a.percent_done, least=0.95)
P99: Final = Bar("p99_ms, ratio", lambda a, b: b.p99_ms / a.p99_ms, most=1.2)
GROWTH: Final = Bar("mib_more with failures", lambda a, b: b.mib_more, most=5)
NAMED: Final = Bar("named with failures", lambda a, b: b.named, least=1)
BARS: Final = {
    "open": (DONE, P99),
    "closed": (DONE, THROUGHPUT),
    "stuck": (DONE, THROUGHPUT, GROWTH, NAMED),
}


def show(name: str, rounds: Sequence[Round]) -> None:
    runs = [[asdict(each) for each in side] for side in zip(*rounds, strict=True)]
    table = Table(name, "without failures", "with", title="median (min..max)")
    for field in runs[0][0]:
        table.add_row(field, *(spread([each[field] for each in side]) for side in runs))
    bars = Table("bar", "median (min..max)", "holds")
    for bar in BARS[name]:
        judged = spread(bar.judged(rounds), ",.2f")
        bars.add_row(str(bar), judged, "yes" if bar.holds(rounds) else "NO")
    Console().print(table, bars)


def spread(values: Sequence[float], form: str = ",.1f") -> str:
    return "{} ({}..{})".format(*(format(of(values), form) for of in (median, min, max)))


def as_json(results: Mapping[str, Sequence[Round]]) -> str:
    packages = ("streamjobs", "quixstreams", "confluent-kafka")
    return json.dumps(
        {
            "versions": {name: version(name) for name in packages},
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "bars": {
                name: {str(bar): [bar.holds(rounds), *bar.judged(rounds)] for bar in BARS[name]}
                for name, rounds in results.items()
            },
            "rounds": {
                name: [
                    {"without": asdict(working), "with": asdict(failing)}
                    for working, failing in rounds
                ]
                for name, rounds in results.items()
            },
        }
    )


def main() -> None:
    """Measure, show tables and JSON; fails where a bar does not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks failures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--broker", default=os.environ.get("STREAMJOBS_BROKER", "localhost:9092"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=tuple(BARS), default=tuple(BARS))
    parser.add_argument("--rate", type=float, help="records a second of the open load")
    parser.add_argument("--seconds", type=float, default=20, help="of the open load")
    parser.add_argument("--records", type=int, default=100_000, help="of the closed load")
    parser.add_argument("--stuck-rate", type=float, default=500, help="of the key that is stuck")
    parser.add_argument("--others-rate", type=float, default=1_000, help="of the keys beside it")
    parser.add_argument("--stuck-seconds", type=float, default=60)
    parser.add_argument("--json", action="store_true", help="JSON alone")
    options = parser.parse_args()
    results = {load.name: play(load, options.rounds) for load in loads(options)}
    if not options.json:
        for name, rounds in results.items():
            show(name, rounds)
    print(as_json(results))
    sys.exit(not all(bar.holds(rounds) for name, rounds in results.items() for bar in BARS[name]))


if __name__ == "__main__":
    main()
