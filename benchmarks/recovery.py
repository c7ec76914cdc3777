"""How long a lost disk takes: a million keys from their changelog, a real Kafka.

    python -m benchmarks recovery --broker localhost:9092 [--rounds 3] [--keys 1000000] [--json]

A changelog of one partition has a million keys, each once. A process without a state directory
starts on it, and is recovered when its handler sees the state of a record that waits for it: once
with streamjobs, once with plain Quix Streams, from the same changelog (they have one form). Its
twin starts with an empty one: what that needs is taken off, of time and of memory.

seconds      of the recovery
peak_mib     the most memory the recovering process had, above its idle twin's
seen_mib     the same of a streamjobs app that has counted a record of each of the keys, on threads

Each run has a process and a state directory of its own.
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
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
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
from streamjobs.state.changelog import changelog_topic, messages
from streamjobs.state.codec import encode
from streamjobs.state.entries import entry_key

LEAST: Final = 0.9
"""How fast a recovery has to be, where Quix Streams' own is 1."""

SPAWN: Final = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Scene:
    """Where a run takes place; a group with `keys` has that many on its changelog."""

    broker: str
    topic: str
    group: str
    keys: int

    @property
    def changelog(self) -> str:
        return changelog_topic(self.group, self.topic, "default")


@dataclass(frozen=True)
class Started:
    """One process, from its start until it is done."""

    seconds: float
    peak_mib: float


@dataclass(frozen=True)
class Recovered:
    """A recovery, without what its idle twin needs."""

    seconds: float
    per_second: float
    peak_mib: float


@dataclass(frozen=True)
class Round:
    """One recovery with each library, and an app that has seen all keys."""

    streamjobs: Recovered
    quix: Recovered
    seen_mib: float


# -- the runs --------------------------------------------------------------------------------------


def run_streamjobs(scene: Scene, state_dir: str, found: Callable[[Any], None]) -> None:
    app = App(scene.group, broker=scene.broker, state_dir=state_dir)

    @app.stream(scene.topic, value="bytes", state=True)
    def look(value: bytes, ctx: Context) -> None:
        found(ctx.state.get("n"))
        runtime.stop()

    runtime = Runtime(app)
    runtime.run()
    app.close()


def run_quix(scene: Scene, state_dir: str, found: Callable[[Any], None]) -> None:
    from quixstreams import Application, State

    app = Application(
        broker_address=scene.broker,
        consumer_group=scene.group,
        auto_offset_reset="earliest",
        state_dir=state_dir,
        loglevel="WARNING",
    )

    def look(value: bytes, state: State) -> bytes:
        found(state.get("n"))
        return value

    sdf = app.dataframe(app.topic(scene.topic, value_deserializer="bytes"))
    sdf.apply(look, stateful=True)
    app.run(count=1, collect=False)


def recover(library: str, scene: Scene) -> Started:
    """Start on a lost disk, in this process, which should be a fresh one."""
    quietly()
    began, seen = time.perf_counter(), []

    def found(value: Any) -> None:
        seen.append((time.perf_counter() - began, value))

    run = run_quix if library == "quix" else run_streamjobs
    with tempfile.TemporaryDirectory() as state_dir:
        run(scene, state_dir, found)
        seconds, value = seen[0]
    if value != (number_of(0) if scene.keys else None):
        raise SystemExit(f"{library}: it went on with {value!r} before its state was recovered")
    return Started(seconds, peak_mib())


class Settled(Observer):
    """Stops the app when so many records are done."""

    runtime: Runtime

    def __init__(self, records: int) -> None:
        self._left = records

    def after_settle(self, generation: Generation, records: Sequence[Record]) -> None:
        self._left -= len(records)
        if self._left <= 0:
            self.runtime.stop()


def see(scene: Scene) -> Started:
    """Count a record of each key, in this process, which should be a fresh one."""
    quietly()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as state_dir:
        app = App(scene.group, broker=scene.broker, state_dir=state_dir)

        @app.stream(scene.topic, value="bytes", state=True)
        def count(value: bytes, ctx: Context) -> None:
            ctx.state.update("n", lambda seen: seen + 1, default=0)

        settled = Settled(scene.keys)
        settled.runtime = Runtime(app, observers=[settled])
        settled.runtime.run()
        app.close()
    return Started(time.perf_counter() - began, peak_mib())


def quietly() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def peak_mib() -> float:
    """The most memory this process ever had; `ru_maxrss` would count that of its parent."""
    status = Path("/proc/self/status").read_text()
    (peak,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(peak.split()[1]) / 1024


def apart(function: Callable[..., Started], *arguments: Any) -> Started:
    """Call it in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=SPAWN) as process:
        return process.submit(function, *arguments).result()


# -- rounds ----------------------------------------------------------------------------------------


class Stage:
    """Topics and records for all rounds."""

    def __init__(self, broker: str, keys: int) -> None:
        name = f"recovery-{uuid.uuid4().hex[:8]}"
        self._producer = Producer({"bootstrap.servers": broker, "linger.ms": 20})
        self._admin = AdminClient({"bootstrap.servers": broker})
        self.full = Scene(broker, name, f"{name}-full", keys)
        self.empty = Scene(broker, name, f"{name}-empty", 0)
        self._all_keys = f"{name}-keys"
        for topic in (name, self.full.changelog, self.empty.changelog, self._all_keys):
            self._create(topic)
        self._fill()

    def _create(self, topic: str) -> None:
        self._admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()

    def _fill(self) -> None:
        for number in range(self.full.keys):
            key = key_of(number)
            changes = {entry_key(key, "n"): encode(number_of(number))}
            for message in messages(self.full.changelog, 0, changes):
                self._produce(message.topic, message.key, message.value, list(message.headers))
            self._produce(self._all_keys, key, b"")
        self._producer.flush()

    def _produce(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Any = None
    ) -> None:
        try:
            self._producer.produce(topic, value, key, headers=headers or [])
        except BufferError:
            self._producer.flush()
            self._producer.produce(topic, value, key, headers=headers or [])

    def recover(self, library: str, scene: Scene) -> Started:
        """With a record that waits for its handler."""
        self._produce(scene.topic, key_of(0), b"")
        self._producer.flush()
        return apart(recover, library, scene)

    def see(self) -> Started:
        group = f"{self._all_keys}-{uuid.uuid4().hex[:8]}"
        return apart(see, Scene(self.full.broker, self._all_keys, group, self.full.keys))

    def play(self, rounds: int) -> list[Round]:
        """Every run once a round, the libraries in turns first."""
        played = []
        for number in range(rounds):
            recovered = {}
            for library in ("streamjobs", "quix") if number % 2 == 0 else ("quix", "streamjobs"):
                idle = self.recover(library, self.empty)
                busy = self.recover(library, self.full)
                recovered[library] = self._above(idle, busy)
                if library == "streamjobs":
                    seen_mib = self.see().peak_mib - idle.peak_mib
            played.append(Round(recovered["streamjobs"], recovered["quix"], seen_mib))
        return played

    def _above(self, idle: Started, busy: Started) -> Recovered:
        seconds = busy.seconds - idle.seconds
        return Recovered(seconds, self.full.keys / seconds, busy.peak_mib - idle.peak_mib)


def key_of(number: int) -> bytes:
    return b"customer-%d" % number


def number_of(number: int) -> int:
    return number + 1_000_000


# -- what is judged, and shown ---------------------------------------------------------------------

BAR: Final = f"streamjobs >= {LEAST:g} x quix"


def judged(rounds: Sequence[Round]) -> list[float]:
    return [each.streamjobs.per_second / each.quix.per_second for each in rounds]


def holds(rounds: Sequence[Round]) -> bool:
    return median(judged(rounds)) >= LEAST


def show(rounds: Sequence[Round]) -> None:
    table = Table("recovery", "streamjobs", "quix", title="median (min..max)")
    for field in asdict(rounds[0].quix):
        sides = zip(*((each.streamjobs, each.quix) for each in rounds), strict=True)
        table.add_row(field, *(spread([getattr(run, field) for run in side]) for side in sides))
    table.add_row("seen_mib", spread([each.seen_mib for each in rounds]))
    bars = Table("bar", "median (min..max)", "holds")
    bars.add_row(BAR, spread(judged(rounds), ",.2f"), "yes" if holds(rounds) else "NO")
    Console().print(table, bars)


def spread(values: Sequence[float], form: str = ",.1f") -> str:
    return "{} ({}..{})".format(*(format(of(values), form) for of in (median, min, max)))


def as_json(keys: int, rounds: Sequence[Round]) -> str:
    packages = ("streamjobs", "quixstreams", "confluent-kafka")
    bars: Mapping[str, Sequence[Any]] = {BAR: [holds(rounds), *judged(rounds)]}
    return json.dumps(
        {
            "versions": {name: version(name) for name in packages},
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "keys": keys,
            "bars": bars,
            "rounds": [asdict(each) for each in rounds],
        }
    )


def main() -> None:
    """Measure, show tables and JSON; fails where the bar does not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks recovery",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--broker", default=os.environ.get("STREAMJOBS_BROKER", "localhost:9092"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="JSON alone")
    options = parser.parse_args()
    rounds = Stage(options.broker, options.keys).play(options.rounds)
    if not options.json:
        show(rounds)
    print(as_json(options.keys, rounds))
    sys.exit(not holds(rounds))


if __name__ == "__main__":
    main()
