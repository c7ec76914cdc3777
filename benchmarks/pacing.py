"""An open loop: records come at their times, whether or not those before them are handled."""

import subprocess
import time
from dataclasses import replace
from statistics import median, quantiles
from typing import Final

from confluent_kafka import Producer

from benchmarks.arena import Arena, PeerFailed, message
from benchmarks.model import Contestant, Figures, Workload
from benchmarks.peers.journal import Journal
from benchmarks.peers.task import Task

WARM_UP: Final = 5.0
"""Seconds of records that are not looked at: the peer starts and joins meanwhile."""

AFTER: Final = 3.0
"""Seconds that are waited for the last records."""


def latencies(arena: Arena, workload: Workload, contestant: Contestant, records: int) -> Figures:
    """How long records take from the moment they are due until their handlers end, in
    milliseconds. Those of a hot key are left out. What is not handled in the end is counted as if
    that was when it ended.
    """
    task = arena.blank(workload, contestant, records)
    task = replace(task, skipped=int(WARM_UP * task.rate))
    arena.create(task.topic, task.partitions)
    with arena.journal(task) as (task, journal):
        process = arena.start(contestant, task)
        try:
            start, late = _write(task, process)
            _wait(journal, records)
            now = time.monotonic_ns()
        finally:
            process.kill()
            process.communicate()
        times = _times(task, journal, start, now)
        done = journal.done
    points = quantiles(times, n=1000)
    return {
        "records": len(times),
        "unhandled": records - done,
        "p50_ms": median(times),
        "p99_ms": points[989],
        "max_ms": max(times),
        "late_ms": late,
    }


def _write(task: Task, process: subprocess.Popen[str]) -> tuple[int, float]:
    """Write each record when it is due. Returns when the first one was, in nanoseconds, and how
    late the latest one was written, in milliseconds: on a busy machine that is in the latencies.
    """
    producer = Producer({"bootstrap.servers": task.broker, "linger.ms": 0})
    start, step = time.monotonic_ns(), int(1e9 / task.rate)
    number, late = 0, 0
    while number < task.records:
        if process.poll() is not None:
            raise PeerFailed(f"ended while records came: {process.communicate()[1][-1500:]}")
        now = time.monotonic_ns()
        late = max(late, now - start - number * step)
        due = min((now - start) // step + 1, task.records)
        for each in range(number, due):
            producer.produce(task.topic, **message(task, each))
        number = due
        producer.poll(0)
        time.sleep(max(0.0, (start + due * step - time.monotonic_ns()) / 1e9))
    producer.flush(10)
    return start, late / 1e6


def _wait(journal: Journal, records: int) -> None:
    deadline = time.monotonic() + AFTER
    while journal.done < records and time.monotonic() < deadline:
        time.sleep(0.1)


def _times(task: Task, journal: Journal, start: int, now: int) -> list[float]:
    step = int(1e9 / task.rate)
    return [
        ((ended or now) - start - number * step) / 1e6
        for number, (_, ended) in enumerate(journal.times())
        if number >= task.skipped and not (task.hot and task.key_of(number) == 0)
    ]
