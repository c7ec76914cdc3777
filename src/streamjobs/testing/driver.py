"""Run an app in memory, in virtual time, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from random import Random
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self

import orjson

from streamjobs.app import App
from streamjobs.broker.memory import MemoryBroker
from streamjobs.broker.ports import Message, TopicPartition
from streamjobs.engine.generation import Generation
from streamjobs.engine.owner import Limits
from streamjobs.engine.route import Route
from streamjobs.errors import DeliveryError, StreamjobsError
from streamjobs.failures.letters import Letter, NoLetterError, read_letter
from streamjobs.middleware import Guarded
from streamjobs.partitioning import key_bytes
from streamjobs.queries import Queries
from streamjobs.record import Header, Record
from streamjobs.stacks import text_of
from streamjobs.tables.follower import Follower
from streamjobs.testing.direct import DirectPublisher
from streamjobs.testing.guarantees import Guarantee, standard
from streamjobs.testing.history import Crashed, History
from streamjobs.testing.simulation.app_scenario import app_routes, app_topics
from streamjobs.testing.simulation.clock import VirtualClock
from streamjobs.testing.simulation.cluster import ObservedCluster
from streamjobs.testing.simulation.coverage import Branches
from streamjobs.testing.simulation.disk import Machine
from streamjobs.testing.simulation.member import Member
from streamjobs.testing.simulation.rest import is_committed, is_committed_but
from streamjobs.testing.simulation.world import GROUP
from streamjobs.values import encode_value

__all__ = ("Failure", "Output", "StillFailingError", "TestDriver")

PATIENCE: Final = 24 * 3600.0
"""Virtual seconds after which a record that goes on failing is reported."""

COMMIT_INTERVAL: Final = 1.0
"""Virtual seconds."""


class StillFailingError(StreamjobsError, AssertionError):
    """`run_until_idle` gave up: a record fails again and again."""


class Output(NamedTuple):
    """A record that the app wrote. The timestamp is in milliseconds."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    partition: int
    offset: int
    timestamp: int

    def json(self) -> Any:
        """The value, from JSON."""
        return None if self.value is None else orjson.loads(self.value)


class Failure(NamedTuple):
    """An attempt that failed, a record that was given up, or one whose emits did not arrive.

    `discarded` and `dead_lettered` say that the record is over, `blocked` that it holds its key.
    """

    record: Record
    error: Exception
    attempt: int
    discarded: bool = False
    dead_lettered: bool = False
    blocked: bool = False


class TestDriver:
    """An app with all its topics in memory: real serialization, the real engine, one process,
    virtual time. Nothing happens but in `step`, `run_until_idle` and `advance`; the `with` ends
    with the end of the process, in good order unless something was raised. The app's middleware
    is told everything.

    Args:
        app: the app; inside of the `with`, its jobs' `enqueue` goes here.
        partitions: how many partitions topics have: a number, or by topic.
        on_error: "raise" what a handler raises (default), or "retry": what the handler's `retry`
            and `on_failure` say happens, in virtual time.

    Example:
        >>> with TestDriver(app) as driver:                      # doctest: +SKIP
        ...     update_user.enqueue(7, {"name": "Ada"})
        ...     driver.send("clicks", {"user": 7}, key=7)
        ...     driver.run_until_idle()
        ...     assert driver.outputs("click-counts")[0].json() == {"seen": 1}
    """

    __test__ = False  # pytest must not take it for a test class

    def __init__(
        self,
        app: App,
        *,
        partitions: int | Mapping[str, int] = 1,
        on_error: Literal["raise", "retry"] = "raise",
    ) -> None:
        self.clock = VirtualClock()
        self.history = History()
        self._raise = on_error == "raise"
        self._failures = _Failures()
        self._middleware = Guarded(app, app.middleware)
        routes = {name: _observed(route, app) for name, route in app_routes(app).items()}
        self._cluster = ObservedCluster(
            app_topics(app, partitions),
            routes,
            self.clock,
            self.history.add,
            partitions if isinstance(partitions, int) else 1,
            dead_letters=[*app.dead_letter_topics],
        )
        self._app = app
        self._routes = routes
        self._exactly_once = any(route.transactional for route in routes.values())
        self._stack = ExitStack()
        self._lives = 0
        self._machine = Machine("driver")
        self._member = self._start()

    def _start(self) -> Member:
        """A process of the app."""
        self._lives += 1
        self._follower = Follower(
            self._app.tables,
            lambda topic: self._cluster.topics()[topic],
            lambda: MemoryBroker(self._cluster).reader({}),
            self.clock,
        )
        self._sinks = self._app.sinks
        if self._sinks is not None:
            self._sinks.start()
        member = Member(
            "driver" if self._lives == 1 else f"driver-{self._lives}",
            self._cluster,
            GROUP,
            self._routes,
            self.clock,
            _Steady(),
            Limits(commit_interval=COMMIT_INTERVAL, revoke_timeout=1.0),
            lambda piece, index: 0.0,
            self.history.add,
            lambda member, seconds: None,
            self._failures,
            self._machine,
            transactional_id="driver",  # as of a process with a name: a restart ends what is open
            listeners=[self._middleware],
            sinks=self._sinks,
        )
        self._app.queries = Queries(
            self._app,
            member.owner.scheduler.generations,
            lambda topic: self._cluster.topics()[topic],
        )
        return member

    def __enter__(self) -> Self:
        publisher = DirectPublisher(self._cluster)
        self._stack.enter_context(self._app.on(publisher.broker, publisher))
        self._tell_of_start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            self._stop(in_good_order=error is None)

    def _tell_of_start(self) -> None:
        self._middleware.before_start()
        self._middleware.after_start()

    def _stop(self, in_good_order: bool) -> None:
        self._middleware.before_stop()
        if in_good_order:
            self._member.close()
        if self._sinks is not None:
            self._sinks.close()
        self._follower.close()
        self._app.queries = None
        self._middleware.after_stop()

    # -- in ----------------------------------------------------------------------------------

    def send(
        self,
        topic: str,
        value: Any,
        *,
        key: Any = None,
        headers: Sequence[Header] = (),
        partition: int | None = None,
        timestamp: int | None = None,
    ) -> Record:
        """Write a record as any producer might: bytes as they are, str as UTF-8, None as a
        tombstone, anything else as JSON. The timestamp is in milliseconds; now if left out.
        """
        message = Message(topic, encode_value(value), key_bytes(key), headers, partition, timestamp)
        return self._cluster.append(message)

    # -- on ----------------------------------------------------------------------------------

    def step(self) -> bool:
        """One turn of the owner, and every attempt that can run then; False when nothing
        happened.

        Raises:
            Exception: what a handler raised, with `on_error="raise"`; with "retry" only what the
                app stopped for (`on_failure="stop"`). It does nothing any more then.
        """
        before = len(self.history)
        news = self._follow_tables()
        self._member.turn()
        while self._member.workers.step():
            pass
        self._member.turn()
        error, self._failures.error = self._failures.error, None
        if self._raise and error is not None:
            raise error
        if self._member.owner.fatal is not None:
            raise self._member.owner.fatal
        return news or len(self.history) > before

    def _follow_tables(self) -> bool:
        """Take in what was written to the app's tables; whether there was anything."""
        news = False
        while self._follower.turn():
            news = True
        return news

    def advance(self, seconds: float) -> None:
        """Let virtual time pass and run what can run meanwhile: each pause that ends is
        followed by its attempt, at its moment; commits become due.
        """
        end = self.clock.now + seconds
        self.run_until_quiet()
        while self._next_due() < end:
            self._go_on_at(self._next_due())
        self._go_on_at(end)

    def restart(self, *, crash: bool = False) -> None:
        """End the process, in good order or on the spot, and start another one: what it had not
        committed is delivered again, and it knows only what Kafka knows.
        """
        if crash:
            self._member.die()
            self._cluster.kill(self._member.name)
            if self._member.name in self._cluster.members(GROUP):  # else it has not joined yet
                self._cluster.expire(self._member.name)
            self.history.add(Crashed(self.clock.now, self._member.name))
        else:
            self._stop(in_good_order=True)
        self._member = self._start()
        self._tell_of_start()

    def run_until_quiet(self) -> None:
        """Run all that can run without letting time pass."""
        while self.step():
            pass

    def run_until_idle(self) -> None:
        """Run until everything on the topics is settled and committed, letting as much virtual
        time pass as that needs. What a blocked key holds (`on_failure="block"`) is left.

        Raises:
            StillFailingError: a record failed for a virtual day.
            Exception: what `step` raises.
        """
        deadline = self.clock.now + PATIENCE
        self.run_until_quiet()
        while not self._is_committed():
            due = self._next_due()  # where it is not known what for, a commit or a reload is due
            self._go_on_at(due if due < float("inf") else self.clock.now + COMMIT_INTERVAL)
            if self.clock.now > deadline:
                raise StillFailingError(self._complaint())

    # -- out ---------------------------------------------------------------------------------

    @property
    def failures(self) -> Sequence[Failure]:
        """What went wrong, in order: attempts that failed, records that were given up, emitted
        records that were not delivered.
        """
        return self._failures.seen

    def dead_letters(self, topic: str | None = None) -> list[Letter]:
        """The dead letters of the records of a topic, or of all, in the order of each dead-letter
        partition: the record as it was (`record`) and why it was given up (`death`).
        """
        places = [
            TopicPartition(name, number)
            for name in self._app.dead_letter_topics
            for number in range(self._cluster.topics().get(name, 0))
        ]
        letters = [letter for place in places for letter in self._letters(place)]
        return [letter for letter in letters if topic in (None, letter.record.topic)]

    def _letters(self, place: TopicPartition) -> Iterator[Letter]:
        for record in self._cluster.log(*place).records:
            with suppress(NoLetterError):  # a mark, or something that somebody else wrote
                yield read_letter(record)

    def outputs(self, topic: str) -> list[Output]:
        """What is on a topic, partition by partition, for who reads what is committed."""
        count = self._cluster.topics().get(topic, 0)
        return [output for number in range(count) for output in self._outputs(topic, number)]

    def query(
        self, store: str, key: Any, *, topic: str | None = None, partition: int | None = None
    ) -> Any:
        """Read state as `App.query` does.

        Raises:
            QueryError: as there.
        """
        return self._app.query(store, key, topic=topic, partition=partition)

    def committed(self, topic: str) -> dict[int, int]:
        """The committed offset of each partition that has one."""
        found = {
            number: self._cluster.committed(GROUP, topic, number)
            for number in range(self._cluster.topics().get(topic, 0))
        }
        return {number: each.offset for number, each in found.items() if each is not None}

    def check(self, *guarantees: Guarantee) -> None:
        """Show the history to these guarantees, or to all of the standard ones.

        Raises:
            GuaranteeViolatedError: one does not hold.
        """
        for guarantee in guarantees or standard(letters=True, exactly_once=self._exactly_once):
            guarantee.watch(self.history)
            guarantee.check()

    def _outputs(self, topic: str, partition: int) -> Iterator[Output]:
        log = self._cluster.log(topic, partition)
        for each in log.records:
            if each.offset >= log.stable:
                return  # of a transaction that is open, or behind one
            yield Output(each.key, each.value, each.headers, partition, each.offset, each.timestamp)

    def _is_committed(self) -> bool:
        """Whether all is committed that no blocked key holds."""
        return all(
            self._is_partition_committed(TopicPartition(topic, number))
            for topic in self._routes
            for number in range(self._cluster.topics()[topic])
        )

    def _is_partition_committed(self, partition: TopicPartition) -> bool:
        if is_committed(self._cluster, GROUP, partition):
            return True
        held = self._member.blocks.held(partition)
        if not held:
            return False
        return is_committed_but(self._cluster, GROUP, partition, self._routes, held)

    def _next_due(self) -> float:
        """When a pause or a sleeping coroutine ends; infinity when there is none."""
        timer = self._member.owner.scheduler.next_timer()
        due = self._member.workers.next_due()
        return due if timer is None else min(timer, due)

    def _go_on_at(self, moment: float) -> None:
        self.clock.now = max(self.clock.now, moment)  # exactly: timers compare with it
        self.run_until_quiet()

    def _complaint(self) -> str:
        last = self.failures[-1] if self.failures else None
        if last is None:
            return (
                "records are not settled after a virtual day, though nothing failed: does a "
                "handler wait for something that never comes?"
            )
        return (
            f"{last.record!r} failed {last.attempt} times within a virtual day; the last error "
            f"was {text_of(last.error)}"
        )


def _observed(route: Route, app: App) -> Route:
    """What the app's middleware makes of a route."""
    for each in reversed(app.middleware):
        route = each.observe(route)
    return route


class _Steady(Random):
    """Dice that always fall the same way: nothing is left to chance, the first one is first."""

    def random(self) -> float:
        return 0.0


class _Failures(Branches):
    """Collects what fails."""

    def __init__(self) -> None:
        super().__init__(Counter())
        self.seen: list[Failure] = []
        self.error: Exception | None = None

    def failed(
        self, generation: Generation, record: Record, error: Exception, attempt: int, pause: float
    ) -> None:
        self._add(Failure(record, error, attempt))

    def discarded(self, generation: Generation, record: Record, error: Exception) -> None:
        self._add(Failure(record, error, 1, discarded=True))

    def undelivered(self, generation: Generation, record: Record, error: str) -> None:
        self._add(Failure(record, DeliveryError(error), 1))

    def dead_lettered(
        self, generation: Generation, record: Record, error: Exception, attempt: int
    ) -> None:
        self._add(Failure(record, error, attempt, dead_lettered=True))

    def blocked(
        self, generation: Generation, record: Record, error: Exception, attempt: int
    ) -> None:
        self._add(Failure(record, error, attempt, blocked=True))

    def stopping_for(self, generation: Generation, record: Record, error: Exception) -> None:
        self._add(Failure(record, error, 1))

    def _add(self, failure: Failure) -> None:
        self.seen.append(failure)
        self.error = self.error or failure.error
