"""Handlers in a pool of processes, for work that keeps a CPU busy."""

from __future__ import annotations

import atexit
import multiprocessing
import pickle
import selectors
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import structlog

from streamjobs.engine.slices import Slice
from streamjobs.errors import (
    AttemptTimeoutError,
    StreamjobsError,
    WorkerProcessDiedError,
    WorkerStartError,
)
from streamjobs.execution.board import Flags, Standing
from streamjobs.execution.launch import Launch
from streamjobs.execution.parcels import BROKEN, CURSOR, READY, Report
from streamjobs.execution.remote_errors import PackedError, unpack_error
from streamjobs.execution.worker_process import Given, Kill, WorkerProcess

__all__ = ("Processes", "Running")

QUEUED_SECONDS: Final = 0.04
"""Work that a process has at hand: enough that it need not wait for a busy owner, and little
enough that few records are behind one that takes longer than those before it.
"""

ENOUGH: Final = QUEUED_SECONDS / 4
"""Work at hand with which a process need not be looked after for a moment."""

MOST_QUEUED: Final = 32
"""Slices a process has at hand, whatever they take."""

LATE: Final = 0.1
"""Seconds after which a process that finishes no slice loses those it has not begun."""

PAUSE: Final = 0.004
"""Seconds the pool's thread lets reports gather while every process has enough at hand: each time
it runs, and the owner after it, a process loses the CPU to them.
"""

TICK: Final = 0.02
"""Seconds between looks at what nobody tells: flags, late processes, dead ones."""

START_ATTEMPTS: Final = 3
"""How often a process may die before it is ready, until the app is stopped."""

BUSY_GRACE: Final = 0.5
"""Seconds a process that runs a record gets when the pool is closed: it had its time before."""

IDLE_GRACE: Final = 10.0
"""Seconds the others get, to flush what was enqueued there."""

_WEIGHT: Final = 0.2

log = structlog.get_logger("streamjobs")


class Running(NamedTuple):
    """An attempt that runs in a process, and since when by `time.monotonic`."""

    piece: Slice
    current: int
    started: float


class Processes:
    """Up to `launch.workers` processes, started as they are needed.

    The owner hands slices over in `start`, itself, where there is room; all that comes from the
    processes is dealt with by a thread of the pool. Both hold its lock while they do.

    Args:
        launch: how processes are started, and how many.
        finished: takes each slice when it is through; called by the pool's thread.
    """

    def __init__(self, launch: Launch, finished: Callable[[Slice], None]) -> None:
        self._launch = launch
        self._finished = finished
        self._context = multiprocessing.get_context("spawn")
        self._flags = Flags(self._context, 3 * launch.workers * (MOST_QUEUED + 1))
        self._lock = threading.RLock()
        self._queue: deque[Slice] = deque()
        self._out = 0
        self._through: list[Slice] = []
        self._workers: list[WorkerProcess] = []
        self._started = 0
        self._failed_starts = 0
        self._broken: WorkerStartError | None = None
        self._costs = _Costs()
        self._selector = selectors.DefaultSelector()
        self._wake, self._waking = socket.socketpair()
        self._asleep = False
        self._closing = False
        self._thread: threading.Thread | None = None

    # -- for the owner (Execution) -----------------------------------------------------------

    @property
    def free(self) -> int:
        """Slices that could go to a process at once, those not started yet included. Not every
        single one is told while there are many at hand: they go over in groups.
        """
        depth = self._costs.depth
        room = self._launch.workers * depth - self._out
        return max(0, room) if depth < 8 or room * 4 >= self._launch.workers * depth else 0

    def start(self, slices: Sequence[Slice]) -> None:
        """Hand these to processes, or keep them until one can take them. Called by the owner."""
        with self._lock:
            self._out += len(slices)
            self._queue.extend(slices)
            self._hand_out()
            must_wake = self._asleep or self._missing() > 0
            self._asleep = False
        self._deliver()
        if self._closing:
            return
        if self._thread is None:
            self._begin()
        elif must_wake:
            self._waking.send(b"w")

    def close(self) -> None:
        """End all processes: what they run gets a moment, what was enqueued there is flushed."""
        if self._thread is None:
            self._let_go()
            return
        self._closing = True
        with suppress(OSError):
            self._waking.send(b"w")
        self._thread.join()

    # -- for who watches over attempts -------------------------------------------------------

    def running(self) -> list[Running]:
        """The attempts that run now."""
        found = []
        with self._lock:
            for worker in self._workers:
                standing = worker.board.read()
                given = worker.given.get(standing.number)
                if given is not None and standing.current >= given.piece.progress:
                    found.append(Running(given.piece, standing.current, standing.started))
        return found

    def kill(self, piece: Slice, error: Exception) -> bool:
        """Kill the process that runs the current record of this slice, so that this attempt
        fails with `error`. A record that began in the same moment is run again, without having
        failed.

        Returns:
            Whether a process ran it.
        """
        with self._lock:
            for worker in self._workers:
                standing = worker.board.read()
                given = worker.given.get(standing.number)
                if given is not None and given.piece is piece:
                    worker.kill_for = Kill(standing.number, standing.current, error)
                    worker.kill()
                    return True
        return False

    # -- slices go out -----------------------------------------------------------------------

    def _hand_out(self) -> None:
        """To each process as much as it should have at hand, the least busy one first."""
        if self._broken is not None:
            while self._queue:
                piece = self._queue.popleft()
                piece.fatal = self._broken
                self._end(piece)
            return
        now = time.monotonic()
        able = [worker for worker in self._workers if _may_get_more(worker, now)]
        giving: dict[WorkerProcess, list[Given]] = {}
        loads = {worker: worker.queued for worker in able}
        while self._queue and loads:
            worker = min(loads, key=loads.__getitem__)
            had = len(worker.given) + len(giving.get(worker, ()))
            if had and (loads[worker] >= QUEUED_SECONDS or had >= MOST_QUEUED):
                del loads[worker]
                continue
            piece = self._queue.popleft()
            if piece.generation.halted:
                self._end(piece)
                continue
            seconds = self._costs.expected(piece)
            loads[worker] += seconds
            flag = self._flags.take(piece.generation)
            giving.setdefault(worker, []).append(Given(piece, flag, seconds))
        for worker, slices in giving.items():
            worker.give(slices)
            self._watch(worker)

    def _take_back(self, givens: Sequence[Given]) -> None:
        """These were handed over and have not begun: they are the next to go to somebody else."""
        for given in reversed(givens):
            self._flags.give_back(given.piece.generation)
            self._queue.appendleft(given.piece)

    def _end(self, piece: Slice) -> None:
        self._out -= 1
        self._through.append(piece)

    def _missing(self) -> int:
        """How many processes should be started."""
        if self._broken is not None or self._closing:
            return 0
        staying = sum(not (each.leaving or each.successor) for each in self._workers)
        return min(self._launch.workers, self._out) - staying

    # -- the pool's thread -------------------------------------------------------------------

    def _begin(self) -> None:
        self._wake.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ)
        atexit.register(self.close)
        self._thread = threading.Thread(
            target=self._serve, name="streamjobs-processes", daemon=True
        )
        self._thread.start()

    def _serve(self) -> None:
        # A process inherits this: no signal can reach it before it is prepared for that.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        try:
            self._work()
        except Exception as error:
            log.exception("the pool of worker processes failed")
            self._give_up(error)
        self._finish()

    def _work(self) -> None:
        looked = time.monotonic()
        while not self._closing:
            self._replenish()
            self._deliver()
            if self._workers and all(each.seconds_at_hand > ENOUGH for each in self._workers):
                time.sleep(PAUSE)
            self._listen(self._patience())
            now = time.monotonic()
            if now - looked >= TICK:
                looked = now
                self._look(now)

    def _patience(self) -> float | None:
        """How long to wait for news: for ever, if there can be none."""
        with self._lock:
            self._asleep = not self._out and all(
                worker.ready and not worker.leaving for worker in self._workers
            )
            return None if self._asleep else TICK

    def _replenish(self) -> None:
        """Start the processes that are missing; not under the lock, it takes a while."""
        while self._missing() > 0:
            self._add()
        for worker in list(self._workers):
            # Where many are on their way out and do not get there, that is enough for now.
            leaving = sum(each.leaving for each in self._workers)
            if (
                worker.retire
                and not (worker.successor or worker.leaving)
                and (leaving < self._launch.workers)
            ):
                log.info("worker process is replaced", pid=worker.pid, reason=worker.retire)
                worker.successor = self._add()

    def _add(self) -> WorkerProcess | None:
        self._started += 1
        name = f"streamjobs-process-{self._started}"
        try:
            worker = WorkerProcess(self._context, self._launch, self._flags.memory, name)
        except Exception as error:
            self._break(f"a worker process cannot be started: {error}", error)
            return None
        with self._lock:
            self._workers.append(worker)
            self._selector.register(worker.mail, selectors.EVENT_READ, worker)
        return worker

    def _listen(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            worker: WorkerProcess | None = key.data
            if worker is None:
                with suppress(BlockingIOError):
                    self._wake.recv(1024)
                continue
            with self._lock:
                self._watch(worker)
                contents, over = worker.receive()
                for content in contents:
                    self._take(worker, content)
                if over:
                    self._lose(worker)
        with self._lock:
            if self._queue:
                self._hand_out()

    def _watch(self, worker: WorkerProcess) -> None:
        """Wait for it to take more, too, where something is left to send."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.send() else 0)
        if self._selector.get_key(worker.mail).events != events:
            self._selector.modify(worker.mail, events, worker)

    def _deliver(self) -> None:
        with self._lock:
            through, self._through = self._through, []
        for piece in through:
            self._finished(piece)

    def _look(self, now: float) -> None:
        """At what nobody tells."""
        with self._lock:
            self._flags.refresh()
            for worker in list(self._workers):
                if not worker.alive:
                    self._lose(worker)
                    continue
                self._note_current(worker)
                self._watch_the_clock(worker, now)
                if _is_late(worker, now):
                    self._take_back(worker.take_back())
            if any(piece.generation.halted for piece in self._queue):
                waiting, self._queue = self._queue, deque()
                for piece in waiting:
                    if piece.generation.halted:
                        self._end(piece)
                    else:
                        self._queue.append(piece)
            self._hand_out()

    def _note_current(self, worker: WorkerProcess) -> None:
        """What runs, for who looks at the slice from outside."""
        standing = worker.board.read()
        given = worker.given.get(standing.number)
        if given is not None:
            given.piece.current, given.piece.worker = standing.current, f"process {worker.pid}"

    def _watch_the_clock(self, worker: WorkerProcess, now: float) -> None:
        """Kill what runs for longer than it may."""
        standing = worker.board.read()
        given = worker.given.get(standing.number)
        if given is None or standing.current < given.piece.progress or worker.kill_for is not None:
            return
        record = given.piece.records[standing.current]
        timeout = given.piece.generation.route.timeout_of(record)
        if timeout is not None and now - standing.started > timeout:
            error = AttemptTimeoutError(
                f"the attempt took more than its {timeout:g} s; its process was killed"
            )
            self.kill(given.piece, error)

    # -- what processes say ------------------------------------------------------------------

    def _take(self, worker: WorkerProcess, content: tuple[Any, ...]) -> None:
        kind, *fields = content
        if kind == READY:
            self._welcome(worker)
        elif kind == BROKEN:
            worker.leaving = True
            error = unpack_error(PackedError(*fields[0]))
            reason = (
                error if isinstance(error, StreamjobsError) else f"{type(error).__name__}: {error}"
            )
            self._break(f"worker processes cannot start: {reason}", error)
        elif kind == CURSOR:
            self._save(worker, *fields)
        else:
            self._accept(worker, Report(*fields))

    def _save(self, worker: WorkerProcess, number: int, offset: int, cursor: bytes) -> None:
        if number not in worker.given:
            return  # the pool has given up
        piece = worker.given[number].piece
        record = next(each for each in piece.records if each.offset == offset)
        piece.generation.cursors.save(record, cursor)

    def _welcome(self, worker: WorkerProcess) -> None:
        worker.ready = True
        self._failed_starts = 0
        log.debug("worker process ready", pid=worker.pid)
        for old in self._workers:
            if old.successor is worker:
                self._take_back(list(old.dismiss()))

    def _accept(self, worker: WorkerProcess, report: Report) -> None:
        if report.number not in worker.given:
            return  # the pool has given up
        piece = worker.given[report.number].piece
        for index, failure in report.failures.items():
            error = piece.refused.get(index) or unpack_error(failure)
            assert isinstance(error, Exception)
            piece.failures[index] = error
        piece.skipped.update(report.skipped)
        for index, effects in report.effects.items():
            piece.effects[index] = pickle.loads(effects)
        piece.progress = report.progress
        if not report.final:
            return
        piece.seconds = report.seconds
        if report.fatal is not None:
            piece.fatal = unpack_error(report.fatal)
        worker.settle(report.number)
        worker.since = time.monotonic()
        self._flags.give_back(piece.generation)
        self._costs.learn(piece)
        self._end(piece)
        worker.retire = report.retire

    # -- processes that end ------------------------------------------------------------------

    def _lose(self, worker: WorkerProcess) -> None:
        """It ended: at our word, or not."""
        self._selector.unregister(worker.mail)
        self._workers.remove(worker)
        for old in self._workers:
            if old.successor is worker:
                old.successor = None
        worker.reap()
        for content in worker.last_words():
            self._take(worker, content)
        standing = worker.board.read()
        self._take_back(worker.take_back())
        rest = []
        for number in list(worker.given):
            given = worker.settle(number)
            if number == standing.number:
                self._flags.give_back(given.piece.generation)
                self._interrupt(worker, given.piece, standing)
            else:
                rest.append(given)
        self._take_back(rest)
        if not worker.leaving:
            self._mourn(worker)
        worker.close()

    def _interrupt(self, worker: WorkerProcess, piece: Slice, standing: Standing) -> None:
        """The slice it ran: what it had done counts, the record it ran has failed, and what it
        had done and not said (effects) counts as not run.
        """
        done = max(piece.progress, standing.done)
        current = max(done, standing.current)
        error = self._error_for(worker, standing)
        piece.seconds = max(0.0, time.monotonic() - worker.since)
        if error is None:
            piece.progress = done
        else:
            piece.skipped.update(range(done, current))
            piece.failures[current] = error
            piece.progress = current + 1
        self._end(piece)

    def _error_for(self, worker: WorkerProcess, standing: Standing) -> Exception | None:
        """What the attempt it ran fails with; None if it was killed for another one."""
        kill = worker.kill_for
        if kill is None:
            return _died(worker)
        return kill.error if kill[:2] == standing[:2] else None

    def _mourn(self, worker: WorkerProcess) -> None:
        if worker.kill_for is None and not self._closing:
            log.warning(
                "worker process died; another one takes its place",
                pid=worker.pid,
                end=worker.end,
            )
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= START_ATTEMPTS:
                self._break(
                    f"{self._failed_starts} worker processes died {worker.end} before they were "
                    "ready; what they wrote to stderr says why. A program that calls app.run() "
                    'has to do so under if __name__ == "__main__"'
                )

    def _break(self, message: str, cause: BaseException | None = None) -> None:
        """No process will start: the app has to stop."""
        with self._lock:
            if self._broken is None:
                self._broken = WorkerStartError(message)
                self._broken.__cause__ = cause
            self._hand_out()

    def _give_up(self, error: Exception) -> None:
        with self._lock:
            self._break(f"the pool of worker processes failed: {error!r}", error)
            for worker in self._workers:
                worker.kill()
                for given in [*worker.take_back(), *worker.given.values()]:
                    given.piece.fatal = self._broken
                    self._end(given.piece)
                worker.given.clear()
        self._deliver()

    # -- the end -----------------------------------------------------------------------------

    def _finish(self) -> None:
        """Runs in the pool's thread."""
        began = time.monotonic()
        with self._lock:
            for worker in list(self._workers):
                worker.dismiss()
                if not worker.ready:
                    worker.kill()
        while self._workers:
            self._listen(TICK)
            self._deliver()
            waited = time.monotonic() - began
            with self._lock:
                self._queue.clear()
                for worker in list(self._workers):
                    if not worker.alive:
                        self._lose(worker)
                    elif waited > (BUSY_GRACE if worker.given else IDLE_GRACE):
                        worker.kill()
        self._deliver()
        self._let_go()

    def _let_go(self) -> None:
        self._closing = True
        atexit.unregister(self.close)
        self._selector.close()
        self._wake.close()
        self._waking.close()


class _Costs:
    """Learns what slices take."""

    def __init__(self) -> None:
        self._records: dict[str, float] = {}
        self._slice = QUEUED_SECONDS

    def learn(self, piece: Slice) -> None:
        """A slice is through."""
        if not piece.progress:
            return
        topic, each = piece.generation.partition.topic, piece.seconds / piece.progress
        before = self._records.get(topic, each)
        self._records[topic] = before + _WEIGHT * (each - before)
        self._slice += _WEIGHT * (piece.seconds - self._slice)

    def expected(self, piece: Slice) -> float:
        """Seconds; of a topic of which nothing is known, as long as one should be at hand."""
        each = self._records.get(piece.generation.partition.topic)
        return QUEUED_SECONDS if each is None else each * len(piece.records)

    @property
    def depth(self) -> int:
        """How many slices there should be for each process, the one it runs included; the pool
        keeps those that it should not have at hand yet.
        """
        return min(MOST_QUEUED, max(2, 1 + int(QUEUED_SECONDS / max(self._slice, 1e-6))))


def _is_late(worker: WorkerProcess, now: float) -> bool:
    return bool(worker.given) and now - worker.since > LATE


def _may_get_more(worker: WorkerProcess, now: float) -> bool:
    return worker.ready and not worker.leaving and not _is_late(worker, now)


def _died(worker: WorkerProcess) -> WorkerProcessDiedError:
    return WorkerProcessDiedError(
        f"worker process {worker.pid} ended {worker.end} while it ran this record{worker.hint}"
    )
