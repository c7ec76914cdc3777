"""structlog, and what the engine tells, as log lines."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from weakref import WeakKeyDictionary

import orjson
import structlog
from structlog.typing import EventDict, WrappedLogger

from streamjobs import headers
from streamjobs.broker.ports import Commit, TopicPartition
from streamjobs.engine.events import Events
from streamjobs.engine.generation import Generation
from streamjobs.engine.ledger import Frozen
from streamjobs.engine.slices import RUNNING, Slice
from streamjobs.record import Record
from streamjobs.stacks import place_of, stack_of, text_of, trace_of

__all__ = ("AddInstance", "LogEvents", "LogFormat", "configure")

LogFormat = Literal["console", "json"]

log = structlog.get_logger("streamjobs")


def configure(form: LogFormat | None, verbose: bool, instance: str | None = None) -> None:
    """Pretty on a terminal, JSON lines elsewhere; or what is asked for. To stderr.

    Args:
        form: None for what suits stderr.
        verbose: also debug.
        instance: stands in every line, where several processes write to one place.
    """
    if form is None:
        form = "console" if sys.stderr.isatty() else "json"
    renderer: Any = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if form == "console"
        else structlog.processors.JSONRenderer(serializer=_json)
    )
    level = logging.DEBUG if verbose else logging.INFO
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_attempt,
        *([AddInstance(instance)] if instance else []),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if form == "json":
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # One write a line, its end included: several processes may write to one place.
        logger_factory=_stderr,
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG if verbose else logging.WARNING)


def _stderr(*_names: object) -> WrappedLogger:
    """Looked up for each line: while bars are drawn below the log, something else stands there."""
    return structlog.WriteLogger(sys.stderr)


def configure_unless_done() -> None:
    """For programs that call `App.run` themselves: leaves alone what they configured."""
    if not structlog.is_configured():
        configure(None, verbose=False)


class AddInstance:
    """Every line says which process wrote it, in all its threads.

    Attributes:
        instance: its name.
    """

    def __init__(self, instance: str) -> None:
        self.instance = instance

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("instance", self.instance)
        return event


def add_attempt(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Inside of an attempt every line says which: looked up when a line is written, so that an
    attempt that logs nothing pays nothing.
    """
    piece = RUNNING.get()
    if piece is not None:
        fields = describe(piece.generation, piece.records[piece.current])
        fields["virtual_partition"] = piece.lane.index
        fields["attempt"] = piece.attempt(piece.current)
        for name, value in fields.items():
            event.setdefault(name, value)
    return event


def describe(generation: Generation, record: Record) -> dict[str, Any]:
    """The fields that name a record."""
    fields: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key": None if record.key is None else record.key.decode(errors="backslashreplace"),
    }
    job = record.header(headers.JOB)
    if job is not None:
        fields["job"] = job.decode(errors="backslashreplace")
    return fields


TRACE_AGAIN: Final = 10.0
"""Seconds after which the traceback of the same error, raised in the same place, is shown again."""

FULL_AGAIN: Final = 30.0
"""Seconds after which it is said again that a partition waits."""

MANY_PLACES: Final = 1000
NEVER: Final = float("-inf")


class LogEvents(Events):
    """Rare things at info and above, a commit and a slice at debug."""

    def __init__(self) -> None:
        self._traces_shown: dict[object, float] = {}
        self._full_said: WeakKeyDictionary[Generation, float] = WeakKeyDictionary()

    def after_assign(self, generation: Generation) -> None:
        log.info(
            "partition assigned", **_place(generation.partition), offset=generation.ledger.frontier
        )

    def after_revoke(self, generation: Generation, lost: bool) -> None:
        log.info("partition lost" if lost else "partition given up", **_place(generation.partition))

    def stale(self, piece: Slice) -> None:
        log.warning(
            "results ignored: the partition had gone before these records ended",
            **_place(piece.generation.partition),
            offsets=[record.offset for record in piece.records[: piece.progress]][:20],
        )

    def stalled(self, piece: Slice, seconds: float) -> None:
        record = piece.records[piece.current]
        log.warning(
            "this attempt runs far longer than usual",
            handler=piece.generation.route.name_of(record),
            **describe(piece.generation, record),
            attempt=piece.attempt(piece.current),
            seconds=round(seconds, 1),
            stack=stack_of(piece.worker),
        )

    def failed(
        self, generation: Generation, record: Record, error: Exception, attempt: int, pause: float
    ) -> None:
        trace = self._trace(error) if attempt == 1 else None
        log.warning(
            "attempt failed; its key waits",
            **describe(generation, record),
            attempt=attempt,
            pause=pause,
            error=text_of(error),
            **({"exception": trace} if trace else {}),
        )

    def discarded(self, generation: Generation, record: Record, error: Exception) -> None:
        log.error(
            "record discarded",
            **describe(generation, record),
            reason=text_of(error),
        )

    def dead_lettered(
        self, generation: Generation, record: Record, error: Exception, attempt: int
    ) -> None:
        log.error(
            "record dead-lettered",
            **describe(generation, record),
            attempts=attempt,
            error=text_of(error),
        )

    def unburied(self, generation: Generation, record: Record, reason: str, pause: float) -> None:
        log.error(
            "dead letter not delivered; its key waits until it is",
            **describe(generation, record),
            reason=reason,
            pause=pause,
        )

    def blocked(
        self, generation: Generation, record: Record, error: Exception, attempt: int
    ) -> None:
        log.error(
            "record failed for good; its key is blocked until a restart",
            **describe(generation, record),
            attempts=attempt,
            error=text_of(error),
            exc_info=(type(error), error, error.__traceback__),
        )

    def stopping_for(self, generation: Generation, record: Record, error: Exception) -> None:
        log.error(
            "record failed for good; the app stops and will get it again",
            **describe(generation, record),
            error=text_of(error),
            exc_info=(type(error), error, error.__traceback__),
        )

    def deferred(self, generation: Generation, order: object) -> None:
        log.debug(
            "key has more waiting than is held in memory; its records will be read again",
            **_place(generation.partition),
            key=repr(order),
        )

    def restored(self, generation: Generation, record: Record, attempts: int, pause: float) -> None:
        log.info(
            "this record failed under an earlier owner",
            **describe(generation, record),
            attempts=attempts,
            pause=pause,
        )

    def left_out(self, generation: Generation, records: Sequence[Record]) -> None:
        log.debug("complete already", **_place(generation.partition), records=len(records))

    def after_commit(self, frozen: Mapping[Generation, Frozen]) -> None:
        log.debug(
            "committed",
            offsets={str(each.partition): last.frontier for each, last in frozen.items()},
        )

    def commit_failed(self, commits: Sequence[Commit], error: str) -> None:
        log.warning(
            "commit failed; it will be tried again",
            offsets={str(each.partition): each.offset for each in commits},
            error=error,
        )

    def undelivered(self, generation: Generation, record: Record, error: str) -> None:
        log.error(
            "an emitted record was not delivered; reading the partition again from its commit",
            **describe(generation, record),
            error=error,
        )

    def aborted(self, reason: str) -> None:
        log.warning("transaction aborted; reading again from the last commit", reason=reason)

    def unreadable(self, partition: TopicPartition, offset: int, reason: str) -> None:
        log.warning(
            "commit metadata not understood; going on from the offset alone",
            **_place(partition),
            offset=offset,
            reason=reason,
        )

    def suspected(self, generation: Generation, deaths: int) -> None:
        log.warning(
            "processes died here again and again: records run one at a time until it is known "
            "which of them does it",
            **_place(generation.partition),
            offset=generation.ledger.frontier,
            deaths=deaths,
        )

    def breaker_opened(self, generation: Generation, died: int, ended: int) -> None:
        breaker = generation.route.breaker
        log.error(
            "breaker opened: too many records died; nothing of this partition starts until it is "
            "resumed",
            **_place(generation.partition),
            died=died,
            of=ended,
            resumed_after=None if breaker is None else breaker.resume_after,
            resume=f"python -m streamjobs resume {os.getpid()}",
        )

    def breaker_closed(self, generation: Generation) -> None:
        log.warning("breaker closed: this partition goes on", **_place(generation.partition))

    def full(self, generation: Generation, order: object) -> None:
        now = time.monotonic()
        if now - self._full_said.get(generation, NEVER) < FULL_AGAIN:
            return
        self._full_said[generation] = now
        log.warning(
            "completion map is full: this partition takes nothing new until its oldest record "
            "is settled",
            **_place(generation.partition),
            offset=generation.ledger.frontier,
            key="it waits for its turn" if order is None else repr(order),
        )

    def _trace(self, error: Exception) -> str | None:
        """Where it was raised; once in a while for each such place, since the owner's thread writes
        this.
        """
        place = place_of(error)
        now = time.monotonic()
        if now - self._traces_shown.get(place, NEVER) < TRACE_AGAIN:
            return None
        if len(self._traces_shown) > MANY_PLACES:
            self._traces_shown.clear()
        self._traces_shown[place] = now
        return trace_of(error)


def _place(partition: TopicPartition) -> dict[str, Any]:
    return {"topic": partition.topic, "partition": partition.partition}


def _json(event: EventDict, **_options: Any) -> str:
    return orjson.dumps(event, default=repr).decode()
