"""Pipelines against plain Quix Streams: the same operators, the same records, one partition.

    python -m benchmarks pipelines --broker localhost:9092 [--rounds 3] [--only apply] [--json]

apply    the value changed by a function
state    a count per key in state
window   the mean of each key's 10 seconds by a tumbling window
write    apply, and the result to another topic

Each run has a process of its own and takes records that are there before the clock starts, which
runs from the first record's end to the last one's. Runs of the two take turns.
"""

import argparse
import io
import json
import logging
import os
import platform
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from importlib.metadata import version
from statistics import median
from typing import Any, Final, NamedTuple

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.failures import SPAWN, spread

KEYS: Final = 10_000
BAR: Final = 1.3


class Load(NamedTuple):
    """What one run is about."""

    name: str
    broker: str
    topic: str
    records: int


def build(name: str, sdf: Any, topic: Callable[[str], Any], seen: Callable[[Any], Any]) -> None:
    """The operators of a workload; `seen` counts what comes out of the first one."""
    if name == "apply":
        sdf.apply(lambda value: {**value, "x": value["x"] + 1}).apply(seen)
    elif name == "state":

        def count(value: Any, state: Any) -> int:
            n: int = state.get("n", 0) + 1
            state.set("n", n)
            return n

        sdf.apply(count, stateful=True).apply(seen)
    elif name == "window":
        values = sdf.apply(seen).apply(lambda value: value["x"])
        values.tumbling_window(10_000).mean().final()
    else:
        sdf.apply(lambda value: {**value, "x": value["x"] + 1}).apply(seen).to_topic(topic("out"))


class Clock:
    """Counts records, and says how fast they came."""

    def __init__(self, records: int, stop: Callable[[], None]) -> None:
        self._left = records
        self._records = records
        self._stop = stop
        self._began = 0.0
        self.per_second = 0.0

    def seen(self, value: Any) -> Any:
        if not self._began:
            self._began = time.perf_counter()
        self._left -= 1
        if self._left == 0:
            self.per_second = self._records / (time.perf_counter() - self._began)
            self._stop()
        return value


def run_streamjobs(load: Load) -> float:
    from streamjobs import App, logs

    with tempfile.TemporaryDirectory() as state, redirect_stderr(io.StringIO()):
        logs.configure("json", verbose=False)
        app = App(f"{load.topic}-{uuid.uuid4().hex[:6]}", broker=load.broker, state_dir=state)
        clock = Clock(load.records, app.stop)

        @app.pipeline(load.topic)
        def pipeline(sdf: Any) -> None:
            build(load.name, sdf, lambda name: app.topic(f"{load.topic}.{name}.a"), clock.seen)

        app.run()
        return clock.per_second


def run_quix(load: Load) -> float:
    from quixstreams import Application

    logging.disable()
    with tempfile.TemporaryDirectory() as state:
        app = Application(
            broker_address=load.broker,
            consumer_group=f"{load.topic}-{uuid.uuid4().hex[:6]}",
            auto_offset_reset="earliest",
            state_dir=state,
            commit_interval=1.0,
            consumer_extra_config={"fetch.queue.backoff.ms": 10},
        )
        clock = Clock(load.records, app.stop)
        sdf = app.dataframe(app.topic(load.topic))
        build(load.name, sdf, lambda name: app.topic(f"{load.topic}.{name}.b"), clock.seen)
        app.run()
        return clock.per_second


PEERS: Final[Mapping[str, Callable[[Load], float]]] = {
    "streamjobs": run_streamjobs,
    "quix": run_quix,
}


def produce(load: Load) -> None:
    """All records: 73 bytes or so, of 10,000 keys, ten a millisecond of their time."""
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": load.broker})
    admin.create_topics([NewTopic(load.topic, 1, 1)])[load.topic].result(10)
    producer = Producer({"bootstrap.servers": load.broker, "linger.ms": 50})
    began = int(time.time() * 1000)
    for number in range(load.records):
        value = orjson.dumps({"x": number % 100, "id": number, "text": "x" * 30})
        while True:
            try:
                at = began + number // 10  # of today: Kafka deletes what is a week old
                producer.produce(load.topic, value, f"key-{number % KEYS}", timestamp=at)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()


def play(load: Load, rounds: int) -> dict[str, list[float]]:
    measured: dict[str, list[float]] = {name: [] for name in PEERS}
    for number in range(rounds):
        for name in list(PEERS) if number % 2 else reversed(list(PEERS)):
            with ProcessPoolExecutor(1, mp_context=SPAWN) as process:
                measured[name].append(process.submit(PEERS[name], load).result())
    return measured


def show(results: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    table = Table("workload", "streamjobs, 1/s", "Quix, 1/s", "ratio", f">= {BAR:g}")
    for name, measured in results.items():
        ours, theirs = measured["streamjobs"], measured["quix"]
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        table.add_row(
            name,
            spread(ours, ",.0f"),
            spread(theirs, ",.0f"),
            spread(ratios, ".2f"),
            "yes" if median(ratios) >= BAR else "NO",
        )
    Console().print(table)


def main() -> None:
    """Measure, show a table and JSON."""
    names = ("apply", "state", "window", "write")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks pipelines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--broker", default=os.environ.get("STREAMJOBS_BROKER", "localhost:9092"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--json", action="store_true", help="JSON alone")
    options = parser.parse_args()
    topic = f"bench-pipelines-{uuid.uuid4().hex[:6]}"
    produce(Load("", options.broker, topic, options.records))
    results = {
        name: play(Load(name, options.broker, topic, options.records), options.rounds)
        for name in options.only
    }
    if not options.json:
        show(results)
    packages = ("streamjobs", "quixstreams", "confluent-kafka")
    about = {"python": platform.python_version(), "cores": os.cpu_count()}
    print(json.dumps({"versions": {each: version(each) for each in packages}, **about, **results}))
