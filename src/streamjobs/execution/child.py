"""What a worker process does: takes slices, runs them, reports."""

from __future__ import annotations

import faulthandler
import importlib
import multiprocessing
import os
import pickle
import resource
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, NoReturn

import structlog

from streamjobs import logs
from streamjobs.broker.ports import TopicPartition
from streamjobs.engine.route import Route
from streamjobs.engine.slices import Slice
from streamjobs.errors import BrokerUnavailableError, WorkerStartError
from streamjobs.execution.board import Board
from streamjobs.execution.launch import Launch, find_app
from streamjobs.execution.no_publisher import NoPublisher
from streamjobs.execution.parcels import (
    BROKEN,
    CHUNK,
    CURSOR,
    READY,
    REPORT,
    Frames,
    Parcel,
    Report,
    frame,
    unpack_orders,
    unpack_records,
)
from streamjobs.execution.remote_errors import pack_error
from streamjobs.execution.remote_state import Asking, RemoteStore
from streamjobs.execution.running import run
from streamjobs.execution.stand_ins import Assignment, Lane, SavedCursors

__all__ = ("main",)

EARLY: Final = 0.05
"""Seconds after which a slice that is not through reports what is: its records can be committed
then, and are not run again if the process dies.
"""

_NOT_ATTEMPTED: Final = Exception("not attempted")
_TOKEN: Final = 8
_PAGES_PER_MIB: Final = (1 << 20) // os.sysconf("SC_PAGE_SIZE")


def main(
    launch: Launch,
    mail: socket.socket,
    tokens: socket.socket,
    state: socket.socket,
    board: Any,
    flags: Any,
) -> None:
    """Run slices until there are no more tokens. This is where a worker process begins.

    Args:
        launch: what to become.
        mail: parcels come in, reports go out.
        tokens: the numbers of the parcels that may be run.
        state: what handlers read of theirs is asked for here.
        board, flags: the memory shared with the app.
    """
    _leave_signals_to_the_app()
    threading.Thread(target=_end_with_the_app, name="streamjobs-parent", daemon=True).start()
    try:
        with _prepared(launch) as routes:
            mail.sendall(frame((READY, os.getpid())))
            Child(launch, routes, mail, tokens, Asking(state), Board(board), flags).work()
    except _NotReady as error:
        mail.sendall(frame((BROKEN, pack_error(error.reason))))
        sys.exit(1)


def _leave_signals_to_the_app() -> None:
    """Ctrl-C in a terminal, and some supervisors, signal the whole group. The app decides what
    that means; its processes go on until it tells them.

    A handler that does nothing, and not SIG_IGN, which programs started from here would inherit.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    # The app started this process with both blocked, so that none could come before this moment.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    with suppress(OSError, ValueError, AttributeError):  # where stderr is no file
        faulthandler.enable()


def _end_with_the_app() -> None:
    """An app that was killed keeps nothing of what runs here, and its records run elsewhere."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _NotReady(Exception):
    def __init__(self, reason: BaseException) -> None:
        super().__init__(reason)
        self.reason = reason


@contextmanager
def _prepared(launch: Launch) -> Iterator[Mapping[str, Route]]:
    """The routes of the app as its modules declare it here; at the end, what was enqueued here
    is flushed.
    """
    from streamjobs.app import APPS

    with ExitStack() as stack:
        try:
            routes = _prepare(launch, stack)
        except BaseException as error:
            raise _NotReady(error) from error
        try:
            yield routes
        finally:
            for app in list(APPS):
                app.close()


def _prepare(launch: Launch, stack: ExitStack) -> Mapping[str, Route]:
    from streamjobs.app import APPS

    os.chdir(launch.directory)
    for module in launch.modules:
        importlib.import_module(module)
    if not structlog.is_configured():
        logs.configure(launch.log_format, launch.verbose, launch.instance)
    app = find_app(launch, list(APPS))
    app.override(**launch.settings, broker=launch.broker)
    if launch.broker is None:
        nowhere: Any = _NoBroker()
        stack.enter_context(app.on(nowhere, NoPublisher(nowhere)))
    for initializer in app.process_initializers:
        try:
            initializer()
        except BaseException as error:
            raise WorkerStartError(
                f"the process initializer {initializer.__qualname__} raised "
                f"{type(error).__name__}: {error}"
            ) from error
    topics = dict.fromkeys(topic for topic, *_ in launch.handlers)
    return {
        topic: app.topics[topic].route(
            _refuse_to_wait, launch.max_message_bytes, app.name, topic_limits=launch.topic_limits
        )
        for topic in topics
    }


def _refuse_to_wait(coroutine: Coroutine[Any, Any, Any]) -> Any:
    coroutine.close()
    raise AssertionError("a topic with coroutine functions does not run in processes")


class Child:
    """The one thread that runs handlers here.

    Args:
        launch: what this process was started with.
        routes: by topic.
        mail, tokens: see `main`.
        state: the way to the stores.
        board: where it shows what it runs.
        flags: what became of generations.
    """

    def __init__(
        self,
        launch: Launch,
        routes: Mapping[str, Route],
        mail: socket.socket,
        tokens: socket.socket,
        state: Asking,
        board: Board,
        flags: Any,
    ) -> None:
        self._routes = {
            topic: replace(route, invoke=self._reporting(route)) for topic, route in routes.items()
        }
        self._mail = mail
        self._tokens = tokens
        self._state = state
        self._board = board
        self._flags = memoryview(flags).cast("B")
        self._frames = Frames()
        self._parcels: deque[Parcel] = deque()
        self._retirement = _Retirement(launch.max_records, launch.max_mib)
        self._parcel: Parcel
        self._reported = 0
        self._at = 0.0

    def work(self) -> None:
        """Run what there are tokens for."""
        while (parcel := self._next()) is not None:
            self._parcel = parcel
            self._reported = 0
            piece = self._open(parcel)
            run(piece)
            self._report(piece, final=True)
            self._board.end_slice()

    def _next(self) -> Parcel | None:
        """The next parcel: what comes before it was taken back, and is somebody else's now."""
        token = self._tokens.recv(_TOKEN, socket.MSG_WAITALL)
        if len(token) < _TOKEN:
            return None
        number = int.from_bytes(token, "little")
        self._board.begin_slice(number)
        while True:
            while self._parcels:
                parcel = self._parcels.popleft()
                if parcel.number == number:
                    return parcel
            data = self._mail.recv(CHUNK)
            if not data:
                return None
            for parcels in self._frames.feed(data):
                self._parcels.extend(map(Parcel._make, parcels))

    def _open(self, parcel: Parcel) -> Slice:
        records = unpack_records(parcel)
        orders = unpack_orders(parcel, records)
        route = self._routes[parcel.topic]
        generation: Any = Assignment(
            TopicPartition(parcel.topic, parcel.partition),
            route,
            self._flags,
            parcel.flag,
            SavedCursors(dict(parcel.cursors), partial(self._save, parcel.number)),
            {
                store: RemoteStore(partial(self._state.ask, parcel.number, store), orders)
                for store in route.changelogs
            },
        )
        lane: Any = Lane(parcel.lane)
        self._at = time.monotonic()
        # What it is refused for stays at home.
        refused: dict[int, Exception] = dict.fromkeys(parcel.refused, _NOT_ATTEMPTED)
        return Slice(generation, lane, records, orders, dict(parcel.attempts), refused)

    def _reporting(self, route: Route) -> Callable[[Slice, int], Any]:
        """The route's own `invoke`, with what the app has to know around it.

        Effects are pickled here, so that one that cannot be fails its own attempt.
        """
        attempt = route.invoke

        def invoke(piece: Slice, index: int) -> bytes | None:
            now = time.monotonic()
            # Before the board says so: there, what is behind the running record counts as done.
            if index > self._reported and self._should_report(piece, index, now):
                self._report(piece, final=False)
            self._board.begin_record(index, now)
            effects: Any = attempt(piece, index)
            if effects is None or not (effects.emits or any(effects.changes.values())):
                return None
            self._board.hold(index)
            packed = pickle.dumps(effects, 5)
            for store, changes in effects.changes.items():
                piece.generation.stores[store].merge(changes)
            return packed

        return invoke

    def _save(self, number: int, offset: int, cursor: bytes) -> None:
        self._mail.sendall(frame((CURSOR, number, offset, cursor)))

    def _should_report(self, piece: Slice, index: int, now: float) -> bool:
        """When something failed or a while has passed, and before a record that may be the end of
        this process; after one that had failed before, or a death would have that forgotten.
        """
        if piece.attempts and (index in piece.attempts or index - 1 in piece.attempts):
            return True
        return bool(piece.failures) or now - self._at > EARLY

    def _report(self, piece: Slice, final: bool) -> None:
        start = self._reported
        effects: Mapping[int, Any] = piece.effects
        report = Report(
            self._parcel.number,
            final,
            piece.progress,
            {index: pack_error(error) for index, error in piece.failures.items() if index >= start}
            if piece.failures
            else {},
            [index for index in piece.skipped if index >= start] if piece.skipped else [],
            effects,
            piece.seconds,
            None if piece.fatal is None else pack_error(piece.fatal),
            self._retirement.reason(piece.progress) if final else "",
        )
        self._mail.sendall(frame((REPORT, *report)))
        self._board.reported()
        self._reported, self._at = piece.progress, time.monotonic()
        piece.effects = {}


class _Retirement:
    """When this process has done enough."""

    def __init__(self, max_records: int, max_mib: int) -> None:
        self._max_records = max_records
        self._max_mib = max_mib
        self._records = 0

    def reason(self, records: int) -> str:
        """So many records more were run: why this process should be replaced, if it should."""
        self._records += records
        if self._max_records and self._records >= self._max_records:
            return f"it ran {self._records} records (process_max_records)"
        if self._max_mib and (mib := _resident_mib()) >= self._max_mib:
            return f"it holds {mib} MiB (process_max_mib)"
        return ""


def _resident_mib() -> int:
    """The memory this process has now; where the system does not say, the most it ever had."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123  # once a slice
            return int(statm.read().split()[1]) // _PAGES_PER_MIB
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak >> (20 if sys.platform == "darwin" else 10)


class _NoBroker:
    """In place of a broker that lives in the app's own memory: it refuses whatever is asked."""

    address = "nowhere"

    def __getattr__(self, name: str) -> NoReturn:
        raise BrokerUnavailableError(
            "the app's broker is an object in its own memory, which a worker process cannot "
            "reach: enqueue in the attempt's own thread and without a partition of your choice, "
            'leave out process=True, or use a broker with an address (also "embedded")'
        )
