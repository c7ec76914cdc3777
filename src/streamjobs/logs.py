"""structlog, and what the engine tells, as log lines."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

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

__all__ = ("LogEvents", "LogFormat", "configure")

LogFormat = Literal["console", "json"]

log = structlog.get_logger("streamjobs")


def configure(form: LogFormat | None, verbose: bool) -> None:
    """Pretty on a terminal, JSON lines elsewhere; or what is asked for. To stderr."""
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
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if form == "json":
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG if verbose else logging.WARNING)


def configure_unless_done() -> None:
    """For programs that call `App.run` themselves: leaves alone what they configured."""
    if not structlog.is_configured():
        configure(None, verbose=False)


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


class LogEvents(Events):
    """Rare things at info and above, a commit and a slice at debug."""

    def assigned(self, generation: Generation) -> None:
        log.info(
            "partition assigned", **_place(generation.partition), offset=generation.ledger.frontier
        )

    def revoked(self, generation: Generation, lost: bool) -> None:
        log.info("partition lost" if lost else "partition given up", **_place(generation.partition))

    def stale(self, piece: Slice) -> None:
        log.warning(
            "results ignored: the partition had gone before these records ended",
            **_place(piece.generation.partition),
            offsets=[record.offset for record in piece.records[: piece.progress]][:20],
        )

    def failed(
        self, generation: Generation, record: Record, error: Exception, attempt: int, pause: float
    ) -> None:
        log.warning(
            "attempt failed; its key waits",
            **describe(generation, record),
            attempt=attempt,
            pause=pause,
            error=f"{type(error).__name__}: {error}",
            # The owner's thread writes this: a traceback once a record is enough.
            exc_info=(type(error), error, error.__traceback__) if attempt == 1 else None,
        )

    def discarded(self, generation: Generation, record: Record, error: Exception) -> None:
        log.error(
            "record discarded",
            **describe(generation, record),
            reason=f"{type(error).__name__}: {error}",
        )

    def left_out(self, generation: Generation, records: Sequence[Record]) -> None:
        log.debug("complete already", **_place(generation.partition), records=len(records))

    def committed(self, frozen: Mapping[Generation, Frozen]) -> None:
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

    def unreadable(self, partition: TopicPartition, offset: int, reason: str) -> None:
        log.warning(
            "commit metadata not understood; going on from the offset alone",
            **_place(partition),
            offset=offset,
            reason=reason,
        )

    def full(self, generation: Generation, order: object) -> None:
        log.warning(
            "completion map is full: this partition takes nothing new until its oldest record "
            "is settled",
            **_place(generation.partition),
            offset=generation.ledger.frontier,
            key=repr(order),
        )


def _place(partition: TopicPartition) -> dict[str, Any]:
    return {"topic": partition.topic, "partition": partition.partition}


def _json(event: EventDict, **_options: Any) -> str:
    return orjson.dumps(event, default=repr).decode()
