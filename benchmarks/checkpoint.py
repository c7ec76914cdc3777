"""What a large checkpoint costs those who go on meanwhile: state, threads, a real Kafka.

    python -m benchmarks checkpoint --broker localhost:9092 [--rounds 5] [--changes 50000] [--json]

One process with state, 500 short jobs a second, each of a key of its own, and a checkpoint every 4
seconds. Before every second one, 50,000 keys of the state are changed as well, early enough to be
over when the checkpoint begins. A round is one checkpoint without them and one with. Looked at is
the time from a second before it is committed to half a second after it:

turn     the longest turn of the owner: so long it neither polls nor hands out records
work     the same in seconds of CPU: what a busy machine adds is left out
p99      of the jobs that were enqueued then, from `enqueue` to the handler's end

The owner and the handlers share one GIL, so a checkpoint that works for half a second takes its
share of that. Three times the usual p99 is allowed, or 10 ms (what an open load is to keep) where
the usual one is less than a third of that; done in one turn it is ten times. One turn may work for
20 ms: four times the interval in which Python's threads take turns.
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
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from statistics import median, quantiles
from typing import Final

import structlog
from rich.console import Console
from rich.table import Table

from streamjobs import App, Job, current_context
from streamjobs.engine.events import Observer
from streamjobs.engine.generation import Generation
from streamjobs.engine.ledger import Frozen
from streamjobs.engine.owner import Owner
from streamjobs.runtime import Runtime

RATE: Final = 500
INTERVAL: Final = 4.0
EACH: Final = 1_000
"""Changes of one job of the flood."""

PAUSE: Final = 0.03
"""Seconds between two of those."""

BEFORE, AFTER = 1.0, 0.5
"""Seconds around the moment in which a checkpoint is committed."""

WARM_UP: Final = 2
"""Checkpoints that are not looked at."""

TIMES: Final = 3.0
ANYWAY_MS: Final = 10.0
WORK_MS: Final = 20.0

SPAWN: Final = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Load:
    """What one process does."""

    name: str
    broker: str
    guarantee: str
    changes: int
    rounds: int

    def job(
        self, work: Callable[[int, float], None], state_dir: str
    ) -> tuple[App, Job[..., None], Job[..., None]]:
        app = App(
            self.name,
            broker=self.broker,
            guarantee=self.guarantee,  # type: ignore[arg-type]
            threads=16,
            partitions=1,
            state_dir=state_dir,
            commit_interval=INTERVAL,
            transaction_timeout=60,
        )

        @app.job(topic=self.name, name="steady", key="number", state=True)
        def steady(number: int, enqueued: float) -> None:
            current_context().state.set("number", number)
            work(number, enqueued)

        @app.job(topic=self.name, name="flood", key="number", state=True)
        def flood(number: int, value: int) -> None:
            state = current_context().state
            for name in range(EACH):
                state.set(f"{name}", value)

        return app, steady, flood


@dataclass(frozen=True)
class Measured:
    """The time around one checkpoint."""

    longest_turn_ms: float
    longest_work_ms: float
    p50_ms: float
    p99_ms: float
    jobs: int


Round = tuple[Measured, Measured]
"""Without the changes, and with them."""


class Run(Observer):
    """A load at work in this process."""

    def __init__(self, load: Load, state_dir: str) -> None:
        self._load = load
        self._state_dir = state_dir
        self._app, _, self._flood = load.job(self._work, state_dir)
        self._latencies: list[tuple[float, float]] = []
        self._turns: list[tuple[float, float]] = []
        self._works: list[tuple[float, float]] = []
        self._commits: list[float] = []

    def measure(self) -> list[Round]:
        feeder = SPAWN.Process(target=feed, args=(self._load, self._state_dir), daemon=True)
        feeder.start()
        self._runtime = Runtime(self._app, observers=[self])
        turn = Owner.turn
        Owner.turn = lambda owner: self._timed(turn, owner)  # type: ignore[method-assign]
        self._runtime.run()
        feeder.kill()
        self._app.close()
        around = [self._around(commit) for commit in self._commits[WARM_UP:]]
        return list(zip(around[::2], around[1::2], strict=False))[: self._load.rounds]

    def after_commit(self, frozen: Mapping[Generation, Frozen]) -> None:
        now = time.time()
        if self._commits and now - self._commits[-1] < INTERVAL / 2:
            return  # the first one only says that somebody is there
        self._commits.append(now)
        number = len(self._commits) - WARM_UP
        if number > 0 and number % 2:
            threading.Thread(target=self._flow, args=(number,), daemon=True).start()
        if number == 2 * self._load.rounds:
            threading.Timer(2 * AFTER, self._runtime.stop).start()

    def _flow(self, value: int) -> None:
        time.sleep(2 * AFTER)
        for number in range(self._load.changes // EACH):
            self._flood.enqueue(-1 - number, value)
            time.sleep(PAUSE)

    def _work(self, number: int, enqueued: float) -> None:
        self._latencies.append((enqueued, time.time() - enqueued))

    def _timed(self, turn: Callable[[Owner], None], owner: Owner) -> None:
        began, worked = time.time(), time.thread_time()
        turn(owner)
        ended = time.time()
        self._turns.append((ended, ended - began))
        self._works.append((ended, time.thread_time() - worked))

    def _around(self, commit: float) -> Measured:
        def then(times: Sequence[tuple[float, float]]) -> list[float]:
            return [1000 * took for at, took in times if commit - BEFORE <= at <= commit + AFTER]

        latencies = then(self._latencies)
        percentiles = quantiles(latencies, n=100)
        return Measured(
            longest_turn_ms=max(then(self._turns)),
            longest_work_ms=max(then(self._works)),
            p50_ms=percentiles[49],
            p99_ms=percentiles[98],
            jobs=len(latencies),
        )


def feed(load: Load, state_dir: str) -> None:
    """Enqueue the steady jobs, in a process of its own."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    _, steady, _ = load.job(lambda number, enqueued: None, state_dir)
    began, number = time.perf_counter(), 0
    while True:
        while number > (time.perf_counter() - began) * RATE:
            time.sleep(0.001)
        steady.enqueue(number, time.time())
        number += 1


def run(load: Load) -> list[Round]:
    """Measure a load in this process, which should be a fresh one."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as state_dir:
        return Run(load, state_dir).measure()


# -- what is judged, and shown ---------------------------------------------------------------------


def holds(rounds: Sequence[Round]) -> dict[str, bool]:
    """Each bar, and whether the medians keep to it."""
    usual = median(small.p99_ms for small, _ in rounds)
    p99 = median(large.p99_ms for _, large in rounds)
    work = median(large.longest_work_ms for _, large in rounds)
    return {
        f"p99_ms <= {TIMES:g} x without, or {ANYWAY_MS:g}": p99 <= max(TIMES * usual, ANYWAY_MS),
        f"longest_work_ms <= {WORK_MS:g}": work <= WORK_MS,
    }


def show(name: str, rounds: Sequence[Round]) -> None:
    table = Table(name, "few keys", "many", title="median (min..max)")
    for field in asdict(rounds[0][0]):
        sides = zip(*rounds, strict=True)
        table.add_row(field, *(spread([getattr(each, field) for each in side]) for side in sides))
    bars = Table("bar", "holds")
    for bar, is_held in holds(rounds).items():
        bars.add_row(bar, "yes" if is_held else "NO")
    Console().print(table, bars)


def spread(values: Sequence[float]) -> str:
    return "{:,.1f} ({:,.1f}..{:,.1f})".format(*(of(values) for of in (median, min, max)))


def as_json(results: Mapping[str, Sequence[Round]]) -> str:
    packages = ("streamjobs", "quixstreams", "confluent-kafka")
    return json.dumps(
        {
            "versions": {name: version(name) for name in packages},
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "bars": {name: holds(rounds) for name, rounds in results.items()},
            "rounds": {
                name: [{"few": asdict(few), "many": asdict(many)} for few, many in rounds]
                for name, rounds in results.items()
            },
        }
    )


def main() -> None:
    """Measure, show tables and JSON; fails where a bar does not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks checkpoint",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    guarantees = ("at-least-once", "exactly-once")
    parser.add_argument("--broker", default=os.environ.get("STREAMJOBS_BROKER", "localhost:9092"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--changes", type=int, default=50_000)
    parser.add_argument("--only", nargs="+", choices=guarantees, default=guarantees)
    parser.add_argument("--json", action="store_true", help="JSON alone")
    options = parser.parse_args()
    results = {}
    for guarantee in options.only:
        name = f"checkpoint-{guarantee}-{uuid.uuid4().hex[:6]}"
        load = Load(name, options.broker, guarantee, options.changes, options.rounds)
        with ProcessPoolExecutor(1, mp_context=SPAWN) as process:
            results[guarantee] = process.submit(run, load).result()
    if not options.json:
        for name, rounds in results.items():
            show(name, rounds)
    print(as_json(results))
    sys.exit(not all(all(holds(rounds).values()) for rounds in results.values()))


if __name__ == "__main__":
    main()
