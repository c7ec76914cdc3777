"""What a stuck record, a kill and a newcomer cost, seen from outside through the journal."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from benchmarks.arena import LIMIT, Arena, PeerFailed
from benchmarks.model import Contestant, Figures, Workload
from benchmarks.peers.journal import Journal
from benchmarks.peers.task import Task

OBSERVED: Final = 15.0
"""Seconds between the first record and the kill."""

SECOND_AFTER: Final = 8.0
"""Seconds between the first record and the start of a second process."""

COMMIT: Final = 1.25
"""Seconds between two commits, and what the broker takes to answer one."""

EVERY: Final = 0.25
PATIENCE: Final = 30.0
"""Seconds without a record that mean that none will come."""

Samples = list[tuple[float, int]]
"""Moments, and how many records were handled by then."""


def killed(arena: Arena, workload: Workload, contestant: Contestant, records: int) -> Figures:
    """A record is stuck, if the task has one; the process is killed, and another goes on. How even
    the first one worked, and how many records the second one handled again.
    """
    task = arena.task(workload, contestant, records)
    with arena.journal(task) as (task, journal):
        with _running(arena, contestant, task) as process:
            samples = _observe(journal, process, OBSERVED)
        done = journal.done
        with _running(arena, contestant, replace(task, stuck=-1)) as process:
            _until_all_is_done(journal, records, process)
        replayed = sum(count > 1 for count in journal.counts())
    moment = samples[-1][0] - COMMIT
    since_commit = done - max(count for at, count in samples if at <= moment)
    allowed = since_commit + task.workers
    seconds = per_second(samples)
    return {
        "rate": (samples[-1][1] - samples[0][1]) / (samples[-1][0] - samples[0][0]),
        "worst_second": min(seconds) / (sum(seconds) / len(seconds)),
        "replayed": replayed,
        "allowed": allowed,
        "over_allowed": max(0, replayed - allowed),
    }


def joined(arena: Arena, workload: Workload, contestant: Contestant, records: int) -> Figures:
    """A second process joins the first one. How even the work went on, and what was done twice."""
    task = arena.task(workload, contestant, records)
    with arena.journal(task) as (task, journal), _running(arena, contestant, task) as first:
        before = _observe(journal, first, SECOND_AFTER)
        with _running(arena, contestant, task) as second:
            after = _observe(journal, first, OBSERVED)
            if second.poll() is not None:
                raise PeerFailed(f"the second process ended: {second.communicate()[1][-1500:]}")
        if journal.done == records:
            raise PeerFailed(f"{records} records were too few: there was nothing left to do")
        twice = sum(count > 1 for count in journal.counts())
    usual = (before[-1][1] - before[0][1]) / (before[-1][0] - before[0][0])
    return {
        "rate": usual,
        "worst_second": min(per_second(after)) / usual,
        "twice": twice,
    }


def per_second(samples: Samples) -> list[float]:
    """Records handled in each whole second."""
    found = []
    at, done = samples[0]
    for moment, count in samples:
        if moment - at >= 1:
            found.append((count - done) / (moment - at))
            at, done = moment, count
    return found


def _observe(journal: Journal, process: subprocess.Popen[str], seconds: float) -> Samples:
    before = journal.done
    deadline = time.monotonic() + PATIENCE
    while journal.done <= before:
        if process.poll() is not None or time.monotonic() > deadline:
            raise PeerFailed(f"nothing was handled in {PATIENCE:g} s")
        time.sleep(EVERY)
    samples = [(time.monotonic(), journal.done)]
    while samples[-1][0] - samples[0][0] < seconds:
        time.sleep(EVERY)
        samples.append((time.monotonic(), journal.done))
    return samples


def _until_all_is_done(journal: Journal, records: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LIMIT
    while journal.done < records:
        if process.poll() is not None or time.monotonic() > deadline:
            raise PeerFailed(f"{records - journal.done} records were not handled after the kill")
        time.sleep(EVERY)


@contextmanager
def _running(arena: Arena, contestant: Contestant, task: Task) -> Iterator[subprocess.Popen[str]]:
    """A peer that is killed at the end."""
    process = arena.start(contestant, task)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
