"""Quix's dataframe, where an operator of it has to do something else here."""

from __future__ import annotations

from typing import Any

from streamjobs.errors import PipelineError
from streamjobs.pipelines.quix import BaseSink, StreamingDataFrame, message_context

__all__ = ("Frame",)


class Frame(StreamingDataFrame):
    """What the function of a pipeline gets."""

    def join_lookup(
        self, lookup: Any, fields: Any, on: Any = None, buffer: object = None
    ) -> StreamingDataFrame:
        """Add what a lookup finds to each value.

        Raises:
            PipelineError: records would wait in a buffer.
        """
        if buffer is not None:
            raise PipelineError(
                "join_lookup(buffer=...) releases records by a clock that is the whole "
                "partition's. Leave the buffer out, or let a parallel stage look the value up"
            )
        return super().join_lookup(lookup, fields, on)

    def sink(self, sink: BaseSink) -> None:
        """Write the values to a sink, which ends this branch. They get there when their record is
        over, and only then.

        Raises:
            PipelineError: it is none of Quix's sinks.
        """
        if not isinstance(sink, BaseSink):
            raise PipelineError(
                f"sdf.sink({sink!r}): it takes an object of quixstreams.sinks.BaseSink"
            )
        host: Any = self.processing_context.sink_manager
        host.register(sink)

        def put(value: Any, key: Any, timestamp: int, headers: Any) -> None:
            host.put(sink, value, key, timestamp, headers, message_context().offset)

        self.update(put, metadata=True)
