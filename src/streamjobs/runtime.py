"""One process at work: the owner's thread, signals, and the way it ends."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import structlog

from streamjobs.broker.ports import Consumer, ConsumerOptions, Producer, Reader, Transactions
from streamjobs.broker.untransacted import Untransacted
from streamjobs.collector import for_streams
from streamjobs.counts import Counts
from streamjobs.cursor_log import CursorLog
from streamjobs.engine.checkpoint import Checkpoint
from streamjobs.engine.events import Fanout, Observer
from streamjobs.engine.keeping import Keeping
from streamjobs.engine.narrow import NarrowChangelogs
from streamjobs.engine.owner import Limits, Owner
from streamjobs.engine.route import Route
from streamjobs.engine.transaction import TransactionalProducer
from streamjobs.errors import ConfigurationError, TopicError
from streamjobs.execution.launch import Launch, launch_for
from streamjobs.execution.pool import WorkerPool
from streamjobs.exit_codes import ExitCode
from streamjobs.failures.sequence import LetterLog
from streamjobs.logs import LogEvents
from streamjobs.middleware import Guarded
from streamjobs.publisher import EnsuringProducer, Topics
from streamjobs.queries import Queries
from streamjobs.state.keeper import StateKeeper
from streamjobs.state.memory import MemoryStores
from streamjobs.state.store import Stores
from streamjobs.tables.follower import Follower, Following
from streamjobs.topic_limits import batches_that_fit, largest_message, topic_limits

if TYPE_CHECKING:
    from streamjobs.app import App

__all__ = ("Runtime",)

PROGRESS_EVERY: Final = 10.0
EMPTY_HANDED: Final = 5.0
"""Seconds a member without any partition waits for one before it counts as idle: the first
answer of a cooperative group is often "nothing yet"."""

SESSION: Final = 45_000
"""The session timeout of a member, in milliseconds, where nobody has set it."""

_FOR_EVER: Final = {"cleanup.policy": "delete", "retention.ms": "-1"}
"""A dead letter stays until somebody has looked at it."""

_THE_LATEST: Final = {"cleanup.policy": "compact"}
"""Of each key the latest value is enough."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger("streamjobs")


class Runtime:
    """Runs an app in this process. The thread that calls `run` is the owner.

    Args:
        app: what to run.
        observers: told about everything that happens, after the counts and the log; each may
            wrap what runs an attempt, the first one outermost.
        slot: its name under a supervisor (`run --processes`), which is the name of its transactions
            where the app has no instance name. A second signal is no other than the first then:
            the supervisor says when to end at once.

    Raises:
        ConfigurationError: the app declares nothing.
    """

    def __init__(
        self, app: App, *, observers: Sequence[Observer] = (), slot: str | None = None
    ) -> None:
        if not app.topics:
            raise ConfigurationError(
                f"app {app.name!r} has no jobs and no stream handlers; is the module that "
                "declares them imported?"
            )
        self._app = app
        self._settings = app.settings
        self._observers = observers
        self._slot = slot
        self._middleware = Guarded(app, app.middleware)
        self._sinks = app.sinks
        self._following: Following | None = None
        self._signals = 0
        self._resume = False
        self.counts = Counts()
        self._consumer: Consumer

    def run(self, *, until_idle: bool = False) -> ExitCode:
        """Work until a signal comes, or until everything is done.

        Raises:
            StreamjobsError: it cannot start, or lost its broker for good.
        """
        self._middleware.before_start()
        self._ensure_topics()
        if not self._read_tables():
            return ExitCode.OK
        if self._sinks is not None:
            self._sinks.start()
        workers = WorkerPool(self._settings.threads, self._settings.tasks, self._launch())
        owner = self._owner(workers, until_idle)
        try:
            with self._catching_signals(), for_streams():
                log.info("running", app=self._app.name, broker=self._app.broker.address)
                self._middleware.after_start()
                return self._work(owner, until_idle)
        finally:
            workers.close()
            self._app.queries = None
            if self._sinks is not None:
                self._sinks.close()
            if self._following is not None:
                self._following.stop()
            log.info("stopped", **self.counts.as_dict())
            self._middleware.after_stop()

    def resume(self) -> None:
        """As SIGUSR1 would: close the breakers that are open. From any thread."""
        self._resume = True

    def stop(self, *, at_once: bool = False) -> None:
        """As a first signal would: end in good order; or as a second one would. From any thread."""
        self._signals = max(self._signals, 2 if at_once else 1)

    # -- setting up --------------------------------------------------------------------------

    def _read_tables(self) -> bool:
        """Nothing is handled before the tables are read; False if a signal came before that."""
        tables = self._app.tables
        if not tables:
            return True
        broker, config = self._app.broker, self._settings.consumer_config
        follower = Follower(tables, self._topics.partitions, lambda: broker.reader(config))
        self._following = Following(follower)
        with self._catching_signals():
            if self._following.catch_up(lambda: self._signals > 0):
                self._following.start()
                return True
        self._following.stop()
        return False

    def _ensure_topics(self) -> None:
        wanted = [*self._app.topics, *self._app.tables]
        wanted += [output for topic in self._app.topics.values() for output in topic.outputs]
        changelogs = {
            changelog: [topic.name]
            for topic in self._app.topics.values()
            for changelog in topic.changelogs(self._app.name).values()
        }
        cursors, dead = self._app.cursors_topic, self._app.dead_letter_topics
        self._topics = Topics(
            self._app.broker,
            self._settings,
            like=dead
            | changelogs
            | self._app.repartition_topics
            | {cursors: list(self._app.topics)},
            config=dict.fromkeys(dead, _FOR_EVER)
            | dict.fromkeys([cursors, *changelogs, *self._app.tables], _THE_LATEST),
        )
        counts = self._topics.ensure(list(dict.fromkeys(wanted)))
        self._refuse_other_counts(counts)
        if changelogs:
            self._ensure_changelogs()
        there = [each for each in (*wanted, *changelogs, *dead) if self._topics.knows(each)]
        self._limits = topic_limits(self._app.broker, there, self._settings.producer_config)
        self._producer_config = batches_that_fit(self._settings.producer_config, self._limits)

    @property
    def _joins_topics(self) -> bool:
        return any(topic.together for topic in self._app.topics.values())

    def _refuse_other_counts(self, counts: Mapping[str, int]) -> None:
        """Topics that are joined need the same keys in the same partitions.

        Raises:
            TopicError: one has another count.
        """
        for topic in self._app.topics.values():
            different = {each: counts[each] for each in sorted(topic.together)}
            if len(set(different.values())) > 1:
                raise TopicError(
                    "topics that are joined have to have the same number of partitions, so that a "
                    f"key has the same one in each: {different}. Let group_by() stand before one "
                    "of them, or make one anew"
                )

    def _owner(self, workers: WorkerPool, until_idle: bool) -> Owner:
        settings, broker = self._settings, self._app.broker
        routes = self._routes(workers)
        limits = Limits(
            window_records=settings.window_records,
            window_bytes=settings.window_bytes,
            commit_interval=settings.commit_interval,
            commit_records=settings.commit_records,
            revoke_timeout=settings.revoke_timeout,
            stall_after=settings.stall_after,
            suspect_after=settings.suspect_after,
        )
        plain = EnsuringProducer(broker.producer(self._producer_config), self._topics)
        checkpoint = self._checkpoint()
        emitting: Producer = plain
        if checkpoint is not None and settings.guarantee == "exactly-once":
            emitting = EnsuringProducer(TransactionalProducer(checkpoint.transaction), self._topics)

        def open_reader() -> Reader:
            return broker.reader(settings.consumer_config)

        owner = Owner(
            routes,
            workers,
            emitting,
            time.monotonic,
            limits,
            Fanout(self.counts, LogEvents(), self._middleware, *self._observers),
            Keeping(
                CursorLog(self._app.cursors_topic, self._topics, plain, open_reader),
                LetterLog(self._topics, open_reader),
                self._state_keeper(open_reader),
            ),
            checkpoint,
            open_reader,
            sinks=self._sinks,
        )
        options = ConsumerOptions(
            group=self._app.name,
            topics=list(routes),
            instance=settings.instance,
            group_protocol=settings.group_protocol,
            report_ends=until_idle or self._joins_topics,
            copartitioned=self._joins_topics,
            extra=settings.consumer_config,
        )
        self._consumer = broker.consumer(options, owner)
        owner.attach(self._consumer)
        generations = owner.scheduler.generations
        self._app.queries = Queries(self._app, generations, self._topics.partitions)
        return owner

    @property
    def _largest_message(self) -> int:
        return largest_message(self._settings.producer_config)

    def _launch(self) -> Launch | None:
        """How worker processes are started, where a topic wants them."""
        if all(topic.execution != "processes" for topic in self._app.topics.values()):
            return None
        return launch_for(self._app, self._largest_message, self._limits)

    @property
    def _has_state(self) -> bool:
        return any(topic.stores for topic in self._app.topics.values())

    def _checkpoint(self) -> Checkpoint | None:
        """Where state or exactly-once asks for it, everything commits in one transaction."""
        settings, broker = self._settings, self._app.broker
        if not self._has_state and settings.guarantee == "at-least-once":
            return None
        name = f"{self._app.name}-{settings.instance or self._slot or uuid4()}"

        def open_transactions() -> Transactions:
            if self._is_for_trying_out:
                return Untransacted(broker.producer(self._producer_config), lambda: self._consumer)
            return broker.transactions(name, settings.transaction_timeout, self._producer_config)

        checkpoint = Checkpoint(open_transactions, narrow=NarrowChangelogs(self._limits))
        checkpoint.transaction.start()
        return checkpoint

    def _state_keeper(self, open_reader: Callable[[], Reader]) -> StateKeeper | None:
        if not self._has_state:
            return None
        return StateKeeper(
            self._stores(),
            open_reader,
            patience=2 * self._settings.transaction_timeout,
            keep=self._settings.state_keep,
        )

    def _stores(self) -> Stores:
        if self._is_for_trying_out:
            log.warning(
                "state is for trying out here: this broker has no transactions, so a crash may "
                "leave values wrong, and all of it ends with the broker",
                broker=self._app.broker.address,
            )
            return MemoryStores(self._app.name)  # older than the broker, it would only mislead
        from streamjobs.state.rocks import RocksStores

        return RocksStores(Path(self._settings.state_dir), self._app.name)

    @property
    def _is_for_trying_out(self) -> bool:
        at_least_once = self._settings.guarantee == "at-least-once"
        return at_least_once and not self._app.broker.has_transactions

    def _ensure_changelogs(self) -> None:
        """A changelog has as many partitions as its topic: partition by partition they belong
        together.

        Raises:
            TopicError: one has another count.
        """
        wanted = {
            changelog: topic.name
            for topic in self._app.topics.values()
            for changelog in topic.changelogs(self._app.name).values()
        }
        counts = self._topics.ensure([*wanted, *wanted.values()])
        for changelog, topic in wanted.items():
            if counts[changelog] != counts[topic]:
                raise TopicError(
                    f"topic {topic!r} has {counts[topic]} partitions and its changelog "
                    f"{changelog!r} {counts[changelog]}: keys have moved to other partitions, "
                    "where their state is not. Go back to the old count, or begin without state: "
                    f"delete the changelog and {self._settings.state_dir!r}"
                )

    def _routes(self, workers: WorkerPool) -> dict[str, Route]:
        exactly_once = self._settings.guarantee == "exactly-once"
        routes = {}
        for topic in self._app.topics.values():
            route = topic.route(
                workers.event_loop.wait_for,
                self._largest_message,
                self._app.name,
                exactly_once,
                self._limits,
            )
            for observer in reversed([*self._app.middleware, *self._observers]):
                route = observer.observe(route)
            routes[topic.name] = route
        return routes

    # -- working -----------------------------------------------------------------------------

    def _work(self, owner: Owner, until_idle: bool) -> ExitCode:
        idle = _Idle(owner, self._empty_handed) if until_idle else None
        progress = _Progress(self.counts)
        try:
            while not self._signals and owner.fatal is None:
                _turn(owner)
                progress.tell()
                if self._resume:
                    self._resume = False
                    owner.fuses.close_all()
                if idle is not None and idle.reached():
                    break
            return self._drain(owner)
        finally:
            owner.close()
            if owner.fatal is not None:
                log.error("stopped by a handler", error=repr(owner.fatal))

    @property
    def _empty_handed(self) -> float:
        """Under a supervisor others may have died, or left as fixed members do: what they had is
        waited for, since with the last process of a supervisor all is to be done.
        """
        if self._slot is None:
            return EMPTY_HANDED
        session = int(self._settings.consumer_config.get("session.timeout.ms", SESSION))
        return EMPTY_HANDED + session / 1000

    def _drain(self, owner: Owner) -> ExitCode:
        """Let running records end while polling goes on; then it is time to leave."""
        self._middleware.before_stop()
        owner.stop()
        running = len(owner.scheduler.running)
        if running:
            log.info("stopping", slices_running=running, timeout=self._settings.shutdown_timeout)
        deadline = time.monotonic() + self._settings.shutdown_timeout
        while not owner.drained:
            if self._signals > 1:
                log.warning("stopped at once by a second signal")
                return ExitCode.AT_ONCE
            if time.monotonic() > deadline:
                log.error(
                    "handlers still run after the shutdown timeout; their records will be "
                    "delivered again",
                    slices_running=len(owner.scheduler.running),
                )
                return ExitCode.UNFINISHED if owner.fatal is None else ExitCode.ERROR
            _turn(owner)
        return ExitCode.OK if owner.fatal is None else ExitCode.ERROR

    @contextmanager
    def _catching_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT are counted; what they mean is decided between two turns."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def count(_number: int, _frame: FrameType | None) -> None:
            if self._slot is None:
                self._signals += 1
            else:
                self.stop()

        def resume(_number: int, _frame: FrameType | None) -> None:
            self._resume = True

        before = {number: signal.signal(number, count) for number in _SIGNALS}
        before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, resume)
        try:
            yield
        finally:
            # Under a supervisor the same signal may come twice, by itself and from there: it must
            # not hit a process that is about to close.
            for number, handler in before.items() if self._slot is None else ():
                signal.signal(number, handler)


def _turn(owner: Owner) -> None:
    """One turn. What asks for the end of the process, in a function of the user's that the owner
    calls, ends it in good order.
    """
    try:
        owner.turn()
    except (KeyboardInterrupt, SystemExit, MemoryError) as error:
        owner.fatal = owner.fatal or error
        owner.stop()


class _Idle:
    """Whether everything is done: what is assigned is read to its end and settled.

    Args:
        owner: who has the partitions.
        empty_handed: seconds without any partition that mean that there is none.
    """

    def __init__(self, owner: Owner, empty_handed: float) -> None:
        self._owner = owner
        self._patience = empty_handed
        self._empty_since = time.monotonic()

    def reached(self) -> bool:
        owner = self._owner
        now = time.monotonic()
        if owner.scheduler.generations or not owner.idle:
            self._empty_since = now
            return owner.idle
        # Not every broker tells a member that there is nothing for it.
        patience = self._patience if owner.joined else max(self._patience, 4 * EMPTY_HANDED)
        return now - self._empty_since > patience


class _Progress:
    """A line now and then that says how far it got."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._at = time.monotonic()
        self._done = 0

    def tell(self) -> None:
        now = time.monotonic()
        if now - self._at < PROGRESS_EVERY:
            return
        done = self._counts.done
        if done > self._done:
            rate = (done - self._done) / (now - self._at)
            log.info("progress", done=done, per_second=round(rate))
        self._at, self._done = now, done
