"""Quix's sinks: they get what attempts have for them when those are merged, and are flushed before
each commit.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import structlog

from streamjobs.engine.generation import Generation
from streamjobs.engine.sinks import Sinks, Unflushed
from streamjobs.errors import SinkError
from streamjobs.pipelines.quix import BaseSink, BatchingSink, SinkBackpressureError
from streamjobs.stacks import text_of

__all__ = ("PipelineSinks",)

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 60.0
"""Seconds until records are read again whose results a sink did not take: doubled until it does."""

log = structlog.get_logger("streamjobs")


class PipelineSinks(Sinks):
    """The sinks of one process.

    Args:
        sinks: all that its pipelines write to.
    """

    def __init__(self, sinks: Collection[BaseSink]) -> None:
        self._sinks = sinks
        self._unflushed: dict[Generation, None] = {}
        self._waiting: dict[int, BaseSink] = {}
        self._refused: dict[int, Exception] = {}
        self._pause = FIRST_PAUSE

    def start(self) -> None:
        """Let each connect.

        Raises:
            SinkError: one cannot.
        """
        for sink in self._sinks:
            if isinstance(sink, BatchingSink):
                sink._batches.clear()  # of a process before, in a test
            try:
                sink.start()  # type: ignore[no-untyped-call]
            except MemoryError:
                raise
            except Exception as error:
                raise SinkError(f"{_name(sink)} cannot be started: {text_of(error)}") from error

    def add(self, generation: Generation, items: Sequence[Any]) -> None:
        topic, partition = generation.partition
        self._unflushed[generation] = None
        for sink, value, key, timestamp, headers, offset in items:
            self._waiting[id(sink)] = sink
            try:
                sink.add(value, key, timestamp, headers, topic, partition, offset)
            except MemoryError:
                raise
            except Exception as error:
                self._refused.setdefault(id(sink), error)

    def flush(self) -> Unflushed | None:
        unflushed = self._unflushed
        if not unflushed:
            return None
        failed = self._flush()
        self._unflushed, self._waiting, self._refused = {}, {}, {}
        if failed is None:
            self._pause = FIRST_PAUSE
            return None
        return Unflushed(list(unflushed), *failed)

    def _flush(self) -> tuple[str, float] | None:
        """Why it failed, and for how long to wait; None if it did not."""
        for number, sink in self._waiting.items():
            try:
                if number in self._refused:
                    raise self._refused[number]
                sink.flush()  # type: ignore[no-untyped-call]
            except MemoryError:
                raise
            except SinkBackpressureError as pressure:
                for each in self._waiting.values():
                    each.on_paused()  # type: ignore[no-untyped-call]
                log.warning("a sink wants a pause", sink=_name(sink), seconds=pressure.retry_after)
                return f"{_name(sink)} wants a pause", pressure.retry_after
            except Exception as error:
                pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
                log.error(
                    "a sink did not take what it was given: nothing of that is committed, and its "
                    "records are read again after a pause",
                    sink=_name(sink),
                    error=text_of(error),
                    seconds=pause,
                )
                return f"{_name(sink)} was not flushed: {text_of(error)}", pause
        return None

    def forget(self, generation: Generation) -> None:
        self._unflushed.pop(generation, None)
        for sink in self._sinks:
            if isinstance(sink, BatchingSink):
                sink._batches.pop(generation.partition, None)

    def close(self) -> None:
        """Let those that can clean up do so."""
        for sink in self._sinks:
            cleanup = getattr(sink, "cleanup", None)
            if cleanup is not None:
                try:
                    cleanup()
                except Exception:
                    log.exception("a sink raised while it cleaned up", sink=_name(sink))


def _name(sink: BaseSink) -> str:
    return f"sink {type(sink).__name__}"
